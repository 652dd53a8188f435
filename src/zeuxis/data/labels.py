"""Splits by a seed: a few labels for each class, and images held out for validation."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..arguments import public
from ..errors import DataError, UsageError
from ..ranges import Count, Seed
from .dataset import Dataset


@public
def few_labels(data: Dataset, per_class: Count, seed: Seed) -> Dataset:
    """The same examples with exactly `per_class` labels in each class, and -1 for all others.

    Arguments:
        data: A labeled data set.
        per_class: Labels to keep in each class.
        seed: Seed of the choice.

    Example:
        >>> from zeuxis.data import load_data
        >>> data = few_labels(load_data("mnist", split="test"), per_class=10, seed=0)
        >>> int((data.labels >= 0).sum())
        100
    """
    labels = labels_of(data, "A few labels a class")
    if per_class < 1:
        raise UsageError(f"At least one label a class is needed, got {per_class}.")
    generator = torch.Generator().manual_seed(seed)
    kept = torch.full_like(labels, -1)
    for c in range(data.spec.classes):
        rows = torch.nonzero(labels == c)[:, 0]
        if len(rows) < per_class:
            have = f"Class {c} of '{data.spec.name}' has {len(rows)} labeled examples"
            raise DataError(f"{have} and {per_class} are asked for: ask for fewer labels a class.")
        chosen = rows[torch.randperm(len(rows), generator=generator)[:per_class]]
        kept[chosen] = c
    y = torch.full((len(data.x),), -1, dtype=torch.int64)
    y[torch.arange(len(data.x)) if data.rows is None else data.rows] = kept
    return replace(data, y=y)


@public
def hold_out(data: Dataset, n: Count, seed: Seed) -> tuple[Dataset, Dataset]:
    """Splits a data set into training and held-out examples.

    With labels, each class has the same proportion in both.

    Arguments:
        data: The data set.
        n: Examples to hold out.
        seed: Seed of the choice.

    Returns:
        The training examples and the held-out ones, both in their original order.

    Example:
        >>> from zeuxis.data import load_data
        >>> train, held_out = hold_out(load_data("mnist", split="test"), 500, seed=0)
        >>> len(train), len(held_out)
        (9500, 500)
    """
    if not 1 <= n < len(data):
        raise UsageError(
            f"{n} examples cannot be held out of {len(data)}: hold out at least 1 and "
            "leave at least 1."
        )
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(data), generator=generator)
    if data.labels is not None:
        order = stratified(data.labels[order], order, n)
    held_out, kept = order[:n], order[n:]
    return data.take(kept.sort().values), data.take(held_out.sort().values)


def stratified(labels: Tensor, order: Tensor, n: int) -> Tensor:
    """Reorders positions so that classes have their proportions among the first n.

    Counts are within one of the exact proportion, by the method of largest remainders.
    """
    classes, counts = labels.unique(return_counts=True)
    quota, remainder = counts * n // len(labels), counts * n % len(labels)
    quota[remainder.argsort(descending=True, stable=True)[: n - int(quota.sum())]] += 1
    first = torch.zeros(len(labels), dtype=torch.bool)
    for c, share in zip(classes, quota.tolist(), strict=True):
        first[torch.nonzero(labels == c)[:share, 0]] = True
    return torch.cat([order[first], order[~first]])


def labels_of(data: Dataset, purpose: str) -> Tensor:
    """The labels of a data set.

    Raises:
        DataError: It has none; the sentence begins with the purpose.
    """
    if data.labels is None:
        raise DataError(
            f"{purpose} needs labels, and '{data.spec.name}' has none: give a labeled "
            "set or a CSV with --labels."
        )
    return data.labels
