"""For what to take which model: the last lines of the page.

For each purpose the columns are put in order by one figure. The best is named together with those
that its interval does not separate from it: no single winner is declared, for one purpose or for
all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...evaluation.intervals import difference_interval
from .hypotheses import drawdowns, sharpness_error
from .results import Column

Values = Callable[[Column], list[float]]


@dataclass(frozen=True)
class Purpose:
    """What somebody may want from a model.

    Arguments:
        wanted: Completes "For ...".
        figure: What is compared, in words.
        values: The figure of every run of a column; none where the model lacks it.
        higher: Whether more is better.
        margin: Difference that separates single runs; 0 takes a factor of two instead.
    """

    wanted: str
    figure: str
    values: Values
    higher: bool = True
    margin: float = 0.0


def figure(path: str) -> Values:
    """A figure by its place."""
    return lambda column: column.values(path)


def binary_nats(column: Column) -> list[float]:
    """Mean nats of binarized images of every run, exact or as an importance-weighted bound; none of
    a model whose likelihood is that of another one."""
    found = column.nats("binary")
    if found is None or found[0] == "AIS":
        return []
    return [sum(row) / len(row) for row in found[1]]


def code_accuracy(column: Column) -> list[float]:
    """Accuracy after 100 labels, of models with an encoder of their own only."""
    own = column.first("codes.source") == "its own encoder"
    return column.values("codes.accuracy.0.1") if own else []


PURPOSES = (
    Purpose("samples closest to the data", "Fréchet distance", figure("quality.frechet"), False),
    Purpose("single samples that look real", "precision", figure("quality.precision")),
    Purpose("real sharpness", "|log ratio| of the spectral share", sharpness_error, False),
    Purpose("samples as varied as the data", "coverage", figure("quality.coverage")),
    Purpose(
        "likelihoods, compression, surprise", "nats of binarized images", binary_nats, True, 1.0
    ),
    Purpose("many samples in little time", "seconds an image", figure("cost.seconds.64"), False),
    Purpose("codes that mean something", "accuracy from 100 labels", code_accuracy),
    Purpose("a training that only improves", "drawdown after the best", drawdowns, False),
)


@dataclass(frozen=True)
class Advice:
    """A line of the page's end.

    Arguments:
        wanted: Completes "For ...".
        take: Headings of the columns to take.
        why: The figure, and what keeps the others out or in.
    """

    wanted: str
    take: tuple[str, ...]
    why: str


def advice(columns: Sequence[Column]) -> list[Advice]:
    """For each purpose the columns to take; a purpose that no model serves is left out."""
    found = []
    for purpose in PURPOSES:
        rows = {c.title: values for c in columns if (values := purpose.values(c))}
        if len(rows) < 2:
            continue
        sign = 1 if purpose.higher else -1
        mean = {title: sum(values) / len(values) for title, values in rows.items()}
        order = sorted(rows, key=lambda title: -sign * mean[title])
        best = order[0]
        near = [
            title
            for title in order
            if title == best or not separated(rows[best], rows[title], purpose)
        ]
        figures = ", ".join(f"{title} {mean[title]:.3g}" for title in order)
        why = f"{purpose.figure}: {figures}"
        if len(near) > 1:
            why += (
                "; one run of each cannot separate them further"
                if min(len(rows[title]) for title in near) < 2
                else "; the intervals over seeds do not separate them"
            )
        found.append(Advice(purpose.wanted, tuple(near), why))
    return found


def separated(best: list[float], other: list[float], purpose: Purpose) -> bool:
    """Whether the interval of the difference is on the side of the best.

    Single runs have no interval; they are separated by the margin of the purpose.
    """
    sign = 1 if purpose.higher else -1
    if min(len(best), len(other)) < 2:
        a, b = sum(best) / len(best), sum(other) / len(other)
        if purpose.margin:
            return sign * (a - b) > purpose.margin
        return a > 0 and b > 0 and (a / b if purpose.higher else b / a) > 2
    found = difference_interval(best, other)
    return found.low > 0 if purpose.higher else found.high < 0
