r"""Restoration without a model: what every model has to beat.

- Denoising: **non-local means**, a mean of pixels weighted by how alike their neighborhoods are, or
  **total variation**, $\min_x \frac{1}{2}\lVert x - y \rVert^2 + \lambda \lVert \nabla x \rVert_1$.
- Inpainting: the **biharmonic** surface $\Delta^2 x = 0$ through the visible pixels.
- Super-resolution: bicubic interpolation with **back-projection** (Irani and Peleg 1991), the steps
  $x \leftarrow x + U (y - A x)$ with U the bicubic enlargement, until the block means agree.

These give one answer, so all samples are the same. The first three come from scikit-image. Weights
follow the noise level: a bandwidth of $0.8 \sigma$ for non-local means and $\lambda = 0.75 \sigma$
for total variation.

Sources: Buades, Coll and Morel, "A non-local algorithm for image denoising", 2005; Chambolle, "An
algorithm for total variation minimization and applications", 2004; Damelin and Hoang, "On surface
completion and image inpainting by biharmonic functions", 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ...errors import MissingExtra, UsageError
from .operators import Average, Identity, Mask, Operator

STEPS = 30  # of back-projection


def classical(
    model: Any,
    y: Float[Tensor, "batch channels _ _"],
    operator: Operator,
    sigma: float,
    *,
    n: int,
    generator: torch.Generator,
) -> Float[Tensor, "n batch channels height width"]:
    """Non-local means, biharmonic inpainting, or bicubic enlargement with back-projection.

    Example:
        >>> y = torch.tensor([[[[0.0, 100.0], [100.0, 200.0]]]])
        >>> x = classical(None, y, Average(2), 0.0, n=1, generator=torch.Generator())
        >>> Average(2).forward(x[0]).round().tolist()
        [[[[0.0, 100.0], [100.0, 200.0]]]]
    """
    if isinstance(operator, Average):
        x = back_projected(y, operator)
    elif isinstance(operator, Mask):
        x = torch.stack(
            [biharmonic(one, operator.part(slice(i, i + 1))) for i, one in enumerate(y)]
        )
    elif isinstance(operator, Identity):
        x = torch.stack([non_local_means(one, sigma) for one in y])
    else:
        raise UsageError(f"No classical method inverts a {type(operator).__name__}.")
    return x.expand(n, *x.shape)


def total_variation(
    model: Any,
    y: Float[Tensor, "batch channels height width"],
    operator: Operator,
    sigma: float,
    *,
    n: int,
    generator: torch.Generator,
) -> Float[Tensor, "n batch channels height width"]:
    """Denoising by total variation."""
    solve = imported("denoise_tv_chambolle")
    x = torch.stack(
        [
            255 * like(solve(array(one / 255), weight=0.75 * sigma / 255, channel_axis=-1), one)
            for one in y
        ]
    )
    return x.expand(n, *x.shape)


def non_local_means(
    y: Float[Tensor, "channels height width"], sigma: float
) -> Float[Tensor, "channels height width"]:
    """Neighborhoods of 5 x 5 pixels, up to 9 pixels away."""
    solve = imported("denoise_nl_means")
    options = {"patch_size": 5, "patch_distance": 9, "fast_mode": True, "channel_axis": -1}
    return like(solve(array(y), h=0.8 * sigma, sigma=sigma, **options), y)


def biharmonic(
    y: Float[Tensor, "channels height width"], mask: Mask
) -> Float[Tensor, "channels height width"]:
    """The smoothest surface through the visible pixels; without any, medium gray."""
    hidden = ~mask.visible.expand(1, 1, *y.shape[1:])[0, 0]
    if hidden.all() or not hidden.any():
        return torch.where(hidden, torch.full_like(y, 127.5), y)
    solve = imported("inpaint_biharmonic")
    return 255 * like(solve(array(y / 255), hidden.cpu().numpy(), channel_axis=-1), y)


def back_projected(
    y: Float[Tensor, "batch channels _ _"], operator: Average
) -> Float[Tensor, "batch channels height width"]:
    """Bicubic enlargement, corrected until its block means are the pixels of y."""
    size = [side * operator.factor for side in y.shape[2:]]

    def enlarged(small: Tensor) -> Tensor:
        return F.interpolate(small, size, mode="bicubic", antialias=True)

    x = enlarged(y)
    for _ in range(STEPS):
        x = (x + enlarged(y - operator.forward(x))).clamp(0, 255)
    return x


def array(y: Float[Tensor, "channels height width"]) -> np.ndarray:
    """An image as scikit-image takes it, (height, width, channels) in double precision."""
    return y.permute(1, 2, 0).double().cpu().numpy()


def like(x: np.ndarray, y: Tensor) -> Tensor:
    """A result of scikit-image as a tensor like y."""
    whole = np.ascontiguousarray(x).reshape(*y.shape[1:], len(y))  # gray ones lose an axis
    return torch.from_numpy(whole).permute(2, 0, 1).to(y)


def imported(name: str) -> Callable[..., np.ndarray]:
    """A function of scikit-image's restoration.

    Raises:
        MissingExtra: scikit-image is not installed.
    """
    try:
        from skimage import restoration
    except ImportError as error:
        raise MissingExtra("scikit-image", "restore", "A classical method") from error
    return getattr(restoration, name)
