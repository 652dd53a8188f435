r"""Discretized mixtures of logistics over the colors of a pixel, as PixelCNN++ predicts them.

Levels 0 to L - 1 are scaled to $x = 2 v / (L - 1) - 1$ from -1 to 1. Under a component, level v of
a color has the mass of a logistic distribution over the bin $x \pm 1/(L-1)$; the bins of the first
and the last level reach to infinity. One component is chosen for all colors of a pixel, and its
mean for a color depends on the true values of the colors before it:

$$ P(v) = \sum_k \pi_k \prod_c \Big[ \sigma\Big(\frac{x_c + \frac{1}{L-1} - \mu_{k,c}}{s_{k,c}}\Big)
   - \sigma\Big(\frac{x_c - \frac{1}{L-1} - \mu_{k,c}}{s_{k,c}}\Big) \Big], \qquad
   \mu_{k,c} = m_{k,c} + \sum_{j<c} \alpha_{k,c,j}\, x_j . $$

The factorization over colors is exact as well: once a color is known, $\pi_k$ is multiplied by its
mass under component k.

The logarithm of a difference of sigmoids is $\log\sigma(b) + \log\sigma(-a) + \log(1 - e^{a-b})$,
which loses no digits, so the L masses always sum to 1. The released code switches to density times
width for differences below 1e-5.

Source: Salimans, Karpathy, Chen and Kingma, "PixelCNN++", 2017, section 2.1 and its released code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

MIN_LOG_SCALE = -7.0
"""As in the released code: a scale of a tenth of a level."""


def parameters_per_pixel(components: int, colors: int) -> int:
    """Network outputs for each pixel: 10 per component for three colors, 3 for one."""
    return components * (1 + 2 * colors + colors * (colors - 1) // 2)


@dataclass
class Mixture:
    """Mixtures of any number of pixels.

    Arguments:
        log_weights: Logarithms of pi, normalized, (*n, k).
        means: m of each color, (*n, k, colors).
        log_scales: log s of each color, (*n, k, colors).
        coefficients: alpha of each pair of colors (1 of 0, 2 of 0, 2 of 1, ...), (*n, k, pairs).
        levels: L.
    """

    log_weights: Tensor
    means: Tensor
    log_scales: Tensor
    coefficients: Tensor
    levels: int

    @classmethod
    def of(cls, out: Float[Tensor, "*n numbers"], colors: int, levels: int) -> Mixture:
        """The mixtures with a network's outputs as parameters."""
        pairs = colors * (colors - 1) // 2
        k = out.shape[-1] // (1 + 2 * colors + pairs)
        means, scales, coefficients = (
            out[..., k:].unflatten(-1, (k, 2 * colors + pairs)).split((colors, colors, pairs), -1)
        )
        return cls(
            out[..., :k].log_softmax(-1),
            means,
            scales.clamp(min=MIN_LOG_SCALE),
            torch.tanh(coefficients),
            levels,
        )

    def select(self, rows: Tensor) -> Mixture:
        """The mixtures at these places of the first dimension."""
        return Mixture(
            self.log_weights[rows],
            self.means[rows],
            self.log_scales[rows],
            self.coefficients[rows],
            self.levels,
        )

    def scaled(self, v: Tensor) -> Tensor:
        """Levels scaled to [-1, 1]."""
        return v.to(self.means.dtype) * (2 / (self.levels - 1)) - 1

    def mean(self, color: int, x: Float[Tensor, "*n colors"]) -> Float[Tensor, "*n k"]:
        """The components' means of a color given the scaled colors before it."""
        first = color * (color - 1) // 2
        shift = (self.coefficients[..., first : first + color] * x[..., None, :color]).sum(-1)
        return self.means[..., color] + shift

    def log_mass(self, v: Int[Tensor, "*n colors"]) -> Float[Tensor, "*n colors"]:
        """log P of each color given the colors before it.

        Example:
            >>> mixture = Mixture.of(torch.randn(2, 40), colors=3, levels=256)
            >>> mixture.log_mass(torch.tensor([[0, 10, 255], [3, 4, 5]])).shape
            torch.Size([2, 3])
        """
        x = self.scaled(v)
        means = torch.stack([self.mean(c, x) for c in range(v.shape[-1])], -1)
        inverse = torch.exp(-self.log_scales)
        upper = (x[..., None, :] + 1 / (self.levels - 1) - means) * inverse
        width = 2 / (self.levels - 1) * inverse
        inside = F.logsigmoid(upper) + F.logsigmoid(width - upper) + log1mexp(width)
        first, last = (v == 0)[..., None, :], (v == self.levels - 1)[..., None, :]
        each = torch.where(
            first, F.logsigmoid(upper), torch.where(last, F.logsigmoid(width - upper), inside)
        )
        so_far = torch.logsumexp(self.log_weights[..., None] + each.cumsum(-1), -2)
        return torch.cat([so_far[..., :1], so_far[..., 1:] - so_far[..., :-1]], -1)

    def table(self, color: int, x: Float[Tensor, "*n colors"]) -> Float[Tensor, "*n k levels"]:
        """Log mass of every level of a color under each component, given the colors before it."""
        index = torch.arange(self.levels - 1, device=x.device).to(x.dtype)
        edges = (2 * index + 1) / (self.levels - 1) - 1
        inverse = torch.exp(-self.log_scales[..., color, None])
        z = (edges - self.mean(color, x)[..., None]) * inverse
        below = F.logsigmoid(z)
        above = below - z  # log sigmoid(-z)
        inside = below[..., 1:] + above[..., :-1] + log1mexp(2 / (self.levels - 1) * inverse)
        return torch.cat([below[..., :1], inside, above[..., -1:]], -1)


def log1mexp(width: Tensor) -> Tensor:
    """log(1 - exp(-width)) for width above 0."""
    return torch.log(-torch.expm1(-width))
