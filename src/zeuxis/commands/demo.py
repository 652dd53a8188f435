"""zeuxis demo: from noise to digits in minutes, on any machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from ..data import load_data
from ..evaluation.judge import evaluate
from ..progress import console
from ..training.start import train


@dataclass(frozen=True)
class Demo:
    """Trains the small DCGAN on MNIST, films its learning, and scores its samples against real digits."""

    images: int = 120_000
    """Length of the training (images seen); more makes better digits."""
    out: str = "runs"
    """Where the numbered run folder goes."""
    n: int = 2_000
    """Samples that are scored."""
    seed: int = 0
    """Fixes everything random."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Demo, args=words, prog="zeuxis demo")
    console.print("A generator turns 100 numbers into an image; a discriminator tells its images from real ones; both learn.")
    every = max(1, wish.images // 12)
    result = train(
        "dcgan", "mnist", recipe="mnist-small", out=wish.out, images=wish.images, seed=wish.seed, log_every=every, film=60
    )
    assert result.run is not None
    quality = evaluate(result.model, load_data("mnist", split="test"), n=wish.n, seed=wish.seed)
    console.print(quality.table())
    for name, what in (("samples/final.png", "100 new digits"), ("film.webp", "the film of its learning")):
        console.print(f"{what}: {result.run.path(name)}", markup=False, soft_wrap=True)
    console.print(f"Next: zeuxis walk {result.run} --out walk.webp", markup=False, soft_wrap=True)
