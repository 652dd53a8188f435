"""What a codec did: sizes and rates beside those of the model itself and of other codecs."""

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
    """What was coded, and in how many bits.

    Arguments:
        coder: "range" or "bits-back".
        images: How many.
        numbers: Pixels times channels of all images.
        padding: Numbers that were coded beside them since tiles reached beyond edges, or channels
            were repeated.
        size: Bytes of the file.
        payload: Bytes of it that are the coder's.
        nats: The code length by the model itself: -log p(x) of all tiles, or the bound on it.
        initial: Initial bits that bits-back coding spent.
        chains: Tiles of each block, in order.
        lanes: Most tiles side by side.
        seconds: Time that coding took, without reading and writing.
        baselines: Bytes that other codecs need.
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
        """Counts a block: its images, their tiles, and what they were coded as."""
        numbers = sum(one.numel() for one in images)
        self.images, self.numbers, self.padding = (
            self.images + len(images),
            self.numbers + numbers,
            self.padding + x.numel() - numbers,
        )
        self.payload, self.nats = self.payload + len(coded.payload), self.nats + coded.nats
        self.initial, self.lanes = self.initial + coded.initial, max(self.lanes, coded.lanes)
        self.chains.append(len(x))

    @property
    def ideal(self) -> float:
        """Bytes that the model itself gives the tiles."""
        return self.nats / math.log(2) / 8

    def bits(self, size: float) -> float:
        """Bits a dimension of so many bytes."""
        return 8 * size / self.numbers

    def as_dict(self) -> dict[str, Any]:
        """The figures of a record."""
        ideal = self.ideal
        return {
            **{
                key: value
                for key, value in dataclasses.asdict(self).items()
                if key not in ("baselines", "nats", "seconds")
            },
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
        """How the bits came about, in words."""
        about = self.as_dict()
        chains = (
            f"{len(self.chains)} block{'s' if len(self.chains) > 1 else ''} of "
            f"{min(self.chains):,} to {max(self.chains):,} tiles"
        )
        spent = (
            (
                f", of which {self.initial / 8:,.0f} are initial bits, spent once a block of "
                f"{self.lanes} lanes"
            )
            if self.initial
            else ""
        )
        over, whole = about["overhead of the payload"], about["overhead of the file"]
        return (
            f"{self.images:,} image{'s' if self.images > 1 else ''} in {self.size:,} "
            f"bytes: {self.payload:,} of the {self.coder} coder in "
            f"{chains}{spent}. Over the model's own length: {over:+.2%}, with names, "
            f"sizes and checksums {whole:+.2%}. Tiles hold "
            f"{self.padding / self.numbers:.1%} more than the images. "
            f"{about['megabytes of pixels a second']:.3f} MB/s."
        )
