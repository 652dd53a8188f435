"""Environments small enough to be worked out by hand; imported by worker processes too, so without
PyTorch and pytest."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete

from zeuxis.rl.environments.task import Task
from zeuxis.rl.imitation.demonstrations import Demonstrations
from zeuxis.rl.policies.numpy_policy import NumpyPolicy, linear_policy
from zeuxis.rl.rollouts.trajectory import Rollouts


class Count(gymnasium.Env):
    """Observes [t, the episode's random number]; rewards t + 1; ends by itself at `ends`, is cut
    off at `cut`."""

    def __init__(self, ends: int = 0, cut: int = 0, actions: Any = None) -> None:
        self.observation_space = Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = actions or Discrete(2)
        self.ends, self.cut = ends, cut
        self.taken: list[Any] = []

    def look(self) -> np.ndarray:
        return np.array([self.t, self.drawn], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.t, self.drawn = 0, self.np_random.random()
        return self.look(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.taken.append(action)
        self.t += 1
        return self.look(), float(self.t), self.t == self.ends, self.t == self.cut, {}


class Fails(Count):
    """Goes wrong at a step, in one of several ways."""

    def __init__(self, how: str, at: int = 3) -> None:
        super().__init__(cut=10)
        self.how, self.at = how, at

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        x, reward, ended, cut, about = super().step(action)
        if self.t == self.at:
            if self.how == "raise":
                raise ValueError("the leg broke")
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "shape":
                x = np.zeros(3, np.float32)
            if self.how == "nan":
                reward = float("nan")
            if self.how == "sleep":
                time.sleep(60)
        return x, reward, ended, cut, about


class Odd(Count):
    """Goes wrong at the seventh step, or at the reset, in one of many ways."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, how: str, render_mode: str | None = None) -> None:
        super().__init__(cut=20)
        self.how, self.render_mode = how, render_mode

    def render(self) -> np.ndarray:
        return np.zeros((20, 20, 3), np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        x, about = super().reset(seed=seed)
        return {
            "reset alone": x,
            "reset nan": (x * np.nan, about),
            "reset three": (x, about, 1),
        }.get(self.how, (x, about))

    def step(self, action: Any) -> Any:
        x, reward, ended, cut, about = super().step(action)
        if self.t != 7:
            return x, reward, ended, cut, about
        if self.how in RAISED:
            raise RAISED[self.how]
        answers: dict[str, Any] = {
            "nan": (x * np.nan, reward, ended, cut, about),
            "infinite": (np.array([np.inf, -np.inf]), reward, ended, cut, about),
            "too large for float32": (np.array([1e300, 0.0]), reward, ended, cut, about),
            "none": (None, reward, ended, cut, about),
            "text": ("abc", reward, ended, cut, about),
            "shape": (np.zeros(5), reward, ended, cut, about),
            "reward nan": (x, float("nan"), ended, cut, about),
            "reward infinite": (x, np.float64("inf"), ended, cut, about),
            "reward too large": (x, 1e200, ended, cut, about),
            "rewards": (x, np.ones(2), ended, cut, about),
            "no reward": (x, None, ended, cut, about),
            "reward text": (x, "1", ended, cut, about),
            "four": (x, reward, ended, about),
            "ends": (x, reward, np.zeros(2, bool), cut, about),
            "ended none": (x, reward, None, cut, about),
            "cut text": (x, reward, ended, "False", about),
        }
        return answers.get(self.how, (x, reward, ended, cut, about))


RAISED = {
    "error": KeyError("a bug of the environment"),
    "exit": SystemExit(3),
    "memory": MemoryError(),
    "silent": RuntimeError(),
}


class Interrupting(Count):
    """Raises what nobody expects of an environment."""

    def step(self, action: Any) -> Any:
        raise KeyboardInterrupt


class Leaving(Count):
    """Takes its process down."""

    def step(self, action: Any) -> Any:
        os._exit(4)


class Slow(Count):
    """Its reset and its first step take longer than a step may later."""

    def reset(self, **more: Any) -> Any:
        time.sleep(0.6)
        return super().reset(**more)

    def step(self, action: Any) -> Any:
        time.sleep(0.15)
        return super().step(action)


class Bandit(gymnasium.Env):
    """Twenty-five pulls; the reward depends on the arm, or on the distance of a number to 0.5."""

    def __init__(self, arms: int = 0) -> None:
        self.observation_space = Box(-1, 1, (1,), np.float32)
        self.action_space = Discrete(arms) if arms else Box(-2, 2, (1,), np.float32)
        self.arms = arms

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.t = 0
        return np.ones(1, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        reward = float(action) / self.arms if self.arms else -abs(float(action[0]) - 0.5)
        self.t += 1
        return np.ones(1, np.float32), reward, self.t == 25, False, {}


class Switch(gymnasium.Env):
    """Two states, sampled at each step; the expert answers state s with action s. Nothing here
    rewards it."""

    def __init__(self, length: int = 20, continuous: bool = False) -> None:
        self.observation_space = Box(0, 1, (2,), np.float32)
        self.action_space = Box(-1, 1, (1,), np.float32) if continuous else Discrete(2)
        self.length, self.continuous = length, continuous

    def look(self) -> np.ndarray:
        self.state = int(self.np_random.integers(2))
        return np.eye(2, dtype=np.float32)[self.state]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.t = 0
        return self.look(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        wanted = 2 * self.state - 1 if self.continuous else self.state
        right = 1.0 - abs(float(np.ravel(action)[0]) - wanted)
        self.t += 1
        return self.look(), right, False, self.t == self.length, {}


class Corridor(gymnasium.Env):
    """Steps of -1 until the goal is reached by going right `length` times; the expert only goes
    right, and then it is over."""

    def __init__(self, length: int = 4, cut: int = 30) -> None:
        self.observation_space = Box(0, 1, (length + 1,), np.float32)
        self.action_space = Discrete(2)
        self.length, self.cut = length, cut

    def look(self) -> np.ndarray:
        return np.eye(self.length + 1, dtype=np.float32)[self.at]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.at = self.t = 0
        return self.look(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.at = max(0, self.at + (1 if action else -1))
        self.t += 1
        return self.look(), -1.0, self.at == self.length, self.t == self.cut, {}


class Strange(Count):
    """Spaces of all kinds."""

    def __init__(self, observation: Any = None, action: Any = None, cut: int = 5) -> None:
        super().__init__(cut=cut)
        self.observation_space = observation or self.observation_space
        self.action_space = action or self.action_space


def pictures() -> Strange:
    return Strange(Box(0, 255, (210, 160, 3), np.uint8))


def unbounded() -> Strange:
    return Strange(action=Box(-np.inf, np.inf, (2,), np.float32))


def many() -> Strange:
    return Strange(action=MultiDiscrete([2, 2]))


def whole() -> Strange:
    return Strange(action=Box(0, 5, (2,), np.int64))


class Nested(Count):
    """Observations of two parts."""

    def __init__(self) -> None:
        super().__init__(cut=4)
        self.observation_space = Dict(
            {"where": Box(-1, 1, (2, 2), np.float32), "which": Discrete(3)}
        )

    def look(self) -> Any:
        return {"where": np.full((2, 2), 0.5, np.float32), "which": self.t % 3}


class Drawn(Switch):
    """Draws its state: black or white."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.render_mode = render_mode

    def render(self) -> np.ndarray:
        return np.full((40, 60, 3), 255 * self.state, np.uint8)


gymnasium.register("Drawn-v0", "tiny_envs:Drawn", max_episode_steps=20)
gymnasium.register("Blind-v0", "tiny_envs:Switch", max_episode_steps=20)

BOX, CHOICE = Task("x", 3, 2, False, 10, (-1.0, -1.0), (1.0, 1.0)), Task("x", 3, 2, True, 10)


def switch_expert(continuous: bool) -> NumpyPolicy:
    """Answers state s with action s, or -1 and 1."""
    if continuous:
        return linear_policy(np.array([[-1.0, 1.0]]), head="gaussian_mean")
    return linear_policy(9 * np.eye(2))


def right_expert(length: int = 4) -> NumpyPolicy:
    """Always goes right."""
    return linear_policy(np.zeros((2, length + 1)), np.array([0.0, 1.0]))


def demos_of(
    n: int = 6,
    entries: int = 3,
    actions: np.ndarray | None = None,
    lengths: tuple[int, ...] = (2, 4),
) -> Demonstrations:
    rng = np.random.default_rng(0)
    taken = rng.uniform(-1, 1, (n, 2)).astype(np.float32) if actions is None else actions
    seen, ends = rng.standard_normal((n, entries)).astype(np.float32), len(lengths)
    finals = rng.standard_normal((ends, entries)).astype(np.float32)
    return Demonstrations(
        Rollouts(
            seen, taken, np.ones(n, np.float32), np.array(lengths), finals, np.zeros(ends, bool)
        )
    )
