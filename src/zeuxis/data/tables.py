"""Labels of files from a CSV."""

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

# fmt: off
FILES = (
    "file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_id",
    "image_name", "img", "id",
)
LABELS = (
    "label", "labels", "class", "category", "target", "y", "class_name", "label_name", "class_id",
)
# fmt: on
UNLABELED = ("", "-1", "-1.0", "nan", "na", "n/a", "<na>", "null")  # in lower case
SEPARATORS = (",", ";", "\t", "|")


def from_csv(
    table: Path, folder: Path, paths: Sequence[Path], others: Iterable[Path] = ()
) -> tuple[np.ndarray, list[str]]:
    """Reads labels of files; a file without a line or label (empty, -1, NaN) gets -1.

    Arguments:
        table: A CSV with a first line such as `file,label`, then one line for each image. Commas,
            semicolons, tabs or bars separate cells; of two columns the second may have any name.
        folder: The folder that paths in the table are relative to.
        paths: The images.
        others: Images of other parts, which the table may name too.

    Returns:
        Class numbers (images,), and the names of the classes: numbers in ascending order, then
        strings in alphabetical order.

    Raises:
        DataError: The table cannot be read, lacks a column, or contradicts itself; the sentence
            says where.
    """
    labels: dict[str, str] = {}
    for number, name, label in rows(table):
        label = "" if label.lower() in UNLABELED else label
        if labels.setdefault(name, label) != label:
            other = f"'{labels[name]}' and '{label}'"
            raise DataError(
                f"The labels '{shown(table)}' give '{name}' two labels, {other}: leave "
                f"line {number} or the other out."
            )
    labels = without_fractions(labels)
    known = index_by_name(folder, paths)
    elsewhere = index_by_name(folder, list(others))
    numbers = np.full(len(paths), -1, np.int64)
    classes = sorted({label for label in labels.values() if label}, key=sort_key)
    place = {label: i for i, label in enumerate(classes)}
    taken: dict[int, str] = {}
    for name, label in labels.items():
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
    """Line number, file and label of each row."""
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
    result = []
    for number, row in cells[1:]:
        if len(row) < len(header) or any(row[len(header) :]):
            raise DataError(
                f"Line {number} of '{shown(table)}' has {len(row)} cells, expected "
                f"{len(header)} as in its first line."
            )
        result.append((number, posixpath.normpath(row[file].replace("\\", "/")), row[label]))
    return result


def without_fractions(labels: dict[str, str]) -> dict[str, str]:
    """Writes labels such as 3.0 as 3 if all are integers; pandas writes columns with gaps so."""
    integers = {name: label.removesuffix(".0") for name, label in labels.items()}
    used = [(labels[name], text) for name, text in integers.items() if labels[name]]
    if not used or not all(text.isdecimal() and len(label) < 20 for label, text in used):
        return labels
    return {name: str(int(text)) if labels[name] else "" for name, text in integers.items()}


def sort_key(label: str) -> tuple[bool, int, str]:
    """Sorts numbers by value, then strings."""
    number = label.isdecimal() and len(label) < 20
    return not number, int(label) if number else 0, label


def index_by_name(folder: Path, paths: Sequence[Path]) -> dict[str, int]:
    """The image by each of its possible names, -1 for a name of several.

    A name is the path from the folder or from its parent, with or without the ending.
    """
    index: dict[str, int] = {}
    for depth, root in enumerate((folder, folder.parent)):
        for i, path in enumerate(paths):
            name = (
                posixpath.normpath(Path(os.path.relpath(path, root)).as_posix())
                if depth
                else path.relative_to(folder).as_posix()
            )
            for key in {name, shown(name), str(path)}:
                index.setdefault(key, i)
    short: dict[str, int] = {}
    for name, i in index.items():
        stem = posixpath.splitext(name)[0]
        short[stem] = i if short.get(stem, i) == i else -1
    return {**short, **index}


def fingerprint(paths: Sequence[Path]) -> str:
    """A hash of names, sizes and modification times of files."""
    total = hashlib.sha256()
    real_paths: dict[Path, str] = {}
    for path in paths:
        status, folder = os.stat(path), path.parent
        if folder not in real_paths:
            real_paths[folder] = os.path.realpath(folder)
        line = f"{real_paths[folder]}/{path.name} {status.st_size} {status.st_mtime_ns}\n"
        total.update(os.fsencode(line))
    return total.hexdigest()
