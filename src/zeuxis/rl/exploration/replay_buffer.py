r"""The pool of transitions that a dynamics model learns from: true successors, and numbers
standardized by all that was ever seen.

A row is (s, a, s'), s' stored with it, so that no pair crosses the end of an episode: after a last
step s' is the true final observation, whether the episode ended or was cut off. When the pool is
full the newest rows take the place of the oldest.

Inputs are s and a, targets s' or the change s' - s, each standardized by its running mean and
deviation and clipped at ten deviations, since an entry that hardly moves would otherwise be divided
by next to nothing.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..policies.running_stats import Running

Target = Literal["change", "state"]
CLIP = 10.0


class Pool(nn.Module):
    """Transitions, the newest `capacity` of them.

    Arguments:
        observation: Numbers of an observation.
        action: Numbers of an action; discrete ones are one-hot.
        capacity: Most rows.
        target: What is to be predicted.

    Example:
        >>> pool = Pool(2, 1, 100)
        >>> pool.add(np.zeros((3, 2)), np.zeros((3, 1)), np.ones((3, 2)))
        >>> len(pool), pool.inputs(np.zeros((1, 2)), np.zeros((1, 1))).shape, pool.targets(np.zeros((1, 2)), np.ones((1, 2)))
        (3, (1, 3), array([[0., 0.]], dtype=float32))
    """

    rows: Tensor
    total: Tensor

    def __init__(
        self, observation: int, action: int, capacity: int = 100_000, target: Target = "change"
    ) -> None:
        super().__init__()
        self.observation, self.action, self.capacity, self.target = (
            observation,
            action,
            capacity,
            target,
        )
        self.register_buffer("rows", torch.zeros(0, 2 * observation + action))
        self.register_buffer("total", torch.zeros((), dtype=torch.int64))  # ever added
        self.given, self.wanted = (
            Running(observation + action, clip=CLIP),
            Running(observation, clip=CLIP),
        )

    def __len__(self) -> int:
        return min(int(self.total), self.capacity)

    def add(self, observations: np.ndarray, actions: np.ndarray, following: np.ndarray) -> None:
        """Takes transitions in, and their statistics."""
        rows = torch.from_numpy(
            np.concatenate([observations, actions, following], 1, dtype=np.float32)
        )
        k = self.observation + self.action
        self.given.update(rows[:, :k])
        self.wanted.update(
            rows[:, k:] - rows[:, : self.observation] if self.target == "change" else rows[:, k:]
        )
        start, self.total = int(self.total), self.total + len(rows)
        kept = rows[-self.capacity :]
        needed = min(self.capacity, start + len(rows))
        if needed > len(self.rows):  # it grows by doubling
            size = min(self.capacity, max(needed, 2 * len(self.rows)))
            self.rows = torch.cat(
                [self.rows, self.rows.new_zeros(size - len(self.rows), self.rows.shape[1])]
            )
        where = torch.arange(start + len(rows) - len(kept), start + len(rows)) % self.capacity
        self.rows[where] = kept

    def inputs(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Standardized (n, observation + action), float32."""
        return standardized(
            self.given, np.concatenate([observations, actions], 1, dtype=np.float32)
        )

    def targets(self, observations: np.ndarray, following: np.ndarray) -> np.ndarray:
        """Standardized (n, observation), float32."""
        following = np.asarray(following, np.float32)
        return standardized(
            self.wanted,
            following - np.asarray(observations, np.float32)
            if self.target == "change"
            else following,
        )

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Standardized inputs and targets of n rows drawn with replacement."""
        rows, d, k = (
            self.rows.numpy()[rng.integers(len(self), size=n)],
            self.observation,
            self.observation + self.action,
        )
        return self.inputs(rows[:, :d], rows[:, d:k]), self.targets(rows[:, :d], rows[:, k:])

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        saved = state.get(prefix + "rows")
        if saved is not None and saved.ndim == 2 and len(saved) <= self.capacity:
            self.rows = self.rows.new_zeros(
                len(saved), self.rows.shape[1]
            )  # as long as it had grown
        super()._load_from_state_dict(state, prefix, *rest)
        if len(self) > len(self.rows):
            rest[-1].append(
                f"{prefix}total counts {int(self.total)} transitions, and there are "
                f"{len(self.rows)}"
            )


def standardized(by: Running, x: np.ndarray) -> np.ndarray:
    """The same arithmetic as `Running.standardize`, on arrays."""
    return by.standardize(torch.from_numpy(x)).numpy()
