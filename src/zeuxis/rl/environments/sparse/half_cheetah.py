r"""Sparse HalfCheetah: run five meters far; nothing before is rewarded.

MuJoCo's half cheetah, six torques in [-1, 1] at 100 Hz (one step of the mechanics an action, where
Gymnasium's task takes five), 500 steps. The agent sees 20 numbers: the joints without x (8), the
velocities (9), the whole body's center of mass (3). The reward is 1 for each step that ends with
that center beyond x = 5 m; actions cost nothing, and no episode ends before its limit. In five
seconds random actions do not get there.

Source: Houthooft et al., 2016, and the code released with it. Departures: the body is the one that
comes with Gymnasium, in today's MuJoCo, whose contacts differ from those of 2016.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np

from .bodies import Body

GOAL = 5.0  # m
MODEL = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "half_cheetah.xml"


class SparseHalfCheetah(Body):
    """`zeuxis/SparseHalfCheetah-v0`.

    Example:
        >>> task = SparseHalfCheetah()
        >>> x, _ = task.reset(seed=0)
        >>> x.shape, task.action_space.shape, task.dt
        ((20,), (6,), 0.01)
    """

    metadata: ClassVar[dict[str, Any]] = Body.metadata | {"render_fps": 100}  # type: ignore[misc]

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(MODEL, 1, 20, render_mode, "track")

    def observation(self) -> np.ndarray:
        return np.concatenate([self.data.qpos[1:], self.data.qvel, self.center])

    def step(self, action: Any) -> Any:
        """Returns observation, reward, terminated, truncated and the distance (m)."""
        self.move(action)
        x = float(self.center[0])
        return self.observation(), float(x > GOAL), False, False, {"x": x}
