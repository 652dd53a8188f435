r"""How latents follow known factors: pooled, within groups, and after an exchange.

For images whose scene is known, each factor k has a latent of its own, z_k.

- **Pooled** rank correlation of z_k with the factor over all images, and its **leak**: the largest
  correlation of another latent. A latent may follow its factor within every face and still have
  another offset for each, so **within-group** correlations are means over groups in which only the
  factor moves.
- **Fold**: a latent may rise on one side of 0, jump, and rise again on the other, as DC-IGN's
  azimuth does. Then the pooled correlation is small, that of each side large.
- **Read-out**: the share of a factor's variance that a ridge regression explains from all other
  latents, on images that it was not fitted to. It is 0 where z_k alone has the factor.
- **Re-rendering gain**: z_k of another image is put into an image's latents. With the image decoded
  before, $\hat x$, and after, $\hat x'$, and the rendered images x and $x'$,
  $1 - \sum \|\hat x' - x'\|^2 / \sum \|\hat x - x'\|^2$: 1 for the true image, 0 for changing
  nothing. Where a factor changes few pixels, errors of reconstruction hide it; the gain of the
  **change** compares $\hat x' - \hat x$ with $x' - x$.
- **Invariance**: the cosine distance of the remaining latents to those of the first image of a
  group, relative to the distance between groups: 0 where a face keeps its code as it turns.

Sources: Kulkarni et al., "Deep Convolutional Inverse Graphics Network", 2015, section 4, whose
figures show the first, second and last without numbers; the others are the comparison's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..errors import UsageError
from .disentanglement import spearman


def own_latents(table: Float[Tensor, "p q"]) -> Int[Tensor, "q"]:
    """A latent for each factor, all different, with the greatest sum of correlations.

    Arguments:
        table: Absolute correlations of p latents with q factors, best of other images than those
            that are measured.

    Example:
        >>> own_latents(torch.tensor([[0.9, 0.8], [0.7, 0.1], [0.0, 0.2]])).tolist()
        [1, 0]
    """
    if table.shape[0] < table.shape[1]:
        raise UsageError(
            f"{table.shape[0]} latents cannot each belong to one of {table.shape[1]} factors: "
            "choose a model with at least as many."
        )
    rows, columns = linear_sum_assignment(table.cpu().numpy(), maximize=True)
    return torch.from_numpy(rows[columns.argsort()])


def leak(table: Float[Tensor, "p q"], own: Int[Tensor, "q"]) -> Float[Tensor, "q"]:
    """For each factor the largest absolute correlation of a latent that is not its own; 0 if there
    is none.

    Example:
        >>> leak(torch.tensor([[0.9, -0.5], [0.25, 0.8]]), torch.tensor([0, 1])).tolist()
        [0.25, 0.5]
    """
    others = table.abs().clone()
    others[own, torch.arange(table.shape[1])] = 0
    return others.amax(0)


def within_groups(
    latent: Float[Tensor, "groups images"], factor: Float[Tensor, "groups images"]
) -> float:
    """Mean over groups of the absolute rank correlation of one latent with one factor.

    Example:
        >>> factor = torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
        >>> round(within_groups(factor + torch.tensor([[5.0], [-3.0]]), factor), 6)
        1.0
    """
    if latent.shape[1] < 3:
        raise UsageError(
            f"Groups of {latent.shape[1]} images have no rank correlation: give at least 3."
        )
    pairs = zip(latent, factor, strict=True)
    values = [spearman(z[:, None], v[:, None]).abs().item() for z, v in pairs]
    return sum(values) / len(values)


def sides(latent: Float[Tensor, "n"], factor: Float[Tensor, "n"]) -> tuple[float, float, float]:
    """Rank correlations of a latent with a factor below 0, with one above 0, and with its absolute
    value; of a folded latent the first two are large and the pooled one is not.

    Example:
        >>> v = torch.linspace(-1, 1, 20)
        >>> [round(r, 3) for r in sides(torch.where(v < 0, v + 1, v - 1), v)]
        [1.0, 1.0, 0.0]
    """
    parts = (factor < 0, factor > 0)
    left, right = (
        spearman(latent[part][:, None], factor[part][:, None]).item() if part.sum() > 2 else 0.0
        for part in parts
    )
    return left, right, spearman(latent[:, None], factor.abs()[:, None]).item()


def ridge_read_out(
    z: Float[Tensor, "n p"], factors: Float[Tensor, "n q"], penalty: float = 1e-3, seed: int = 0
) -> Float[Tensor, "q"]:
    """Share of each factor's variance that a ridge regression explains in the half of the examples
    that it was not fitted to; negative where it does worse than the mean.

    Arguments:
        z: Latents; none explain nothing.
        factors: What is predicted.
        penalty: Of the squared weights of standardized latents, relative to the examples.
        seed: Chooses the halves.

    Example:
        >>> v = torch.rand(400, 2)
        >>> share = ridge_read_out(v[:, :1] * 3 + 1, v)
        >>> share[0] > 0.99, share[1] < 0.1
        (tensor(True), tensor(True))
    """
    if not z.shape[1]:
        return torch.zeros(factors.shape[1]).double()
    x, y = z.double(), factors.double()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    fit, test = order[: len(x) // 2], order[len(x) // 2 :]
    center, scale = x[fit].mean(0), x[fit].std(0, correction=0).clamp(min=1e-9)
    x = (x - center) / scale
    offset = y[fit].mean(0)
    gram = x[fit].T @ x[fit] / len(fit) + penalty * torch.eye(x.shape[1]).double()
    weights = torch.linalg.solve(gram, x[fit].T @ (y[fit] - offset) / len(fit))
    residual = (y[test] - offset - x[test] @ weights).square().sum(0)
    return 1 - residual / (y[test] - y[test].mean(0)).square().sum(0).clamp(min=1e-12)


def exchange_gain(
    predicted: Float[Tensor, "n *shape"],
    truth: Float[Tensor, "n *shape"],
    before: Float[Tensor, "n *shape"],
) -> float:
    """1 minus the squared error of a prediction, relative to that of changing nothing.

    Example:
        >>> before, truth = torch.zeros(2, 3), torch.ones(2, 3)
        >>> exchange_gain(truth, truth, before), exchange_gain(before, truth, before)
        (1.0, 0.0)
    """
    error = (predicted.double() - truth.double()).square().sum()
    change = (before.double() - truth.double()).square().sum()
    if change == 0:
        raise UsageError("No image changes by the exchange: exchange another factor.")
    return (1 - error / change).item()


def sweep_distance(codes: Float[Tensor, "groups images z"]) -> float:
    """Mean cosine distance of codes to that of the first image of their group, relative to the mean
    distance between the first images of different groups.

    Example:
        >>> codes = torch.eye(3)[:, None].expand(3, 4, 3)
        >>> others = torch.stack([torch.eye(3).roll(k, 0) for k in range(3)])
        >>> sweep_distance(codes), sweep_distance(others)
        (0.0, 1.0)
    """
    if len(codes) < 2 or codes.shape[1] < 2:
        raise UsageError(
            f"{codes.shape[0]} groups of {codes.shape[1]} images have no distances to compare: "
            "give at least 2 groups of 2."
        )
    unit = F.normalize(codes.double(), dim=2)
    first = unit[:, 0]
    inside = 1 - (unit[:, 1:] * first[:, None]).sum(2)
    similar = first @ first.T
    between = 1 - similar[~torch.eye(len(first), dtype=torch.bool)]
    return (inside.mean() / between.mean().clamp(min=1e-12)).item()
