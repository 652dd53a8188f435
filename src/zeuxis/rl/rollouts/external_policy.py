"""Policies of other libraries, through the `predict` of Stable-Baselines3."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from ...errors import ZeuxisError
from ..environments.task import Task


@runtime_checkable
class ActingPolicy(Protocol):
    """A policy that can act: a `NumpyPolicy`, or in this process anything with its two methods."""

    def bind(self, task: Task) -> Any: ...

    def act(self, x: np.ndarray, noise: np.ndarray | None = None) -> Any: ...


class ExternalPolicy:
    """Makes an object with `predict` act as a `NumpyPolicy` does, without its noise.

    Arguments:
        policy: Any object with `predict(observation, deterministic=...)`.
    """

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.task: Task | None = None

    def bind(self, task: Task) -> ExternalPolicy:
        self.task = task
        return self

    def act(self, x: np.ndarray, noise: np.ndarray | None = None) -> Any:
        assert self.task is not None
        action = np.asarray(self.policy.predict(x, deterministic=noise is None)[0])
        try:
            return self.task.from_env(action.reshape(1, -1))[0]
        except ValueError as error:
            raise ZeuxisError(f"The policy gave {error}: take a policy for this task.") from error


def as_acting(policy: Any) -> ActingPolicy:
    """Converts a policy of zeuxis or of another library to one that acts."""
    if hasattr(policy, "to_numpy"):
        return policy.to_numpy()
    return policy if isinstance(policy, ActingPolicy) else ExternalPolicy(policy)
