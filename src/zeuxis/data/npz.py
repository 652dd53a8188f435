"""NumPy's .npz archives: finds images and labels by name and shape before it reads an array."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .classes import class_numbers
from .images import Raw
from .parts import ALL, TRAIN, Split, chosen, part_name, part_of, role_of
from .readers import IMAGE_NAMES, LABEL_NAMES, left_out, nchw
from .reading import affordable, first_line, opened, shown, stored
from .tables import fingerprint

MAX_ARRAYS = 1_000  # in an archive


@dataclass(frozen=True)
class Array:
    """An array of an archive, as its header describes it.

    Arguments:
        path: The archive.
        key: The array's name.
        member: Its file in the archive.
        shape: Its shape.
        dtype: Its type.
        file_part: The part that the name of the archive says, or None.
    """

    path: Path
    key: str
    member: str
    shape: tuple[int, ...]
    dtype: np.dtype
    file_part: str | None

    @property
    def part(self) -> str | None:
        """Its part, by its name or by that of its archive."""
        return part_of(self.key) or self.file_part


def headers(path: Path, part: str | None) -> list[Array]:
    """The headers of the arrays in an archive."""
    arrays = []
    with opened(path) as file, zipfile.ZipFile(file) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        if len(members) > MAX_ARRAYS:
            raise ValueError(f"it holds {len(members):,} arrays")
        for info in members:
            with archive.open(info) as member:
                shape, _, dtype = header(member)
            key = info.filename.removesuffix(".npy")
            arrays.append(Array(path, key, info.filename, shape, dtype, part))
    return arrays


def header(member: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and type of the array in an open .npy file."""
    version = np.lib.format.read_magic(member)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"an array has the format {version[0]}.{version[1]}, expected 1.0 or 2.0")
    return read(member, max_header_size=10_000)


def values(array: Array) -> np.ndarray:
    """Reads an array if its archive holds as many bytes as the header promises."""
    with opened(array.path) as file, zipfile.ZipFile(file) as archive:
        info = archive.getinfo(array.member)
        if array.dtype.hasobject:
            raise ValueError(f"'{array.key}' holds Python objects")
        if min(array.shape, default=0) < 0:
            raise ValueError(f"'{array.key}' has the shape {array.shape}")
        size = math.prod(array.shape) * array.dtype.itemsize
        with archive.open(info) as member:
            header(member)
            if info.file_size - member.tell() != size:
                raise ValueError(
                    f"'{array.key}' holds {info.file_size - member.tell():,} bytes and "
                    f"its header promises {size:,}"
                )
            affordable(size, stored(array.path))
            member.seek(0)
            return np.lib.format.read_array(member, allow_pickle=False)


def npz(
    files: Mapping[str | None, Path] | Path, split: Split, name: str, classes: Sequence[str] = ()
) -> Raw:
    """Reads images (NHW, NHWC or NCHW, uint8), and labels if there are any.

    Arguments:
        files: An archive, or one for each part.
        split: The part to read.
        name: The data set's name.
        classes: Names of the classes, if known.
    """
    paths: Mapping[str | None, Path] = {None: files} if isinstance(files, Path) else files
    path = next(iter(paths.values()))
    try:
        arrays = [array for part, path in paths.items() for array in headers(path, part)]
        has_parts = any(may_be_images(a) and a.part for a in arrays)
        images, labels = with_parts(arrays) if has_parts else without_parts(arrays)
        if not images:
            held = ", ".join(a.key for a in arrays)
            raise DataError(
                f"'{shown(path)}' holds {held or 'nothing'} and no array 'images' of "
                "three or four dimensions."
            )
        part = chosen(images, split, f"'{shown(path)}'") if ALL not in images else ALL
        path = images[part].path
        x = values(images[part])
        y = {k: values(array) for k, array in labels.items()}
    except DataError:
        raise
    except Exception as error:  # zipfile and its decompressors raise many types
        raise DataError(
            f"'{shown(path)}' cannot be read as plain arrays ({first_line(error)}): "
            "write it with numpy.savez."
        ) from error
    numbers, names, notes = class_numbers(y, part, path, classes)
    used = {array.key for array in (*images.values(), *labels.values())}
    others = [array.key for array in arrays if array.key not in used and array.part in (None, part)]
    if others:
        first = ", ".join(others[:3]) + ", ..." * (len(others) > 3)
        plural = "s" * (len(others) > 1)
        notes.insert(0, f"Left out: {len(others):,} other array{plural} ({first}).")
    counts = {k: array.shape[0] for k, array in images.items() if array.shape}
    notes = [*left_out(counts, part), *notes]
    x = nchw(x, shown(path))
    return Raw(name, x, numbers, names, fingerprint([path]), part_name(part, images), notes)


def may_be_images(array: Array) -> bool:
    """Whether an array has the dimensions of images and no name of labels."""
    return len(array.shape) in (3, 4) and role_of(array.key) != "labels"


def with_parts(arrays: list[Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Images and labels by part.

    Arrays whose name has no part are the training part if no others are.
    """
    images: dict[str, Array] = {}
    labels: dict[str, Array] = {}
    for array in sorted(arrays, key=lambda a: (a.part is None, role_of(a.key) is None)):
        part = array.part or TRAIN
        if may_be_images(array):
            images.setdefault(part, array)
        elif role_of(array.key) == "labels":
            labels.setdefault(part, array)
    # Labels with a part in their name belong to images with one, and labels without to those
    # without.
    x, y = images.get(TRAIN), labels.get(TRAIN)
    if x is not None and y is not None and (x.part is None) != (y.part is None):
        del labels[TRAIN]
    return images, labels


def without_parts(arrays: list[Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Images and labels of an archive with one part."""
    by_name = {array.key: array for array in arrays}
    images = next((by_name[k] for k in IMAGE_NAMES if k in by_name), None)
    images = images or next((a for a in arrays if len(a.shape) >= 3), None)
    if images is None:
        return {}, {}
    labels = next((by_name[k] for k in LABEL_NAMES if k in by_name and k != images.key), None)
    return {ALL: images}, {} if labels is None else {ALL: labels}
