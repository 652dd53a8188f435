"""zeuxis data: what is in a data set and whether it can be trained on; its images as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..data import check
from ..data.dataset import Dataset
from ..data.sources import load_data
from ..errors import DataError, UsageError
from ..files import write
from ..ranges import BaseConfig, Count, Pixels
from ..visual.grid import save, to_image

Source = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")]


@dataclass(frozen=True)
class Check(BaseConfig, flags="--"):
    """Counts, sizes, channels, classes, corrupt files and duplicates of a data set."""

    data: Source
    """As --data of train takes it: a built-in name, NAME=PATH, a folder, a file, or a Hub id."""
    labels: str | None = None
    """A CSV of file and label for an image folder."""


@dataclass(frozen=True)
class WriteImages(BaseConfig, flags="--"):
    """Writes images of a data set as PNG files into a folder, with a table of what is known of
    them: factors of variation in attributes.csv, or classes in labels.csv."""

    data: Source
    """As --data of train takes it."""
    out: str
    """The folder."""
    n: Count = 10
    """How many images, from the first on."""
    split: Literal["train", "test"] = "test"
    """The part of the set."""
    size: Pixels | None = None
    """Side of the images (pixels); by default the set's own."""


def main(argv: Sequence[str]) -> None:
    if not argv or argv[0] in ("-h", "--help"):
        print(
            "usage: zeuxis data check DATA [--labels CSV]\n"
            "       zeuxis data DATA --out FOLDER [--n N] [--split train|test] [--size PIXELS]\n\n"
            "check reports what is in a data set; with --out images are written as files.\n"
            "zeuxis data check --help and zeuxis data faces --help explain the options."
        )
        return
    if argv[0] == "check":
        args = tyro.cli(Check, args=argv[1:], prog="zeuxis data check")
        report = check(args.data, labels=args.labels)
        print(report)
        if report.fatal:
            raise DataError(report.fatal)
        return
    wanted = {option.split("=")[0] for option in argv[1:]}
    if not wanted & {"--out", "-h", "--help"}:
        raise UsageError(
            f"zeuxis data has no command '{argv[0]}': the command is check, as in "
            "zeuxis data check my_folder; images are written with --out, as in "
            "zeuxis data faces --n 5 --out faces/."
        )
    images = tyro.cli(WriteImages, args=argv, prog="zeuxis data")
    data = load_data(images.data, split=images.split, size=images.size, limit=images.n)
    for path in write_images(data, Path(images.out)):
        print(path)


def write_images(data: Dataset, folder: Path) -> list[Path]:
    """Writes the images of a data set as numbered PNG files, and a table of what is known of them.

    Returns:
        The files, the table last.
    """
    if len(data.spec.shape) != 3:
        raise UsageError(f"'{data.spec.name}' has no images to write: choose a set of images.")
    names = [f"{i:05}.png" for i in range(len(data))]
    paths = [save(to_image(x), folder / name) for x, name in zip(data.all(), names, strict=True)]
    header, rows = facts_of(data)
    if header:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["file", *header])
        table.writerows([name, *row] for name, row in zip(names, rows, strict=True))
        path = folder / ("labels.csv" if header == ["label"] else "attributes.csv")
        paths.append(write(path, text.getvalue()))
    return paths


def facts_of(data: Dataset) -> tuple[list[str], list[list[str]]]:
    """Names of what is known of each image and its values, as cells of a table."""
    if data.facts.factors is not None:
        known = data.facts.factors if data.rows is None else data.facts.factors[data.rows]
        rows = [[f"{value:.6f}" for value in row] for row in known.tolist()]
        return list(data.facts.factor_names), rows
    if data.labels is None:
        return [], []
    names = data.spec.class_names
    return ["label"], [
        ["" if y < 0 else names[y] if names else str(y)] for y in data.labels.tolist()
    ]
