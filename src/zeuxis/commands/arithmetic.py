"""zeuxis arithmetic: the mean latent of some samples, minus that of others, plus that of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import tyro

from ..applications.interpolate import combine, neighbors
from ..capabilities import CanDecode
from ..errors import UsageError
from ..model import require
from ..ranges import BaseConfig, CountOrNone, Seed, SmallCount, Weight
from ..visual.grid import equation, save
from .inputs import FLAT, ModelInput


@dataclass(frozen=True)
class Arithmetic(BaseConfig, flags="--"):
    """Draws G(mean of PLUS - mean of MINUS + mean of THEN) with eight neighbors. First look at
    `zeuxis sample MODEL --numbers` and choose three or more numbers for each concept; use the same
    seed and n here."""

    model: Annotated[ModelInput, FLAT]
    plus: tuple[CountOrNone, ...]
    """Numbers of the samples whose mean latent comes first."""
    minus: tuple[CountOrNone, ...]
    """Numbers of the samples whose mean latent is subtracted."""
    then: tuple[CountOrNone, ...]
    """Numbers of the samples whose mean latent is added."""
    n: SmallCount = 64
    """Samples on the numbered sheet."""
    seed: Seed = 0
    """Seed of the numbered sheet."""
    width: Weight = 0.25
    """Largest distance of a neighbor from the result, in each latent dimension."""
    out: str = "arithmetic.png"
    """The picture file."""


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Arithmetic, args=argv, prog="zeuxis arithmetic")
    terms = {"plus": args.plus, "minus": args.minus, "then": args.then}
    for name, numbers in terms.items():
        for number in numbers:
            if not 0 <= number < args.n:
                raise UsageError(
                    f"--{name} names sample {number}, expected 0 to {args.n - 1}: see "
                    "zeuxis sample MODEL --numbers."
                )
    model = require(args.model.load(), CanDecode, "do arithmetic on latents")
    generator = torch.Generator().manual_seed(args.seed)
    samples = model.prior(args.n, generator=generator)
    latents = [samples[list(numbers)] for numbers in terms.values()]
    # Neighbors come from the seed itself: they do not depend on the number of samples.
    result = neighbors(combine(*latents), 9, args.width, torch.Generator().manual_seed(args.seed))
    examples = [model.decode(torch.cat([z, z.mean(0, keepdim=True)])).cpu() for z in latents]
    print(save(equation(examples, model.decode(result).cpu()), args.out))
