r"""Sparse CartPoleSwingup: swing a pole up on a cart and hold it there.

A cart of 1 kg on a straight track, pushed by at most 10 N, and a pole of 0.1 kg, 1 m by 0.1 m, that
turns freely about its end on the cart. The agent sees $(x, \dot x, \theta, \dot\theta)$, $\theta$
not wrapped and 0 upright, acts every 0.05 s, and starts uniformly in $x \in [-1, 1]$, $\dot x
\in [-2, 2]$, $\theta \in [\pi - 1, \pi + 1]$, $\dot\theta \in [-3, 3]$. The reward is 1
where $\cos\theta > 0.8$; at $|x| > 3$ the episode ends.

The step of `planar`, with $l$ from the pivot to the pole's center, $I$ its inertia about it and
$\theta'$ the angle a step before:

$$ \begin{pmatrix} M + m & -ml\cos\theta \\ -ml\cos\theta & I + ml^2 \end{pmatrix} \dot q_k =
   \begin{pmatrix} M + m & -ml\cos\theta' \\
   -ml\cos\theta & I + ml^2\cos(\theta - \theta') \end{pmatrix} \dot q_{k-1} +
   h \begin{pmatrix} u \\ mgl\sin\theta \end{pmatrix} . $$

Source: Houthooft et al., 2016; the sizes are those of the code released with it, which lets the
joints pull the bodies together in an episode's first steps. Departures: those of `planar` only.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from .drawing import BLUE, GRAY, INK, RED, Shape, box
from .planar import GRAVITY, Mechanics, PlanarEnv, State

CART, POLE, LENGTH = 1.0, 0.1, 1.0  # kg, kg, m
ARM = LENGTH / 2
INERTIA = POLE * (LENGTH**2 + 0.1**2) / 12
EDGE, UP = 3.0, 0.8
LOW, HIGH = (-1.0, -2.0, math.pi - 1, -3.0), (1.0, 2.0, math.pi + 1, 3.0)


class Swing(Mechanics):
    """Equations of motion; a state is (x, x', angle, angle')."""

    dt: ClassVar[float] = 0.05
    limit: ClassVar[float] = 10.0
    entries: ClassVar[int] = 4
    view: ClassVar[tuple[float, float, float, float]] = (-3.6, -2.0, 3.6, 2.2)

    def first(self, rng: np.random.Generator) -> State:
        return tuple(rng.uniform(LOW, HIGH).tolist())

    def advance(self, state: State, force: float) -> State:
        x, v, angle, turn = state
        h, c = self.h, math.cos(angle)
        mass, moment, inertia = CART + POLE, POLE * ARM, INERTIA + POLE * ARM * ARM
        linear = mass * v - moment * math.cos(angle - h * turn) * turn + h * force
        angular = (
            (INERTIA + moment * ARM * math.cos(h * turn)) * turn
            - moment * c * v
            + h * GRAVITY * moment * math.sin(angle)
        )
        cross = moment * c
        determinant = mass * inertia - cross * cross
        v = (inertia * linear + cross * angular) / determinant
        turn = (cross * linear + mass * angular) / determinant
        return x + h * v, v, angle + h * turn, turn

    def outcome(self, state: State) -> tuple[bool, bool]:
        x, _, angle, _ = state
        out = abs(x) > EDGE
        return math.cos(angle) > UP and not out, out

    def energy(self, state: State) -> float:
        _, v, angle, turn = state
        before = angle - self.h * turn  # the velocities belong to this angle
        kinetic = (
            (CART + POLE) * v * v / 2
            - POLE * ARM * math.cos(before) * v * turn
            + (INERTIA + POLE * ARM * ARM) * turn * turn / 2
        )
        return kinetic + POLE * GRAVITY * ARM * math.cos(angle)

    def shapes(self, state: State) -> list[Shape]:
        x, _, angle, _ = state
        tip = (x - LENGTH * math.sin(angle), LENGTH * math.cos(angle))
        wide, high = 4 / math.sqrt(12), 3 / math.sqrt(12)
        return [
            Shape(box((0, -high), (EDGE + wide / 2, 0.03)), GRAY),
            *(Shape(box((side * EDGE, -high + 0.12), (0.02, 0.12)), RED) for side in (-1, 1)),
            Shape(box((x, -high / 2), (wide / 2, high / 2)), BLUE),
            Shape([(x, 0.0), tip], RED if math.cos(angle) > UP else INK, 0.1),
            Shape([(x, 0.0)], GRAY, 0.06),
        ]


class SparseCartPoleSwingup(PlanarEnv):
    """`zeuxis/SparseCartPoleSwingup-v0`.

    Example:
        >>> task = SparseCartPoleSwingup()
        >>> x, _ = task.reset(seed=0)
        >>> x.shape, task.mechanics.limit, task.step([0.0])[1]
        ((4,), 10.0, 0.0)
    """

    mechanics_class: ClassVar[type[Mechanics]] = Swing
