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

BATCH = 8  # rows that are unpacked at a time
FREE_ROWS = 20_000  # rows of a file of any length
ROW = 16  # bytes that each further row takes at least
PIXEL = 4  # bytes that decoding a pixel counts as
# times that a cell may be larger than its row's share of the file before its pixels are counted
THIN = 4


class Rows:
    """Encoded images in the rows of parquet files, read a few at a time.

    A column may repeat one value in a million rows of a file of some hundred bytes. So rows are
    counted against the size of the file, and where cells are larger than their share of it, bytes
    and pixels are.
    """

    def __init__(self, paths: list[Path], column: str) -> None:
        self.paths, self.column, self.files = paths, column, [parquet_file(p) for p in paths]
        self.groups = [(f, g) for f in self.files for g in range(f.num_row_groups)]
        sizes = [f.metadata.row_group(g).num_rows for f, g in self.groups]
        self.starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).tolist()
        self.stored = sum(map(stored, paths))
        if len(self) > max(FREE_ROWS, self.stored // ROW) or min(sizes, default=0) < 0:
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
        if len(data) * len(self) > THIN * self.stored:
            self.count(data, i)
        return data

    def count(self, data: bytes, i: int) -> None:
        """Adds up what repeated cells cost."""
        self.bytes += len(data)
        self.pixels += pixels_of(data)
        try:
            affordable(max(self.bytes, PIXEL * self.pixels), self.stored)
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
    """A parquet file that does not promise to unfold to more than is safe."""
    import pyarrow.parquet as pq

    with opened(path):
        pass  # a pipe would be waited for
    file = pq.ParquetFile(path)
    sizes = [
        file.metadata.row_group(g).total_byte_size for g in range(file.num_row_groups)
    ]  # asking a damaged column aborts
    affordable(max(sizes, default=0), stored(path))
    return file


def parquet_parts(folder: Path) -> dict[str, list[Path]]:
    """The parquet files of each part below a folder, by the names of files (train-00000-of-00002)
    and of folders (train/0000)."""
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
    """Parquet files with a column of encoded images (bytes, or a struct with `bytes`) and perhaps
    one of labels.

    Arguments:
        files: Those of each part, or {"all": files}.
        split: The part wanted.
        name: The data set's name.
        where: The file or folder that was given.
        classes: What labels stand for, where that is known.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtra("pyarrow", "data", "Reading parquet files") from error
    part = chosen(files, split, f"'{shown(where)}'") if ALL not in files else ALL
    paths = files[part]
    try:
        schema = parquet_file(paths[0]).schema_arrow
        binary = lambda kind: pa.types.is_binary(kind) or pa.types.is_large_binary(kind)  # noqa: E731
        fits = [
            f.name
            for f in schema
            if binary(f.type)
            or (pa.types.is_struct(f.type) and f.type.get_field_index("bytes") >= 0)
        ]
        column = next((n for n in IMAGE_NAMES if n in fits), fits[0] if fits else None)
        if column is None:
            raise DataError(
                f"'{shown(paths[0])}' has the columns {', '.join(schema.names)} and none "
                "of them holds encoded images."
            )
        labeled = next((n for n in LABEL_NAMES if n in schema.names and n != column), None)
        rows, inexact = Rows(paths, column), marked(paths, column)
        labels = {part: label_column(paths, labeled)} if labeled else {}
        names = classes or class_names(schema.metadata, labeled) if labeled else ()
        if (
            labeled and not names
        ):  # numbers from 1 are seen as such only with those of the other parts
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


def label_column(paths: list[Path], name: str) -> np.ndarray | None:
    """The labels of all rows; None if a file has none."""
    found = []
    for path in paths:
        file = parquet_file(path)
        if name not in file.schema_arrow.names:
            return None
        if file.metadata.num_rows > max(FREE_ROWS, stored(path) // ROW):
            raise ValueError(
                f"{stored(path):,} bytes that hold {file.metadata.num_rows:,} rows are "
                "not safe to read"
            )
        found.append(file.read(columns=[name]).column(0).to_numpy())
    return np.concatenate(found)


def class_names(metadata: dict[bytes, bytes] | None, column: str) -> tuple[str, ...]:
    """The names of classes that parquet files of the Hub carry along, or none."""
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
