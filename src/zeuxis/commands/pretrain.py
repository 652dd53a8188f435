"""zeuxis pretrain: what a generative model's features are worth where labels are few."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated

import tyro

from ..applications.fine_tuning import FineTuning
from ..applications.pretraining import METHODS, NETWORKS, Comparison, check_model, pretraining
from ..data.dataset import Dataset
from ..device import setup_device
from ..errors import UsageError
from ..evaluation.images import Images
from ..experiments.unseen import evaluation_data
from ..model import Model
from ..progress import out
from ..ranges import BaseConfig, Count, Seed, SmallCount
from ..visual.curves import check_format
from ..visual.label_curves import plot_errors
from .inputs import FLAT, ModelInput
from .provenance import provenance
from .record_options import RecordOptions


@dataclass(frozen=True)
class Pretrain(BaseConfig, flags="--"):
    """Compares classifiers that learn from a few labels: a linear probe on a model's features and
    its fine-tuned network, against the same network from random weights, random features and
    principal components. zeuxis pretrain mnist/vae --labels 100 1000."""

    model: Annotated[ModelInput, FLAT]
    data: str = ""
    """A labeled data set, as --data of train takes it; by default the run's own."""
    labels: tuple[Count, ...] = (100, 600, 1000, 3000)
    """Numbers of labels over all classes, the same for each class."""
    splits: SmallCount = 10
    """Choices of the labeled images, over which mean and standard deviation are taken."""
    seed: Seed = 0
    """Seed of the first split; the next has the seed after it."""
    training: Annotated[FineTuning, FLAT] = field(default_factory=FineTuning)
    networks: bool = False
    """Also train a network on the model's frozen features and a convolutional network on the
    pixels."""
    plot: str = ""
    """Draw errors by the number of labels into this .svg, .pdf or .png file."""
    record: Annotated[RecordOptions, FLAT] = field(default_factory=RecordOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.plot:
            check_format(self.plot)


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Pretrain, args=argv, prog="zeuxis pretrain")
    began, cpu = time.monotonic(), time.process_time()
    setup_device("cpu")
    model = args.model.load()
    check_model(model)
    train, test, images = parts(args, model)
    found = pretraining(
        model, train, test,
        labels=args.labels, splits=args.splits, seed=args.seed, settings=args.training,
        networks=args.networks,
    )  # fmt: skip
    cpu = time.process_time() - cpu
    out.print(found.table())
    out.print(
        f"{found.test_images:,} images of {test.spec.name}, {args.splits} splits; "
        f"{cpu:,.0f} CPU seconds",
        soft_wrap=True,
    )
    if args.plot:
        out.print(str(plot(found, args.plot)), soft_wrap=True)
    if args.record.record:
        figures = found.as_dict() | {"cpu seconds": round(cpu, 1)}
        details = provenance(args.model.name) | images.as_dict()
        details["protocol"] = asdict(args.training) | {"splits": args.splits}
        args.record.write(figures, began, args.seed, **details)


def parts(args: Pretrain, model: Model) -> tuple[Dataset, Dataset, Images]:
    """The images that labels are taken from, and those that errors are counted on."""
    train, _ = evaluation_data(args.model.name, args.data, "train")
    test, images = evaluation_data(args.model.name, args.data, "test")
    if images.split not in ("test", "held-out"):
        raise UsageError(
            f"'{test.spec.name}' has neither a test part nor images that the run held out, on "
            "which errors could be counted: train with --training.hold-out N."
        )
    for data in (train, test):
        if data.spec.shape != model.spec.shape:
            raise UsageError(
                f"'{data.spec.name}' has images of shape {data.spec.shape} and the model expects "
                f"{model.spec.shape}."
            )
    return train, test, images


def plot(found: Comparison, path: str) -> str:
    """Draws the errors of all methods."""
    rows_of = found.outcomes.values()
    names = [name for name in METHODS + NETWORKS if all(name in row for row in rows_of)]
    rows = {name: [row[name].errors for row in found.outcomes.values()] for name in names}
    return str(plot_errors(list(found.outcomes), rows, path))
