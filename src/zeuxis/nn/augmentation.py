"""Random augmentations of images: elastic distortions, flips and shifts.

An elastic distortion is an affine map (rotation, shear, scale about the center) plus a coarse grid
of random shifts, interpolated to every pixel. This is the distortion of Simard, Steinkraus and
Platt, "Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis", 2003,
with fewer random numbers.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from ..noise import Noise

GRID = 4  # side of the grid of shifts: one shift for about 9 pixels of a side of 28


@lru_cache
def bicubic_matrix(height: int, width: int) -> Float[Tensor, "shifts pixels"]:
    """Bicubic interpolation of the grid as a matrix, which is 20 times as fast."""
    one_hot = torch.eye(GRID * GRID).view(-1, 1, GRID, GRID)
    return F.interpolate(one_hot, (height, width), mode="bicubic", align_corners=True).flatten(1)


def random_elastic(
    x: Float[Tensor, "n channels height width"], strength: float, noise: Noise
) -> Float[Tensor, "n channels height width"]:
    """Distorts each image at random; pixels from outside repeat the border.

    Arguments:
        x: Images.
        strength: 1 means up to 20 degrees, a shear of 0.4, a scale of a fifth along each axis, and
            shifts by 0.075 of a side. 0 changes nothing.
        noise: Source of the random numbers.

    Example:
        >>> x = torch.rand(3, 1, 28, 28)
        >>> torch.allclose(random_elastic(x, 0.0, Noise(0, 0, slice(0, 3), 3)), x, atol=1e-5)
        True
    """
    limits = x.new_tensor([0.35, 0.4, 0.2, 0.2])
    angle, shear, log_width, log_height = (
        noise.uniform(4, low=-strength, high=strength) * limits
    ).unbind(1)
    cos, sin = angle.cos(), angle.sin()
    zero = torch.zeros_like(angle)
    across = torch.stack([cos * log_width.exp(), shear * cos - sin, zero], 1)
    down = torch.stack([sin * log_width.exp(), (shear * sin + cos) * log_height.exp(), zero], 1)
    grid = F.affine_grid(torch.stack([across, down], 1), list(x.shape), align_corners=False)
    limit = 0.15 * strength
    shifts = noise.uniform(2 * GRID * GRID, low=-limit, high=limit).view(-1, 2, GRID * GRID)
    with torch.autocast(x.device.type, enabled=False):
        shifts = shifts @ bicubic_matrix(*x.shape[-2:]).to(x.device)
    grid = grid + shifts.view(-1, 2, *x.shape[-2:]).permute(0, 2, 3, 1)
    return F.grid_sample(x, grid.to(x.dtype), padding_mode="border", align_corners=False)


def random_flip(
    x: Float[Tensor, "n channels height width"], noise: Noise
) -> Float[Tensor, "n channels height width"]:
    """Flips each image from left to right with probability 1/2.

    Arguments:
        x: Images.
        noise: Source of the random numbers.

    Example:
        >>> x = torch.rand(3, 1, 28, 28)
        >>> y = random_flip(x, Noise(0, 0, slice(0, 3), 3))
        >>> torch.allclose(y.sum((1, 2, 3)), x.sum((1, 2, 3)), rtol=1e-4)
        True
    """
    return torch.where(noise.uniform(1, 1, 1) < 0.5, x.flip(3), x)


def random_shift(
    x: UInt8[Tensor, "n channels height width"], most: int, noise: Noise
) -> UInt8[Tensor, "n channels height width"]:
    """Shifts each image by whole pixels in both directions; pixels from outside repeat the border.

    Arguments:
        x: Raw images.
        most: The largest shift (pixels).
        noise: Source of the random numbers.

    Example:
        >>> x = torch.zeros(2, 1, 5, 5, dtype=torch.uint8)
        >>> x[:, :, 2, 2] = 9
        >>> random_shift(x, 2, Noise(0, 0, slice(0, 2), 2)).sum((1, 2, 3)).tolist()
        [9, 9]
    """
    if not most:
        return x
    n, channels, height, width = x.shape
    down, across = (noise.integers(2 * most + 1, 2) - most).unbind(1)
    rows = (torch.arange(height) + down[:, None]).clamp(0, height - 1)
    columns = (torch.arange(width) + across[:, None]).clamp(0, width - 1)
    example, channel = torch.arange(n)[:, None, None, None], torch.arange(channels)[:, None, None]
    return x[example, channel, rows[:, None, :, None], columns[:, None, None, :]]
