r"""The error of unsupervised clusters as a classifier.

With $N_{kc}$ examples of class c in cluster k, the error is that of the best map from clusters to
classes,

$$ e = 1 - \tfrac{1}{n} \max_\pi \sum_k N_{k \pi(k)} , $$

with $\pi$ one-to-one (each class has at most one cluster, an assignment problem) or many-to-one
(each cluster stands for its most frequent class, which favors codes of many categories).

Sources: Kuhn, "The Hungarian Method for the Assignment Problem", 1955; Chen et al., "InfoGAN",
2016, section 7.2, for the error on digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..errors import UsageError


def confusion(
    assigned: Int[Tensor, "n"], labels: Int[Tensor, "n"], clusters: int, classes: int
) -> Int[Tensor, "clusters classes"]:
    """Number of examples of each class in each cluster.

    Example:
        >>> confusion(torch.tensor([0, 0, 1]), torch.tensor([1, 1, 0]), 2, 2).tolist()
        [[0, 2], [1, 0]]
    """
    if not len(labels):
        raise UsageError("Clusters were compared with the labels of no example: give at least one.")
    for name, values, size in (("cluster", assigned, clusters), ("label", labels, classes)):
        if int(values.min()) < 0 or int(values.max()) >= size:
            outside = int(values.max()) if int(values.min()) >= 0 else int(values.min())
            raise UsageError(
                f"There is a {name} {outside} among {size}: give numbers from 0 to {size - 1}."
            )
    return torch.bincount(assigned * classes + labels, minlength=clusters * classes).view(
        clusters, classes
    )


def match_clusters(
    counts: Int[Tensor, "clusters classes"], kind: Literal["one-to-one", "majority"]
) -> Int[Tensor, "clusters"]:
    """The class that each cluster stands for.

    Arguments:
        counts: `confusion` of the examples that fix the map, best those of the training set.
        kind: "one-to-one", which allows no more clusters than classes, or "majority", where an
            empty cluster stands for no class, -1.

    Example:
        >>> counts = torch.tensor([[5, 0], [6, 4]])
        >>> match_clusters(counts, "one-to-one").tolist()
        [0, 1]
        >>> match_clusters(counts, "majority").tolist()
        [0, 0]
    """
    if kind == "majority":
        return torch.where(counts.sum(1) > 0, counts.argmax(1), -1)
    clusters, classes = counts.shape
    if clusters > classes:
        raise UsageError(
            f"{clusters} clusters cannot be matched one-to-one with {classes} classes: give no "
            "more clusters than classes."
        )
    return torch.from_numpy(linear_sum_assignment(counts.cpu().numpy(), maximize=True)[1])


def error_rate(
    classes: Int[Tensor, "clusters"], assigned: Int[Tensor, "n"], labels: Int[Tensor, "n"]
) -> float:
    """Share of examples whose cluster stands for another class than theirs.

    Example:
        >>> assigned, labels = torch.tensor([0, 0, 1, 1]), torch.tensor([1, 1, 0, 1])
        >>> error_rate(torch.tensor([1, 0]), assigned, labels)
        0.25
    """
    return (classes[assigned] != labels).double().mean().item()


@dataclass(frozen=True)
class Match:
    """Clusters against labels.

    Arguments:
        one_to_one: Error with at most one cluster per class (a share); None with more clusters than
            classes.
        majority: Error with each cluster standing for its most frequent class (a share).
        confusion: Examples of each class in each cluster.
    """

    one_to_one: float | None
    majority: float
    confusion: tuple[tuple[int, ...], ...]


def match(
    assigned: Int[Tensor, "n"],
    labels: Int[Tensor, "n"],
    clusters: int,
    classes: int,
    fit_counts: Int[Tensor, "clusters classes"] | None = None,
) -> Match:
    """Errors of a clustering under the best maps from clusters to classes.

    Arguments:
        assigned: Cluster of each example.
        labels: Class of each example.
        clusters: Number of clusters.
        classes: Number of classes.
        fit_counts: `confusion` of other examples, on which the maps are fixed. By default they are
            fixed on the same examples, which makes the errors too small.

    Example:
        >>> result = match(torch.tensor([2, 2, 0, 1]), torch.tensor([0, 0, 1, 2]), 3, 3)
        >>> result.one_to_one, result.majority
        (0.0, 0.0)
    """
    counts = confusion(assigned, labels, clusters, classes)
    basis = counts if fit_counts is None else fit_counts
    one_to_one = None
    if clusters <= classes:
        one_to_one = error_rate(match_clusters(basis, "one-to-one"), assigned, labels)
    majority = error_rate(match_clusters(basis, "majority"), assigned, labels)
    return Match(one_to_one, majority, tuple(map(tuple, counts.tolist())))
