r"""Sparse DoublePendulum: raise two hanging links upright, by a motor between them.

Both links are 1 m long, 0.1 m wide and weigh 0.5 kg; the torque, at most 50 Nm, acts between them.
The agent sees sine, cosine and velocity of both angles to the vertical, hanging 0, acts every 0.02
s, two steps of the mechanics, and starts near rest: angles of deviation 0.1, velocities of
deviation 0.01. The reward is 1 if the tip is less than 1 m from its highest place, (0, 2).
No episode ends before its limit.

The step of `planar`, with $L$ a link's length, $l = L / 2$, $I$ its inertia about its center, and
$\alpha', \beta'$ the angles $\alpha, \beta$ a step before:

$$ A(\alpha, \beta)\,\dot q_k = A(\alpha', \beta')\,\dot q_{k-1} + h\,Q, $$
$$ A(\alpha', \beta') = \begin{pmatrix}
   I + m (l^2 + L^2) \cos(\alpha - \alpha') & mLl\cos(\alpha - \beta') \\
   mLl\cos(\beta - \alpha') & I + ml^2\cos(\beta - \beta') \end{pmatrix}, \quad
   Q = \begin{pmatrix} -u - mg(l + L)\sin\alpha \\ u - mgl\sin\beta \end{pmatrix} . $$

Source: Houthooft et al., 2016; the sizes are those of the code released with it. Departures: the
tip is where it is, at $\sum L (\sin, -\cos)$, while that code's formula turns the second link's
sine round. So large a torque throws the tip about: unlike in the other tasks random actions are
rewarded here, in 31 of 500 steps (24 by that formula).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from .drawing import BLUE, GRAY, GREEN, INK, Shape
from .planar import GRAVITY, Mechanics, PlanarEnv, State

MASS, LENGTH = 0.5, 1.0  # kg, m
ARM = LENGTH / 2
INERTIA = MASS * (LENGTH**2 + 0.1**2) / 12
NEAR = 1.0  # m
FASTEST = math.pi / 2 / 0.01  # rad/s: the engine turns a body by at most this in a step


class Links(Mechanics):
    """Equations of motion; a state is angle and speed of the upper, then of the lower link."""

    dt: ClassVar[float] = 0.02
    limit: ClassVar[float] = 50.0
    entries: ClassVar[int] = 6
    view: ClassVar[tuple[float, float, float, float]] = (-3.6, -2.2, 3.6, 2.6)

    def __init__(self, substeps: int = 1) -> None:
        super().__init__(2 * substeps)

    def first(self, rng: np.random.Generator) -> State:
        a, b, da, db = (rng.standard_normal(4) * (0.1, 0.1, 0.01, 0.01)).tolist()
        return a, da, b, db

    def advance(self, state: State, force: float) -> State:
        a, da, b, db = state
        h, cos = self.h, math.cos
        weight, cross = GRAVITY * MASS, MASS * LENGTH * ARM
        upper, lower = MASS * (ARM * ARM + LENGTH * LENGTH), MASS * ARM * ARM
        p = (INERTIA + upper * cos(h * da)) * da + cross * cos(a - b + h * db) * db
        q = cross * cos(b - a + h * da) * da + (INERTIA + lower * cos(h * db)) * db
        p = p - h * (force + weight * (ARM + LENGTH) * math.sin(a))
        q = q + h * (force - weight * ARM * math.sin(b))
        m, n, c = INERTIA + upper, INERTIA + lower, cross * cos(a - b)
        determinant = m * n - c * c
        da, db = (n * p - c * q) / determinant, (m * q - c * p) / determinant
        da, db = bounded(da), bounded(db)
        return a + h * da, da, b + h * db, db

    def observe(self, state: State) -> State:
        a, da, b, db = state
        return math.sin(a), math.cos(a), da, math.sin(b), math.cos(b), db

    def tip(self, state: State) -> tuple[float, float]:
        """Where the lower link ends (meters)."""
        a, _, b, _ = state
        return LENGTH * (math.sin(a) + math.sin(b)), -LENGTH * (math.cos(a) + math.cos(b))

    def outcome(self, state: State) -> tuple[bool, bool]:
        x, y = self.tip(state)
        return x * x + (y - 2 * LENGTH) * (y - 2 * LENGTH) < NEAR * NEAR, False

    def energy(self, state: State) -> float:
        a, da, b, db = state
        before, after = a - self.h * da, b - self.h * db  # the velocities belong to these
        upper, lower = INERTIA + MASS * (ARM * ARM + LENGTH * LENGTH), INERTIA + MASS * ARM * ARM
        kinetic = upper * da * da / 2 + lower * db * db / 2
        kinetic = kinetic + MASS * LENGTH * ARM * math.cos(before - after) * da * db
        return kinetic - MASS * GRAVITY * ((ARM + LENGTH) * math.cos(a) + ARM * math.cos(b))

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


def bounded(turn: float) -> float:
    """Clips an angular velocity to the engine's bounds."""
    return (abs(turn + FASTEST) - abs(turn - FASTEST)) / 2


class SparseDoublePendulum(PlanarEnv):
    """`zeuxis/SparseDoublePendulum-v0`.

    Example:
        >>> task = SparseDoublePendulum()
        >>> x, _ = task.reset(seed=0)
        >>> x.shape, task.mechanics.limit, task.step([0.0])[1]
        ((6,), 50.0, 0.0)
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        **PlanarEnv.metadata,
        "render_fps": 50,
    }
    mechanics_class: ClassVar[type[Mechanics]] = Links
