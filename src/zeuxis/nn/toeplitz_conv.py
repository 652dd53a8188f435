r"""Causal convolutions with kernels as large as the image, as products.

A kernel that reaches from every place to the whole image above it has most of its taps outside: of
the 28x55 of a digit's, three in four meet padding. Along a row the convolution is a product with a
Toeplitz matrix for each row of the kernel,

$$ y_{r,o,c} = \sum_{r' \le r} \sum_{i,c'} x_{r',i,c'}\; w_{o,i,\; r' - r,\; c' - c} , $$

and for all rows up to r together one product of the image so far, a matrix with a line for each
image, by the last r + 1 of those matrices. A few rows at a time are worked off together, over an
image as tall as the last of them needs, so that few products, large ones, are left of the sum over
places.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

BANDS = 4  # products; more save multiplications and cost copies


def spans(height: int, width: int, kernel: tuple[int, int]) -> bool:
    """Whether a kernel has more taps than the image has places, so that products are faster.

    Example:
        >>> spans(28, 28, (28, 55)), spans(28, 28, (14, 27))
        (True, False)
    """
    return kernel[0] * kernel[1] > height * width


def convolved(
    x: Float[Tensor, "n inside height width"],
    w: Float[Tensor, "out inside rows columns"],
    b: Float[Tensor, " out"],
    left: int,
) -> Float[Tensor, "n out height width"]:
    """What `CausalConv` gives for the same weight, whose last row is the current one and whose
    column `left` is the own.

    Example:
        >>> x, w, b = torch.randn(2, 1, 6, 6), torch.randn(3, 1, 4, 7), torch.zeros(3)
        >>> torch.allclose(convolved(x, w, b, 3), F.conv2d(F.pad(x, (3, 3, 3, 0)), w, b), atol=1e-5)
        True
    """
    n, inside, height, width = x.shape
    rows = min(w.shape[2], height)
    # One line of matrices for each column c, from c = width - 1 down: the window that begins where
    # a place's own column is `left`.
    w = F.pad(
        w[:, :, -rows:], (width - 1 - left, width + left - w.shape[3])
    )  # columns from -(width - 1) to width - 1, cut or padded
    matrices = w.unfold(3, width, 1).flip(3)  # (out, inside, rows, c, c')
    flat = matrices.permute(2, 1, 4, 0, 3).reshape(rows, inside * width, -1)
    lines = x.transpose(1, 2).reshape(n, height, inside * width)
    bias, done = b.repeat_interleave(width), []
    for band in torch.arange(height).tensor_split(min(BANDS, height)):
        first, last = int(band[0]), int(band[-1])
        reach = min(last + 1, rows)  # rows seen from the band's last row
        above = F.pad(
            lines[:, max(0, first - reach + 1) : last + 1], (0, 0, max(0, reach - 1 - first), 0)
        )
        seen = above.unfold(1, reach, 1).transpose(2, 3).reshape(n * len(band), -1)
        done.append(
            torch.addmm(bias, seen, flat[-reach:].flatten(0, 1)).view(n, len(band), len(b), width)
        )
    return torch.cat(done, 1).transpose(1, 2).contiguous()
