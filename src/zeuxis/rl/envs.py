"""Environments: from a Gymnasium task id, or a function that makes one, to what learning needs to know of it.

A task is given as an id (`"Hopper-v5"`, the user's own registered ids and `"module:Task-v0"` included) or as a function without
arguments that returns a `gymnasium.Env`. Observations become flat float32 vectors: boxes of any shape, and whatever else
`gymnasium.spaces.flatten` knows, discrete ones as one-hot. Actions are discrete, or a box with finite bounds, to which an action is
clipped before it is carried out.

An episode that ends by itself (*terminated*) is told apart from one that was cut off (*truncated*, by the task's time limit, by one
of its wrappers, or by `horizon`): after the first there is nothing to come, after the second the world goes on unseen.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from ..errors import MissingExtra, UsageError, ZeuxisError

LARGEST = 10_000  # numbers of an observation; above it is a picture, which a multilayer perceptron cannot read


@dataclass(frozen=True)
class Task:
    """What learning needs to know of an environment.

    Arguments:
        name: The task's id, or the name of the function that makes it.
        observation: Numbers of a flat observation.
        action: Numbers of an action, or classes of a discrete one.
        discrete: Whether an action is one of several.
        horizon: Longest episode (steps).
        low: Least value of each number of an action; empty where actions are discrete.
        high: Greatest value of each.
    """

    name: str
    observation: int
    action: int
    discrete: bool
    horizon: int
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


def gymnasium() -> Any:
    """The package, or a sentence that says how to get it."""
    try:
        import gymnasium
    except ImportError as error:
        raise MissingExtra("gymnasium", "rl", "Reinforcement learning") from error
    from . import tasks  # noqa: F401  it registers them

    return gymnasium


def maker(source: str | Callable[[], Any], horizon: int = 0, **options: Any) -> tuple[str, Callable[[], Any]]:
    """The task's name, and a function that makes its environment here or in another process.

    Arguments:
        source: A Gymnasium id or a function without arguments.
        horizon: Longest episode (steps) instead of the task's own; 0 keeps it.
        options: Further arguments of `gymnasium.make`, as in `render_mode="rgb_array"`.

    Raises:
        UsageError: There is no such task, or it needs a package that is missing.
    """
    gym = gymnasium()
    if not isinstance(source, str):
        named = getattr(source, "func", source)  # of a partial, what it calls
        return getattr(named, "__name__", type(named).__name__), source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module, _, task = source.rpartition(":")
            if module:
                import_module(module)  # it registers the task
            spec = gym.spec(task)
            gym.envs.registration.load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else None
    except (gym.error.Error, ImportError, AttributeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UsageError(f"There is no task '{source}' here ({reason}): give a Gymnasium id, as in Hopper-v5.") from error
    if horizon:
        options["max_episode_steps"] = horizon
    return source, Make(spec, options)


@dataclass
class Make:
    """Makes an environment from its registration, which travels to other processes with it."""

    spec: Any
    options: dict[str, Any]

    def __call__(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of newer versions of a task, and of the rendering that nobody asked for
            return gymnasium().make(self.spec, disable_env_checker=True, **self.options)


class Environment:
    """One environment as learning sees it: flat observations in, clipped actions out.

    Arguments:
        name: What sentences call it.
        make: Makes the Gymnasium environment.
        horizon: Longest episode (steps); 0 takes the task's own limit.

    Raises:
        UsageError: Its spaces are not supported, or its episodes have no limit.
    """

    def __init__(self, name: str, make: Callable[[], Any], horizon: int = 0) -> None:
        self.spaces = gymnasium().spaces
        try:
            self.inner = make()
        except Exception as error:  # whatever a stranger's code may raise
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".")
            raise UsageError(f"The environment '{name}' could not be made ({reason}): mend it or give another.") from error
        self.task = self.describe(name, horizon)
        self.flat = isinstance(self.inner.observation_space, self.spaces.Box)
        self.first = int(self.inner.action_space.start) if self.task.discrete else 0
        self.low, self.high = (np.array(bound, np.float32) for bound in (self.task.low, self.task.high))

    def describe(self, name: str, horizon: int) -> Task:
        """The task, or why it cannot be learnt."""
        gym, spaces = gymnasium(), self.spaces
        seen, taken = getattr(self.inner, "observation_space", None), getattr(self.inner, "action_space", None)
        if not isinstance(self.inner, gym.Env):
            raise UsageError(f"'{name}' makes a {type(self.inner).__name__}, expected a gymnasium.Env: give a function that returns one.")
        try:
            size = int(spaces.flatdim(seen))
        except (NotImplementedError, ValueError) as error:
            raise UsageError(f"Observations of '{name}' are {seen}, which cannot be made a vector: wrap the environment.") from error
        if not 0 < size <= LARGEST:
            raise UsageError(
                f"Observations of '{name}' have {size:,} numbers, expected 1 to {LARGEST:,}, since the policies read vectors, "
                "not pictures: wrap the environment in one that describes its state."
            )
        limit = horizon or (getattr(self.inner.spec, "max_episode_steps", None) if self.inner.spec else None)
        if not limit or limit < 1:
            raise UsageError(f"Episodes of '{name}' have no time limit: give one with --training.horizon 1000.")
        if isinstance(taken, spaces.Discrete):
            return Task(name, size, int(taken.n), True, int(limit))
        if not isinstance(taken, spaces.Box) or not np.issubdtype(taken.dtype, np.floating):
            raise UsageError(
                f"Actions of '{name}' are {taken}, expected Discrete or a Box of floating-point numbers: wrap the environment."
            )
        low, high = np.ravel(taken.low), np.ravel(taken.high)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise UsageError(
                f"Actions of '{name}' have no bounds ({taken}): give it a bounded space. zeuxis clips actions itself, "
                "so leave ClipAction out."
            )
        return Task(name, size, len(low), False, int(limit), tuple(low.tolist()), tuple(high.tolist()))

    def vector(self, x: Any) -> np.ndarray:
        """An observation as a flat vector."""
        if not self.flat:
            x = self.spaces.flatten(self.inner.observation_space, x)
        x = np.asarray(x, np.float32).ravel()
        if len(x) != self.task.observation:
            raise ValueError(f"an observation has {len(x)} numbers where its space has {self.task.observation}")
        return x

    def reset(self, seed: int) -> np.ndarray:
        """Begins an episode."""
        x, _ = self.inner.reset(seed=seed)
        return self.vector(x)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool]:
        """Carries an action out: the next observation, the reward, whether the episode ended, whether it was cut off."""
        if self.task.discrete:
            x, reward, terminated, truncated, _ = self.inner.step(self.first + action)
        else:
            clipped = np.minimum(np.maximum(action, self.low), self.high)
            x, reward, terminated, truncated, _ = self.inner.step(clipped.reshape(self.inner.action_space.shape))
        return self.vector(x), float(reward), bool(terminated), bool(truncated)

    def close(self) -> None:
        self.inner.close()


def task_of(source: str | Callable[[], Any], horizon: int = 0) -> Task:
    """The task behind an id or a function.

    Example:
        >>> import pytest; _ = pytest.importorskip("gymnasium")
        >>> task_of("CartPole-v1")
        Task(name='CartPole-v1', observation=4, action=2, discrete=True, horizon=500, low=(), high=())
    """
    name, make = maker(source, horizon)
    environment = Environment(name, make, horizon)
    environment.close()
    return environment.task


def broken(task: Task, error: Exception, step: int, seed: int) -> ZeuxisError:
    """The sentence for an environment that raised an error or gave numbers that are not finite."""
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".")
    return ZeuxisError(f"The environment '{task.name}' failed at step {step} of the episode of seed {seed} ({reason}): mend it first.")
