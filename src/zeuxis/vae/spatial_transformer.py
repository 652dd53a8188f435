r"""Spatial transformer for windows without rotation: crops a window, and places one on a canvas.

A window has a scale s and a center c, each in the coordinates of the canvas, which reaches from -1
to 1 along both sides: window point w lies at $c + s w$. The window covers the canvas for s = 1 and
c = 0, and a small s is a small object.

Bilinear interpolation with zeros outside weights source pixel j at position u by
$\max(0, 1 - |u - j|)$. Without rotation rows and columns are independent, so a crop is

$$ A_y X A_x^\top, \qquad A_{ij} = \max(0, 1 - |u_i - j|) , $$

two small products of matrices instead of a gather for each pixel. It equals `affine_grid` and
`grid_sample` with `align_corners=False`: pixel j of n has its center at $(2 j + 1) / n - 1$.
Gradients reach s and c through u.

Source: Jaderberg et al., "Spatial Transformer Networks", 2015, equations 3 and 5; Eslami et al.,
"Attend, Infer, Repeat", 2016, which places objects by the inverse transformation.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..nn.precision import at_least_float32, full_precision


def interpolation(u: Float[Tensor, "n outputs"], inputs: int) -> Float[Tensor, "n outputs inputs"]:
    """Weights of input pixels for outputs at positions u (pixels), 0 beyond the last pixel.

    Example:
        >>> interpolation(torch.tensor([[0.0, 1.25, -0.5]]), 3).tolist()
        [[[1.0, 0.0, 0.0], [0.0, 0.75, 0.25], [0.5, 0.0, 0.0]]]
    """
    pixels = torch.arange(inputs, dtype=u.dtype, device=u.device)
    return (1 - (u[..., None] - pixels).abs()).clamp(min=0)


def centers(n: int, like: Tensor) -> Float[Tensor, " n"]:
    """Centers of n pixels in [-1, 1]."""
    return (2 * torch.arange(n, dtype=like.dtype, device=like.device) + 1) / n - 1


def crop(
    x: Float[Tensor, "n channels height width"],
    scale: Float[Tensor, " n"],
    center: Float[Tensor, "n 2"],
    size: int,
) -> Float[Tensor, "n channels size size"]:
    """The windows of images.

    Arguments:
        x: The images.
        scale: Side of each window as a share of the image's.
        center: Where it is: across, then down, from -1 to 1.
        size: Side of the result (pixels).

    Example:
        >>> x = torch.arange(16.0).view(1, 1, 4, 4)
        >>> crop(x, torch.tensor([0.5]), torch.tensor([[0.5, -0.5]]), 2)[0, 0].tolist()
        [[2.0, 3.0], [6.0, 7.0]]
    """
    return resampled(x, [at(scale, center[:, i], size, x.shape[3 - i]) for i in (0, 1)])


def at(scale: Tensor, center: Tensor, size: int, pixels: int) -> Float[Tensor, "n size pixels"]:
    """Weights of a crop along one side of `pixels` pixels."""
    points = center[:, None] + scale[:, None] * centers(size, scale)
    return interpolation(((points + 1) * pixels - 1) / 2, pixels)


def place(
    window: Float[Tensor, "n channels size size"],
    scale: Float[Tensor, " n"],
    center: Float[Tensor, "n 2"],
    shape: tuple[int, int],
) -> Float[Tensor, "n channels height width"]:
    """Canvases that are 0 but for a window each.

    Arguments:
        window: What the windows show.
        scale: Side of each window as a share of the canvas's; above 0.
        center: Where it is: across, then down, from -1 to 1.
        shape: Height and width of the canvas (pixels).

    Example:
        >>> x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
        >>> place(x, torch.tensor([0.5]), torch.tensor([[0.5, -0.5]]), (4, 4))[0, 0].tolist()
        [[0.0, 0.0, 1.0, 2.0], [0.0, 0.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    size, weights = window.shape[-1], []
    for i, pixels in enumerate(reversed(shape)):
        points = (centers(pixels, scale) - center[:, i, None]) / scale[:, None]
        weights.append(interpolation(((points + 1) * size - 1) / 2, size))
    return resampled(window, weights)


def resampled(x: Tensor, weights: list[Tensor]) -> Tensor:
    """Images whose columns and rows are sums of theirs, by weights across and down."""
    x = at_least_float32(x)
    across, down = (w.to(x.dtype)[:, None] for w in weights)
    with full_precision(x):
        return down @ x @ across.transpose(2, 3)
