"""Attributes of images: a table with one column per attribute, NaN where unknown.

It comes from a CSV of files and attributes (or CelebA's list, whose first line is a count and whose
cells are separated by blanks), from the classes of a labeled set, each against the rest, or from
the factors of rendered heads. Columns of 0 and 1, or of -1 and 1 as in CelebA, are binary; other
columns are numeric.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import DataError, UsageError
from .built_in import MADE
from .dataset import Dataset
from .faces import factors
from .images import EncodedFiles
from .reading import as_text, contents, first_line
from .sources import open_source

Kind = Literal["binary", "class", "number"]
BINARY, CLASS, NUMBER = get_args(Kind)
FILE_COLUMN = ("file", "filename", "image", "image_id")
DEPTH = 4  # folders that a CSV may use to distinguish files of one name


@dataclass(frozen=True)
class Attributes:
    """A table of attributes.

    Arguments:
        names: Names of the columns, all different.
        kinds: "binary" (0 or 1), "class" (1 for one class and 0 for the rest), or "number".
        values: (images, attributes), float64, NaN where unknown.

    Example:
        >>> values = torch.tensor([[1.0], [0.0], [math.nan]]).double()
        >>> table = Attributes(("smiling",), ("binary",), values)
        >>> table.known.tolist(), len(table.take(table.known))
        ([0, 1], 2)
    """

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    values: Float[Tensor, "images attributes"]

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) < len(self.names):
            raise DataError(
                "Attributes need different names, got "
                f"{', '.join(self.names) or 'none'}: rename or add columns."
            )
        if self.values.shape[1] != len(self.names) or len(self.kinds) != len(self.names):
            sizes = (
                f"{len(self.names)} names, {len(self.kinds)} kinds and values of "
                f"shape {tuple(self.values.shape)}"
            )
            raise DataError(
                f"A table of attributes needs one name and one kind a column, got {sizes}."
            )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def known(self) -> Tensor:
        """Positions of the images with at least one known attribute."""
        return torch.nonzero(self.values.isfinite().any(1))[:, 0]

    def take(self, positions: Tensor) -> Attributes:
        """The table of these images."""
        return Attributes(self.names, self.kinds, self.values[positions])


def attributes_of(data: Dataset) -> Attributes:
    """The factors of a data set if known, else its classes, each against the rest.

    Example:
        >>> from zeuxis.data import load_data
        >>> attributes_of(load_data("heads", limit=5)).names
        ('azimuth', 'elevation', 'lighting', 'width')
        >>> attributes_of(load_data("mnist", limit=5)).names[:3]
        ('0', '1', '2')
    """
    if data.facts.factors is not None:
        names = data.facts.factor_names
        return Attributes(names, tuple(NUMBER for _ in names), factors(data).double())
    if data.labels is None:
        raise UsageError(
            f"Nothing is known of the images of '{data.spec.name}': give a CSV of file "
            "and attributes with --labels."
        )
    labels = data.labels.cpu()
    one_hot = (labels[:, None] == torch.arange(data.spec.classes)).double()
    one_hot[labels < 0] = math.nan
    names = data.spec.class_names or tuple(str(k) for k in range(data.spec.classes))
    return Attributes(names, tuple(CLASS for _ in names), one_hot)


def image_names(data: Dataset, source: str, split: str, limit: int | None = None) -> list[str]:
    """Names of images in a CSV: their paths, or their numbers from 0 if they are not files.

    Arguments:
        data: The loaded data set.
        source: Where it was loaded from.
        split: Its part.
        limit: The limit with which it was loaded, None for all images.
    """
    if source not in MADE:
        images = open_source(source, "test" if split == "test" else "train").images
        if isinstance(images, EncodedFiles):
            return [path.as_posix() for path in images.paths[:limit]]
    return [str(i) for i in range(len(data))]


def read_attributes(path: str | Path, images: Sequence[str]) -> tuple[Attributes, list[str]]:
    """Reads a CSV of attributes of images.

    Arguments:
        path: A CSV with the header `file,smiling,glasses,...` and numbers, with an empty cell
            where unknown; or CelebA's list.
        images: Paths or numbers of the images. In the CSV, the end of a path is enough if it is
            unique.

    Returns:
        The table with a row for each image, and the names in the CSV that match no image.

    Raises:
        DataError: The file cannot be read, a cell is not a finite number, or no image is named; the
            sentence says where.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = Path(folder) / "attributes.csv"
        ...     _ = place.write_text("file,smiling,age\\na.png,1,30\\nb.png,-1,\\nc.png,-1,9\\n")
        ...     table, others = read_attributes(place, ["faces/b.png", "faces/a.png"])
        >>> table.kinds, table.values.tolist(), others
        (('binary', 'number'), [[0.0, nan], [1.0, 30.0]], ['c.png'])
    """
    lines = lines_of(Path(path))
    number, header = next(lines, (0, []))
    names = [name.strip() for name in header[1:]]
    if not names or header[0].strip().lower() not in FILE_COLUMN:
        raise DataError(
            f"The attributes '{path}' need a first line like `file,smiling,glasses` and "
            "a line for each image."
        )
    if len(set(names)) < len(names) or "" in names:
        wrong = next(repr(name) for name in names if not name or names.count(name) > 1)
        raise DataError(
            f"The attributes '{path}' have a column {wrong} that is nameless or there "
            "twice: rename or remove it."
        )
    index = by_ending(images)
    values = torch.full((len(images), len(names)), math.nan, dtype=torch.float64)
    rows: dict[int, list[float]] = {}
    others = []
    for number, cells in lines:
        if len(cells) != len(header):
            raise DataError(
                f"Line {number} of '{path}' has {len(cells)} cells, expected "
                f"{len(header)} as in its first line."
            )
        at = index.get(cells[0].strip())
        if at is None:
            others.append(cells[0].strip())
        elif at < 0:
            raise DataError(
                f"Line {number} of '{path}' names '{cells[0]}', and there are several: "
                "give more of its path."
            )
        else:
            row = [
                finite(cell, f"line {number}, column '{name}' of '{path}'")
                for cell, name in zip(cells[1:], names, strict=True)
            ]
            if str(rows.setdefault(at, row)) != str(row):
                raise DataError(
                    f"Line {number} of '{path}' gives '{cells[0]}' other values than a "
                    "line before: leave one out."
                )
    if not rows:
        example = (
            f"; it names '{others[0]}' and they are called like '{images[0]}'"
            if others and images
            else ""
        )
        raise DataError(
            f"The attributes '{path}' name none of the {len(images):,} images{example}: "
            "correct its first column."
        )
    values[list(rows)] = torch.tensor(list(rows.values()), dtype=torch.float64)
    kinds: list[Kind] = []
    for column in values.T:
        known = set(column[column.isfinite()].unique().tolist())
        kinds.append(BINARY if known <= {0, 1} or known <= {-1, 1} else NUMBER)
        if kinds[-1] == BINARY:
            column[column == -1] = 0
    return Attributes(tuple(names), tuple(kinds), values), others


def lines_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each non-empty line, the header first.

    The header of CelebA's list lacks the column of files and is completed.
    """
    try:
        text = as_text(contents(path))
        lines = text.splitlines()
        if len(lines) > 1 and lines[0].strip().isdecimal():
            yield 2, ["file", *lines[1].split()]
            yield from ((i, line.split()) for i, line in enumerate(lines[2:], 3) if line.strip())
            return
        reader = csv.reader(lines, strict=True)
        yield from (
            (reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)
        )
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(
            f"The attributes '{path}' cannot be read ({first_line(error)}): give a CSV "
            "of file and attributes."
        ) from error


def finite(cell: str, where: str) -> float:
    """A cell as a number, NaN if it is empty; anything else is a `DataError`."""
    if not cell.strip():
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise DataError(
            f"The cell '{cell.strip()}' in {where} is no finite number: give one, or "
            "leave it empty where unknown."
        )
    return value


def by_ending(images: Sequence[str]) -> dict[str, int]:
    """The image by each ending of its path, -1 for an ending of several images.

    Example:
        >>> by_ending(["x/a.png", "y/a.png"])
        {'a.png': -1, 'x/a.png': 0, 'y/a.png': 1}
    """
    index: dict[str, int] = {}
    for i, image in enumerate(images):
        parts = Path(image).parts
        for depth in {*range(1, min(DEPTH, len(parts)) + 1), len(parts)}:
            ending = Path(*parts[-depth:]).as_posix()
            index[ending] = i if ending not in index else -1
    return index
