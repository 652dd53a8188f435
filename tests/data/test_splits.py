"""Splits: exact numbers of labels a class and held-out images in proportion, by the seed alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zeuxis.data import Dataset, Spec, few_labels, hold_out
from zeuxis.errors import DataError, UsageError


def numbered(labels: list[int] | None, n: int = 0, classes: int = 0) -> Dataset:
    """Images that hold their own number, so that rows can be distinguished."""
    n = n if labels is None else len(labels)
    x = torch.tensor([[i // 256, i % 256] for i in range(n)], dtype=torch.uint8).reshape(n, 1, 1, 2)
    y = None if labels is None else torch.tensor(labels)
    return Dataset(Spec("numbered", (1, 1, 2), classes or max(labels or [-1]) + 1), x, y)


def numbers(data: Dataset) -> list[int]:
    return [int(a) * 256 + int(b) for a, b in data.all().reshape(-1, 2)]


def labels(data: Dataset) -> torch.Tensor:
    assert data.labels is not None
    return data.labels


some_labels = st.lists(st.integers(-1, 4), min_size=2, max_size=120)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 9), st.integers(0, 2**31))
def test_few_labels_are_exactly_this_number_a_class(
    classes: int, per_class: int, more: int, seed: int
) -> None:
    given_labels = [c for c in range(classes) for _ in range(per_class + more + c)] + [-1] * 3
    order = torch.randperm(
        len(given_labels), generator=torch.Generator().manual_seed(seed)
    ).tolist()
    data = numbered([given_labels[i] for i in order])
    few = few_labels(data, per_class, seed)
    kept = labels(few) >= 0
    assert torch.bincount(labels(few)[kept], minlength=classes).tolist() == [per_class] * classes
    assert torch.equal(labels(few)[kept], labels(data)[kept]) and (labels(few)[~kept] == -1).all()
    assert numbers(few) == numbers(data) and few.x is data.x
    assert torch.equal(labels(few), labels(few_labels(data, per_class, seed)))


def test_another_seed_leaves_other_labels() -> None:
    data = numbered([i % 3 for i in range(90)])
    chosen = {
        tuple(torch.nonzero(labels(few_labels(data, 5, seed)) >= 0)[:, 0].tolist())
        for seed in range(10)
    }
    assert len(chosen) == 10 and len({i for rows in chosen for i in rows}) > 60


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(5, 20))
def test_few_labels_of_a_part_stay_within_it(seed: int, n: int) -> None:
    data = numbered([i % 4 for i in range(60)])
    train, held = hold_out(data, n, seed)
    few = few_labels(train, 3, seed)
    assert (labels(few) >= 0).sum() == 12 and numbers(few) == numbers(train)
    batch, of_batch = few.batch(torch.arange(len(few)))
    assert of_batch is not None and torch.equal(of_batch, labels(few)) and len(batch) == 60 - n
    assert (labels(held) >= 0).all() and (labels(data) >= 0).all()  # the originals keep theirs
    assert few.y is not None and held.rows is not None and (few.y[held.rows] == -1).all()


@settings(max_examples=150, deadline=None)
@given(some_labels, st.data(), st.integers(0, 2**31))
def test_held_out_parts_are_disjoint_whole_and_in_proportion(
    given_labels: list[int], draw: st.DataObject, seed: int
) -> None:
    data = numbered(given_labels, classes=5)
    n = draw.draw(st.integers(1, len(data) - 1))
    kept, held = hold_out(data, n, seed)
    assert len(held) == n and sorted(numbers(kept) + numbers(held)) == list(range(len(data)))
    assert numbers(kept) == sorted(numbers(kept)) and kept.x is held.x is data.x
    for c in range(-1, 5):
        share = given_labels.count(c) * n / len(data)
        assert abs(int((labels(held) == c).sum()) - share) < 1
        assert labels(held).tolist() == [given_labels[i] for i in numbers(held)]
    assert numbers(hold_out(data, n, seed)[1]) == numbers(held)


def test_one_large_class_does_not_push_the_small_ones_aside() -> None:
    data = numbered([0] * 991 + list(range(1, 10)))
    held = labels(hold_out(data, 500, seed=0)[1])
    assert abs(int((held == 0).sum()) - 495.5) < 1


def test_every_image_is_held_out_as_often() -> None:
    data = numbered([0] * 30 + [1] * 10)
    often = np.bincount(
        [i for seed in range(400) for i in numbers(hold_out(data, 8, seed)[1])], minlength=40
    )
    assert (
        often.sum() == 3200 and often.min() > 40 and often.max() < 125
    )  # 80 expected, standard deviation 8


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 50), st.data(), st.integers(0, 2**31))
def test_holding_out_without_labels_and_twice(n: int, draw: st.DataObject, seed: int) -> None:
    data = numbered(None, n + 2)
    kept, held = hold_out(data, draw.draw(st.integers(1, n)), seed)
    assert sorted(numbers(kept) + numbers(held)) == list(range(n + 2)) and kept.labels is None
    further, again = hold_out(kept, 1, seed)
    assert sorted(numbers(further) + numbers(again)) == numbers(kept)


@pytest.mark.parametrize("n", [0, -1, 6, 7])
def test_as_many_as_there_are_cannot_be_held_out(n: int) -> None:
    with pytest.raises(
        UsageError,
        match=f"n must be at least 1, got {n}|{n} examples cannot be held out of 6: hold out",
    ):
        hold_out(numbered([0, 1] * 3), n, 0)


def test_labels_that_are_not_there() -> None:
    with pytest.raises(UsageError, match="per_class must be at least 1, got 0"):
        few_labels(numbered([0, 1]), 0, 0)
    with pytest.raises(
        DataError, match="Class 1 of 'numbered' has 2 labeled examples and 3 are asked for"
    ):
        few_labels(numbered([0, 0, 0, 1, 1]), 3, 0)
    with pytest.raises(DataError, match="needs labels, and 'numbered' has none"):
        few_labels(numbered(None, 4), 1, 0)
