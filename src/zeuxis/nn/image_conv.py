r"""Strided convolutions to and from images, several times as fast on a CPU.

CPU kernels take as long for a transposed convolution to one or three channels as for one to sixteen
or more. With stride s it equals a plain convolution to $s^2$ times as many channels, whose kernels
are parts of the original kernel,

$$ y[s q + r] = \sum_j x[q - j] \, w[s j + r] , \qquad r = 0, \dots, s - 1 , $$

along each axis of the image; the s x s results for each q are then placed side by side. The same
sum is the gradient of a convolution with respect to its image, which a generator needs from its
discriminator.

Source: Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

MAX_CHANNELS = 8  # with more, PyTorch's transposed convolution is faster


def conv_transpose(
    x: Tensor, w: Tensor, stride: int, padding: int, side: tuple[int, int]
) -> Tensor:
    """Transposed convolution of x (N, a, h, w) by w (a, b, k, k), cropped or padded to `side`.

    Example:
        >>> x, w = torch.randn(2, 5, 4, 4), torch.randn(5, 1, 5, 5)
        >>> y = conv_transpose(x, w, 2, 2, (8, 8))
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
    n, height, width, _ = z.shape
    y = z.reshape(n, height, width, s, s, b).transpose(2, 3).reshape(n, height * s, width * s, b)
    y = y[:, padding : padding + side[0], padding : padding + side[1]]
    if y.shape[1:3] != side:  # beyond the kernel's reach an output padding can only be 0
        y = F.pad(y, (0, 0, 0, side[1] - y.shape[2], 0, side[0] - y.shape[1]))
    y = y.contiguous().permute(0, 3, 1, 2)
    return y if x.is_contiguous(memory_format=torch.channels_last) else y.contiguous()


class ConvTransposeToImage(torch.autograd.Function):
    """A transposed convolution to few channels, without bias."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, stride: int, padding: int, output_padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.options = stride, padding, output_padding
        extra = w.shape[2] + output_padding - 2 * padding
        height, width = ((side - 1) * stride + extra for side in x.shape[2:])
        return conv_transpose(x, w, stride, padding, (height, width))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, w = ctx.saved_tensors
        s, p, more = ctx.options
        mask = [*ctx.needs_input_grad[:2], False]
        x_gradient, w_gradient, _ = torch.ops.aten.convolution_backward(
            gradients[0], x, w, None, [s, s], [p, p], [1, 1], True, [more, more], 1, mask
        )
        return x_gradient, w_gradient, None, None, None


class ConvOfImage(torch.autograd.Function):
    """A convolution of few channels."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.options = stride, padding
        return F.conv2d(x, w, bias, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, w = ctx.saved_tensors
        s, p = ctx.options
        x_gradient = None
        if ctx.needs_input_grad[0]:
            x_gradient = conv_transpose(gradients[0], w, s, p, tuple(x.shape[2:]))
        mask = [False, *ctx.needs_input_grad[1:3]]
        _, w_gradient, bias_gradient = torch.ops.aten.convolution_backward(
            gradients[0], x, w, [len(w)], [s, s], [p, p], [1, 1], False, [0, 0], 1, mask
        )
        return x_gradient, w_gradient, bias_gradient, None, None


def is_faster(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor, channels: int) -> bool:
    """Whether this module's functions are faster for a layer than PyTorch's.

    Arguments:
        layer: The convolution, transposed or not.
        x: Its input.
        channels: Channels of the image, which is its input or its output.
    """
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
        and channels <= MAX_CHANNELS
        and plain
        and square
        and layer.stride[0] > 1
        and not torch.compiler.is_compiling()
    )


def autocast(*tensors: Tensor | None) -> list[Tensor | None]:
    """The tensors in the precision that autocast chooses for a convolution."""
    if not torch.is_autocast_enabled("cpu"):
        return list(tensors)
    return [None if t is None else t.to(torch.get_autocast_dtype("cpu")) for t in tensors]


class ImageConv(nn.Conv2d):
    """`nn.Conv2d`, with a faster gradient with respect to an image.

    Example:
        >>> ImageConv(1, 8, 4, 2, 1)(torch.zeros(1, 1, 28, 28)).shape
        torch.Size([1, 8, 14, 14])
    """

    def forward(self, x: Tensor) -> Tensor:
        if not x.requires_grad or x.ndim != 4 or not is_faster(self, x, self.in_channels):
            return super().forward(x)
        assert isinstance(self.padding, tuple)
        tensors = autocast(x, self.weight, self.bias)
        y: Tensor = ConvOfImage.apply(*tensors, self.stride[0], self.padding[0])
        return y
