"""Codes: classes that can be read or not, and walks in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from zeuxis.errors import UsageError
from zeuxis.evaluation.code_quality import (
    balanced_order,
    code_accuracy,
    reconstruction_error,
    smoothness,
    vote,
)


def codes(n: int, distance: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 5
    centers = distance * torch.randn(5, 6, generator=torch.Generator().manual_seed(9))
    return centers[y] + torch.randn(n, 6, generator=generator), y


def test_codes_with_classes_are_read_and_codes_without_are_guessed() -> None:
    for distance, least, most in ((8.0, 0.99, 1.0), (0.0, 0.1, 0.3)):
        train, test = codes(500, distance, 0), codes(400, distance, 1)
        for row in code_accuracy(*train, *test, 5, labels=(50, 500)):
            assert least <= row.probe <= most and least <= row.neighbors <= most


def test_more_labels_than_codes_are_all_of_them_once() -> None:
    rows = code_accuracy(*codes(60, 8, 0), *codes(20, 8, 1), 5, labels=(30, 1000, 5000))
    assert [row.labels for row in rows] == [30, 60]


def test_the_order_is_balanced_and_fixed_by_its_seed() -> None:
    y = torch.tensor([0] * 90 + [1] * 10)
    for k in (2, 10, 20):
        assert y[balanced_order(y, 3)[:k]].sum() == k // 2
    assert torch.equal(balanced_order(y, 3), balanced_order(y, 3))
    assert sorted(balanced_order(y, 3).tolist()) == list(range(100))


def test_a_vote_is_the_majority_and_ties_go_to_the_nearest() -> None:
    train = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0]]).double()
    y = torch.tensor([0, 0, 0, 1, 1])
    assert vote(train, y, torch.tensor([[10.0]]).double(), 2).tolist() == [0], "3 of 5"
    assert vote(train[1:], y[1:], torch.tensor([[10.0]]).double(), 2).tolist() == [1]


def test_straight_and_winding_walks() -> None:
    sure = torch.tensor([[0.95, 0.05], [0.5, 0.5], [0.05, 0.95]])[None]
    line = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])[None]
    corner = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])[None]
    jump = torch.tensor([[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]])[None]
    assert smoothness(line, sure).path_ratio == 1 and smoothness(line, sure).sure == 2 / 3
    assert math.isclose(smoothness(corner, sure).path_ratio, math.sqrt(2))
    assert smoothness(jump, sure).largest_step == 2
    assert math.isnan(smoothness(torch.zeros(1, 3, 2), sure).path_ratio)
    with pytest.raises(UsageError, match="at least 3 images"):
        smoothness(line[:, :2], sure[:, :2])


def test_the_error_is_0_for_a_copy_and_1_for_the_opposite() -> None:
    x = torch.zeros(2, 1, 3, 3, dtype=torch.uint8)
    assert reconstruction_error(x, x).tolist() == [0, 0]
    assert reconstruction_error(x, x + 255).tolist() == [1, 1]
