"""Which examples a step sees: a fresh permutation per pass over the data, a function of seed and position alone."""

from __future__ import annotations

import torch
from torch import Tensor


class Order:
    """Positions of the global batch of any step, without saved state.

    Arguments:
        size: Examples in the data set.
        batch: Examples a step, over all processes.
        seed: The run's seed.

    Example:
        >>> order = Order(size=5, batch=2, seed=0)
        >>> sorted(torch.cat([order.rows(step) for step in range(5)]).tolist())
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    """

    def __init__(self, size: int, batch: int, seed: int) -> None:
        self.size, self.batch, self.seed = size, batch, seed
        self.shuffled: dict[int, Tensor] = {}

    def rows(self, step: int) -> Tensor:
        """Dataset positions of this step's batch, (batch,)."""
        first, end = step * self.batch, (step + 1) * self.batch
        parts = []
        while first < end:
            epoch, offset = divmod(first, self.size)
            take = min(end - first, self.size - offset)
            parts.append(self.permutation(epoch)[offset : offset + take])
            first += take
        return torch.cat(parts)

    def permutation(self, epoch: int) -> Tensor:
        """The order of one pass."""
        if epoch not in self.shuffled:
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
            self.shuffled = {epoch: torch.randperm(self.size, generator=generator)}
        return self.shuffled[epoch]
