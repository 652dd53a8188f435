"""What a policy needs to know about an environment, and the translation of its actions.

A network numbers discrete actions from 0 and returns boxes as unbounded rows of float32. An
environment may number its actions from `start`, and its boxes have a shape, a dtype and bounds.
`Task.to_env` and `Task.from_env` translate between the two. Predictions of a policy, recordings
and files of other libraries hold actions of the environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Task:
    """Sizes, bounds and time limit of an environment.

    Arguments:
        name: Id of the task, or name of the function that makes it.
        observation: Numbers of a flat observation.
        action: Numbers of an action, or classes of a discrete one.
        discrete: Whether actions are discrete.
        horizon: Longest episode (steps).
        low: Lower bound of each number of an action; empty for discrete actions.
        high: Upper bound of each number.
        start: First discrete action, as in `gymnasium.spaces.Discrete`.
        shape: Shape of the action box; None for (action,).
        dtype: Dtype of the action box.

    Example:
        >>> task = Task("x", 3, 2, True, 10, start=5)
        >>> task.to_env(np.array([0, 1])).tolist(), task.from_env(np.array([[5], [6]])).tolist()
        ([5, 6], [0, 1])
        >>> box = Task("x", 3, 1, False, 10, (-0.1,), (0.1,), dtype="float64")
        >>> box.to_env(np.array([[7]], np.float32)).tolist()
        [[0.1]]
    """

    name: str
    observation: int
    action: int
    discrete: bool
    horizon: int
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    start: int = 0
    shape: tuple[int, ...] | None = None
    dtype: str = "float32"

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of an action, (action,) each, in the dtype of the box."""
        return np.array(self.low, self.dtype), np.array(self.high, self.dtype)

    def to_env(self, actions: Any) -> np.ndarray:
        """Converts a network's actions to the environment's.

        Arguments:
            actions: Classes from 0, (n,), or rows (n, action), which are clipped to the bounds.

        Returns:
            Classes from `start`, (n,) int64, or rows (n, action) within the bounds, in the dtype
            of the box.
        """
        if self.discrete:
            return np.asarray(actions, np.int64) + self.start
        # Clip in the dtype of the box: 0.1 as float32 is greater than 0.1 as float64.
        return np.clip(np.asarray(actions, self.dtype), *self.bounds)

    def shaped(self, rows: np.ndarray) -> np.ndarray:
        """Reshapes rows of `to_env` to the box, (n, *shape); classes stay as they are."""
        if self.discrete or self.shape is None:
            return rows
        return rows.reshape(*rows.shape[:-1], *self.shape)

    def check_actions(self, actions: Any) -> np.ndarray:
        """Converts recorded actions to the form of `to_env` and checks them.

        Arguments:
            actions: Classes from `start`, (n,) or (n, 1), or boxes (n, ...), whose numbers are
                clipped to the bounds.

        Raises:
            ValueError: They are not actions of this task.
        """
        a = np.asarray(actions)
        expected = f"one of {self.action} actions" if self.discrete else f"{self.action} numbers"
        if a.dtype.kind not in "fiub":
            raise ValueError(f"actions of type {a.dtype} and '{self.name}' takes {expected}")
        return self.check_classes(a, expected) if self.discrete else self.check_box(a, expected)

    def check_box(self, a: np.ndarray, expected: str) -> np.ndarray:
        """`check_actions` for a box."""
        if a.ndim == 1 and a.dtype.kind in "iub":
            raise ValueError(f"actions of classes and '{self.name}' takes {expected}")
        rows = a.reshape(len(a), -1)
        if rows.shape[1] != self.action:
            size = rows.shape[1]
            raise ValueError(f"actions of {size} numbers and '{self.name}' takes {expected}")
        return np.clip(rows.astype(np.float64), self.low, self.high).astype(self.dtype)

    def check_classes(self, a: np.ndarray, expected: str) -> np.ndarray:
        """`check_actions` for discrete actions."""
        if a.ndim == 2 and a.shape[1] == 1:
            a = a[:, 0]
        if a.ndim != 1 or (a.dtype.kind == "f" and not (a == np.round(a)).all()):
            size = "fractions" if a.ndim == 1 else f"{int(np.prod(a.shape[1:]))} numbers"
            raise ValueError(
                f"actions of {size} and '{self.name}' takes {expected}, as whole numbers of shape "
                "(steps,) or (steps, 1)"
            )
        first, last = self.start, self.start + self.action - 1
        if len(a) and not (a.min() >= first and a.max() <= last):
            raise ValueError(
                f"actions {int(a.min())} to {int(a.max())}, expected {first} to {last}, as "
                f"'{self.name}' has"
            )
        return a.astype(np.int64)

    def from_env(self, actions: Any) -> np.ndarray:
        """Converts the environment's actions to a network's.

        Arguments:
            actions: As for `check_actions`, which checks them first.

        Returns:
            Classes from 0, (n,) int64, or rows (n, action) float32.
        """
        a = self.check_actions(actions)
        return a - self.start if self.discrete else a.astype(np.float32)
