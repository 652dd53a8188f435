r"""Inverse autoregressive flows: posteriors richer than a Gaussian, sampled in one pass.

A chain starts from a diagonal Gaussian, $z_0 = \mu_0 + \sigma_0 \epsilon$. Each step computes a
shift and a scale for every dimension of the latent from the dimensions before it and a context h,

$$ z_t = \sigma_t \odot z_{t-1} + (1 - \sigma_t) \odot m_t, \qquad
   \sigma_t = \mathrm{sigmoid}(s_t), \quad
   (m_t, s_t) = \mathrm{AutoregressiveNN}(z_{t-1}, h) . $$

Since $\partial z_t / \partial z_{t-1}$ is triangular with $\sigma_t$ on its diagonal,

$$ \log q(z_T | x) = -\sum_i \Big[ \tfrac12 \epsilon_i^2 + \tfrac12 \log 2\pi
   + \sum_{t=0}^{T} \log \sigma_{t,i} \Big] . $$

All dimensions are transformed at once; only the inverse would need one pass a dimension, and
training never asks for it. The order is reversed after each step, so that every dimension comes to
depend on every other.

Two autoregressive networks are here: a dense one (MADE) for latents that are vectors, and a
convolutional one for latents with channels and positions, whose masks order positions and, within a
position, channels. Both normalize only the weights that the masks let through.

Sources: Kingma, Salimans, Jozefowicz, Chen, Sutskever and Welling, "Improving Variational Inference
with Inverse Autoregressive Flow", 2016, section 4 and its released code; Germain et al., "MADE",
2015. The released convolutional step is $z_t = (z_{t-1} - m_t / 10) / \exp(s_t / 10)$ instead
(`affine`).
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..nn.elu import elu
from ..nn.precision import at_least_float32
from ..nn.weight_norm import WeightNorm
from .networks import dense


def dense_mask(before: Tensor, after: Tensor, strict: bool) -> Float[Tensor, "out inside"]:
    """MADE's mask from the degrees of two layers' units: ones where a unit may see a unit of the
    layer before, whose degree must be below its own (strict), or at most its own.

    Example:
        >>> dense_mask(torch.tensor([0, 1]), torch.tensor([0, 1]), strict=True).tolist()
        [[0.0, 0.0], [1.0, 0.0]]
    """
    return (before[None] < after[:, None] if strict else before[None] <= after[:, None]).float()


def degrees(units: int, size: int) -> Tensor:
    """Degrees 0 to size - 2 spread evenly over hidden units: a unit of degree d sees the latent's
    dimensions 0 to d."""
    return torch.arange(units) * max(1, size - 1) // units


def conv_mask(inside: int, out: int, size: int, strict: bool) -> Float[Tensor, "out inside 3 3"]:
    """The mask of a 3x3 convolution whose channels are split into groups, one for each channel of
    the latent. Positions below and to the right come first in the order, and at one position lower
    groups do.

    Arguments:
        inside: Input channels, a multiple of `size`.
        out: Output channels, likewise.
        size: Channels of the latent.
        strict: Whether a channel may not see its own group at its own position.
    """
    mask = torch.zeros(out, inside, 3, 3)
    mask[:, :, 1, 2] = 1
    mask[:, :, 2] = 1
    groups = lambda n: torch.arange(n) * size // n  # noqa: E731
    mask[:, :, 1, 1] = dense_mask(groups(inside), groups(out), strict)
    return mask


class DenseStep(nn.Module):
    """MADE: shift and scale of every dimension of a latent from the dimensions before it and a
    context.

    Arguments:
        size: Dimension of the latent.
        width: Units of each hidden layer.
        layers: Hidden layers, at least one.
        context: Dimension of the context, which every unit of the first hidden layer sees.
    """

    def __init__(self, size: int, width: int, layers: int, context: int) -> None:
        super().__init__()
        before = [torch.arange(size), *(degrees(width, size) for _ in range(layers))]
        self.hidden = nn.ModuleList(
            WeightNorm(nn.Linear(len(a), len(b)), gain=True, mask=dense_mask(a, b, strict=False))
            for a, b in pairwise(before)
        )
        self.context = dense(context, width)
        last = dense_mask(before[-1], torch.arange(size), strict=True)
        self.shift, self.scale = (
            WeightNorm(nn.Linear(width, size), gain=True, start=0.1, mask=last) for _ in range(2)
        )

    def forward(
        self, z: Float[Tensor, "*#n size"], h: Float[Tensor, "*#n context"]
    ) -> tuple[Tensor, Tensor]:
        first, *others = self.hidden
        out = elu(first(z) + self.context(h))
        for layer in others:
            out = elu(layer(out))
        return self.shift(out), self.scale(out)


class ConvStep(nn.Module):
    """Shift and scale of every channel and position of a latent, by masked 3x3 convolutions.

    Arguments:
        size: Channels of the latent.
        width: Channels of the hidden layers and of the context, a multiple of `size`.
        layers: Hidden layers; with none the step is linear in z and has no context.
        scaled: Whether there is a scale beside the shift.
    """

    def __init__(self, size: int, width: int, layers: int, scaled: bool = True) -> None:
        super().__init__()
        before = [size, *[width] * layers]
        self.hidden = nn.ModuleList(masked(a, b, size, strict=False) for a, b in pairwise(before))
        self.shift = masked(before[-1], size, size, strict=True)
        self.scale = masked(before[-1], size, size, strict=True) if scaled else None

    def forward(
        self, z: Float[Tensor, "n size h w"], h: Float[Tensor, "n width h w"]
    ) -> tuple[Tensor, Tensor | None]:
        out = z
        for i, layer in enumerate(self.hidden):
            out = elu(layer(out) + h if i == 0 else layer(out))
        return self.shift(out), None if self.scale is None else self.scale(out)


def masked(inside: int, out: int, size: int, strict: bool) -> WeightNorm:
    """A 3x3 convolution with the mask of its groups."""
    return WeightNorm(
        nn.Conv2d(inside, out, 3, 1, 1), gain=True, mask=conv_mask(inside, out, size, strict)
    )


def gated(z: Tensor, shift: Tensor, scale: Tensor, bias: float) -> tuple[Tensor, Tensor]:
    r"""The paper's step: $z_t$ and $\log \sigma_t$, both of z's shape. `bias` is added to $s_t$, so
    that a new step's gate is nearly open."""
    s = at_least_float32(scale) + bias
    gate = torch.sigmoid(s)
    return gate * z + (1 - gate) * at_least_float32(shift), F.logsigmoid(s)


def affine(z: Tensor, shift: Tensor, scale: Tensor | None) -> tuple[Tensor, Tensor]:
    """The released code's step: the new latent and the logarithm of its scale, both of z's
    shape."""
    moved = z - 0.1 * at_least_float32(shift)
    if scale is None:
        return moved, torch.zeros_like(z)
    s = 0.1 * at_least_float32(scale)
    return moved * torch.exp(-s), -s


def lower(
    below: Float[Tensor, "*#n pairs"], y: Float[Tensor, "*#n size"]
) -> Float[Tensor, "*#n size"]:
    r"""Linear IAF: $z = L y$ with a unit lower triangular L whose entries below the diagonal are
    given row by row.

    Its determinant is 1, so that q(z) = q(y): a Gaussian with any covariance.

    Example:
        >>> lower(torch.tensor([[2.0]]), torch.tensor([[1.0, 3.0]]))
        tensor([[1., 5.]])
    """
    size = y.shape[-1]
    rows, columns = torch.tril_indices(size, size, -1, device=y.device)
    matrix = y.new_zeros(*below.shape[:-1], size, size)
    matrix[..., rows, columns] = below
    return y + (matrix @ y[..., None])[..., 0]
