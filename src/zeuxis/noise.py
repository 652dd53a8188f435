"""Random numbers of one training step, the same for one process and for many."""

from __future__ import annotations

import torch
from torch import Tensor


class Noise:
    """The random numbers of one training step, the same for one process and for many.

    Numbers are drawn for the global batch with a generator that is a function of the run's seed and
    the images seen, and each process keeps its rows. So a step can be repeated, resumed or split
    without a saved generator.

    Arguments:
        seed: The run's seed.
        step: Images seen before this step; with the seed it determines every number.
        rows: This process's rows of the global batch.
        total: The size of the global batch.
        device: Where the numbers are drawn.
    """

    def __init__(
        self, seed: int, step: int, rows: slice, total: int, device: torch.device | str = "cpu"
    ) -> None:
        self.generator = torch.Generator(device).manual_seed(
            (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9) % 2**63
        )
        self.rows, self.total, self.device = rows, total, torch.device(device)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Numbers uniform in [low, high), shape (local batch, *shape)."""
        u = torch.rand(self.total, *shape, generator=self.generator, device=self.device)[self.rows]
        return u if (low, high) == (0.0, 1.0) else u * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, shape (local batch, *shape)."""
        return torch.randn(self.total, *shape, generator=self.generator, device=self.device)[
            self.rows
        ]

    def of(self, total: int) -> Noise:
        """The same generator for a batch of another global size, such as labeled examples."""
        other = Noise.__new__(Noise)
        other.generator, other.device, other.total = self.generator, self.device, total
        other.rows = slice(
            self.rows.start * total // self.total, self.rows.stop * total // self.total
        )
        return other

    def integers(self, high: int, *shape: int) -> Tensor:
        """Integers uniform in 0..high-1, shape (local batch, *shape)."""
        return torch.randint(
            high, (self.total, *shape), generator=self.generator, device=self.device
        )[self.rows]
