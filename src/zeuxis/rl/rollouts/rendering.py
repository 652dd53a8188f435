"""Renders episodes of a policy as images, without a screen where the machine can."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from ...errors import UsageError
from ..environments.environment import Environment
from ..environments.registration import maker, one_line
from ..policies.numpy_policy import NumpyPolicy
from .collector import STREAMS


def render_episodes(
    policy: NumpyPolicy,
    env: str | Callable[[], Any],
    *,
    episodes: int = 1,
    steps: int = 0,
    every: int = 1,
    deterministic: bool = True,
    seed: int = 0,
    side: int = 320,
) -> Iterator[tuple[Image.Image, float, int]]:
    """Yields (image, return so far, step) while a policy acts.

    Arguments:
        policy: Policy that acts.
        env: A Gymnasium id, or a function that makes an environment with `render_mode="rgb_array"`.
        episodes: Number of episodes.
        steps: Most steps of each episode; 0 goes on to its end.
        every: Steps between images.
        deterministic: Whether the policy takes its mode instead of a sample.
        seed: Seed of the episodes; `evaluate_policy` has the same first states.
        side: Longest side of an image (pixels).

    Raises:
        UsageError: The task cannot be drawn on this machine; the message says what is missing.
    """
    if min(episodes, every, side) < 1 or steps < 0:
        raise UsageError(
            "--episodes, --every and --side must be at least 1 and --steps at least 0, got "
            f"{episodes}, {every}, {side} and {steps}."
        )
    return frames(policy, env, episodes, steps, every, deterministic, seed, side)


def frames(
    policy: NumpyPolicy,
    env: str | Callable[[], Any],
    episodes: int,
    steps: int,
    every: int,
    deterministic: bool,
    seed: int,
    side: int,
) -> Iterator[tuple[Image.Image, float, int]]:
    """The generator behind `render_episodes`, which checks its arguments at once."""
    draw_without_screen()
    name, make = maker(env, render_mode="rgb_array") if isinstance(env, str) else maker(env)
    environment = Environment(name, make)
    try:
        policy.bind(environment.task)
        track_body(environment.inner.unwrapped)
        for episode in range(episodes):
            source = np.random.SeedSequence([seed, STREAMS["evaluate"], episode])
            x = environment.reset(int(source.generate_state(1)[0]))
            rng = np.random.default_rng(source)
            draw = rng.gumbel if policy.discrete else rng.standard_normal
            total, t, over = 0.0, 0, False
            while True:
                if t % every == 0 or over:
                    yield image_of(environment, name, side), total, t
                if over or (steps and t >= steps) or t >= environment.task.horizon:
                    break
                noise = None if deterministic else draw(size=policy.actions)
                x, reward, terminated, truncated = environment.step(policy.act(x, noise))
                total, t, over = total + reward, t + 1, terminated or truncated
    finally:
        environment.close()


def draw_without_screen() -> None:
    """Selects OpenGL and SDL drivers that need no screen, where there is none."""
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform == "linux" and not screen:
        os.environ.setdefault("MUJOCO_GL", "egl")
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


def track_body(env: Any) -> None:
    """Selects the camera that follows the body, where a MuJoCo task has one.

    Gymnasium's default camera stands still and loses a runner.
    """
    renderer, model = getattr(env, "mujoco_renderer", None), getattr(env, "model", None)
    if renderer is not None and model is not None:
        import mujoco

        camera = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
        if camera >= 0:
            renderer.camera_id = camera


def image_of(environment: Environment, name: str, side: int) -> Image.Image:
    """Renders the environment's current state."""
    try:
        pixels = environment.inner.render()
        if pixels is None:
            raise ValueError("it draws nothing")
        image = Image.fromarray(np.asarray(pixels, np.uint8)).convert("RGB")
    except Exception as error:  # drivers, windows and third-party code fail in many ways
        raise UsageError(
            f"'{name}' cannot be drawn here ({one_line(error)}): without a screen MuJoCo needs EGL "
            "or OSMesa (set MUJOCO_GL=egl or osmesa), and classic control needs pygame, "
            "which comes "
            "with pip install 'zeuxis[rl]'."
        ) from error
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image
