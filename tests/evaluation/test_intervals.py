"""Intervals: closed forms, coverage in repeated experiments, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zeuxis.errors import UsageError
from zeuxis.evaluation.intervals import (
    difference_interval,
    mean_interval,
    ratio_interval,
    share_interval,
    spread_ratio_interval,
)


@pytest.mark.parametrize("n", [1, 5, 20])
def test_no_success_leaves_the_share_that_the_closed_form_gives(n: int) -> None:
    none, all_ = share_interval(0, n), share_interval(n, n)
    assert none.low == 0 and math.isclose(none.high, 1 - 0.025 ** (1 / n))
    assert all_.high == 1 and math.isclose(all_.low, 0.025 ** (1 / n))
    assert math.isclose(none.high, 1 - all_.low)


def test_the_exact_interval_covers_at_least_as_often_as_it_says() -> None:
    """Over all outcomes of Binomial(8, p), weighted by their probabilities."""
    for p in np.linspace(0.02, 0.98, 33):
        covered = sum(
            math.comb(8, k) * p**k * (1 - p) ** (8 - k)
            for k in range(9)
            if p in share_interval(k, 8)
        )
        assert covered >= 0.95


def test_students_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = sum(3.0 in mean_interval(rng.normal(3, 2, 5).tolist()) for _ in range(2000))
    assert 0.93 < hits / 2000 < 0.97


def test_one_value_has_no_interval_and_equal_values_have_none_left() -> None:
    assert mean_interval([2.0]).low == -math.inf
    assert difference_interval([2.0], [1.0, 3.0]).high == math.inf
    exact = difference_interval([2.0, 2.0], [1.0, 1.0])
    assert (exact.low, exact.high) == (1.0, 1.0)


def test_a_difference_turns_its_sign_with_its_groups() -> None:
    a, b = [1.0, 2.0, 4.0], [3.0, 5.0, 5.5, 6.0]
    one, other = difference_interval(a, b), difference_interval(b, a)
    assert math.isclose(one.low, -other.high) and math.isclose(one.high, -other.low)


def test_the_bootstrap_agrees_with_the_normal_approximation() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(4, 1, 2000), rng.normal(2, 0.5, 2000)
    found = ratio_interval(a, b, draws=2000)
    error = 2 * math.sqrt((1 / 16 + 0.25 / 4) / 2000)  # delta method
    assert math.isclose(found.value, 2, rel_tol=0.03)
    assert math.isclose(found.high - found.low, 2 * 1.96 * error, rel_tol=0.12)
    assert ratio_interval(a, b).low == ratio_interval(a, b).low, "a seed fixes it"


def test_what_has_no_interval_is_refused() -> None:
    with pytest.raises(UsageError, match="finite values"):
        mean_interval([1.0, math.nan])
    with pytest.raises(UsageError, match="0 <= k <= n"):
        share_interval(3, 2)
    with pytest.raises(UsageError, match="mean other than 0"):
        ratio_interval(np.ones(3), np.zeros(3))


def test_the_ratio_of_spreads_covers_as_often_as_it_says_and_turns_over() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(1000):
        a, b = rng.normal(0, 3, 5).tolist(), rng.normal(0, 1, 6).tolist()
        one, other = spread_ratio_interval(a, b), spread_ratio_interval(b, a)
        assert math.isclose(one.low, 1 / other.high)
        hits += 3.0 in one
    assert 0.93 < hits / 1000 < 0.97
    assert spread_ratio_interval([1.0], [1.0, 2.0]).high == math.inf
