r"""Attention by grids of Gaussian filters: windows that DRAW reads from and writes to.

A window has a center $(g_X, g_Y)$, a stride $\delta$, a variance $\sigma^2$ and an intensity
$\gamma$. A linear layer on the decoder's state gives them for an image of A x B pixels (width,
height) and a grid of N x N filters:

$$ (\tilde g_X, \tilde g_Y, \log \sigma^2, \log \tilde\delta, \log \gamma) = W h, \qquad
   g_X = \tfrac{A + 1}{2} (\tilde g_X + 1), \qquad
   \delta = \tfrac{\max(A, B) - 1}{N - 1} \, \tilde\delta , $$

and $g_Y$ likewise with B. So zeros mean a grid over the whole image. Filter i of N is centered at
$\mu_X^i = g_X + (i - \frac{N + 1}{2})\, \delta$, and weighs pixel a, counted from 1, by

$$ F_X[i, a] = \frac1{Z_i} \exp\Big( -\frac{(a - \mu_X^i)^2}{2 \sigma^2} \Big), \qquad
   \sum_a F_X[i, a] = 1 . $$

This is a softmax over the pixels, and computed as one: a filter far outside the image has its
weight at the nearest edge and never divides 0 by 0. **Reading** an image x gives
$\gamma\, F_Y\, x\, F_X^\top$, **writing** a patch w gives $\gamma^{-1} F_Y^\top w\, F_X$.

Images have their channels between rows and columns, (n, height, channels, width). Then both take
two batched matrix products over all channels, without a copy. All is computed in float32 or more:
in bfloat16 a center of 20 pixels would be a tenth of a pixel off.

Source: Gregor et al., "DRAW: A Recurrent Neural Network For Image Generation", 2015, section 3.2.
Addition: the three logarithms are kept between -10 and 10.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..capabilities import Window
from ..errors import UsageError

NUMBERS = 5  # that make a window
LARGEST = 10.0  # of the logarithms of variance, stride and intensity

Rows = Float[Tensor, "n height channels width"]
Patch = Float[Tensor, "n grid channels grid"]


class Filters(NamedTuple):
    """A window on each image of a batch.

    Arguments:
        y: F_Y, (n, grid, height).
        x: F_X, (n, grid, width).
        gamma: Intensity, (n, 1, 1, 1).
        center: g_X and g_Y, in pixels counted from 1, (2, n).
        stride: Distance of neighboring filters in pixels, (n,).
        std: Standard deviation of the filters in pixels, (n,).
    """

    y: Tensor
    x: Tensor
    gamma: Tensor
    center: Tensor
    stride: Tensor
    std: Tensor


def check_grid(grid: int, flag: str) -> None:
    """Refuses a grid of one filter, whose stride is not defined."""
    if grid == 1:
        raise UsageError(
            f"{flag} is 1, and the stride of a grid of one filter is not defined: give 2 or more, "
            "or 0 for no attention."
        )


def filter_bank(
    center: Float[Tensor, "*batch"],
    stride: Float[Tensor, "*batch"],
    std: Float[Tensor, "*batch"],
    grid: int,
    size: int,
) -> Float[Tensor, "*batch grid size"]:
    """The filters of a grid along one axis; each sums to 1.

    Arguments:
        center: Center of the grid, in pixels counted from 1.
        stride: Distance of neighboring filters (pixels).
        std: Standard deviation of a filter (pixels).
        grid: Number of filters.
        size: Pixels along the axis.

    Example:
        >>> middle, one = torch.tensor(2.0), torch.tensor(1.0)
        >>> filter_bank(middle, one, one / 100, grid=3, size=3)
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 1.]])
    """
    i = torch.arange(grid, dtype=center.dtype, device=center.device) - (grid - 1) / 2
    a = torch.arange(1, size + 1, dtype=center.dtype, device=center.device)
    mean = center[..., None] + i * stride[..., None]
    distance = (a - mean[..., None]) / (2**0.5 * std)[..., None, None]
    return (-distance.square()).softmax(-1)


def filters(numbers: Float[Tensor, "n 5"], grid: int, height: int, width: int) -> Filters:
    """The window that a layer's five numbers describe.

    Arguments:
        numbers: Center x and y, log variance, log stride, log intensity, as in the module's
            formula.
        grid: N, at least 2.
        height: Rows of the image.
        width: Columns of the image.

    Example:
        >>> window = filters(torch.zeros(1, 5), grid=3, height=5, width=5)
        >>> window.center.flatten().tolist(), window.stride.item()
        ([3.0, 3.0], 2.0)
    """
    size = numbers.new_tensor([width, height])[:, None]
    center = (size + 1) / 2 * (numbers[:, :2].T + 1)
    log_variance, log_stride, log_gamma = numbers[:, 2:].clamp(-LARGEST, LARGEST).unbind(1)
    stride = (max(height, width) - 1) / (grid - 1) * log_stride.exp()
    std = (log_variance / 2).exp()
    if height == width:
        x, y = filter_bank(center, stride.expand(2, -1), std.expand(2, -1), grid, width)
    else:
        x = filter_bank(center[0], stride, std, grid, width)
        y = filter_bank(center[1], stride, std, grid, height)
    return Filters(y, x, log_gamma.exp()[:, None, None, None], center, stride, std)


def read(images: Rows, window: Filters) -> Patch:
    r"""$\gamma\, F_Y\, x\, F_X^\top$ of each channel.

    Example:
        >>> window = filters(torch.zeros(1, 5), grid=2, height=8, width=8)
        >>> read(torch.ones(1, 8, 3, 8), window).shape
        torch.Size([1, 2, 3, 2])
    """
    n, height, channels, width = images.shape
    columns = torch.bmm(images.reshape(n, height * channels, width), window.x.mT)
    patch = torch.bmm(window.y, columns.view(n, height, -1))
    return window.gamma * patch.unflatten(2, (channels, -1))


def write(patch: Patch, window: Filters) -> Rows:
    r"""$\gamma^{-1} F_Y^\top w\, F_X$ of each channel.

    Example:
        >>> window = filters(torch.zeros(1, 5), grid=2, height=8, width=8)
        >>> write(torch.ones(1, 2, 3, 2), window).shape
        torch.Size([1, 8, 3, 8])
    """
    n, grid, channels, _ = patch.shape
    scaled = patch / window.gamma
    rows = torch.bmm(scaled.reshape(n, grid * channels, grid), window.x)
    image = torch.bmm(window.y.mT, rows.view(n, grid, -1))
    return image.unflatten(2, (channels, -1))


def outline(windows: list[Filters]) -> Window:
    """The windows of successive steps as rectangles through the centers of their outer filters."""
    center = torch.stack([w.center.T for w in windows], 1) - 0.5  # edges of pixels count from 0
    half = torch.stack([(w.x.shape[1] - 1) / 2 * w.stride for w in windows], 1)[..., None]
    return Window(
        torch.cat([center - half, center + half], 2), torch.stack([w.std for w in windows], 1)
    )
