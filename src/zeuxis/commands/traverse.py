"""zeuxis traverse: each latent code varied with everything else fixed, as a sheet or a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..applications.traverse import find_code, traversal_film, traversal_sheet
from ..capabilities import HasCodes
from ..errors import UsageError
from ..model import require
from ..ranges import BaseConfig, Duration, Finite, Range, Seed, SmallCount
from ..visual.film import film_of
from ..visual.grid import arranged, save
from .inputs import FLAT, ModelInput, is_film


@dataclass(frozen=True)
class Traverse(BaseConfig, flags="--"):
    """Varies one latent code along each row and keeps everything else, so that one sees what the
    code means. The model has latent codes, as infogan."""

    model: Annotated[ModelInput, FLAT]
    out: str = "traverse.png"
    """A sheet with one panel for each code (.png), or a film in which each continuous code goes
    there and back (.webp, .gif, .mp4)."""
    code: str = ""
    """Vary only this code, as in "continuous 1"."""
    rows: SmallCount = 10
    """Random latents, one for each row; in a film, samples in a panel."""
    columns: SmallCount = 10
    """Values of a continuous code; a categorical one has a column for each category."""
    low: Finite | None = None
    """Least value of a continuous code; by default of a range twice as wide as the prior's, -2 for
    a code on (-1, 1)."""
    high: Finite | None = None
    """Greatest value of a continuous code."""
    separate: bool = False
    """Write one picture for each code, named after it, instead of one sheet."""
    frames: Annotated[int, Range(2, 10000)] = 60
    """Frames of a film."""
    seconds: Duration = 0.0
    """Length of the film (seconds); 0 means 25 images a second."""
    seed: Seed = 0
    """Fixes the random latents."""


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Traverse, args=argv, prog="zeuxis traverse")
    model = require(args.model.load(), HasCodes, "vary its latent codes")
    codes = [find_code(model.codes(), args.code)] if args.code else list(model.codes())
    if not codes:
        raise UsageError(
            f"'{args.model.name}' was trained without latent codes: train it with "
            "--model.continuous or --model.categorical."
        )
    out = Path(args.out)
    if is_film(out):
        continuous = [code for code in codes if code.kind == "continuous"]
        frames = traversal_film(
            model, continuous or codes, args.rows, args.frames, args.low, args.high, args.seed
        )
        print(film_of(frames, out, args.seconds))
        return
    panels = [
        traversal_sheet(model, code, args.rows, args.columns, args.low, args.high, args.seed)
        for code in codes
    ]
    if args.separate:
        for code, panel in zip(codes, panels, strict=True):
            name = f"{out.stem}-{code.name.replace(' ', '-')}{out.suffix}"
            print(save(panel, out.with_name(name)))
    else:
        print(save(arranged(panels), out))
