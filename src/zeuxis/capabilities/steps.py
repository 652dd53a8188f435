"""Models that make an image in steps, and show how it comes about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from .protocols import IsModel


@dataclass(frozen=True)
class Window:
    """The part of an image that each step reads or writes.

    Arguments:
        box: Left, top, right and bottom edge in pixels from the upper left corner; parts outside
            the image count, (n, steps, 4).
        blur: Standard deviation of the window's filters in pixels, 0 for a sharp window,
            (n, steps).
    """

    box: Tensor
    blur: Tensor


@dataclass(frozen=True)
class Steps:
    """How images come about.

    Arguments:
        canvases: The images after each step, uint8, (n, steps, C, H, W).
        windows: Where each step reads or writes, by "read" or "write"; without a window, a step
            takes the whole image. A step that was not taken has a box of NaN.
    """

    canvases: Tensor
    windows: Mapping[str, Window] = field(default_factory=dict)


@runtime_checkable
class HasSteps(IsModel, Protocol):
    """Makes images in steps."""

    def sample_steps(self, n: int, *, generator: torch.Generator | None = None) -> Steps:
        """The steps of n samples; the last canvases are those of `sample`."""

    def reconstruct_steps(self, x: Tensor) -> Steps:
        """The steps of reconstructions of images, uint8 (n, C, H, W), by latents at the center of
        the posterior."""


@runtime_checkable
class HasGlimpses(IsModel, Protocol):
    """Looks at images through windows that move."""

    def windows_of(self, x: Tensor) -> Window:
        """Where each step looked at images, uint8 (n, C, H, W)."""
