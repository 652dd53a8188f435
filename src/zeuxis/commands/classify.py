"""zeuxis classify: the class of images or the errors on a labeled set, by one model or several."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from .. import files
from ..checkpoints.run_folder import Run
from ..checkpoints.weights import load, resolve, shipped
from ..data.config import DataConfig
from ..data.dataset import Dataset, Spec
from ..data.images import image_paths, read_images
from ..data.reading import contents
from ..errors import UsageError
from ..evaluation.classification import classify, require_same_classes, score
from ..evaluation.images import Images, check_split
from ..experiments.unseen import evaluation_data
from ..progress import out
from ..ranges import BaseConfig, Count, CountOrNone
from ..visual.grid import numbered, save
from .inputs import FLAT
from .provenance import training_of
from .record_options import RecordOptions

LIGHT_ON_DARK = ("mnist", "fashion-mnist")


@dataclass(frozen=True)
class Classify(BaseConfig, flags="--"):
    """Gives images their class with its probability, or a labeled set its errors and confusion
    table. Several models are an ensemble: zeuxis classify RUN RUN ... IMAGE ..., or zeuxis classify
    RUN RUN ... --data mnist. Instead of a model, a member of the ensemble can be its table of
    probabilities, the file of --csv: zeuxis classify RUN a.csv.gz b.csv.gz --data mnist."""

    inputs: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="MODEL-OR-IMAGE")
    ]
    """One or more run folders, shipped models (as mnist/improved-gan) or files of --csv, then image
    files or folders of them."""
    data: str = ""
    """Classify a data set instead of image files, as --data of train takes it: errors and confusion
    table."""
    split: str = "test"
    """Part of the data set: test (of a set with one part the images that were not trained on),
    train or held-out."""
    labels: str | None = None
    """A CSV of file and label, for a folder given as --data."""
    n: CountOrNone = 0
    """Use only the first n images of --data; 0 means all."""
    top: Count = 1
    """Classes shown for each image, most probable first."""
    invert: bool = False
    """Invert image files first: models of digits expect light strokes on a dark background."""
    csv: str = ""
    """Write class and all probabilities of each image to this file; compressed if its name ends in
    .gz."""
    mistakes: str = ""
    """Draw the misclassified images of --data, most confident first, each with its class and the
    class it was given."""
    weights: str = ""
    """Which file of the folder, as in model.safetensors for the newest weights; by default the best
    or averaged ones."""
    record: Annotated[RecordOptions, FLAT] = field(default_factory=RecordOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_split(self.split)


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Classify, args=argv, prog="zeuxis classify")
    began = time.monotonic()
    names = [name for name in args.inputs if is_model(name)]
    tables = [name for name in args.inputs if name.endswith((".csv", ".csv.gz"))]
    paths = [name for name in args.inputs if name not in names and name not in tables]
    check_inputs(args, names, tables, paths)
    models = require_same_classes([load(name, args.weights) for name in names]) if names else []
    if args.data:
        rows, probs, classes = classify_data(args, models, names, tables, began)
    else:
        rows, probs, classes = classify_files(args, models, paths)
    if args.csv:
        print(write_table(args.csv, rows, probs, classes))


def check_inputs(args: Classify, names: list[str], tables: list[str], paths: list[str]) -> None:
    """Refuses a command line without a model, or without exactly one kind of images."""
    if not names and not tables:
        got = f", got only '{args.inputs[0]}'" if args.inputs else ""
        raise UsageError(
            f"Name the model first, a run folder or one of {', '.join(shipped())}{got}."
        )
    if bool(paths) == bool(args.data):
        raise UsageError(
            "Give either image files after the model, or a data set with --data."
            + (" Got both." if paths else "")
        )
    if tables and not args.data:
        raise UsageError(
            f"'{tables[0]}' holds the probabilities of a data set: name the set with --data."
        )
    for option, value in (("record", args.record.record), ("mistakes", args.mistakes)):
        if value and not args.data:
            raise UsageError(f"--{option} needs a labeled set: give one with --data.")


def classify_data(
    args: Classify, models: list[Any], names: list[str], tables: list[str], began: float
) -> tuple[list[str], Float[Tensor, "n classes"], tuple[str, ...]]:
    """Prints the confusion table of a labeled set; returns its rows, probabilities and classes."""
    limit = args.n or None
    if names:
        data, images = evaluation_data(
            names, args.data, args.split, labels=args.labels, limit=limit
        )
    else:
        data = DataConfig(args.data, labels=args.labels, limit=limit).load(args.split)
        images = Images(data.facts.part or args.split, len(data), len(data))
    classes = class_names((models[0] if models else data).spec)
    more_probs = [read_table(table, classes) for table in tables]
    result, probs = score(models, data, split=images.split, more_probs=more_probs)
    out.print(result.confusion_table())
    if args.mistakes:
        picture = mistakes_sheet(data, probs, classes)
        out.print(str(save(picture, args.mistakes)), markup=False, soft_wrap=True)
    if args.record.record:
        runs = [Run.open(resolve(name)) for name in names]
        details = {
            "training": [*map(training_of, runs), *map(fingerprint, tables)],
            "config": [run.read_json("config.json")["config"] for run in runs],
        } | images.as_dict()
        args.record.write(result.as_dict(), began, 0, **details)
    rows = range(len(data)) if data.rows is None else data.rows.tolist()
    return [str(row) for row in rows], probs, classes


def classify_files(
    args: Classify, models: list[Any], names: list[str]
) -> tuple[list[str], Float[Tensor, "n classes"], tuple[str, ...]]:
    """Prints the classes of image files; returns the files, probabilities and classes."""
    spec = models[0].spec
    paths, classes = image_paths(names), class_names(spec)
    x = read_images(paths, spec.shape, args.invert)
    probs, rows = classify(models, x), [str(path) for path in paths]
    for row, p in zip(rows, probs, strict=True):
        out.print(f"{row}: {most_probable(p, classes, args.top)}", markup=False, soft_wrap=True)
    if spec.name in LIGHT_ON_DARK and not args.invert and (bright := count_bright_borders(x)):
        out.print(
            f"Images with a bright background: {bright}; the model expects light strokes on a dark "
            "background, so try --invert.",
            markup=False,
        )
    return rows, probs, classes


def is_model(name: str) -> bool:
    """Whether this is a run folder, a saved model or one that ships with zeuxis."""
    return (Path(name) / "config.json").is_file() or (name in shipped() and not Path(name).exists())


def class_names(spec: Spec) -> tuple[str, ...]:
    """The classes in label order, as numbers where they have no name."""
    return spec.class_names or tuple(str(k) for k in range(spec.classes))


def count_bright_borders(x: UInt8[Tensor, "n channels height width"]) -> int:
    """Number of images whose border is brighter than half on average."""
    border = torch.ones(x.shape[-2:], dtype=torch.bool)
    border[1:-1, 1:-1] = False
    return int((x[..., border].float().mean((1, 2)) > 127).sum())


def most_probable(p: Float[Tensor, " classes"], classes: Sequence[str], top: int) -> str:
    """The most probable classes of an image, with their probabilities.

    Example:
        >>> most_probable(torch.tensor([0.25, 0.75]), ["cat", "dog"], top=2)
        'dog 75.0%, cat 25.0%'
    """
    values, indices = p.topk(min(top, len(classes)))
    pairs = zip(indices.tolist(), values.tolist(), strict=True)
    return ", ".join(f"{classes[k]} {value:.1%}" for k, value in pairs)


def mistakes_sheet(
    data: Dataset, probs: Float[Tensor, "n classes"], classes: Sequence[str], most: int = 120
) -> Image.Image:
    """A sheet of misclassified images, most confident first."""
    assert data.labels is not None
    labels = data.labels.cpu()
    confidence, predicted = probs.max(1)
    wrong = torch.nonzero((predicted != labels) & (labels >= 0))[:, 0]
    if not len(wrong):
        raise UsageError("No image was misclassified: there are no mistakes to draw.")
    wrong = wrong[confidence[wrong].argsort(descending=True)][:most]
    texts = [
        f"{classes[int(labels[i])][:4]} > {classes[int(predicted[i])][:4]}" for i in wrong.tolist()
    ]
    return numbered(data.batch(wrong)[0].cpu(), 12, texts)


def write_table(
    out: str, rows: Sequence[str], probs: Float[Tensor, "n classes"], classes: Sequence[str]
) -> Path:
    """Writes a CSV file with every image's class and probabilities."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["image", "class", *classes])
    for name, p in zip(rows, probs, strict=True):
        writer.writerow([name, classes[int(p.argmax())], *(f"{value:.6f}" for value in p.tolist())])
    path = Path(out)
    if path.suffix != ".gz":
        return files.write(path, text.getvalue())
    # Without a time stamp, equal tables are equal files.
    return files.write(path, gzip.compress(text.getvalue().encode(), mtime=0))


def read_table(table: str, classes: Sequence[str]) -> Float[Tensor, "n classes"]:
    """The probabilities in a file that --csv wrote."""
    try:
        packed = contents(table)
        text = (gzip.decompress(packed) if table.endswith(".gz") else packed).decode()
        head, *rows = csv.reader(io.StringIO(text))
        probs = [[float(p) for p in row[2:]] for row in rows]
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        raise UsageError(
            f"'{table}' cannot be read as a table of probabilities ({error}): write one with --csv."
        ) from error
    if head != ["image", "class", *classes]:
        got, expected = ", ".join(head[2:]) or "no classes", ", ".join(classes)
        raise UsageError(
            f"'{table}' has the classes {got}, expected {expected}: give a file that --csv wrote "
            "for them."
        )
    for line, row in enumerate(probs, start=2):
        if len(row) != len(classes) or min(row) < 0 or not math.isclose(sum(row), 1, abs_tol=1e-4):
            raise UsageError(
                f"Line {line} of '{table}' holds no probabilities of {len(classes)} classes: "
                "restore it from a copy."
            )
    return torch.tensor(probs, dtype=torch.float64)


def fingerprint(table: str) -> dict[str, str]:
    """Name and hash of a table of probabilities, for a record."""
    return {
        "probabilities": Path(table).name,
        "sha256": hashlib.sha256(Path(table).read_bytes()).hexdigest(),
    }
