"""zeuxis demo: from noise to digits in minutes, on any machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import tyro

from ..data import load_data
from ..evaluation.sample_quality import evaluate
from ..experiments.train import train
from ..progress import console
from ..ranges import BaseConfig, Count, CountOrNone, Duration, Seed


@dataclasses.dataclass(frozen=True)
class Demo(BaseConfig, flags="--"):
    """Trains DCGAN's MNIST network at three eighths of its width, films its learning, and scores
    its samples against real digits."""

    minutes: Duration = 3.0
    """Length of the training (minutes); the number of images follows from the machine's speed."""
    images: CountOrNone = 0
    """Length of the training (images seen), instead of the minutes."""
    out: str = "runs"
    """Where the numbered run folder goes."""
    n: Count = 2_000
    """Samples that are scored."""
    seed: Seed = 0
    """Fixes everything random."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Demo, args=words, prog="zeuxis demo")
    console.print(
        "A generator turns 100 numbers into an image; a discriminator tells its images "
        "from real ones; both learn."
    )
    length: dict[str, Any] = (
        {"images": wish.images, "log_every": max(1, wish.images // 12)}
        if wish.images
        else {"minutes": wish.minutes}
    )
    result = train(
        "dcgan", "mnist", recipe="mnist-small", out=wish.out, seed=wish.seed, film=60, **length
    )
    assert result.run is not None
    if result.stopped:
        return
    quality = evaluate(
        result.model, load_data("mnist", split="test"), n=wish.n, seed=wish.seed, split="test"
    )
    console.print(quality.table())
    for name, what in (
        ("samples/final.png", "100 new digits"),
        ("film.webp", "the film of its learning"),
    ):
        console.print(f"{what}: {result.run.path(name)}", markup=False, soft_wrap=True)
    console.print(f"Next: zeuxis walk {result.run} --out walk.webp", markup=False, soft_wrap=True)
