r"""Edits: an image is encoded, its code moved along directions of attributes, and the code decoded.

$$ x' = D(E(x) + \sum_a m_a v_a) $$

with $m_a$ steps along the direction of attribute a. What the model cannot reconstruct, often the
fine detail, is missing from every edit. **Keeping detail** adds it back as it was, $x + D(z') -
D(z)$, clipped to the range of pixels: with no steps the image itself comes back. It suits edits
that leave the rest of the image in its place. Where edges move, as when a head turns, the detail
stays behind as a ghost.

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
from .attributes import Directions
from .reconstruct import Autoencoder, decoded, encoded


@dataclass(frozen=True)
class Edit:
    """Images as they came, as the model reconstructs them, and as they were edited; all (n, C, H,
    W)."""

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
        >>> model = VAE(VAEConfig(channels=(4, 4), hidden_dim=16, latent_dim=3), Spec("tiny", (1, 28, 28))).eval()
        >>> found = Directions(("smiling",), ("binary",), torch.ones(1, 3), (1.0,), ((2, 2),), (0.5,))
        >>> x = torch.full((2, 1, 28, 28), 7, dtype=torch.uint8)
        >>> torch.equal(edit(model, x, found, {"smiling": 0.0}, keep_detail=True).edited, x)
        True
    """
    z = encoded(model, x)
    reconstruction, edited = decoded(model, z), decoded(model, directions.move(z, amounts))
    if keep_detail:
        edited = (x.short() + edited.short() - reconstruction.short()).clamp(0, 255).byte()
    return Edit(x, reconstruction, edited)


def amounts(words: Sequence[str]) -> dict[str, float]:
    """Steps by attribute from words like `smiling=+2`.

    Example:
        >>> amounts(["smiling=+2", "glasses=-1"])
        {'smiling': 2.0, 'glasses': -1.0}
    """
    found: dict[str, float] = {}
    for word in words:
        name, equals, number = word.rpartition("=")
        try:
            steps = float(number)
        except ValueError:
            steps = math.nan
        if not equals or not name or not math.isfinite(steps):
            raise UsageError(
                f"--attribute {word} cannot be taken: write a name and a number of "
                "steps, as in --attribute smiling=+2."
            )
        if name in found:
            raise UsageError(f"--attribute {name} is given twice: add its steps up.")
        found[name] = steps
    return found
