r"""Edits: encode an image, move its latent along directions of attributes, decode it.

$$ x' = D(E(x) + \sum_a m_a v_a) $$

with $m_a$ steps along the direction of attribute a. What the model cannot reconstruct, often the
fine detail, is missing from every edit. With `keep_detail` it is added back, $x + D(z') - D(z)$,
clipped to the range of pixels: with no steps the image itself comes back. This suits edits that
leave the rest of the image in its place. Where edges move, as when a head turns, the old detail
remains as a ghost.

Source: Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", 2016, section
4.1, for edits along attribute vectors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import UInt8
from torch import Tensor

from ..errors import UsageError
from .directions import Directions
from .reconstruct import Autoencoder, decode_latents, encode_images


@dataclass(frozen=True)
class Edit:
    """The images, their reconstructions and the edits; all uint8 (n, C, H, W)."""

    original: Tensor
    reconstruction: Tensor
    edited: Tensor


def edit(
    model: Autoencoder,
    x: UInt8[Tensor, "n channels height width"],
    directions: Directions,
    amounts: Mapping[str, float],
    keep_detail: bool = False,
) -> Edit:
    """Moves images along attributes.

    Arguments:
        model: Any model that encodes and decodes.
        x: The images.
        directions: Of this model's attributes.
        amounts: Steps along each attribute: 1 leads from the mean of images without it to that of
            images with it, or changes a number by one standard deviation.
        keep_detail: Add what the reconstruction loses to the edited image.

    Example:
        >>> import torch
        >>> from zeuxis.data.dataset import Spec
        >>> from zeuxis.vae.vae import VAE, VAEConfig
        >>> config = VAEConfig(channels=(4, 4), hidden_dim=16, latent_dim=3)
        >>> model = VAE(config, Spec("tiny", (1, 28, 28))).eval()
        >>> directions = Directions(
        ...     ("smiling",), ("binary",), torch.ones(1, 3), (1.0,), ((2, 2),), (0.5,)
        ... )
        >>> x = torch.full((2, 1, 28, 28), 7, dtype=torch.uint8)
        >>> result = edit(model, x, directions, {"smiling": 0.0}, keep_detail=True)
        >>> torch.equal(result.edited, x)
        True
    """
    z = encode_images(model, x)
    reconstruction = decode_latents(model, z)
    edited = decode_latents(model, directions.move(z, amounts))
    if keep_detail:
        edited = (x.short() + edited.short() - reconstruction.short()).clamp(0, 255).byte()
    return Edit(x, reconstruction, edited)


def parse_amounts(options: Sequence[str]) -> dict[str, float]:
    """Steps by attribute, from the values of `--attribute`.

    Example:
        >>> parse_amounts(["smiling=+2", "glasses=-1"])
        {'smiling': 2.0, 'glasses': -1.0}
    """
    amounts: dict[str, float] = {}
    for option in options:
        name, equals, number = option.rpartition("=")
        try:
            steps = float(number)
        except ValueError:
            steps = math.nan
        if not equals or not name or not math.isfinite(steps):
            raise UsageError(
                f"--attribute {option} is not understood: write a name and a number of steps, as "
                "in --attribute smiling=+2."
            )
        if name in amounts:
            raise UsageError(f"--attribute {name} is given twice: add its steps up.")
        amounts[name] = steps
    return amounts
