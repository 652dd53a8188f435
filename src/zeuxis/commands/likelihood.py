"""zeuxis likelihood: how likely images are to a model, in nats an image and bits a dimension, with
the protocol beside every figure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tyro

from ..checkpoints.run_folder import Run
from ..checkpoints.weights import default_weights, load, resolve
from ..data.inexact import listed
from ..evaluation.images import check_split
from ..evaluation.likelihood import Binarize, likelihood
from ..evaluation.record import write_record
from ..experiments.unseen import evaluation_data
from ..progress import out
from ..ranges import BaseConfig, CountOrNone, Positive, Seed
from .provenance import provenance


@dataclass(frozen=True)
class Likelihood(BaseConfig, flags="--"):
    """Says how likely images are to a model: exactly, or by its bound, split in distortion and
    rate, and sharpened by many codes an image (IWAE)."""

    model: tyro.conf.Positional[str]
    """A run folder, or a shipped model's name, of a model that tells likelihoods."""
    data: str = ""
    """Images to judge, as --data of train takes them; by default the run's own data set."""
    split: str = "test"
    """Which part of the data: test (of a set with one part the images that were not trained on),
    train or held-out."""
    n: CountOrNone = 0
    """Images to judge, drawn by the seed; 0 means all there are."""
    k: CountOrNone = 128
    """Codes an image for the importance-weighted bound; 0 leaves it out. Its time grows with it,
    its memory does not."""
    binarize: Binarize = "auto"
    """How gray pixels become 0 or 1 for a model of binary images: drawn anew with the seed
    (dynamic), always the same (static), or not at all (none). auto draws them anew for such models
    and leaves them for others."""
    seed: Seed = 0
    """Fixes the choice of images, how they are binarized, and the codes."""
    exclude: str = ""
    """A text file with the numbers of images to leave out, one a line, counted from 0. Images that
    the data mark as recovered from a lossy copy are always left out."""
    weights: str = ""
    """Which file of the folder to take the weights from."""
    memory: Positive = 1000.0
    """Megabytes to take at a time beside the weights; no figure depends on it."""
    record: str = ""
    """Write the figures with command, seed, machine and time to this JSON file."""
    paper: str = ""
    """The published figure, for the record."""
    note: str = ""
    """What a reader of the record must know."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Likelihood, args=words, prog="zeuxis likelihood")
    check_split(wish.split)
    began = time.monotonic()
    model = load(wish.model, wish.weights)
    run = Run.open(resolve(wish.model))
    about = run.read_json("config.json")
    data, used = evaluation_data(wish.model, wish.data, wish.split)
    found = likelihood(
        model,
        data,
        k=wish.k,
        n=wish.n,
        binarize=wish.binarize,
        seed=wish.seed,
        split=used.split,
        weights=described(wish.weights or default_weights(run), run, about),
        memory=wish.memory,
        exclude=listed(wish.exclude, len(data.x)) if wish.exclude else None,
    )
    out.print(found.table())
    if wish.record:
        more, seconds, figures = (
            provenance(wish.model) | used.as_dict(),
            time.monotonic() - began,
            found.as_dict(),
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


def described(file: str, run: Run, about: dict[str, Any]) -> str:
    """A weights file and what kind of weights it holds."""
    training = about.get("training", {})
    length = min(
        training.get("average", 0),
        round(training.get("average_limit", 1.0) * training.get("images", 0)),
    )
    averaged = f"averaged, half-life {length:,} images" if length else "not averaged"
    newest = "raw, the newest" if run.path("ema.safetensors").exists() else "as they were saved"
    kinds = {
        "best.safetensors": f"best on held-out images, {averaged}",
        "ema.safetensors": averaged,
        "model.safetensors": newest,
    }
    return f"{file} ({kinds[file]})" if file in kinds else file
