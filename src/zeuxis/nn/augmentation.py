"""Images moved at random, and differentiably: the same thing seen a little otherwise.

An affine map of each image's own (turned, slanted, scaled about the middle), to whose places a
coarse grid of random shifts is added, interpolated to every pixel: the elastic distortions of
Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to Visual
Document Analysis", 2003, in few numbers.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..noise import Noise

BENDS = 4  # shifts across and down the grid that bends an image: of 28 pixels one in nine


@lru_cache
def bumps(high: int, wide: int) -> Float[Tensor, "bends pixels"]:
    """What each shift of the coarse grid adds to every pixel's: bicubic interpolation as a matrix,
    a twentieth of its time."""
    one = torch.eye(BENDS * BENDS).view(-1, 1, BENDS, BENDS)
    return F.interpolate(one, (high, wide), mode="bicubic", align_corners=True).flatten(1)


def move(
    x: Float[Tensor, "n channels height width"], strength: float, noise: Noise
) -> Float[Tensor, "n channels height width"]:
    """Each image turned, slanted, scaled and bent by numbers of its own; beyond its edge its rim
    goes on.

    Arguments:
        x: Images.
        strength: How much; at 1 up to 20 degrees, a slant of 0.4, a fifth larger or smaller each
            way, shifts by 0.075 of a side.
        noise: Where the numbers come from.

    Example:
        >>> x = torch.rand(3, 1, 28, 28)
        >>> torch.allclose(move(x, 0.0, Noise(0, 0, slice(0, 3), 3)), x, atol=1e-5)
        True
    """
    angle, slant, wide, high = (
        noise.uniform(4, low=-strength, high=strength) * x.new_tensor([0.35, 0.4, 0.2, 0.2])
    ).unbind(1)
    cos, sin = angle.cos(), angle.sin()
    zero = torch.zeros_like(angle)
    across = torch.stack([cos * wide.exp(), slant * cos - sin, zero], 1)
    down = torch.stack([sin * wide.exp(), (slant * sin + cos) * high.exp(), zero], 1)
    grid = F.affine_grid(torch.stack([across, down], 1), list(x.shape), align_corners=False)
    bend = noise.uniform(2 * BENDS * BENDS, low=-0.15 * strength, high=0.15 * strength).view(
        -1, 2, BENDS, BENDS
    )
    with torch.autocast(x.device.type, enabled=False):
        bend = bend.flatten(2) @ bumps(*x.shape[-2:]).to(x.device)
    grid = grid + bend.view(-1, 2, *x.shape[-2:]).permute(0, 2, 3, 1)
    return F.grid_sample(x, grid.to(x.dtype), padding_mode="border", align_corners=False)


def mirror(
    x: Float[Tensor, "n channels height width"], noise: Noise
) -> Float[Tensor, "n channels height width"]:
    """Each image, or its mirror image, left to right, with even chances.

    Arguments:
        x: Images.
        noise: Where the choices come from.

    Example:
        >>> x = torch.rand(3, 1, 28, 28)
        >>> bool((mirror(x, Noise(0, 0, slice(0, 3), 3)).sum((1, 2, 3)) - x.sum((1, 2, 3))).abs().max() < 1e-2)
        True
    """
    return torch.where(noise.uniform(1, 1, 1) < 0.5, x.flip(3), x)
