"""Parquet files with a column of encoded images, as the Hub stores its sets."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, MissingExtra
from .classes import MAX_CLASSES, class_numbers
from .images import Raw, pixels_of
from .inexact import marked
from .parts import ALL, Split, chosen, part_name, part_of
from .readers import IMAGE_NAMES, LABEL_NAMES, left_out
from .reading import affordable, first_line, opened, shown, stored
from .tables import fingerprint

BATCH = 8  # rows unpacked at a time
FREE_ROWS = 20_000  # rows that a file of any length may have
ROW_BYTES = 16  # bytes of the file for each further row
PIXEL_BYTES = 4  # what decoding one pixel counts as
MAX_SHARE = 4  # cells above this multiple of their row's share of the file are counted


class ParquetImages:
    """Encoded images in the rows of parquet files, read in small batches.

    A file of a few hundred bytes may repeat one value in a million rows. So the number of rows is
    limited by the size of the file, and so are bytes and pixels of cells larger than their share.
    """

    def __init__(self, paths: list[Path], column: str) -> None:
        self.paths, self.column, self.files = paths, column, [parquet_file(p) for p in paths]
        self.groups = [(f, g) for f in self.files for g in range(f.num_row_groups)]
        sizes = [f.metadata.row_group(g).num_rows for f, g in self.groups]
        self.starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).tolist()
        self.stored = sum(map(stored, paths))
        if len(self) > max(FREE_ROWS, self.stored // ROW_BYTES) or min(sizes, default=0) < 0:
            raise ValueError(
                f"{self.stored:,} bytes that hold {len(self):,} rows of images are not safe to read"
            )
        self.bytes = self.pixels = 0
        self.batches: Iterator[Any] = iter(())
        self.group, self.first, self.held = -1, 0, []  # type: int, int, list[Any]

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, i: int) -> bytes:
        group = bisect_right(self.starts, i) - 1
        try:
            if group != self.group or i < self.first:
                file, index = self.groups[group]
                self.batches = file.iter_batches(BATCH, row_groups=[index], columns=[self.column])
                self.group, self.first, self.held = group, self.starts[group], []
            while i >= self.first + len(self.held):
                self.first += len(self.held)
                self.held = next(self.batches).column(0).to_pylist()
        except (ValueError, OSError, IndexError, StopIteration, ArithmeticError) as error:
            self.group = -1
            raise DataError(
                f"The image {self.where(i)} cannot be read ({first_line(error)}): fetch "
                "the file again."
            ) from error
        value = self.held[i - self.first]
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise DataError(
                f"The image {self.where(i)} holds no bytes of an encoded image: leave the row out."
            )
        if len(data) * len(self) > MAX_SHARE * self.stored:
            self.count(data, i)
        return data

    def count(self, data: bytes, i: int) -> None:
        """Adds the cost of a cell, and refuses files whose cells cost too much."""
        self.bytes += len(data)
        self.pixels += pixels_of(data)
        try:
            affordable(max(self.bytes, PIXEL_BYTES * self.pixels), self.stored)
        except OSError as error:
            raise DataError(
                f"The rows up to the image {self.where(i)} are {first_line(error)}: "
                "fetch the file again."
            ) from error

    def where(self, i: int) -> str:
        group = bisect_right(self.starts, i) - 1
        file = self.groups[group][0]
        first = self.starts[next(g for g, (f, _) in enumerate(self.groups) if f is file)]
        return f"in row {i - first} of '{shown(self.paths[self.files.index(file)])}'"


def parquet_file(path: Path) -> Any:
    """Opens a parquet file that does not unpack to more than is safe."""
    import pyarrow.parquet as pq

    with opened(path):
        pass  # refuses a pipe, for which pyarrow would wait
    file = pq.ParquetFile(path)
    # Sizes of row groups only: asking for those of a damaged column aborts the process.
    sizes = [file.metadata.row_group(g).total_byte_size for g in range(file.num_row_groups)]
    affordable(max(sizes, default=0), stored(path))
    return file


def parquet_parts(folder: Path) -> dict[str, list[Path]]:
    """The parquet files below a folder by part.

    The names of files (train-00000-of-00002) or of folders (train/0000) say the part.
    """
    found: dict[str, dict[tuple[str, ...], list[Path]]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        inner = path.relative_to(folder)
        if any(name.startswith(".") for name in inner.parts) or not path.is_file():
            continue
        places = inner.parts[:-1]
        part = part_of(path.stem)
        if part is None and places and (part := part_of(places[-1])):
            places = places[:-1]
        found.setdefault(part or ALL, {}).setdefault(places, []).append(path)
    named = {part: files for part, files in found.items() if part != ALL} or found
    sets = sorted({places for files in named.values() for places in files})
    if len(sets) > 1:
        names = ", ".join("/".join(map(shown, places)) or "." for places in sets)
        first = shown(folder.joinpath(*sets[0]))
        raise DataError(
            f"'{shown(folder)}' holds the data sets {names}: give one of them, as in '{first}'."
        )
    return {part: next(iter(files.values())) for part, files in named.items()}


def parquet(
    files: dict[str, list[Path]], split: Split, name: str, where: Path, classes: Sequence[str] = ()
) -> Raw:
    """Reads parquet files with a column of encoded images, and one of labels if there is any.

    Cells hold the bytes of an image, or a struct with a field `bytes`.

    Arguments:
        files: The files of each part, or {"all": files}.
        split: The part to read.
        name: The data set's name.
        where: Their file or folder, for error sentences.
        classes: Names of the classes, if known.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtra("pyarrow", "data", "Reading parquet files") from error
    part = chosen(files, split, f"'{shown(where)}'") if ALL not in files else ALL
    paths = files[part]
    try:
        schema = parquet_file(paths[0]).schema_arrow
        columns = [field.name for field in schema if holds_bytes(field.type)]
        column = next((n for n in IMAGE_NAMES if n in columns), columns[0] if columns else None)
        if column is None:
            raise DataError(
                f"'{shown(paths[0])}' has the columns {', '.join(schema.names)} and none "
                "of them holds encoded images."
            )
        labeled = next((n for n in LABEL_NAMES if n in schema.names and n != column), None)
        rows, inexact = ParquetImages(paths, column), marked(paths, column)
        labels = {part: label_column(paths, labeled)} if labeled else {}
        names = classes or class_names(schema.metadata, labeled) if labeled else ()
        if labeled and not names:  # the other parts show whether numbers begin at 0 or at 1
            labels |= {
                other: label_column(more, labeled) for other, more in files.items() if other != part
            }
    except (pa.ArrowException, OSError, KeyError, ValueError, MemoryError, RecursionError) as error:
        raise DataError(
            f"'{shown(paths[0])}' cannot be read as parquet ({first_line(error)}): fetch "
            "the file again."
        ) from error
    numbers, names, notes = class_numbers(labels, part, paths[0], names)
    notes = [*left_out(files, part), *notes]
    return Raw(
        name,
        rows,
        numbers,
        names,
        fingerprint(paths),
        part_name(part, files),
        notes,
        inexact,
    )


def holds_bytes(kind: Any) -> bool:
    """Whether a column of this Arrow type may hold encoded images."""
    import pyarrow.types as types

    if types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return types.is_binary(kind) or types.is_large_binary(kind)


def label_column(paths: list[Path], name: str) -> np.ndarray | None:
    """The labels of all rows; None if a file has none."""
    labels = []
    for path in paths:
        file = parquet_file(path)
        if name not in file.schema_arrow.names:
            return None
        if file.metadata.num_rows > max(FREE_ROWS, stored(path) // ROW_BYTES):
            raise ValueError(
                f"{stored(path):,} bytes that hold {file.metadata.num_rows:,} rows are "
                "not safe to read"
            )
        labels.append(file.read(columns=[name]).column(0).to_numpy())
    return np.concatenate(labels)


def class_names(metadata: dict[bytes, bytes] | None, column: str) -> tuple[str, ...]:
    """The class names in the metadata of the Hub's parquet files, or none."""
    try:
        names = json.loads((metadata or {})[b"huggingface"])["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
    whole = (
        isinstance(names, list)
        and len(names) < MAX_CLASSES
        and all(isinstance(n, str) for n in names)
    )
    return tuple(names) if whole else ()
