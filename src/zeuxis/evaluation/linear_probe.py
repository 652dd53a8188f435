r"""A linear probe: softmax regression on frozen, standardized features.

$$ \min_{W, b} \; \frac1n \sum_i -\log \mathrm{softmax}(W x_i + b)_{y_i}
   + \frac{\lambda}{2} \|W\|^2 , $$

where the columns of $x$ have mean 0 and deviation 1 over the examples. The ridge $\lambda$ is the
one with the least cross-entropy in a cross-validation of five parts, each a fifth of the examples
with all classes in proportion. Nothing else is chosen.

Adding the same vector to all rows of $W$ changes no probability, so the minimum has rows that add
up to 0. With fewer examples than features the problem is solved in the space of the examples, which
gives the same probabilities: the penalty does not depend on the axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import minimize
from torch import Tensor

from ..errors import UsageError

RIDGES = (1.0, 0.1, 1e-2, 1e-3, 1e-4)  # strong to weak
UNVALIDATED = 0.01
FOLDS = 5


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Arguments:
        mean: Mean of each feature, (features,).
        std: Its standard deviation; that of a feature which hardly varies is raised, so that
            rounding is not taken for a signal.
        weight: Weights of the standardized features, (classes, features).
        bias: Biases, (classes,).
        ridge: The strength that cross-validation chose.
    """

    mean: Tensor
    std: Tensor
    weight: Tensor
    bias: Tensor
    ridge: float

    def logits(self, features: Float[Tensor, "n features"]) -> Float[Tensor, "n classes"]:
        """Logarithms of the class probabilities, up to a constant for each example."""
        return (features - self.mean) / self.std @ self.weight.T + self.bias


def fit_probe(
    features: Float[Tensor, "n features"], y: Int[Tensor, "n"], classes: int, folds: int = FOLDS
) -> Probe:
    """A probe whose ridge cross-validation chooses.

    Arguments:
        features: Features of the examples.
        y: Their classes, each at least once.
        classes: The number of classes.
        folds: Parts of the cross-validation; fewer are taken where a class has fewer examples. A
            class with one example leaves nothing to validate on, and the ridge is 0.01.

    Raises:
        UsageError: A class has no example.

    Example:
        >>> features = torch.tensor([[0.0, 1.0], [0.1, 0.9], [1.0, 0.0], [0.9, 0.1]])
        >>> probe = fit_probe(features, torch.tensor([0, 0, 1, 1]), 2)
        >>> probe.logits(features).argmax(1).tolist()
        [0, 0, 1, 1]
    """
    counts = torch.bincount(y, minlength=classes)
    if not int(counts.min()):
        raise UsageError(
            f"Class {int(counts.argmin())} has no label: give a probe at least one of each class."
        )
    mean, std = features.mean(0), features.std(0)
    std = std.clamp(min=max(1e-3 * float(std.mean()), 1e-12))
    x = ((features - mean) / std).numpy().astype(np.float32)
    axes = None
    if len(x) < x.shape[1]:
        u, s, axes = np.linalg.svd(x, full_matrices=False)
        x = u * s
    target = np.eye(classes, dtype=np.float32)[y.numpy()]
    folds = min(folds, int(counts.min()))
    ridge = choose_ridge(x, target, fold_of(y, folds)) if folds > 1 else UNVALIDATED
    solution = softmax_regression(x, target, ridge, np.ones((len(x), 1), np.float32))[0]
    weight, bias = solution[:-1].T, solution[-1]
    if axes is not None:
        weight = weight @ axes
    return Probe(mean, std, torch.from_numpy(weight).float(), torch.from_numpy(bias).float(), ridge)


def choose_ridge(x: np.ndarray, target: np.ndarray, held: np.ndarray) -> float:
    """The ridge with the least cross-entropy of held-out examples.

    Arguments:
        x: Standardized features, (n, features).
        target: Classes as one-hot vectors, (n, classes).
        held: The part that holds out each example, (n,).
    """
    inside = (held[:, None] != np.arange(held.max() + 1)).astype(np.float32)
    start: np.ndarray | None = None
    losses: list[float] = []
    for ridge in RIDGES:
        if len(losses) > 1 and losses[-1] > losses[-2]:
            break  # weaker ones only overfit more
        start = softmax_regression(x, target, ridge, inside, start)
        losses.append(float(cross_entropy(fold_logits(x, start, held), target).mean()))
    return RIDGES[int(np.argmin(losses))]


def fold_of(y: Int[Tensor, "n"], folds: int) -> np.ndarray:
    """The part of the cross-validation that holds out each example; each class is dealt out in
    turn.

    Example:
        >>> fold_of(torch.tensor([0, 0, 1, 1, 1]), 2).tolist()
        [0, 1, 0, 1, 0]
    """
    found = np.zeros(len(y), int)
    for c in y.unique().tolist():
        rows = np.flatnonzero(y.numpy() == c)
        found[rows] = np.arange(len(rows)) % folds
    return found


def fold_logits(x: np.ndarray, solutions: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Logits of each example by the solution that did not see it."""
    logits = np.empty((len(x), solutions.shape[2]), np.float32)
    for fold in range(len(solutions)):
        rows = held == fold
        logits[rows] = x[rows] @ solutions[fold, :-1] + solutions[fold, -1]
    return logits


def cross_entropy(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """-log p(class) of each example, (n,), in nats."""
    shifted = logits - logits.max(-1, keepdims=True)
    return np.log(np.exp(shifted).sum(-1)) - (shifted * target).sum(-1)


def softmax_regression(
    x: np.ndarray,
    target: np.ndarray,
    ridge: float,
    inside: np.ndarray,
    start: np.ndarray | None = None,
    iterations: int = 100,
) -> np.ndarray:
    """Solutions of several problems that share their examples, by one run of L-BFGS.

    Arguments:
        x: Standardized features, (n, features).
        target: Classes as one-hot vectors, (n, classes).
        ridge: Strength of the penalty; biases have none.
        inside: Which examples (rows) each problem (column) uses, as 0 and 1.
        start: Where the search begins, as a result; by default at 0.
        iterations: The most steps of L-BFGS.

    Returns:
        For each problem the weights and, as the last row, the biases:
        (problems, features + 1, classes).
    """
    problems, (n, size), classes = inside.shape[1], x.shape, target.shape[1]
    shape = (problems, size + 1, classes)
    share = (inside / inside.sum(0)).T[:, :, None]  # (problems, n, 1)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        both = flat.reshape(shape).astype(np.float32)
        weight = both[:, :-1]
        columns = weight.transpose(1, 0, 2).reshape(size, -1)  # one product for all problems
        logits = (x @ columns).reshape(n, problems, classes).transpose(1, 0, 2) + both[:, -1:]
        logits -= logits.max(2, keepdims=True)
        exp = np.exp(logits)
        total = exp.sum(2, keepdims=True)
        value = float((share * (np.log(total) - (logits * target).sum(2, keepdims=True))).sum())
        error = share * (exp / total - target)
        slope = (x.T @ error.transpose(1, 0, 2).reshape(n, -1)).reshape(size, problems, classes)
        gradient = np.empty(shape)
        gradient[:, :-1] = slope.transpose(1, 0, 2) + ridge * weight
        gradient[:, -1] = error.sum(1)
        return value + 0.5 * ridge * float(np.square(weight).sum()), gradient.ravel()

    first = np.zeros(shape) if start is None else start
    found = minimize(
        loss, first.ravel(), jac=True, method="L-BFGS-B",
        options={"maxiter": iterations, "ftol": 1e-6, "gtol": 1e-5},
    )  # fmt: skip
    return found.x.reshape(shape).astype(np.float32)
