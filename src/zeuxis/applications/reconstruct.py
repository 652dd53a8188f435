r"""What an encoder and a decoder make of given images: their codes, their reconstructions, and the
way from one to another.

A reconstruction $\hat x = D(E(x))$ is all that the code knows of an image. How much that is, is
measured by the mean squared error of pixels from 0 to 1, and by the share of variance $1 - \sum |x
- \hat x|^2 / \sum |x - \bar x|^2$ that is explained: 0 for a model that always gives the mean
image.

Source: Kingma and Welling, "Auto-Encoding Variational Bayes", 2013; White, "Sampling Generative
Networks", 2016, for walks on great circles between the codes of images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from ..capabilities import IsModel
from ..data.dataset import Dataset
from ..errors import UsageError, ZeuxisError
from ..model import require
from ..progress import track
from ..visual.grid import grid
from .interpolate import circular, walk
from .traverse import arranged, captioned

BATCH = 500
GROUND = 32  # the gray between the images of a grid


@runtime_checkable
class Autoencoder(IsModel, Protocol):
    """Turns examples into codes and codes into examples."""

    def encode(self, x: Tensor) -> Tensor: ...

    def decode(self, z: Tensor) -> Tensor: ...


def autoencoder(model: Any, verb: str) -> Any:
    """The model itself if it both encodes and decodes images; else an error that names the models
    that do."""
    found = require(model, Autoencoder, verb)
    if len(found.spec.shape) != 3:
        raise UsageError(
            f"To {verb} takes a model of images, and '{found.name}' knows examples of "
            f"shape {found.spec.shape}."
        )
    return found


def encoded(
    model: Autoencoder, x: UInt8[Tensor, "n channels height width"]
) -> Float[Tensor, "n code"]:
    """The codes of images; a sentence where they are no finite numbers."""
    z = torch.cat([model.encode(part).float().cpu() for part in x.split(BATCH)])
    if not z.isfinite().all():
        raise ZeuxisError(
            "The encoder gives codes that are no finite numbers: its training diverged, "
            "take an earlier or another run."
        )
    return z


def decoded(
    model: Autoencoder, z: Float[Tensor, "n code"]
) -> UInt8[Tensor, "n channels height width"]:
    """The images of codes."""
    return torch.cat([model.decode(part).cpu() for part in z.split(BATCH)])


def batches(data: Dataset, what: str) -> Iterator[Tensor]:
    """The images of a data set a few hundred at a time, with the time left shown."""
    parts = torch.arange(len(data)).split(BATCH)
    yield from (data.batch(part)[0].cpu() for part in track(parts, len(parts), what))


def codes_of(model: Autoencoder, data: Dataset) -> Float[Tensor, "n code"]:
    """The codes of a data set, which need not fit into memory."""
    return torch.cat([encoded(model, x) for x in batches(data, f"encoding {data.spec.name}")])


def squared_errors(
    x: UInt8[Tensor, "n channels height width"], y: UInt8[Tensor, "n channels height width"]
) -> Float[Tensor, "n"]:
    """Mean squared error of each image against another, of pixels from 0 to 1.

    Example:
        >>> x = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
        >>> round(squared_errors(x, x + 51).item(), 6)
        0.04
    """
    return ((x.double() - y.double()) / 255).square().flatten(1).mean(1)


@dataclass(frozen=True)
class Fidelity:
    """How near reconstructions come.

    Arguments:
        images: Images looked at.
        error: Mean squared error of pixels from 0 to 1.
        explained: Share of the images' variance that is explained; NaN where they are all the same.
    """

    images: int
    error: float
    explained: float

    def __str__(self) -> str:
        share = (
            f", {self.explained:.1%} of the variance explained"
            if self.explained == self.explained
            else ""
        )
        return (
            f"mean squared error {self.error:.5f} ({255 * self.error**0.5:.1f} of 255 "
            f"gray levels){share}"
        )


def fidelity(model: Autoencoder, data: Dataset) -> Fidelity:
    """Measures the reconstructions of a data set, one batch at a time.

    Arguments:
        model: Any model that encodes and decodes.
        data: At least one image.
    """
    if not len(data):
        raise UsageError("There are no images to reconstruct: give at least one.")
    total = torch.zeros(data.spec.shape, dtype=torch.float64)
    squares = lost = 0.0
    for x in batches(data, f"reconstructing {data.spec.name}"):
        pixels = x.double() / 255
        total += pixels.sum(0)
        squares += pixels.square().sum().item()
        lost += squared_errors(x, decoded(model, encoded(model, x))).sum().item()
    n, size = len(data), data.spec.size
    variance = (squares / n - (total / n).square().sum().item()) / size
    return Fidelity(n, lost / n, 1 - lost / n / variance if variance > 1e-9 else float("nan"))


def pairs(
    x: UInt8[Tensor, "n channels height width"],
    y: UInt8[Tensor, "n channels height width"],
    columns: int = 8,
) -> Image.Image:
    """Rows of originals, each above a row of their reconstructions."""
    columns = min(columns, len(x))
    missing = -len(x) % columns
    blank = torch.full((missing, *x.shape[1:]), GROUND, dtype=torch.uint8)
    rows = [torch.cat([part, blank]).unflatten(0, (-1, columns)) for part in (x, y)]
    woven = torch.stack(rows, 1).flatten(0, 2)
    return captioned(
        grid(woven, columns, smallest=columns * 64), "originals, and below each its reconstruction"
    )


def columns_of(
    parts: list[tuple[str, UInt8[Tensor, "rows _ channels height width"]]], side: int = 96
) -> Image.Image:
    """Blocks of images beside each other under their titles, row by row in line, each image
    enlarged to `side` pixels or more."""
    panels = []
    for title, block in parts:
        across = block.shape[1]
        factor = max(1, -(-side // block.shape[-1]))
        panels.append(
            captioned(
                grid(
                    block.flatten(0, 1),
                    across,
                    smallest=factor * (across * (block.shape[-1] + 1) + 1),
                ),
                title,
            )
        )
    return arranged(panels, columns=len(panels))


def between(
    model: Autoencoder,
    x: UInt8[Tensor, "n channels height width"],
    steps: int,
    closed: bool = False,
) -> UInt8[Tensor, "m channels height width"]:
    """Images on the way from image to image, their reconstructions included: along great circles
    where the model's prior is normal.

    Arguments:
        model: Any model that encodes and decodes.
        x: The images to pass through, at least two.
        steps: Images from one to the next.
        closed: Whether the way returns to the first.

    Returns:
        (n - 1) * steps + 1 images, or n * steps for a closed way.
    """
    if len(x) < 2 or steps < 1:
        raise UsageError(
            f"A way between images needs at least 2 images and 1 step, got {len(x)} and "
            f"{steps}: give more."
        )
    return decoded(model, walk(encoded(model, x), steps, circular(model), closed))
