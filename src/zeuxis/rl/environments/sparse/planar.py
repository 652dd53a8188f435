r"""Planar mechanics: rigid bodies in a plane, stepped at the level of velocities.

**The step.** The original tasks were stepped by a contact engine: forces act on the bodies'
velocities as if nothing held them, whatever violates the constraints is projected out in the metric
of the masses, and the positions follow. With $q$ the free coordinates, $J(q)$ the bodies'
velocities per $\dot q$, and $M$ their masses,

$$ J_k^T M J_k\, \dot q_k = J_k^T M J_{k-1}\, \dot q_{k-1} + h\, Q_k, \qquad
   q_{k+1} = q_k + h\, \dot q_k . $$

The old velocities point along the old tangent, $J_{k-1}$, and lose what is not along the new one: a
pendulum that turns by $\omega h$ in a step keeps $\cos \omega h$ of its center's velocity. At steps
of 0.05 s this drag is no error to be removed but part of the task. With steps cut into 20
(`substeps`), which is close to exact mechanics, random actions swing the pole up in 3 episodes of
100 and drive the car out in 1 or 2, and in 13 without friction; in the tasks as published they
succeed in none of thousands. The projection is exact here, where the engine iterates. Since
$q_{k-1} = q_k - h \dot q_{k-1}$, position and velocity are the whole state.

**Actions** are in [-1, 1], in units of the greatest force or torque, as the paper's agents act
through a wrapper that scales and clips.

**Departures.** An episode starts with velocities that agree with each other and with the
constraints, where the engine spends its first steps on that.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from .drawing import Shape, draw

State = tuple[float, ...]
GRAVITY = 10.0


class Mechanics:
    """Equations of motion, rewards and drawing of a planar task.

    Arguments:
        substeps: Number of parts that a step is cut into.
    """

    dt: ClassVar[float]  # seconds of a step
    limit: ClassVar[float]  # greatest force (N) or torque (Nm)
    entries: ClassVar[int]  # numbers of an observation
    view: ClassVar[tuple[float, float, float, float]]  # left, bottom, right, top of an image (m)

    def __init__(self, substeps: int = 1) -> None:
        self.substeps, self.h = substeps, self.dt / substeps

    def first(self, rng: np.random.Generator) -> State:
        """Draws a first state."""
        raise NotImplementedError

    def advance(self, state: State, force: float) -> State:
        """Returns the state after `h` seconds."""
        raise NotImplementedError

    def observe(self, state: State) -> State:
        """Returns the agent's observation."""
        return state

    def outcome(self, state: State) -> tuple[bool, bool]:
        """Returns whether a state is rewarded with 1, and whether it ends the episode."""
        raise NotImplementedError

    def energy(self, state: State) -> float:
        """Kinetic and potential energy (joules)."""
        raise NotImplementedError

    def shapes(self, state: State) -> list[Shape]:
        """Shapes to draw."""
        raise NotImplementedError


class PlanarEnv(gymnasium.Env):
    """A planar task as a Gymnasium environment.

    Arguments:
        render_mode: "rgb_array" draws images, without a screen; None draws nothing.
        substeps: Number of parts that a step is cut into; the paper has 1.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array"],
        "render_fps": 20,
    }
    mechanics_class: ClassVar[type[Mechanics]]

    def __init__(self, render_mode: str | None = None, substeps: int = 1) -> None:
        self.mechanics, self.render_mode = self.mechanics_class(substeps), render_mode
        shape = (self.mechanics.entries,)
        self.observation_space = Box(-np.inf, np.inf, shape, np.float32)
        self.action_space = Box(-1.0, 1.0, (1,), np.float32)
        self.state: State | None = None

    def observation(self) -> np.ndarray:
        return np.array(self.mechanics.observe(self.current_state()), np.float32)

    def current_state(self) -> State:
        if self.state is None:
            raise gymnasium.error.ResetNeeded(
                "A world has no state before its first reset: call reset first."
            )
        return self.state

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins an episode; a seed fixes all that follow."""
        super().reset(seed=seed)
        self.state = self.mechanics.first(self.np_random)
        return self.observation(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Returns observation, reward, terminated, truncated and an empty dict."""
        mechanics, state = self.mechanics, self.current_state()
        force = mechanics.limit * min(max(float(action[0]), -1.0), 1.0)
        for _ in range(mechanics.substeps):
            state = mechanics.advance(state, force)
        self.state = state
        rewarded, terminated = mechanics.outcome(state)
        return self.observation(), float(rewarded), bool(terminated), False, {}

    def render(self) -> Any:
        """Draws an image, uint8 (height, width, 3)."""
        if self.render_mode is None:
            return None
        return draw(self.mechanics.shapes(self.current_state()), self.mechanics.view)
