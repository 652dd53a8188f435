"""What learning needs to know of an environment, and the one place where its actions and a
network's are translated.

A network numbers discrete actions from 0 and gives boxes as rows of float32 without bounds. An
environment may number its actions from `start`, and takes boxes of a shape, a type and bounds.
`Task.to_env` and `Task.from_env` go from the one to the other; what a policy predicts, what a
recording holds, and what the files of other libraries hold are actions of the environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


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
        start: The least of several actions, as `gymnasium.spaces.Discrete` has it.
        shape: Of a box of actions; None for (action,).
        dtype: Type of a box's numbers.

    Example:
        >>> task = Task("x", 3, 2, True, 10, start=5)
        >>> task.to_env(np.array([0, 1])).tolist(), task.from_env(np.array([[5], [6]])).tolist()
        ([5, 6], [0, 1])
        >>> Task("x", 3, 1, False, 10, (-0.1,), (0.1,), dtype="float64").to_env(np.array([[7]], np.float32)).tolist()
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
        """Least and greatest value of each number of an action, in the type of the environment's
        box, (action,)."""
        return np.array(self.low, self.dtype), np.array(self.high, self.dtype)

    def to_env(self, actions: Any) -> np.ndarray:
        """Actions of a network as the environment takes them.

        Arguments:
            actions: Classes from 0, (n,), or rows (n, action), which are clipped to the bounds.

        Returns:
            Classes from `start`, (n,) int64, or rows (n, action) within the bounds, in the type of
            the environment's box.
        """
        if self.discrete:
            return np.asarray(actions, np.int64) + self.start
        # In the box's own type: 0.1 as float32 is greater than 0.1 as float64.
        return np.clip(np.asarray(actions, self.dtype), *self.bounds)

    def shaped(self, rows: np.ndarray) -> np.ndarray:
        """Rows of `to_env` in the shape of the environment's box, (n, *shape); classes as they
        are."""
        return (
            rows
            if self.discrete or self.shape is None
            else rows.reshape(*rows.shape[:-1], *self.shape)
        )

    def taken(self, actions: Any) -> np.ndarray:
        """Actions of a recording in the form of `to_env`, checked.

        Arguments:
            actions: Classes from `start`, (n,) or (n, 1), or boxes (n, ...), whose numbers are
                clipped to the bounds.

        Raises:
            ValueError: They are not this task's; the message says what was found and what was
                expected.
        """
        a = np.asarray(actions)
        wanted = f"one of {self.action} actions" if self.discrete else f"{self.action} numbers"
        if a.dtype.kind not in "fiub":
            raise ValueError(f"actions of type {a.dtype} and '{self.name}' takes {wanted}")
        if not self.discrete:
            rows = a.reshape(len(a), -1)
            if a.ndim == 1 and a.dtype.kind in "iub":
                raise ValueError(f"actions of classes and '{self.name}' takes {wanted}")
            if rows.shape[1] != self.action:
                raise ValueError(
                    f"actions of {rows.shape[1]} numbers and '{self.name}' takes {wanted}"
                )
            return np.clip(rows.astype(np.float64), self.low, self.high).astype(self.dtype)
        if a.ndim == 2 and a.shape[1] == 1:
            a = a[:, 0]
        if a.ndim != 1 or (a.dtype.kind == "f" and not (a == np.round(a)).all()):
            size = "fractions" if a.ndim == 1 else f"{int(np.prod(a.shape[1:]))} numbers"
            raise ValueError(
                f"actions of {size} and '{self.name}' takes {wanted}, as whole numbers "
                "of shape (steps,) or (steps, 1)"
            )
        least, most = self.start, self.start + self.action - 1
        if len(a) and not (a.min() >= least and a.max() <= most):
            raise ValueError(
                f"actions {int(a.min())} to {int(a.max())}, expected {least} to {most}, "
                f"as '{self.name}' has"
            )
        return a.astype(np.int64)

    def from_env(self, actions: Any) -> np.ndarray:
        """Actions of the environment as a network knows them: classes from 0, (n,) int64, or rows
        (n, action) float32.

        Arguments:
            actions: As for `taken`, whose errors it has.
        """
        a = self.taken(actions)
        return a - self.start if self.discrete else a.astype(np.float32)
