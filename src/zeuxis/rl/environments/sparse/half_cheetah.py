r"""Sparse HalfCheetah: a runner that is paid for nothing but for having come five meters far.

MuJoCo's half cheetah, six torques in [-1, 1] at 100 Hz (one step of the mechanics an action, where
Gymnasium's task takes five), 500 steps. The agent sees 20 numbers: the joints without x (8), the
velocities (9), the whole body's center of mass (3). A step that ends with that center beyond x = 5
m pays 1; nothing costs, no episode ends before its limit. In its five seconds random actions do not
get there.

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
        >>> seen, _ = task.reset(seed=0)
        >>> seen.shape, task.action_space.shape, task.dt
        ((20,), (6,), 0.01)
    """

    metadata: ClassVar[dict[str, Any]] = Body.metadata | {"render_fps": 100}  # type: ignore[misc]

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(MODEL, 1, 20, render_mode, "track")

    def seen(self) -> np.ndarray:
        return np.concatenate([self.data.qpos[1:], self.data.qvel, self.center])

    def step(self, action: Any) -> Any:
        """Observation, reward, whether it ended, whether it was cut off (never here), what
        happened."""
        self.move(action)
        x = float(self.center[0])
        return self.seen(), float(x > GOAL), False, False, {"x": x}
