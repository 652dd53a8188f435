"""Counts and plots the states that an agent has visited.

States are counted as cells of a grid whose sides are half a deviation of the observations of the
first batch. Observations of more than four numbers are projected on four fixed random directions,
so that the count is comparable over a run and between bonuses with one seed, but not across tasks.

The plot has two numbers of the observation as its axes. The color of a pixel is the time of its
first visit, from blue to amber.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from ...errors import UsageError

MAX_POINTS = 65_536  # points that are kept for the plot
SIDE, FOOTER = 360, 26  # pixels of the plot, and of the text below it
DIRECTIONS = 4  # largest number of directions that are counted
MAX_PLOTTED = 8  # numbers of an observation; of more, the first two say too little
BACKGROUND, INK, FAINT = (11, 13, 20), (226, 230, 240), (120, 128, 148)
COLORS = np.array(
    [(38, 62, 160), (40, 140, 200), (70, 190, 140), (210, 200, 80), (245, 150, 50)], np.float64
)


class StateCoverage(nn.Module):
    """The visited states; all of it is in its `state_dict`.

    Arguments:
        observation: Numbers of an observation.
        axes: The two numbers to plot; () takes the first two of at most eight.
        seed: Seed of the random directions.

    Example:
        >>> coverage = StateCoverage(2)
        >>> coverage.add(np.random.default_rng(0).standard_normal((1000, 2)))
        >>> 50 < coverage.count < 400, coverage.plot(1000, 2000).size
        (True, (360, 386))
    """

    center: Tensor
    width: Tensor
    cells: Tensor
    points: Tensor
    total: Tensor  # states ever added
    stride: Tensor  # one state in this many is kept for the plot

    def __init__(self, observation: int, axes: tuple[int, ...] = (), seed: int = 0) -> None:
        super().__init__()
        if axes and not all(0 <= axis < observation for axis in axes):
            raise UsageError(
                f"--vime.axes is {axes}, and an observation has the numbers 0 to {observation - 1}."
            )
        self.axes = axes or ((0, min(1, observation - 1)) if observation <= MAX_PLOTTED else ())
        self.directions = np.eye(observation)
        if observation > DIRECTIONS:
            normal = np.random.default_rng([seed, 15]).standard_normal((observation, DIRECTIONS))
            self.directions = normal / np.sqrt(observation)
        self.register_buffer("center", torch.zeros(observation, dtype=torch.float64))
        self.register_buffer("width", torch.zeros(observation, dtype=torch.float64))
        self.register_buffer("cells", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("points", torch.zeros(0, 2))
        self.register_buffer("total", torch.zeros((), dtype=torch.int64))
        self.register_buffer("stride", torch.ones((), dtype=torch.int64))

    def to(self, *_: object, **__: object) -> StateCoverage:
        """Returns itself: it works with NumPy, on the CPU."""
        return self

    @property
    def count(self) -> int:
        """Cells visited so far."""
        return len(self.cells)

    def add(self, observations: np.ndarray) -> None:
        """Adds visited states (n, observation)."""
        x = np.asarray(observations, np.float64)
        if not len(x):
            return
        if not int(self.total):
            self.center = torch.from_numpy(x.mean(0))
            self.width = torch.from_numpy(x.std(0).clip(1e-3) / 2)
        z = (x - self.center.numpy()) / self.width.numpy() @ self.directions
        index = (np.floor(z).clip(-(2**14), 2**14 - 1) + 2**14).astype(np.int64)
        key = index @ (np.int64(2**15) ** np.arange(index.shape[1], dtype=np.int64))
        self.cells = torch.from_numpy(np.union1d(self.cells.numpy(), key))
        if self.axes:
            stride = int(self.stride)
            points = x[-int(self.total) % stride :: stride][:, list(self.axes)]
            self.points = torch.cat([self.points, torch.from_numpy(points).float()])
            while len(self.points) > MAX_POINTS:
                self.points, self.stride = self.points[::2].clone(), 2 * self.stride
        self.total = self.total + len(x)

    def plot(self, steps: int, total: int) -> Image.Image:
        """Plots the states by the time of their first visit.

        Arguments:
            steps: Environment steps so far.
            total: Environment steps of the whole training.
        """
        if not self.axes:
            raise UsageError(
                "There are no two numbers of the observation to draw by: give --vime.axes 0 1."
            )
        p = self.points.double().numpy()
        low, high = (p.min(0), p.max(0)) if len(p) else (np.zeros(2), np.ones(2))
        span = np.maximum(high - low, 1e-6)
        pixels = ((p - low + 0.02 * span) / (1.04 * span) * (SIDE - 1)).round().astype(int)
        progress = min(1.0, steps / max(1, total))
        image = Image.new("RGB", (SIDE, SIDE + FOOTER), BACKGROUND)
        image.paste(Image.fromarray(scatter(pixels, progress)), (0, 0))
        draw, font = ImageDraw.Draw(image), ImageFont.load_default(11)
        bar = (0, SIDE, round(SIDE * progress), SIDE)
        draw.line(bar, fill=tuple(int(v) for v in COLORS[-1]), width=2)
        a, b = self.axes
        ranges = f"[{a}] {low[0]:.3g} to {high[0]:.3g}   [{b}] {low[1]:.3g} to {high[1]:.3g}"
        draw.text((6, SIDE + 7), ranges, fill=FAINT, font=font)
        text = f"{steps:,} steps"
        left = SIDE - 6 - draw.textlength(text, font=font)
        draw.text((left, SIDE + 7), text, fill=INK, font=font)
        return image

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in ("cells", "points"):
            saved = state.get(prefix + name)
            if saved is not None:
                setattr(self, name, torch.zeros(saved.shape, dtype=saved.dtype))
        super()._load_from_state_dict(state, prefix, *rest)


def scatter(pixels: np.ndarray, progress: float) -> np.ndarray:
    """Points two pixels wide, colored by their order, as an image (SIDE, SIDE, 3).

    Arguments:
        pixels: Column and row of each point, counted from the lower left, (n, 2).
        progress: Fraction of the training at the last point.
    """
    time = np.linspace(0, progress, len(pixels)) * (len(COLORS) - 1)
    stops = np.arange(len(COLORS))
    color = np.stack([np.interp(time, stops, COLORS[:, i]) for i in range(3)], 1).astype(np.uint8)
    canvas = np.empty((SIDE, SIDE, 3), np.uint8)
    canvas[:] = BACKGROUND
    for right, down in ((1, 0), (0, 1), (1, 1), (0, 0)):
        rows = (SIDE - 1 - pixels[::-1, 1] + down).clip(0, SIDE - 1)
        columns = (pixels[::-1, 0] + right).clip(0, SIDE - 1)
        canvas[rows, columns] = color[::-1]  # in reverse order: the first visit stays on top
    return canvas
