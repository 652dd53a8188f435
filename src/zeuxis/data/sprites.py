r"""Canvases with colored shapes, whose number and boxes are known (`scenes`).

A sprite is one of six shapes in one of six colors: disk, ring, square, triangle, diamond and cross
in red, green, blue, yellow, magenta and cyan. It is drawn in a frame of 28x28 pixels, of which it
leaves out a margin of 4. A pixel is as bright as the share of it that the shape covers, measured at
4x4 points.

A canvas of 50x50 shows no, one or two of them, in the sizes and at the places of the digits of
multi-MNIST. Training and test canvases show the same 36 sprites in other layouts.

The idea of canvases with sprites is from Eslami et al., "Attend, Infer, Repeat", 2016; shapes,
colors and sizes are ours.
"""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from ..errors import UsageError
from .dataset import Dataset, Spec
from .facts import Facts
from .parts import Split
from .scenes import FRAME, Scene, built_in

NAME = "sprites"
NOTE = "60,000 canvases of 50x50 with no, one or two colored shapes, and their boxes"
SCENE = Scene(overlap=0.05)
SHAPES = ("disk", "ring", "square", "triangle", "diamond", "cross")
COLORS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1))
POINTS = 4  # in a pixel, along each side
RADIUS = 10.0  # of a shape (pixels)


def inside(shape: str, x: Tensor, y: Tensor) -> Tensor:
    """Whether points belong to a shape that reaches from -1 to 1 along both axes, y downwards.

    Example:
        >>> x = torch.tensor([0.0, 0.9])
        >>> [shape for shape in SHAPES if inside(shape, x, x).tolist() == [True, False]]
        ['disk', 'square', 'diamond', 'cross']
    """
    far = torch.maximum(x.abs(), y.abs())
    radius = torch.hypot(x, y)
    if shape == "disk":
        return radius <= 1
    if shape == "ring":
        return (radius <= 1) & (radius >= 0.55)
    if shape == "square":
        return far <= 0.85
    if shape == "triangle":
        return (far <= 0.9) & (2 * x.abs() <= y + 0.9)
    if shape == "diamond":
        return x.abs() + y.abs() <= 1
    return (far <= 1) & (torch.minimum(x.abs(), y.abs()) <= 0.33)


def atlas() -> UInt8[Tensor, "36 3 28 28"]:
    """All sprites, shape by shape, each in all colors."""
    points = (torch.arange(FRAME * POINTS) + 0.5) / POINTS
    y, x = torch.meshgrid(points, points, indexing="ij")
    x, y = (x - FRAME / 2) / RADIUS, (y - FRAME / 2) / RADIUS
    cells = FRAME, POINTS, FRAME, POINTS
    covered = torch.stack([inside(shape, x, y).float().view(cells) for shape in SHAPES])
    gray = covered.mean((2, 4))  # (shapes, 28, 28)
    colored = gray[:, None, None] * torch.tensor(COLORS)[:, :, None, None]
    return (255 * colored).round().byte().flatten(0, 1)


def sprites(split: Split, size: int | None, channels: int | None, limit: int | None) -> Dataset:
    """The built-in set of canvases.

    Arguments:
        split: The training or the test part.
        size: Side in which the canvases are drawn (pixels), None for 50.
        channels: Must not be 1.
        limit: Only the first canvases.

    Raises:
        UsageError: Gray images were asked for.

    Example:
        >>> from zeuxis.data.scenes import boxes
        >>> data = sprites("test", None, None, 8)
        >>> data.all().shape, boxes(data).shape
        (torch.Size([8, 3, 50, 50]), torch.Size([8, 2, 4]))
    """
    if channels == 1:
        raise UsageError(f"--data {NAME} is in color: leave out --channels 1.")
    pictures = Dataset(Spec(NAME, (3, FRAME, FRAME)), atlas(), facts=Facts(part=split))
    return built_in(NAME, pictures, SCENE, size, limit)
