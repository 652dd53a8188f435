"""Loads data by name or path: a built-in set, NAME=PATH, a folder, a file, or a Hub id."""

from __future__ import annotations

import difflib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..arguments import public
from ..errors import DataError, MissingExtra, UsageError
from .binarized import static
from .cache import decoded, memory
from .classes import class_numbers
from .dataset import Dataset, Spec
from .faces import heads
from .facts import Facts
from .folders import image_folder
from .idx import idx_folder
from .images import EncodedFiles, Raw, converted
from .npz import npz
from .parquet import parquet, parquet_parts
from .parts import ALL, Split, chosen, part_name, part_of
from .readers import LABEL_NAMES, mat, mat_folder
from .reading import contents, first_line, kind_of, shown
from .text import ENDINGS, text

SHIPPED = Path(__file__).parent / "files"
# fmt: off
FASHION = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
    "ankle boot",
)
# fmt: on
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIGITS = tuple("0123456789")

# name: (class names, id on the Hub, its configuration)
BUILT_IN: dict[str, tuple[tuple[str, ...], str, str | None]] = {
    "mnist": (DIGITS, "ylecun/mnist", None),
    "fashion-mnist": (FASHION, "zalando-datasets/fashion_mnist", None),
    "cifar10": (OBJECTS, "uoft-cs/cifar10", None),
    "svhn": (DIGITS, "ufldl-stanford/svhn", "cropped_digits"),
}
MAX_SIZE = 8192  # pixels of a side
MADE = ("mnist-static", "heads")  # built-in sets that zeuxis generates


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
) -> Dataset:
    """Loads a data set as uint8 NCHW.

    Arguments:
        source: A built-in name, NAME=PATH for a copy of a built-in set, a folder, a file, or a Hub
            id `owner/name`. mnist comes with zeuxis, mnist-static and heads are generated, and the
            other built-in sets are in ZEUXIS_DATA/NAME or on the Hub.
        split: The training or the test part. Without a test part both are the same, and
            `facts.part` is "all".
        size: Side to which images are resized and center-cropped (pixels); for a text the
            characters of an example.
        channels: 1 for gray, 3 for RGB.
        limit: Use only the first images.
        labels: A CSV of file and label for a folder of images.
        cache: Folder for decoded images; by default ZEUXIS_CACHE, else the user's cache folder.

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
    if source == "heads":
        return rendered_heads(split, size, channels, limit)
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
    x: torch.Tensor | np.ndarray
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
        x = decoded(raw, size, channels, limit, cache)
    y, classes, names = None, 0, tuple(raw.class_names)
    if raw.labels is not None and raw.labels.max() >= 0:
        y = torch.from_numpy(raw.labels)[:limit]
        classes = max(len(names), int(raw.labels.max()) + 1)
    if len(names) != classes:
        names = tuple(str(i) for i in range(classes))
    spec = Spec(raw.name, tuple(x.shape[1:]), classes, names)
    facts = Facts(part=raw.part, notes=tuple(raw.notes), inexact=tuple(raw.inexact))
    return Dataset(spec, x, y, facts=facts)


def rendered_heads(
    split: Split, size: int | None, channels: int | None, limit: int | None
) -> Dataset:
    """The built-in heads: 200,000 for training, and 10,000 of another seed for tests."""
    if channels == 3:
        raise UsageError("--data heads is gray: leave out --channels 3.")
    full, seed = (200_000, 0) if split == "train" else (10_000, 1)
    data = heads(min(full, limit or full), seed, size or 32)
    return replace(data, facts=replace(data.facts, part=split))


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
        root = os.environ.get("ZEUXIS_DATA")
        for folder in (SHIPPED / name, *([Path(root) / name] if root else [])):
            if folder.is_dir():
                return as_built_in(open_path(folder, split, name, labels, classes), name, split)
        return as_built_in(from_hub(identity, split, configuration, name), name, split)
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


def as_built_in(raw: Raw, name: str, split: Split) -> Raw:
    """Gives a copy of a built-in set its name and classes, and refuses one without a test part."""
    if raw.part == ALL and split == "test" and not isinstance(raw.images, EncodedFiles):
        raise DataError(
            f"The copy of '{name}' holds no test images: add them, or give a whole copy "
            f"as --data {name}=FOLDER."
        )
    raw.name = name
    # The labels of a folder number its sub-folders in alphabetical order.
    if not isinstance(raw.images, EncodedFiles):
        raw.class_names = BUILT_IN[name][0] if raw.labels is not None else ()
    return raw


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
        for reader in (idx_folder, parquet_folder, mat_folder):
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
    if ending == ".parquet":
        return parquet({ALL: [path]}, split, name, path, classes)
    raise DataError(
        f"'{shown(path)}' has the ending '{path.suffix}', expected .npz, .mat, .parquet "
        "or a folder."
    )


def parquet_folder(folder: Path, split: Split, name: str, classes: Sequence[str]) -> Raw | None:
    """Reads the parquet files below a folder; None if there are none."""
    files = parquet_parts(folder)
    return parquet(files, split, name, folder, classes) if files else None


class HubImages:
    """Encoded images of a data set from the Hub, which memory-maps its files."""

    def __init__(self, rows: object, column: str, name: str) -> None:
        self.rows, self.column, self.name = rows, column, name

    def __len__(self) -> int:
        return len(self.rows)  # type: ignore[arg-type]

    def read(self, i: int) -> bytes:
        try:
            value = self.rows[i][self.column]  # type: ignore[index]
            return value["bytes"] if value["bytes"] is not None else contents(value["path"])
        except (OSError, TypeError, ValueError) as error:
            raise DataError(
                f"The image {self.where(i)} cannot be read ({first_line(error)}): leave "
                "the row out."
            ) from error

    def where(self, i: int) -> str:
        return f"in row {i} of '{self.name}'"


def from_hub(identity: str, split: Split, configuration: str | None, name: str) -> Raw:
    """Opens a data set of the Hub with the `datasets` library; images stay encoded."""
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("datasets", "data", f"Reading '{name}' from the Hub") from error
    forms = "parquet, IDX, .mat, .npz or image files"
    local = f"--data {name}=FOLDER with {forms}" if name in BUILT_IN else f"--data PATH of {forms}"
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.ERROR)  # it would print every retry
    try:
        rows, part = hub_part(identity, configuration, split)
    except Exception as error:
        reason = first_line(error)
        raise DataError(
            f"'{identity}' could not be had from the Hub ({reason}): connect, or give a "
            f"copy as {local}."
        ) from error
    finally:
        log.setLevel(level)
    image = next((c for c, f in rows.features.items() if isinstance(f, datasets.Image)), None)
    if image is None:
        raise DataError(
            f"'{identity}' has the columns {', '.join(rows.features)} and none of them "
            "holds images."
        )
    label = next((c for c, f in rows.features.items() if isinstance(f, datasets.ClassLabel)), None)
    names = rows.features[label].names if label else ()
    numbers = np.asarray(rows[label], np.int64) if label else None
    notes: list[str] = []
    others = [c for c in LABEL_NAMES if c in rows.features and c != image]
    if label is None and others:
        column = others[0]
        try:
            labels = {part: np.asarray(rows[column])}
            numbers, names, notes = class_numbers(labels, part, Path(identity))
        except DataError as error:
            notes = [f"Left out: the column '{column}'. {error}"]
    encoded = HubImages(rows.cast_column(image, datasets.Image(decode=False)), image, identity)
    return Raw(name, encoded, numbers, names, str(rows._fingerprint), part, notes)


def hub_part(identity: str, configuration: str | None, split: Split) -> tuple[Any, str]:
    """The rows of a part, whatever its name on the Hub, and the part."""
    import datasets

    try:
        rows = datasets.load_dataset(identity, configuration, split=split)
        known = list(getattr(rows.info, "splits", None) or ("train", "test"))
    except ValueError as error:
        if "Unknown split" not in str(error):
            raise
        known = datasets.get_dataset_split_names(identity, configuration)
        names = {part: name for name in reversed(known) if (part := part_of(name))}
        part = chosen(names, split, f"'{identity}'")
        rows = datasets.load_dataset(identity, configuration, split=names[part])
    parts = {part for name in known if (part := part_of(name))}
    return rows, part_name(chosen(parts or {split}, split, f"'{identity}'"), parts)


def describe_sources() -> list[tuple[str, str, str]]:
    """Name, origin and note of each kind of data, for `zeuxis list`."""
    rows = [("mnist", "comes with zeuxis", "70,000 digits, 28x28")]
    rows += [
        (name, f"Hub ({BUILT_IN[name][1]}), ZEUXIS_DATA/{name}, or {name}=PATH", "")
        for name in BUILT_IN
        if name != "mnist"
    ]
    rows += [("mnist-static", "comes with zeuxis", "the digits with pixels drawn once as 0 or 1")]
    heads_note = "200,000 heads of known azimuth, elevation, lighting and width, 32x32"
    rows += [("heads", "rendered by zeuxis", heads_note)]
    rows += [("owner/name", "Hub", "any set with a column of images")]
    rows += [("PATH", "your own", "a folder of images, IDX, parquet, .npz or .mat")]
    rows += [("BOOK.txt", "your own", "a text, in pieces of --size characters")]
    return rows
