"""Diversity: histograms, stacked digits and birthdays against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from zeuxis.errors import UsageError
from zeuxis.evaluation.diversity import (
    birthday,
    class_histogram,
    close_pairs,
    duplicate_distance,
    expected_modes,
    stacked_modes,
)


def test_histograms_of_one_class_and_of_all() -> None:
    real = torch.arange(1000) % 10
    one = class_histogram(torch.zeros(50, dtype=torch.int64), real, 10)
    assert one.entropy == 0 and math.isclose(one.kl, math.log(10))
    even = class_histogram(real, real, 10)
    assert math.isclose(even.entropy, even.most) and abs(even.kl) < 1e-12
    assert sum(even.shares) == pytest.approx(1)


def test_a_class_that_real_images_lack_leaves_the_divergence_finite() -> None:
    found = class_histogram(torch.tensor([3, 3]), torch.tensor([0, 1]), 4)
    assert math.isfinite(found.kl) and found.kl > 0


@pytest.mark.parametrize("n", [100, 1000, 5000])
def test_uniform_digits_hit_as_many_modes_as_expected(n: int) -> None:
    digits = torch.randint(10, (n, 3), generator=torch.Generator().manual_seed(0))
    found = stacked_modes(digits)
    spread = 4 * math.sqrt(1000 * math.exp(-n / 1000) + 1)
    assert abs(found.hit - expected_modes(1000, n)) < spread
    assert found.expected == expected_modes(1000, n)


def test_a_collapse_to_one_mode() -> None:
    found = stacked_modes(torch.full((100, 3), 7))
    assert found.hit == 1 and math.isclose(found.kl, math.log(1000))


@pytest.mark.parametrize("support", [50, 400])
def test_the_birthday_test_finds_the_size_of_a_support(support: int) -> None:
    """The median batch is about sqrt(2 ln 2 support), so its square is 1.39 times the support."""
    x = torch.randint(support, (3000, 1), generator=torch.Generator().manual_seed(0)).float()
    found = birthday(x, 0.5)
    assert 0.8 < found.support / (2 * math.log(2) * support) < 1.35
    assert found.at_least <= found.support


def test_samples_without_duplicates_have_a_bound_only() -> None:
    found = birthday(torch.arange(40.0)[:, None], 0.5)
    assert math.isnan(found.support) and found.at_least == 1600
    with pytest.raises(UsageError, match="at least 2 samples"):
        birthday(torch.zeros(1, 2), 0.5)


def test_close_pairs_are_those_of_all_distances_whatever_the_block() -> None:
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(2))
    distances = torch.cdist(x.double(), x.double())
    expected = {(i, j) for i in range(60) for j in range(i + 1, 60) if distances[i, j] <= 0.8}
    for block in (7, 1000):
        assert {tuple(pair) for pair in close_pairs(x, 0.8, block).tolist()} == expected


def test_the_distance_is_the_quantile_of_all_pairs() -> None:
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(3))
    expected = torch.pdist(x.double()).sort().values[round(0.01 * 4950) - 1]
    for block in (13, 1000):
        assert math.isclose(duplicate_distance(x, 0.01, block), expected.item(), rel_tol=1e-9)
