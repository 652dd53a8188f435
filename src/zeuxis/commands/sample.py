"""zeuxis sample: new examples as a picture, a folder of pictures or an array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro

from .. import files
from ..autoregressive.char_rnn import CharRNN
from ..capabilities import CanAutoregress, CanSample
from ..errors import UsageError
from ..model import require
from ..ranges import BaseConfig, Count, Positive, Seed
from ..visual.grid import grid, numbered, save, to_image
from .inputs import FLAT, ModelInput


@dataclass(frozen=True)
class Sample(BaseConfig, flags="--"):
    """Draws new examples from a run folder or a shipped model."""

    model: Annotated[ModelInput, FLAT]
    n: Count | None = None
    """Number of samples: 64 images by default, or one text."""
    out: str | None = None
    """A picture (.png, .webp, .jpg), an array (.npz), or a folder for one PNG each (ends in /), by
    default samples.png; for a model of text a file, by default the terminal."""
    seed: Seed = 0
    """Fixes the samples."""
    label: str = ""
    """For a conditional model: the class of all samples, by number or name."""
    temperature: Positive = 1.0
    """For an autoregressive model: below 1 favors the more probable values."""
    start: str = ""
    """For a model of text: the first characters."""
    length: Count = 1000
    """For a model of text: number of characters."""
    numbers: bool = False
    """Write each sample's number beneath it, as `zeuxis arithmetic` takes them."""
    device: str = "cpu"
    """Where to compute."""


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Sample, args=argv, prog="zeuxis sample")
    if args.out == "":
        raise UsageError("--out is empty: give a file, a folder that ends in /, or leave it out.")
    model = require(args.model.load(args.device), CanSample, "draw samples")
    generator = torch.Generator().manual_seed(args.seed)
    if isinstance(model, CharRNN):
        sample_text(model, args, generator)
        return
    autoregressive = isinstance(model, CanAutoregress)
    if args.start:
        raise UsageError(
            f"--start is for models of text, and '{model.name}' is none: leave it out."
        )
    if args.temperature != 1 and not autoregressive:
        raise UsageError(
            f"--temperature is for autoregressive models, and '{model.name}' is none: leave it out."
        )
    options: dict[str, Any] = {"temperature": args.temperature} if autoregressive else {}
    if args.label:
        options["label"] = args.label
    x = model.sample(64 if args.n is None else args.n, generator=generator, **options).cpu()
    path = Path(args.out or "samples.png")
    if path.suffix == ".npz":
        files.write(path, lambda partial: np.savez_compressed(partial, images=x.numpy()))
    elif x.ndim != 4:
        raise UsageError(
            "These examples are points and no images: write them to an array with --out points.npz."
        )
    elif args.out is not None and args.out.endswith("/"):
        for i, image in enumerate(x):
            save(to_image(image), path / f"{i:06}.png")
    else:
        save(numbered(x) if args.numbers else grid(x, smallest=320), path)
    print(path)


def sample_text(model: CharRNN, args: Sample, generator: torch.Generator) -> None:
    """Writes texts to a file or to the terminal."""
    if args.length < max(1, len(args.start)):
        raise UsageError(
            f"--length is {args.length}, fewer characters than --start has: "
            f"give at least {max(1, len(args.start))}."
        )
    texts = model.write(
        args.n or 1,
        start=args.start,
        length=args.length,
        temperature=args.temperature,
        generator=generator,
    )
    text = "\n\n".join(texts)
    print(files.write(args.out, text + "\n") if args.out else text)
