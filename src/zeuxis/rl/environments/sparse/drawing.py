"""Images of planar tasks, without a screen: polygons, lines and discs, antialiased."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

OVERSAMPLING = 3  # images are drawn at this multiple of their size, so that edges are smooth
GRAY, BLUE, RED = (205, 208, 214), (74, 112, 178), (200, 84, 70)
GREEN, INK = (92, 154, 104), (60, 64, 72)
Point = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """A polygon, a line (with a width), or a disc (one point with a radius).

    Arguments:
        points: Corners (meters).
        color: Red, green, blue.
        width: Width of a line or radius of a disc (meters).
    """

    points: Sequence[Point]
    color: tuple[int, int, int] = BLUE
    width: float = 0.0


def box(center: Point, half: Point, angle: float = 0.0) -> list[Point]:
    """Corners of a rectangle that is rotated about its center.

    Example:
        >>> box((1, 0), (0.5, 0.25))
        [(0.5, -0.25), (1.5, -0.25), (1.5, 0.25), (0.5, 0.25)]
    """
    c, s = math.cos(angle), math.sin(angle)
    corners = [(i * half[0], j * half[1]) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    return [(center[0] + c * x - s * y, center[1] + s * x + c * y) for x, y in corners]


def draw(
    shapes: Sequence[Shape], view: tuple[float, float, float, float], width: int = 480
) -> np.ndarray:
    """Draws what lies between left, bottom, right and top (m) as uint8 (height, width, 3)."""
    left, bottom, right, top = view
    scale = width / (right - left)
    height = round((top - bottom) * scale)
    image = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING), (250, 250, 248))
    pen, large = ImageDraw.Draw(image), scale * OVERSAMPLING
    for shape in shapes:
        points = [((x - left) * large, (top - y) * large) for x, y in shape.points]
        if len(points) == 1:
            (x, y), r = points[0], shape.width * large
            pen.ellipse((x - r, y - r, x + r, y + r), fill=shape.color)
        elif shape.width:
            pen.line(
                points, fill=shape.color, width=max(1, round(shape.width * large)), joint="curve"
            )
        else:
            pen.polygon(points, fill=shape.color)
    return np.asarray(image.resize((width, height), Image.Resampling.BOX)).copy()
