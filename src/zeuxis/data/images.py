"""From encoded images to uint8 NCHW: find the files, decode, make gray or RGB, crop the central
square, resize it."""

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

# What Pillow may take bytes for, whatever their file is called: most common first. Its other
# formats are slower to rule out, and one
# of them, EPS, would be handed to a PostScript interpreter.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
UPRIGHT = 0x0112  # the EXIF tag of a camera's orientation
WITH_EXIF = ("JPEG", "MPO", "PNG", "WEBP", "TIFF")


@runtime_checkable
class Encoded(Protocol):
    """Images that are still files or bytes, read one at a time."""

    def __len__(self) -> int: ...

    def read(self, i: int) -> bytes:
        """The bytes of image i."""
        ...

    def where(self, i: int) -> str:
        """Where image i comes from, for error sentences."""
        ...


@dataclass
class Raw:
    """What a reader found: an array or encoded images, and labels.

    Arguments:
        name: The data set's name.
        images: uint8 (N, C, H, W), or encoded images.
        labels: (N,) int64, -1 where unlabeled, or None.
        class_names: In label order.
        fingerprint: Changes when the source changes; names its cache.
        part: "train" or "test", or "all" where the source has no test part.
        notes: Sentences on what was left out or changed.
        inexact: Rows whose pixels were decoded from another, lossy copy.
    """

    name: str
    images: np.ndarray | Encoded
    labels: np.ndarray | None = None
    class_names: Sequence[str] = ()
    fingerprint: str = ""
    part: str = "all"
    notes: Sequence[str] = ()
    inexact: Sequence[int] = ()


@dataclass(frozen=True)
class EncodedFiles:
    """Encoded images that are files."""

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


def spread(words: Sequence[str]) -> list[Path]:
    """The image files named, with folders replaced by the images in them."""
    paths: list[Path] = []
    for word in words:
        path = Path(word)
        if path.is_dir():
            inside = [image.path for image in scan(path).images]
            if not inside:
                raise UsageError(
                    f"The folder '{word}' holds neither a model nor images ({', '.join(ENDINGS)})."
                )
            paths += inside
        elif path.is_file():
            paths.append(path)
        else:
            raise UsageError(f"There is no '{word}': give image files, folders of them, or models.")
    return paths


def read(paths: Sequence[Path], shape: tuple[int, ...], invert: bool = False) -> torch.Tensor:
    """Image files as uint8 (n, C, H, W) in the shape that a model was trained on, or their
    negatives."""
    if len(shape) != 3 or shape[1] != shape[2]:
        raise UsageError(
            f"The model knows examples of shape {shape}, which are no square images: "
            "give data of its kind with --data."
        )
    files = EncodedFiles(paths)
    x = torch.from_numpy(
        np.stack(
            [decode(files.read(i), files.where(i), shape[-1], shape[0]) for i in range(len(files))]
        )
    )
    return 255 - x if invert else x


def decode(
    data: bytes, where: str, size: int | None = None, channels: int | None = None
) -> np.ndarray:
    """One image as uint8 (C, H, W).

    Arguments:
        data: A PNG, JPEG, WebP, BMP, GIF, TIFF or PPM file; a photograph is turned upright, and a
            film gives its first picture. White is 65535 in gray of 16 bits and 1 in gray of floats;
            floats outside [0, 1] and integers of 32 bits are refused.
        where: Its origin, for the error sentence.
        size: Side of the square to bring it to (pixels), or None.
        channels: 1 or 3, or None for what the file has (gray stays gray, all else becomes RGB).
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
    except (
        Exception
    ) as error:  # Pillow's decoders raise nearly every type of exception for damaged bytes
        raise DataError(
            f"The image {where} cannot be decoded ({first_line(error)}): replace or remove it."
        ) from error


def pixels_of(data: bytes) -> int:
    """Pixels that an encoded image announces, 0 if it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            width, height = Image.open(io.BytesIO(data), formats=FORMATS).size
            return int(width * height)
    except Exception:  # decoding says what is wrong with it
        return 0


class Depth(Exception):
    """Gray values of which it is not known what is white."""


def orientation(picture: Image.Image) -> int:
    """How a camera was held, 1 for upright; 5 to 8 exchange width and height."""
    return picture.getexif().get(UPRIGHT, 1) if picture.format in WITH_EXIF else 1


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height that an opened image will have when it is upright."""
    width, height = picture.size
    if picture.format == "TIFF":  # Pillow may have exchanged them already
        width, height = (int(picture.tag_v2[tag]) for tag in (256, 257))  # type: ignore[attr-defined]
    return (height, width) if orientation(picture) in (5, 6, 7, 8) else (width, height)


def prepared(
    picture: Image.Image, size: int | None, channels: int | None, form: str = ""
) -> np.ndarray:
    """A Pillow image as uint8 (C, H, W), resized and cropped to a square and made gray or RGB as
    asked."""
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
    """Gray values of more than 8 bits as uint8; what the file calls white must be known."""
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
    """Resizes the central square with an antialiasing filter; what lies outside it is never
    resized, however long it is."""
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return picture.resize(
        (size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
    )


def converted(x: np.ndarray, size: int | None, channels: int | None) -> np.ndarray:
    """An array (N, C, H, W) brought to a size and number of channels; itself if nothing changes."""
    same_size = size is None or x.shape[2:] == (size, size)
    if same_size and (channels is None or x.shape[1] == channels):
        return x
    pictures = (
        Image.fromarray(one[0] if len(one) == 1 else np.ascontiguousarray(one.transpose(1, 2, 0)))
        for one in x
    )
    return np.stack([prepared(p, size, channels or x.shape[1]) for p in pictures])
