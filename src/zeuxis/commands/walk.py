"""zeuxis walk: a smooth walk between codes, as a sheet of pictures or as a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from ..applications.interpolate import circular, walk
from ..capabilities import CanDecode
from ..checkpoints.weights import load
from ..model import require
from ..ranges import BaseConfig, Duration, Few, FewOrNone, Range, Seed
from ..visual.film import film_of
from ..visual.grid import grid, save


@dataclass(frozen=True)
class Walk(BaseConfig, flags="--"):
    """Walks from code to code; every image on the way should be a plausible one."""

    model: tyro.conf.Positional[str]
    """A run folder, or a shipped model's name as in mnist/dcgan."""
    out: str = "walk.png"
    """A sheet with one row a stretch (.png), or a film that comes round (.webp, .gif, .mp4)."""
    codes: Annotated[int, Range(2, 10000)] = 9
    """Random codes to pass through."""
    steps: FewOrNone = 0
    """Images from one code to the next; 0 means 10 on a sheet, 24 in a film."""
    walks: Few = 16
    """Walks shown side by side in a film."""
    seed: Seed = 0
    """Fixes the codes."""
    seconds: Duration = 0.0
    """Length of the film (seconds); 0 means 25 images a second."""
    weights: str = ""
    """Which file of the folder to take the weights from."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Walk, args=words, prog="zeuxis walk")
    model = require(load(wish.model, wish.weights), CanDecode, "walk between codes")
    generator = torch.Generator().manual_seed(wish.seed)
    circle = circular(model)
    if Path(wish.out).suffix.lower() in (".webp", ".gif", ".mp4"):
        steps = wish.steps or 24
        ways = [
            walk(model.prior(wish.codes, generator=generator), steps, circle, closed=True)
            for _ in range(wish.walks)
        ]
        images = [model.decode(way) for way in ways]
        pictures = (
            grid(torch.stack(together).cpu(), smallest=256)
            for together in zip(*images, strict=True)
        )
        print(film_of(pictures, Path(wish.out), wish.seconds))
        return
    steps = wish.steps or 10
    way = walk(model.prior(wish.codes, generator=generator), steps, circle)
    columns = steps + 1
    rows = [way[i * steps : i * steps + columns] for i in range(wish.codes - 1)]
    print(save(grid(model.decode(torch.cat(rows)).cpu(), columns, smallest=320), wish.out))
