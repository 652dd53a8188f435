"""zeuxis data: what is in a data set and whether it can be trained on; its images as files or as
shards."""

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
from ..data.shard_writer import write_shards
from ..data.sources import load_data
from ..errors import DataError, UsageError
from ..files import write
from ..ranges import BaseConfig, Count, Pixels, Range
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


@dataclass(frozen=True)
class Shard(BaseConfig, flags="--"):
    """Writes a data set as shards: tar files of PNG images, which --data takes, as does WebDataset.
    Images are decoded a few at a time, so the set may be larger than memory."""

    data: Source
    """As --data of train takes it."""
    out: str
    """The folder of the shards."""
    split: Literal["train", "test"] = "train"
    """The part of the set."""
    size: Pixels | None = None
    """Side of the images (pixels); by default the set's own."""
    channels: Annotated[int, Range(1, 3)] | None = None
    """1 makes images gray, 3 makes them RGB."""
    labels: str | None = None
    """A CSV of file and label for an image folder."""
    limit: Count | None = None
    """Only the first images."""
    per_shard: Count = 10_000
    """Images in each shard."""


def main(argv: Sequence[str]) -> None:
    if not argv or argv[0] in ("-h", "--help"):
        print(
            "usage: zeuxis data check DATA [--labels CSV]\n"
            "       zeuxis data shard DATA --out FOLDER [--size PIXELS] [--per-shard N]\n"
            "       zeuxis data DATA --out FOLDER [--n N] [--split train|test] [--size PIXELS]\n\n"
            "check reports what is in a data set; shard writes it as tar files;\n"
            "with --out alone images are written as files. zeuxis data check --help, zeuxis data\n"
            "shard --help and zeuxis data faces --help explain the options."
        )
        return
    if argv[0] == "check":
        args = tyro.cli(Check, args=argv[1:], prog="zeuxis data check")
        report = check(args.data, labels=args.labels)
        print(report)
        if report.fatal:
            raise DataError(report.fatal)
        return
    if argv[0] == "shard":
        shard(tyro.cli(Shard, args=argv[1:], prog="zeuxis data shard"))
        return
    wanted = {option.split("=")[0] for option in argv[1:]}
    if not wanted & {"--out", "-h", "--help"}:
        raise UsageError(
            f"zeuxis data has no command '{argv[0]}': the commands are check and "
            "shard, as in zeuxis data check my_folder; images are written with --out, as in "
            "zeuxis data faces --n 5 --out faces/."
        )
    images = tyro.cli(WriteImages, args=argv, prog="zeuxis data")
    data = load_data(images.data, split=images.split, size=images.size, limit=images.n)
    for path in write_images(data, Path(images.out)):
        print(path)


def shard(args: Shard) -> None:
    """zeuxis data shard DATA --out FOLDER."""
    if args.channels == 2:
        raise UsageError("--channels must be 1 (gray) or 3 (RGB), got 2.")
    data = load_data(
        args.data,
        split=args.split,
        size=args.size,
        channels=args.channels,
        limit=args.limit,
        labels=args.labels,
        stream=True,
    )
    if args.split == "test" and data.facts.part == "all":
        raise UsageError(f"'{args.data}' has no test part: leave out --split test.")
    paths = write_shards(data, Path(args.out), args.split, args.per_shard)
    total = sum(path.stat().st_size for path in paths)
    print(
        f"{len(data):,} images of shape {data.spec.shape} in {len(paths)} shards of "
        f"'{args.out}', {total / 1e6:,.1f} MB. Train on them: --data {args.out} --stream"
    )


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
