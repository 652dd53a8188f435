"""zeuxis steps: how a model makes its images step by step, as a film or a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from ..applications.steps import View, looked, steps_film, steps_sheet, views
from ..capabilities import HasGlimpses, HasSteps
from ..model import require
from ..ranges import BaseConfig, Duration, SmallCount
from ..visual.film import film_of
from ..visual.grid import save
from .inputs import FLAT, ImageInput, ModelInput, is_film

HOLD = 1.5  # seconds that the finished images stay
RATE = 10  # steps a second
SHORTEST = 2.0  # seconds of a film with few steps, without its end


@dataclass(frozen=True)
class ShowSteps(BaseConfig, flags="--"):
    """Shows the canvas after each step, with rectangles around what the step reads and writes: of
    samples, zeuxis steps RUN, or of reconstructions, zeuxis steps RUN IMAGE ... The model makes its
    images in steps, as draw and air; of one that only looks at images in steps, as
    glimpse-classifier, it shows where."""

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
    """Length of the film (seconds) without its end; 0 means 10 steps a second, and 2 seconds at
    least."""


def views_of(args: ShowSteps) -> list[View]:
    """What the options ask to show."""
    model, x = args.model.load(), None
    looks = not model.can(HasSteps) and model.can(HasGlimpses)
    if looks or args.reconstruct or args.images.files.paths or args.images.data.data:
        x = args.images.load(args.model, model.spec, args.n).data.all()
    if looks and x is not None:
        window = require(model, HasGlimpses, "show where it looks").windows_of(x)
        return [looked(x, window.box.shape[1], window if args.windows else None)]
    maker = require(model, HasSteps, "show the steps of its images")
    if x is None:
        steps = maker.sample_steps(args.n, generator=args.images.data.generator())
    else:
        steps = maker.reconstruct_steps(x)
    return views(steps if args.windows else replace(steps, windows={}), x)


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(ShowSteps, args=argv, prog="zeuxis steps")
    shown, out = views_of(args), Path(args.out)
    if is_film(out):
        seconds = args.seconds or max(SHORTEST, shown[0].images.shape[1] / RATE)
        print(film_of(steps_film(shown), out, seconds, HOLD))
    else:
        print(save(steps_sheet(shown, args.columns), out))
