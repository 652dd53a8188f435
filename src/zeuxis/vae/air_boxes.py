"""Boxes around objects that a model has drawn, each on a canvas of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

VISIBLE = 0.25  # share of an object's brightest pixel from which a pixel belongs to it


def located(
    objects: Float[Tensor, "n K channels height width"],
    scale: Float[Tensor, "n K"],
    center: Float[Tensor, "n K 2"],
) -> Float[Tensor, "n K 4"]:
    """The smallest boxes around the visible pixels of objects; their windows where there are none.

    A window is larger than its object by a margin that the model is free to choose, so that boxes
    of windows would compare it by its habits.

    Arguments:
        objects: Each object on a canvas of its own, with pixels from 0.
        scale: Sides of the windows as shares of the canvas's.
        center: Their centers, across and down, from -1 to 1.

    Returns:
        Left, top, right and bottom in pixels; pixel 0 reaches from 0 to 1.

    Example:
        >>> x = torch.zeros(1, 1, 1, 6, 8)
        >>> x[..., 2:4, 3:7] = 0.9
        >>> located(x, torch.ones(1, 1), torch.zeros(1, 1, 2)).tolist()
        [[[3.0, 2.0, 7.0, 4.0]]]
    """
    bright = objects.amax(2)  # (n, K, height, width)
    most = bright.amax((2, 3), keepdim=True)
    visible = (bright >= VISIBLE * most) & (most > 0)
    lows, highs = [], []
    for axis in (0, 1):  # across, then down
        there = visible.any(2 + axis)
        line, pixels, there = there.to(torch.uint8), there.shape[2], there.any(2)
        first, last = line.argmax(2), pixels - line.flip(2).argmax(2)
        low, high = ((center[..., axis] + end * scale + 1) / 2 * pixels for end in (-1, 1))
        lows.append(torch.where(there, first.to(low), low.clamp(0, pixels)))
        highs.append(torch.where(there, last.to(high), high.clamp(0, pixels)))
    return torch.stack([*lows, *highs], 2)
