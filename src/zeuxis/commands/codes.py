"""zeuxis codes: what a model's codes mean, read from images and compared with labels, known
factors, or slant and width."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import tyro

from ..capabilities import HasCodes
from ..checkpoints.weights import load
from ..evaluation.disentanglement_report import describe_codes
from ..evaluation.images import check_split
from ..evaluation.record import write_record
from ..experiments.unseen import evaluation_data
from ..model import require
from ..progress import out
from ..ranges import BaseConfig, CountOrNone, Seed
from .provenance import provenance


@dataclass(frozen=True)
class Codes(BaseConfig, flags="--"):
    """Reads every code from real images: errors of a category as a classifier, correlations of a
    continuous code, and how far the codes are disentangled where the factors of the images are
    known."""

    model: tyro.conf.Positional[str]
    """A run folder of a model with codes."""
    data: str = ""
    """Images to read codes from, as --data of train takes them; by default the run's own data
    set."""
    split: str = "test"
    """Which part of the data: test (of a set with one part the images that were not trained on),
    train or held-out."""
    n: CountOrNone = 0
    """Images to look at; 0 means all there are."""
    fix: CountOrNone = 10_000
    """Training images on which the maps from categories to classes are fixed; 0 fixes them on the
    images looked at."""
    drawn: CountOrNone = 10_000
    """Images drawn from the model to see what can be told of chosen codes and what they do to slant
    and width; 0 for none."""
    seed: Seed = 0
    """Fixes the choice of images and the drawn codes."""
    weights: str = ""
    """Which file of the folder to take the weights from."""
    record: str = ""
    """Write the figures with command, seed, machine and time to this JSON file."""
    paper: str = ""
    """The published figure, for the record."""
    note: str = ""
    """What a reader of the record must know."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Codes, args=words, prog="zeuxis codes")
    check_split(wish.split)
    began = time.monotonic()
    model = load(wish.model, wish.weights)
    coded = require(model, HasCodes, "say what its codes mean")
    data, used = evaluation_data(wish.model, wish.data, wish.split)
    shuffled = torch.Generator().manual_seed(wish.seed)
    if 0 < wish.n < len(data):
        data = data.take(torch.randperm(len(data), generator=shuffled)[: wish.n])
    fix = None
    categories = any(code.kind == "categorical" for code in coded.codes())
    if wish.fix and used.split in ("test", "held-out") and data.labels is not None and categories:
        whole, _ = evaluation_data(wish.model, wish.data, "train")
        fix = whole.take(torch.randperm(len(whole), generator=shuffled)[: wish.fix])
    report = describe_codes(
        model, data, fix=fix, drawn=wish.drawn, seed=wish.seed, split=used.split
    )
    out.print(report.table())
    if wish.record:
        more, seconds, figures = (
            provenance(wish.model) | used.as_dict(),
            time.monotonic() - began,
            report.as_dict(),
        )
        path = write_record(
            wish.record,
            figures,
            seconds=seconds,
            seed=wish.seed,
            paper=wish.paper,
            note=wish.note,
            **more,
        )
        out.print(f"Record: {path}", markup=False, soft_wrap=True)
