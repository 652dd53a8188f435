r"""What the two players of a GAN minimize, as functions of the discriminator's logits $a$, with $D
= \mathrm{sigmoid}(a)$.

The non-saturating game of Goodfellow et al. 2014:

$$ L_D = \mathbb{E}[-\log D(x)] + \mathbb{E}[-\log(1 - D(G(z)))], \qquad
   L_G = \mathbb{E}[-\log D(G(z))] . $$

All work on logits, since the logarithm of a saturated probability has no gradient, and in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def discriminator_loss(
    real: Float[Tensor, "batch"], fake: Float[Tensor, "batch"]
) -> Float[Tensor, ""]:
    """L_D of the module's formula, without a factor of one half.

    Example:
        >>> import torch
        >>> round(discriminator_loss(torch.zeros(4), torch.zeros(4)).item(), 3)
        1.386
    """
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def generator_loss(fake: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    """L_G of the module's formula.

    Example:
        >>> import torch
        >>> round(generator_loss(torch.zeros(4)).item(), 3)
        0.693
    """
    return F.softplus(-fake.float()).mean()


def mean_probabilities(
    real: Float[Tensor, "batch"], fake: Float[Tensor, "batch"]
) -> dict[str, Tensor]:
    """Mean D(x) and D(G(z)), for the logs.

    Example:
        >>> import torch
        >>> mean_probabilities(torch.full((4,), 9.0), torch.zeros(4))
        {'D(x)': tensor(0.9999), 'D(G(z))': tensor(0.5000)}
    """
    return {
        "D(x)": real.detach().float().sigmoid().mean(),
        "D(G(z))": fake.detach().float().sigmoid().mean(),
    }


@contextmanager
def frozen(opponent: nn.Module) -> Iterator[None]:
    """Losses built inside have no gradient for the opponent's parameters: less work, and no stray
    gradient."""
    moving = [p for p in opponent.parameters() if p.requires_grad]
    for p in moving:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in moving:
            p.requires_grad_(True)
