r"""Stability of trainings: over seeds, over time, and over settings.

A score is one whose lower values are better and that is positive, such as a Fréchet distance.

- **Over seeds**: standard deviation, range, and coefficient of variation (deviation over mean). A
  run has failed if its score is not finite, exceeds three times the median of all runs, or covers
  less than 0.3 of the real images; the share of failed runs has an exact interval.
- **Over time**: the drawdown (last - best) / best of the validation score, and the number of jumps
  by more than a half from one validation to the next.
- **Over settings**: the share of step sizes and batches whose score is within twice the best.

Sources: Lucic et al., "Are GANs Created Equal?", 2018 (spread over seeds and settings). The
thresholds are this project's.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..errors import UsageError
from .intervals import Interval, share_interval

FAILED = 3.0  # multiple of the median score from which a run has failed
LEAST_COVERAGE = 0.3  # share of real images that a run must cover
JUMP = 1.5  # factor between validations that counts as a jump
NEAR = 2.0  # multiple of the best score that a setting may have


@dataclass(frozen=True)
class SeedSpread:
    """Scores of runs that differ in their seed only.

    Arguments:
        mean: Of the finite scores.
        deviation: Their standard deviation; NaN for a single one.
        least: The best score.
        most: The worst finite score.
        variation: Deviation over mean.
        failed: The share of failed runs.
    """

    mean: float
    deviation: float
    least: float
    most: float
    variation: float
    failed: Interval


def seed_spread(scores: Sequence[float], coverage: Sequence[float] | None = None) -> SeedSpread:
    """Spread and failures of a group of runs.

    Arguments:
        scores: The final score of each run, NaN where the training diverged.
        coverage: The share of real images that each run covers, if known.

    Raises:
        UsageError: There are no runs, or the two lists differ in length.

    Example:
        >>> spread = seed_spread([3.0, 4.0, 5.0, float("nan")])
        >>> spread.variation, spread.failed.value
        (0.25, 0.25)
    """
    if not scores or (coverage is not None and len(coverage) != len(scores)):
        raise UsageError(
            f"A spread needs the score and coverage of each run, got {len(scores)} scores and "
            f"{None if coverage is None else len(coverage)} coverages."
        )
    finite = [score for score in scores if math.isfinite(score)]
    limit = FAILED * statistics.median(finite) if finite else math.nan
    covered = [1.0] * len(scores) if coverage is None else coverage
    failed = sum(
        not (score <= limit and share >= LEAST_COVERAGE)  # NaN fails
        for score, share in zip(scores, covered, strict=True)
    )
    mean = float(np.mean(finite)) if finite else math.nan
    deviation = float(np.std(finite, ddof=1)) if len(finite) > 1 else math.nan
    return SeedSpread(
        mean=mean,
        deviation=deviation,
        least=min(finite, default=math.nan),
        most=max(finite, default=math.nan),
        variation=deviation / mean if mean else math.nan,
        failed=share_interval(failed, len(scores)),
    )


@dataclass(frozen=True)
class TimeCourse:
    """How the score of one run develops.

    Arguments:
        best: The lowest score.
        last: The last score.
        best_at: Position of the best among the validations, from 0 to 1.
        drawdown: (last - best) / best.
        jumps: Rises by more than a half.
    """

    best: float
    last: float
    best_at: float
    drawdown: float
    jumps: int


def time_course(scores: Sequence[float]) -> TimeCourse:
    """Drawdown and jumps of the validation scores of one run, in their order.

    Raises:
        UsageError: There are no scores, or one that is not positive.

    Example:
        >>> course = time_course([8.0, 4.0, 7.0, 6.0])
        >>> course.drawdown, course.jumps
        (0.5, 1)
    """
    values = list(scores)
    if not values or not all(value > 0 for value in values if math.isfinite(value)):
        raise UsageError(f"A course needs positive scores, got {values[:5]}.")
    best = min((value for value in values if math.isfinite(value)), default=math.nan)
    jumps = sum(not (after <= JUMP * before) for before, after in pairwise(values))
    at = values.index(best) / max(1, len(values) - 1) if math.isfinite(best) else math.nan
    return TimeCourse(best, values[-1], at, (values[-1] - best) / best, jumps)


def robust_share(scores: Sequence[float]) -> Interval:
    """The share of settings whose score is within twice the best, with an exact interval.

    Arguments:
        scores: The final score of each setting, NaN where the training diverged.

    Example:
        >>> robust_share([2.0, 3.0, 9.0, float("nan")]).value
        0.5
    """
    best = min((score for score in scores if math.isfinite(score)), default=math.nan)
    return share_interval(sum(score <= NEAR * best for score in scores), len(scores))


def rises(losses: Sequence[float], window: int = 5) -> int:
    """How often a loss rises once it is smoothed: blocks of `window` values whose mean exceeds that
    of the block before by more than two standard errors of the difference.

    Example:
        >>> rises([5.0, 4.0, 3.0, 2.0], window=1), rises([1.0, 1.1, 3.0, 3.1], window=2)
        (0, 1)
    """
    x = np.asarray(losses, dtype=float)
    blocks = x[: len(x) // window * window].reshape(-1, window)
    count = 0
    for before, after in pairwise(blocks):
        error = math.sqrt((before.var() + after.var()) / max(1, window - 1))
        count += bool(after.mean() - before.mean() > 2 * error)
    return count
