"""Base class of the tasks in MuJoCo: reset, step and images."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from ....errors import UsageError

if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("MUJOCO_GL", "egl")  # MuJoCo reads it when it is imported

import mujoco

WIDTH, HEIGHT = 480, 320


class Body(gymnasium.Env):
    """A body in MuJoCo, moved by motors.

    An episode starts where the model does, with normal noise of deviation 0.01 on the positions and
    0.1 on the velocities.

    Arguments:
        model: The MJCF file.
        skip: Simulation steps per action.
        entries: Numbers of an observation.
        render_mode: "rgb_array" draws images; None draws nothing.
        camera: Name of the camera.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}  # type: ignore[misc]

    def __init__(
        self, model: str | Path, skip: int, entries: int, render_mode: str | None, camera: str
    ) -> None:
        self.model = mujoco.MjModel.from_xml_path(str(model))
        self.data = mujoco.MjData(self.model)
        self.skip, self.render_mode, self.camera = skip, render_mode, camera
        self.renderer: Any = None
        low, high = self.model.actuator_ctrlrange.astype(np.float32).T
        self.low, self.high = low, high
        self.action_space = Box(low, high, dtype=np.float32)
        self.observation_space = Box(-np.inf, np.inf, (entries,), np.float64)

    @property
    def dt(self) -> float:
        """Seconds per action."""
        return self.model.opt.timestep * self.skip

    @property
    def center(self) -> np.ndarray:
        """The whole body's center of mass (meters)."""
        return self.data.subtree_com[1]

    def observation(self) -> np.ndarray:
        """Returns the agent's observation."""
        raise NotImplementedError

    def place(self) -> None:
        """Places further objects at the start of an episode."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins an episode; a seed fixes all that follow."""
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        self.place()
        self.data.qpos += 0.01 * self.np_random.standard_normal(self.model.nq)
        self.data.qvel += 0.1 * self.np_random.standard_normal(self.model.nv)
        mujoco.mj_forward(self.model, self.data)
        return self.observation(), {}

    def move(self, action: Any) -> None:
        """Steps the simulation; the center of mass then is that of the new position."""
        self.data.ctrl[:] = np.minimum(np.maximum(action, self.low), self.high)
        mujoco.mj_step(self.model, self.data, nstep=self.skip)
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)

    def decorate(self, scene: Any) -> None:
        """Adds to an image what MuJoCo does not simulate."""

    def render(self) -> Any:
        """Draws an image, uint8 (320, 480, 3)."""
        if self.render_mode is None:
            return None
        try:
            if self.renderer is None:
                self.renderer = mujoco.Renderer(self.model, HEIGHT, WIDTH)
            self.renderer.update_scene(self.data, self.camera)
            self.decorate(self.renderer.scene)
            return self.renderer.render()
        except Exception as error:  # drivers fail in many ways
            reason = " ".join(str(error).split()).rstrip(".")
            raise UsageError(
                f"'{type(self).__name__}' cannot be drawn here ({reason}): without a screen MuJoCo "
                "needs EGL or OSMesa; install one and set MUJOCO_GL=egl or osmesa."
            ) from error

    def close(self) -> None:
        """Frees the renderer."""
        if self.renderer is not None:
            self.renderer.close()
            self.renderer = None


def ball(
    scene: Any,
    at: tuple[float, float, float],
    radius: float,
    color: tuple[float, float, float, float],
) -> None:
    """Adds a ball to an image."""
    size, rgba = np.array([radius, 0.0, 0.0]), np.array(color, np.float32)
    geom, kind = scene.geoms[scene.ngeom], mujoco.mjtGeom.mjGEOM_SPHERE
    mujoco.mjv_initGeom(geom, kind, size, np.array(at), np.eye(3).ravel(), rgba)
    scene.ngeom += 1
