r"""What a degraded image says about each value, in the order of an autoregressive model.

`autoregressive` states the factors $\psi$: a particle filter multiplies by them as it goes, and a
sweep asks for all of them as a function of one value.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...autoregressive.sampling import in_order, to_levels, to_pixels
from ...errors import UsageError
from .operators import Average, Identity, Images, Mask, Operator

ROUNDING = 1 / 12  # variance of what rounding to whole pixels adds
EXCLUDED = -1e30  # log of a weight of 0 that stays finite


class Evidence:
    """What y says about each value of images, in the model's order.

    Arguments:
        y: Degraded images, (rows, C, H, W), one for each particle.
        operator: How they were degraded.
        sigma: Standard deviation of the noise (pixel units).
        shape: Channels, height and width of the restored images.
        levels: Levels of the model.
    """

    def __init__(
        self,
        y: Images,
        operator: Operator,
        sigma: float,
        shape: tuple[int, ...],
        levels: int,
    ) -> None:
        self.operator = operator
        self.pixels = to_pixels(torch.arange(levels), levels).double()
        whole = y if isinstance(operator, Identity | Mask) else y_of_blocks(y, operator)
        self.y = in_order(whole.double().cpu())  # (rows, size)
        self.variance = torch.full_like(self.y, max(sigma**2, ROUNDING))
        self.visible = torch.ones_like(self.y, dtype=torch.bool)
        self.area, self.block, self.left = 1, torch.arange(self.y.shape[1]), None
        if isinstance(operator, Mask):
            self.visible = in_order(operator.visible.expand(y.shape).cpu())
        if isinstance(operator, Average):
            f, (channels, height, width) = operator.factor, shape
            self.area = f * f
            small = (channels, height // f, width // f)
            blocks = torch.arange(math.prod(small)).view(1, *small)
            self.block = in_order(operator.enlarged(blocks.double()))[0].long()
            spread = self.y * (255 - self.y)
            if levels == 2 and not sigma:  # a binary draw of gray pixels
                self.variance = self.variance + spread / self.area
            self.kappa = spread / 2 + 25
        self.hard = isinstance(operator, Mask) and sigma == 0

    def start(self) -> Tensor:
        """Sums of the blocks so far, (rows, blocks)."""
        return self.y.new_zeros(len(self.y), int(self.block.max()) + 1)

    def counts(self) -> list[int]:
        """For each value how many of its block are still to come after it."""
        left = torch.bincount(self.block)
        counts = []
        for b in self.block.tolist():
            left[b] -= 1
            counts.append(int(left[b]))
        return counts

    def log_psi(self, i: int, total: Tensor, left: int) -> Tensor:
        """log psi of a block with this sum, (rows, levels) or (rows, 1), up to a constant of i's
        block."""
        y, area = self.y[:, i, None], self.area
        variance = area**2 * self.variance[:, i, None]
        if left:
            variance = variance + left * self.kappa[:, i, None]
        error = (area * y - total - left * y).square() / variance
        return -0.5 * (error + variance.log())

    def factor(self, i: int, sums: Tensor, left: int) -> Tensor | None:
        """log psi_i / psi_{i-1} of each level, (rows, levels); None where nothing is known."""
        if isinstance(self.operator, Average):
            so_far = sums[:, self.block[i], None]
            now = self.log_psi(i, so_far + self.pixels, left)
            if left == self.area - 1:
                return now
            return now - self.log_psi(i, so_far, left + 1)
        if not self.visible[:, i].any():
            return None
        y = self.y[:, i, None]
        if not self.hard:
            found = -0.5 * (y - self.pixels).square() / self.variance[:, i, None]
        else:
            nearest = to_levels(y.round().clamp(0, 255).byte(), len(self.pixels))
            same = nearest == torch.arange(len(self.pixels))
            found = torch.where(same, 0.0, EXCLUDED).double()
        return torch.where(self.visible[:, i, None], found, 0.0)

    def rest(self, i: int, x: Tensor) -> Tensor | None:
        """log g as a function of value i, all others as in x, (rows, levels)."""
        if not isinstance(self.operator, Average):
            return self.factor(i, x, 0)
        own = self.block == self.block[i]
        others = self.pixels[x[:, own]].sum(1) - self.pixels[x[:, i]]
        return self.log_psi(i, others[:, None] + self.pixels, 0)


def y_of_blocks(y: Images, operator: Operator) -> Images:
    """The mean of each value's block."""
    if isinstance(operator, Average):
        return operator.enlarged(y)
    raise UsageError(
        f"Particles restore noisy, masked and averaged images, got {type(operator).__name__}: "
        "use one of Identity, Mask and Average."
    )
