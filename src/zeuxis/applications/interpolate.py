r"""Walks between codes and arithmetic on codes: what a generator's input space means.

A walk passes through codes $z_1, \dots, z_k$ and every image on the way should be a plausible one
(DCGAN, section 6.1); where it jumps, the generator has memorized. Between two codes it is straight
for a uniform prior, and follows the great circle for a normal one, since a normal code of n numbers
lies at a distance near $\sqrt n$ from the origin and a straight line would leave that shell.

Arithmetic (section 6.3.2) takes the mean code of a few examples of each concept, since single codes
proved unstable: $z = \bar z_a - \bar z_b + \bar z_c$.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import UsageError


def circular(model: Any) -> bool:
    """Whether walks between a model's codes follow great circles: its prior is normal, as it is
    unless its settings say otherwise."""
    return getattr(model.config, "prior", "normal") == "normal"


def straight(a: Float[Tensor, "code"], b: Float[Tensor, "code"], t: float) -> Float[Tensor, "code"]:
    """The point a fraction t of the way from a to b."""
    return torch.lerp(a, b, t)


def great_circle(
    a: Float[Tensor, "code"], b: Float[Tensor, "code"], t: float
) -> Float[Tensor, "code"]:
    """The point a fraction t of the way from a to b at constant angular speed, its length going
    evenly from that of a to that of b.

    Example:
        >>> import torch
        >>> great_circle(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 0.5)
        tensor([0.7071, 0.7071])
    """
    if not (a.any() and b.any()):  # the origin lies in no direction
        return straight(a, b, t)
    unit_a, unit_b = a / a.norm(), b / b.norm()
    angle = torch.acos((unit_a @ unit_b).clamp(-1, 1))
    if angle.sin().abs() < 1e-6:
        return straight(a, b, t)
    direction = (torch.sin((1 - t) * angle) * unit_a + torch.sin(t * angle) * unit_b) / torch.sin(
        angle
    )
    return direction * torch.lerp(a.norm(), b.norm(), t)


def walk(
    stops: Float[Tensor, "stops code"], steps: int, circle: bool = False, closed: bool = False
) -> Float[Tensor, "n code"]:
    """Codes on the way from stop to stop.

    Arguments:
        stops: The codes to pass through, at least two.
        steps: Codes from one stop to the next.
        circle: Along great circles instead of straight lines.
        closed: Whether the walk returns to its first stop.

    Returns:
        (stops - 1) * steps + 1 codes, or stops * steps for a closed walk.
    """
    if len(stops) < 2 or steps < 1:
        raise UsageError(
            f"A walk needs at least 2 codes and 1 step between them, got {len(stops)} "
            f"and {steps}: give more."
        )
    between = great_circle if circle else straight
    ends = torch.cat([stops[1:], stops[:1]]) if closed else stops[1:]
    way = [
        between(a, b, i / steps) for a, b in zip(stops, ends, strict=False) for i in range(steps)
    ]
    return torch.stack(way if closed else [*way, stops[-1]])


def combine(
    plus: Float[Tensor, "a code"],
    minus: Float[Tensor, "b code"],
    then_plus: Float[Tensor, "c code"],
) -> Float[Tensor, "code"]:
    """The mean of the first codes, minus that of the second, plus that of the third.

    Example:
        >>> import torch
        >>> combine(torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 2.0], [2.0, 2.0]]))
        tensor([3., 2.])
    """
    if not (len(plus) and len(minus) and len(then_plus)):
        raise UsageError(
            "Code arithmetic needs at least one code in each of its three places; three "
            "are steadier than one."
        )
    return plus.mean(0) - minus.mean(0) + then_plus.mean(0)


def around(
    z: Float[Tensor, "code"], n: int, width: float, generator: torch.Generator
) -> Float[Tensor, "n code"]:
    """The code itself first, then n - 1 neighbors within +-width of it, as in the paper's figure 7
    (n = 9, width = 0.25)."""
    jitter = (torch.rand(n - 1, len(z), generator=generator) * 2 - 1) * width
    return torch.cat([z[None], z + jitter.to(z)])
