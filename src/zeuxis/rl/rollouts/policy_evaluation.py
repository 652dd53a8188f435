"""How good a policy is: the returns of whole episodes on seeds of their own, and where they lie
between chance and the expert."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import UsageError
from ..environments.task import Task
from ..imitation.demonstrations import Foreign
from ..policies.numpy_policy import Actor
from .collector import Acts, Engine


@dataclass(frozen=True)
class Returns:
    """Returns of a policy.

    Arguments:
        returns: Of each episode.
        lengths: Steps of each.
        terminated: Episodes that ended by themselves.
        deterministic: Whether the likeliest action was taken.

    Example:
        >>> Returns(np.array([1.0, 3.0]), np.array([10, 20]), 2, True).as_dict()["mean"]
        2.0
    """

    returns: np.ndarray
    lengths: np.ndarray
    terminated: int
    deterministic: bool

    def as_dict(self) -> dict[str, Any]:
        """Mean, deviation over episodes, least and greatest return, and lengths."""
        r = self.returns
        return {
            "mean": float(r.mean()),
            "std": float(r.std()),
            "least": float(r.min()),
            "greatest": float(r.max()),
            "length": float(self.lengths.mean()),
            "episodes": len(r),
            "terminated": self.terminated,
            "deterministic": self.deterministic,
        }

    def __str__(self) -> str:
        r, how = self.returns, "likeliest" if self.deterministic else "drawn"
        ended = f"{self.terminated} of {len(r)} ended by themselves"
        figures = (
            f"return {r.mean():.2f} ± {r.std():.2f} ({r.min():.2f} to "
            f"{r.max():.2f}), {self.lengths.mean():.0f} steps"
        )
        return f"{figures}, {ended}, {how} actions"


def returns_of(
    policy: Any,
    env: str | Callable[[], Any],
    episodes: int = 50,
    *,
    deterministic: bool = True,
    seed: int = 0,
    workers: int = 0,
    horizon: int = 0,
) -> Returns:
    """Lets a policy act on episodes that no training saw.

    Arguments:
        policy: An `Actor`, a policy that learned here, or anything with the `predict` of
            Stable-Baselines3.
        env: A Gymnasium id or a function without arguments that makes an environment.
        episodes: How many; the paper on GAIL takes 50.
        deterministic: Whether it takes its likeliest action.
        seed: Fixes the episodes.
        workers: Processes that act; 0 acts here.
        horizon: Longest episode (steps); 0 takes the task's own limit.
    """
    if episodes < 1:
        raise UsageError(
            f"At least one episode is needed, got {episodes}: give --episodes 1 or more."
        )
    actor: Acts = (
        policy.actor()
        if hasattr(policy, "actor")
        else policy
        if isinstance(policy, Acts)
        else Foreign(policy)
    )
    with Engine(env, workers, seed, horizon) as engine:
        found, _ = engine.collect(
            actor, episodes=episodes, stream="evaluate", deterministic=deterministic
        )
    return Returns(found.returns, found.lengths, int(found.terminated.sum()), deterministic)


def chance(task: Task) -> Actor:
    """The policy before it learns: a unit Gaussian around 0, or every action alike."""
    zeros = np.zeros((task.action, task.observation))
    std = None if task.discrete else np.zeros(task.action)
    head = "logits" if task.discrete else "gaussian_mean"
    return Actor(
        [zeros],
        [np.zeros(task.action)],
        np.zeros(task.observation),
        np.ones(task.observation),
        head,
        log_std=std,
    )
