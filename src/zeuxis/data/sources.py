"""Loads data by name or path: a built-in set, NAME=PATH, a folder, a file, or a Hub id."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..arguments import public
from ..errors import DataError, UsageError
from .binarized import static
from .built_in import BUILT_IN, MADE, RENDERED, as_built_in, local_folder, rendered_heads
from .cache import decoded, memory
from .cluttered import NAME as CLUTTERED
from .cluttered import cluttered
from .dataset import Dataset, Spec
from .facts import Facts
from .folders import image_folder
from .hub import from_hub
from .idx import idx_folder
from .images import EncodedFiles, Raw, converted
from .multi_mnist import SCENES, multi_mnist
from .npz import npz
from .parquet import parquet, parquet_parts
from .parts import ALL, Split, part_of
from .readers import mat, mat_folder
from .reading import first_line, kind_of, shown
from .sprites import NAME as SPRITES
from .sprites import sprites
from .stacked import NAME as STACKED
from .stacked import stacked
from .streamed import Streamed
from .tar_shards import tar_folder, tar_shards
from .text import ENDINGS, text

MAX_SIZE = 8192  # pixels of a side


@public
def load_data(
    source: str,
    *,
    split: Split = "train",
    size: int | None = None,
    channels: int | None = None,
    limit: int | None = None,
    labels: str | Path | None = None,
    cache: Path | None = None,
    stream: bool = False,
) -> Dataset:
    """Loads a data set as uint8 NCHW.

    Arguments:
        source: A built-in name, NAME=PATH for a copy of a built-in set, a folder, a file, or a Hub
            id `owner/name`. mnist comes with zeuxis, `zeuxis list data` shows those
            that are generated, and the other sets are in ZEUXIS_DATA/NAME or on the Hub.
        split: The training or the test part. Without a test part both are the same, and
            `facts.part` is "all".
        size: Side to which images are resized and center-cropped (pixels); for a text the
            characters of an example.
        channels: 1 for gray, 3 for RGB.
        limit: Use only the first images.
        labels: A CSV of file and label for a folder of images.
        cache: Folder for decoded images; by default ZEUXIS_CACHE, else the user's cache folder.
        stream: Decode images each time they are read, and keep none: for sets that are larger than
            memory and disk allow. Of no effect on arrays.

    Raises:
        DataError: The data cannot be read or trained on; the sentence says which file and what to
            do.

    Example:
        >>> data = load_data("mnist", split="test")
        >>> len(data), data.spec.shape, data.spec.classes
        (10000, (1, 28, 28), 10)
    """
    source = os.fspath(source)
    for name, value in (("--size", size), ("--limit", limit)):
        if value is not None and value < 1:
            raise UsageError(f"{name} must be at least 1, got {value}.")
    limit = None if limit is None else min(limit, sys.maxsize)
    if channels not in (None, 1, 3):
        raise UsageError(f"--channels must be 1 (gray) or 3 (RGB), got {channels}.")
    if is_text(source):
        if labels is not None or channels is not None:
            raise UsageError(f"'{source}' is a text: leave out --labels and --channels.")
        return text(expanded(source), split, size, limit)
    if size is not None and size > MAX_SIZE:
        raise UsageError(f"--size must be at most {MAX_SIZE:,} pixels, got {size:,}.")
    if source in RENDERED:
        return rendered_heads(source, split, size, channels, limit)
    if source in SCENES:
        return multi_mnist(source, load_data("mnist", split=split), size, channels, limit)
    if source == CLUTTERED:
        return cluttered(load_data("mnist", split=split), size, channels, limit)
    if source == STACKED:
        return stacked(load_data("mnist", split=split), split, size, channels, limit)
    if source == SPRITES:
        return sprites(split, size, channels, limit)
    if source == "mnist-static":
        gray = load_data("mnist", split=split, size=size, channels=channels, limit=limit)
        return static(gray, split)
    raw = open_source(source, split, None if labels is None else Path(labels))
    if len(raw.images) == 0:
        raise DataError(f"'{source}' holds no images: give a data set with at least one.")
    if raw.labels is not None and len(raw.labels) != len(raw.images):
        raise DataError(
            f"'{source}' has {len(raw.images):,} images and {len(raw.labels):,} labels: "
            "give one label an image."
        )
    x: torch.Tensor | np.ndarray | Streamed
    if isinstance(raw.images, np.ndarray):
        n = min(len(raw.images), limit or len(raw.images))
        if size is not None and n * size * size * 3 > memory():
            raise DataError(
                f"The images of '{source}' do not fit into memory at {size:,} pixels: "
                "choose a smaller --size or --limit."
            )
        array = converted(raw.images[:limit], size, channels)
        is_owned = array.flags.writeable and array.flags.c_contiguous
        x = torch.from_numpy(array if is_owned else array.copy())
    else:
        x = images_of(raw, size, channels, limit, cache, stream)
    y, classes, names = None, 0, tuple(raw.class_names)
    if raw.labels is not None and raw.labels.max() >= 0:
        y = torch.from_numpy(raw.labels)[:limit]
        classes = max(len(names), int(raw.labels.max()) + 1)
    if len(names) != classes:
        names = tuple(str(i) for i in range(classes))
    spec = Spec(raw.name, tuple(x.shape[1:]), classes, names)
    facts = Facts(
        part=raw.part,
        notes=tuple(raw.notes),
        inexact=tuple(raw.inexact),
        files=raw.files if isinstance(x, Streamed) else (),
    )
    return Dataset(spec, x, y, facts=facts)


def images_of(
    raw: Raw,
    size: int | None,
    channels: int | None,
    limit: int | None,
    cache: Path | None,
    stream: bool,
) -> torch.Tensor | np.ndarray | Streamed:
    """The decoded images of a source: in memory, in the cache, or at each reading."""
    assert not isinstance(raw.images, np.ndarray)
    if stream:
        n = min(len(raw.images), limit or len(raw.images))
        return Streamed(raw.images, n, size, channels)
    return decoded(raw, size, channels, limit, cache)


def open_source(source: str, split: Split, labels: Path | None = None) -> Raw:
    """Opens a source without decoding its images."""
    raw = resolved(source, split, labels)
    if labels is not None and not isinstance(raw.images, EncodedFiles):
        raise UsageError(
            f"--labels {labels} is for a folder of images, and '{source}' is none: leave it out."
        )
    return raw


def resolved(source: str, split: Split, labels: Path | None) -> Raw:
    """Opens what a name, a path or a Hub id refers to."""
    name, equals, path_of_copy = source.partition("=")
    if equals and not exists(Path(source)):
        if name not in BUILT_IN:
            raise UsageError(
                f"'{name}' in --data {source} is no built-in set: {', '.join(BUILT_IN)} "
                "can be given a place."
            )
        if not path_of_copy:
            raise UsageError(
                f"--data {source} gives '{name}' no place: write {name}=PATH, or {name} alone."
            )
        raw = open_path(expanded(path_of_copy), split, name, labels, BUILT_IN[name][0])
        return as_built_in(raw, name, split)
    if name in BUILT_IN:
        classes, identity, configuration = BUILT_IN[name]
        if (folder := local_folder(name)) is not None:
            raw = open_path(folder, split, name, labels, classes)
        else:
            raw = from_hub(identity, split, configuration, name)
        return as_built_in(raw, name, split)
    if not source:
        raise UsageError("--data is empty: give a path, a Hub id, or a built-in name.")
    path = expanded(source)
    if exists(path):
        return open_path(path, split, shown(path.stem or path.resolve().name), labels)
    near = difflib.get_close_matches(source, [*BUILT_IN, *MADE], 1) if "/" not in source else []
    if source.count("/") == 1 and not source.startswith((".", "/", "~")) and not path.suffix:
        return from_hub(source, split, None, source.split("/")[1])
    hint = (
        f"did you mean {near[0]}?"
        if near
        else f"give a path, a Hub id, or one of {', '.join([*BUILT_IN, *MADE])}."
    )
    raise DataError(f"There is no data set '{shown(source)}': {hint}")


def is_text(source: str) -> bool:
    """Whether a source is a text file."""
    if Path(source).suffix.lower() not in ENDINGS:
        return False
    path = expanded(source)
    return exists(path) and not path.is_dir()


def is_made(source: str) -> bool:
    """Whether a source has no stored images: a text, or a set that zeuxis generates."""
    return source in MADE or is_text(source)


def expanded(source: str) -> Path:
    """A path with ~ replaced by the home folder."""
    try:
        return Path(source).expanduser()
    except RuntimeError as error:
        raise DataError(
            f"'{shown(source)}' names a home folder that is not known: give the whole path."
        ) from error


def exists(path: Path) -> bool:
    """Whether a path exists, or may exist in a folder without permission."""
    try:
        return path.exists()
    except PermissionError:
        return True
    except (OSError, ValueError):  # not a valid file name
        return False


def open_path(
    path: Path, split: Split, name: str, labels: Path | None = None, classes: Sequence[str] = ()
) -> Raw:
    """Opens a file or folder of any supported format.

    Arguments:
        path: The file or folder.
        split: The part to read.
        name: The data set's name.
        labels: A CSV of file and label for a folder of images.
        classes: Names of the classes if known; labels of arrays are then numbers from 0.
    """
    try:
        kind = kind_of(path.stat().st_mode)
    except FileNotFoundError as error:
        raise DataError(f"There is no '{shown(path)}': check the path of the data.") from error
    except (OSError, ValueError) as error:
        raise DataError(
            f"'{shown(path)}' cannot be read ({first_line(error)}): check the path of the data."
        ) from error
    if kind == "file":
        return open_file(path, split, name, classes)
    if kind != "folder":
        raise DataError(f"'{shown(path)}' is a {kind}, expected a folder or a file.")
    try:
        for reader in (idx_folder, parquet_folder, mat_folder, tar_folder):
            if (raw := reader(path, split, name, classes)) is not None:
                return raw
        if (raw := image_folder(path, split, name, labels)) is not None:
            return raw
        arrays = sorted(p for p in path.glob("*.npz") if p.is_file())
    except PermissionError as error:
        raise DataError(
            f"'{shown(path)}' cannot be read ({first_line(error)}): make it readable."
        ) from error
    if len(arrays) == 1:
        return npz(arrays[0], split, name, classes)
    if (parts := {part_of(p.stem): p for p in arrays}) and len(parts) == len(arrays):
        return npz(parts, split, name, classes)
    several = f" (there are {len(arrays)})" if arrays else ""
    raise DataError(
        f"'{shown(path)}' holds no {split} images: expected IDX, parquet, .mat or image "
        f"files, or one .npz{several}."
    )


def open_file(path: Path, split: Split, name: str, classes: Sequence[str]) -> Raw:
    """Opens a file by its ending; it has one part, whatever its name."""
    ending = path.suffix.lower()
    if ending == ".npz":
        return npz(path, split, name, classes)
    if ending == ".mat":
        return mat(path, name)
    if ending == ".tar":
        return tar_shards([path], name, ALL, classes)
    if ending == ".parquet":
        return parquet({ALL: [path]}, split, name, path, classes)
    raise DataError(
        f"'{shown(path)}' has the ending '{path.suffix}', expected .npz, .mat, .parquet, "
        ".tar or a folder."
    )


def parquet_folder(folder: Path, split: Split, name: str, classes: Sequence[str]) -> Raw | None:
    """Reads the parquet files below a folder; None if there are none."""
    files = parquet_parts(folder)
    return parquet(files, split, name, folder, classes) if files else None
