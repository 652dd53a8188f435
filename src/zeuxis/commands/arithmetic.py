"""zeuxis arithmetic: the mean code of some samples, minus that of others, plus that of others
again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import tyro

from ..applications.interpolate import around, combine
from ..capabilities import CanDecode
from ..checkpoints.weights import load
from ..errors import UsageError
from ..model import require
from ..ranges import BaseConfig, CountOrNone, Few, Seed, Weight
from ..visual.grid import equation, save


@dataclass(frozen=True)
class Arithmetic(BaseConfig, flags="--"):
    """Draws G(mean of PLUS - mean of MINUS + mean of THEN) with eight neighbors. First look at
    `zeuxis sample MODEL --numbers` and choose three or more numbers for each concept; use the same
    seed and n here."""

    model: tyro.conf.Positional[str]
    """A run folder, or a shipped model's name as in mnist/dcgan."""
    plus: tuple[CountOrNone, ...]
    """Numbers of the samples whose mean code comes first."""
    minus: tuple[CountOrNone, ...]
    """Numbers of the samples whose mean code is subtracted."""
    then: tuple[CountOrNone, ...]
    """Numbers of the samples whose mean code is added."""
    n: Few = 64
    """Samples on the numbered sheet."""
    seed: Seed = 0
    """Seed of the numbered sheet."""
    width: Weight = 0.25
    """How far the neighbors lie from the result, in each number of the code."""
    out: str = "arithmetic.png"
    """Where the picture goes."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Arithmetic, args=words, prog="zeuxis arithmetic")
    for name in ("plus", "minus", "then"):
        for number in getattr(wish, name):
            if not 0 <= number < wish.n:
                raise UsageError(
                    f"--{name} names sample {number}, expected 0 to {wish.n - 1}: see "
                    "zeuxis sample MODEL --numbers."
                )
    model = require(load(wish.model), CanDecode, "do arithmetic on codes")
    codes = model.prior(wish.n, generator=torch.Generator().manual_seed(wish.seed))
    terms = [codes[list(getattr(wish, name))] for name in ("plus", "minus", "then")]
    result = around(combine(*terms), 9, wish.width, torch.Generator().manual_seed(wish.seed))
    shown = [model.decode(torch.cat([term, term.mean(0, keepdim=True)])).cpu() for term in terms]
    print(save(equation(shown, model.decode(result).cpu()), wish.out))
