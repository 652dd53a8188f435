r"""Clamping: what the decoder sees of a group's latents, and what the encoder gets in return.

The images of a group differ in one thing. Of the encoder's outputs $z_i$ only the units that stand
for it stay as they are. The others get one value for the whole group, so that nothing but the
active units can explain what differs. No gradient reaches the encoder through a clamped unit.
Instead it gets $\kappa\,(z_i - \bar z_i)$, the gradient of a penalty on the deviation from the
mean over the group, which teaches the unit to be invariant to what moves.

Source: Kulkarni et al., "Deep Convolutional Inverse Graphics Network", 2015, section 3.2.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

Units = Float[Tensor, "groups images latent"]
Mask = Bool[Tensor, "groups 1 latent"]


def active_units(kinds: Int64[Tensor, "groups"], factors: int, latent: int) -> Mask:
    """Which units a group keeps: that of its factor, or all after the factors.

    Example:
        >>> active_units(torch.tensor([1, 2]), factors=2, latent=4).int().tolist()
        [[[0, 1, 0, 0]], [[0, 0, 1, 1]]]
    """
    units = torch.arange(latent, device=kinds.device)
    return (units.clamp(max=factors) == kinds[:, None])[:, None]


def clamped(values: Units, active: Mask, to: Literal["mean", "first"]) -> Units:
    """Encoder outputs in which units that are not active have one value a group, and no gradient.

    Example:
        >>> values, active = (
        ...     torch.tensor([[[1.0, 1.0], [3.0, 3.0]]]),
        ...     torch.tensor([[[True, False]]]),
        ... )
        >>> clamped(values, active, "mean").tolist()
        [[[1.0, 2.0], [3.0, 2.0]]]
    """
    value = values.mean(1, keepdim=True) if to == "mean" else values[:, :1]
    return torch.where(active, values, value.detach())


def invariance(values: Units, active: Mask, strength: float) -> Float[Tensor, "groups images"]:
    """A penalty whose gradient is strength times (values - mean) on units that are not active."""
    off = (values - values.mean(1, keepdim=True).detach()).masked_fill(active, 0)
    return strength * off.square().sum(2) / 2
