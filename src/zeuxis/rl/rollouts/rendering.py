"""A policy seen: frames of an episode, drawn without a screen where the machine can."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from ...errors import UsageError
from ..environments.environment import Environment, maker
from ..policies.numpy_policy import Actor
from .collector import STREAMS


def frames(
    actor: Actor,
    env: str | Callable[[], Any],
    *,
    episodes: int = 1,
    steps: int = 0,
    every: int = 1,
    deterministic: bool = True,
    seed: int = 0,
    side: int = 320,
) -> Iterator[tuple[Image.Image, float, int]]:
    """(picture, return so far, step), again and again while a policy acts.

    Arguments:
        actor: The policy.
        env: A Gymnasium id, or a function that makes an environment with `render_mode="rgb_array"`.
        episodes: How many are shown.
        steps: Most steps of each; 0 goes on to its end.
        every: Steps from picture to picture.
        deterministic: Whether it takes its likeliest action.
        seed: Fixes the episodes; with the same seed `returns_of` sees the same first states.
        side: Longest side of a picture (pixels).

    Raises:
        UsageError: The task cannot draw itself on this machine; the sentence says what is missing.
    """
    if min(episodes, every, side) < 1 or steps < 0:
        given = f"{episodes}, {every}, {side} and {steps}"
        raise UsageError(
            "--episodes, --every and --side must be at least 1 and --steps at least 0, "
            f"got {given}."
        )
    return drawn(actor, env, episodes, steps, every, deterministic, seed, side)


def drawn(
    actor: Actor,
    env: str | Callable[[], Any],
    episodes: int,
    steps: int,
    every: int,
    deterministic: bool,
    seed: int,
    side: int,
) -> Iterator[tuple[Image.Image, float, int]]:
    """The frames, one by one."""
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        os.environ.setdefault(
            "MUJOCO_GL", "egl"
        )  # OpenGL without a screen, by the GPU's driver or by Mesa
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    name, make = maker(env, render_mode="rgb_array") if isinstance(env, str) else maker(env)
    environment = Environment(name, make)
    try:
        actor.fit(environment.task)
        follow(environment.inner.unwrapped)
        for episode in range(episodes):
            source = np.random.SeedSequence([seed, STREAMS["evaluate"], episode])
            x, noise = (
                environment.reset(int(source.generate_state(1)[0])),
                np.random.default_rng(source),
            )
            draw = noise.gumbel if actor.discrete else noise.standard_normal
            total, t, over = 0.0, 0, False
            while True:
                if t % every == 0 or over:
                    yield picture(environment, name, side), total, t
                if over or (steps and t >= steps) or t >= environment.task.horizon:
                    break
                x, reward, terminated, truncated = environment.step(
                    actor.choose(x, None if deterministic else draw(size=actor.actions))
                )
                total, t, over = total + reward, t + 1, terminated or truncated
    finally:
        environment.close()


def follow(bare: Any) -> None:
    """Takes MuJoCo's camera that goes with the body, where a task has one: Gymnasium's own stands
    still and loses who runs."""
    renderer, model = getattr(bare, "mujoco_renderer", None), getattr(bare, "model", None)
    if renderer is not None and model is not None:
        import mujoco

        found = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
        if found >= 0:
            renderer.camera_id = found


def picture(environment: Environment, name: str, side: int) -> Image.Image:
    """What the environment looks like now."""
    try:
        pixels = environment.inner.render()
        if pixels is None:
            raise ValueError("it draws nothing")
        image = Image.fromarray(np.asarray(pixels, np.uint8)).convert("RGB")
    except Exception as error:  # drivers, windows and strangers' code fail in many ways
        reason = " ".join(str(error).split()).rstrip(".")
        raise UsageError(
            f"'{name}' cannot be drawn here ({reason}): without a screen MuJoCo needs "
            "EGL or OSMesa (set MUJOCO_GL=egl or osmesa), "
            "and classic control needs pip install 'gymnasium[classic-control]'."
        ) from error
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image
