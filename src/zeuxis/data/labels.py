"""Splits: a few labels a class, and images held out for validation. Both are functions of a
seed."""

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
    """The same examples with exactly `per_class` labels left in each class and -1 for all others.

    Arguments:
        data: A labeled data set.
        per_class: Labels a class.
        seed: Fixes which ones.

    Example:
        >>> from zeuxis.data import load_data
        >>> few = few_labels(load_data("mnist", split="test"), per_class=10, seed=0)
        >>> int((few.labels >= 0).sum())
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
    everywhere = torch.full((len(data.x),), -1, dtype=torch.int64)
    everywhere[torch.arange(len(data.x)) if data.rows is None else data.rows] = kept
    return replace(data, y=everywhere)


@public
def hold_out(data: Dataset, n: Count, seed: Seed) -> tuple[Dataset, Dataset]:
    """Splits into (training, held out) with n examples held out, each class in its proportion where
    labels exist.

    Example:
        >>> from zeuxis.data import load_data
        >>> train, held = hold_out(load_data("mnist", split="test"), 500, seed=0)
        >>> len(train), len(held)
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
    held, kept = order[:n], order[n:]
    return data.take(kept.sort().values), data.take(held.sort().values)


def stratified(labels: Tensor, order: Tensor, n: int) -> Tensor:
    """Positions reordered so that the first n have each class within one of its proportion, by
    largest remainders."""
    classes, counts = labels.unique(return_counts=True)
    quota, remainder = counts * n // len(labels), counts * n % len(labels)
    quota[remainder.argsort(descending=True, stable=True)[: n - int(quota.sum())]] += 1
    first = torch.zeros(len(labels), dtype=torch.bool)
    for c, share in zip(classes, quota.tolist(), strict=True):
        first[torch.nonzero(labels == c)[:share, 0]] = True
    return torch.cat([order[first], order[~first]])


def labels_of(data: Dataset, purpose: str) -> Tensor:
    """The labels, or a sentence that they are needed."""
    if data.labels is None:
        raise DataError(
            f"{purpose} needs labels, and '{data.spec.name}' has none: give a labeled "
            "set or a CSV with --labels."
        )
    return data.labels
