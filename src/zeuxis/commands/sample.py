"""zeuxis sample: new examples as a picture, a folder of pictures or an array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro

from ..applications.pictures import grid, numbered, save, to_image
from ..errors import UsageError, ZeuxisError
from ..model import CanSample, require
from ..training.weights import load


@dataclass(frozen=True)
class Sample:
    """Draws new examples from a run folder or a shipped model."""

    model: tyro.conf.Positional[str]
    """A run folder, or a shipped model's name as in mnist/dcgan."""
    n: int = 64
    """How many."""
    out: str = "samples.png"
    """A picture (.png, .webp, .jpg), an array (.npz), or a folder for one PNG each (ends in /)."""
    seed: int = 0
    """Fixes the codes."""
    numbers: bool = False
    """Write each sample's number beside it, as `zeuxis arithmetic` takes them."""
    weights: str = ""
    """Which file of the folder, as in model.safetensors for the newest; by default the best or averaged ones."""
    device: str = "cpu"
    """Where to compute."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Sample, args=words, prog="zeuxis sample")
    if wish.n < 1:
        raise UsageError(f"At least one sample is needed, got -n {wish.n}.")
    model = require(load(wish.model, wish.weights, wish.device), CanSample, "draw samples")
    x = model.sample(wish.n, generator=torch.Generator().manual_seed(wish.seed)).cpu()
    out = Path(wish.out)
    try:
        if out.suffix == ".npz":
            out.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(out, images=x.numpy())
        elif x.ndim != 4:
            raise UsageError("These examples are points and no images: write them to an array with --out points.npz.")
        elif wish.out.endswith("/"):
            out.mkdir(parents=True, exist_ok=True)
            for i, one in enumerate(x):
                to_image(one).save(out / f"{i:06}.png")
        else:
            save(numbered(x) if wish.numbers else grid(x, smallest=320), out)
    except OSError as error:
        raise ZeuxisError(f"'{out}' could not be written ({error.strerror or error}): give a writable place with --out.") from error
    print(out)
