r"""Error, sensitivity and bias of answers "real or generated", with intervals over people.

A hit is a real image called real, a false alarm a generated one called real. Signal detection
separates skill from bias:

$$ d' = Z(H) - Z(F), \qquad c = -\tfrac12 (Z(H) + Z(F)), \qquad
   H = \frac{h + 1/2}{n_r + 1}, \quad F = \frac{f + 1/2}{n_g + 1} , $$

with Z the quantile of the normal distribution and the log-linear correction, which keeps both
finite. d' is 0 for one who cannot tell, and c is negative for one who tends to say "real".

Answers of one person hang together, so an interval over answers is far too narrow. The bootstrap
draws people. Its percentile interval is too narrow for few people, as a variance with n in place of
n - 1; Hesterberg's expanded percentiles correct this: in place of 2.5 % stands
$\Phi(-\sqrt{n/(n-1)}\, t_{0.975, n-1})$. With fewer than five people there is no interval over
people, only Wilson's for each person.

Sources: Green and Swets, "Signal Detection Theory and Psychophysics", 1966; Hautus, "Corrections
for Extreme Proportions and Their Biasing Effects on Estimated Values of d'", 1995; Hesterberg,
"What Teachers Should Know About the Bootstrap", 2015; Wilson, "Probable Inference, the Law of
Succession, and Statistical Inference", 1927.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ...errors import UsageError
from ...evaluation.intervals import Interval

LEAST_PEOPLE = 5  # for an interval over them
DRAWS = 10_000
COLUMNS = ("hits", "real", "false alarms", "generated")


@dataclass(frozen=True)
class Tally:
    """Answers of several people, counted.

    Arguments:
        counts: (people, 4) of hits, real images, false alarms, generated images.
    """

    counts: np.ndarray

    def __post_init__(self) -> None:
        x = self.counts
        if x.ndim != 2 or x.shape[1] != 4 or len(x) == 0 or (x[:, [1, 3]] < 1).any():
            raise UsageError(
                "A score needs at least one person who saw images of both kinds: let people "
                "answer first."
            )

    def __len__(self) -> int:
        return len(self.counts)


def error(counts: np.ndarray) -> np.ndarray:
    """Wrong answers as a share of all, (...) for counts (..., 4)."""
    h, n_real, f, n_generated = np.moveaxis(counts, -1, 0)
    return (n_real - h + f) / (n_real + n_generated)


def error_on_real(counts: np.ndarray) -> np.ndarray:
    """Real images called generated, as a share of the real ones."""
    return 1 - counts[..., 0] / counts[..., 1]


def error_on_generated(counts: np.ndarray) -> np.ndarray:
    """Generated images called real, as a share of the generated ones."""
    return counts[..., 2] / counts[..., 3]


def sensitivity(counts: np.ndarray) -> np.ndarray:
    """d' of each row of counts.

    Example:
        >>> sensitivity(np.array([[50, 50, 50, 50]])).tolist()  # one who always says "real"
        [0.0]
    """
    hit, false_alarm = corrected(counts)
    return stats.norm.ppf(hit) - stats.norm.ppf(false_alarm)


def criterion(counts: np.ndarray) -> np.ndarray:
    """The bias c of each row of counts; negative for a tendency to say "real"."""
    hit, false_alarm = corrected(counts)
    return -(stats.norm.ppf(hit) + stats.norm.ppf(false_alarm)) / 2


def corrected(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of hits and false alarms by the log-linear rule."""
    h, n_real, f, n_generated = np.moveaxis(counts, -1, 0)
    return (h + 0.5) / (n_real + 1), (f + 0.5) / (n_generated + 1)


def wilson(k: int, n: int, level: float = 0.95) -> Interval:
    """A share k of n independent answers with Wilson's interval: for one person only.

    Example:
        >>> print(wilson(50, 100))
        0.5 (0.404 to 0.596)
    """
    if n < 1 or not 0 <= k <= n:
        raise UsageError(f"A share counts k of n with 0 <= k <= n, got {k} of {n}.")
    z = float(stats.norm.ppf((1 + level) / 2))
    p, shrink = k / n, 1 + z * z / n
    middle = (p + z * z / (2 * n)) / shrink
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / shrink
    return Interval(p, middle - half, middle + half)


def expanded(n: int, level: float) -> tuple[float, float]:
    """The quantiles of the bootstrap that take the place of (1 - level) / 2 and its complement."""
    t = float(stats.t.ppf((1 + level) / 2, n - 1)) * math.sqrt(n / (n - 1))
    low = float(stats.norm.cdf(-t))
    return low, 1 - low


def over_people(
    values: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    draws: int = DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """A figure of a group with the bootstrap over its people.

    Arguments:
        values: A row for each person, (people, k).
        statistic: The figure as a function of the mean row, (..., k) to (...): a pooled share is a
            ratio of mean counts, and a mean of figures is itself.
        draws: Groups drawn, each of as many people, with replacement.
        level: Probability of the interval.
        seed: Fixes the draws.

    Returns:
        With fewer than five people both ends are infinite.

    Example:
        >>> d = np.array([[1.0], [1.5], [0.5], [1.2], [0.8], [1.1]])
        >>> print(over_people(d, lambda mean: mean[..., 0]))
        1.02 (0.667 to 1.37)
    """
    n = len(values)
    whole = float(statistic(values.mean(0, keepdims=True))[0])
    if n < LEAST_PEOPLE:
        return Interval(whole, -math.inf, math.inf)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=draws) / n
    low, high = np.quantile(statistic(weights @ values), expanded(n, level))
    return Interval(whole, float(low), float(high))


def scores(tally: Tally, seed: int = 0, draws: int = DRAWS) -> dict[str, Interval]:
    """The figures of a group: errors pooled over answers, d' and c as means over people.

    A pooled d' would be too small where people differ in bias, so each person's is computed first.
    """
    counts = tally.counts.astype(float)
    each = np.stack([sensitivity(counts), criterion(counts)], 1)
    pooled = {
        "error": error,
        "error on real": error_on_real,
        "error on generated": error_on_generated,
    }
    figures = {name: over_people(counts, one, draws, seed=seed) for name, one in pooled.items()}
    figures["d'"] = over_people(each, lambda mean: mean[..., 0], draws, seed=seed)
    figures["criterion"] = over_people(each, lambda mean: mean[..., 1], draws, seed=seed)
    return figures
