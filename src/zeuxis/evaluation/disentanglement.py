r"""What continuous codes have to do with known factors, and codes with classes.

A continuous code is compared by ranks, since nothing fixes its scale. Over all codes z and known
factors v, with I of 20 equal-width bins (as in Locatello et al. 2019; Chen et al. integrate
densities),

$$ \mathrm{MIG} = \tfrac{1}{q} \sum_j \frac{I(z_{(1)}; v_j) - I(z_{(2)}; v_j)}{H(v_j)} $$

is how far the most telling code is ahead of the second. DCI asks the same of the weights R with
which all codes together predict a factor: disentanglement is $1 - H(R_{i \cdot})$ of a code's
weights over the factors, completeness $1 - H(R_{\cdot j})$ of a factor's over the codes, entropies
relative to the uniform one, and informativeness is how well the prediction succeeds. The normalized
mutual information of a category with classes is $2 I(k; c) / (H(k) + H(c))$.

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
    found = []
    for column in x.T:
        _, place, counts = column.unique(return_inverse=True, return_counts=True)
        found.append((counts.cumsum(0) - (counts - 1) / 2.0).double()[place])
    return torch.stack(found, 1) if found else x.double()


def spearman(a: Float[Tensor, "n p"], b: Float[Tensor, "n q"]) -> Float[Tensor, "p q"]:
    """Correlations of ranks between the columns of two tables, in [-1, 1]; 0 where a column is
    constant.

    Example:
        >>> x = torch.linspace(0, 1, 9)[:, None]
        >>> spearman(x, torch.cat([x.exp(), -x], 1)).round(decimals=6).tolist()
        [[1.0, -1.0]]
    """
    first, second = (F.normalize(r - r.mean(0), dim=0) for r in (ranks(a), ranks(b)))
    return (first.T @ second).clamp(-1, 1)


def discretize(x: Float[Tensor, "n p"], bins: int = BINS) -> Int[Tensor, "n p"]:
    """Columns as bin numbers: equal-width bins from the least value to the greatest, or the values
    themselves if there are no more.

    Example:
        >>> discretize(torch.tensor([[0.0], [0.4], [0.6], [1.0]]), 2)[:, 0].tolist()
        [0, 0, 1, 1]
    """
    found = []
    for column in x.T:
        values, place = column.unique(return_inverse=True)
        if len(values) > bins:
            place = (
                ((column - values[0]) / (values[-1] - values[0]) * bins).long().clamp(max=bins - 1)
            )
        found.append(place)
    return torch.stack(found, 1)


def mutual_information(a: Int[Tensor, "n"], b: Int[Tensor, "n"]) -> float:
    """Mutual information of two discrete variables (nats), from the shares of their pairs; of one
    with itself, its entropy.

    The estimate is too high by about (values of a - 1)(values of b - 1) / 2n.

    Example:
        >>> a, b = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
        >>> round(mutual_information(a, a), 4), mutual_information(a, b)
        (0.6931, 0.0)
    """
    counts = confusion(a, b, int(a.max()) + 1, int(b.max()) + 1)
    joint = counts.double() / len(a)
    return (
        torch.special.entr(joint.sum(0)).sum()
        + torch.special.entr(joint.sum(1)).sum()
        - torch.special.entr(joint).sum()
    ).item()


def normalized_mutual_information(a: Int[Tensor, "n"], b: Int[Tensor, "n"]) -> float:
    """2 I(a; b) / (H(a) + H(b)), in [0, 1]: 1 where each tells the other; 0 where both are
    constant.

    Example:
        >>> round(normalized_mutual_information(torch.tensor([0, 0, 1, 2]), torch.tensor([5, 5, 3, 4])), 6)
        1.0
    """
    total = mutual_information(a, a) + mutual_information(b, b)
    return 2 * mutual_information(a, b) / total if total > 0 else 0.0


def mutual_information_gap(
    codes: Float[Tensor, "n p"], factors: Float[Tensor, "n q"], bins: int = BINS
) -> float:
    """Mean over factors of how far the most telling code is ahead of the second, in entropies of
    the factor; in [0, 1].

    Example:
        >>> v = torch.rand(2000, 2)
        >>> mutual_information_gap(v, v) > 0.9, mutual_information_gap(v @ torch.tensor([[1.0, 1.0], [1.0, -1.0]]), v) < 0.1
        (True, True)
    """
    paired(codes, factors)
    z, v = discretize(codes, bins), discretize(factors, bins)
    found = []
    for factor in v.T:
        entropy = mutual_information(factor, factor)
        told = sorted((mutual_information(code, factor) for code in z.T), reverse=True)
        found.append(
            (told[0] - (told[1] if len(told) > 1 else 0.0)) / entropy if entropy > 0 else 0.0
        )
    return sum(found) / len(found)


def paired(codes: Tensor, factors: Tensor) -> None:
    """Refuses tables without columns or with too few rows."""
    if not codes.shape[1] or not factors.shape[1] or len(codes) < 4:
        sizes = f"{codes.shape[1]} codes and {factors.shape[1]} factors of {len(codes)} examples"
        raise UsageError(
            f"Codes were to be compared with factors, got {sizes}: give at least one of "
            "each and 4 examples."
        )


@dataclass(frozen=True)
class DCI:
    """Disentanglement, completeness and informativeness, each in [0, 1]; see `dci`."""

    disentanglement: float
    completeness: float
    informativeness: float


def expanded(column: Float[Tensor, "n"], bins: int = BINS) -> Float[Tensor, "n k"]:
    r"""A code as columns with mean 0 in which a linear fit can follow a bent relation.

    A code of more than `bins` values: the Legendre polynomials of degree 1 to 3 of its rank,
    orthonormal for any law of the code. A code of fewer values: $(1[z = k] - p_k) / \sqrt{p_k}$ for
    each value k. In both, the sum of a fit's squared weights is the share of variance that the code
    explains.
    """
    values, place = column.unique(return_inverse=True)
    if len(values) <= bins:
        p = torch.bincount(place).double() / len(place)
        return (F.one_hot(place, len(values)).double() - p) / p.sqrt()
    u = (2 * ranks(column[:, None])[:, 0] - 1) / len(column) - 1
    polynomials = torch.stack(
        [3**0.5 * u, 5**0.5 * (3 * u**2 - 1) / 2, 7**0.5 * (5 * u**3 - 3 * u) / 2], 1
    )
    return polynomials - polynomials.mean(0)


def lasso(
    x: Float[Tensor, "n k"], y: Float[Tensor, "n"], penalty: float, sweeps: int = 200
) -> Float[Tensor, "k"]:
    r"""The weights that minimize $\tfrac{1}{2n} \|y - x w\|^2 + \lambda \|w\|_1$, by coordinate
    descent.

    Example:
        >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).double()
        >>> lasso(x, x[:, 0], 0.1).tolist()
        [0.9, 0.0]
    """
    gram, target, w = x.T @ x / len(x), x.T @ y / len(x), x.new_zeros(x.shape[1])
    for _ in range(sweeps):
        old = w.clone()
        for i, square in enumerate(gram.diagonal().tolist()):
            if square > 0:
                w[i] = F.softshrink(target[i] - gram[i] @ w + square * w[i], penalty) / square
        if (w - old).abs().max() < 1e-7:
            break
    return w


def dci(codes: Float[Tensor, "n p"], factors: Float[Tensor, "n q"], seed: int = 0) -> DCI:
    r"""Whether each code tells of one factor, each factor is told by one code, and all codes
    together tell the factors.

    The predictor is the paper's lasso on standardized factors, given each code `expanded` so that
    it need not be straight. The weight $R_{ij}$ of code i for factor j is the norm of the weights
    of its columns, $|w|$ where the relation is straight. The penalty is $2 \sqrt{\log(kq) / n}$ for
    k columns and q factors; of pure noise some weight rises above it about once in kq data sets.
    Half the examples fit, the others measure informativeness, the mean over factors of the
    explained share of variance (at least 0). The mean of disentanglement over codes is weighted by
    their sums of R, that of completeness over factors is not. A code or factor without any weight
    counts 0.

    Example:
        >>> v = torch.rand(2000, 3)
        >>> found = dci(v[:, [2, 0, 1]].exp(), v)
        >>> min(found.disentanglement, found.completeness, found.informativeness) > 0.95
        True
    """
    paired(codes, factors)
    if codes.shape[1] < 2 or factors.shape[1] < 2:
        raise UsageError(
            f"DCI compares codes and factors among themselves, got {codes.shape[1]} and "
            f"{factors.shape[1]}: give 2 of each."
        )
    parts = [expanded(column) for column in codes.double().T]
    x, y = torch.cat(parts, 1), factors.double()
    y = (y - y.mean(0)) / y.std(0, correction=0).clamp(min=1e-12)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    fit, rest = order[: len(x) // 2], order[len(x) // 2 :]
    penalty = 2 * math.sqrt(math.log(x.shape[1] * y.shape[1]) / len(fit))
    weights = torch.stack([lasso(x[fit], column, penalty) for column in y[fit].T], 1)
    importance = torch.stack(
        [part.norm(dim=0) for part in weights.split([part.shape[1] for part in parts])]
    )
    left = (y[rest] - x[rest] @ weights).square().sum(0) / (y[rest] - y[rest].mean(0)).square().sum(
        0
    ).clamp(min=1e-12)
    share = importance.sum(1) / importance.sum().clamp(min=1e-12)
    told = torch.where(y.abs().sum(0) > 0, (1 - left).clamp(min=0), 0.0)
    return DCI(
        (share * sharpness(importance)).sum().item(),
        sharpness(importance.T).mean().item(),
        told.mean().item(),
    )


def sharpness(importance: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows"]:
    """For each row 1 minus the entropy of its shares relative to the uniform one: 1 for a single
    entry, 0 for equal ones or none."""
    total = importance.sum(1, keepdim=True)
    found = 1 - torch.special.entr(importance / total.clamp(min=1e-12)).sum(1) / math.log(
        importance.shape[1]
    )
    return torch.where(total[:, 0] > 0, found.clamp(0, 1), 0.0)


def slant_and_width(x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n 2"]:
    r"""Shear and horizontal extent of light shapes on a dark ground, from the second-order moments
    of their light.

    Slant is $\mu_{11} / \mu_{02}$, the pixels that a shape moves to the right for each one
    downwards. Width is $\sqrt{(\mu_{20} - \mu_{11}^2 / \mu_{02}) / m_{00}}$, the horizontal
    standard deviation of its light once it stands upright (pixels): without the second term every
    slanted shape would count as wide. Both are 0 for a black image.

    Example:
        >>> slant_and_width(255 * torch.eye(5, dtype=torch.uint8)[None, None])[0].round(decimals=4).tolist()
        [1.0, 0.0]
    """
    light = x.double().mean(1)
    _, height, width = light.shape
    rows, columns = (
        torch.arange(height, device=x.device).double(),
        torch.arange(width, device=x.device).double(),
    )
    mass = light.sum((1, 2)).clamp(min=1e-12)
    down = rows - ((light.sum(2) @ rows) / mass)[:, None]
    across = columns - ((light.sum(1) @ columns) / mass)[:, None]
    mu11 = torch.einsum("nhw,nh,nw->n", light, down, across)
    mu02, mu20 = (light.sum(2) * down**2).sum(1), (light.sum(1) * across**2).sum(1)
    slant = mu11 / mu02.clamp(min=1e-12)
    return torch.stack([slant, ((mu20 - slant * mu11).clamp(min=0) / mass).sqrt()], 1)


def within(
    a: Float[Tensor, "n p"], b: Float[Tensor, "n q"], groups: Int[Tensor, "n"]
) -> Float[Tensor, "p q"]:
    """Mean over groups of the absolute rank correlation; groups of fewer than 3 are left out.

    Example:
        >>> a = torch.tensor([[1.0], [2.0], [3.0], [3.0], [2.0], [1.0]])
        >>> b = torch.tensor([[1.0], [2.0], [3.0], [11.0], [12.0], [13.0]])
        >>> round(within(a, b, torch.tensor([0, 0, 0, 1, 1, 1])).item(), 6)
        1.0
    """
    rows = [r for g in groups.unique() if len(r := torch.nonzero(groups == g)[:, 0]) > 2]
    return (
        torch.stack([spearman(a[r], b[r]).abs() for r in rows]).mean(0)
        if rows
        else torch.zeros(a.shape[1], b.shape[1]).double()
    )
