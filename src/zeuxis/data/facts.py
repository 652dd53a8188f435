"""What is known of a data set beyond its examples and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor


@dataclass(frozen=True)
class Facts:
    """What is known of a data set beyond its examples and labels.

    Arguments:
        part: "train" or "test", or "all" for a source without a test part; empty if unknown.
        split: What an evaluation calls the images: "test", "trained on" or "held-out".
        notes: Sentences on what was left out or changed when the data were read.
        binarization: "static" if the pixels were drawn once as 0 and 255, else "none".
        inexact: Rows whose pixels were decoded from another, lossy copy (`data.inexact`).
        factors: Factors of variation behind all rows, (N, factors), or None if unknown.
        factor_names: One name for each factor.
        boxes: Left, top, right and bottom (pixels) of the objects in all rows, (N, K, 4), NaN
            beyond an image's last object; None if unknown.
        group: How many consecutive rows form a group in which one thing varies; a training keeps
            them together. 1 where rows are unrelated.
        files: How many consecutive rows each file holds, where images are decoded at each reading;
            a training with a shuffle buffer reads one file after the other.
        density: Name and parameters of the density that points were drawn from (`data.densities`).
        seed: The seed that they were drawn with.
    """

    part: str = ""
    split: str = ""
    notes: tuple[str, ...] = ()
    binarization: Literal["none", "static"] = "none"
    inexact: tuple[int, ...] = ()
    factors: Tensor | None = field(default=None, compare=False)
    factor_names: tuple[str, ...] = ()
    boxes: Tensor | None = field(default=None, compare=False)
    group: int = 1
    files: Sequence[int] = ()
    density: Mapping[str, str | float] | None = None
    seed: int | None = None
