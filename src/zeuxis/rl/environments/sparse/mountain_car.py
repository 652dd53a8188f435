r"""Sparse MountainCar: swing to and fro in a valley until the car is fast enough to leave it.

A car of 0.4 kg on the track $y(x) = 1 - \cos(\pi x / 2)$, pushed along the track by a force of at
most 1 N; at the goal, $x = 0.6$, 0.412 m above the bottom, the slope pulls with 3.1 N. It sees $(x,
\dot x)$, starts at the bottom with $\dot x$ uniform in [-1, 1], acts every 0.05 s, and earns 1,
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
from typing import ClassVar

import numpy as np

from .drawing import BLUE, GRAY, GREEN, INK, Shape, box
from .planar import GRAVITY, Mechanics, PlanarEnv, State

MASS = 0.4  # kg
GOAL, EDGE = 0.6, 2.0  # m
FRICTION = math.sqrt(0.0005 * 0.2)
BEND = math.pi / 2


class Valley(Mechanics):
    """Equations of motion; a state is (x, x')."""

    dt: ClassVar[float] = 0.05
    limit: ClassVar[float] = 1.0
    entries: ClassVar[int] = 2
    view: ClassVar[tuple[float, float, float, float]] = (-1.25, -0.2, 1.25, 1.3)

    def first(self, rng: np.random.Generator) -> State:
        return 0.0, float(rng.uniform(-1, 1))

    def advance(self, state: State, force: float) -> State:
        x, v = state
        h = self.h
        before, slope = BEND * math.sin(BEND * (x - h * v)), BEND * math.sin(BEND * x)
        length = math.sqrt(1 + slope * slope)
        down = v * before - h * GRAVITY  # vertical velocity, were there no track
        along = (v + slope * down) / length + h * force / MASS
        rub = FRICTION * abs(down - slope * v) / length
        # Friction slows the car down, at most to rest.
        along = along - (abs(along + rub) - abs(along - rub)) / 2
        v = along / length
        return x + h * v, v

    def outcome(self, state: State) -> tuple[bool, bool]:
        x, _ = state
        won = x >= GOAL
        return won, won or (x <= -EDGE)

    def energy(self, state: State) -> float:
        x, v = state
        slope = BEND * math.sin(BEND * (x - self.h * v))  # the velocity belongs to it
        return MASS * (v * v * (1 + slope * slope) / 2 + GRAVITY * (1 - math.cos(BEND * x)))

    def shapes(self, state: State) -> list[Shape]:
        x, _ = state
        ground = [(i / 40, 1 - math.cos(BEND * i / 40)) for i in range(-52, 53)]
        slope = BEND * math.sin(BEND * x)
        angle = math.atan(slope)
        over = (x - 0.13 * math.sin(angle), 1 - math.cos(BEND * x) + 0.13 * math.cos(angle))
        wheels = [
            (
                over[0] + side * 0.11 * math.cos(angle) + 0.07 * math.sin(angle),
                over[1] + side * 0.11 * math.sin(angle) - 0.07 * math.cos(angle),
            )
            for side in (-1, 1)
        ]
        flag = 1 - math.cos(BEND * GOAL)
        return [
            Shape([(-1.3, -1), *ground, (1.3, -1)], GRAY),
            Shape([(GOAL, flag), (GOAL, flag + 0.42)], INK, 0.012),
            Shape([(GOAL, flag + 0.42), (GOAL + 0.2, flag + 0.35), (GOAL, flag + 0.28)], GREEN),
            Shape(box(over, (0.2, 0.07), angle), BLUE),
            *(Shape([wheel], INK, 0.055) for wheel in wheels),
        ]


class SparseMountainCar(PlanarEnv):
    """`zeuxis/SparseMountainCar-v0`.

    Example:
        >>> task = SparseMountainCar()
        >>> x, _ = task.reset(seed=0)
        >>> for t in range(500):
        ...     x, reward, terminated, _, _ = task.step([1.0 if x[1] > 0 else -1.0])
        ...     if terminated:
        ...         break
        >>> t < 100, reward
        (True, 1.0)
    """

    mechanics_class: ClassVar[type[Mechanics]] = Valley
