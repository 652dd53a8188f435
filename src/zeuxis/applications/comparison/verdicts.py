"""What a verdict is, and how intervals lead to one.

A hypothesis **holds** if every interval that it speaks of lies on its side, **does not hold** if
one lies on the other side, and is **undecided** otherwise: also where runs or capabilities are
missing. A single winner is never declared: good likelihoods, good samples and good codes are
independent of each other (Theis, van den Oord and Bethge, "A Note on the Evaluation of Generative
Models", 2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...evaluation.intervals import Interval, difference_interval
from .results import Column

Outcome = Literal["holds", "does not hold", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """A hypothesis and what the figures say about it.

    Arguments:
        number: As in "H1".
        sentence: What the article says.
        hypothesis: What it means in figures.
        outcome: "holds", "does not hold" or "undecided".
        evidence: The intervals, in sentences.
    """

    number: str
    sentence: str
    hypothesis: str
    outcome: Outcome
    evidence: str


def outcome(claims: Sequence[bool | None]) -> Outcome:
    """Whether all claims hold, one fails, or neither is known.

    Example:
        >>> outcome([True, True]), outcome([True, None]), outcome([None, False])
        ('holds', 'undecided', 'does not hold')
    """
    if any(claim is False for claim in claims):
        return "does not hold"
    return "holds" if claims and all(claim is True for claim in claims) else "undecided"


def above(interval: Interval | None, value: float) -> bool | None:
    """Whether an interval lies above a value; None where it holds it.

    Example:
        >>> above(Interval(2, 1, 3), 0), above(Interval(2, 1, 3), 4), above(Interval(2, 1, 3), 2)
        (True, False, None)
    """
    if interval is None or math.isnan(interval.value):
        return None
    return True if interval.low > value else False if interval.high < value else None


def below(interval: Interval | None, value: float) -> bool | None:
    """Whether an interval lies below a value; None where it holds it."""
    found = above(interval, value)
    return None if found is None else not found


def difference(a: Column, b: Column, path: str) -> Interval | None:
    """The difference of a figure of two columns over their seeds; None where one lacks it."""
    x, y = a.values(path), b.values(path)
    return difference_interval(x, y) if x and y else None


def enough(columns: Sequence[Column | None], seeds: int) -> str:
    """Why there are too few columns or runs for a verdict, "" if there are enough."""
    if any(column is None for column in columns):
        return "One of the approaches is not in this comparison."
    least = min(len(column.runs) for column in columns if column is not None)
    if least < seeds:
        return f"It needs {seeds} seeds or more, and the runs of this comparison are {least}."
    return ""


def shown(interval: Interval | None) -> str:
    """An interval for a sentence.

    Example:
        >>> shown(Interval(0.512, 0.43, 0.61)), shown(None)
        ('0.512 (0.43 to 0.61)', 'no figure')
    """
    return "no figure" if interval is None else str(interval)
