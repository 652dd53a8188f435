"""NumPy's .npz archives: images and labels found by the names and shapes of the arrays, before any
of them is read."""

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

MOST = 1_000  # arrays of an archive


@dataclass(frozen=True)
class Array:
    """An array of an archive, as its header describes it."""

    path: Path
    key: str
    member: str
    shape: tuple[int, ...]
    dtype: np.dtype
    stated: str | None

    @property
    def part(self) -> str | None:
        """Its part, from its own name or that of its file."""
        return part_of(self.key) or self.stated


def headers(path: Path, part: str | None) -> list[Array]:
    """What the archive holds."""
    found = []
    with opened(path) as file, zipfile.ZipFile(file) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        if len(members) > MOST:
            raise ValueError(f"it holds {len(members):,} arrays")
        for info in members:
            with archive.open(info) as member:
                shape, _, dtype = header(member)
            found.append(
                Array(path, info.filename.removesuffix(".npy"), info.filename, shape, dtype, part)
            )
    return found


def header(member: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and type of the array that an open .npy file holds."""
    version = np.lib.format.read_magic(member)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"an array has the format {version[0]}.{version[1]}, expected 1.0 or 2.0")
    return read(member, max_header_size=10_000)


def values(array: Array) -> np.ndarray:
    """The array itself, if its archive holds as many bytes as its header promises."""
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
    """Arrays of images (NHW, NHWC or NCHW, uint8) and perhaps labels, of one part or of several.

    Arguments:
        files: An archive, or one for each part.
        split: The part wanted.
        name: The data set's name.
        classes: What labels stand for, where that is known.
    """
    paths: Mapping[str | None, Path] = {None: files} if isinstance(files, Path) else files
    path = next(iter(paths.values()))
    try:
        arrays = [array for part, path in paths.items() for array in headers(path, part)]
        images, labels = (
            parted(arrays) if any(pictures(a) and a.part for a in arrays) else alone(arrays)
        )
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
    except (
        Exception
    ) as error:  # zipfile and its decompressors raise many types for damaged or locked archives
        raise DataError(
            f"'{shown(path)}' cannot be read as plain arrays ({first_line(error)}): "
            "write it with numpy.savez."
        ) from error
    numbers, names, notes = class_numbers(y, part, path, classes)
    used = {array.key for array in (*images.values(), *labels.values())}
    others = [array.key for array in arrays if array.key not in used and array.part in (None, part)]
    if others:
        some = ", ".join(others[:3]) + ", ..." * (len(others) > 3)
        notes.insert(0, f"Left out: {len(others):,} other array{'s' * (len(others) > 1)} ({some}).")
    counts = {k: array.shape[0] for k, array in images.items() if array.shape}
    notes = [*left_out(counts, part), *notes]
    return Raw(
        name,
        nchw(x, shown(path)),
        numbers,
        names,
        fingerprint([path]),
        part_name(part, images),
        notes,
    )


def pictures(array: Array) -> bool:
    """Whether an array may hold images: its name says nothing else, and it has their dimensions."""
    return len(array.shape) in (3, 4) and role_of(array.key) != "labels"


def parted(arrays: list[Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Images and labels of each part; those whose name tells no part are for training if no others
    are."""
    images: dict[str, Array] = {}
    labels: dict[str, Array] = {}
    for array in sorted(arrays, key=lambda a: (a.part is None, role_of(a.key) is None)):
        part = array.part or TRAIN
        if pictures(array):
            images.setdefault(part, array)
        elif role_of(array.key) == "labels":
            labels.setdefault(part, array)
    if (
        TRAIN in images
        and images[TRAIN].part is None
        and TRAIN in labels
        and labels[TRAIN].part is not None
    ):
        del labels[TRAIN]
    if (
        TRAIN in images
        and images[TRAIN].part is not None
        and TRAIN in labels
        and labels[TRAIN].part is None
    ):
        del labels[TRAIN]
    return images, labels


def alone(arrays: list[Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Images and labels of an archive with one part."""
    named = {array.key: array for array in arrays}
    image = next(
        (named[k] for k in IMAGE_NAMES if k in named),
        next((a for a in arrays if len(a.shape) >= 3), None),
    )
    if image is None:
        return {}, {}
    label = next((named[k] for k in LABEL_NAMES if k in named and k != image.key), None)
    return {ALL: image}, {} if label is None else {ALL: label}
