r"""Canvases with several digits of MNIST, whose number and boxes are known.

A canvas shows n digits, with n uniform over the counts of its set. Each digit is chosen at random
and drawn in the size $28 / (1.3 + 0.1\,\epsilon)$ pixels with $\epsilon \sim N(0, 1)$, cut off at
three standard deviations. It lies at a whole pixel, with its 28x28 frame inside the canvas. A
layout in which two boxes share more than `overlap` of the smaller one is drawn again, so that
layouts are uniform over those without. Where strokes meet, brightness adds up to at most 255.

The box of a digit is the smallest rectangle around its strokes, (left, top, right, bottom) in
pixels; pixel 0 reaches from 0 to 1.

Canvas i of seed s is a function of (s, i). Only layouts are kept: images are drawn when they are
read. Training canvases show training digits, and test canvases test digits.

Sources: Eslami et al., "Attend, Infer, Repeat", 2016, section 3.1, and Pyro's example of it for the
sizes of digits; Gregor et al., "DRAW", 2015, section 4.2, for the canvas of 60 pixels with two
digits of full size that may overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from ..errors import UsageError
from .dataset import Dataset, Spec
from .faces import random_numbers
from .facts import Facts

DIGIT = 28  # side of a digit (pixels)
INK = 64  # brightness from which a pixel belongs to a stroke
ATTEMPTS = 1_000  # layouts drawn for a canvas; with three digits one in five is accepted
NUMBERS = 4  # random numbers of a digit: which, how large, and where
MOST = 64 // NUMBERS  # digits for which `random_numbers` has columns


@dataclass(frozen=True)
class Scene:
    """What the canvases of a set show.

    Arguments:
        counts: Numbers of digits, all equally frequent.
        side: Side of a canvas (pixels).
        shrink: Mean factor by which digits are made smaller.
        spread: Standard deviation of that factor.
        overlap: Greatest share of the smaller of two boxes that the other may cover.
    """

    counts: tuple[int, ...] = (0, 1, 2)
    side: int = 50
    shrink: float = 1.3
    spread: float = 0.1
    overlap: float = 0.1


SCENES = {
    "multi-mnist": Scene(),
    "multi-mnist-3": Scene(counts=(3,)),
    "multi-mnist-60": Scene(counts=(2,), side=60, shrink=1.0, spread=0.0, overlap=1.0),
}
"""The built-in sets by their names."""
NOTES = {
    "multi-mnist": "60,000 canvases of 50x50 with no, one or two digits, and their boxes",
    "multi-mnist-3": "the same with three digits, for a model that has seen at most two",
    "multi-mnist-60": "two digits of full size on 60x60, which may overlap",
}


@dataclass(frozen=True)
class Layout:
    """Which digits are where, for N canvases of at most K digits.

    Arguments:
        counts: Digits of each canvas, (N,).
        digits: Rows of the digits, (N, K); those from `counts` on are not shown.
        scales: Factors by which the digits are drawn smaller, (N, K).
        places: Left and top of their 28x28 frames, (N, K, 2), in pixels.
    """

    counts: Int64[Tensor, " N"]
    digits: Int64[Tensor, "N K"]
    scales: Float[Tensor, "N K"]
    places: Float[Tensor, "N K 2"]


def boxes_of_digits(digits: UInt8[Tensor, "M 1 28 28"]) -> Float[Tensor, "M 4"]:
    """Left, top, right and bottom of the strokes of digits, in pixels of a digit.

    Example:
        >>> x = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
        >>> x[0, 0, 5:9, 10:12] = 255
        >>> boxes_of_digits(x).tolist()
        [[10.0, 5.0, 12.0, 9.0]]
    """
    ink = digits[:, 0] >= INK
    ends = []
    for line in (ink.any(1), ink.any(2)):  # columns, then rows
        line = line.to(torch.uint8)
        first, last = line.argmax(1), line.shape[1] - line.flip(1).argmax(1)
        ends.append(torch.stack([first, last], 1))
    return torch.stack([ends[0][:, 0], ends[1][:, 0], ends[0][:, 1], ends[1][:, 1]], 1).float()


def placed(boxes: Float[Tensor, "*N 4"], scales: Tensor, places: Tensor) -> Float[Tensor, "*N 4"]:
    """Boxes on the canvas, of digits that are drawn with these scales at these places."""
    return boxes * scales[..., None] + torch.cat([places, places], -1)


def shared(boxes: Float[Tensor, "N K 4"]) -> Float[Tensor, "N K K"]:
    """The share of the smaller of two boxes that the other covers, for all pairs of a canvas."""
    low = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    return (high - low).clamp(min=0).prod(-1) / torch.minimum(area[:, :, None], area[:, None])


def lay_out(scene: Scene, n: int, seed: int, boxes: Float[Tensor, "M 4"]) -> Layout:
    """Draws the layouts of n canvases.

    Arguments:
        scene: What they show.
        n: How many.
        seed: Fixes them all; the first canvases are the same for every n.
        boxes: The box of each digit that may be shown, in pixels of a digit.

    Raises:
        UsageError: The digits do not fit on a canvas.
    """
    most, index = max(scene.counts), np.arange(n)
    u = (random_numbers(index, seed * (ATTEMPTS + 1), 1)[:, 0] + 1) / 2
    counts = torch.tensor(scene.counts)[(u * len(scene.counts)).long()]
    digits = torch.zeros(n, most, dtype=torch.long)
    scales, places = torch.ones(n, most), torch.zeros(n, most, 2)
    shown, todo = torch.arange(most) < counts[:, None], torch.arange(n)
    first = torch.ones(most, most, dtype=torch.bool).triu(1)  # of each pair
    for attempt in range(1, ATTEMPTS + 1):
        stream = seed * (ATTEMPTS + 1) + attempt
        drawn = random_numbers(todo.numpy(), stream, NUMBERS * most).view(-1, most, NUMBERS)
        u = (drawn + 1) / 2
        which = (u[..., 0] * len(boxes)).long()
        deviation = torch.special.ndtri(u[..., 1].clamp(1e-6, 1 - 1e-6)).clamp(-3, 3)
        scale = 1 / (scene.shrink + scene.spread * deviation)
        room = scene.side - DIGIT * scale
        place = (u[..., 2:] * (room[..., None].floor() + 1)).floor()
        pairs = shown[todo][:, :, None] & shown[todo][:, None] & first
        clash = (shared(placed(boxes[which], scale, place)) > scene.overlap) & pairs
        fits = ~clash.flatten(1).any(1) & ~((room < 0) & shown[todo]).any(1)
        rows = todo[fits]
        digits[rows], scales[rows], places[rows] = which[fits], scale[fits], place[fits]
        todo = todo[~fits]
        if not len(todo):
            return Layout(counts, digits, scales, places)
    raise UsageError(
        f"{most} digits do not fit on a canvas of {scene.side} pixels with an overlap of at most "
        f"{scene.overlap}: give a larger side, fewer digits, or more overlap."
    )


class Canvases:
    """Canvases as a `LazyArray`: drawn when their rows are read.

    Arguments:
        digits: The digits, uint8 (M, 1, 28, 28).
        layout: What is where, for a canvas of `scene.side` pixels.
        scene: What the set shows.
        side: Side of the images (pixels); the whole scene is drawn in this size.
    """

    def __init__(
        self, digits: UInt8[Tensor, "M 1 28 28"], layout: Layout, scene: Scene, side: int
    ) -> None:
        self.digits, self.layout, self.zoom = digits, layout, side / scene.side
        self.shape, self.dtype = (len(layout.counts), 1, side, side), np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        index = torch.from_numpy(np.asarray(rows).reshape(-1))
        layout, side = self.layout, self.shape[-1]
        canvas = torch.zeros(len(index), 1, side, side)
        pixel = (torch.arange(side) + 0.5) / self.zoom
        for k in range(layout.digits.shape[1]):
            there = torch.nonzero(layout.counts[index] > k)[:, 0]
            if not len(there):
                continue
            at = index[there]
            place, scale = layout.places[at, k], layout.scales[at, k]
            # Pixel centers of the canvas in a digit's frame, which reaches from -1 to 1.
            u = (pixel - place[..., None]) / scale[:, None, None] * (2 / DIGIT) - 1  # (n, 2, side)
            grid = torch.stack(
                torch.broadcast_tensors(u[:, 0, None, :], u[:, 1, :, None]), -1
            )  # (n, side, side, 2)
            x = self.digits[layout.digits[at, k]].float()
            canvas[there] += F.grid_sample(x, grid, align_corners=False)
        return canvas.round().clamp(max=255).byte().numpy()


def multi_mnist(
    digits: Dataset, scene: Scene, n: int, seed: int, side: int | None = None, name: str = ""
) -> Dataset:
    """A data set of n canvases with the boxes of their digits.

    Arguments:
        digits: MNIST, or other gray images of 28x28.
        scene: What the canvases show.
        n: How many.
        seed: Fixes the layouts.
        side: Side of the images (pixels), by default the scene's.
        name: The data set's name.

    Raises:
        UsageError: The digits have another shape or do not fit, or a number is out of range.

    Example:
        >>> from zeuxis.data import load_data
        >>> digits = load_data("mnist", split="test", limit=100)
        >>> data = multi_mnist(digits, Scene(counts=(1, 2)), 20, seed=0)
        >>> data.all().shape, boxes(data).shape, counts(data).unique().tolist()
        (torch.Size([20, 1, 50, 50]), torch.Size([20, 2, 4]), [1, 2])
    """
    side = scene.side if side is None else side
    if digits.spec.shape != (1, DIGIT, DIGIT):
        raise UsageError(
            f"Canvases are made of gray images of 28x28, and '{digits.spec.name}' has shape "
            f"{digits.spec.shape}."
        )
    possible = scene.counts and min(scene.counts) >= 0 and max(scene.counts) <= MOST
    if n < 1 or side < 16 or not possible:
        raise UsageError(
            "Canvases need a number of at least 1, a side of at least 16 pixels and counts from 0 "
            f"to {MOST}, got {n}, {side} and {scene.counts}."
        )
    x = digits.all()
    ink = boxes_of_digits(x)
    layout = lay_out(scene, n, seed, ink)
    found = placed(ink[layout.digits], layout.scales, layout.places) * (side / scene.side)
    absent = torch.arange(found.shape[1]) >= layout.counts[:, None]
    found[absent] = torch.nan
    spec = Spec(name or "multi-mnist", (1, side, side))
    return Dataset(spec, Canvases(x, layout, scene, side), facts=Facts(boxes=found, seed=seed))


def built_in_canvases(
    name: str, digits: Dataset, size: int | None, channels: int | None, limit: int | None
) -> Dataset:
    """A built-in set: 60,000 canvases for training, and 10,000 of another seed for tests.

    Arguments:
        name: A key of `SCENES`.
        digits: The training or test digits of MNIST.
        size: Side in which the scenes are drawn (pixels), None for their own.
        channels: Must not be 3.
        limit: Only the first canvases.
    """
    if channels == 3:
        raise UsageError(f"--data {name} is gray: leave out --channels 3.")
    full, seed = (10_000, 1) if digits.facts.part == "test" else (60_000, 0)
    data = multi_mnist(digits, SCENES[name], min(full, limit or full), seed, size, name)
    return replace(data, facts=replace(data.facts, part=digits.facts.part))


def boxes(data: Dataset) -> Float[Tensor, "n K 4"]:
    """Left, top, right and bottom of the objects of each image, in pixels; NaN beyond its last."""
    if data.facts.boxes is None:
        raise UsageError(
            f"Nothing is known of the objects in '{data.spec.name}': give --data "
            f"{next(iter(SCENES))}."
        )
    return data.facts.boxes if data.rows is None else data.facts.boxes[data.rows.cpu()]


def counts(data: Dataset) -> Int64[Tensor, " n"]:
    """The number of objects in each image."""
    return boxes(data).isfinite().all(2).sum(1)
