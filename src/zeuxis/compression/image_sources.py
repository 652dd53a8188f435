"""Images to compress: files or a data set, read one at a time, with their names.

Images have 8 bits of gray or RGB. One with transparency, 16 bits, CMYK or several frames would not
be restored exactly, and is refused before anything is written. Palettes become RGB, black and white
become 0 and 255, and photographs are turned upright. All pixels are restored, as PNG; other formats
and metadata are not.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from ..data.binarized import binarized
from ..data.dataset import Dataset
from ..data.images import FORMATS, EncodedFiles, decode, image_paths, upright_size
from ..data.reading import first_line
from ..errors import DataError, UsageError
from .names import clash, folded, portable

MODES = {"1": 1, "L": 1, "P": 3, "RGB": 3}


@runtime_checkable
class ImageSource(Protocol):
    """Images to compress.

    Attributes:
        prefix: Start of the names of numbered images; empty for images with names.
    """

    prefix: str

    def __len__(self) -> int: ...

    def name(self, i: int) -> str:
        """The relative name of image i, with / between folders."""
        ...

    def where(self, i: int) -> str:
        """The origin of image i, for error sentences."""
        ...

    def shape(self, i: int) -> tuple[int, int, int]:
        """Channels, height and width."""
        ...

    def read(self, i: int) -> UInt8[Tensor, "channels height width"]: ...


class ImageFiles:
    """Image files, and all images of folders.

    Arguments:
        names: Files and folders; the name of an image in a folder begins with the folder.
        binarize: First make pixels from 128 on white and the others black, which is not lossless.

    Raises:
        DataError: An image cannot be read, or holds more than 8 bits of gray or RGB.
    """

    prefix = ""

    def __init__(self, names: Sequence[str], binarize: bool = False) -> None:
        self.files = EncodedFiles(image_paths(names))
        if not len(self.files):
            raise UsageError(
                "There are no images to compress: give image files, folders of them, or --data."
            )
        self.binarize = binarize
        self.names = unique([inner for name in names for inner in names_at(Path(name))])
        self.shapes = [inspected(path, self.where(i)) for i, path in enumerate(self.files.paths)]

    def __len__(self) -> int:
        return len(self.files)

    def name(self, i: int) -> str:
        return self.names[i]

    def where(self, i: int) -> str:
        return self.files.where(i)

    def shape(self, i: int) -> tuple[int, int, int]:
        return self.shapes[i]

    def read(self, i: int) -> UInt8[Tensor, "channels height width"]:
        x = torch.from_numpy(decode(self.files.read(i), self.where(i)).copy())
        if tuple(x.shape) != self.shapes[i]:
            raise DataError(
                f"The image {self.where(i)} was changed while it was being compressed: start again."
            )
        return 255 * (x >= 128).byte() if self.binarize else x


class DatasetImages:
    """The images of a data set, numbered.

    Arguments:
        data: The data set.
        prefix: Start of their names, as in "mnist-test-".
        seed: Binarize the images first (`data.binarized`), as `zeuxis likelihood` does with this
            seed.
    """

    def __init__(self, data: Dataset, prefix: str, seed: int | None = None) -> None:
        if len(data.spec.shape) != 3 or data.spec.shape[0] not in (1, 3):
            raise UsageError(
                f"'{data.spec.name}' has examples of shape {data.spec.shape}, expected "
                "gray or RGB images."
            )
        self.data, self.seed = data, seed
        self.prefix = portable(f"{prefix}0.png").removesuffix("0.png")

    def __len__(self) -> int:
        return len(self.data)

    def name(self, i: int) -> str:
        return numbered(self.prefix, i, len(self))

    def where(self, i: int) -> str:
        return f"{i} of '{self.data.spec.name}'"

    def shape(self, i: int) -> tuple[int, int, int]:
        channels, height, width = self.data.spec.shape
        return channels, height, width

    def read(self, i: int) -> UInt8[Tensor, "channels height width"]:
        index = torch.tensor([i])
        x = self.data.batch(index)[0].cpu()
        if self.seed is not None:
            rows = index if self.data.rows is None else self.data.rows[index].cpu()
            x = binarized(x, rows, self.seed)
        return x[0]


def numbered(prefix: str, i: int, total: int) -> str:
    """The name of image i, with as many digits as the last one needs.

    Example:
        >>> numbered("mnist-test-", 7, 10_000)
        'mnist-test-0007.png'
    """
    return f"{prefix}{i:0{len(str(total - 1))}}.png"


def names_at(path: Path) -> list[str]:
    """Names of the images at a path, in the order of `image_paths`."""
    if not path.is_dir():
        return [path.name]
    root = path.resolve().name
    return [
        str(PurePosixPath(root, *image.relative_to(path).parts))
        for image in image_paths([str(path)])
    ]


def unique(names: Sequence[str]) -> list[str]:
    """Different, portable names of PNG files.

    Another ending is replaced by .png, or kept before it where two names would be the same.

    Example:
        >>> unique(["a.png", "b.jpg", "c.bmp", "c.gif", "12:00.png"])
        ['a.png', 'b.png', 'c.bmp.png', 'c.gif.png', '12_00.png']
    """
    short = [portable(f"{PurePosixPath(name).with_suffix('')}.png") for name in names]
    counts = Counter(map(folded, short))
    result = [
        s if PurePosixPath(n).suffix == ".png" or counts[folded(s)] == 1 else portable(f"{n}.png")
        for s, n in zip(short, names, strict=True)
    ]
    if twice := clash(result):
        raise UsageError(
            f"Two images would both be called '{twice}': compress them into two files, "
            "or rename one."
        )
    return result


def inspected(path: Path, where: str) -> tuple[int, int, int]:
    """Channels, height and width of an image file of 8 bits of gray or RGB."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                lost = beyond_8_bits(picture)
                channels, (width, height) = MODES.get(picture.mode, 3), upright_size(picture)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"The image {where} is too large to be safe ({first_line(error)}): cut it "
            "into smaller ones."
        ) from error
    except OSError as error:  # Pillow's error for unknown formats among them
        raise DataError(
            f"The image {where} cannot be read ({first_line(error)}): replace or remove it."
        ) from error
    except Exception as error:  # as in data.images
        raise DataError(
            f"The image {where} cannot be decoded ({first_line(error)}): replace or remove it."
        ) from error
    if lost:
        raise DataError(
            f"The image {where} has {lost}, which would be lost: convert it to gray "
            "or RGB of 8 bits, or leave it out."
        )
    return channels, height, width


def beyond_8_bits(picture: Image.Image) -> str:
    """What an image has beyond 8 bits of gray or RGB; empty if nothing.

    Further images in a camera's MPO file are ignored.
    """
    frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
    if frames > 1:
        return f"{frames} pictures"
    if "A" in picture.mode or "a" in picture.mode or "transparency" in picture.info:
        return "transparency"
    packing = [tile[3] for tile in getattr(picture, "tile", ())]
    deep = any(
        p[1] > 255 if picture.format == "PPM" and isinstance(p, tuple) else ";16" in str(p)
        for p in packing
    )
    if deep or picture.mode in ("F", "I") or picture.mode.startswith("I;"):
        return "more than 8 bits"
    return "" if picture.mode in MODES else f"colors of the kind {picture.mode}"
