r"""Sparse HalfCheetah: a runner that is paid for nothing but for having come five metres far.

MuJoCo's half cheetah, six torques in [-1, 1] at 100 Hz (one step of the mechanics an action, where Gymnasium's task takes five), 500 steps.
The agent sees 20 numbers: the joints without x (8), the velocities (9), the whole body's centre of mass (3). A step that ends with that
centre beyond x = 5 m pays 1; nothing costs, no episode ends before its limit. In its five seconds random actions do not get there.

Source: Houthooft et al., 2016, and the code released with it: positions start with normal noise of deviation 0.01, velocities of 0.1.
Departures: the body is the one that comes with Gymnasium, in today's MuJoCo, whose contacts differ from those of 2016.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .bodies import Body

GOAL = 5.0  # m


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
        super().__init__("half_cheetah.xml", 1, 20, render_mode, {"distance": 5.0, "trackbodyid": 1, "type": 1, "elevation": -12.0})

    def seen(self) -> np.ndarray:
        return np.concatenate([self.data.qpos[1:], self.data.qvel, self.centre])

    def reset_model(self) -> np.ndarray:
        position = self.init_qpos + 0.01 * self.np_random.standard_normal(self.model.nq)
        self.set_state(position, self.init_qvel + 0.1 * self.np_random.standard_normal(self.model.nv))
        return self.seen()

    def step(self, action: Any) -> Any:
        self.move(action)
        x = float(self.centre[0])
        return self.seen(), float(x > GOAL), False, False, {"x": x}
