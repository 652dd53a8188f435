"""zeuxis evaluate: a model's samples scored against real images, with the floor and the ceiling beside every score."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import tyro

from ..applications.density import divergences
from ..data.dataset import Dataset
from ..data.densities import DENSITIES, Mixture, density
from ..data.labels import labels_of
from ..errors import UsageError
from ..evaluation.judge import evaluate
from ..evaluation.modes import mode_coverage
from ..evaluation.record import write_record
from ..model import CanClassify, CanSample, Model, require
from ..progress import console
from ..recipes import recipes
from ..training.config import from_json, to_json
from ..training.run import Run
from ..training.start import Source
from ..training.weights import build, load, resolve


@dataclass(frozen=True)
class Evaluate:
    """Scores samples, or a classifier: Inception-style score, Frechet and kernel distance, precision, recall, density, coverage."""

    model: tyro.conf.Positional[str]
    """A run folder, or a shipped model's name as in mnist/dcgan."""
    data: str = ""
    """Real images to compare with, as --data of train takes them; by default the run's own data set."""
    split: str = "test"
    """Which part of the data: test or train."""
    n: int = 10_000
    """Samples, and as many real images; no more than half of the real images there are."""
    network: str = ""
    """Feature network: a name, NAME=PATH, or a run folder of a classifier; by default the data set's own."""
    seed: int = 0
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
    wish = tyro.cli(Evaluate, args=words, prog="zeuxis evaluate")
    if wish.split not in ("test", "train"):
        raise UsageError(f"--split is '{wish.split}', expected test or train.")
    began = time.monotonic()
    model = load(wish.model, wish.weights)
    run = Run.open(resolve(wish.model))
    about = run.read_json("config.json")
    source = from_json(Source, about.get("source", {"data": model.spec.name}), str(run.path("config.json")))
    if wish.data:
        source = Source(wish.data, model.spec.shape[-1], model.spec.shape[0])
    more = {"trained by": training_command(about), "training": about.get("training"), "settings": about["settings"]}
    more["metrics"] = run.metrics()[-1:]
    if source.data in DENSITIES:
        figures = points(model, source.data, wish)
    elif isinstance(model, CanClassify) and not isinstance(model, CanSample):
        figures = accuracy(model, source.load(wish.split))
        console.print(f"{figures['accuracy']:.2f} % of {figures['images']:,} {wish.split} images, {figures['errors']} errors", markup=False)
    else:
        figures = images(require(model, CanSample, "draw samples"), source, wish)
    if wish.record:
        seconds = time.monotonic() - began
        path = write_record(wish.record, figures, seconds=seconds, seed=wish.seed, paper=wish.paper, note=wish.note, **more)
        console.print(f"Record: {path}", markup=False, soft_wrap=True)


def training_command(about: dict[str, Any]) -> str:
    """The command that trains a run with these settings: its recipe and what differs from it."""
    name = about.get("recipe", "")
    words = ["zeuxis", "train", str(about["model"])]
    base: dict[str, Any] = {}
    if name in recipes():
        words += ["--recipe", name.split("/", 1)[1]]
        base = {"training": to_json(recipes()[name].training), "settings": to_json(recipes()[name].settings)}
    data = about.get("source", {}).get("data", "")
    if name not in recipes() or data != recipes()[name].data:
        words += ["--data", data.split("=")[0]]
    for part, option in (("settings", "model"), ("training", "training")):
        for key, value in about.get(part, {}).items():
            if value != base.get(part, {}).get(key, value):
                words.append(f"--{option}.{key.replace('_', '-')}={value}")
    return " ".join(words)


def images(model: Model, source: Source, wish: Evaluate) -> dict[str, Any]:
    """Scores of images by features."""
    data = source.load(wish.split)
    if data.spec.shape != model.spec.shape:
        raise UsageError(f"'{data.spec.name}' has images of shape {data.spec.shape} and the model makes {model.spec.shape}.")
    network = wish.network or None
    quality = evaluate(model, data, n=wish.n, network=network, seed=wish.seed, split=wish.split)
    console.print(quality.table())
    figures: dict[str, Any] = {"trained": quality.as_dict()}
    if wish.untrained:
        fresh = build(model.name, model.config, model.spec, wish.seed).eval()
        fresh.settle(data.batch_of(512))
        before = evaluate(fresh, data, n=wish.n, network=network, seed=wish.seed, floor=False, split=wish.split)
        console.print("Before training:")
        console.print(before.table())
        figures["untrained"] = before.as_dict()
    return figures


def accuracy(model: Model, data: Dataset) -> dict[str, Any]:
    """Images that a classifier gets right, in per cent, and how many it gets wrong."""
    assert isinstance(model, CanClassify)
    labels = labels_of(data, "Accuracy")
    guesses = torch.cat([model.classify(part).argmax(1).cpu() for part in data.all().split(500)])
    right = int((guesses == labels).sum())
    return {"accuracy": 100 * right / len(data), "errors": len(data) - right, "images": len(data)}


def points(model: Model, name: str, wish: Evaluate) -> dict[str, Any]:
    """Divergences of points in the plane from their law, and mode coverage where the law has modes."""
    law = density(name)
    require(model, CanSample, "draw samples")
    assert isinstance(model, CanSample)
    samples = model.sample(wish.n, generator=torch.Generator().manual_seed(wish.seed)).cpu()
    found = divergences(samples, law)
    console.print(f"KL(data || model) {found.kl:.4f}, Jensen-Shannon {found.js:.4f} nats", markup=False)
    figures: dict[str, Any] = {"divergence": vars(found)}
    if isinstance(law, Mixture):
        covered = mode_coverage(samples, law.centres, law.std)
        console.print(str(covered), markup=False)
        figures = vars(covered) | figures
    return figures
