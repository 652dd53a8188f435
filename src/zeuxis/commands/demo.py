"""zeuxis demo: from noise to digits in minutes, on any machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro
from PIL import Image

from ..checkpoints.weights import shipped
from ..data import load_data
from ..evaluation.sample_quality import evaluate
from ..experiments.train import train
from ..progress import console
from ..ranges import BaseConfig, Count, CountOrNone, Duration, Seed
from ..visual.grid import labeled_rows, save

NEXT = (
    ("walk through the latent space", "interpolate {run} --out walk.webp"),
    ("the same with your own images", "train dcgan --data FOLDER --minutes 10"),
    ("ten labels a digit, one classifier", "classify mnist/improved-gan --data mnist"),
)


@dataclasses.dataclass(frozen=True)
class Demo(BaseConfig, flags="--"):
    """Shows samples of the shipped models, then trains a DCGAN on MNIST, films it, and scores it.

    The network is the DCGAN paper's at a quarter of its width (recipe dcgan/mnist-demo).
    """

    minutes: Duration = 3.0
    """Length of the training (minutes); the number of images follows from the machine's speed."""
    images: CountOrNone = 0
    """Length of the training (images seen), instead of the minutes."""
    out: str = "runs"
    """Where the numbered run folder goes."""
    n: Count = 2_000
    """Samples that are scored."""
    seed: Seed = 0
    """Seed of the training and of the samples."""


def contact_sheet(folder: str) -> Path:
    """Writes one row of samples for each shipped model; the rows are files beside the weights."""
    rows = {
        name: Image.open(path)
        for name, place in shipped().items()
        if (path := place / "samples.png").is_file()
    }
    Path(folder).mkdir(parents=True, exist_ok=True)
    return save(labeled_rows(rows), Path(folder) / "shipped.png")


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Demo, args=argv, prog="zeuxis demo")
    console.print(
        "A generator turns 100 random numbers into an image; a discriminator learns to tell its "
        "images from real ones; each improves the other.",
        soft_wrap=True,
    )
    sheet = contact_sheet(args.out)
    console.print(f"Samples of the models that ship with zeuxis: {sheet}", soft_wrap=True)
    length: dict[str, Any] = (
        {"images": args.images, "log_every": max(1, args.images // 12)}
        if args.images
        else {"minutes": args.minutes}
    )
    result = train(
        "dcgan", "mnist", recipe="mnist-demo", out=args.out, seed=args.seed, film=60, **length
    )
    assert result.run is not None
    if result.stopped:
        return
    test = load_data("mnist", split="test")
    quality = evaluate(result.model, test, n=args.n, seed=args.seed, split="test")
    console.print(quality.table())
    for name, what in (
        ("samples/final.png", "100 new digits"),
        ("film.webp", "the film of its training"),
    ):
        console.print(f"{what}: {result.run.path(name)}", soft_wrap=True)
    for what, command in NEXT:
        console.print(f"Next, {what}: zeuxis {command.format(run=result.run)}", soft_wrap=True)
