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
from functools import cached_property

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from .operators import Images, Mask, Operator, batches

TOGETHER = 256  # images at a time whose neighbors are searched
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

    @cached_property
    def root(self) -> Float[Tensor, "size size"]:
        """R with R R^T = C."""
        values, vectors = torch.linalg.eigh(self.covariance.double())
        return vectors * values.clamp(min=0).sqrt()


@dataclass(frozen=True)
class Observed:
    """What a Gaussian prior says of the pixels that an operator shows.

    Arguments:
        a: The operator as a matrix, without rows of zeros; None for a mask.
        kept: Rows of it that are not zero: a mask's visible pixels.
        mean: Of the observations.
        cross: Their covariance with the image's pixels, A C.
        covariance: Theirs, with that of the noise.
    """

    a: Float[Tensor, "seen size"] | None
    kept: Bool[Tensor, "out"]
    mean: Float[Tensor, "seen"]
    cross: Float[Tensor, "seen size"]
    covariance: Float[Tensor, "seen seen"]

    @staticmethod
    def of(prior: GaussianPrior, operator: Operator, sigma: float) -> Observed:
        mean, c = prior.mean.flatten().double(), prior.covariance.double()
        if isinstance(operator, Mask):
            visible = operator.visible.view(-1, *operator.visible.shape[-2:])
            a, kept = None, visible.expand(prior.mean.shape).flatten()
            mean, cross = mean[kept], c[kept]
            inner = cross[:, kept]
        else:
            a = matrix(operator, tuple(prior.mean.shape))
            kept = torch.ones(len(a), dtype=torch.bool)
            mean, cross = a @ mean, a @ c
            inner = cross @ a.T
        noise = max(sigma**2, ROUNDING) * torch.eye(len(inner), dtype=torch.float64)
        return Observed(a, kept, mean, cross, inner + noise)

    def forward(self, x: Float[Tensor, "*n size"]) -> Float[Tensor, "*n seen"]:
        """A x."""
        return x[..., self.kept] if self.a is None else x @ self.a.T

    def correction(self, difference: Float[Tensor, "n seen"]) -> Float[Tensor, "n size"]:
        """K times a difference of observations."""
        root = torch.linalg.cholesky(self.covariance)
        return torch.cholesky_solve(difference.T, root).T @ self.cross


def matrix(operator: Operator, shape: tuple[int, ...]) -> Float[Tensor, "out size"]:
    """The matrix of an operator for images of this shape."""
    size = shape[0] * shape[1] * shape[2]
    columns = operator.forward(torch.eye(size).view(size, *shape))
    return columns.flatten(1).T.double()


def parts(y: Images, operator: Operator) -> list[tuple[Images, Operator]]:
    """The images with the same operator, together."""
    if isinstance(operator, Mask) and operator.visible.ndim == 4 and len(operator.visible) > 1:
        return [(y[i : i + 1], Mask(one)) for i, one in enumerate(operator.visible)]
    return [(y, operator)]


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
    samples = []
    for one, same in parts(y, operator):
        seen, shape = Observed.of(model, same, sigma), (n, len(one))
        normal = torch.randn(*shape, model.mean.numel(), generator=generator, dtype=torch.float64)
        x = model.mean.flatten().double() + normal @ model.root.T
        noise = torch.randn(*shape, len(seen.mean), generator=generator, dtype=torch.float64)
        noisy = seen.forward(x) + max(sigma**2, ROUNDING) ** 0.5 * noise
        difference = one.flatten(1).double()[:, seen.kept] - noisy
        x = x + seen.correction(difference.flatten(0, 1)).unflatten(0, shape)
        samples.append(x.view(*shape, *model.mean.shape).float())
    return torch.cat(samples, 1)


def posterior_mean(
    model: GaussianPrior, y: Images, operator: Operator, sigma: float
) -> Float[Tensor, "batch channels height width"]:
    """The mean that samples of `conditional_gaussian` have."""
    means = []
    for one, same in parts(y, operator):
        seen = Observed.of(model, same, sigma)
        given = one.flatten(1).double()[:, seen.kept]
        x = model.mean.flatten().double() + seen.correction(given - seen.mean)
        means.append(x.view(-1, *model.mean.shape).float())
    return torch.cat(means)


def posterior_covariance(
    prior: GaussianPrior, operator: Operator, sigma: float
) -> Float[Tensor, "size size"]:
    """Cov[x | y], which does not depend on y."""
    seen = Observed.of(prior, operator, sigma)
    return (prior.covariance.double() - seen.correction(seen.cross.T)).float()


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
    nearest = [
        squared_distances(model, some, part).argsort(1)[:, :n]
        for some, part in batches(y, operator, TOGETHER)
    ]
    return model[torch.cat(nearest).T].float()


def squared_distances(
    x: UInt8[Tensor, "images channels height width"], y: Images, operator: Operator
) -> Float[Tensor, "batch images"]:
    r"""$\lVert A x_i - y_j \rVert^2$ up to a constant for each j, by products of matrices."""
    target = y.flatten(1)
    found = []
    for part in x.split(10_000):
        if isinstance(operator, Mask):
            visible = operator.visible.expand(y.shape).flatten(1).float()
            a = part.flatten(1).float()
            squares, target = visible @ a.square().T, y.flatten(1) * visible
        else:
            a = operator.forward(part.float()).flatten(1)
            squares = a.square().sum(1)
        found.append(squares - 2 * target @ a.T)
    return torch.cat(found, 1)
