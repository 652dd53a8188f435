r"""Causal convolutions with kernels as large as the image, as matrix products.

A kernel that covers the whole image above every position has most of its taps outside: of the 28x55
taps for a digit, three in four meet padding. Along a row the convolution is a product with a
Toeplitz matrix for each row of the kernel,

$$ y_{r,o,c} = \sum_{r' \le r} \sum_{i,c'} x_{r',i,c'}\; w_{o,i,\; r' - r,\; c' - c} , $$

and for all rows up to r it is one product of the image so far, with one line per image, by the last
r + 1 of these matrices. Bands of rows are computed together, over an image as tall as their last
row needs, which leaves few but large products.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

BANDS = 4  # products; more save multiplications and cost copies


def spans(height: int, width: int, kernel: tuple[int, int]) -> bool:
    """Whether a kernel has more taps than the image has pixels; products are then faster.

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
    """The output of `CausalConv` with the same weight.

    The last row of the weight is the current row, and its column `left` the current column.

    Example:
        >>> x, w, b = torch.randn(2, 1, 6, 6), torch.randn(3, 1, 4, 7), torch.zeros(3)
        >>> torch.allclose(convolved(x, w, b, 3), F.conv2d(F.pad(x, (3, 3, 3, 0)), w, b), atol=1e-5)
        True
    """
    n, inside, height, width = x.shape
    rows = min(w.shape[2], height)
    # Columns from -(width - 1) to width - 1, cropped or padded. The matrices of column c are the
    # window that begins at width - 1 - c.
    w = F.pad(w[:, :, -rows:], (width - 1 - left, width + left - w.shape[3]))
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
