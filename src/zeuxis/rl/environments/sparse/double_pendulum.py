r"""Sparse DoublePendulum: two links that hang from a pivot, driven only at the joint between them,
must be raised upright.

Both links are 1 m long, 0.1 m wide and weigh 0.5 kg; the torque, at most 50 Nm, acts between them.
The agent sees sine, cosine and velocity of both angles to the vertical, hanging 0, acts every 0.02
s, two steps of the mechanics, and starts near rest: angles of deviation 0.1, velocities of
deviation 0.01. A step pays 1 if the tip is less than 1 m from its highest place, (0, 2). No episode
ends before its limit.

The step of `planar`, with $L$ a link's length, $l = L / 2$, $I$ its inertia about its center, and
$\alpha', \beta'$ the angles $\alpha, \beta$ a step before:

$$ A(\alpha, \beta)\,\dot q_k = A(\alpha', \beta')\,\dot q_{k-1} + h\,Q, \quad A(\alpha', \beta') = \begin{pmatrix}
   I + m (l^2 + L^2) \cos(\alpha - \alpha') & mLl\cos(\alpha - \beta') \\ mLl\cos(\beta - \alpha') & I + ml^2\cos(\beta - \beta')
   \end{pmatrix}, \quad Q = \begin{pmatrix} -u - mg(l + L)\sin\alpha \\ u - mgl\sin\beta \end{pmatrix} . $$

Source: Houthooft et al., 2016; the sizes are those of the code released with it. Departures: the
tip is where it is, at $\sum L (\sin, -\cos)$, while that code's formula turns the second link's
sine round. So large a torque throws the tip about: unlike in the other tasks random actions are
paid here, for 31 of 500 steps (24 by that formula).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from .drawing import BLUE, GRAY, GREEN, INK, Shape
from .planar import GRAVITY, Planar, PlanarVector, State, World

MASS, LENGTH = 0.5, 1.0  # kg, m
ARM = LENGTH / 2
INERTIA = MASS * (LENGTH**2 + 0.1**2) / 12
NEAR = 1.0  # m
FASTEST = math.pi / 2 / 0.01  # rad/s, the engine's bound on what a body turns in one of its steps


class Links(World):
    """The mechanics; a state is (angle, angle', angle, angle') of the upper and the lower link."""

    dt: ClassVar[float] = 0.02
    limit: ClassVar[float] = 50.0
    entries: ClassVar[int] = 6
    view: ClassVar[tuple[float, float, float, float]] = (-3.6, -2.2, 3.6, 2.6)

    def __init__(self, substeps: int = 1) -> None:
        super().__init__(2 * substeps)

    def first(self, chance: np.random.Generator) -> State:
        a, b, da, db = (chance.standard_normal(4) * (0.1, 0.1, 0.01, 0.01)).tolist()
        return a, da, b, db

    def advance(self, state: State, force: Any) -> State:
        a, da, b, db = state
        h, cos = self.h, self.cos
        weight, cross = GRAVITY * MASS, MASS * LENGTH * ARM
        upper, lower = MASS * (ARM * ARM + LENGTH * LENGTH), MASS * ARM * ARM
        p = (INERTIA + upper * cos(h * da)) * da + cross * cos(a - b + h * db) * db
        q = cross * cos(b - a + h * da) * da + (INERTIA + lower * cos(h * db)) * db
        p = p - h * (force + weight * (ARM + LENGTH) * self.sin(a))
        q = q + h * (force - weight * ARM * self.sin(b))
        m, n, c = INERTIA + upper, INERTIA + lower, cross * cos(a - b)
        determinant = m * n - c * c
        da, db = (n * p - c * q) / determinant, (m * q - c * p) / determinant
        da, db = bounded(da), bounded(db)
        return a + h * da, da, b + h * db, db

    def observe(self, state: State) -> State:
        a, da, b, db = state
        return self.sin(a), self.cos(a), da, self.sin(b), self.cos(b), db

    def tip(self, state: State) -> tuple[Any, Any]:
        """Where the lower link ends (meters)."""
        a, _, b, _ = state
        return LENGTH * (self.sin(a) + self.sin(b)), -LENGTH * (self.cos(a) + self.cos(b))

    def judge(self, state: State) -> tuple[Any, Any]:
        x, y = self.tip(state)
        pays = x * x + (y - 2 * LENGTH) * (y - 2 * LENGTH) < NEAR * NEAR
        return pays, pays & False

    def energy(self, state: State) -> Any:
        a, da, b, db = state
        before, after = a - self.h * da, b - self.h * db  # where the velocities were taken
        moving = (INERTIA + MASS * (ARM * ARM + LENGTH * LENGTH)) * da * da / 2 + (
            INERTIA + MASS * ARM * ARM
        ) * db * db / 2
        moving = moving + MASS * LENGTH * ARM * self.cos(before - after) * da * db
        return moving - MASS * GRAVITY * ((ARM + LENGTH) * self.cos(a) + ARM * self.cos(b))

    def shapes(self, state: State) -> list[Shape]:
        a, tip = state[0], self.tip(state)
        joint = (LENGTH * math.sin(a), -LENGTH * math.cos(a))
        return [
            Shape([(0.0, 2 * LENGTH)], (226, 238, 226), NEAR),
            Shape([(0.0, 2 * LENGTH)], GREEN, 0.05),
            Shape([(0.0, 0.0), joint], BLUE, 0.1),
            Shape([joint, tip], INK, 0.1),
            *(Shape([at], GRAY, 0.06) for at in ((0.0, 0.0), joint)),
        ]


def bounded(turn: Any) -> Any:
    """Between the engine's bounds."""
    return (abs(turn + FASTEST) - abs(turn - FASTEST)) / 2


class SparseDoublePendulum(Planar):
    """`zeuxis/SparseDoublePendulum-v0`.

    Example:
        >>> task = SparseDoublePendulum()
        >>> seen, _ = task.reset(seed=0)
        >>> seen.shape, task.world.limit, task.step([0.0])[1]
        ((6,), 50.0, 0.0)
    """

    metadata: ClassVar[dict[str, Any]] = Planar.metadata | {"render_fps": 50}  # type: ignore[misc]
    kind: ClassVar[type[World]] = Links


class SparseDoublePendulumVector(PlanarVector):
    """Many of it."""

    metadata: ClassVar[dict[str, Any]] = PlanarVector.metadata | {"render_fps": 50}  # type: ignore[misc]
    single: ClassVar[type[Planar]] = SparseDoublePendulum
