"""Where an agent has been: how many different places, and a picture of them.

A place is a cell of a grid whose sides are half a deviation of the observations of the first batch.
Of observations of more than four numbers, four fixed random directions are looked at, so that the
count stays comparable over a run and between bonuses with one seed; it is no measure across tasks.

The picture has two numbers of the observation as its axes; a pixel's color is the time at which it
was first visited, from blue to amber.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from ...errors import UsageError

MOST, SIDE, GAP = 65_536, 360, 26  # points that are kept, pixels of the plane, pixels below it
LOOKED_AT = 4  # directions
DRAWN = 8  # numbers of an observation above which its first two say too little
NIGHT, INK, FAINT = (11, 13, 20), (226, 230, 240), (120, 128, 148)
COLORS = np.array(
    [(38, 62, 160), (40, 140, 200), (70, 190, 140), (210, 200, 80), (245, 150, 50)], np.float64
)


class Visits(nn.Module):
    """Remembers visited states; all of it is in its `state_dict`.

    Arguments:
        observation: Numbers of an observation.
        axes: The two that are drawn; none takes the first two of at most eight.
        seed: Fixes the directions that are looked at.

    Example:
        >>> visits = Visits(2)
        >>> visits.add(np.random.default_rng(0).standard_normal((1000, 2)))
        >>> 50 < visits.count < 400, visits.picture(1000, 2000).size
        (True, (360, 386))
    """

    center: Tensor
    width: Tensor
    cells: Tensor
    points: Tensor
    seen: Tensor
    stride: Tensor

    def __init__(self, observation: int, axes: tuple[int, ...] = (), seed: int = 0) -> None:
        super().__init__()
        if axes and not all(0 <= axis < observation for axis in axes):
            raise UsageError(
                f"--vime.axes is {axes}, and an observation has the numbers 0 to {observation - 1}."
            )
        self.axes = axes or ((0, min(1, observation - 1)) if observation <= DRAWN else ())
        across = min(observation, LOOKED_AT)
        draw = np.random.default_rng([seed, 15]).standard_normal((observation, across)) / np.sqrt(
            observation
        )
        self.directions = np.eye(observation) if observation <= LOOKED_AT else draw
        self.register_buffer("center", torch.zeros(observation, dtype=torch.float64))
        self.register_buffer("width", torch.zeros(observation, dtype=torch.float64))
        self.register_buffer("cells", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("points", torch.zeros(0, 2))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("stride", torch.ones((), dtype=torch.int64))

    def to(self, *_: object, **__: object) -> Visits:
        """Itself: it works with NumPy, on the CPU."""
        return self

    @property
    def count(self) -> int:
        """Cells visited so far."""
        return len(self.cells)

    def add(self, observations: np.ndarray) -> None:
        """Takes visited states in, (n, observation)."""
        x = np.asarray(observations, np.float64)
        if not len(x):
            return
        if not int(self.seen):
            self.center, self.width = (
                torch.from_numpy(x.mean(0)),
                torch.from_numpy(x.std(0).clip(1e-3) / 2),
            )
        z = (x - self.center.numpy()) / self.width.numpy() @ self.directions
        index = (np.floor(z).clip(-(2**14), 2**14 - 1) + 2**14).astype(np.int64)
        key = index @ (np.int64(2**15) ** np.arange(index.shape[1], dtype=np.int64))
        self.cells = torch.from_numpy(np.union1d(self.cells.numpy(), key))
        if self.axes:
            stride = int(self.stride)
            mine = x[-int(self.seen) % stride :: stride][:, list(self.axes)]
            self.points = torch.cat([self.points, torch.from_numpy(mine).float()])
            while len(self.points) > MOST:
                self.points, self.stride = self.points[::2].clone(), 2 * self.stride
        self.seen = self.seen + len(x)

    def picture(self, steps: int, total: int) -> Image.Image:
        """States by the time of their first visit.

        Arguments:
            steps: Environment steps so far.
            total: Of the whole training.
        """
        if not self.axes:
            raise UsageError(
                "There are no two numbers of the observation to draw by: give --vime.axes 0 1."
            )
        p = self.points.double().numpy()
        low, high = (p.min(0), p.max(0)) if len(p) else (np.zeros(2), np.ones(2))
        span = np.maximum(high - low, 1e-6)
        at = ((p - low + 0.02 * span) / (1.04 * span) * (SIDE - 1)).round().astype(int)
        when = np.linspace(0, min(1.0, steps / max(1, total)), len(p)) * (len(COLORS) - 1)
        color = np.stack(
            [np.interp(when, np.arange(len(COLORS)), COLORS[:, i]) for i in range(3)], 1
        ).astype(np.uint8)
        canvas = np.empty((SIDE, SIDE, 3), np.uint8)
        canvas[:] = NIGHT
        for across, down in (
            (1, 0),
            (0, 1),
            (1, 1),
            (0, 0),
        ):  # the first visit is drawn last, a point two pixels wide
            rows = (SIDE - 1 - at[::-1, 1] + down).clip(0, SIDE - 1)
            canvas[rows, (at[::-1, 0] + across).clip(0, SIDE - 1)] = color[::-1]
        sheet = Image.new("RGB", (SIDE, SIDE + GAP), NIGHT)
        sheet.paste(Image.fromarray(canvas), (0, 0))
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
        draw.line(
            (0, SIDE, round(SIDE * min(1.0, steps / max(1, total))), SIDE),
            fill=tuple(int(v) for v in COLORS[-1]),
            width=2,
        )
        a, b = self.axes
        ranges = f"[{a}] {low[0]:.3g} to {high[0]:.3g}   [{b}] {low[1]:.3g} to {high[1]:.3g}"
        draw.text((6, SIDE + 7), ranges, fill=FAINT, font=font)
        told = f"{steps:,} steps"
        draw.text(
            (SIDE - 6 - draw.textlength(told, font=font), SIDE + 7), told, fill=INK, font=font
        )
        return sheet

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in ("cells", "points"):
            saved = state.get(prefix + name)
            if saved is not None:
                setattr(self, name, torch.zeros(saved.shape, dtype=saved.dtype))
        super()._load_from_state_dict(state, prefix, *rest)
