r"""Flat worlds: rigid bodies in a plane, one at a time or many at once, with the same numbers bit
for bit.

**The step.** The original tasks were stepped by a contact engine at the level of velocities: forces
act on the bodies' velocities as if nothing held them, what violates the constraints is projected
out in the metric of the masses, and the positions follow. With $q$ the free coordinates, $J(q)$ the
bodies' velocities per $\dot q$, and $M$ their masses,

$$ J_k^T M J_k\, \dot q_k = J_k^T M J_{k-1}\, \dot q_{k-1} + h\, Q_k , \qquad q_{k+1} = q_k + h\, \dot q_k . $$

The old velocities point along the old tangent, $J_{k-1}$, and lose what is not along the new one: a
pendulum that turns by $\omega h$ in a step keeps $\cos \omega h$ of its center's velocity. At steps
of 0.05 s that drag is no error to be removed but part of the task: with steps cut into 20
(`substeps`), near exact mechanics, random actions swing the pole up in 3 episodes of 100 and drive
the car out in 1 or 2, and in 13 without friction; in the tasks as they are in none of thousands.
The projection is exact here, where the engine iterates. Since $q_{k-1} = q_k - h \dot q_{k-1}$,
position and velocity are the whole state.

**Actions** are in [-1, 1], of the greatest force or torque, as the paper's agents act through a
wrapper that scales and clips.

**Numbers.** A task's formulas are written once, in sums, products, quotients and `abs` of floats or
arrays, whose results do not depend on which, and with sines and cosines of the C library in both
cases; NumPy's own differ from it in the last bit.

Departures: an episode starts with velocities that agree with each other and with the constraints,
where the engine spends its first steps on that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from .drawing import Shape, draw

State = tuple[Any, ...]  # floats, or arrays of as many worlds
GRAVITY = 10.0


def sines(x: np.ndarray) -> np.ndarray:
    """Of many, as `math.sin` has them."""
    return np.fromiter(map(math.sin, x.tolist()), np.float64, len(x))


def cosines(x: np.ndarray) -> np.ndarray:
    """Of many, as `math.cos` has them."""
    return np.fromiter(map(math.cos, x.tolist()), np.float64, len(x))


class World:
    """A task's formulas, for one world or many.

    Arguments:
        substeps: Into how many a step is cut.
    """

    dt: ClassVar[float]
    limit: ClassVar[float]  # of the force or torque
    entries: ClassVar[int]  # numbers of an observation
    view: ClassVar[
        tuple[float, float, float, float]
    ]  # left, bottom, right, top of a picture, meters

    def __init__(self, substeps: int = 1) -> None:
        self.substeps, self.h = substeps, self.dt / substeps
        self.sin: Callable[[Any], Any] = math.sin
        self.cos: Callable[[Any], Any] = math.cos
        self.root: Callable[[Any], Any] = math.sqrt

    def many(self) -> None:
        """From now on states are arrays."""
        self.sin, self.cos, self.root = sines, cosines, np.sqrt

    def first(self, chance: np.random.Generator) -> State:
        """A first state."""
        raise NotImplementedError

    def advance(self, state: State, force: Any) -> State:
        """The state after `h` seconds."""
        raise NotImplementedError

    def observe(self, state: State) -> State:
        """What the agent sees."""
        return state

    def judge(self, state: State) -> tuple[Any, Any]:
        """Whether a state pays 1, and whether it ends the episode."""
        raise NotImplementedError

    def energy(self, state: State) -> Any:
        """Kinetic and potential (joules)."""
        raise NotImplementedError

    def shapes(self, state: State) -> list[Shape]:
        """What is drawn."""
        raise NotImplementedError


class Planar(gymnasium.Env):
    """One world as a Gymnasium environment.

    Arguments:
        render_mode: "rgb_array" draws, on any machine; None does not.
        substeps: Into how many a step is cut; 1 is the paper's.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 20}  # type: ignore[misc]
    kind: ClassVar[type[World]]

    def __init__(self, render_mode: str | None = None, substeps: int = 1) -> None:
        self.world, self.render_mode = self.kind(substeps), render_mode
        self.observation_space = Box(-np.inf, np.inf, (self.kind.entries,), np.float32)
        self.action_space = Box(-1.0, 1.0, (1,), np.float32)
        self.state: State | None = None

    def seen(self) -> np.ndarray:
        assert self.state is not None
        return np.array(self.world.observe(self.state), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """First observation; a seed fixes all that follow."""
        super().reset(seed=seed)
        self.state = self.world.first(self.np_random)
        return self.seen(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Observation, reward, whether it ended, whether it was cut off, nothing."""
        if self.state is None:
            raise gymnasium.error.ResetNeeded(
                "A world has no state before its first reset: call reset first."
            )
        world, state = self.world, self.state
        force = world.limit * min(max(float(action[0]), -1.0), 1.0)
        for _ in range(world.substeps):
            state = world.advance(state, force)
        self.state = state
        pays, ends = world.judge(state)
        return self.seen(), float(pays), bool(ends), False, {}

    def render(self) -> Any:
        """A picture, uint8 (height, width, 3)."""
        if self.render_mode is None:
            return None
        if self.state is None:
            raise gymnasium.error.ResetNeeded(
                "A world has no state before its first reset: call reset first."
            )
        return draw(self.world.shapes(self.state), self.world.view)


class PlanarVector(VectorEnv):
    """Many worlds at once; world i is the single environment of seed + i.

    An episode that is over begins anew at the next step, whose action is not used and whose reward
    is 0, as Gymnasium's own vectors do.

    Arguments:
        num_envs: How many.
        max_episode_steps: Steps after which an episode is cut off.
        render_mode: "rgb_array" draws all of them, or None.
        substeps: Into how many a step is cut.
    """

    metadata: ClassVar[dict[str, Any]] = Planar.metadata | {  # type: ignore[misc]
        "autoreset_mode": AutoresetMode.NEXT_STEP
    }
    single: ClassVar[type[Planar]]

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int = 500,
        render_mode: str | None = None,
        substeps: int = 1,
    ) -> None:
        one = self.single(render_mode, substeps)
        self.num_envs, self.limit, self.render_mode = num_envs, max_episode_steps, render_mode
        self.single_observation_space, self.single_action_space = (
            one.observation_space,
            one.action_space,
        )
        self.observation_space, self.action_space = (
            batch_space(one.observation_space, num_envs),
            batch_space(one.action_space, num_envs),
        )
        self.world = one.world
        self.world.many()
        self.chances: list[np.random.Generator] = []
        self.state: State | None = None

    def seen(self) -> np.ndarray:
        assert self.state is not None
        return np.stack(self.world.observe(self.state), 1).astype(np.float32)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: Any = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """First observations; a seed fixes all that follow."""
        seeds = (
            [None if seed is None else seed + i for i in range(self.num_envs)]
            if not isinstance(seed, list)
            else seed
        )
        if len(seeds) != self.num_envs:
            raise ValueError(
                f"{len(seeds)} seeds were given for {self.num_envs} worlds: give one "
                "each, or one number."
            )
        for i, one in enumerate(seeds):
            if one is not None or i >= len(self.chances):
                self.chances[i : i + 1] = [seeding.np_random(one)[0]]
        self.state = tuple(
            np.array(part, np.float64)
            for part in zip(*map(self.world.first, self.chances), strict=True)
        )
        self.t, self.over = np.zeros(self.num_envs, np.int64), np.zeros(self.num_envs, bool)
        return self.seen(), {}

    def step(
        self, actions: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Observations, rewards, which ended, which were cut off, nothing."""
        if self.state is None:
            raise gymnasium.error.ResetNeeded(
                "Worlds have no state before their first reset: call reset first."
            )
        world, state = self.world, self.state
        again = np.flatnonzero(self.over)
        force = world.limit * np.clip(np.asarray(actions)[:, 0].astype(np.float64), -1.0, 1.0)
        for _ in range(world.substeps):
            state = world.advance(state, force)
        for i in again:
            for part, value in zip(state, world.first(self.chances[i]), strict=True):
                part[i] = value
        self.state = state
        self.t += 1
        self.t[again] = 0
        pays, ends = (np.array(verdict) for verdict in world.judge(state))
        rewards = pays.astype(np.float64)
        rewards[again], ends[again] = 0.0, False
        cut = self.t >= self.limit
        self.over = ends | cut
        return self.seen(), rewards, ends, cut, {}

    def render(self) -> Any:
        """A picture of each."""
        if self.render_mode is None or self.state is None:
            return None
        return tuple(
            draw(self.one().shapes(one), self.world.view)
            for one in zip(*(p.tolist() for p in self.state), strict=True)
        )

    def one(self) -> World:
        """The formulas for one of the worlds."""
        return self.single.kind(self.world.substeps)
