r"""Scores of samples on the features of a network, as chains of pure functions.

With features $f$ of a real and a generated set, their means $\mu$ and covariances $\Sigma$
(unbiased), and class probabilities $p(y|x)$:

$$ \mathrm{IS} = \exp \mathbb{E}_x\, \mathrm{KL}\big(p(y|x) \,\|\, p(y)\big), \qquad
   \mathrm{FID} = \|\mu_r - \mu_g\|^2 + \mathrm{Tr}\big(\Sigma_r
   + \Sigma_g - 2 (\Sigma_r \Sigma_g)^{1/2}\big), $$

$$ \mathrm{KID} = \tfrac{1}{m(m-1)} \sum_{i \ne j} \big[ k(x_i, x_j) + k(y_i,
   y_j) \big] - \tfrac{2}{m^2} \sum_{i,j} k(x_i, y_j),
   \qquad k(a, b) = (a \cdot b / d + 1)^3 . $$

The names Inception score, FID and KID belong to one network of 2015. With another network the
numbers are of another scale, and what prints them says which network it was. Sources: Salimans et
al. 2016; Heusel et al. 2017; Binkowski et al. 2018; Kynkaanniemi et al. 2019 (precision, recall);
Naeem et al. 2020 (density, coverage).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import UsageError

Features = Float[Tensor, "_ d"]  # sets of different sizes, features of one length


def inception_score(
    logits: Float[Tensor, "n classes"], splits: int = 10, seed: int = 2016
) -> tuple[float, float]:
    """Mean and spread over splits of exp(mean KL to the split's own marginal); the order is
    shuffled first, as it matters.

    Example:
        >>> import torch
        >>> round(inception_score(1000.0 * torch.eye(10).repeat(10, 1), splits=1)[0], 4)
        10.0
    """
    n = len(logits)
    if not 1 <= splits <= n:
        raise UsageError(
            f"{n} samples cannot be split into {splits}: give more samples or ask for "
            "fewer splits, at least 1."
        )
    require_finite(logits, "logits")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    scores = []
    for part in torch.log_softmax(logits.double().cpu()[order], 1).tensor_split(splits):
        marginal = torch.logsumexp(part, 0) - torch.tensor(float(len(part))).double().log()
        scores.append((part.exp() * (part - marginal)).sum(1).mean().exp())
    values = torch.stack(scores)
    return values.mean().item(), values.std(correction=0).item()


@dataclass(frozen=True)
class Statistics:
    """Mean (d,), unbiased covariance (d, d) and number of a set of features, in float64."""

    mean: Tensor
    covariance: Tensor
    n: int


def statistics(features: Features) -> Statistics:
    """Mean and covariance of features."""
    if len(features) < 2:
        raise UsageError(
            f"A covariance needs at least 2 samples, got {len(features)}: give more images."
        )
    require_finite(features, "features")
    x = features.double().cpu()
    mean = x.mean(0)
    centered = x - mean
    return Statistics(mean, centered.T @ centered / (len(x) - 1), len(x))


def merged(a: Statistics, b: Statistics) -> Statistics:
    """Statistics of two sets taken together, so that a set larger than memory is worked off in
    parts (Chan et al. 1979).

    Example:
        >>> import torch
        >>> from functools import reduce
        >>> x = torch.randn(1000, 3)
        >>> torch.allclose(
        ...     reduce(merged, map(statistics, x.split(300))).covariance, statistics(x).covariance
        ... )
        True
    """
    n, shift = a.n + b.n, b.mean - a.mean
    between = torch.outer(shift, shift) * (a.n * b.n / n)
    within = (a.n - 1) * a.covariance + (b.n - 1) * b.covariance
    return Statistics(a.mean + shift * (b.n / n), (within + between) / (n - 1), n)


def frechet_distance(a: Statistics, b: Statistics) -> float:
    r"""The Fréchet distance between two Gaussians: never negative, and 0 for a set and itself.

    The trace of the root is the sum of the singular values of $\Sigma_a^{1/2} \Sigma_b^{1/2}$,
    whose squares are the eigenvalues of $\Sigma_a \Sigma_b$: no matrix root can fail, also where a
    covariance is singular, and no digits are lost to roots of small numbers. What the covariances
    add is 0 where it is below the rounding of its terms.

    Raises:
        UsageError: The sets have features of different lengths.

    Example:
        >>> import torch
        >>> unit = Statistics(torch.zeros(2).double(), torch.eye(2).double(), 10)
        >>> round(
        ...     frechet_distance(
        ...         unit, Statistics(torch.ones(2).double(), 4 * torch.eye(2).double(), 10)
        ...     ),
        ...     6,
        ... )
        4.0
    """
    require_alike(a.mean, b.mean)
    traces = a.covariance.trace() + b.covariance.trace()
    spread = traces - 2 * torch.linalg.svdvals(root(a.covariance) @ root(b.covariance)).sum()
    rounding = 4 * len(a.mean) * torch.finfo(torch.float64).eps * traces
    return ((a.mean - b.mean).square().sum() + (spread if spread > rounding else 0)).item()


def root(covariance: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """The symmetric root of a covariance, whose eigenvalues are 0 where they are no more than
    rounding."""
    values, vectors = torch.linalg.eigh(covariance)
    least = len(values) * torch.finfo(values.dtype).eps * values[-1]
    return vectors * torch.where(values > least, values, 0).sqrt() @ vectors.T


def require_alike(x: Tensor, y: Tensor) -> None:
    """Refuses features of different lengths."""
    if x.shape[-1] != y.shape[-1]:
        raise UsageError(
            f"Features of {x.shape[-1]} and {y.shape[-1]} numbers do not compare: take "
            "both from one network."
        )


def require_finite(x: Tensor, what: str) -> None:
    """Refuses features or logits that are no numbers."""
    if not torch.isfinite(x).all():
        raise UsageError(
            f"The {what} hold values that are not finite: the images or the network's "
            "weights are damaged."
        )


def kernel_distance(
    x: Features, y: Features, subsets: int = 100, size: int = 1000, seed: int = 2016
) -> tuple[float, float]:
    """Unbiased squared kernel distance: mean and spread over random subsets; may be slightly
    negative for like sets.

    Arguments:
        x: Features of one set.
        y: Features of the other.
        subsets: How many subsets; sets of just `size` samples have one only, and no spread.
        size: Samples of each set in a subset, without replacement.
        seed: Fixes the subsets.

    Example:
        >>> import torch
        >>> mean, spread = kernel_distance(
        ...     torch.randn(500, 4), torch.randn(500, 4), subsets=10, size=200
        ... )
        >>> abs(mean) < 0.2
        True
    """
    require_alike(x, y)
    require_finite(x, "features")
    require_finite(y, "features")
    if subsets < 1:
        raise UsageError(f"A kernel distance needs at least 1 subset, got {subsets}.")
    if not 2 <= size <= min(len(x), len(y)):
        raise UsageError(
            f"Subsets of {size} samples cannot be drawn from sets of {len(x)} and "
            f"{len(y)}: ask for 2 up to the smaller one."
        )
    generator, d = torch.Generator().manual_seed(seed), x.shape[1]
    x, y = x.double().cpu(), y.double().cpu()
    distances = []
    for _ in range(subsets if size < max(len(x), len(y)) else 1):
        a = x[torch.randperm(len(x), generator=generator)[:size]]
        b = y[torch.randperm(len(y), generator=generator)[:size]]
        aa, bb, ab = ((p @ q.T / d + 1) ** 3 for p, q in ((a, a), (b, b), (a, b)))
        within = (aa.sum() - aa.trace() + bb.sum() - bb.trace()) / (size * (size - 1))
        distances.append(within - 2 * ab.mean())
    values = torch.stack(distances)
    return values.mean().item(), values.std(correction=0).item()


def squared_distances(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Squared Euclidean distances by one matrix product; rounding below zero is cut off."""
    return (
        (-2 * a @ b.T).add_(b.square().sum(1)).add_(a.square().sum(1, keepdim=True)).clamp_(min=0)
    )


def neighbor_radius(x: Features, k: int, block: int = 512) -> Float[Tensor, "n"]:
    """Distance of each point to its k-th neighbor in its own set, itself not counted; float64.

    Example:
        >>> import torch
        >>> neighbor_radius(torch.tensor([[0.0], [1.0], [3.0], [7.0]]), 2).round(
        ...     decimals=6
        ... ).tolist()
        [3.0, 2.0, 3.0, 6.0]
    """
    return squared_radii(near_zero(x)[0], (k,), block)[0].sqrt()


def near_zero(x: Features, *others: Features) -> list[Tensor]:
    """Sets moved by the mean of the first: distances stay, and lose no digits to a common
    offset."""
    center = x.double().cpu().mean(0)
    return [part.double().cpu() - center for part in (x, *others)]


def squared_radii(
    x: Float[Tensor, "n d"], ks: tuple[int, ...], block: int
) -> list[Float[Tensor, "n"]]:
    """Squared distances of each point to its k-th neighbors, for several k at once."""
    if min(ks) < 1:
        raise UsageError(f"Neighbors are counted from 1, got {min(ks)}.")
    if len(x) <= max(ks):
        raise UsageError(
            f"Distances to {max(ks)} neighbors need more than {max(ks)} samples, got "
            f"{len(x)}: give more images."
        )
    parts = []
    for start in range(0, len(x), block):
        distances = squared_distances(x[start : start + block], x)
        rows = torch.arange(len(distances))
        distances[rows, start + rows] = torch.inf
        parts.append(distances.topk(max(ks), largest=False).values)
    near = torch.cat(parts)
    return [near[:, k - 1] for k in ks]


def neighborhoods(
    real: Features, fake: Features, k: int, k_density: int, block: int = 512
) -> tuple[float, float, float, float]:
    """Precision and recall with the k-th neighbor, density and coverage with another, in one pass
    over all distances.

    Distances are float64 and worked off by blocks of rows: memory grows with the number of points
    and not with its square.
    """
    require_alike(real, fake)
    require_finite(real, "features")
    require_finite(fake, "features")
    real, fake = near_zero(real, fake)
    slack = (
        1e-12 * real.square().sum(1).mean()
    )  # rounding; without it a point might miss the ball of radius 0 that its copies have
    real_radius, wide = (radius + slack for radius in squared_radii(real, (k, k_density), block))
    fake_radius = squared_radii(fake, (k,), block)[0] + slack
    hits, count = 0, 0
    recalled, covered = (torch.zeros(len(real), dtype=torch.bool) for _ in range(2))
    for part, radius in zip(fake.split(block), fake_radius.split(block), strict=True):
        distances = squared_distances(part, real)
        hits += int((distances <= real_radius).any(1).sum())
        recalled |= (distances <= radius[:, None]).any(0)
        within = distances <= wide
        count += int(within.count_nonzero())
        covered |= within.any(0)
    n, m = len(real), len(fake)
    return hits / m, int(recalled.sum()) / n, count / (k_density * m), int(covered.sum()) / n


def precision_recall(
    real: Features, fake: Features, k: int = 3, block: int = 512
) -> tuple[float, float]:
    """Share of fake samples inside the real set's k-neighbor balls, and share of real ones inside
    the fake set's.

    Example:
        >>> import torch
        >>> x = torch.randn(100, 4)
        >>> precision_recall(x, x), precision_recall(x, x + 100)
        ((1.0, 1.0), (0.0, 0.0))
    """
    return neighborhoods(real, fake, k, k, block)[:2]


def density_coverage(
    real: Features, fake: Features, k: int = 5, block: int = 512
) -> tuple[float, float]:
    """Mean number of real balls a fake sample lies in, over k (1 for like sets, may be more), and
    share of real balls that hold one.

    Example:
        >>> import torch
        >>> x = torch.randn(100, 4)
        >>> density_coverage(x, x)[1], density_coverage(x, x + 100)
        (1.0, (0.0, 0.0))
    """
    return neighborhoods(real, fake, k, k, block)[2:]


@dataclass(frozen=True)
class Scores:
    """All scores of one generated set against one real set.

    Arguments:
        score: Inception-style score on the network's classes, mean over 10 splits (1 up to the
            number of classes).
        score_spread: Its standard deviation over the splits.
        frechet: Fréchet distance of the features.
        kernel: Kernel distance of the features, mean over subsets.
        kernel_spread: Its standard deviation over the subsets.
        kernel_size: Samples of each set in a subset: 1,000, or all of the smaller set.
        precision: Share of samples near real images.
        recall: Share of real images near samples.
        density: Precision that outliers do not inflate.
        coverage: Recall that outliers do not inflate.
    """

    score: float
    score_spread: float
    frechet: float
    kernel: float
    kernel_spread: float
    kernel_size: int
    precision: float
    recall: float
    density: float
    coverage: float


def scores(real: Features, fake: Features, logits: Float[Tensor, "m classes"]) -> Scores:
    """Every score at once, from features of real and generated images and the logits of the
    generated ones."""
    size = min(1000, len(real), len(fake))
    return Scores(
        *inception_score(logits, splits=min(10, len(logits))),
        frechet_distance(statistics(real), statistics(fake)),
        *kernel_distance(real, fake, size=size),
        size,
        *neighborhoods(real, fake, k=3, k_density=5),
    )
