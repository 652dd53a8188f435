"""One environment as training sees it: flat observations in, checked steps out.

An environment is a Gymnasium id (`"Hopper-v5"`, registered ids of the user and `"module:Task-v0"`
included) or a function without arguments that returns a `gymnasium.Env`. Observations become flat
float32 vectors: boxes of any shape, and every other space that `gymnasium.spaces.flatten` accepts
(discrete ones as one-hot). Actions are discrete, or a box with finite bounds; they are clipped to
these bounds before each step.

Termination and truncation are kept separate. After a *terminated* episode there is nothing more to
earn. After a *truncated* one (by the time limit, a wrapper or `horizon`) the task would have gone
on, so its return is bootstrapped from the value function.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from ...errors import DivergenceError, UsageError, ZeuxisError
from .registration import brief, gymnasium, maker, one_line
from .task import Task

MAX_SIZE = 10_000  # numbers of an observation or an action; more is an image, which no MLP reads
MAX_BOUND = 1e30  # larger bounds count as none: float32 arithmetic with them would overflow
MAX_REWARD = 3e38  # largest reward that float32 can hold
ENVIRONMENT_ERRORS = (Exception, SystemExit)  # third-party code may raise anything


class Environment:
    """Wraps a Gymnasium environment and checks every step.

    Arguments:
        name: Name of the task in messages.
        make: Makes the Gymnasium environment.
        horizon: Longest episode (steps); 0 takes the task's limit.

    Raises:
        UsageError: Its spaces are not supported, or its episodes have no time limit.
    """

    def __init__(self, name: str, make: Callable[[], Any], horizon: int = 0) -> None:
        self.spaces = gymnasium().spaces
        try:
            self.inner = make()
        except ENVIRONMENT_ERRORS as error:
            raise UsageError(
                f"The environment '{name}' could not be made ({reason(error)}): correct it or "
                "give another."
            ) from error
        self.task = self.describe(name, horizon)
        self.flat = isinstance(self.inner.observation_space, self.spaces.Box)
        self.one_hot = isinstance(self.inner.observation_space, self.spaces.Discrete)
        self.low, self.high = self.task.bounds
        self.shape = None if self.task.discrete else self.inner.action_space.shape
        self.zero_observation = np.zeros(self.task.observation, np.float32)
        self.zero_action = np.zeros_like(self.low)
        self.t = self.seed = 0

    def describe(self, name: str, horizon: int) -> Task:
        """Reads the task from the spaces, or says why no policy can be trained in it."""
        if not isinstance(self.inner, gymnasium().Env):
            raise UsageError(
                f"'{name}' makes a {type(self.inner).__name__}, expected a gymnasium.Env: give a "
                "function that returns one."
            )
        size = self.observation_size(name)
        spec_limit = getattr(self.inner.spec, "max_episode_steps", None) if self.inner.spec else 0
        limit = horizon or spec_limit
        if not limit or limit < 1:
            raise UsageError(
                f"Episodes of '{name}' have no time limit: give one with --training.horizon 1000."
            )
        space = getattr(self.inner, "action_space", None)
        if isinstance(space, self.spaces.Discrete):
            check_action_size(name, int(space.n))
            return Task(name, size, int(space.n), True, int(limit), start=int(space.start))
        if not isinstance(space, self.spaces.Box) or not np.issubdtype(space.dtype, np.floating):
            raise UsageError(
                f"Actions of '{name}' are {space}, expected Discrete or a Box of floating-point "
                "numbers: wrap the environment."
            )
        low, high = (np.ravel(bound).astype(np.float64) for bound in (space.low, space.high))
        check_action_size(name, len(low))
        bounded = (np.abs(low) < MAX_BOUND).all() and (np.abs(high) < MAX_BOUND).all()
        if not bounded or not (low <= high).all():
            raise UsageError(
                f"Actions of '{name}' have no bounds ({space}): give it a bounded space. zeuxis "
                "clips actions itself, so leave ClipAction out."
            )
        shape = None if space.shape == (len(low),) else tuple(int(n) for n in space.shape)
        bounds = (tuple(low.tolist()), tuple(high.tolist()))
        dtype = str(space.dtype)
        return Task(name, size, len(low), False, int(limit), *bounds, shape=shape, dtype=dtype)

    def observation_size(self, name: str) -> int:
        """Numbers of a flat observation."""
        space = getattr(self.inner, "observation_space", None)
        try:
            size = int(self.spaces.flatdim(space))
        except (NotImplementedError, ValueError) as error:
            raise UsageError(
                f"Observations of '{name}' are {space}, which cannot be made a vector: wrap the "
                "environment."
            ) from error
        if not 0 < size <= MAX_SIZE:
            raise UsageError(
                f"Observations of '{name}' have {size:,} numbers, expected 1 to {MAX_SIZE:,}, "
                "since the policies read vectors, not pictures: wrap the environment in one that "
                "describes its state."
            )
        return size

    def vector(self, x: Any) -> np.ndarray:
        """Flattens an observation.

        Raises:
            ValueError: It is not in its space, or not finite.
        """
        if not self.flat:
            space = self.inner.observation_space
            if self.one_hot and not space.contains(x):
                raise ValueError(f"the observation is {brief(x)}, which is not in {space}")
            x = self.spaces.flatten(space, x)
        x = np.asarray(x, np.float32).ravel()
        if len(x) != self.task.observation:
            raise ValueError(
                f"the observation has {len(x)} numbers where its space has {self.task.observation}"
            )
        # 0 times an infinite number is not a number: this takes a fifth of the time of `isfinite`.
        if x.dot(self.zero_observation) != 0:
            at = int(np.flatnonzero(~np.isfinite(x))[0])
            raise ValueError(f"number {at} of the observation is {x[at]}, not a finite number")
        return x

    def reset(self, seed: int) -> np.ndarray:
        """Begins an episode.

        Raises:
            ZeuxisError: The environment failed, or its observation is not a finite one of its
                space.
        """
        self.t, self.seed = 0, seed
        try:
            result = self.inner.reset(seed=seed)
            if not isinstance(result, tuple) or len(result) != 2:
                raise ValueError(f"reset gave {brief(result)}, expected (observation, info)")
            return self.vector(result[0])
        except ENVIRONMENT_ERRORS as error:
            raise broken(self.task, error, 0, seed) from error

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool]:
        """Takes one step with an action as the network gives it.

        Returns:
            Next observation, reward, terminated, truncated.

        Raises:
            ZeuxisError: The environment failed, or returned something other than finite numbers;
                the message names the step.
        """
        self.t += 1
        try:
            if self.shape is None:
                result = self.inner.step(self.task.start + int(action))
            else:
                result = self.inner.step(self.clip(action))
            if not isinstance(result, tuple) or len(result) != 5:
                raise ValueError(
                    f"step gave {brief(result)}, expected (observation, reward, terminated, "
                    "truncated, info)"
                )
            x, reward, terminated, truncated, _ = result
            if type(reward) is not float or not -MAX_REWARD < reward < MAX_REWARD:
                reward = as_reward(reward)
            if type(terminated) is not bool or type(truncated) is not bool:
                terminated = as_bool(terminated, "terminated")
                truncated = as_bool(truncated, "truncated")
            return self.vector(x), reward, terminated, truncated
        except ENVIRONMENT_ERRORS as error:
            raise broken(self.task, error, self.t, self.seed) from error

    def clip(self, action: Any) -> np.ndarray:
        """Clips a row of numbers to the bounds, in the box's dtype and shape."""
        if action.dtype is not self.low.dtype:
            action = np.asarray(action, self.low.dtype)
        clipped = np.minimum(np.maximum(action, self.low), self.high)
        if clipped.dot(self.zero_action) != 0:
            raise DivergenceError(
                f"The policy chose an action that is not a finite number at step {self.t} of the "
                f"episode of seed {self.seed} in '{self.task.name}': its weights are too large, "
                "lower the step sizes and train it again."
            )
        return clipped.reshape(self.shape)

    def close(self) -> None:
        """Closes the environment; errors no longer matter here."""
        with suppress(*ENVIRONMENT_ERRORS):
            self.inner.close()


def check_action_size(name: str, n: int) -> None:
    """Refuses more actions than a network can have outputs for."""
    if not 0 < n <= MAX_SIZE:
        raise UsageError(
            f"Actions of '{name}' are {n:,} classes or numbers, expected 1 to {MAX_SIZE:,}: wrap "
            "the environment."
        )


def as_reward(reward: Any) -> float:
    """Converts a reward to a finite float."""
    if not isinstance(reward, float):
        array = np.asarray(reward)
        if array.size != 1 or array.dtype.kind not in "fiub":
            raise ValueError(f"the reward is {brief(reward)}, expected one number")
        reward = array.item()
    if not -MAX_REWARD < reward < MAX_REWARD:
        raise ValueError(f"the reward is {reward}, not a finite number of float32")
    return float(reward)


def as_bool(value: Any, name: str) -> bool:
    """Converts a Python or NumPy flag to bool."""
    if value is True or value is False:
        return value
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biu":
        raise ValueError(f"{name} is {brief(value)}, expected True or False")
    return bool(array.item())


def task_of(source: str | Callable[[], Any], horizon: int = 0) -> Task:
    """Describes the task behind an id or a function.

    Example:
        >>> import pytest
        >>> _ = pytest.importorskip("gymnasium")
        >>> task_of("CartPole-v1")
        Task(name='CartPole-v1', observation=4, action=2, discrete=True, horizon=500, low=(),
        high=(), start=0, shape=None, dtype='float32')
    """
    name, make = maker(source, horizon)
    environment = Environment(name, make, horizon)
    environment.close()
    return environment.task


def reason(error: BaseException) -> str:
    """An error's type and message on one line."""
    text = one_line(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def broken(task: Task, error: BaseException, step: int, seed: int) -> ZeuxisError:
    """The error for an environment that failed at a step, counted from 1; 0 is the reset."""
    if isinstance(error, ZeuxisError):
        return error
    where = f"step {step}" if step else "the reset"
    return ZeuxisError(
        f"The environment '{task.name}' failed at {where} of the episode of seed {seed} "
        f"({reason(error)}): correct it first."
    )
