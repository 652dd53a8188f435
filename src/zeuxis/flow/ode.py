"""Integration of a velocity field over a grid of times, by Euler's or Heun's method."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

from torch import Tensor

Solver = Literal["euler", "heun"]
Field = Callable[[Tensor, float], Tensor]


def integrate(field: Field, x: Tensor, times: list[float], solver: Solver = "heun") -> Tensor:
    r"""Carries x along $dx/dt = v(x, t)$ from the first time to the last.

    Heun's method averages the velocities at both ends of a step. Its last step is Euler's, as a
    field of flow matching is least certain at the very end: n steps take 2n - 1 evaluations.

    Arguments:
        field: v(x, t).
        x: Where the path starts.
        times: Times in order, rising or falling.
        solver: "euler" or "heun".

    Example:
        >>> import math, torch
        >>> one = torch.ones(1, dtype=torch.float64)
        >>> grid = [i / 100 for i in range(101)]
        >>> round(integrate(lambda x, t: x, one, grid).item(), 3), round(math.e, 3)
        (2.718, 2.718)
    """
    last = len(times) - 2
    for i, (t, following) in enumerate(pairwise(times)):
        step, v = following - t, field(x, t)
        ahead = x + step * v
        if solver == "heun" and i < last:
            ahead = x + step / 2 * (v + field(ahead, following))
        x = ahead
    return x


def uniform_grid(start: float, end: float, steps: int) -> list[float]:
    """steps + 1 evenly spaced times.

    Example:
        >>> uniform_grid(0.0, 1.0, 4)
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    return [start + (end - start) * i / steps for i in range(steps + 1)]
