r"""Intervals of means, ratios and shares, by which a comparison says what it knows and what it does
not.

- A mean over a few seeds: Student's t, $\bar v \pm t_{n-1} s / \sqrt n$.
- A ratio of two standard deviations: Fisher's F.
- A ratio of two means over many images: the percentile bootstrap, where both sets are drawn again.
- A share k of n: Clopper and Pearson's exact interval, whose ends are quantiles of Beta
  distributions. None of 5 still leaves shares of up to 52 %.

Sources: Student, 1908; Fisher, 1924; Clopper and Pearson, "The Use of Confidence or Fiducial Limits
Illustrated in the Case of the Binomial", 1934; Efron, 1979.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..errors import UsageError


@dataclass(frozen=True)
class Interval:
    """A figure and its interval.

    Arguments:
        value: The estimate.
        low: Lower end; -inf where the data do not bound it.
        high: Upper end; inf where the data do not bound it.
    """

    value: float
    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return bool(self.low <= value <= self.high)

    def __str__(self) -> str:
        if math.isinf(self.low) and math.isinf(self.high):
            return f"{self.value:.3g}"
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """The mean of independent values, as of several seeds, by Student's t.

    One value has no interval: both ends are infinite.

    Raises:
        UsageError: There is no value, or one that is not finite.

    Example:
        >>> print(mean_interval([1.0, 2.0, 3.0]))
        2 (-0.484 to 4.48)
    """
    x = np.asarray(values, dtype=float)
    if not len(x) or not np.isfinite(x).all():
        raise UsageError(f"A mean needs finite values, got {list(values)}: leave the others out.")
    mean = float(x.mean())
    if len(x) == 1:
        return Interval(mean, -math.inf, math.inf)
    half = float(stats.t.ppf((1 + level) / 2, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x)))
    return Interval(mean, mean - half, mean + half)


def difference_interval(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Interval:
    """mean(a) - mean(b) of two independent groups, by Welch's t.

    A group of one value leaves the interval infinite. Groups without any spread differ exactly.

    Example:
        >>> difference_interval([5.0, 5.2, 4.8], [1.0, 1.1, 0.9]).low > 3
        True
    """
    x, y = (np.asarray(values, dtype=float) for values in (a, b))
    middle = mean_interval(a).value - mean_interval(b).value
    if min(len(x), len(y)) < 2:
        return Interval(middle, -math.inf, math.inf)
    u, v = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    if u + v == 0:
        return Interval(middle, middle, middle)
    freedom = (u + v) ** 2 / (u**2 / (len(x) - 1) + v**2 / (len(y) - 1))
    half = float(stats.t.ppf((1 + level) / 2, freedom) * math.sqrt(u + v))
    return Interval(middle, middle - half, middle + half)


def spread_ratio_interval(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Interval:
    """The ratio of the standard deviations of two groups, by Fisher's F.

    Of logarithms of positive scores it compares relative spreads. A group of fewer than two values,
    or without spread, leaves the interval without bounds.

    Example:
        >>> wide = spread_ratio_interval([1.0, 5.0, 9.0, 13.0, 17.0], [1.0, 1.1, 1.2, 1.1, 1.0])
        >>> wide.low > 1
        True
    """
    x, y = (np.asarray(values, dtype=float) for values in (a, b))
    if min(len(x), len(y)) < 2 or x.var(ddof=1) == 0 or y.var(ddof=1) == 0:
        return Interval(math.nan, 0.0, math.inf)
    ratio = float(x.var(ddof=1) / y.var(ddof=1))
    ends = [
        float(stats.f.ppf(q, len(x) - 1, len(y) - 1)) for q in ((1 + level) / 2, (1 - level) / 2)
    ]
    return Interval(math.sqrt(ratio), math.sqrt(ratio / ends[0]), math.sqrt(ratio / ends[1]))


def ratio_interval(
    a: np.ndarray, b: np.ndarray, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """mean(a) / mean(b) over independent examples, with a percentile bootstrap.

    Arguments:
        a: Values of one set, (n,).
        b: Values of the other, (m,).
        draws: Bootstrap samples of both sets.
        level: Probability of the interval.
        seed: Fixes the bootstrap.

    Raises:
        UsageError: A set is empty, or the mean of b is 0.

    Example:
        >>> values = np.linspace(1, 2, 200)
        >>> 1.0 in ratio_interval(values, values), 1.0 in ratio_interval(2 * values, values)
        (True, False)
    """
    x, y = (np.asarray(values, dtype=float) for values in (a, b))
    if not len(x) or not len(y) or y.mean() == 0:
        raise UsageError(
            f"A ratio needs values on both sides and a mean other than 0 below, got {len(x)} and "
            f"{len(y)} values: give more images."
        )
    rng = np.random.default_rng(seed)
    ratios = [resampled_mean(x, rng) / resampled_mean(y, rng) for _ in range(draws)]
    low, high = np.nanquantile(ratios, ((1 - level) / 2, (1 + level) / 2))
    return Interval(float(x.mean() / y.mean()), float(low), float(high))


def resampled_mean(x: np.ndarray, rng: np.random.Generator) -> float:
    """The mean of as many values drawn again with replacement."""
    return float(x[rng.integers(len(x), size=len(x))].mean())


def share_interval(k: int, n: int, level: float = 0.95) -> Interval:
    """A share of k out of n, with Clopper and Pearson's exact interval.

    Raises:
        UsageError: k is not from 0 to n, or n is 0.

    Example:
        >>> print(share_interval(0, 5))
        0 (0 to 0.522)
    """
    if n < 1 or not 0 <= k <= n:
        raise UsageError(f"A share counts k of n with 0 <= k <= n, got {k} of {n}.")
    rest = (1 - level) / 2
    low = 0.0 if k == 0 else float(stats.beta.ppf(rest, k, n - k + 1))
    high = 1.0 if k == n else float(stats.beta.ppf(1 - rest, k + 1, n - k))
    return Interval(k / n, low, high)
