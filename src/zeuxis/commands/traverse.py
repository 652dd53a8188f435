"""zeuxis traverse: each of a model's codes varied with everything else fixed, as a sheet of
pictures or as a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..applications.traverse import arranged, find, sheet, sweep
from ..capabilities import HasCodes
from ..checkpoints.weights import load
from ..errors import UsageError
from ..model import require
from ..ranges import BaseConfig, Duration, Few, Finite, Range, Seed
from ..visual.film import film_of
from ..visual.grid import save


@dataclass(frozen=True)
class Traverse(BaseConfig, flags="--"):
    """Varies a code along each row and leaves everything else as it is, so that one sees what the
    code means."""

    model: tyro.conf.Positional[str]
    """A run folder of a model with codes."""
    out: str = "traverse.png"
    """A sheet with one panel a code (.png), or a film in which each continuous code goes there and
    back (.webp, .gif, .mp4)."""
    code: str = ""
    """Vary only this code, as in "continuous 1"."""
    rows: Few = 10
    """Random codes that the rows begin with; in a film, samples in a panel."""
    columns: Few = 10
    """Values of a continuous code; a categorical one has a column for each category."""
    low: Finite | None = None
    """Least value of a continuous code; by default of a range twice as wide as the prior's, -2 for
    a code on (-1, 1)."""
    high: Finite | None = None
    """Its greatest value."""
    separate: bool = False
    """Write one picture a code, named after it, instead of one sheet."""
    frames: Annotated[int, Range(2, 10000)] = 60
    """Frames of a film."""
    seconds: Duration = 0.0
    """Length of the film (seconds); 0 means 25 images a second."""
    seed: Seed = 0
    """Fixes the random codes."""
    weights: str = ""
    """Which file of the folder to take the weights from."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Traverse, args=words, prog="zeuxis traverse")
    model = require(load(wish.model, wish.weights), HasCodes, "vary its codes")
    codes = [find(model.codes(), wish.code)] if wish.code else list(model.codes())
    if not codes:
        raise UsageError(
            f"'{wish.model}' was trained without codes: train it with --model.continuous "
            "or --model.categorical."
        )
    out = Path(wish.out)
    if out.suffix.lower() in (".webp", ".gif", ".mp4"):
        swept = [code for code in codes if code.kind == "continuous"] or codes
        print(
            film_of(
                sweep(model, swept, wish.rows, wish.frames, wish.low, wish.high, wish.seed),
                out,
                wish.seconds,
            )
        )
        return
    panels = [
        sheet(model, code, wish.rows, wish.columns, wish.low, wish.high, wish.seed)
        for code in codes
    ]
    if wish.separate:
        for code, panel in zip(codes, panels, strict=True):
            print(
                save(panel, out.with_name(f"{out.stem}-{code.name.replace(' ', '-')}{out.suffix}"))
            )
    else:
        print(save(arranged(panels), out))
