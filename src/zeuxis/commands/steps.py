"""zeuxis steps: how a model makes its images step by step, as a film or a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from ..applications.steps import steps_film, steps_sheet, views
from ..capabilities import HasSteps
from ..model import require
from ..ranges import BaseConfig, Duration, SmallCount
from ..visual.film import film_of
from ..visual.grid import save
from .inputs import FLAT, ImageInput, ModelInput, is_film

HOLD = 1.5  # seconds that the finished images stay
RATE = 10  # steps a second


@dataclass(frozen=True)
class ShowSteps(BaseConfig, flags="--"):
    """Shows the canvas after each step, with rectangles around what the step reads and writes: of
    samples, zeuxis steps RUN, or of reconstructions, zeuxis steps RUN IMAGE ... The model makes its
    images in steps, as draw."""

    model: Annotated[ModelInput, FLAT]
    images: Annotated[ImageInput, FLAT] = field(default_factory=ImageInput)
    out: str = "steps.webp"
    """A film (.webp, .gif, .mp4), or a sheet with a column for each of some steps (.png)."""
    reconstruct: bool = False
    """Show reconstructions of images of the data set; image files and --data imply it."""
    n: SmallCount = 16
    """Samples, or images of the data set, chosen by the seed."""
    columns: SmallCount = 10
    """Steps on a sheet, evenly spaced."""
    windows: bool = True
    """Draw the rectangles."""
    seconds: Duration = 0.0
    """Length of the film (seconds) without its end; 0 means 10 steps a second."""


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(ShowSteps, args=argv, prog="zeuxis steps")
    model = require(args.model.load(), HasSteps, "show the steps of its images")
    x = None
    if args.reconstruct or args.images.files.paths or args.images.data.data:
        x = args.images.load(args.model, model.spec, args.n).data.all()
        steps = model.reconstruct_steps(x)
    else:
        steps = model.sample_steps(args.n, generator=args.images.data.generator())
    if not args.windows:
        steps = replace(steps, windows={})
    shown, out = views(steps, x), Path(args.out)
    if is_film(out):
        seconds = args.seconds or steps.canvases.shape[1] / RATE
        print(film_of(steps_film(shown), out, seconds, HOLD))
    else:
        print(save(steps_sheet(shown, args.columns), out))
