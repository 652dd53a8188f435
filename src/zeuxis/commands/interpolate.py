"""zeuxis interpolate: the way from one given image to another through the codes between, as a sheet
or as a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from ..applications.reconstruct import autoencoder, between, columns_of
from ..checkpoints.weights import load
from ..data.images import image_paths, read_images
from ..errors import UsageError
from ..ranges import BaseConfig, Duration, FewOrNone
from ..visual.film import film_of
from ..visual.grid import enlarged, save


@dataclass(frozen=True)
class Interpolate(BaseConfig, flags="--"):
    """Encodes images and walks from code to code: zeuxis interpolate RUN a.png b.png. The way
    follows the great circle where the model's prior is normal, and is straight where it is not; it
    begins and ends with reconstructions."""

    model: tyro.conf.Positional[str]
    """A run folder of a model that encodes and decodes images."""
    images: tyro.conf.Positional[tuple[str, ...]]
    """Two or more image files, or folders of them, in the order of the way."""
    out: str = "interpolation.png"
    """A sheet with one row from each image to the next (.png), or a film that comes back to the
    first (.webp, .gif, .mp4)."""
    steps: FewOrNone = 0
    """Images from one to the next; 0 means 8 on a sheet, 24 in a film."""
    seconds: Duration = 0.0
    """Length of the film (seconds); 0 means 25 images a second."""
    invert: bool = False
    """Turn images into their negative first: models of digits know light strokes on dark."""
    weights: str = ""
    """Which file of the folder to take the weights from."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Interpolate, args=words, prog="zeuxis interpolate")
    paths = image_paths(wish.images)
    if len(paths) < 2:
        raise UsageError(
            f"A way goes between at least 2 images, got {len(paths)}: name more after the model."
        )
    model = autoencoder(load(wish.model, wish.weights), "interpolate between images")
    x = read_images(paths, model.spec.shape, wish.invert)
    if (path := Path(wish.out)).suffix.lower() in (".webp", ".gif", ".mp4"):
        way = between(model, x, wish.steps or 24, closed=True)
        print(film_of((enlarged(one, 256) for one in way), path, wish.seconds))
        return
    steps = wish.steps or 8
    way = between(model, x, steps)
    rows = torch.stack([way[i * steps : (i + 1) * steps + 1] for i in range(len(x) - 1)])
    print(
        save(
            columns_of(
                [
                    ("from", x[:-1, None]),
                    ("reconstructed, and the way between", rows),
                    ("to", x[1:, None]),
                ],
                64,
            ),
            wish.out,
        )
    )
