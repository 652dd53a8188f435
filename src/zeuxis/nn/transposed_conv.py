"""Transposed convolutions that add their bias afterwards, which is faster on a CPU.

PyTorch adds the bias inside, which costs a CPU more than the convolution: the backward pass takes
four times as long for 16 channels of 28x28, the forward pass ten times as long for an odd side.
Added afterwards to whole rows of pixels, the bias costs next to nothing. Transposed convolutions to
an image use `image_conv`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .image_conv import ConvTransposeToImage, autocast, is_faster


def transposed(layer: nn.ConvTranspose2d, x: Tensor, weight: Tensor) -> Tensor:
    """The output of a layer with another weight.

    Example:
        >>> layer, x = nn.ConvTranspose2d(3, 2, 3, stride=2), torch.randn(1, 3, 4, 4)
        >>> bool(torch.allclose(transposed(layer, x, layer.weight), layer(x), atol=1e-6))
        True
    """
    if x.ndim == 4 and is_faster(layer, x, weight.shape[1]):
        options = layer.stride[0], layer.padding[0], layer.output_padding[0]
        y: Tensor = ConvTransposeToImage.apply(*autocast(x, weight), *options)
    else:
        y = F.conv_transpose2d(
            x,
            weight,
            None,
            layer.stride,
            layer.padding,  # type: ignore[arg-type]
            layer.output_padding,
        )
    if layer.bias is None:
        return y
    bias = layer.bias.to(y.dtype)
    if not y.is_contiguous(memory_format=torch.channels_last):
        return y + bias[:, None, None]
    # A broadcast over the few channels of one pixel would be slow.
    width = y.shape[3]
    rows = y.permute(0, 2, 3, 1).flatten(2) + bias.repeat(width)
    return rows.unflatten(2, (width, -1)).permute(0, 3, 1, 2)


class TransposedConv(nn.ConvTranspose2d):
    """`nn.ConvTranspose2d`, as fast with a bias as without.

    Example:
        >>> TransposedConv(3, 2, 4, 2, 1)(torch.zeros(1, 3, 4, 4)).shape
        torch.Size([1, 2, 8, 8])
    """

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return transposed(self, x, self.weight)
