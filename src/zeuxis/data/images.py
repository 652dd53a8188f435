"""Encoded images as uint8 NCHW: decoded, gray or RGB, and resized to a central square."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import DataError, UsageError
from .reading import contents, first_line, shown
from .scan import ENDINGS, scan

# The formats that Pillow may try, most common first, whatever the ending of a file. Others take
# time
# to rule out, and one of them, EPS, would start a PostScript interpreter.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
ORIENTATION = 0x0112  # the EXIF tag of a camera's orientation
WITH_EXIF = ("JPEG", "MPO", "PNG", "WEBP", "TIFF")


@runtime_checkable
class Encoded(Protocol):
    """Encoded images, read one at a time."""

    def __len__(self) -> int: ...

    def read(self, i: int) -> bytes:
        """The encoded bytes of image i."""
        ...

    def where(self, i: int) -> str:
        """The origin of image i, for error sentences."""
        ...


@dataclass
class Raw:
    """What a reader returns: an array or encoded images, and labels.

    Arguments:
        name: The data set's name.
        images: uint8 (N, C, H, W), or encoded images.
        labels: (N,) int64, -1 where unlabeled, or None.
        class_names: In label order.
        fingerprint: Changes with the source; part of the name of the cache.
        part: "train" or "test", or "all" for a source without a test part.
        notes: Sentences on what was left out or changed.
        inexact: Rows whose pixels were decoded from another, lossy copy.
        files: How many consecutive images each file holds, if files hold several.
    """

    name: str
    images: np.ndarray | Encoded
    labels: np.ndarray | None = None
    class_names: Sequence[str] = ()
    fingerprint: str = ""
    part: str = "all"
    notes: Sequence[str] = ()
    inexact: Sequence[int] = ()
    files: Sequence[int] = ()


@dataclass(frozen=True)
class EncodedFiles:
    """Encoded images in files."""

    paths: Sequence[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, i: int) -> bytes:
        try:
            return contents(self.paths[i])
        except OSError as error:
            raise DataError(
                f"The image {self.where(i)} cannot be read ({first_line(error)}): "
                "replace or remove it."
            ) from error

    def where(self, i: int) -> str:
        return f"'{shown(self.paths[i])}'"


def image_paths(names: Sequence[str]) -> list[Path]:
    """Paths of image files, with folders replaced by the images in them.

    Raises:
        UsageError: A path does not exist, or a folder has no images.
    """
    paths: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = [image.path for image in scan(path).images]
            if not inside:
                raise UsageError(
                    f"The folder '{name}' holds neither a model nor images ({', '.join(ENDINGS)})."
                )
            paths += inside
        elif path.is_file():
            paths.append(path)
        else:
            raise UsageError(f"There is no '{name}': give image files, folders of them, or models.")
    return paths


def read_images(
    paths: Sequence[Path], shape: tuple[int, ...], invert: bool = False
) -> torch.Tensor:
    """Reads image files as uint8 (n, C, H, W).

    Arguments:
        paths: The files.
        shape: Channels, height and width of the model's images.
        invert: Whether to return negatives, 255 - x.
    """
    if len(shape) != 3 or shape[1] != shape[2]:
        raise UsageError(
            f"The model knows examples of shape {shape}, which are no square images: "
            "give data of its kind with --data."
        )
    files = EncodedFiles(paths)
    images = [decode(files.read(i), files.where(i), shape[-1], shape[0]) for i in range(len(files))]
    x = torch.from_numpy(np.stack(images))
    return 255 - x if invert else x


def decode(
    data: bytes, where: str, size: int | None = None, channels: int | None = None
) -> np.ndarray:
    """Decodes one image as uint8 (C, H, W).

    Arguments:
        data: A PNG, JPEG, WebP, BMP, GIF, TIFF or PPM file. Photographs are turned upright, and of
            an animation the first frame is taken. White is 65535 in gray of 16 bits and 1 in gray
            of floats; floats outside [0, 1] and integers of 32 bits are refused.
        where: Its origin, for error sentences.
        size: Side of the square that it is resized to (pixels), or None.
        channels: 1 or 3, or None (gray stays gray, and all else becomes RGB).

    Raises:
        DataError: The image is damaged, too large, or of an unknown format or depth.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            picture.load()
            upright = ImageOps.exif_transpose(picture) if orientation(picture) != 1 else picture
            return prepared(upright, size, channels, picture.format or "")
    except Depth as error:
        raise DataError(f"The image {where} {error}.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"The image {where} is too large to be safe ({first_line(error)}): make it smaller."
        ) from error
    except UnidentifiedImageError as error:
        known = "PNG, JPEG, WebP, BMP, GIF, TIFF or PPM"
        raise DataError(
            f"The image {where} cannot be decoded (it is no {known} file): replace or remove it."
        ) from error
    except Exception as error:  # Pillow's decoders raise nearly every type for damaged bytes
        raise DataError(
            f"The image {where} cannot be decoded ({first_line(error)}): replace or remove it."
        ) from error


def pixels_of(data: bytes) -> int:
    """The number of pixels in the header of an encoded image, 0 if there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            width, height = Image.open(io.BytesIO(data), formats=FORMATS).size
            return int(width * height)
    except Exception:  # decoding will report what is wrong
        return 0


class Depth(Exception):
    """Gray values whose white is not known."""


def orientation(picture: Image.Image) -> int:
    """The EXIF orientation, 1 for upright; 5 to 8 exchange width and height."""
    return picture.getexif().get(ORIENTATION, 1) if picture.format in WITH_EXIF else 1


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height of an opened image after it is turned upright."""
    width, height = picture.size
    if picture.format == "TIFF":  # Pillow may have exchanged them already
        tags = picture.tag_v2  # type: ignore[attr-defined]
        width, height = (int(tags[tag]) for tag in (256, 257))
    return (height, width) if orientation(picture) in (5, 6, 7, 8) else (width, height)


def prepared(
    picture: Image.Image, size: int | None, channels: int | None, form: str = ""
) -> np.ndarray:
    """A Pillow image as uint8 (C, H, W), converted to gray or RGB and resized to a square."""
    deep = picture.mode in ("I", "F") or picture.mode.startswith("I;")
    gray = deep or picture.mode in ("1", "L", "LA") if channels is None else channels == 1
    if deep:
        picture = Image.fromarray(shallow(picture, form))
    if picture.mode != (mode := "L" if gray else "RGB"):
        picture = picture.convert(mode)
    if size is not None and picture.size != (size, size):
        picture = square(picture, size)
    array = np.asarray(picture)
    return array[None] if gray else np.ascontiguousarray(array.transpose(2, 0, 1))


def shallow(picture: Image.Image, form: str) -> np.ndarray:
    """Gray values of more than 8 bits as uint8."""
    x = np.asarray(picture)
    if picture.mode == "F":
        low, high = float(x.min()), float(x.max())
        if not 0 <= low <= high <= 1:
            raise Depth(
                f"has values from {low:g} to {high:g}, expected floats from 0 to 1 "
                "(white): scale it or save it with 8 bits"
            )
        return (x * np.float32(255)).round().astype(np.uint8)
    if picture.mode == "I" and form not in ("PPM", "PNG"):  # which have 16 bits at most
        raise Depth(
            "has integers of 32 bits or with a sign, of which white is not known: save "
            "it with 8 or 16 bits"
        )
    if picture.mode == "I":
        x = x.clip(0, 65535).astype(np.uint16)
    return (x // 257).astype(np.uint8)


def square(picture: Image.Image, size: int) -> Image.Image:
    """Resizes the central square with an antialiasing filter."""
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return picture.resize(
        (size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
    )


def converted(x: np.ndarray, size: int | None, channels: int | None) -> np.ndarray:
    """Brings an array (N, C, H, W) to a size and number of channels; may return it unchanged."""
    same_size = size is None or x.shape[2:] == (size, size)
    if same_size and (channels is None or x.shape[1] == channels):
        return x
    pictures = (
        Image.fromarray(one[0] if len(one) == 1 else np.ascontiguousarray(one.transpose(1, 2, 0)))
        for one in x
    )
    return np.stack([prepared(p, size, channels or x.shape[1]) for p in pictures])
