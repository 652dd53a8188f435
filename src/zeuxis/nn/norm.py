r"""Batch normalization with the statistics of the current batch, as in the first GANs.

$$ y = g \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + b, $$

with the biased variance and $\epsilon = 10^{-8}$ inside the root. There are no running averages.
After training, `estimate_batch_statistics` averages the statistics of many batches once, as the
DCGAN authors did for their features, so an image no longer depends on the others of its batch. With
several processes the statistics are those of the global batch.

Source: Radford et al. 2016, section 3 and released code; Ioffe and Szegedy 2015.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..distributed import SumOverProcesses, is_distributed


class BatchNorm(nn.Module):
    """Normalizes each channel (or unit) over the batch and all positions.

    Arguments:
        features: Channels of a (N, C, H, W) input, or units of a (N, C) input.
        affine: Whether there is a gain and a bias; gain starts at N(1, 0.02), bias at 0.
        eps: Added to the variance.
        gain: Whether there is a gain beside the bias.

    Example:
        >>> import torch
        >>> y = BatchNorm(3, affine=False)(torch.randn(64, 3, 8, 8) * 5 + 2)
        >>> bool(y.mean().abs() < 1e-6), round(y.var(correction=0).item(), 3)
        (True, 1.0)
    """

    mean: Tensor
    variance: Tensor

    def __init__(
        self, features: int, affine: bool = True, eps: float = 1e-8, gain: bool = True
    ) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(features).normal_(1, 0.02)) if affine and gain else None
        self.bias = nn.Parameter(torch.zeros(features)) if affine else None
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.ones(features))
        self.collected: list[tuple[Tensor, Tensor]] | None = None

    def forward(
        self, x: Float[Tensor, "batch features *positions"]
    ) -> Float[Tensor, "batch features *positions"]:
        if not self.training and self.collected is None:
            return F.batch_norm(x, self.mean, self.variance, self.gain, self.bias, eps=self.eps)
        if self.collected is not None:
            variance, mean = torch.var_mean(x.float(), [0, *range(2, x.ndim)], correction=0)
            self.collected.append((mean, variance))
            if x.numel() == x.shape[1]:  # PyTorch refuses statistics of one number per channel
                return F.batch_norm(x, mean, variance, self.gain, self.bias, eps=self.eps)
        elif is_distributed():
            return self.over_processes(x)
        return F.batch_norm(x, None, None, self.gain, self.bias, training=True, eps=self.eps)

    def over_processes(self, x: Tensor) -> Tensor:
        """Normalizes with the mean and variance of the global batch."""
        axes = [0, *range(2, x.ndim)]
        shape = [1, -1] + [1] * (x.ndim - 2)
        x32 = x.float()
        count = torch.full_like(x32[0].reshape(x.shape[1], -1)[:, 0], x.numel() / x.shape[1])
        total, count = SumOverProcesses.apply(torch.stack([x32.sum(axes), count]))
        mean = (total / count).view(shape)
        # A difference of squares would cancel digits that one process keeps.
        variance = (SumOverProcesses.apply((x32 - mean).square().sum(axes)) / count).view(shape)
        y = (x32 - mean) * torch.rsqrt(variance + self.eps)
        if self.gain is not None:
            y = y * self.gain.view(shape)
        if self.bias is not None:
            y = y + self.bias.view(shape)
        return y.to(x.dtype)


@contextmanager
def estimate_batch_statistics(module: nn.Module) -> Iterator[None]:
    """Sets the statistics for `eval()` to the average over the batches that run inside."""
    norms = [m for m in module.modules() if isinstance(m, BatchNorm)]
    for norm in norms:
        norm.collected = []
    try:
        yield
        for norm in norms:
            if norm.collected:
                means, variances = zip(*norm.collected, strict=True)
                norm.mean.copy_(torch.stack(means).mean(0))
                norm.variance.copy_(torch.stack(variances).mean(0))
    finally:
        for norm in norms:
            norm.collected = None
