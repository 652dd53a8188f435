r"""Baselines that know the training images: a Gaussian prior, and the nearest training images.

With $x \sim N(\mu, C)$ and $y = A x + \sigma \epsilon$ the posterior is Gaussian,

$$ \mathbb{E}[x | y] = \mu + K (y - A \mu), \qquad \mathrm{Cov}[x | y] = C - K A C, \qquad
   K = C A^T (A C A^T + \sigma^2 I)^{-1} , $$

in closed form for every operator (the Wiener filter; for a mask the conditional mean). It is the
best linear estimate whatever the data are. A sample is $x' + K (y - y')$ with $x' \sim N(\mu, C)$
and $y' = A x' + \sigma \epsilon'$ (Matheron's rule).

The nearest training images are those with the smallest $\lVert A x_i - y \rVert$; their mean is
strong where large parts are missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from .operators import Images, Mask, Operator

ROUNDING = 1 / 12  # variance of what rounding to whole pixels adds


@dataclass(frozen=True)
class GaussianPrior:
    """Mean and covariance of images.

    Arguments:
        mean: (C, H, W), in pixel units.
        covariance: (D, D) with D = C * H * W.
    """

    mean: Float[Tensor, "channels height width"]
    covariance: Float[Tensor, "size size"]

    @staticmethod
    def fit(x: UInt8[Tensor, "n channels height width"]) -> GaussianPrior:
        """Those of training images.

        Example:
            >>> x = torch.tensor([[0, 0], [2, 2]], dtype=torch.uint8).view(2, 1, 1, 2)
            >>> GaussianPrior.fit(x).covariance.tolist()
            [[1.0, 1.0], [1.0, 1.0]]
        """
        flat = x.flatten(1).double()
        mean = flat.mean(0)
        covariance = (flat - mean).T @ (flat - mean) / len(flat)
        return GaussianPrior(mean.view(x.shape[1:]).float(), covariance.float())


def matrix(operator: Operator, shape: tuple[int, ...]) -> Float[Tensor, "out size"]:
    """The matrix of an operator for images of this shape."""
    size = shape[0] * shape[1] * shape[2]
    columns = operator.forward(torch.eye(size).view(size, *shape))
    return columns.flatten(1).T.double()


def conditional_gaussian(
    model: GaussianPrior,
    y: Images,
    operator: Operator,
    sigma: float,
    *,
    n: int,
    generator: torch.Generator,
) -> Float[Tensor, "n batch channels height width"]:
    """Samples of the posterior of a Gaussian prior.

    Example:
        >>> prior = GaussianPrior(torch.zeros(1, 1, 2), torch.tensor([[99.0, 49.5], [49.5, 99.0]]))
        >>> mask = Mask(torch.tensor([[True, False]]))
        >>> seed = torch.Generator().manual_seed(0)
        >>> y = torch.tensor([[[[8.0, 0.0]]]])
        >>> x = conditional_gaussian(prior, y, mask, 0.0, n=4000, generator=seed)
        >>> [round(value) for value in x.mean(0).flatten().tolist()]
        [8, 4]
    """
    if isinstance(operator, Mask) and operator.visible.ndim == 4:
        rows = range(len(y))
        parts = [(y[i : i + 1], Mask(operator.visible[i])) for i in rows]
        return torch.cat(
            [
                conditional_gaussian(model, one, mask, sigma, n=n, generator=generator)
                for one, mask in parts
            ],
            1,
        )
    mean, c = model.mean.flatten().double(), model.covariance.double()
    a = matrix(operator, tuple(model.mean.shape))
    kept = a.abs().sum(1) > 0  # a mask's hidden pixels say nothing
    a, given = a[kept], y.flatten(1).double()[:, kept]
    noise = max(sigma**2, ROUNDING)
    inner = a @ c @ a.T + noise * torch.eye(len(a), dtype=torch.float64)
    values, vectors = torch.linalg.eigh(c)
    root = vectors * values.clamp(min=0).sqrt()
    shape = (n, len(y))
    x = mean + torch.randn(*shape, len(c), generator=generator, dtype=torch.float64) @ root.T
    noisy = x @ a.T + noise**0.5 * torch.randn(
        *shape, len(a), generator=generator, dtype=torch.float64
    )
    step = torch.cholesky_solve((given - noisy).flatten(0, 1).T, torch.linalg.cholesky(inner)).T
    x = x + (step @ a @ c).unflatten(0, shape)
    return x.view(*shape, *model.mean.shape).float()


def posterior_mean(
    prior: GaussianPrior, y: Images, operator: Operator, sigma: float
) -> Float[Tensor, "batch channels height width"]:
    """The mean that samples of `conditional_gaussian` have; one operator for all images."""
    a, c = matrix(operator, tuple(prior.mean.shape)), prior.covariance.double()
    kept = a.abs().sum(1) > 0
    a, mean = a[kept], prior.mean.flatten().double()
    noise = max(sigma**2, ROUNDING) * torch.eye(len(a), dtype=torch.float64)
    step = torch.linalg.solve(a @ c @ a.T + noise, (y.flatten(1).double()[:, kept] - a @ mean).T)
    return (mean + step.T @ a @ c).view(-1, *prior.mean.shape).float()


def posterior_covariance(
    prior: GaussianPrior, operator: Operator, sigma: float
) -> Float[Tensor, "size size"]:
    """Cov[x | y], which does not depend on y."""
    a, c = matrix(operator, tuple(prior.mean.shape)), prior.covariance.double()
    a = a[a.abs().sum(1) > 0]
    noise = max(sigma**2, ROUNDING) * torch.eye(len(a), dtype=torch.float64)
    return (c - c @ a.T @ torch.linalg.solve(a @ c @ a.T + noise, a @ c)).float()


def nearest_images(
    model: UInt8[Tensor, "images channels height width"],
    y: Images,
    operator: Operator,
    sigma: float,
    *,
    n: int,
    generator: torch.Generator,
) -> Float[Tensor, "n batch channels height width"]:
    """The n training images nearest to y as the operator shows them; the nearest first.

    Arguments:
        model: The training images.
    """
    nearest = []
    for i in range(len(y)):
        one = operator.part(slice(i, i + 1))
        distances = [
            (one.forward(part.float()) - y[i]).square().flatten(1).sum(1)
            for part in model.split(10_000)
        ]
        nearest.append(model[torch.cat(distances).argsort()[:n]].float())
    return torch.stack(nearest, 1)
