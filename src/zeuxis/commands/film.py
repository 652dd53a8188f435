"""zeuxis film: the frames of a run as a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..checkpoints.run_folder import Run
from ..ranges import BaseConfig, Duration
from ..visual.film import write_film


@dataclass(frozen=True)
class Film(BaseConfig, flags="--"):
    """Joins a run's frames into a film of its training."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """The run folder."""
    out: str = ""
    """The film file: .webp, .gif or .mp4 (by ffmpeg); by default film.webp in the run folder."""
    seconds: Duration = 8.0
    """Length (seconds), without the last frame's two seconds."""


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Film, args=argv, prog="zeuxis film")
    run = Run.open(args.run)
    frames = [path for _, path in run.frames()]
    print(write_film(frames, Path(args.out) if args.out else run.path("film.webp"), args.seconds))
