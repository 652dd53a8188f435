"""zeuxis film RUN: the frames of a run as a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from ..checkpoints.run_folder import Run
from ..ranges import BaseConfig, Duration
from ..visual.film import write_film


@dataclass(frozen=True)
class Film(BaseConfig, flags="--"):
    """Joins a run's frames into a film of its learning."""

    run: tyro.conf.Positional[str]
    """The run folder."""
    out: str = ""
    """Where it goes: .webp, .gif or .mp4 (by ffmpeg); by default film.webp in the run folder."""
    seconds: Duration = 8.0
    """Length (seconds), the last frame's two seconds not counted."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Film, args=words, prog="zeuxis film")
    run = Run.open(wish.run)
    frames = [path for _, path in run.frames()]
    print(write_film(frames, Path(wish.out) if wish.out else run.path("film.webp"), wish.seconds))
