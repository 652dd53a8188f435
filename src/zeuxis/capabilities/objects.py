"""What a model says of the objects in images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from .protocols import IsModel


@dataclass(frozen=True)
class Objects:
    """How many objects images show, and where.

    Arguments:
        counts: Their number in each image, (n,).
        boxes: Left, top, right and bottom of each in pixels, (n, K, 4); NaN beyond the last.
        probabilities: Of each number from 0 to K, (n, K + 1).
    """

    counts: Int64[Tensor, " n"]
    boxes: Float[Tensor, "n K 4"]
    probabilities: Float[Tensor, "n numbers"]


@runtime_checkable
class HasObjects(IsModel, Protocol):
    """Counts and locates the objects in images."""

    def objects(
        self, x: Tensor, *, sampled: bool = False, generator: torch.Generator | None = None
    ) -> Objects:
        """The most probable number of objects, or with `sampled` one drawn from the posterior."""
