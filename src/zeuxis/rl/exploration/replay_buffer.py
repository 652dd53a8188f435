r"""The replay buffer of transitions that a dynamics model is trained on.

A row is (s, a, s'). The next state s' is stored with it, so that no pair crosses the end of an
episode: after the last step s' is the final observation, whether the episode terminated or was
truncated. When the buffer is full the newest rows replace the oldest.

Inputs are s and a, targets s' or the change s' - s. Each is standardized by its running mean and
deviation over all transitions ever seen, and clipped at ten deviations, since an entry that hardly
changes would otherwise be divided by next to nothing.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..policies.running_stats import RunningMeanStd

Target = Literal["change", "state"]
CLIP = 10.0


class ReplayBuffer(nn.Module):
    """The newest transitions; all of it is in its `state_dict`.

    Arguments:
        observation: Numbers of an observation.
        action: Numbers of an action; discrete ones are one-hot.
        capacity: Largest number of rows.
        target: Whether to predict the change of the state or the next state.

    Example:
        >>> buffer = ReplayBuffer(2, 1, 100)
        >>> buffer.add(np.zeros((3, 2)), np.zeros((3, 1)), np.ones((3, 2)))
        >>> len(buffer), buffer.inputs(np.zeros((1, 2)), np.zeros((1, 1))).shape
        (3, (1, 3))
        >>> buffer.targets(np.zeros((1, 2)), np.ones((1, 2)))
        array([[0., 0.]], dtype=float32)
    """

    rows: Tensor
    total: Tensor  # transitions ever added

    def __init__(
        self, observation: int, action: int, capacity: int = 100_000, target: Target = "change"
    ) -> None:
        super().__init__()
        self.observation, self.action = observation, action
        self.capacity, self.target = capacity, target
        self.register_buffer("rows", torch.zeros(0, 2 * observation + action))
        self.register_buffer("total", torch.zeros((), dtype=torch.int64))
        self.input_rms = RunningMeanStd(observation + action, clip=CLIP)
        self.target_rms = RunningMeanStd(observation, clip=CLIP)

    def __len__(self) -> int:
        return min(int(self.total), self.capacity)

    def add(self, obs: np.ndarray, act: np.ndarray, next_obs: np.ndarray) -> None:
        """Adds transitions, also to the running statistics."""
        rows = torch.from_numpy(np.concatenate([obs, act, next_obs], 1, dtype=np.float32))
        d, k = self.observation, self.observation + self.action
        self.input_rms.update(rows[:, :k])
        change = self.target == "change"
        self.target_rms.update(rows[:, k:] - rows[:, :d] if change else rows[:, k:])
        start, self.total = int(self.total), self.total + len(rows)
        kept = rows[-self.capacity :]
        self.grow(min(self.capacity, start + len(rows)))
        index = torch.arange(start + len(rows) - len(kept), start + len(rows)) % self.capacity
        self.rows[index] = kept

    def grow(self, needed: int) -> None:
        """Makes room for this many rows, by doubling."""
        if needed > len(self.rows):
            size = min(self.capacity, max(needed, 2 * len(self.rows)))
            room = self.rows.new_zeros(size - len(self.rows), self.rows.shape[1])
            self.rows = torch.cat([self.rows, room])

    def inputs(self, obs: np.ndarray, act: np.ndarray) -> np.ndarray:
        """Standardized inputs (n, observation + action), float32."""
        return standardize(self.input_rms, np.concatenate([obs, act], 1, dtype=np.float32))

    def targets(self, obs: np.ndarray, next_obs: np.ndarray) -> np.ndarray:
        """Standardized targets (n, observation), float32."""
        targets = np.asarray(next_obs, np.float32)
        if self.target == "change":
            targets = targets - np.asarray(obs, np.float32)
        return standardize(self.target_rms, targets)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Samples standardized inputs and targets of n rows with replacement."""
        rows = self.rows.numpy()[rng.integers(len(self), size=n)]
        d, k = self.observation, self.observation + self.action
        return self.inputs(rows[:, :d], rows[:, d:k]), self.targets(rows[:, :d], rows[:, k:])

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        saved = state.get(prefix + "rows")
        if saved is not None and saved.ndim == 2 and len(saved) <= self.capacity:
            self.rows = self.rows.new_zeros(len(saved), self.rows.shape[1])
        super()._load_from_state_dict(state, prefix, *rest)
        if len(self) > len(self.rows):
            errors = rest[-1]
            errors.append(
                f"{prefix}total counts {int(self.total)} transitions, and there are "
                f"{len(self.rows)}"
            )


def standardize(rms: RunningMeanStd, x: np.ndarray) -> np.ndarray:
    """`RunningMeanStd.standardize` for arrays."""
    return rms.standardize(torch.from_numpy(x)).numpy()
