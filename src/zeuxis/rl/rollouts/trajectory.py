"""Trajectories of whole episodes, and the batch that joins them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Trajectory:
    """One episode of T steps.

    Arguments:
        observations: Observations with the final one, (T + 1, entries).
        actions: Actions of the policy, not clipped, (T, a), or classes (T,).
        rewards: Rewards of the environment, (T,).
        terminated: Whether the episode terminated; otherwise it was truncated.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool

    def __len__(self) -> int:
        return len(self.rewards)


@dataclass(frozen=True)
class Rollouts:
    """E episodes one after the other, N steps in all.

    Arguments:
        observations: Observation before each step, (N, entries).
        actions: Actions (N, a), or classes (N,).
        rewards: Rewards of the environment, (N,).
        lengths: Steps of each episode, (E,).
        finals: Observation after the last step of each episode, (E, entries).
        terminated: Whether each episode terminated, (E,).
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    lengths: np.ndarray
    finals: np.ndarray
    terminated: np.ndarray

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory]) -> Rollouts:
        """Joins trajectories."""
        return cls(
            np.concatenate([t.observations[:-1] for t in trajectories]),
            np.concatenate([t.actions for t in trajectories]),
            np.concatenate([t.rewards for t in trajectories]),
            np.array([len(t) for t in trajectories]),
            np.stack([t.observations[-1] for t in trajectories]),
            np.array([t.terminated for t in trajectories]),
        )

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def starts(self) -> np.ndarray:
        """Index of each episode's first step, (E,)."""
        return np.cumsum(self.lengths) - self.lengths

    @property
    def times(self) -> np.ndarray:
        """Steps since the beginning of the episode, (N,)."""
        return np.arange(len(self)) - np.repeat(self.starts, self.lengths)

    @property
    def returns(self) -> np.ndarray:
        """Sum of each episode's rewards, (E,)."""
        return np.add.reduceat(self.rewards, self.starts)

    @property
    def next_observations(self) -> np.ndarray:
        """Observation after each step, the final one after the last, (N, entries)."""
        following = np.roll(self.observations, -1, 0)
        following[self.starts + self.lengths - 1] = self.finals
        return following
