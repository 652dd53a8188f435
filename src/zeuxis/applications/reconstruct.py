r"""Reconstructions $\hat x = D(E(x))$ of an encoder and a decoder, and ways between images.

A reconstruction is all that the latent keeps of an image. Two numbers measure it: the mean squared
error of pixels from 0 to 1, and the share of explained variance $1 - \sum |x - \hat x|^2 / \sum |x
- \bar x|^2$, which is 0 for a model that always gives the mean image.

Sources: Kingma and Welling, "Auto-Encoding Variational Bayes", 2013; White, "Sampling Generative
Networks", 2016, for great circles between the latents of images.
"""

from __future__ import annotations

import math
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
from ..visual.grid import BACKGROUND, arranged, captioned, grid
from .interpolate import has_normal_prior, interpolate

BATCH = 500


@runtime_checkable
class Autoencoder(IsModel, Protocol):
    """Encodes examples as latents and decodes latents to examples."""

    def encode(self, x: Tensor) -> Tensor: ...

    def decode(self, z: Tensor) -> Tensor: ...


def image_autoencoder(model: Any, verb: str) -> Any:
    """The model itself if it encodes and decodes images.

    Arguments:
        model: Any model.
        verb: What was asked for, to complete "cannot ..." in the error.

    Raises:
        MissingCapability: It cannot; the error names the models that can.
        UsageError: Its examples are no images.
    """
    autoencoder = require(model, Autoencoder, verb)
    if len(autoencoder.spec.shape) != 3:
        raise UsageError(
            f"Only a model of images can {verb}, and '{autoencoder.name}' was trained on examples "
            f"of shape {autoencoder.spec.shape}."
        )
    return autoencoder


def encode_images(
    model: Autoencoder, x: UInt8[Tensor, "n channels height width"]
) -> Float[Tensor, "n latent"]:
    """The latents of images, in batches; refuses latents that are not finite."""
    z = torch.cat([model.encode(part).float().cpu() for part in x.split(BATCH)])
    if not z.isfinite().all():
        raise ZeuxisError(
            "The encoder gives latents that are not finite: its training diverged, take an earlier "
            "or another run."
        )
    return z


def decode_latents(
    model: Autoencoder, z: Float[Tensor, "n latent"]
) -> UInt8[Tensor, "n channels height width"]:
    """The images of latents, in batches."""
    return torch.cat([model.decode(part).cpu() for part in z.split(BATCH)])


def reconstruct(
    model: Autoencoder, x: UInt8[Tensor, "n channels height width"]
) -> UInt8[Tensor, "n channels height width"]:
    """Images encoded and decoded."""
    return decode_latents(model, encode_images(model, x))


def batches(data: Dataset, description: str) -> Iterator[Tensor]:
    """The images of a data set in batches, with a progress bar."""
    parts = torch.arange(len(data)).split(BATCH)
    yield from (data.batch(part)[0].cpu() for part in track(parts, len(parts), description))


def encode_dataset(model: Autoencoder, data: Dataset) -> Float[Tensor, "n latent"]:
    """The latents of a data set, whose images need not fit into memory."""
    parts = batches(data, f"encoding {data.spec.name}")
    return torch.cat([encode_images(model, x) for x in parts])


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
    """How close reconstructions are to the images.

    Arguments:
        images: Number of images.
        error: Mean squared error of pixels from 0 to 1.
        explained: Share of the images' variance that is explained; NaN where all are the same.
    """

    images: int
    error: float
    explained: float

    def __str__(self) -> str:
        text = (
            f"mean squared error {self.error:.5f} ({255 * self.error**0.5:.1f} of 255 gray levels)"
        )
        if math.isnan(self.explained):
            return text
        return f"{text}, {self.explained:.1%} of the variance explained"


def measure_fidelity(model: Autoencoder, data: Dataset) -> Fidelity:
    """Measures the reconstructions of a data set, batch by batch.

    Arguments:
        model: Any model that encodes and decodes.
        data: At least one image.
    """
    if not len(data):
        raise UsageError("There are no images to reconstruct: give at least one.")
    total = torch.zeros(data.spec.shape, dtype=torch.float64)
    squares = error = 0.0
    for x in batches(data, f"reconstructing {data.spec.name}"):
        pixels = x.double() / 255
        total += pixels.sum(0)
        squares += pixels.square().sum().item()
        error += squared_errors(x, reconstruct(model, x)).sum().item()
    n, size = len(data), data.spec.size
    variance = (squares / n - (total / n).square().sum().item()) / size
    return Fidelity(n, error / n, 1 - error / n / variance if variance > 1e-9 else math.nan)


def interpolate_images(
    model: Autoencoder,
    x: UInt8[Tensor, "n channels height width"],
    steps: int,
    closed: bool = False,
) -> UInt8[Tensor, "m channels height width"]:
    """Images on the way from image to image, reconstructions of the ends included.

    The way follows great circles where the model's prior is normal.

    Arguments:
        model: Any model that encodes and decodes.
        x: The images to pass through, at least two.
        steps: Images from one to the next.
        closed: Return to the first image.

    Returns:
        (n - 1) * steps + 1 images, or n * steps for a closed way.
    """
    if len(x) < 2 or steps < 1:
        raise UsageError(
            f"A way between images needs at least 2 images and 1 step, got {len(x)} and {steps}: "
            "give more."
        )
    z = interpolate(encode_images(model, x), steps, has_normal_prior(model), closed)
    return decode_latents(model, z)


def pair_sheet(
    x: UInt8[Tensor, "n channels height width"],
    y: UInt8[Tensor, "n channels height width"],
    columns: int = 8,
) -> Image.Image:
    """Rows of originals, each above a row of their reconstructions."""
    columns = min(columns, len(x))
    blank = torch.full((-len(x) % columns, *x.shape[1:]), BACKGROUND, dtype=torch.uint8)
    rows = [torch.cat([part, blank]).unflatten(0, (-1, columns)) for part in (x, y)]
    interleaved = torch.stack(rows, 1).flatten(0, 2)
    return captioned(
        grid(interleaved, columns, smallest=columns * 64),
        "originals, and below each its reconstruction",
    )


def panel_sheet(
    panels: list[tuple[str, UInt8[Tensor, "rows _ channels height width"]]], side: int = 96
) -> Image.Image:
    """Blocks of images next to each other under their titles, row aligned with row.

    Arguments:
        panels: Titles and blocks (rows, columns, channels, height, width), which differ in their
            columns only.
        side: Images are enlarged to this width or more (pixels).
    """
    pictures = []
    for title, block in panels:
        columns, width = block.shape[1], block.shape[-1]
        factor = max(1, -(-side // width))
        picture = grid(block.flatten(0, 1), columns, smallest=factor * (columns * (width + 1) + 1))
        pictures.append(captioned(picture, title))
    return arranged(pictures, columns=len(pictures))
