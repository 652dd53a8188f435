r"""Sampling from a model that gives each value's distribution given those before it.

A value is drawn by inverting its cumulative distribution at a uniform number. These numbers, one
for each image and position, are drawn first: two ways to compute the same distributions therefore
give the same images. A temperature T raises probabilities to the power 1/T; below 1 it favors
likely levels.

**Filling in.** If the visible values come first in the order, the rest is drawn from exactly
$p(x_\text{rest} | x_\text{visible})$. For any other mask, visible values are clamped when their
turn comes, and a hidden value is drawn from $p(x_i | x_{<i})$, which ignores the visible values
after it: a stroke may run into one that contradicts it. The weight
$w = \prod_{i\,\text{visible}} p(x_i | x_{<i})$ of an outcome measures what is lost, and `tries`
regains it: for each image, one of that many outcomes is chosen with probability proportional to $w$
(sampling importance resampling), which tends to the exact conditional.
"""

from __future__ import annotations

from collections.abc import Generator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..capabilities import CanAutoregress, Chosen
from ..errors import UsageError

Autoregression = Generator[Tensor, Tensor | Chosen, None]


def unpacked(sent: Tensor | Chosen) -> tuple[Tensor, Tensor | None]:
    """The levels that a generator was sent, and the rows to continue from, if any."""
    return (sent.levels, sent.rows) if isinstance(sent, Chosen) else (sent, None)


def draw(
    log_p: Float[Tensor, "n levels"], u: Float[Tensor, "n"], temperature: float = 1.0
) -> Int[Tensor, "n"]:
    """The levels at which the cumulative distributions pass u.

    Example:
        >>> draw(
        ...     torch.tensor([[0.25, 0.75], [0.25, 0.75]]).log(), torch.tensor([0.2, 0.3])
        ... ).tolist()
        [0, 1]
    """
    log_p = log_p.double() if temperature == 1 else log_p.double() / temperature
    return torch.searchsorted(
        torch.softmax(log_p, 1).cumsum_(1), u.double()[:, None].contiguous()
    ).clamp_(max=log_p.shape[1] - 1)[:, 0]


def run_autoregression(
    autoregression: Autoregression,
    u: Float[Tensor, "n size"],
    values: Int[Tensor, "n size"] | None = None,
    known: Bool[Tensor, "n size"] | None = None,
    temperature: float = 1.0,
) -> tuple[Int[Tensor, "n size"], Float[Tensor, "n"]]:
    """Draws every value in turn, or takes it from `values` where it is known.

    Arguments:
        autoregression: What `model.autoregress(n)` returned.
        u: Uniform numbers for each image and position, in the model's order.
        values: Known levels in the same order.
        known: Where to take them; everywhere by default.
        temperature: Temperature of the distributions that are drawn from.

    Returns:
        The levels, and the log-probability of the known ones given all before them (nats, at
        temperature 1).
    """
    levels = torch.empty(u.shape, dtype=torch.int64, device=u.device)
    nats = u.new_zeros(len(u), dtype=torch.float64)
    if not u.shape[1]:
        return levels, nats
    log_p = next(autoregression)
    for i in range(u.shape[1]):
        if values is None:
            levels[:, i] = draw(log_p, u[:, i], temperature)
        elif known is None:
            levels[:, i] = values[:, i]
        else:
            drawn = draw(log_p, u[:, i], temperature)
            levels[:, i] = torch.where(known[:, i], values[:, i], drawn)
        if values is not None:
            one = log_p.double().gather(1, levels[:, i : i + 1])[:, 0]
            nats += one if known is None else torch.where(known[:, i], one, 0.0)
        if i + 1 < u.shape[1]:
            log_p = autoregression.send(levels[:, i])
    autoregression.close()
    return levels, nats


def in_order(v: Tensor) -> Tensor:
    """Images (n, C, H, W) as rows of values in the order row, column, channel."""
    return v.permute(0, 2, 3, 1).flatten(1)


def as_images(flat: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The reverse of `in_order`."""
    channels, height, width = shape
    return flat.unflatten(1, (height, width, channels)).permute(0, 3, 1, 2).contiguous()


def uniform(n: int, size: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Uniform numbers (n, size) in float64, drawn on the generator's device."""
    where = generator.device if generator is not None else device
    return torch.rand(n, size, generator=generator, device=where, dtype=torch.float64).to(device)


def check_temperature(temperature: float) -> None:
    """Refuses a temperature of 0 or below."""
    if not temperature > 0:
        raise UsageError(
            f"A temperature must be above 0, got {temperature}: 1 draws from the model "
            "itself, less favors the likely."
        )


def naive_autoregress(
    model: CanAutoregress, n: int, shape: tuple[int, ...], y: Tensor | None = None
) -> Autoregression:
    """The same as `model.autoregress` by a full pass for each value; tests compare the two."""
    channels, height, width = shape
    x = torch.zeros(n, *shape, dtype=torch.uint8)
    for r in range(height):
        for c in range(width):
            for k in range(channels):
                levels, rows = unpacked((yield model.conditionals(x, y)[:, k, r, c]))
                x[:, k, r, c] = to_pixels(levels, model.levels).to(x.device)
                if rows is not None:
                    x, y = x[rows], None if y is None else y[rows]


def to_pixels(levels: Tensor, count: int) -> Tensor:
    """Levels 0 to count - 1 as pixels spread evenly over 0 to 255.

    Example:
        >>> to_pixels(torch.tensor([0, 1, 2]), 3)
        tensor([  0, 128, 255], dtype=torch.uint8)
    """
    return ((2 * 255 * levels + count - 1) // (2 * (count - 1))).to(torch.uint8)


def to_levels(pixels: Tensor, count: int) -> Tensor:
    """The level nearest to each pixel 0 to 255.

    Example:
        >>> to_levels(torch.tensor([0, 63, 64, 255], dtype=torch.uint8), 3).tolist()
        [0, 0, 1, 2]
    """
    return (2 * (count - 1) * pixels.long() + 255) // 510
