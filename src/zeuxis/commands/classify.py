"""zeuxis classify: the class of images or of a whole set, by one model or the mean of several."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from PIL import Image
from rich.table import Column, Table

from .. import files
from ..checkpoints.run_folder import Run
from ..checkpoints.weights import load, resolve, shipped
from ..data.config import DataConfig
from ..data.dataset import Dataset, Spec
from ..data.images import image_paths, read_images
from ..data.reading import contents
from ..errors import UsageError
from ..evaluation.classification import agreeing, classify, score
from ..evaluation.images import Images, check_split
from ..evaluation.record import write_record
from ..experiments.unseen import evaluation_data
from ..progress import out
from ..ranges import BaseConfig, Count, CountOrNone
from ..visual.grid import numbered, save
from .provenance import training_of

LIGHT_ON_DARK = ("mnist", "fashion-mnist")


@dataclass(frozen=True)
class Classify(BaseConfig, flags="--"):
    """Gives images their class with its probability, or a labeled set its errors and confusion
    table. Several models are an ensemble: zeuxis classify RUN RUN ... IMAGE ..., or zeuxis classify
    RUN RUN ... --data mnist. A member trained elsewhere can be given by what it said, the file of
    --csv: zeuxis classify RUN a.csv.gz b.csv.gz --data mnist."""

    words: tyro.conf.Positional[tuple[str, ...]]
    """One or more run folders, shipped models (as mnist/improved-gan) or files of --csv, then image
    files or folders of them."""
    data: str = ""
    """Classify a data set instead of image files, as --data of train takes it: its errors, with a
    table of what was taken for what."""
    split: str = "test"
    """Which part of it: test (of a set with one part the images that were not trained on), train or
    held-out."""
    labels: str | None = None
    """A CSV of file and label, for a folder given as --data."""
    n: CountOrNone = 0
    """Use only the first so many images of --data; 0 means all."""
    top: Count = 1
    """Classes shown for each image, likeliest first."""
    invert: bool = False
    """Turn images into their negative first: models of digits know light strokes on dark."""
    csv: str = ""
    """Write class and all probabilities of each image to this file; packed, if its name ends in
    .gz."""
    mistakes: str = ""
    """Draw the images of --data that are classified wrongly, surest first, each with what it is and
    what it was taken for."""
    weights: str = ""
    """Which file of the folders to take the weights from."""
    record: str = ""
    """Write the figures of --data with command, machine and time to this JSON file."""
    paper: str = ""
    """The published figure, for the record."""
    note: str = ""
    """What a reader of the record must know."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Classify, args=words, prog="zeuxis classify")
    check_split(wish.split)
    began = time.monotonic()
    names = [word for word in wish.words if is_model(word)]
    tables = [word for word in wish.words if word.endswith((".csv", ".csv.gz"))]
    files = [word for word in wish.words if word not in names and word not in tables]
    if not names and not tables:
        known = ", ".join(name for name in shipped())
        given = f", got only '{wish.words[0]}'" if wish.words else ""
        raise UsageError(f"Name the model first, a run folder or one of {known}{given}.")
    if bool(files) == bool(wish.data):
        raise UsageError(
            "Give either image files after the model, or a set with --data."
            + (" Got both." if files else "")
        )
    if tables and not wish.data:
        raise UsageError(
            f"'{tables[0]}' holds what a member said of a set: name the set with --data."
        )
    for option in ("record", "mistakes"):
        if getattr(wish, option) and not wish.data:
            raise UsageError(f"--{option} needs a labeled set: give one with --data.")
    models = agreeing([load(name, wish.weights) for name in names]) if names else []
    if wish.data:
        if names:
            data, used = evaluation_data(
                names, wish.data, wish.split, labels=wish.labels, limit=wish.n or None
            )
        else:
            data = DataConfig(wish.data, labels=wish.labels, limit=wish.n or None).load(wish.split)
            used = Images(data.facts.part or wish.split, len(data), len(data))
        classes = named((models[0] if models else data).spec)
        found, chances = score(
            models, data, split=used.split, told=[told(table, classes) for table in tables]
        )
        out.print(found.confusion())
        if wish.mistakes:
            out.print(
                str(save(mistaken(data, chances, classes), wish.mistakes)),
                markup=False,
                soft_wrap=True,
            )
        where = [str(i) for i in (range(len(data)) if data.rows is None else data.rows.tolist())]
        if wish.record:
            runs = [Run.open(resolve(name)) for name in names]
            config = [run.read_json("config.json")["config"] for run in runs]
            more = {
                "training": [*map(training_of, runs), *map(fingerprint, tables)],
                "config": config,
            } | used.as_dict()
            seconds = time.monotonic() - began
            path = write_record(
                wish.record,
                found.as_dict(),
                seconds=seconds,
                seed=0,
                paper=wish.paper,
                note=wish.note,
                **more,
            )
            out.print(f"Record: {path}", markup=False, soft_wrap=True)
    else:
        paths, classes = image_paths(files), named(models[0].spec)
        x = read_images(paths, models[0].spec.shape, wish.invert)
        chances, where = classify(models, x), [str(p) for p in paths]
        out.print(listing(where, chances, classes, wish.top))
        if models[0].spec.name in LIGHT_ON_DARK and not wish.invert and (bright := rim(x)):
            out.print(
                (
                    f"Images with a bright background: {bright}; the model knows light on "
                    "dark, so try --invert."
                ),
                markup=False,
            )
    if wish.csv:
        print(written(wish.csv, where, chances, classes))


def is_model(word: str) -> bool:
    """Whether a word names a run folder, a saved model or one that ships with zeuxis."""
    return (Path(word) / "config.json").is_file() or (word in shipped() and not Path(word).exists())


def named(spec: Spec) -> tuple[str, ...]:
    """The classes in label order, by number where they have no name."""
    return spec.class_names or tuple(str(k) for k in range(spec.classes))


def rim(x: torch.Tensor) -> int:
    """How many images are brighter along their border than halfway."""
    border = torch.ones(x.shape[-2:], dtype=torch.bool)
    border[1:-1, 1:-1] = False
    return int((x[..., border].float().mean((1, 2)) > 127).sum())


def listing(where: Sequence[str], chances: torch.Tensor, classes: Sequence[str], top: int) -> Table:
    """One row an image: its likeliest classes with their probabilities."""
    top = min(top, len(classes))
    head = [Column("image", overflow="fold")]
    for i in range(top):
        head += [
            Column("class" if i == 0 else f"{i + 1}.", no_wrap=True),
            Column("probability" if i == 0 else "", justify="right"),
        ]
    table = Table(*head)
    for name, row in zip(where, chances, strict=True):
        values, index = row.topk(top)
        cells = [
            cell
            for k, p in zip(index.tolist(), values.tolist(), strict=True)
            for cell in (classes[k], f"{p:.1%}")
        ]
        table.add_row(name, *cells)
    return table


def mistaken(
    data: Dataset, chances: torch.Tensor, classes: Sequence[str], most: int = 120
) -> Image.Image:
    """A sheet of wrongly classified images, surest first."""
    assert data.labels is not None
    labels = data.labels.cpu()
    sure, guess = chances.max(1)
    wrong = torch.nonzero((guess != labels) & (labels >= 0))[:, 0]
    if not len(wrong):
        raise UsageError(
            "No image was classified wrongly: there is no picture of mistakes to draw."
        )
    wrong = wrong[sure[wrong].argsort(descending=True)][:most]
    texts = [
        f"{classes[int(labels[i])][:4]} > {classes[int(guess[i])][:4]}" for i in wrong.tolist()
    ]
    return numbered(data.batch(wrong)[0].cpu(), 12, texts)


def written(out: str, where: Sequence[str], chances: torch.Tensor, classes: Sequence[str]) -> Path:
    """The CSV file with every image's class and probabilities."""
    text = io.StringIO()
    sheet = csv.writer(text)
    sheet.writerow(["image", "class", *classes])
    for name, row in zip(where, chances, strict=True):
        sheet.writerow([name, classes[int(row.argmax())], *(f"{p:.6f}" for p in row.tolist())])
    path = Path(out)
    if path.suffix == ".gz":

        def pack(partial: Path) -> None:
            partial.write_bytes(
                gzip.compress(text.getvalue().encode(), mtime=0)
            )  # no time stamp: equal tables are equal files

        return files.write(path, pack)
    return files.write(path, text.getvalue())


def told(table: str, classes: Sequence[str]) -> torch.Tensor:
    """The probabilities in a file that --csv wrote, (images, classes)."""
    try:
        packed = contents(table)
        text = (gzip.decompress(packed) if table.endswith(".gz") else packed).decode()
        head, *rows = csv.reader(io.StringIO(text))
        chances = [[float(p) for p in row[2:]] for row in rows]
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        raise UsageError(
            f"'{table}' cannot be read as a table of probabilities ({error}): write one with --csv."
        ) from error
    if head != ["image", "class", *classes]:
        given, expected = ", ".join(head[2:]) or "no classes", ", ".join(classes)
        raise UsageError(
            f"'{table}' is about {given}, expected the classes {expected}: give a file "
            "that --csv wrote for them."
        )
    for line, row in enumerate(chances, start=2):
        if len(row) != len(classes) or min(row) < 0 or not math.isclose(sum(row), 1, abs_tol=1e-4):
            raise UsageError(
                f"Line {line} of '{table}' holds no probabilities of {len(classes)} "
                "classes: restore it from a copy."
            )
    return torch.tensor(chances, dtype=torch.float64)


def fingerprint(table: str) -> dict[str, str]:
    """What a record tells of a member whose weights are not at hand."""
    return {
        "probabilities": Path(table).name,
        "sha256": hashlib.sha256(Path(table).read_bytes()).hexdigest(),
    }
