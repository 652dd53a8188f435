"""zeuxis ablation: Improved GAN with one technique left out at a time, as in the paper's table of
Inception scores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro
from rich.table import Table

from ..checkpoints.run_folder import Run
from ..checkpoints.weights import load
from ..data.config import DataConfig
from ..errors import UsageError
from ..evaluation.features.feature_network import feature_network
from ..evaluation.record import write_record
from ..evaluation.sample_quality import Quality, evaluate
from ..experiments.experiment import Experiment
from ..experiments.resume import resume
from ..experiments.train import start
from ..gan.improved import ImprovedGANConfig
from ..progress import console, out
from ..ranges import BaseConfig, Count, CountOrNone, Seed, SizeOrNone
from ..recipes import recipes
from .provenance import training_of

# row: what is changed, the paper's name for it, and its Inception score in table 3 (CIFAR-10,
# 50,000 samples)
ROWS: dict[str, tuple[dict[str, Any], str, str]] = {
    "all": ({}, "our methods", "8.09 ± .07"),
    "no-virtual": ({"virtual": 0}, "-VBN+BN", "7.54 ± .07"),
    "history-for-labels": ({"supervised": False, "history": 0.01}, "-L+HA", "6.86 ± .06"),
    "no-smoothing": ({"smoothing": 1.0}, "-LS", "6.83 ± .06"),
    "no-labels": ({"supervised": False}, "-L", "4.36 ± .04"),
    "no-minibatch": ({"minibatch": 0}, "-MBF", "3.87 ± .03"),
}


@dataclass(frozen=True)
class Ablation(BaseConfig, flags="--"):
    """Trains the model with minibatch discrimination (MBF), labels (L), label smoothing (LS) and
    virtual batch normalization (VBN), and again with each left out, and scores their samples. Rows
    that are done already are not trained again."""

    data: str = "cifar10"
    """What --data of train takes."""
    images: CountOrNone = 0
    """Length of each training (images seen); 0 takes the recipe's."""
    rows: tuple[str, ...] = tuple(ROWS)
    """Which rows: all the techniques, and what is left out."""
    width: SizeOrNone = 0
    """The discriminator's first channels, 96 in the paper; 0 takes those."""
    generator_width: SizeOrNone = 0
    """The generator's first channels, 512 in the paper; 0 takes those."""
    n: Count = 5_000
    """Samples that are scored."""
    network: str = ""
    """Feature network, as in evaluate; by default the data set's own."""
    seed: Seed = 0
    """Fixes everything random."""
    out: str = "runs/ablation"
    """The folder with one run a row."""
    record: str = ""
    """Write the table with command, seed, machine and time to this JSON file."""
    note: str = ""
    """What a reader of the record must know."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Ablation, args=words, prog="zeuxis ablation")
    if unknown := [row for row in wish.rows if row not in ROWS]:
        raise UsageError(
            f"There is no row '{unknown[0]}' in the ablation: the rows are {', '.join(ROWS)}."
        )
    if not wish.rows:
        raise UsageError("An ablation needs a row: give --rows.")
    began, found = time.monotonic(), {}
    name = f"improved-gan/{wish.data.split('=')[0]}-pictures"
    if name not in recipes():
        raise UsageError(f"There is no recipe {name}: give mnist, cifar10 or svhn.")
    recipe = recipes()[name]
    config = replace(
        recipe.config,
        virtual=100,
        smoothing=0.75,
        width=wish.width,
        generator_width=wish.generator_width,
    )
    training = replace(
        recipe.training, seed=wish.seed, images=wish.images or recipe.training.images
    )
    source = DataConfig(
        wish.data, recipe.size, labels_per_class=recipe.labels_per_class, label_seed=wish.seed
    )
    test = source.load("test")
    network = feature_network(wish.network or None, test.spec.name)
    for row in wish.rows:
        folder = Path(wish.out) / f"seed{wish.seed}-{row}"
        trained(folder, replace(config, **ROWS[row][0]), training, source, name)
        found[row] = evaluate(
            load(folder_of(folder)), test, n=wish.n, network=network, seed=wish.seed, split="test"
        )
        console.print(
            (
                f"{row}: score {found[row].fake.score:.2f}, Fréchet distance "
                f"{found[row].fake.frechet:.1f}"
            ),
            markup=False,
        )
    out.print(table(found))
    if wish.record:
        figures = {row: quality.as_dict() for row, quality in found.items()}
        paper = "Inception scores of table 3: " + ", ".join(
            f"{name} {score}" for _, name, score in ROWS.values()
        )
        seconds = time.monotonic() - began
        runs = {
            "training": [
                training_of(Run.open(folder_of(Path(wish.out) / f"seed{wish.seed}-{row}")))
                for row in wish.rows
            ]
        }
        path = write_record(
            wish.record,
            figures,
            seconds=seconds,
            seed=wish.seed,
            paper=paper,
            note=wish.note,
            **runs,
        )
        out.print(f"Record: {path}", markup=False, soft_wrap=True)


def folder_of(place: Path) -> Path:
    """The one run folder in a row's place."""
    return next(iter(sorted(place.glob("[0-9]*"))), place)


def trained(
    place: Path, config: ImprovedGANConfig, training: Any, source: DataConfig, recipe: str
) -> None:
    """Trains a row to its end, going on with what there is."""
    folder = folder_of(place)
    if folder == place:
        start(Experiment("improved-gan", config, training, source, recipe), place)
    elif Run.open(folder).saved_images() < training.images:
        resume(folder, training.images)


def table(found: dict[str, Quality]) -> Table:
    """The rows with the paper's scores beside them."""
    first = next(iter(found.values()))
    title = (
        f"{first.data}: {first.n_fake:,} samples, features of {first.network} "
        f"({first.network_hash})"
    )
    shown = Table(
        "",
        "score",
        "Fréchet",
        "precision",
        "recall",
        "Inception score, CIFAR-10 (paper)",
        title=title,
        title_justify="left",
    )
    floor = first.floor
    if floor:
        shown.add_row(
            "real images",
            *(f"{v:.2f}" for v in (floor.score, floor.frechet, floor.precision, floor.recall)),
            "11.24 ± .12",
        )
    for row, quality in found.items():
        s = quality.fake
        shown.add_row(
            row,
            f"{s.score:.2f} ± {s.score_spread:.2f}",
            f"{s.frechet:.1f}",
            f"{s.precision:.2f}",
            f"{s.recall:.2f}",
            ROWS[row][1],
        )
    return shown
