"""Networks of the VAEs with one layer of latents: dense, convolutional and residual.

An encoder maps scaled images to a vector of features, and the model's heads map it to the
posterior. A decoder maps a latent to the parameters of each pixel's likelihood. The residual pair
is the IAF paper's for digits, the dense pair that of the first VAEs.

Sources: Kingma and Welling, "Auto-Encoding Variational Bayes", 2013, appendix C; Kingma et al.,
"Improving Variational Inference with Inverse Autoregressive Flow", 2016, section 6.1 and appendix
B. Departure: the outputs of a residual block's second convolution start with a standard deviation
of 0.1, so that a block starts near its skip connection; the paper does not say.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..nn.elu import elu
from ..nn.weight_norm import WeightNorm


def dense(inside: int, out: int, start: float = 1.0) -> WeightNorm:
    """A dense layer with weight normalization and a trained gain."""
    return WeightNorm(nn.Linear(inside, out), gain=True, start=start)


def conv(inside: int, out: int, stride: int = 1, start: float = 1.0, kernel: int = 3) -> WeightNorm:
    """A convolution that keeps or halves the side."""
    return WeightNorm(nn.Conv2d(inside, out, kernel, stride, kernel // 2), gain=True, start=start)


def up(inside: int, out: int, side: int, start: float = 1.0) -> WeightNorm:
    """A transposed convolution to this side, even or odd."""
    return WeightNorm(
        nn.ConvTranspose2d(inside, out, 3, 2, 1, 1 - side % 2), gain=True, start=start
    )


class Residual(nn.Module):
    """A residual block of two 3x3 convolutions: x + conv(ELU(conv(ELU(x)))).

    Arguments:
        inside: Input channels.
        out: Output channels.
        change: -1 halves the side, 1 doubles it, 0 keeps it; where side or channels change, a
            convolution replaces the identity.
        side: Side of the result, where it is doubled.
    """

    def __init__(self, inside: int, out: int, change: int = 0, side: int = 0) -> None:
        super().__init__()
        moved = change or inside != out

        def first(start: float = 1.0) -> WeightNorm:
            return (
                up(inside, out, side, start)
                if change > 0
                else conv(inside, out, 2 if change else 1, start)
            )

        self.first, self.second = first(), conv(out, out, start=0.1)
        self.skip: nn.Module = first() if moved else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = elu(x)
        return self.skip(h if not isinstance(self.skip, nn.Identity) else x) + self.second(
            elu(self.first(h))
        )


class DenseEncoder(nn.Module):
    """Two hidden layers of ELU units."""

    def __init__(self, shape: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [dense(torch.Size(shape).numel(), hidden), dense(hidden, hidden)]
        )
        self.features = hidden

    def forward(self, x: Tensor) -> Tensor:
        h = x.flatten(1)
        for layer in self.layers:
            h = elu(layer(h))
        return h


class DenseDecoder(nn.Module):
    """The mirror image of `DenseEncoder`."""

    def __init__(self, shape: Sequence[int], hidden: int, latent: int) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.layers = nn.ModuleList([dense(latent, hidden), dense(hidden, hidden)])
        self.last = dense(hidden, torch.Size(shape).numel(), start=0.1)

    def forward(self, z: Tensor) -> Tensor:
        h = z
        for layer in self.layers:
            h = elu(layer(h))
        return self.last(h).unflatten(1, self.shape)


class ConvEncoder(nn.Module):
    """Convolutions of stride 2, or residual blocks, then a dense layer.

    Arguments:
        shape: Shape of an image.
        channels: Channels after each halving.
        hidden: Units of the dense layer.
        residual: Residual blocks, with one more of stride 1 between the halvings, instead of plain
            convolutions.
    """

    def __init__(
        self, shape: Sequence[int], channels: Sequence[int], hidden: int, residual: bool
    ) -> None:
        super().__init__()
        self.residual = residual
        blocks: list[nn.Module] = []
        before, side = shape[0], shape[1]
        for i, after in enumerate(channels):
            blocks.append(Residual(before, after, -1) if residual else conv(before, after, 2))
            if residual and i < len(channels) - 1:
                blocks.append(Residual(after, after))
            before, side = after, -(-side // 2)
        self.blocks = nn.ModuleList(blocks)
        self.last = dense(before * side * side, hidden)
        self.features = hidden

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for block in self.blocks:
            h = block(h) if self.residual else elu(block(h))
        if self.residual:
            h = elu(h)
        return elu(self.last(h.flatten(1)))


class ConvDecoder(nn.Module):
    """The mirror image of `ConvEncoder`."""

    def __init__(
        self,
        shape: Sequence[int],
        channels: Sequence[int],
        hidden: int,
        latent: int,
        residual: bool,
        outputs: int,
    ) -> None:
        super().__init__()
        self.residual = residual
        sides = [shape[1]]
        for _ in channels:
            sides.append(-(-sides[-1] // 2))
        self.start = (channels[-1], sides[-1], sides[-1])
        self.dense = nn.ModuleList(
            [dense(latent, hidden), dense(hidden, torch.Size(self.start).numel())]
        )
        blocks: list[nn.Module] = []
        for i in reversed(range(len(channels))):
            after = channels[max(i - 1, 0)]
            blocks.append(
                Residual(channels[i], after, 1, sides[i])
                if residual
                else up(channels[i], after, sides[i])
            )
            if residual and i:
                blocks.append(Residual(after, after))
        self.blocks = nn.ModuleList(blocks)
        self.last = conv(channels[0], outputs, start=0.1)

    def forward(self, z: Tensor) -> Tensor:
        h = z
        for layer in self.dense:
            h = elu(layer(h))
        h = h.unflatten(1, self.start)
        if self.last.layer.weight.is_contiguous(memory_format=torch.channels_last):
            h = h.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            h = block(h) if self.residual else elu(block(h))
        return self.last(elu(h) if self.residual else h)
