"""The result of a compression: sizes and rates, beside the model's and other codecs'."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Column, Table
from torch import Tensor

from .entropy_coding import Coded


@dataclass
class Report:
    """Sizes of what was compressed.

    Arguments:
        coder: "range" or "bits-back".
        images: Number of images.
        numbers: Pixels times channels of all images.
        padding: Further numbers that were coded because tiles reach beyond edges or channels are
            repeated.
        size: Bytes of the file.
        payload: Bytes of the entropy coder.
        nats: Code length under the model: -log p(x) of all tiles, or the bound on it.
        initial: Initial bits that bits-back coding used.
        chains: Tiles of each block, in order.
        lanes: Largest number of tiles coded in parallel.
        seconds: Time of coding, without reading and writing.
        baselines: Bytes under other codecs.
    """

    coder: str
    images: int = 0
    numbers: int = 0
    padding: int = 0
    size: int = 0
    payload: int = 0
    nats: float = 0.0
    initial: int = 0
    chains: list[int] = field(default_factory=list)
    lanes: int = 0
    seconds: float = 0.0
    baselines: dict[str, int] = field(default_factory=dict)

    def add(self, images: Sequence[Tensor], x: Tensor, coded: Coded) -> None:
        """Adds a block: its images, their tiles and their code."""
        numbers = sum(image.numel() for image in images)
        self.images += len(images)
        self.numbers += numbers
        self.padding += x.numel() - numbers
        self.payload += len(coded.payload)
        self.nats += coded.nats
        self.initial += coded.initial
        self.lanes = max(self.lanes, coded.lanes)
        self.chains.append(len(x))

    @property
    def ideal(self) -> float:
        """Bytes of the tiles under the model."""
        return self.nats / math.log(2) / 8

    def bits(self, size: float) -> float:
        """Bits per dimension of a size in bytes."""
        return 8 * size / self.numbers

    def as_dict(self) -> dict[str, Any]:
        """The figures of a record."""
        ideal = self.ideal
        fields = dataclasses.asdict(self)
        for key in ("baselines", "nats", "seconds"):
            del fields[key]
        return {
            **fields,
            "bits/dim": self.bits(self.size),
            "bits/dim of the payload": self.bits(self.payload),
            "bits/dim of the model itself": self.bits(ideal),
            "overhead of the payload": self.payload / ideal - 1 if ideal else math.inf,
            "overhead of the file": self.size / ideal - 1 if ideal else math.inf,
            "megabytes of pixels a second": self.numbers / 1e6 / max(self.seconds, 1e-9),
            "baselines": {
                name: {"bytes": size, "bits/dim": self.bits(size)}
                for name, size in self.baselines.items()
            },
        }

    def table(self) -> Table:
        """Sizes and rates, smallest first."""
        sheet = Table(
            "",
            Column("bytes", justify="right"),
            Column("bits/dim", justify="right"),
            Column("of the pixels", justify="right"),
        )
        own = "the model itself" if self.coder == "range" else "the model's bound"
        rows = {
            own: self.ideal,
            "this file": self.size,
            **self.baselines,
            "bare pixels": self.numbers,
        }
        for name, size in sorted(rows.items(), key=lambda row: row[1]):
            sheet.add_row(
                name, f"{size:,.0f}", f"{self.bits(size):.4f}", f"{size / self.numbers:.2%}"
            )
        return sheet

    def sentence(self) -> str:
        """A sentence on the parts of the size."""
        figures = self.as_dict()
        plural = "s" if len(self.chains) > 1 else ""
        chains = (
            f"{len(self.chains)} block{plural} of {min(self.chains):,} to "
            f"{max(self.chains):,} tiles"
        )
        spent = (
            (
                f", of which {self.initial / 8:,.0f} are initial bits, spent once a block of "
                f"{self.lanes} lanes"
            )
            if self.initial
            else ""
        )
        payload, file = figures["overhead of the payload"], figures["overhead of the file"]
        return (
            f"{self.images:,} image{'s' if self.images > 1 else ''} in {self.size:,} "
            f"bytes: {self.payload:,} of the {self.coder} coder in "
            f"{chains}{spent}. Over the model's own length: {payload:+.2%}, with names, "
            f"sizes and checksums {file:+.2%}. Tiles hold "
            f"{self.padding / self.numbers:.1%} more than the images. "
            f"{figures['megabytes of pixels a second']:.3f} MB/s."
        )
