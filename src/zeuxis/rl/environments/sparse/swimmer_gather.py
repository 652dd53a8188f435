r"""SwimmerGather: swim to apples and keep away from bombs.

A body of three rods in a thick fluid, with two motors of at most 50 Nm, acts every 0.05 s among 8
apples and 8 bombs. They lie on different points of the even lattice $\{-6, -4, -2, 0, 2, 4\}^2$,
none closer than 2 m to the start. Whatever comes within 1 m of the whole body's center of mass
disappears, for a reward of 1 if it was an apple and -1 if a bomb; when none is left the episode
ends.

The agent sees 33 numbers: joints (5), velocities (5), center of mass (3), then 10 sensors for
apples and 10 for bombs. Sensor i sees the i-th tenth of the half circle ahead of the head, from
right to left, and reads $1 - d / 6$ of the nearest object there, at distance d < 6 m from the
center of mass; 0 if there is none. Swimming itself is not rewarded.

Source: Duan et al., "Benchmarking Deep Reinforcement Learning for Continuous Control", 2016, whose
lattice is no more symmetric than this one, in the form of Houthooft et al., 2016. Departures: the
body is rewritten, with the same sizes, for today's MuJoCo; the walls, which stop nothing there
either, are only drawn; an object exactly at the left edge of sight is seen by the last sensor, not
by none.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .bodies import Body, ball

EACH, SENSORS = 8, 10
SIGHT, REACH, SPACING = 6.0, 1.0, 2.0  # m
LATTICE = tuple(
    (x, y) for x in range(-6, 6, 2) for y in range(-6, 6, 2) if x * x + y * y >= SPACING**2
)
MODEL = Path(__file__).with_name("swimmer.xml")
RED, GREEN = (0.80, 0.26, 0.22, 1.0), (0.30, 0.62, 0.32, 1.0)


def readings(objects: list[tuple[int, int]], x: float, y: float, heading: float) -> list[float]:
    """Sensor readings of objects at these places, from right to left.

    Example:
        >>> [round(reading, 2) for reading in readings([(3, -1), (2, 0), (-2, 0)], 0.0, 0.0, 0.01)]
        [0.0, 0.0, 0.0, 0.47, 0.67, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    values = [0.0] * SENSORS
    for a, b in objects:
        distance = math.hypot(a - x, b - y)
        angle = (math.atan2(b - y, a - x) - heading + math.pi) % math.tau - math.pi
        if distance <= SIGHT and abs(angle) <= math.pi / 2:
            sensor = min(int((angle + math.pi / 2) * (SENSORS / math.pi)), SENSORS - 1)
            values[sensor] = max(values[sensor], 1 - distance / SIGHT)
    return values


class SwimmerGather(Body):
    """`zeuxis/SwimmerGather-v0`.

    Example:
        >>> task = SwimmerGather()
        >>> x, _ = task.reset(seed=0)
        >>> x.shape, task.action_space.shape, round(task.dt, 3), len(task.apples), len(task.bombs)
        ((33,), (2,), 0.05, 8, 8)
    """

    metadata: ClassVar[dict[str, Any]] = Body.metadata | {"render_fps": 20}  # type: ignore[misc]

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(MODEL, 50, 13 + 2 * SENSORS, render_mode, "above")
        self.apples: list[tuple[int, int]] = []
        self.bombs: list[tuple[int, int]] = []

    def observation(self) -> np.ndarray:
        x, y, _ = self.center.tolist()
        heading = float(self.data.qpos[2])
        sensed = [readings(objects, x, y, heading) for objects in (self.apples, self.bombs)]
        return np.concatenate([self.data.qpos, self.data.qvel, self.center, *sensed])

    def place(self) -> None:
        places = [LATTICE[i] for i in self.np_random.permutation(len(LATTICE))[: 2 * EACH]]
        self.apples, self.bombs = places[:EACH], places[EACH:]

    def left(self, objects: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Objects that are out of reach."""
        x, y, _ = self.center.tolist()
        return [(a, b) for a, b in objects if (a - x) ** 2 + (b - y) ** 2 >= REACH**2]

    def step(self, action: Any) -> Any:
        """Returns observation, reward, terminated, truncated, and apples and bombs touched."""
        self.move(action)
        apples, bombs = self.left(self.apples), self.left(self.bombs)
        eaten, hit = len(self.apples) - len(apples), len(self.bombs) - len(bombs)
        self.apples, self.bombs = apples, bombs
        info = {"apples": eaten, "bombs": hit}
        return self.observation(), float(eaten - hit), not (apples or bombs), False, info

    def decorate(self, scene: Any) -> None:
        """Draws the objects, which MuJoCo does not simulate."""
        for objects, color in ((self.apples, GREEN), (self.bombs, RED)):
            for x, y in objects:
                ball(scene, (x, y, 0.0), 0.35, color)
