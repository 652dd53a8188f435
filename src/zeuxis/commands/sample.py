"""zeuxis sample: new examples as a picture, a folder of pictures or an array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from .. import files
from ..autoregressive.char_rnn import CharRNN
from ..capabilities import CanAutoregress, CanSample
from ..checkpoints.weights import load
from ..errors import UsageError
from ..model import require
from ..ranges import BaseConfig, Count, Positive, Seed
from ..visual.grid import grid, numbered, save, to_image


@dataclass(frozen=True)
class Sample(BaseConfig, flags="--"):
    """Draws new examples from a run folder or a shipped model."""

    model: tyro.conf.Positional[str]
    """A run folder, or a shipped model's name as in mnist/dcgan."""
    n: Count | None = None
    """How many: 64 images by default, or one text."""
    out: str | None = None
    """A picture (.png, .webp, .jpg), an array (.npz), or a folder for one PNG each (ends in /), by
    default samples.png; of a model of text a file, by default the terminal."""
    seed: Seed = 0
    """Fixes the codes."""
    label: str = ""
    """Of a conditional model: the class of all samples, by number or name."""
    temperature: Positive = 1.0
    """Of a model that draws number by number: below 1 the likelier numbers are favored."""
    start: str = ""
    """Of a model of text: what it begins with."""
    length: Count = 1000
    """Of a model of text: characters."""
    numbers: bool = False
    """Write each sample's number beside it, as `zeuxis arithmetic` takes them."""
    weights: str = ""
    """Which file of the folder, as in model.safetensors for the newest; by default the best or
    averaged ones."""
    device: str = "cpu"
    """Where to compute."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Sample, args=words, prog="zeuxis sample")
    if wish.out == "":
        raise UsageError("--out is empty: give a file, a folder that ends in /, or leave it out.")
    model = require(load(wish.model, wish.weights, wish.device), CanSample, "draw samples")
    generator = torch.Generator().manual_seed(wish.seed)
    if isinstance(model, CharRNN):
        written(model, wish, generator)
        return
    if wish.start or (wish.temperature != 1 and not isinstance(model, CanAutoregress)):
        option = (
            "--start is for models of text"
            if wish.start
            else "--temperature is for models that draw number by number"
        )
        raise UsageError(f"{option}, and '{model.name}' is none: leave it out.")
    more: dict[str, Any] = (
        {"temperature": wish.temperature} if isinstance(model, CanAutoregress) else {}
    )
    if wish.label:
        more["label"] = wish.label
    x = model.sample(64 if wish.n is None else wish.n, generator=generator, **more).cpu()
    out = Path(wish.out or "samples.png")
    if out.suffix == ".npz":
        files.write(out, lambda path: np.savez_compressed(path, images=x.numpy()))
    elif x.ndim != 4:
        raise UsageError(
            "These examples are points and no images: write them to an array with --out points.npz."
        )
    elif wish.out is not None and wish.out.endswith("/"):
        for i, one in enumerate(x):
            save(to_image(one), out / f"{i:06}.png")
    else:
        save(numbered(x) if wish.numbers else grid(x, smallest=320), out)
    print(out)


def written(model: CharRNN, wish: Sample, generator: torch.Generator) -> None:
    """Texts, to a file or to the terminal."""
    if wish.length < max(1, len(wish.start)):
        raise UsageError(
            f"--length is {wish.length}, fewer characters than the text begins with: "
            f"give at least {max(1, len(wish.start))}."
        )
    texts = model.write(
        wish.n or 1,
        start=wish.start,
        length=wish.length,
        temperature=wish.temperature,
        generator=generator,
    )
    said = "\n\n".join(texts)
    if wish.out:
        print(files.write(wish.out, said + "\n"))
    else:
        print(said)
