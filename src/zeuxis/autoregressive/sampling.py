r"""Drawing from a model that gives each number's law given those before it.

A number is drawn by inverting its cumulative distribution at a uniform number, one for each image
and place, drawn beforehand: two ways of computing the same laws therefore give the same images.
Temperature T raises probabilities to the power 1/T: below 1 the likelier levels are favored.

**Filling in.** Where the given numbers come first in the order, the rest is drawn from exactly
$p(x_{rest} | x_{given})$. For any other mask given numbers are clamped as the scan passes them, and
a hidden number is then drawn from $p(x_i | x_{<i})$, which does not know the given numbers behind
it: a stroke may run into one that contradicts it. What is lost is measured by the weight $w =
\prod_{i\,given} p(x_i | x_{<i})$ of the outcome, and won back by `tries`: of so many outcomes for
each image one is chosen with probability proportional to $w$ (sampling, importance resampling),
which tends to the exact conditional as tries grow.
"""

from __future__ import annotations

from collections.abc import Generator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..capabilities import CanScan
from ..errors import UsageError

Scan = Generator[Tensor, Tensor, None]


def draw(
    log_p: Float[Tensor, "n levels"], u: Float[Tensor, "n"], temperature: float = 1.0
) -> Int[Tensor, "n"]:
    """The levels at which the cumulative distributions pass u.

    Example:
        >>> draw(torch.tensor([[0.25, 0.75], [0.25, 0.75]]).log(), torch.tensor([0.2, 0.3])).tolist()
        [0, 1]
    """
    log_p = log_p.double() if temperature == 1 else log_p.double() / temperature
    return torch.searchsorted(
        torch.softmax(log_p, 1).cumsum_(1), u.double()[:, None].contiguous()
    ).clamp_(max=log_p.shape[1] - 1)[:, 0]


def follow(
    scan: Scan,
    u: Float[Tensor, "n size"],
    given: Int[Tensor, "n size"] | None = None,
    known: Bool[Tensor, "n size"] | None = None,
    temperature: float = 1.0,
) -> tuple[Int[Tensor, "n size"], Float[Tensor, "n"]]:
    """Walks through a scan: draws every number, or takes it from those given where it is known.

    Arguments:
        scan: What `model.scan(n)` returned.
        u: Uniform numbers, one for each image and place, in the scan's order.
        given: Levels in the same order.
        known: Where to take them; everywhere if it is left out.
        temperature: Of the law drawn from.

    Returns:
        The levels, and the log-probability of the known ones given all before them (nats, at
        temperature 1).
    """
    found, nats = (
        torch.empty(u.shape, dtype=torch.int64, device=u.device),
        u.new_zeros(len(u), dtype=torch.float64),
    )
    if not u.shape[1]:
        return found, nats
    log_p = next(scan)
    for i in range(u.shape[1]):
        if given is None:
            found[:, i] = draw(log_p, u[:, i], temperature)
        elif known is None:
            found[:, i] = given[:, i]
        else:
            found[:, i] = torch.where(known[:, i], given[:, i], draw(log_p, u[:, i], temperature))
        if given is not None:
            one = log_p.double().gather(1, found[:, i : i + 1])[:, 0]
            nats += one if known is None else torch.where(known[:, i], one, 0.0)
        if i + 1 < u.shape[1]:
            log_p = scan.send(found[:, i])
    scan.close()
    return found, nats


def in_order(v: Tensor) -> Tensor:
    """Images (n, C, H, W) as rows of numbers in the order row, column, channel."""
    return v.permute(0, 2, 3, 1).flatten(1)


def as_images(flat: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The reverse of `in_order`."""
    channels, height, width = shape
    return flat.unflatten(1, (height, width, channels)).permute(0, 3, 1, 2).contiguous()


def uniform(n: int, size: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """The numbers a scan is driven by, drawn where the generator is."""
    where = generator.device if generator is not None else device
    return torch.rand(n, size, generator=generator, device=where, dtype=torch.float64).to(device)


def warm(temperature: float) -> None:
    """Refuses a temperature of 0 or below."""
    if not temperature > 0:
        raise UsageError(
            f"A temperature must be above 0, got {temperature}: 1 draws from the model "
            "itself, less favors the likely."
        )


def hidden(mask: Tensor, x: Tensor) -> Bool[Tensor, "n channels height width"]:
    """A mask of what is missing, spread over a batch of images."""
    try:
        return mask.bool().expand(x.shape)
    except RuntimeError as error:
        given, expected = tuple(mask.shape), tuple(x.shape)
        raise UsageError(
            f"The mask has shape {given} and the images {expected}: give (H, W), (C, H, "
            "W) or one mask an image."
        ) from error


def naive_scan(model: CanScan, n: int, shape: tuple[int, ...], y: Tensor | None = None) -> Scan:
    """The same protocol as `model.scan` at the cost of a full pass for each number: what a cached
    scan is checked against."""
    channels, height, width = shape
    x = torch.zeros(n, *shape, dtype=torch.uint8)
    for r in range(height):
        for c in range(width):
            for k in range(channels):
                levels = yield model.conditionals(x, y)[:, k, r, c]
                x[:, k, r, c] = to_pixels(levels, model.levels).to(x.device)


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
