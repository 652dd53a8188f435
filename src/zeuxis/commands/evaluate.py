"""zeuxis evaluate: a model's samples scored against real images, with the floor and the ceiling
beside every score."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import tyro

from ..capabilities import CanClassify, CanSample
from ..checkpoints.run_folder import Run
from ..checkpoints.weights import build, load, resolve
from ..data.dataset import Dataset
from ..data.densities import DENSITIES, Mixture, density
from ..errors import UsageError
from ..evaluation.classification import score
from ..evaluation.images import check_split
from ..evaluation.mode_coverage import mode_coverage
from ..evaluation.record import write_record
from ..evaluation.sample_quality import evaluate
from ..experiments.unseen import evaluation_data, source_of
from ..model import Model, require
from ..progress import out
from ..ranges import BaseConfig, Count, Seed
from ..visual.density import divergences
from .evaluate_policy import evaluate as evaluate_policy
from .options import is_policy
from .provenance import provenance


@dataclass(frozen=True)
class Evaluate(BaseConfig, flags="--"):
    """Scores samples (Inception-style score, Frechet and kernel distance, precision, recall,
    density, coverage) and classifiers (errors and what was taken for what)."""

    model: tyro.conf.Positional[str]
    """A run folder, or a shipped model's name as in mnist/dcgan. (The run of a policy has options
    of its own: evaluate RUN --help.)"""
    data: str = ""
    """Real images to compare with, as --data of train takes them; by default the run's own data
    set."""
    split: str = "test"
    """Which part of the data: test (of a set with one part the images that were not trained on),
    train or held-out."""
    only: Literal["both", "samples", "classification"] = "both"
    """Of a model that both draws and classifies, judge only its samples or only its classes."""
    n: Count = 10_000
    """Samples, and as many real images; no more than half of the real images there are."""
    network: str = ""
    """Feature network: a name, NAME=PATH, or a run folder of a classifier; by default the data
    set's own."""
    seed: Seed = 0
    """Fixes the codes and the choice of real images."""
    weights: str = ""
    """Which file of the folder to take the weights from."""
    untrained: bool = False
    """Score the same model before training too, as the ceiling."""
    record: str = ""
    """Write the figures with command, seed, machine and time to this JSON file."""
    paper: str = ""
    """The published figure, for the record."""
    note: str = ""
    """What a reader of the record must know."""


def main(words: Sequence[str]) -> None:
    if words and is_policy(words[0]):
        evaluate_policy(words)
        return
    wish = tyro.cli(Evaluate, args=words, prog="zeuxis evaluate")
    check_split(wish.split)
    began = time.monotonic()
    model = load(wish.model, wish.weights)
    name = source_of(Run.open(resolve(wish.model)), wish.data).data
    more: dict[str, Any] = {}
    if name in DENSITIES:
        figures = points(model, name, wish)
    else:
        figures = {}
        data, used = evaluation_data(wish.model, wish.data, wish.split)
        more = used.as_dict()
        classifies = model.can(CanClassify)
        if wish.only == "classification" or (classifies and wish.only == "both"):
            found, _ = score(model, data, split=used.split)
            out.print(found.confusion())
            figures = (
                {"classification": found.as_dict()}
                if isinstance(model, CanSample)
                else found.as_dict()
            )
        if wish.only == "samples" or (
            wish.only == "both" and not (classifies and not isinstance(model, CanSample))
        ):
            require(model, CanSample, "draw samples")
            figures |= images(model, data, wish)
    if wish.record:
        seconds, more = time.monotonic() - began, provenance(wish.model) | more
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


def images(model: Model, data: Dataset, wish: Evaluate) -> dict[str, Any]:
    """Scores of images by features."""
    if data.spec.shape != model.spec.shape:
        raise UsageError(
            f"'{data.spec.name}' has images of shape {data.spec.shape} and the model "
            f"makes {model.spec.shape}."
        )
    network = wish.network or None
    quality = evaluate(model, data, n=wish.n, network=network, seed=wish.seed)
    out.print(quality.table())
    figures: dict[str, Any] = {"trained": quality.as_dict()}
    if wish.untrained:
        fresh = build(model.name, model.config, model.spec, wish.seed).eval()
        fresh.update_statistics(data.batch_of(512))
        before = evaluate(fresh, data, n=wish.n, network=network, seed=wish.seed, floor=False)
        out.print("Before training:")
        out.print(before.table())
        figures["untrained"] = before.as_dict()
    return figures


def points(model: Model, name: str, wish: Evaluate) -> dict[str, Any]:
    """Divergences of points in the plane from their law, and mode coverage where the law has
    modes."""
    law = density(name)
    sampler = require(model, CanSample, "draw samples")
    samples = sampler.sample(wish.n, generator=torch.Generator().manual_seed(wish.seed)).cpu()
    found = divergences(samples, law)
    out.print(f"KL(data || model) {found.kl:.4f}, Jensen-Shannon {found.js:.4f} nats", markup=False)
    figures: dict[str, Any] = {"divergence": vars(found)}
    if isinstance(law, Mixture):
        covered = mode_coverage(samples, law.centers, law.std)
        out.print(str(covered), markup=False)
        figures = vars(covered) | figures
    return figures
