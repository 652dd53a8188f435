r"""Canvases with several small pictures, whose number and boxes are known.

A canvas shows n pictures of a set, with n uniform over the scene's counts. Each is chosen at random
and drawn in the size $28 / (m + s\,\epsilon)$ pixels with $\epsilon \sim N(0, 1)$, cut off at three
standard deviations. It lies at a whole pixel, with its 28x28 frame inside the canvas. A layout in
which two boxes share more than `overlap` of the smaller one is drawn again, so that layouts are
uniform over those without. Where pictures meet, brightness adds up to at most 255.

The box of a picture is the smallest rectangle around its bright pixels, (left, top, right, bottom)
in pixels; pixel 0 reaches from 0 to 1.

Canvas i of seed s is a function of (s, i). Only layouts are kept: images are drawn when they are
read.
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

FRAME = 28  # side of a picture (pixels)
INK = 64  # brightness from which a pixel belongs to a picture
ATTEMPTS = 1_000  # layouts drawn for a canvas; with three digits one in five is accepted
NUMBERS = 4  # random numbers of a picture: which, how large, and where
MOST = 64 // NUMBERS  # pictures for which `random_numbers` has columns


@dataclass(frozen=True)
class Scene:
    """What the canvases of a set show.

    Arguments:
        counts: Numbers of pictures, all equally frequent.
        side: Side of a canvas (pixels).
        shrink: Mean factor by which pictures are made smaller.
        spread: Standard deviation of that factor.
        overlap: Greatest share of the smaller of two boxes that the other may cover.
    """

    counts: tuple[int, ...] = (0, 1, 2)
    side: int = 50
    shrink: float = 1.3
    spread: float = 0.1
    overlap: float = 0.1


@dataclass(frozen=True)
class Layout:
    """Which pictures are where, for N canvases of at most K pictures.

    Arguments:
        counts: Pictures on each canvas, (N,).
        pictures: Rows of the pictures, (N, K); those from `counts` on are not shown.
        scales: Factors by which the pictures are drawn smaller, (N, K).
        places: Left and top of their 28x28 frames, (N, K, 2), in pixels.
    """

    counts: Int64[Tensor, " N"]
    pictures: Int64[Tensor, "N K"]
    scales: Float[Tensor, "N K"]
    places: Float[Tensor, "N K 2"]


def boxes_of_pictures(pictures: UInt8[Tensor, "M channels 28 28"]) -> Float[Tensor, "M 4"]:
    """Left, top, right and bottom of the bright pixels of pictures, in pixels of a picture.

    Example:
        >>> x = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
        >>> x[0, 0, 5:9, 10:12] = 255
        >>> boxes_of_pictures(x).tolist()
        [[10.0, 5.0, 12.0, 9.0]]
    """
    ink = pictures.amax(1) >= INK
    ends = []
    for line in (ink.any(1), ink.any(2)):  # columns, then rows
        line = line.to(torch.uint8)
        first, last = line.argmax(1), line.shape[1] - line.flip(1).argmax(1)
        ends.append(torch.stack([first, last], 1))
    return torch.stack([ends[0][:, 0], ends[1][:, 0], ends[0][:, 1], ends[1][:, 1]], 1).float()


def placed(boxes: Float[Tensor, "*N 4"], scales: Tensor, places: Tensor) -> Float[Tensor, "*N 4"]:
    """Boxes on the canvas, of pictures that are drawn with these scales at these places."""
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
        boxes: The box of each picture that may be shown, in pixels of a picture.

    Raises:
        UsageError: The pictures do not fit on a canvas.
    """
    most, index = max(scene.counts), np.arange(n)
    u = (random_numbers(index, seed * (ATTEMPTS + 1), 1)[:, 0] + 1) / 2
    counts = torch.tensor(scene.counts)[(u * len(scene.counts)).long()]
    pictures = torch.zeros(n, most, dtype=torch.long)
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
        room = scene.side - FRAME * scale
        place = (u[..., 2:] * (room[..., None].floor() + 1)).floor()
        pairs = shown[todo][:, :, None] & shown[todo][:, None] & first
        clash = (shared(placed(boxes[which], scale, place)) > scene.overlap) & pairs
        fits = ~clash.flatten(1).any(1) & ~((room < 0) & shown[todo]).any(1)
        rows = todo[fits]
        pictures[rows], scales[rows], places[rows] = which[fits], scale[fits], place[fits]
        todo = todo[~fits]
        if not len(todo):
            return Layout(counts, pictures, scales, places)
    raise UsageError(
        f"{most} pictures do not fit on a canvas of {scene.side} pixels with an overlap of at most "
        f"{scene.overlap}: give a larger side, fewer pictures, or more overlap."
    )


class Canvases:
    """Canvases as a `LazyArray`: drawn when their rows are read.

    Arguments:
        pictures: The pictures, uint8 (M, channels, 28, 28).
        layout: What is where, for a canvas of `scene.side` pixels.
        scene: What the set shows.
        side: Side of the images (pixels); the whole scene is drawn in this size.
    """

    def __init__(
        self, pictures: UInt8[Tensor, "M channels 28 28"], layout: Layout, scene: Scene, side: int
    ) -> None:
        self.pictures, self.layout, self.zoom = pictures, layout, side / scene.side
        self.shape = len(layout.counts), pictures.shape[1], side, side
        self.dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        index = torch.from_numpy(np.asarray(rows).reshape(-1))
        layout, side = self.layout, self.shape[-1]
        canvas = torch.zeros(len(index), *self.shape[1:])
        pixel = (torch.arange(side) + 0.5) / self.zoom
        for k in range(layout.pictures.shape[1]):
            there = torch.nonzero(layout.counts[index] > k)[:, 0]
            if not len(there):
                continue
            at = index[there]
            place, scale = layout.places[at, k], layout.scales[at, k]
            # Pixel centers of the canvas in a picture's frame, which reaches from -1 to 1.
            u = (pixel - place[..., None]) / scale[:, None, None] * (2 / FRAME) - 1  # (n, 2, side)
            grid = torch.stack(
                torch.broadcast_tensors(u[:, 0, None, :], u[:, 1, :, None]), -1
            )  # (n, side, side, 2)
            x = self.pictures[layout.pictures[at, k]].float()
            canvas[there] += F.grid_sample(x, grid, align_corners=False)
        return canvas.round().clamp(max=255).byte().numpy()


def canvases(
    pictures: Dataset, scene: Scene, n: int, seed: int, side: int | None = None, name: str = ""
) -> Dataset:
    """A data set of n canvases with the boxes of their pictures.

    Arguments:
        pictures: Images of 28x28 on black, as the digits of MNIST.
        scene: What the canvases show.
        n: How many.
        seed: Fixes the layouts.
        side: Side of the images (pixels), by default the scene's.
        name: The data set's name, by default that of the pictures.

    Raises:
        UsageError: The pictures have another shape or do not fit, or a number is out of range.

    Example:
        >>> from zeuxis.data import load_data
        >>> digits = load_data("mnist", split="test", limit=100)
        >>> data = canvases(digits, Scene(counts=(1, 2)), 20, seed=0)
        >>> data.all().shape, boxes(data).shape, counts(data).unique().tolist()
        (torch.Size([20, 1, 50, 50]), torch.Size([20, 2, 4]), [1, 2])
    """
    side = scene.side if side is None else side
    if pictures.spec.shape[1:] != (FRAME, FRAME):
        raise UsageError(
            f"Canvases are made of images of 28x28, and '{pictures.spec.name}' has shape "
            f"{pictures.spec.shape}."
        )
    possible = scene.counts and min(scene.counts) >= 0 and max(scene.counts) <= MOST
    if n < 1 or side < 16 or not possible:
        raise UsageError(
            "Canvases need a number of at least 1, a side of at least 16 pixels and counts from 0 "
            f"to {MOST}, got {n}, {side} and {scene.counts}."
        )
    x = pictures.all()
    frames = boxes_of_pictures(x)
    layout = lay_out(scene, n, seed, frames)
    found = placed(frames[layout.pictures], layout.scales, layout.places) * (side / scene.side)
    absent = torch.arange(found.shape[1]) >= layout.counts[:, None]
    found[absent] = torch.nan
    spec = Spec(name or pictures.spec.name, (x.shape[1], side, side))
    return Dataset(spec, Canvases(x, layout, scene, side), facts=Facts(boxes=found, seed=seed))


def built_in(
    name: str, pictures: Dataset, scene: Scene, size: int | None, limit: int | None
) -> Dataset:
    """A built-in set: 60,000 canvases for training, and 10,000 of another seed for tests.

    Arguments:
        name: The data set's name.
        pictures: Those of the part that the canvases are for.
        scene: What they show.
        size: Side in which the scenes are drawn (pixels), None for their own.
        limit: Only the first canvases.
    """
    full, seed = (10_000, 1) if pictures.facts.part == "test" else (60_000, 0)
    data = canvases(pictures, scene, min(full, limit or full), seed, size, name)
    return replace(data, facts=replace(data.facts, part=pictures.facts.part))


def boxes(data: Dataset) -> Float[Tensor, "n K 4"]:
    """Left, top, right and bottom of the objects of each image, in pixels; NaN beyond its last."""
    if data.facts.boxes is None:
        raise UsageError(
            f"Nothing is known of the objects in '{data.spec.name}': give --data multi-mnist."
        )
    return data.facts.boxes if data.rows is None else data.facts.boxes[data.rows.cpu()]


def counts(data: Dataset) -> Int64[Tensor, " n"]:
    """The number of objects in each image."""
    return boxes(data).isfinite().all(2).sum(1)
