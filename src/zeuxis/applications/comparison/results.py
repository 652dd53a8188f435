"""The figures of a comparison as columns of seeds, with an interval for each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...evaluation.intervals import Interval, mean_interval
from ...evaluation.stability import SeedSpread, TimeCourse, seed_spread, time_course
from .entrants import Family

Figures = Mapping[str, Any]


def at(figures: Any, path: str) -> Any:
    """A value in nested figures, None where it is missing.

    Example:
        >>> at({"quality": {"figures": {"frechet": 3.0}}}, "quality.frechet")
        3.0
        >>> at({"quality": {"missing": "It cannot."}}, "quality.frechet") is None
        True
    """
    measure, *names = path.split(".")
    value = figures.get(measure, {}) if isinstance(figures, Mapping) else {}
    value = value.get("figures") if isinstance(value, Mapping) else None
    for name in names:
        if isinstance(value, list):
            value = value[int(name)] if name.isdigit() and int(name) < len(value) else None
        else:
            value = value.get(name) if isinstance(value, Mapping) else None
    return value


@dataclass(frozen=True)
class Column:
    """One column: an entrant and the measures of its runs.

    Arguments:
        name: The entrant.
        title: Its heading.
        model: The registered model.
        family: Which approach it is.
        capabilities: What it can do, by the words of `zeuxis.capabilities`.
        runs: The measures of each run, as `measure` gives them.
        second: The column of its second network, for the likelihood of binary pixels.
        settings: Measures of other step sizes and batches, by their name.
    """

    name: str
    title: str
    model: str
    family: Family
    capabilities: tuple[str, ...]
    runs: tuple[Figures, ...]
    second: Column | None = None
    settings: Mapping[str, Figures] = field(default_factory=dict)

    def values(self, path: str) -> list[float]:
        """A figure of every run that has it."""
        found = [at(run, path) for run in self.runs]
        return [
            float(value)
            for value in found
            if isinstance(value, int | float) and math.isfinite(value)
        ]

    def first(self, path: str) -> Any:
        """A figure of the first run that has it, None if none has."""
        return next((value for run in self.runs if (value := at(run, path)) is not None), None)

    def interval(self, path: str) -> Interval | None:
        """Mean and interval over seeds; None without a value."""
        values = self.values(path)
        return mean_interval(values) if values else None

    def over_images(self, path: str) -> Interval | None:
        """Over seeds where there are several; else, of figures kept with the interval of a
        bootstrap over images, that of the one run."""
        values = self.values(f"{path}.0")
        if len(values) > 1:
            return mean_interval(values)
        one = self.first(path)
        return Interval(*one) if isinstance(one, list) and None not in one else None

    def missing(self, measure: str) -> str:
        """Why a measure is missing, "" if it is there."""
        for run in self.runs:
            if "figures" in run.get(measure, {}):
                return ""
        return next(
            (str(run[measure].get("missing", "")) for run in self.runs if measure in run), ""
        )

    def scores(self) -> list[float]:
        """The Fréchet distance of every run, NaN for one that failed."""
        found = [at(run, "quality.frechet") for run in self.runs]
        return [math.nan if value is None else float(value) for value in found]

    def spread(self) -> SeedSpread | None:
        """Spread over seeds and failed runs; None where nothing could be scored."""
        scores = self.scores()
        if not scores or all(at(run, "training.failed") is None for run in self.runs):
            return None
        coverage = [at(run, "quality.coverage") for run in self.runs]
        return seed_spread(scores, [0.0 if value is None else value for value in coverage])

    def courses(self) -> list[list[tuple[int, float]]]:
        """Validation scores of every run by images seen."""
        found = [at(run, "training.courses") or [] for run in self.runs]
        return [[(int(n), float(v)) for n, v in course if v is not None] for course in found]

    def time_courses(self) -> list[TimeCourse]:
        """Drawdown and jumps of every run that was validated."""
        return [time_course([v for _, v in course]) for course in self.courses() if course]

    def nats(self, pixels: str) -> tuple[str, list[list[float]]] | None:
        """The best kind of likelihood of these pixels, and the nats of the images of every run."""
        for column in (self, self.second):
            if column is None or column.first("likelihood.pixels") != pixels:
                continue
            rows = [at(run, "likelihood.nats") for run in column.runs]
            return str(column.first("likelihood.kind")), [row for row in rows if row]
        row = self.annealed(pixels)
        return ("AIS", [row]) if row else None

    def annealed(self, pixels: str) -> list[float]:
        """Annealed nats of images of these pixels, none where they were not measured.

        Of 256 levels they are a density of dequantized pixels in [0, 1), and become a bound on the
        probability of the levels by log 256 less for each number.
        """
        nats = self.first(f"annealed.{pixels}.nats") or []
        numbers = self.first(f"annealed.{pixels}.dimensions") or 0
        less = numbers * math.log(256) if pixels == "256 levels" else 0.0
        return [value - less for value in nats]
