r"""Sparse CartPoleSwingup: a pole that hangs from a cart must be swung up and held there, and
nothing pays before it is up.

A cart of 1 kg on a straight track, pushed by at most 10 N, and a pole of 0.1 kg, 1 m by 0.1 m, that
turns freely about its end on the cart. The agent sees $(x, \dot x, \theta, \dot\theta)$, $\theta$
counted through and 0 upright, acts every 0.05 s, and starts uniformly in $x \in [-1, 1]$, $\dot x
\in [-2, 2]$, $\theta \in [\pi - 1, \pi + 1]$, $\dot\theta \in [-3, 3]$. A step pays 1 if
$\cos\theta > 0.8$; at $|x| > 3$ the episode ends.

The step of `planar`, with $l$ from the pivot to the pole's center, $I$ its inertia about it and
$\theta'$ the angle a step before:

$$ \begin{pmatrix} M + m & -ml\cos\theta \\ -ml\cos\theta & I + ml^2 \end{pmatrix} \dot q_k =
   \begin{pmatrix} M + m & -ml\cos\theta' \\ -ml\cos\theta & I + ml^2\cos(\theta - \theta') \end{pmatrix} \dot q_{k-1} +
   h \begin{pmatrix} u \\ mgl\sin\theta \end{pmatrix} . $$

Source: Houthooft et al., 2016; the sizes are those of the code released with it, which lets the
joints pull the bodies together in an episode's first steps. Departures: those of `planar` only.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from .drawing import BLUE, GRAY, INK, RED, Shape, box
from .planar import GRAVITY, Planar, PlanarVector, State, World

CART, POLE, LENGTH = 1.0, 0.1, 1.0  # kg, kg, m
ARM = LENGTH / 2
INERTIA = POLE * (LENGTH**2 + 0.1**2) / 12
EDGE, UP = 3.0, 0.8
LOW, HIGH = (-1.0, -2.0, math.pi - 1, -3.0), (1.0, 2.0, math.pi + 1, 3.0)


class Swing(World):
    """The mechanics; a state is (x, x', angle, angle')."""

    dt: ClassVar[float] = 0.05
    limit: ClassVar[float] = 10.0
    entries: ClassVar[int] = 4
    view: ClassVar[tuple[float, float, float, float]] = (-3.6, -2.0, 3.6, 2.2)

    def first(self, chance: np.random.Generator) -> State:
        return tuple(chance.uniform(LOW, HIGH).tolist())

    def advance(self, state: State, force: Any) -> State:
        x, v, angle, turn = state
        h, c = self.h, self.cos(angle)
        whole, bent, round_ = CART + POLE, POLE * ARM, INERTIA + POLE * ARM * ARM
        push = whole * v - bent * self.cos(angle - h * turn) * turn + h * force
        twist = (
            (INERTIA + bent * ARM * self.cos(h * turn)) * turn
            - bent * c * v
            + h * GRAVITY * bent * self.sin(angle)
        )
        cross = bent * c
        determinant = whole * round_ - cross * cross
        v, turn = (
            (round_ * push + cross * twist) / determinant,
            (cross * push + whole * twist) / determinant,
        )
        return x + h * v, v, angle + h * turn, turn

    def judge(self, state: State) -> tuple[Any, Any]:
        x, _, angle, _ = state
        out = abs(x) > EDGE
        return (self.cos(angle) > UP) & (abs(x) <= EDGE), out

    def energy(self, state: State) -> Any:
        _, v, angle, turn = state
        before = angle - self.h * turn  # where the velocities were taken
        moving = (
            (CART + POLE) * v * v / 2
            - POLE * ARM * self.cos(before) * v * turn
            + (INERTIA + POLE * ARM * ARM) * turn * turn / 2
        )
        return moving + POLE * GRAVITY * ARM * self.cos(angle)

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


class SparseCartPoleSwingup(Planar):
    """`zeuxis/SparseCartPoleSwingup-v0`.

    Example:
        >>> task = SparseCartPoleSwingup()
        >>> seen, _ = task.reset(seed=0)
        >>> seen.shape, task.world.limit, task.step([0.0])[1]
        ((4,), 10.0, 0.0)
    """

    kind: ClassVar[type[World]] = Swing


class SparseCartPoleSwingupVector(PlanarVector):
    """Many of it."""

    single: ClassVar[type[Planar]] = SparseCartPoleSwingup
