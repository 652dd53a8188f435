"""Readers of the forms that image data come in: IDX, NumPy, MATLAB, parquet, folders of images, and the Hub.

None of them unpickles anything: NumPy and MATLAB files with objects inside are refused.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
import struct
import zipfile
import zlib
from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, MissingExtra
from . import matlab
from .images import Files, Raw, first_line
from .inexact import marked

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
IMAGE_NAMES = ("images", "image", "img", "x", "X", "data")
CLASSES = 100_000  # more cannot be classes; a model would be built for each
LABEL_NAMES = ("labels", "label", "y", "subject", "fine_label", "target")


def idx(path: Path) -> np.ndarray:
    """An IDX file, plain or gzipped: uint8 of any number of dimensions."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"'{path}' cannot be read ({first_line(error)}): fetch the file again.") from error
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise DataError(f"'{path}' starts with {data[:4].hex()}, expected 000008 of an IDX file of bytes: fetch it again.")
    dimensions = data[3]
    if len(data) < 4 + 4 * dimensions:
        raise DataError(f"'{path}' ends within its header: fetch it again.")
    shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
    body = data[4 + 4 * dimensions :]
    if len(body) != math.prod(shape):
        raise DataError(f"'{path}' holds {len(body):,} bytes and its header promises {math.prod(shape):,}: fetch it again.")
    return np.frombuffer(body, np.uint8).reshape(shape)


def idx_folder(folder: Path, split: str, name: str) -> Raw | None:
    """MNIST's four files, or those of any set named alike."""
    found = {}
    for kind in ("images", "labels"):
        prefix = "train" if split == "train" else "t10k"
        names = [f"{prefix}-{kind}{dash}idx{3 if kind == 'images' else 1}-ubyte{gz}" for dash in "-." for gz in (".gz", "")]
        found[kind] = next((folder / n for n in names if (folder / n).is_file()), None)
    if found["images"] is None:
        return None
    labels = None if found["labels"] is None else idx(found["labels"])
    if labels is not None and labels.ndim != 1:
        raise DataError(f"The labels '{found['labels']}' have shape {labels.shape}, expected (N,): fetch the file again.")
    x = nchw(idx(found["images"]), str(found["images"]))
    return Raw(name, x, None if labels is None else labels.astype(np.int64), fingerprint=fingerprint([found["images"]]))


def npz(path: Path, name: str) -> Raw:
    """An .npz with an array of images (NHW, NHWC or NCHW, uint8) and perhaps labels."""
    try:
        with open(path, "rb") as opened, np.lib.npyio.NpzFile(opened, allow_pickle=False) as file:
            arrays = {key: np.asarray(file[key]) for key in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, zlib.error, MemoryError, RuntimeError) as error:
        raise DataError(f"'{path}' cannot be read as plain arrays ({first_line(error)}): write it with numpy.savez.") from error
    key = next((k for k in IMAGE_NAMES if k in arrays), next((k for k, v in arrays.items() if v.ndim >= 3), None))
    if key is None:
        raise DataError(f"'{path}' holds {', '.join(arrays) or 'nothing'} and no array 'images' of three or four dimensions.")
    labels = next((arrays[k] for k in LABEL_NAMES if k in arrays and k != key), None)
    return Raw(name, nchw(arrays[key], str(path)), checked_labels(labels, path), fingerprint=fingerprint([path]))


def nchw(x: np.ndarray, where: str) -> np.ndarray:
    """Images as uint8 (N, C, H, W), whichever of the usual orders they came in."""
    if x.dtype == bool:
        x = x.astype(np.uint8) * 255
    if x.dtype != np.uint8:
        raise DataError(f"The images of '{where}' are {x.dtype}, expected uint8 from 0 to 255: convert them first.")
    if 0 in x.shape[1:]:
        raise DataError(f"The images of '{where}' have shape {x.shape}, expected at least one pixel each.")
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] not in (1, 3):
        return x
    if x.ndim == 4 and x.shape[3] in (1, 3):
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    raise DataError(f"The images of '{where}' have shape {x.shape}, expected (N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W).")


def checked_labels(labels: Any, path: Path) -> np.ndarray | None:
    """Labels as int64 (N,)."""
    if labels is None:
        return None
    labels = np.asarray(labels).reshape(-1)
    if labels.dtype.kind not in "iub":
        raise DataError(f"The labels of '{path}' are {labels.dtype}, expected whole numbers from 0 (-1: unlabelled).")
    if len(labels) and not -1 <= int(labels.min()) <= int(labels.max()) < CLASSES:
        reach = f"from {labels.min()} to {labels.max()}"
        raise DataError(f"The labels of '{path}' go {reach}, expected whole numbers from 0 to {CLASSES - 1:,} (-1: unlabelled).")
    return labels.astype(np.int64)


def mat(path: Path, name: str) -> Raw:
    """SVHN's cropped digits: X of shape (32, 32, 3, N) and y, in which 10 means the digit 0."""
    try:
        file = matlab.arrays(path, ("X", "y"))
        if missing := [key for key in ("X", "y") if key not in file]:
            raise ValueError(f"it holds no array '{missing[0]}'")
    except (OSError, ValueError, MemoryError) as error:
        raise DataError(f"'{path}' cannot be read as SVHN's X and y ({first_line(error)}): fetch the file again.") from error
    x, y = file["X"], file["y"].reshape(-1)
    if x.ndim != 4 or x.shape[2:] != (3, len(y)) or x.dtype != np.uint8:
        raise DataError(f"'{path}' has X of shape {x.shape} and {x.dtype}, expected uint8 (32, 32, 3, {len(y)}).")
    if not np.isin(y, np.arange(11)).all():
        reach = f"from {y.min():g} to {y.max():g}"
        raise DataError(f"'{path}' has labels {reach}, expected whole numbers from 0 to 10 (10: the digit 0).")
    return Raw(name, np.ascontiguousarray(x.transpose(3, 2, 0, 1)), y.astype(np.int64) % 10, fingerprint=fingerprint([path]))


class Rows:
    """Encoded images in the rows of parquet files; one row group is held at a time."""

    def __init__(self, paths: list[Path], column: str) -> None:
        import pyarrow.parquet as pq

        self.paths, self.column, self.files = paths, column, [pq.ParquetFile(p) for p in paths]
        self.groups = [(f, g) for f in self.files for g in range(f.num_row_groups)]
        sizes = [f.metadata.row_group(g).num_rows for f, g in self.groups]
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        self.held: tuple[int, list[Any]] = (-1, [])

    def __len__(self) -> int:
        return self.starts[-1]

    def read(self, i: int) -> bytes:
        group = bisect_right(self.starts, i) - 1
        if self.held[0] != group:
            file, index = self.groups[group]
            try:
                self.held = (group, file.read_row_group(index, columns=[self.column]).column(0).to_pylist())
            except (ValueError, OSError, IndexError) as error:
                raise DataError(f"The image {self.where(i)} cannot be read ({first_line(error)}): fetch the file again.") from error
        value = self.held[1][i - self.starts[group]]
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise DataError(f"The image {self.where(i)} holds no bytes of an encoded image: leave the row out.")
        return data

    def where(self, i: int) -> str:
        group = bisect_right(self.starts, i) - 1
        file = self.groups[group][0]
        first = self.starts[next(g for g, (f, _) in enumerate(self.groups) if f is file)]
        return f"in row {i - first} of '{self.paths[self.files.index(file)]}'"


def parquet(paths: list[Path], name: str) -> Raw:
    """Parquet files with a column of encoded images (bytes, or a struct with `bytes`) and perhaps one of labels."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra("pyarrow", "data", "Reading parquet files") from error
    try:
        schema = pq.ParquetFile(paths[0]).schema_arrow
        binary = lambda kind: pa.types.is_binary(kind) or pa.types.is_large_binary(kind)  # noqa: E731
        fits = [
            f.name for f in schema if binary(f.type) or (pa.types.is_struct(f.type) and f.type.get_field_index("bytes") >= 0)
        ]
        column = next((n for n in IMAGE_NAMES if n in fits), fits[0] if fits else None)
        if column is None:
            raise DataError(f"'{paths[0]}' has the columns {', '.join(schema.names)} and none of them holds encoded images.")
        labelled = next((n for n in LABEL_NAMES if n in schema.names and n != column), None)
        labels = None
        if labelled:
            labels = np.concatenate([pq.read_table(p, columns=[labelled]).column(0).to_numpy() for p in paths])
        rows, inexact = Rows(paths, column), marked(paths, column)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(f"'{paths[0]}' cannot be read as parquet ({first_line(error)}): fetch the file again.") from error
    names = class_names(schema.metadata, labelled) if labelled else ()
    facts: dict[str, object] = {"inexact": inexact} if inexact else {}
    return Raw(name, rows, checked_labels(labels, paths[0]), names, fingerprint(paths), facts)


def class_names(metadata: dict[bytes, bytes] | None, column: str) -> tuple[str, ...]:
    """The names of classes that parquet files of the Hub carry along, or none."""
    try:
        names = json.loads((metadata or {})[b"huggingface"])["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError):
        return ()
    whole = isinstance(names, list) and len(names) < CLASSES and all(isinstance(n, str) for n in names)
    return tuple(names) if whole else ()


def image_folder(folder: Path, name: str, labels: Path | None = None) -> Raw | None:
    """A folder of images: one sub-folder a class, or all in one place with labels from a CSV, or none."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not paths:
        return None
    numbers: np.ndarray | None = None
    classes: list[str] = []
    if labels is not None:
        numbers, classes = from_csv(labels, folder, paths)
    elif all(p.parent != folder for p in paths):
        classes = sorted({p.relative_to(folder).parts[0] for p in paths})
        if len(classes) > 1:
            numbers = np.array([classes.index(p.relative_to(folder).parts[0]) for p in paths], np.int64)
    return Raw(name, Files(paths), numbers, classes if numbers is not None else (), fingerprint(paths))


def from_csv(table: Path, folder: Path, paths: list[Path]) -> tuple[np.ndarray, list[str]]:
    """Labels of files from a CSV with the columns file and label; files it does not name, or names without one, get -1."""
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:  # spreadsheets begin a CSV with a byte order mark
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The labels '{table}' cannot be read ({first_line(error)}): give a CSV with file and label.") from error
    if not rows or "file" not in rows[0] or "label" not in rows[0]:
        raise DataError(f"The labels '{table}' need a first line `file,label` and a line for each labelled image.")
    given: dict[str, str] = {}
    for row in rows:
        label = (row["label"] or "").strip()
        if given.setdefault(row["file"], label) != label:
            other = f"'{given[row['file']]}' and '{label}'"
            raise DataError(f"The labels '{table}' give '{row['file']}' two labels, {other}: leave one of the lines out.")
    known = {p.relative_to(folder).as_posix(): i for i, p in enumerate(paths)}
    unknown = [f for f in given if f not in known]
    if unknown:
        raise DataError(f"The labels '{table}' name '{unknown[0]}', which is not in '{folder}': give paths relative to it.")
    words = sorted({label for label in given.values() if label}, key=lambda w: (not w.isdecimal(), int(w) if w.isdecimal() else 0, w))
    numbers = np.full(len(paths), -1, np.int64)
    for named, label in given.items():
        numbers[known[named]] = words.index(label) if label else -1
    return numbers, words


def fingerprint(paths: list[Path]) -> str:
    """Of names, sizes and times of files: changes when one of them does."""
    facts = "\n".join(f"{p.resolve()} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in paths)
    return hashlib.sha256(facts.encode()).hexdigest()
