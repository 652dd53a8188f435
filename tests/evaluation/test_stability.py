"""Stability: closed forms, and failures that must be counted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zeuxis.errors import UsageError
from zeuxis.evaluation.stability import (
    rises,
    robust_share,
    seed_spread,
    time_course,
)


def test_the_spread_does_not_depend_on_the_unit() -> None:
    scores = [2.0, 3.0, 4.0]
    one, other = seed_spread(scores), seed_spread([10 * score for score in scores])
    assert math.isclose(one.variation, 1 / 3) and math.isclose(other.variation, 1 / 3)
    assert (one.least, one.most, other.deviation) == (2.0, 4.0, 10.0)


@pytest.mark.parametrize(
    ("scores", "coverage", "failed"),
    [
        ([3.0, 3.0, 3.0], None, 0),
        ([3.0, 3.0, 9.1], None, 1),  # beyond three times the median
        ([3.0, math.nan, math.inf], None, 2),
        ([3.0, 3.0], [0.9, 0.29], 1),
        ([math.nan, math.nan], None, 2),
    ],
)
def test_failed_runs(scores: list[float], coverage: list[float] | None, failed: int) -> None:
    spread = seed_spread(scores, coverage)
    assert spread.failed.value * len(scores) == failed
    assert spread.failed.low <= failed / len(scores) <= spread.failed.high


def test_a_course_that_only_falls_has_no_drawdown() -> None:
    course = time_course([9.0, 5.0, 3.0])
    assert (course.drawdown, course.jumps, course.best_at) == (0.0, 0, 1.0)


def test_a_course_that_ends_in_numbers_that_are_not_finite_is_a_jump() -> None:
    course = time_course([9.0, 5.0, math.nan])
    assert course.best == 5.0 and course.jumps == 1 and math.isnan(course.drawdown)


def test_settings_are_near_the_best_or_not() -> None:
    assert robust_share([1.0, 2.0, 2.1, math.nan]).value == 0.5
    assert robust_share([math.nan]).value == 0


def test_noise_is_no_rise_and_a_step_is_one() -> None:
    rng = np.random.default_rng(0)
    falling = np.linspace(3, 1, 100) + 0.01 * rng.normal(size=100)
    assert rises(falling.tolist()) == 0
    step = np.concatenate([falling, falling + 1])
    assert rises(step.tolist()) == 1


def test_empty_lists_are_refused() -> None:
    for act in (lambda: seed_spread([]), lambda: time_course([]), lambda: time_course([-1.0])):
        with pytest.raises(UsageError):
            act()
    with pytest.raises(UsageError, match="1 scores and 2 coverages"):
        seed_spread([1.0], [0.5, 0.5])
