"""Environments: from a Gymnasium task id, or a function that makes one, to what learning needs to
know of it.

A task is given as an id (`"Hopper-v5"`, the user's own registered ids and `"module:Task-v0"`
included) or as a function without arguments that returns a `gymnasium.Env`. Observations become
flat float32 vectors: boxes of any shape, and whatever else `gymnasium.spaces.flatten` knows,
discrete ones as one-hot. Actions are discrete, or a box with finite bounds, to which an action is
clipped before it is carried out.

An episode that ends by itself (*terminated*) is told apart from one that was cut off (*truncated*,
by the task's time limit, by one of its wrappers, or by `horizon`): after the first there is nothing
to come, after the second the world goes on unseen.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from ...errors import DivergenceError, MissingExtra, UsageError, ZeuxisError
from .task import Task

# numbers of an observation; above it is a picture, which a multilayer perceptron cannot read
LARGEST = 10_000
FURTHEST = 1e30  # greater bounds stand for none, and in float32 nothing could be reckoned with them
GREATEST = 3e38  # reward that float32 can hold


def gymnasium() -> Any:
    """The package, or a sentence that says how to get it."""
    try:
        import gymnasium
    except ImportError as error:
        raise MissingExtra("gymnasium", "rl", "Reinforcement learning") from error
    from . import sparse as tasks  # noqa: F401

    return gymnasium


def maker(
    source: str | Callable[[], Any], horizon: int = 0, **options: Any
) -> tuple[str, Callable[[], Any]]:
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
            gym.envs.registration.load_env_creator(spec.entry_point) if isinstance(
                spec.entry_point, str
            ) else None
    except Exception as error:  # whatever a stranger's module may raise
        why = " ".join(str(error).split()).rstrip(".")
        raise UsageError(
            f"There is no task '{source}' here ({why}): give a Gymnasium id, as in Hopper-v5."
        ) from error
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
            warnings.simplefilter(
                "ignore"
            )  # of newer versions of a task, and of the rendering that nobody asked for
            return gymnasium().make(self.spec, disable_env_checker=True, **self.options)


class Environment:
    """One environment as learning sees it: flat observations in, actions of a network out; every
    step is checked.

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
        except STRANGE as error:
            raise UsageError(
                f"The environment '{name}' could not be made ({reason(error)}): correct "
                "it or give another."
            ) from error
        self.task = self.describe(name, horizon)
        self.flat = isinstance(self.inner.observation_space, self.spaces.Box)
        self.classes = isinstance(self.inner.observation_space, self.spaces.Discrete)
        self.low, self.high = self.task.bounds
        self.shape = None if self.task.discrete else self.inner.action_space.shape
        self.zeros = np.zeros(self.task.observation, np.float32)
        self.still = np.zeros_like(self.low)
        self.t = self.seed = 0

    def describe(self, name: str, horizon: int) -> Task:
        """The task, or why it cannot be learned."""
        gym, spaces = gymnasium(), self.spaces
        if not isinstance(self.inner, gym.Env):
            raise UsageError(
                f"'{name}' makes a {type(self.inner).__name__}, expected a "
                "gymnasium.Env: give a function that returns one."
            )
        seen, taken = (
            getattr(self.inner, "observation_space", None),
            getattr(self.inner, "action_space", None),
        )
        try:
            size = int(spaces.flatdim(seen))
        except (NotImplementedError, ValueError) as error:
            raise UsageError(
                f"Observations of '{name}' are {seen}, which cannot be made a vector: "
                "wrap the environment."
            ) from error
        if not 0 < size <= LARGEST:
            raise UsageError(
                f"Observations of '{name}' have {size:,} numbers, expected 1 to "
                f"{LARGEST:,}, since the policies read vectors, "
                "not pictures: wrap the environment in one that describes its state."
            )
        limit = horizon or (
            getattr(self.inner.spec, "max_episode_steps", None) if self.inner.spec else None
        )
        if not limit or limit < 1:
            raise UsageError(
                f"Episodes of '{name}' have no time limit: give one with --training.horizon 1000."
            )
        if isinstance(taken, spaces.Discrete):
            check_count(name, int(taken.n))
            return Task(name, size, int(taken.n), True, int(limit), start=int(taken.start))
        if not isinstance(taken, spaces.Box) or not np.issubdtype(taken.dtype, np.floating):
            raise UsageError(
                f"Actions of '{name}' are {taken}, expected Discrete or a Box of "
                "floating-point numbers: wrap the environment."
            )
        low, high = np.ravel(taken.low).astype(np.float64), np.ravel(taken.high).astype(np.float64)
        check_count(name, len(low))
        if (
            not (np.abs(low) < FURTHEST).all()
            or not (np.abs(high) < FURTHEST).all()
            or not (low <= high).all()
        ):
            raise UsageError(
                f"Actions of '{name}' have no bounds ({taken}): give it a bounded space. "
                "zeuxis clips actions itself, "
                "so leave ClipAction out."
            )
        shape = None if taken.shape == (len(low),) else tuple(int(n) for n in taken.shape)
        return Task(
            name,
            size,
            len(low),
            False,
            int(limit),
            tuple(low.tolist()),
            tuple(high.tolist()),
            shape=shape,
            dtype=str(taken.dtype),
        )

    def vector(self, x: Any) -> np.ndarray:
        """An observation as a flat vector of finite numbers."""
        if not self.flat:
            if self.classes and not self.inner.observation_space.contains(x):
                raise ValueError(
                    f"the observation is {brief(x)}, which is not in {self.inner.observation_space}"
                )
            x = self.spaces.flatten(self.inner.observation_space, x)
        x = np.asarray(x, np.float32).ravel()
        if len(x) != self.task.observation:
            raise ValueError(
                f"the observation has {len(x)} numbers where its space has {self.task.observation}"
            )
        if (
            x.dot(self.zeros) != 0
            # 0 times anything but a finite number is not a number: a fifth of the time of
            # `isfinite`
        ):
            at = int(np.flatnonzero(~np.isfinite(x))[0])
            raise ValueError(f"number {at} of the observation is {x[at]}, not a finite number")
        return x

    def reset(self, seed: int) -> np.ndarray:
        """Begins an episode.

        Raises:
            ZeuxisError: The environment failed, or gave something else than a finite observation of
                its space.
        """
        self.t, self.seed = 0, seed
        try:
            found = self.inner.reset(seed=seed)
            if not isinstance(found, tuple) or len(found) != 2:
                raise ValueError(f"reset gave {brief(found)}, expected (observation, info)")
            return self.vector(found[0])
        except STRANGE as error:
            raise broken(self.task, error, 0, seed) from error

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool]:
        """Carries a network's action out: the next observation, the reward, whether the episode
        ended, whether it was cut off.

        Raises:
            ZeuxisError: The environment failed, or gave something else than finite numbers; the
                sentence names the step.
        """
        self.t += 1
        try:
            if self.shape is None:
                found = self.inner.step(self.task.start + int(action))
            else:
                if action.dtype is not self.low.dtype:
                    action = np.asarray(action, self.low.dtype)
                clipped = np.minimum(np.maximum(action, self.low), self.high)
                if clipped.dot(self.still) != 0:
                    raise DivergenceError(
                        "The policy chose an action that is not a finite number at step "
                        f"{self.t} of the episode of seed {self.seed} in "
                        f"'{self.task.name}': its weights are too large, lower the step "
                        "sizes and train it again."
                    )
                found = self.inner.step(clipped.reshape(self.shape))
            if not isinstance(found, tuple) or len(found) != 5:
                raise ValueError(
                    f"step gave {brief(found)}, expected (observation, reward, "
                    "terminated, truncated, info)"
                )
            x, reward, ended, cut, _ = found
            if type(reward) is not float or not -GREATEST < reward < GREATEST:
                reward = number(reward)
            if type(ended) is not bool or type(cut) is not bool:
                ended, cut = flag(ended, "terminated"), flag(cut, "truncated")
            return self.vector(x), reward, ended, cut
        except STRANGE as error:
            raise broken(self.task, error, self.t, self.seed) from error

    def close(self) -> None:
        """Closes it; what a stranger's code raises here no longer matters."""
        with suppress(*STRANGE):
            self.inner.close()


STRANGE = (Exception, SystemExit)  # whatever a stranger's code may raise


def check_count(name: str, n: int) -> None:
    """Refuses more actions than a network can have outputs for."""
    if not 0 < n <= LARGEST:
        raise UsageError(
            f"Actions of '{name}' are {n:,} classes or numbers, expected 1 to "
            f"{LARGEST:,}: wrap the environment."
        )


def brief(value: Any) -> str:
    """What a value is, in a few words."""
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"a {type(value).__name__}"


def number(reward: Any) -> float:
    """A reward as one finite number."""
    if not isinstance(reward, float):
        array = np.asarray(reward)
        if array.size != 1 or array.dtype.kind not in "fiub":
            raise ValueError(f"the reward is {brief(reward)}, expected one number")
        reward = array.item()
    if not -GREATEST < reward < GREATEST:
        raise ValueError(f"the reward is {reward}, not a finite number of float32")
    return float(reward)


def flag(value: Any, name: str) -> bool:
    """Whether an episode is over, as Python or NumPy says it."""
    if value is True or value is False:
        return value
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biu":
        raise ValueError(f"{name} is {brief(value)}, expected True or False")
    return bool(array.item())


def task_of(source: str | Callable[[], Any], horizon: int = 0) -> Task:
    """The task behind an id or a function.

    Example:
        >>> import pytest; _ = pytest.importorskip("gymnasium")
        >>> task_of("CartPole-v1")
        Task(name='CartPole-v1', observation=4, action=2, discrete=True, horizon=500, low=(),
        high=(), start=0, shape=None, dtype='float32')
    """
    name, make = maker(source, horizon)
    environment = Environment(name, make, horizon)
    environment.close()
    return environment.task


def reason(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def broken(task: Task, error: BaseException, step: int, seed: int) -> ZeuxisError:
    """The sentence for an environment that raised an error or gave what it should not: at which
    step, counted from 1; 0 is the reset."""
    if isinstance(error, ZeuxisError):
        return error
    where = f"step {step}" if step else "the reset"
    return ZeuxisError(
        f"The environment '{task.name}' failed at {where} of the episode of seed {seed} "
        f"({reason(error)}): correct it first."
    )


def named_by_file(name: Any, where: str) -> str:
    """A task's name that a file gives. A file must not make the program import anything: only the
    user names modules.

    Arguments:
        name: What the file says.
        where: What sentences call the file.

    Raises:
        UsageError: It is no name, or has the module of a task in front that is not loaded.
    """
    if not isinstance(name, str):
        raise UsageError(f"{where} gives the task {brief(name)}, expected a name: give --env TASK.")
    module = name.rpartition(":")[0]
    if module and module not in sys.modules:
        raise UsageError(
            f"{where} gives the task '{name}', and a file must not make zeuxis import "
            f"the module '{module}': "
            f"if you trust it, give --env {name} yourself."
        )
    return name
