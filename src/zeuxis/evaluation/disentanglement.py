r"""Disentanglement: how latents are related to known factors, and categories to classes.

A continuous latent is compared by ranks, since its scale is arbitrary. Over all latents z and known
factors v, with mutual information I from 20 equal-width bins (as in Locatello et al. 2019; Chen et
al. integrate densities), the mutual information gap

$$ \mathrm{MIG} = \tfrac{1}{q} \sum_j \frac{I(z_{(1)}; v_j) - I(z_{(2)}; v_j)}{H(v_j)} $$

is how far the most informative latent is ahead of the second. DCI uses the weights R with which all
latents together predict a factor: disentanglement is $1 - H(R_{i \cdot})$ of a latent's weights
over the factors, completeness $1 - H(R_{\cdot j})$ of a factor's weights over the latents, with
entropies relative to the uniform one, and informativeness is the accuracy of the prediction. The
normalized mutual information of a category with classes is $2 I(k; c) / (H(k) + H(c))$.

Sources: Spearman 1904; Chen, Li, Grosse and Duvenaud, "Isolating Sources of Disentanglement in
VAEs", 2018; Eastwood and Williams, "A Framework for the Quantitative Evaluation of Disentangled
Representations", 2018; Chen et al., "InfoGAN", 2016, section 7.2, for slant and width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from scipy.stats import rankdata
from torch import Tensor

from ..errors import UsageError
from .cluster_matching import confusion

BINS = 20


def ranks(x: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
    """Ranks from 1 to n within each column; equal numbers share their mean rank.

    Example:
        >>> ranks(torch.tensor([[3.0], [1.0], [3.0]]))[:, 0].tolist()
        [2.5, 1.0, 2.5]
    """
    return torch.from_numpy(rankdata(x.cpu().numpy(), axis=0))


def spearman(a: Float[Tensor, "n p"], b: Float[Tensor, "n q"]) -> Float[Tensor, "p q"]:
    """Spearman's rank correlations between the columns of two tables; 0 where a column is constant.

    Unlike `scipy.stats.spearmanr`, constant columns give no NaN.

    Example:
        >>> x = torch.linspace(0, 1, 9)[:, None]
        >>> spearman(x, torch.cat([x.exp(), -x], 1)).round(decimals=6).tolist()
        [[1.0, -1.0]]
    """
    r, s = (F.normalize(t - t.mean(0), dim=0) for t in (ranks(a), ranks(b)))
    return (r.T @ s).clamp(-1, 1)


def discretize(x: Float[Tensor, "n p"], bins: int = BINS) -> Int[Tensor, "n p"]:
    """Columns as bin numbers: equal-width bins from the minimum to the maximum, or the values
    themselves where there are no more than bins.

    Example:
        >>> discretize(torch.tensor([[0.0], [0.4], [0.6], [1.0]]), 2)[:, 0].tolist()
        [0, 0, 1, 1]
    """
    columns = []
    for column in x.T:
        values, numbers = column.unique(return_inverse=True)
        if len(values) > bins:
            position = (column - values[0]) / (values[-1] - values[0])
            numbers = (position * bins).long().clamp(max=bins - 1)
        columns.append(numbers)
    return torch.stack(columns, 1)


def mutual_information(a: Int[Tensor, "n"], b: Int[Tensor, "n"]) -> float:
    """Mutual information of two discrete variables (nats), from the frequencies of their pairs.

    That of a variable with itself is its entropy. The estimate is biased upwards by about (values
    of a - 1)(values of b - 1) / 2n.

    Example:
        >>> a, b = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
        >>> round(mutual_information(a, a), 4), mutual_information(a, b)
        (0.6931, 0.0)
    """
    counts = confusion(a, b, int(a.max()) + 1, int(b.max()) + 1)
    joint = counts.double() / len(a)
    entropy = torch.special.entr
    return (entropy(joint.sum(0)).sum() + entropy(joint.sum(1)).sum() - entropy(joint).sum()).item()


def normalized_mutual_information(a: Int[Tensor, "n"], b: Int[Tensor, "n"]) -> float:
    """2 I(a; b) / (H(a) + H(b)), in [0, 1]: 1 where each determines the other; 0 where both are
    constant.

    Example:
        >>> a, b = torch.tensor([0, 0, 1, 2]), torch.tensor([5, 5, 3, 4])
        >>> round(normalized_mutual_information(a, b), 6)
        1.0
    """
    total = mutual_information(a, a) + mutual_information(b, b)
    return 2 * mutual_information(a, b) / total if total > 0 else 0.0


def mutual_information_gap(
    z: Float[Tensor, "n p"], factors: Float[Tensor, "n q"], bins: int = BINS
) -> float:
    """Mean over factors of how far the most informative latent is ahead of the second, relative to
    the entropy of the factor; in [0, 1].

    Example:
        >>> v = torch.rand(2000, 2)
        >>> mixed = v @ torch.tensor([[1.0, 1.0], [1.0, -1.0]])
        >>> mutual_information_gap(v, v) > 0.9, mutual_information_gap(mixed, v) < 0.1
        (True, True)
    """
    require_pairs(z, factors)
    latent_bins, factor_bins = discretize(z, bins), discretize(factors, bins)
    gaps = []
    for factor in factor_bins.T:
        entropy = mutual_information(factor, factor)
        information = sorted(
            (mutual_information(latent, factor) for latent in latent_bins.T), reverse=True
        )
        second = information[1] if len(information) > 1 else 0.0
        gaps.append((information[0] - second) / entropy if entropy > 0 else 0.0)
    return sum(gaps) / len(gaps)


def require_pairs(z: Tensor, factors: Tensor) -> None:
    """Refuses tables without columns or with too few rows."""
    if not z.shape[1] or not factors.shape[1] or len(z) < 4:
        raise UsageError(
            f"Got {z.shape[1]} latents and {factors.shape[1]} factors of {len(z)} examples to "
            "compare: give at least one of each and 4 examples."
        )


@dataclass(frozen=True)
class DCI:
    """Disentanglement, completeness and informativeness, each in [0, 1]; see `dci`."""

    disentanglement: float
    completeness: float
    informativeness: float


def basis(column: Float[Tensor, "n"], bins: int = BINS) -> Float[Tensor, "n k"]:
    r"""A latent as columns of mean 0 in which a linear fit can follow a nonlinear relation.

    A latent of more than `bins` values: the Legendre polynomials of degree 1 to 3 of its rank,
    orthonormal for any distribution of the latent. A latent of fewer values: $(1[z = k] - p_k) /
    \sqrt{p_k}$ for each value k. In both, the sum of a fit's squared weights is the share of
    variance that the latent explains.
    """
    values, numbers = column.unique(return_inverse=True)
    if len(values) <= bins:
        p = torch.bincount(numbers).double() / len(numbers)
        return (F.one_hot(numbers, len(values)).double() - p) / p.sqrt()
    u = (2 * ranks(column[:, None])[:, 0] - 1) / len(column) - 1
    polynomials = torch.stack(
        [3**0.5 * u, 5**0.5 * (3 * u**2 - 1) / 2, 7**0.5 * (5 * u**3 - 3 * u) / 2], 1
    )
    return polynomials - polynomials.mean(0)


def lasso(
    x: Float[Tensor, "n k"], y: Float[Tensor, "n"], penalty: float, sweeps: int = 200
) -> Float[Tensor, "k"]:
    r"""The weights that minimize $\tfrac{1}{2n} \|y - x w\|^2 + \lambda \|w\|_1$, by coordinate
    descent on the Gram matrix.

    Example:
        >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).double()
        >>> lasso(x, x[:, 0], 0.1).tolist()
        [0.9, 0.0]
    """
    gram, target, w = x.T @ x / len(x), x.T @ y / len(x), x.new_zeros(x.shape[1])
    for _ in range(sweeps):
        before = w.clone()
        for i, square in enumerate(gram.diagonal().tolist()):
            if square > 0:
                w[i] = F.softshrink(target[i] - gram[i] @ w + square * w[i], penalty) / square
        if (w - before).abs().max() < 1e-7:
            break
    return w


def dci(z: Float[Tensor, "n p"], factors: Float[Tensor, "n q"], seed: int = 0) -> DCI:
    r"""Disentanglement (does each latent capture one factor?), completeness (is each factor
    captured by one latent?) and informativeness (do all latents together predict the factors?).

    The predictor is the paper's lasso on standardized factors, with each latent expanded in a
    `basis` so that the relation may be nonlinear. The weight $R_{ij}$ of latent i for factor j is
    the norm of the weights of its columns. The penalty is $2 \sqrt{\log(kq) / n}$ for k columns and
    q factors; for pure noise some weight exceeds it about once in kq data sets. Half the examples
    fit, the others measure informativeness, the mean over factors of the explained share of
    variance (at least 0). Disentanglement is averaged over latents weighted by their sums of R,
    completeness over factors without weights. A latent or factor without any weight counts 0.

    Example:
        >>> v = torch.rand(2000, 3)
        >>> result = dci(v[:, [2, 0, 1]].exp(), v)
        >>> min(result.disentanglement, result.completeness, result.informativeness) > 0.95
        True
    """
    require_pairs(z, factors)
    if z.shape[1] < 2 or factors.shape[1] < 2:
        raise UsageError(
            f"DCI needs 2 latents and 2 factors, got {z.shape[1]} and {factors.shape[1]}."
        )
    parts = [basis(column) for column in z.double().T]
    x, y = torch.cat(parts, 1), factors.double()
    y = (y - y.mean(0)) / y.std(0, correction=0).clamp(min=1e-12)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    fit, test = order[: len(x) // 2], order[len(x) // 2 :]
    penalty = 2 * math.sqrt(math.log(x.shape[1] * y.shape[1]) / len(fit))
    weights = torch.stack([lasso(x[fit], column, penalty) for column in y[fit].T], 1)
    importance = torch.stack(
        [part.norm(dim=0) for part in weights.split([part.shape[1] for part in parts])]
    )
    residual = (y[test] - x[test] @ weights).square().sum(0)
    variance = (y[test] - y[test].mean(0)).square().sum(0).clamp(min=1e-12)
    explained = torch.where(y.abs().sum(0) > 0, (1 - residual / variance).clamp(min=0), 0.0)
    share = importance.sum(1) / importance.sum().clamp(min=1e-12)
    return DCI(
        (share * concentration(importance)).sum().item(),
        concentration(importance.T).mean().item(),
        explained.mean().item(),
    )


def concentration(importance: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows"]:
    """For each row 1 minus the entropy of its shares, relative to the uniform one: 1 for a single
    entry, 0 for equal entries or none."""
    total = importance.sum(1, keepdim=True)
    entropy = torch.special.entr(importance / total.clamp(min=1e-12)).sum(1)
    relative = entropy / math.log(importance.shape[1])
    return torch.where(total[:, 0] > 0, (1 - relative).clamp(0, 1), 0.0)


def slant_and_width(x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n 2"]:
    r"""Shear and width of light shapes on a dark background, from second-order image moments.

    Slant is $\mu_{11} / \mu_{02}$: the pixels that a shape moves to the right for each pixel down.
    Width is $\sqrt{(\mu_{20} - \mu_{11}^2 / \mu_{02}) / m_{00}}$: the horizontal standard deviation
    of the shape after its slant is removed (pixels); without the second term every slanted shape
    would count as wide. Both are 0 for a black image.

    Example:
        >>> diagonal = 255 * torch.eye(5, dtype=torch.uint8)[None, None]
        >>> slant_and_width(diagonal)[0].round(decimals=4).tolist()
        [1.0, 0.0]
    """
    light = x.double().mean(1)
    _, height, width = light.shape
    rows = torch.arange(height, device=x.device).double()
    columns = torch.arange(width, device=x.device).double()
    m00 = light.sum((1, 2)).clamp(min=1e-12)
    dy = rows - ((light.sum(2) @ rows) / m00)[:, None]
    dx = columns - ((light.sum(1) @ columns) / m00)[:, None]
    mu11 = torch.einsum("nhw,nh,nw->n", light, dy, dx)
    mu02, mu20 = (light.sum(2) * dy**2).sum(1), (light.sum(1) * dx**2).sum(1)
    slant = mu11 / mu02.clamp(min=1e-12)
    return torch.stack([slant, ((mu20 - slant * mu11).clamp(min=0) / m00).sqrt()], 1)


def mean_abs_spearman(
    a: Float[Tensor, "n p"], b: Float[Tensor, "n q"], groups: Int[Tensor, "n"]
) -> Float[Tensor, "p q"]:
    """Mean over groups of the absolute rank correlation; groups of fewer than 3 are left out.

    Example:
        >>> a = torch.tensor([[1.0], [2.0], [3.0], [3.0], [2.0], [1.0]])
        >>> b = torch.tensor([[1.0], [2.0], [3.0], [11.0], [12.0], [13.0]])
        >>> round(mean_abs_spearman(a, b, torch.tensor([0, 0, 0, 1, 1, 1])).item(), 6)
        1.0
    """
    members = [torch.nonzero(groups == group)[:, 0] for group in groups.unique()]
    tables = [spearman(a[rows], b[rows]).abs() for rows in members if len(rows) > 2]
    if not tables:
        return torch.zeros(a.shape[1], b.shape[1]).double()
    return torch.stack(tables).mean(0)
