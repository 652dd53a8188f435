r"""Strided convolutions of images, which have few channels: the direction that makes an image,
several times as fast on a CPU.

To a picture of one or three channels, a transposed convolution of stride s takes a CPU's kernels as
long as to sixteen or more. It is a plain convolution to $s^2$ times as many channels, whose kernel
is a part of the other,

$$ y[s q + r] = \sum_j x[q - j] \, w[s j + r] , \qquad r = 0, \dots, s - 1 , $$

in each direction of the picture, and the s x s results for each q are laid side by side (Shi et
al., "Is the deconvolution layer the same as a convolutional layer?", 2016). The same sum is the
gradient of a convolution by its image, which a generator needs from its discriminator.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FEW = 8  # channels up to which this is faster than the transposed convolution


def spread(x: Tensor, w: Tensor, stride: int, padding: int, side: tuple[int, int]) -> Tensor:
    """The transposed convolution of x (N, a, h, w) by w (a, b, k, k), cut or filled up to `side`.

    Example:
        >>> x, w = torch.randn(2, 5, 4, 4), torch.randn(5, 1, 5, 5)
        >>> y = spread(x, w, 2, 2, (8, 8))
        >>> bool(torch.allclose(y, F.conv_transpose2d(x, w, None, 2, 2, 1), atol=1e-5))
        True
    """
    s, (a, b, k, _) = stride, w.shape
    taps = -(-k // s)
    w = F.pad(w, (0, taps * s - k) * 2).view(a, b, taps, s, taps, s).flip(2, 4)
    w = w.permute(3, 5, 1, 0, 2, 4).reshape(s * s * b, a, taps, taps)
    z = F.conv2d(x, w.contiguous(memory_format=torch.channels_last), None, 1, taps - 1).permute(
        0, 2, 3, 1
    )
    n, high, wide, _ = z.shape
    y = z.reshape(n, high, wide, s, s, b).transpose(2, 3).reshape(n, high * s, wide * s, b)
    y = y[:, padding : padding + side[0], padding : padding + side[1]]
    if y.shape[1:3] != side:  # beyond the kernel's reach an output padding can only be 0
        y = F.pad(y, (0, 0, 0, side[1] - y.shape[2], 0, side[0] - y.shape[1]))
    y = y.contiguous().permute(0, 3, 1, 2)
    return y if x.is_contiguous(memory_format=torch.channels_last) else y.contiguous()


class ToImage(torch.autograd.Function):
    """A transposed convolution without bias to few channels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, stride: int, padding: int, more: int) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.about = stride, padding, more
        high, wide = ((side - 1) * stride - 2 * padding + w.shape[2] + more for side in x.shape[2:])
        return spread(x, w, stride, padding, (high, wide))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, w = ctx.saved_tensors
        s, p, more = ctx.about
        wanted = [*ctx.needs_input_grad[:2], False]
        found = torch.ops.aten.convolution_backward(
            gradients[0], x, w, None, [s, s], [p, p], [1, 1], True, [more, more], 1, wanted
        )
        return found[0], found[1], None, None, None


class OfImage(torch.autograd.Function):
    """A convolution of few channels."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.about = stride, padding
        return F.conv2d(x, w, bias, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, w = ctx.saved_tensors
        s, p = ctx.about
        by_x = (
            spread(gradients[0], w, s, p, tuple(x.shape[2:])) if ctx.needs_input_grad[0] else None
        )
        wanted = [False, *ctx.needs_input_grad[1:3]]
        about = [s, s], [p, p], [1, 1], False, [0, 0], 1, wanted
        _, by_w, by_bias = torch.ops.aten.convolution_backward(
            gradients[0], x, w, [w.shape[0]], *about
        )
        return by_x, by_w, by_bias, None, None


def suits(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor, channels: int) -> bool:
    """Whether a layer that joins an image of so many channels to maps is faster this way."""
    plain = (
        layer.groups == 1
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and isinstance(layer.padding, tuple)
    )
    square = all(
        len(set(size)) == 1
        for size in (layer.kernel_size, layer.stride, layer.padding, layer.output_padding)
    )
    return (
        x.device.type == "cpu"
        and channels <= FEW
        and plain
        and square
        and layer.stride[0] > 1
        and not torch.compiler.is_compiling()
    )


def lowered(*tensors: Tensor | None) -> list[Tensor | None]:
    """The tensors in the precision that autocast would choose for a convolution."""
    if not torch.is_autocast_enabled("cpu"):
        return list(tensors)
    return [None if t is None else t.to(torch.get_autocast_dtype("cpu")) for t in tensors]


class ImageConv(nn.Conv2d):
    """`nn.Conv2d`, faster backwards where it reads an image that needs a gradient.

    Example:
        >>> ImageConv(1, 8, 4, 2, 1)(torch.zeros(1, 1, 28, 28)).shape
        torch.Size([1, 8, 14, 14])
    """

    def forward(self, x: Tensor) -> Tensor:
        if not x.requires_grad or x.ndim != 4 or not suits(self, x, self.in_channels):
            return super().forward(x)
        assert isinstance(self.padding, tuple)
        found: Tensor = OfImage.apply(
            *lowered(x, self.weight, self.bias), self.stride[0], self.padding[0]
        )
        return found
