"""What the pixel models share to run pixel by pixel: a network's steps, and the head.

Sampling, coding and particle filters run a network in steps. `select` lets each image continue
from the activations of another, which is what resampling does to particles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.masked import Position, Stream, masked


@runtime_checkable
class Selects(Protocol):
    """What keeps activations for each image."""

    def select(self, rows: Tensor) -> None:
        """Reindexes the cache: image i continues from the activations of image rows[i]."""
        ...


@dataclass
class Steps:
    """A network run pixel by pixel.

    Arguments:
        predict: The network's numbers at a position.
        observe: Takes the inputs there.
        kept: What holds the activations of what lies before.
    """

    predict: Callable[[Position], Tensor]
    observe: Callable[[Tensor, Position], None]
    kept: Sequence[Selects]

    def select(self, rows: Tensor) -> None:
        """Reindexes the caches of all layers."""
        for part in self.kept:
            part.select(rows)


class Head(nn.Module):
    """Two hidden 1x1 convolutions and the parameters of the conditionals.

    Arguments:
        inside: Input channels.
        width: Channels of the hidden layers.
        outputs: Parameters for each color.
        colors: Colors of a pixel.
    """

    def __init__(self, inside: int, width: int, outputs: int, colors: int) -> None:
        super().__init__()
        sizes = (inside, width, width, outputs * colors)
        self.layers = nn.ModuleList([masked(a, b, 1, "B", colors) for a, b in pairwise(sizes)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(F.relu(x))
        return x

    def stream(self, n: int, width: int) -> HeadStream:
        streams = [layer.stream(n, width) for layer in self.layers]  # type: ignore[operator]
        return HeadStream(streams)


class HeadStream:
    """A head fed pixel by pixel."""

    def __init__(self, layers: list[Stream]) -> None:
        self.layers = layers

    def __call__(self, x: Tensor, position: Position) -> Tensor:
        for layer in self.layers:
            x = layer(torch.relu(x), position)
        return x

    def select(self, rows: Tensor) -> None:
        for layer in self.layers:
            layer.select(rows)
