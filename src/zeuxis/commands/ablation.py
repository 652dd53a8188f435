"""zeuxis ablation: Improved GAN with one technique left out at a time (table 3 of the paper)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro
from rich.table import Table

from ..checkpoints.run_folder import Run
from ..checkpoints.weights import load
from ..data.config import DataConfig
from ..errors import UsageError
from ..evaluation.features.feature_network import feature_network
from ..evaluation.sample_quality import Quality, evaluate
from ..experiments.experiment import Experiment
from ..experiments.resume import resume
from ..experiments.train import start
from ..gan.improved import ImprovedGANConfig
from ..progress import console, out
from ..ranges import BaseConfig, Count, CountOrNone, Seed, SizeOrNone
from ..recipes import recipes
from .inputs import FLAT
from .provenance import training_of
from .record_options import RecordOptions


class Row(NamedTuple):
    """One row of the table.

    Arguments:
        changes: Settings that differ from the model with all techniques.
        paper_name: What the paper calls it.
        paper_score: Its Inception score there (CIFAR-10, 50,000 samples).
    """

    changes: dict[str, Any]
    paper_name: str
    paper_score: str


ROWS: dict[str, Row] = {
    "all": Row({}, "our methods", "8.09 ± .07"),
    "no-virtual": Row({"virtual": 0}, "-VBN+BN", "7.54 ± .07"),
    "history-for-labels": Row({"supervised": False, "history": 0.01}, "-L+HA", "6.86 ± .06"),
    "no-smoothing": Row({"smoothing": 1.0}, "-LS", "6.83 ± .06"),
    "no-labels": Row({"supervised": False}, "-L", "4.36 ± .04"),
    "no-minibatch": Row({"minibatch": 0}, "-MBF", "3.87 ± .03"),
}


@dataclass(frozen=True)
class Ablation(BaseConfig, flags="--"):
    """Trains the model with minibatch discrimination (MBF), labels (L), label smoothing (LS) and
    virtual batch normalization (VBN), and again with each left out, and scores their samples. Rows
    that are finished are not trained again."""

    data: str = "cifar10"
    """A data set, as --data of train takes it."""
    images: CountOrNone = 0
    """Length of each training (images seen); 0 takes the recipe's."""
    rows: tuple[str, ...] = tuple(ROWS)
    """Which rows: all the techniques, and what is left out."""
    width: SizeOrNone = 0
    """The discriminator's first channels; 0 takes the paper's 96."""
    generator_width: SizeOrNone = 0
    """The generator's first channels; 0 takes the paper's 512."""
    n: Count = 5_000
    """Samples that are scored."""
    network: str = ""
    """Feature network, as in evaluate; by default the data set's own."""
    seed: Seed = 0
    """Fixes everything random."""
    out: str = "runs/ablation"
    """The folder with one run for each row."""
    record: Annotated[RecordOptions, FLAT] = field(default_factory=RecordOptions)

    def folder(self, row: str) -> Path:
        """Where the run of a row lies."""
        return Path(self.out) / f"seed{self.seed}-{row}"


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Ablation, args=argv, prog="zeuxis ablation")
    if unknown := [row for row in args.rows if row not in ROWS]:
        raise UsageError(
            f"There is no row '{unknown[0]}' in the ablation: the rows are {', '.join(ROWS)}."
        )
    if not args.rows:
        raise UsageError("An ablation needs a row: give --rows.")
    began = time.monotonic()
    recipe_name = f"improved-gan/{args.data.split('=')[0]}-pictures"
    if recipe_name not in recipes():
        raise UsageError(f"There is no recipe {recipe_name}: give mnist, cifar10 or svhn.")
    recipe = recipes()[recipe_name]
    config = replace(
        recipe.config,
        virtual=100,
        smoothing=0.75,
        width=args.width,
        generator_width=args.generator_width,
    )
    images = args.images or recipe.training.images
    training = replace(recipe.training, seed=args.seed, images=images)
    data_config = DataConfig(
        args.data, recipe.size, labels_per_class=recipe.labels_per_class, label_seed=args.seed
    )
    test = data_config.load("test")
    network = feature_network(args.network or None, test.spec.name)
    results: dict[str, Quality] = {}
    for row in args.rows:
        row_config = replace(config, **ROWS[row].changes)
        run = train_row(args.folder(row), row_config, training, data_config, recipe_name)
        results[row] = evaluate(
            load(run), test, n=args.n, network=network, seed=args.seed, split="test"
        )
        scores = results[row].fake
        console.print(
            f"{row}: score {scores.score:.2f}, Fréchet distance {scores.frechet:.1f}",
            markup=False,
        )
    out.print(table(results))
    if args.record.record:
        figures = {row: quality.as_dict() for row, quality in results.items()}
        runs = [Run.open(run_folder(args.folder(row))) for row in args.rows]
        paper = "Inception scores of table 3: " + ", ".join(
            f"{row.paper_name} {row.paper_score}" for row in ROWS.values()
        )
        options = replace(args.record, paper=args.record.paper or paper)
        options.write(figures, began, args.seed, training=[training_of(run) for run in runs])


def run_folder(folder: Path) -> Path:
    """The numbered run inside a row's folder, or the folder itself where there is none."""
    return next(iter(sorted(folder.glob("[0-9]*"))), folder)


def train_row(
    folder: Path, config: ImprovedGANConfig, training: Any, data_config: DataConfig, recipe: str
) -> Path:
    """Trains a row to its end, or continues its run; returns the run folder."""
    run = run_folder(folder)
    if run == folder:
        start(Experiment("improved-gan", config, training, data_config, recipe), folder)
    elif Run.open(run).saved_images() < training.images:
        resume(run, training.images)
    return run_folder(folder)


def table(results: dict[str, Quality]) -> Table:
    """The rows next to the paper's scores."""
    first = next(iter(results.values()))
    table = Table(
        "",
        "score",
        "Fréchet",
        "precision",
        "recall",
        "Inception score, CIFAR-10 (paper)",
        title=f"{first.data}: {first.n_fake:,} samples, features of {first.network} "
        f"({first.network_hash})",
        title_justify="left",
    )
    if first.floor:
        f = first.floor
        cells = [f"{value:.2f}" for value in (f.score, f.frechet, f.precision, f.recall)]
        table.add_row("real images", *cells, "11.24 ± .12")
    for row, quality in results.items():
        s = quality.fake
        table.add_row(
            row,
            f"{s.score:.2f} ± {s.score_spread:.2f}",
            f"{s.frechet:.1f}",
            f"{s.precision:.2f}",
            f"{s.recall:.2f}",
            f"{ROWS[row].paper_score} ({ROWS[row].paper_name})",
        )
    return table
