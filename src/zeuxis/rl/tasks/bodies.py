"""What the tasks in MuJoCo share: a step whose positions are those after it, and pictures, or a sentence why there are none."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.spaces import Box

from ...errors import UsageError


class Body(MujocoEnv):
    """A body in MuJoCo.

    Arguments:
        model: The MJCF file.
        frame_skip: Steps of the mechanics to an action.
        entries: Numbers of an observation.
        render_mode: "rgb_array" draws; None does not.
        camera: From where, as MuJoCo's viewer has it.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}  # type: ignore[misc]

    def __init__(self, model: str | Path, frame_skip: int, entries: int, render_mode: str | None, camera: dict[str, Any]) -> None:
        if render_mode and sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            os.environ.setdefault("MUJOCO_GL", "egl")  # OpenGL without a screen, by the GPU's driver or by Mesa
        seen = Box(-np.inf, np.inf, (entries,), np.float64)
        super().__init__(str(model), frame_skip, seen, render_mode, 480, 320, default_camera_config=camera)

    def move(self, action: Any) -> None:
        """Carries an action out; then the centre of mass is that of the new position, not of the one before the last step."""
        self.data.ctrl[:] = action
        mujoco.mj_step(self.model, self.data, nstep=self.frame_skip)
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)

    @property
    def centre(self) -> np.ndarray:
        """The whole body's centre of mass (metres)."""
        return self.data.subtree_com[1]

    def render(self) -> Any:
        if self.render_mode is None:
            return None
        try:
            return super().render()
        except Exception as error:  # drivers fail in many ways
            reason = " ".join(str(error).split()).rstrip(".")
            raise UsageError(
                f"'{type(self).__name__}' cannot be drawn here ({reason}): without a screen MuJoCo needs EGL or OSMesa; "
                "install one and set MUJOCO_GL=egl or osmesa."
            ) from error
