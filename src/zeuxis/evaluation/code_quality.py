r"""What latent codes are worth: classes read from them, reconstructions, and smooth walks.

- **Probe**: accuracy of a linear probe (`linear_probe`) and of the five nearest neighbors on codes
  of test images, after 100, 1,000 or all labels.
- **Reconstruction**: mean squared error of `decode(encode(x))`, pixels in [0, 1].
- **Smoothness** of walks between two latents of the prior, on the features f of a network: the
  path length ratio $\sum_i |f_{i+1} - f_i| / |f_n - f_0|$ (1 for a straight way), the largest step
  over the mean one (1 for even steps), and the share of images on the way that a classifier takes
  for one class with p > 0.9.

A model without `encode` has no code; nothing is put in its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ..errors import UsageError
from .linear_probe import fit_probe
from .metrics import squared_distances

NEIGHBORS = 5
SURE = 0.9  # probability from which a classifier is sure of a class


@dataclass(frozen=True)
class CodeAccuracy:
    """Accuracy on test codes after a number of labels.

    Arguments:
        labels: Labeled codes.
        probe: Share of test codes that the linear probe classifies correctly.
        neighbors: The same by a vote of the five nearest labeled codes.
    """

    labels: int
    probe: float
    neighbors: float


def code_accuracy(
    train: Float[Tensor, "n d"],
    y: Int[Tensor, "n"],
    test: Float[Tensor, "m d"],
    y_test: Int[Tensor, "m"],
    classes: int,
    labels: Sequence[int] = (100, 1000),
    seed: int = 0,
) -> list[CodeAccuracy]:
    """Accuracies of classifiers of codes, for growing numbers of labels.

    Arguments:
        train: Codes of training images.
        y: Their classes.
        test: Codes of test images.
        y_test: Their classes.
        classes: The number of classes.
        labels: Numbers of labels; those beyond the training codes become all of them.
        seed: Fixes which codes are labeled, the same number for each class as far as possible.

    Raises:
        UsageError: A class has no labeled code, or there are no test codes.

    Example:
        >>> y = torch.arange(200) % 2
        >>> codes = torch.randn(200, 3) + 9 * y[:, None]
        >>> [row] = code_accuracy(codes[:100], y[:100], codes[100:], y[100:], 2, (20,))
        >>> row.probe, row.neighbors
        (1.0, 1.0)
    """
    if not len(test):
        raise UsageError("The accuracy of codes needs test images, got none.")
    order = balanced_order(y, seed)
    found = []
    for count in sorted({min(count, len(train)) for count in labels}):
        rows = order[:count]
        codes, own = train[rows].double(), y[rows]
        probe = fit_probe(codes.float(), own, classes)
        linear = (probe.logits(test.float()).argmax(1) == y_test).float().mean().item()
        near = (vote(codes, own, test.double(), classes) == y_test).float().mean().item()
        found.append(CodeAccuracy(count, linear, near))
    return found


def balanced_order(y: Int[Tensor, "n"], seed: int) -> Int[Tensor, "n"]:
    """Positions in an order whose first k have the classes as evenly as possible.

    Example:
        >>> y = torch.tensor([0, 0, 0, 1, 1])
        >>> sorted(y[balanced_order(y, 0)[:4]].tolist())
        [0, 0, 1, 1]
    """
    shuffled = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    own, rank = y[shuffled], torch.empty(len(y), dtype=torch.int64)
    for c in own.unique():
        rows = (own == c).nonzero()[:, 0]
        rank[rows] = torch.arange(len(rows))
    return shuffled[rank.argsort(stable=True)]


def vote(
    codes: Float[Tensor, "n d"], y: Int[Tensor, "n"], test: Float[Tensor, "m d"], classes: int
) -> Int[Tensor, "m"]:
    """The class of most of the nearest codes; of classes with as many, that of the nearer ones."""
    k = min(NEIGHBORS, len(codes))
    weight = 1 + 1e-3 * torch.arange(k, 0, -1, dtype=torch.float64)  # only breaks ties
    parts = []
    for part in test.split(1000):
        near = squared_distances(part, codes).topk(k, largest=False).indices
        counts = torch.zeros(len(part), classes, dtype=torch.float64)
        parts.append(counts.scatter_add_(1, y[near], weight.expand(len(part), k)).argmax(1))
    return torch.cat(parts)


def reconstruction_error(
    x: UInt8[Tensor, "n channels height width"], again: UInt8[Tensor, "n channels height width"]
) -> Float[Tensor, "n"]:
    """Mean squared error of each image, pixels in [0, 1].

    Example:
        >>> x = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
        >>> reconstruction_error(x, x + 51).item()
        0.04...
    """
    return ((x.double() - again.double()) / 255).square().flatten(1).mean(1)


@dataclass(frozen=True)
class Smoothness:
    """How even walks are, in the mean over walks.

    Arguments:
        path_ratio: Length of the way over the distance of its ends, in features.
        largest_step: The largest step over the mean step.
        sure: Share of images that a classifier is sure of.
    """

    path_ratio: float
    largest_step: float
    sure: float


def smoothness(
    features: Float[Tensor, "walks steps d"], probabilities: Float[Tensor, "walks steps classes"]
) -> Smoothness:
    """Smoothness of walks from the features and class probabilities of their images.

    Raises:
        UsageError: A walk has fewer than three images.

    Example:
        >>> line = torch.arange(5.0)[None, :, None]
        >>> even = smoothness(line, torch.ones(1, 5, 1))
        >>> even.path_ratio, even.largest_step, even.sure
        (1.0, 1.0, 1.0)
    """
    if features.shape[1] < 3:
        raise UsageError(f"A walk needs at least 3 images, got {features.shape[1]}.")
    f = features.double()
    steps = (f[:, 1:] - f[:, :-1]).norm(dim=2)
    whole = (f[:, -1] - f[:, 0]).norm(dim=1)
    moved = whole > 1e-9 * (1 + f.abs().amax((1, 2)))  # a walk with equal ends has no ratio
    if not moved.any():
        return Smoothness(math.nan, math.nan, sure_share(probabilities))
    ratio = steps.sum(1)[moved] / whole[moved]
    largest = steps.amax(1)[moved] / steps.mean(1)[moved]
    return Smoothness(ratio.mean().item(), largest.mean().item(), sure_share(probabilities))


def sure_share(probabilities: Float[Tensor, "walks steps classes"]) -> float:
    """Share of images of which a classifier is sure."""
    return (probabilities.amax(2) > SURE).double().mean().item()
