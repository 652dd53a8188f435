r"""Sparse MountainCar: a car too weak for the hill must swing to and fro in its valley until it is
fast enough.

A car of 0.4 kg on the track $y(x) = 1 - \cos(\pi x / 2)$, pushed along the track by a force of at
most 1 N; at the goal, $x = 0.6$, 0.412 m above the bottom, the slope pulls with 3.1 N. It sees $(x,
\dot x)$, starts at the bottom with $\dot x$ uniform in [-1, 1], acts every 0.05 s, and is paid 1,
once, for reaching the goal, where the episode ends.

One step, as in `planar`, with $t$ the track's tangent: $v = t \cdot (\dot r + h (u\,t/m - g))$,
then friction against the normal part.

Source: Houthooft et al., 2016; the sizes are those of the code released with it. Departures: the
car is a point on the track, where the original is a box, 0.4 m by 0.2 m, that touches the valley
with two corners and loses more. Driven by the sign of its velocity it is out after 42 to 62 steps,
the box after 75 to 94. The friction is that engine's: the root of the car's coefficient, 0.0005,
times the track's, 0.2. The code also pays for the far left end of the track, which no car reaches,
the paper only for the right.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from .drawing import BLUE, GRAY, GREEN, INK, Shape, box
from .planar import GRAVITY, Planar, PlanarVector, State, World

MASS = 0.4  # kg
GOAL, EDGE = 0.6, 2.0  # m
FRICTION = math.sqrt(0.0005 * 0.2)
BEND = math.pi / 2


class Valley(World):
    """The car's mechanics; a state is (x, x')."""

    dt: ClassVar[float] = 0.05
    limit: ClassVar[float] = 1.0
    entries: ClassVar[int] = 2
    view: ClassVar[tuple[float, float, float, float]] = (-1.25, -0.2, 1.25, 1.3)

    def first(self, chance: np.random.Generator) -> State:
        return 0.0, float(chance.uniform(-1, 1))

    def advance(self, state: State, force: Any) -> State:
        x, v = state
        h = self.h
        before, slope = BEND * self.sin(BEND * (x - h * v)), BEND * self.sin(BEND * x)
        length = self.root(1 + slope * slope)
        down = v * before - h * GRAVITY  # vertical velocity, were there no track
        along = (v + slope * down) / length + h * force / MASS
        rub = FRICTION * abs(down - slope * v) / length
        along = (
            along - (abs(along + rub) - abs(along - rub)) / 2
        )  # towards 0 by as much as friction can
        v = along / length
        return x + h * v, v

    def judge(self, state: State) -> tuple[Any, Any]:
        x, _ = state
        won = x >= GOAL
        return won, won | (x <= -EDGE)

    def energy(self, state: State) -> Any:
        x, v = state
        slope = BEND * self.sin(BEND * (x - self.h * v))  # where the velocity was taken
        return MASS * (v * v * (1 + slope * slope) / 2 + GRAVITY * (1 - self.cos(BEND * x)))

    def shapes(self, state: State) -> list[Shape]:
        x, _ = state
        ground = [(i / 40, 1 - math.cos(BEND * i / 40)) for i in range(-52, 53)]
        slope = BEND * math.sin(BEND * x)
        angle = math.atan(slope)
        over = (x - 0.13 * math.sin(angle), 1 - math.cos(BEND * x) + 0.13 * math.cos(angle))
        flag = 1 - math.cos(BEND * GOAL)
        return [
            Shape([(-1.3, -1), *ground, (1.3, -1)], GRAY),
            Shape([(GOAL, flag), (GOAL, flag + 0.42)], INK, 0.012),
            Shape([(GOAL, flag + 0.42), (GOAL + 0.2, flag + 0.35), (GOAL, flag + 0.28)], GREEN),
            Shape(box(over, (0.2, 0.07), angle), BLUE),
            *(Shape([(over[0] + s * 0.11 * math.cos(angle) + 0.07 * math.sin(angle),
                      over[1] + s * 0.11 * math.sin(angle) - 0.07 * math.cos(angle))], INK, 0.055) for s in (-1, 1)),
        ]  # fmt: skip


class SparseMountainCar(Planar):
    """`zeuxis/SparseMountainCar-v0`.

    Example:
        >>> task = SparseMountainCar()
        >>> seen, _ = task.reset(seed=0)
        >>> for t in range(500):
        ...     seen, reward, over, _, _ = task.step([1.0 if seen[1] > 0 else -1.0])
        ...     if over:
        ...         break
        >>> t < 100, reward
        (True, 1.0)
    """

    kind: ClassVar[type[World]] = Valley


class SparseMountainCarVector(PlanarVector):
    """Many of it."""

    single: ClassVar[type[Planar]] = SparseMountainCar
