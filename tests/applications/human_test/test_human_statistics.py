"""Known sensitivities are recovered with the stated coverage, and bias is not taken for skill."""

from __future__ import annotations

import numpy as np
import pytest

import human
from zeuxis.applications.human_test.protocol import exposures, modal_exposure, next_exposure
from zeuxis.applications.human_test.statistics import (
    Tally,
    criterion,
    error,
    over_people,
    scores,
    sensitivity,
    wilson,
)
from zeuxis.errors import UsageError


@pytest.mark.parametrize("d", [0.8, *(pytest.param(d, marks=pytest.mark.slow) for d in (0.0, 1.6))])
def test_a_known_d_prime_lies_in_its_interval_in_93_of_100_studies(d: float) -> None:
    """Of 1,000 simulated studies of 30 people, who differ in skill and in bias."""
    rng, covered, studies = np.random.default_rng(5), 0, 1_000
    for seed in range(studies):
        counts = human.observers(rng, rng.normal(d, 0.3, 30), rng.normal(0.1, 0.2, 30), 50)
        each = sensitivity(counts)[:, None]
        covered += d in over_people(each, lambda mean: mean[..., 0], 1_000, seed=seed)
    assert 0.93 <= covered / studies <= 0.97


@pytest.mark.slow
def test_the_pooled_error_is_covered_too() -> None:
    rng, covered = np.random.default_rng(6), 0
    truth = 0.2119  # Z(-0.8): error of d' = 1.6 without bias
    for seed in range(1_000):
        counts = human.observers(rng, np.full(30, 1.6), np.zeros(30), 50)
        covered += truth in over_people(counts.astype(float), error, 1_000, seed=seed)
    assert 0.93 <= covered / 1_000 <= 0.97


def test_who_always_says_real_is_half_wrong_with_d_prime_0() -> None:
    counts = np.array([[50, 50, 50, 50]])
    assert error(counts)[0] == 0.5 and sensitivity(counts)[0] == 0.0 and criterion(counts)[0] < -2


def test_bias_moves_the_criterion_and_leaves_d_prime() -> None:
    rng = np.random.default_rng(7)
    unbiased, biased = (
        human.observers(rng, np.array([1.0]), np.array([c]), 5_000) for c in (0.0, 0.5)
    )
    assert sensitivity(biased)[0] == pytest.approx(sensitivity(unbiased)[0], abs=0.1)
    assert criterion(biased)[0] == pytest.approx(0.5, abs=0.05)
    assert error(biased)[0] > error(unbiased)[0] + 0.02


def test_the_bootstrap_is_a_function_of_its_seed() -> None:
    values = np.random.default_rng(8).normal(size=(12, 1))

    def interval(seed: int) -> tuple[float, float]:
        found = over_people(values, lambda mean: mean[..., 0], 500, seed=seed)
        return found.low, found.high

    assert interval(1) == interval(1) != interval(2)


def test_few_people_have_no_interval() -> None:
    few = over_people(np.ones((4, 1)), lambda mean: mean[..., 0])
    assert few.value == 1 and np.isinf([few.low, few.high]).all()


def test_wilson_as_published() -> None:
    """Of 2,000 answers at 52.4 %, the interval in the sheet of the article's figure."""
    interval = wilson(1048, 2000)
    assert (round(interval.low, 3), round(interval.high, 3)) == (0.502, 0.546)


def test_a_tally_needs_both_kinds() -> None:
    whole = scores(Tally(np.array([[40, 50, 10, 50]] * 6)), draws=100)
    assert (
        whole["error"].value == pytest.approx(whole["error on real"].value) and whole["d'"].low > 1
    )
    with pytest.raises(UsageError, match="images of both kinds"):
        Tally(np.array([[0, 0, 3, 5]]))


def test_the_staircase_converges_where_three_of_four_are_right() -> None:
    """An observer whose share of right answers rises from 1/2 with the exposure, with 75 % at 300
    ms: the walk stays near it, within its own spread."""
    rng, modes, shares = np.random.default_rng(9), [], []
    for _ in range(60):
        right: list[bool] = []
        for _ in range(150):
            t = next_exposure(right)
            right.append(bool(rng.random() < 0.5 + 0.5 * (1 - np.exp(-((t / 300) ** 3) * 0.693))))
        times = exposures(right)
        modes.append(modal_exposure(times))
        shares.append(np.mean(right[75:]))
    assert abs(np.mean(modes) - 300) < np.std(modes) < 60
    assert np.mean(shares) == pytest.approx(0.75, abs=0.02)


def test_exposures_stay_in_their_range() -> None:
    assert next_exposure([True] * 100) == 100 and next_exposure([False] * 100) == 1000
