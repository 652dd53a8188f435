"""Evaluates a policy: the returns of whole episodes on seeds that training never uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import UsageError
from .collector import Collector
from .external_policy import as_acting


@dataclass(frozen=True)
class Returns:
    """Returns of a policy over E episodes.

    Arguments:
        returns: Return of each episode, (E,).
        lengths: Steps of each episode, (E,).
        terminated: Number of episodes that terminated.
        deterministic: Whether the policy took its mode instead of a sample.

    Example:
        >>> Returns(np.array([1.0, 3.0]), np.array([10, 20]), 2, True).as_dict()["mean"]
        2.0
    """

    returns: np.ndarray
    lengths: np.ndarray
    terminated: int
    deterministic: bool

    def as_dict(self) -> dict[str, Any]:
        """Statistics of returns and lengths."""
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
        return (
            f"return {r.mean():.2f} ± {r.std():.2f} ({r.min():.2f} to {r.max():.2f}), "
            f"{self.lengths.mean():.0f} steps, {self.terminated} of {len(r)} ended by themselves, "
            f"{how} actions"
        )


def evaluate_policy(
    policy: Any,
    env: str | Callable[[], Any],
    episodes: int = 50,
    *,
    deterministic: bool = True,
    seed: int = 0,
    workers: int = 0,
    horizon: int = 0,
) -> Returns:
    """Runs a policy on episodes that training never uses.

    Arguments:
        policy: A policy of zeuxis, or anything with the `predict` of Stable-Baselines3.
        env: A Gymnasium id, or a function without arguments that makes an environment.
        episodes: Number of episodes; the paper on GAIL takes 50.
        deterministic: Whether the policy takes its mode instead of a sample.
        seed: Seed of the episodes.
        workers: Worker processes; 0 acts in this process.
        horizon: Longest episode (steps); 0 takes the task's limit.
    """
    if episodes < 1:
        raise UsageError(
            f"At least one episode is needed, got {episodes}: give --episodes 1 or more."
        )
    with Collector(env, workers, seed, horizon) as collector:
        rollouts, _ = collector.collect(
            as_acting(policy), episodes=episodes, stream="evaluate", deterministic=deterministic
        )
    terminated = int(rollouts.terminated.sum())
    return Returns(rollouts.returns, rollouts.lengths, terminated, deterministic)
