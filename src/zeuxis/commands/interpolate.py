"""zeuxis interpolate: the way between latents, random ones or those of images, as a sheet or a
film."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro
from PIL import Image
from torch import Tensor

from ..applications.interpolate import has_normal_prior, interpolate
from ..applications.reconstruct import (
    image_autoencoder,
    interpolate_images,
    panel_sheet,
)
from ..capabilities import CanDecode
from ..errors import UsageError
from ..model import require
from ..ranges import BaseConfig, Duration, Range, Seed, SmallCount, SmallCountOrNone
from ..visual.film import film_of
from ..visual.grid import enlarged, grid, save
from .inputs import FLAT, FileInput, ModelInput, is_film


@dataclass(frozen=True)
class Interpolate(BaseConfig, flags="--"):
    """Decodes latents on the way from one to the next: between random latents, zeuxis interpolate
    RUN, or between those of images, zeuxis interpolate RUN a.png b.png. The way follows the great
    circle where the model's prior is normal, and is straight where it is not."""

    model: Annotated[ModelInput, FLAT]
    images: Annotated[FileInput, FLAT] = field(default_factory=FileInput)
    out: str = "interpolation.png"
    """A sheet with one row for each stretch (.png), or a film that returns to its start (.webp,
    .gif, .mp4)."""
    points: Annotated[int, Range(2, 10000)] = 9
    """Random latents to pass through, without image files."""
    steps: SmallCountOrNone = 0
    """Images from one latent to the next; 0 means 24 in a film, 8 on a sheet between images and 10
    on a sheet between random latents."""
    walks: SmallCount = 16
    """Ways shown side by side in a film between random latents."""
    seed: Seed = 0
    """Fixes the random latents."""
    seconds: Duration = 0.0
    """Length of the film (seconds); 0 means 25 images a second."""


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Interpolate, args=argv, prog="zeuxis interpolate")
    draw = between_images if args.images.paths else between_random_latents
    picture = draw(args)
    if isinstance(picture, Image.Image):
        print(save(picture, args.out))
    else:
        print(film_of(picture, Path(args.out), args.seconds))


def between_random_latents(args: Interpolate) -> Image.Image | Iterator[Image.Image]:
    """A sheet with one row from each random latent to the next, or the frames of a film."""
    model = require(args.model.load(), CanDecode, "interpolate between latents")
    generator = torch.Generator().manual_seed(args.seed)
    circle = has_normal_prior(model)

    def way(steps: int, closed: bool) -> Tensor:
        return interpolate(model.prior(args.points, generator=generator), steps, circle, closed)

    if is_film(args.out):
        walks = [model.decode(way(args.steps or 24, closed=True)) for _ in range(args.walks)]
        return (grid(torch.stack(f).cpu(), smallest=256) for f in zip(*walks, strict=True))
    steps = args.steps or 10
    z = way(steps, closed=False)
    rows = [z[i * steps : (i + 1) * steps + 1] for i in range(args.points - 1)]
    return grid(model.decode(torch.cat(rows)).cpu(), steps + 1, smallest=320)


def between_images(args: Interpolate) -> Image.Image | Iterator[Image.Image]:
    """A sheet with one row from each image to the next, or the frames of a film."""
    model = image_autoencoder(args.model.load(), "interpolate between images")
    x, _ = args.images.read(model.spec)
    if len(x) < 2:
        raise UsageError(
            f"Interpolation needs at least 2 images, got {len(x)}: name more after the model."
        )
    if is_film(args.out):
        frames = interpolate_images(model, x, args.steps or 24, closed=True)
        return (enlarged(frame, 256) for frame in frames)
    steps = args.steps or 8
    way = interpolate_images(model, x, steps)
    rows = torch.stack([way[i * steps : (i + 1) * steps + 1] for i in range(len(x) - 1)])
    panels = [
        ("from", x[:-1, None]),
        ("reconstructed, and the way between", rows),
        ("to", x[1:, None]),
    ]
    return panel_sheet(panels, 64)
