"""A table of files and labels, as spreadsheets and scripts write it."""

from __future__ import annotations

import csv
import hashlib
import os
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..errors import DataError
from .reading import as_text, contents, first_line, shown

FILES = (
    "file",
    "filename",
    "file_name",
    "filepath",
    "file_path",
    "path",
    "image",
    "image_id",
    "image_name",
    "img",
    "id",
)
LABELS = (
    "label",
    "labels",
    "class",
    "category",
    "target",
    "y",
    "class_name",
    "label_name",
    "class_id",
)
UNKNOWN = ("", "-1", "-1.0", "nan", "na", "n/a", "<na>", "null")  # no label, in any case
SEPARATORS = (",", ";", "\t", "|")


def from_csv(
    table: Path, folder: Path, paths: Sequence[Path], others: Iterable[Path] = ()
) -> tuple[np.ndarray, list[str]]:
    """Labels of files; those that the table does not name, or names without a label (empty, -1,
    NaN), get -1.

    Arguments:
        table: A first line with the names of the columns, such as `file,label`, then a line for
            each image. Cells are separated by commas, semicolons, tabs or bars; of two columns the
            second may have any name.
        folder: What paths in the table are relative to.
        paths: The images.
        others: Images that the table may name although they are not wanted.

    Returns:
        Numbers (images,), and the names of classes: numbers in their order, then words in that of
        the alphabet.

    Raises:
        DataError: The table cannot be read, lacks a column, or contradicts itself; the sentence
            says where.
    """
    given: dict[str, str] = {}
    for number, name, label in rows(table):
        label = "" if label.lower() in UNKNOWN else label
        if given.setdefault(name, label) != label:
            other = f"'{given[name]}' and '{label}'"
            raise DataError(
                f"The labels '{shown(table)}' give '{name}' two labels, {other}: leave "
                f"line {number} or the other out."
            )
    given = whole(given)
    known = places(folder, paths)
    elsewhere = places(folder, list(others))
    numbers = np.full(len(paths), -1, np.int64)
    classes = sorted({label for label in given.values() if label}, key=order)
    place = {label: i for i, label in enumerate(classes)}
    taken: dict[int, str] = {}
    for name, label in given.items():
        at = known.get(name, known.get(posixpath.splitext(name)[0]))
        if at is None and name not in elsewhere and posixpath.splitext(name)[0] not in elsewhere:
            raise DataError(
                f"The labels '{shown(table)}' name '{name}', which is not in "
                f"'{shown(folder)}': give paths relative to it."
            )
        if at is None:
            continue
        if at < 0:
            raise DataError(
                f"The labels '{shown(table)}' name '{name}', and several images are "
                "called so: give their endings."
            )
        if taken.setdefault(at, label) != label:
            raise DataError(
                f"The labels '{shown(table)}' name '{name}' twice, with two labels: "
                "leave one of the lines out."
            )
        numbers[at] = place[label] if label else -1
    return numbers, classes


def rows(table: Path) -> list[tuple[int, str, str]]:
    """Number of the line, file and label of each row."""
    try:
        lines = as_text(contents(table)).splitlines()
        first = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
        separator = max(SEPARATORS, key=lines[first].count) if first < len(lines) else ","
        reader = csv.reader(lines, delimiter=separator)
        cells = [
            (reader.line_num, [c.strip() for c in row])
            for row in reader
            if any(c.strip() for c in row)
        ]
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(
            f"The labels '{shown(table)}' cannot be read ({first_line(error)}): give a "
            "CSV with file and label."
        ) from error
    header = [c.lower() for c in cells[0][1]] if cells else []
    while header and not header[-1]:
        header.pop()
    file = next((header.index(n) for n in FILES if n in header), None)
    label = next((header.index(n) for n in LABELS if n in header and header.index(n) != file), None)
    if label is None and file is not None and len(header) == 2:
        label = 1 - file
    if file is None or label is None or len(cells) < 2:
        raise DataError(
            f"The labels '{shown(table)}' need a first line `file,label` and a line for "
            "each labeled image, "
            f"and their first line is `{separator.join(cells[0][1])[:80] if cells else ''}`."
        )
    found = []
    for number, row in cells[1:]:
        if len(row) < len(header) or any(row[len(header) :]):
            raise DataError(
                f"Line {number} of '{shown(table)}' has {len(row)} cells, expected "
                f"{len(header)} as in its first line."
            )
        found.append((number, posixpath.normpath(row[file].replace("\\", "/")), row[label]))
    return found


def whole(given: dict[str, str]) -> dict[str, str]:
    """Labels as they are, or without the fraction where all are whole numbers written as 3.0
    (columns with gaps are written so)."""
    numbers = {label for label in given.values() if label}
    if not numbers or not all(
        label.removesuffix(".0").isdecimal() and len(label) < 20 for label in numbers
    ):
        return given
    return {
        name: str(int(label.removesuffix(".0"))) if label else "" for name, label in given.items()
    }


def order(label: str) -> tuple[bool, int, str]:
    """Numbers by their size, then words."""
    number = label.isdecimal() and len(label) < 20
    return not number, int(label) if number else 0, label


def places(folder: Path, paths: Sequence[Path]) -> dict[str, int]:
    """The image that each way to name it stands for: its path from the folder, from the folder
    above, or without its ending."""
    found: dict[str, int] = {}
    for depth, root in enumerate((folder, folder.parent)):
        for i, path in enumerate(paths):
            name = (
                posixpath.normpath(Path(os.path.relpath(path, root)).as_posix())
                if depth
                else path.relative_to(folder).as_posix()
            )
            for key in {name, shown(name), str(path)}:
                found.setdefault(key, i)
    short: dict[str, int] = {}
    for name, i in found.items():
        stem = posixpath.splitext(name)[0]
        short[stem] = i if short.get(stem, i) == i else -1
    return {**short, **found}


def fingerprint(paths: Sequence[Path]) -> str:
    """Of names, sizes and times of files: changes when one of them does."""
    total = hashlib.sha256()
    places: dict[Path, str] = {}
    for path in paths:
        about, folder = os.stat(path), path.parent
        if folder not in places:
            places[folder] = os.path.realpath(folder)
        total.update(
            os.fsencode(f"{places[folder]}/{path.name} {about.st_size} {about.st_mtime_ns}\n")
        )
    return total.hexdigest()
