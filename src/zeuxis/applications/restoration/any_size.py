"""Images of any size and of gray or color by a model of one size and one kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...errors import UsageError
from ...progress import track
from .operators import Average, Mask, Operator, batches
from .tiles import Tiling

ROWS = 400  # samples at a time: images times n
Sampler = Callable[..., Tensor]


def in_channels(
    model: Any, y: Tensor, operator: Operator, sigma: float, n: int, sampler: Sampler, seed: int
) -> Tensor:
    """Samples (n, batch, C, H, W) by a model of as many channels, or of 1 or 3 instead."""
    if len(model.spec.shape) != 3:
        raise UsageError(
            f"Only a model of images can restore images, and '{model.name}' was trained on "
            f"examples of shape {model.spec.shape}."
        )
    batch, have = y.shape[:2]
    want = model.spec.shape[0]
    if have == want:
        return in_tiles(model, y, operator, sigma, n, sampler, seed)
    if {have, want} != {1, 3}:
        raise UsageError(
            f"The images have {have} channels and the model's have {want}: give gray images or RGB."
        )
    if want == 3:
        x = in_tiles(model, y.expand(-1, 3, -1, -1), operator, 3**0.5 * sigma, n, sampler, seed)
        return x.mean(2, keepdim=True)
    if isinstance(operator, Mask) and operator.visible.ndim == 4:
        operator = Mask(operator.visible.repeat_interleave(3, 0))
    x = in_tiles(model, y.flatten(0, 1)[:, None], operator, sigma, n, sampler, seed)
    return x.view(n, batch, 3, *x.shape[3:])


def in_tiles(
    model: Any, y: Tensor, operator: Operator, sigma: float, n: int, sampler: Sampler, seed: int
) -> Tensor:
    """Samples (n, batch, C, H, W) by tiles of the model's size, some images at a time."""
    side = tuple(model.spec.shape[1:])
    factor = operator.factor if isinstance(operator, Average) else 1
    if any(length % factor for length in side):
        fits = [f for f in range(2, min(side)) if not any(length % f for length in side)]
        raise UsageError(
            f"The factor is {factor}, and does not divide the model's {side[0]} x {side[1]} "
            f"pixels: give one of {', '.join(map(str, fits)) or 'none'}."
        )
    height, width = (length * factor for length in y.shape[2:])
    tiling = Tiling(height, width, (side[0], side[1]), factor)
    whole = (height, width) == side
    tiles = tiling.cut(y, "constant" if isinstance(operator, Mask) else "replicate", factor)
    needed = torch.arange(len(tiles))
    if isinstance(operator, Mask) and not whole:
        visible = tiling.cut(operator.visible.expand(len(y), 1, height, width), "constant")
        needed = needed[~visible.flatten(1).all(1)]  # the others are known
        operator = Mask(visible[needed])
    if len(needed) == len(tiles):
        x = in_batches(model, tiles, operator, sigma, n, sampler, seed)
    else:
        x = tiles.expand(n, *tiles.shape).clone()
        if len(needed):
            x[:, needed] = in_batches(model, tiles[needed], operator, sigma, n, sampler, seed)
    return x if whole else tiling.join(x)


def in_batches(
    model: Any, y: Tensor, operator: Operator, sigma: float, n: int, sampler: Sampler, seed: int
) -> Tensor:
    """Samples (n, batch, C, H, W) for images of the model's size, some at a time."""
    rows, generator = max(1, ROWS // n), torch.Generator().manual_seed(seed)
    parts = [
        sampler(model, some, part, sigma, n=n, generator=generator).float().cpu()
        for some, part in track(batches(y, operator, rows), -(-len(y) // rows), "restoring")
    ]
    return torch.cat(parts, 1)
