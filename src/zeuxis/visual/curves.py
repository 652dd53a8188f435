r"""Figures of several runs over time: median and quartiles over seeds, as numbers and as a picture.

Runs that differ in nothing but their seed are one group; a setting that some of them lack tells
none apart. A run's figure is known at its reports only, which need not fall on the same times in
every run; it is read on one grid of times as its mean over the reports within one grid step, and as
the last one before where there is none. Before a run's first report its figure is not known (NaN):
medians are those of the runs that have reported by then, and a line starts where the first of them
has. A group is followed as far as its shortest run goes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..checkpoints.run_folder import Run
from ..errors import DataError, UsageError

INKS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
CLOCKS = ("steps", "images", "characters")
DERIVED = ("task.", "digest")  # what follows from the task's and the demonstrations' names
IGNORED = ("seed", "workers", "threads", "log_every", "save_minutes", "track", "device", "film")


@dataclass(frozen=True)
class Curve:
    """A group of runs.

    Arguments:
        name: The settings by which it differs from the other groups.
        at: Times, (points,).
        values: The figure of each run at them, (runs, points), NaN before a run's first report.
    """

    name: str
    at: np.ndarray
    values: np.ndarray

    def quartiles(self) -> np.ndarray:
        """First quartile, median and third quartile over the runs that have reported, (3, points).

        Example:
            >>> Curve("", np.array([10, 20]), np.array([[np.nan, 1.0], [np.nan, 3.0]])).quartiles()[1].tolist()
            [nan, 2.0]
        """
        found = np.full((3, len(self.at)), np.nan)
        begun = self.reported() > 0
        found[:, begun] = np.nanquantile(self.values[:, begun], (0.25, 0.5, 0.75), axis=0)
        return found

    def reported(self) -> np.ndarray:
        """How many runs have reported by each time, (points,)."""
        return np.isfinite(self.values).sum(axis=0)

    def reached(self, value: float) -> float | None:
        """The first time at which the median is at least this, or None.

        Example:
            >>> Curve("", np.array([10, 20]), np.array([[0.0, 1.0], [0.0, 3.0]])).reached(2)
            20.0
        """
        where = np.flatnonzero(self.quartiles()[1] >= value)
        return float(self.at[where[0]]) if len(where) else None

    def as_dict(self, points: int = 25) -> dict[str, Any]:
        """Final figures of every run, and the quartiles at some of the times; None where nothing
        was reported yet."""
        quartiles, reported = self.quartiles(), self.reported()
        some = np.unique(np.linspace(0, len(self.at) - 1, points).round().astype(int))
        rows = [
            {
                "at": float(self.at[i]),
                "quartiles": [known(value) for value in quartiles[:, i]],
                "runs": int(reported[i]),
            }
            for i in some
        ]
        last = [known(value) for value in self.values[:, -1]]
        return {"runs": len(self.values), "last of each run": last, "curve": rows}


def known(value: float) -> float | None:
    """A number for JSON, which has no NaN."""
    return None if math.isnan(value) else float(value)


def flat(about: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings as one level, `vime.bonus` for what lies in `vime`."""
    found: dict[str, Any] = {}
    for key, value in about.items():
        found |= (
            flat(value, f"{before}{key}.")
            if isinstance(value, Mapping)
            else {f"{before}{key}": value}
        )
    return found


def clock(lines: Sequence[Mapping[str, float]], run: Run) -> str:
    """What a run counts its time in."""
    found = next(
        (name for name in CLOCKS if lines and name in lines[-1] and name != "steps"), "steps"
    )
    if not lines or found not in lines[-1]:
        raise DataError(f"'{run.folder}' has no figures yet: let it train until its first report.")
    return found


def read(run: Run, of: str) -> tuple[str, np.ndarray, np.ndarray]:
    """Clock, times and values of one figure of a run."""
    lines = run.metrics()
    unit = clock(lines, run)
    kept = [(line[unit], line[of]) for line in lines if of in line and math.isfinite(line[of])]
    if not kept:
        known = sorted({key for line in lines for key in line})
        raise UsageError(f"'{run.folder}' has no figure '{of}': choose from {', '.join(known)}.")
    at, values = np.array(kept, dtype=float).T
    return unit, at, values


def curves(runs: Sequence[Run], of: str, points: int = 50) -> tuple[str, list[Curve]]:
    """Groups of runs, and the clock they share.

    Arguments:
        runs: Run folders; all count in the same unit.
        of: The figure, as it is called in `metrics.jsonl`.
        points: Times at which it is read.

    Raises:
        UsageError: A run lacks the figure, or the runs count differently.
    """
    apart = lambda key: not key.startswith(DERIVED) and key.rsplit(".", 1)[-1] not in IGNORED  # noqa: E731
    config = [
        {k: v for k, v in flat(run.read_json("config.json")).items() if apart(k)} for run in runs
    ]
    keys = [
        key
        for key in config[0]
        if all(key in s for s in config) and len({repr(s[key]) for s in config}) > 1
    ]
    names = [
        ", ".join(f"{key.rsplit('.', 1)[-1]} {shown(s[key])}" for key in keys) or "runs"
        for s in config
    ]
    found = [read(run, of) for run in runs]
    if len(units := {unit for unit, _, _ in found}) > 1:
        raise UsageError(f"The runs count in {' and '.join(sorted(units))}: give runs of one kind.")
    groups = []
    for name in dict.fromkeys(names):
        members = [
            (at, values) for (_, at, values), own in zip(found, names, strict=True) if own == name
        ]
        grid = np.linspace(0, min(at[-1] for at, _ in members), points + 1)[1:]
        groups.append(
            Curve(name, grid, np.stack([resample(at, values, grid) for at, values in members]))
        )
    return units.pop(), groups


def resample(at: np.ndarray, values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Means of the reports within each step of the grid, NaN before the first.

    Example:
        >>> resample(np.array([3.0, 4.0, 8.0]), np.array([0.0, 2.0, 7.0]), np.array([2.0, 4.0, 6.0, 8.0])).tolist()
        [nan, 1.0, 2.0, 7.0]
    """
    edges = np.concatenate([[-np.inf], grid])
    found = []
    for a, b in pairwise(edges):
        inside = values[(at > a) & (at <= b)]
        before = values[at <= b]
        found.append(inside.mean() if len(inside) else before[-1] if len(before) else math.nan)
    return np.array(found)


def shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between two others.

    Example:
        >>> ticks(0, 1)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999) * power
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def label(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def wrapped(text: str, font: Any, width: float) -> list[str]:
    """Text in lines no wider than this, broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def draw(
    found: Sequence[Curve], of: str, unit: str, width: int = 720, height: int = 400
) -> Image.Image:
    """Medians as lines and quartiles as bands."""
    scale, font = 2, ImageFont.load_default(24)
    w, left, right, bottom = width * scale, 140, 30, 110
    runs = [f"{n} runs" if (n := len(curve.values)) > 1 else "1 run" for curve in found]
    keys = [
        wrapped(f"{curve.name}: {of}, {n}", font, w - left - 64 - right)
        for curve, n in zip(found, runs, strict=True)
    ]
    top = 40 + 34 * sum(map(len, keys))
    h = height * scale + 34 * (sum(map(len, keys)) - len(found))
    bands = [curve.quartiles() for curve in found]
    low, high = min(float(np.nanmin(b)) for b in bands), max(float(np.nanmax(b)) for b in bands)
    pad = 0.04 * (high - low) or 1.0
    low, high, end = low - pad, high + pad, max(float(curve.at[-1]) for curve in found)

    def place(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
        across = left + x / end * (w - left - right)
        down = h - bottom - (y - low) / (high - low) * (h - top - bottom)
        return [(float(a), float(b)) for a, b in zip(across, down, strict=True)]

    picture = Image.new("RGB", (w, h), "white")
    pen = ImageDraw.Draw(picture)
    for y in ticks(low, high):
        (a, b), (c, _) = place(np.array([0.0, end]), np.array([y, y]))
        pen.line([(a, b), (c, b)], "#dddddd", 2)
        pen.text((a - 12, b), label(y), "#333333", font, anchor="rm")
    for x in ticks(0, end):
        [(a, _)] = place(np.array([x]), np.array([low]))
        pen.text((a, h - bottom + 12), label(x), "#333333", font, anchor="mt")
    pen.text(((w + left) / 2, h - 20), unit, "#333333", font, anchor="mb")
    row = 40
    for i, (curve, band) in enumerate(zip(found, bands, strict=True)):
        ink = INKS[i % len(INKS)]
        begun = np.isfinite(band[1])
        at, (lower, middle, upper) = curve.at[begun], band[:, begun]
        if len(curve.values) > 1:
            over = Image.new("L", (w, h), 0)
            ImageDraw.Draw(over).polygon([*place(at, lower), *place(at, upper)[::-1]], fill=60)
            picture.paste(Image.new("RGB", (w, h), ink), mask=over)
            pen = ImageDraw.Draw(picture)
        pen.line(place(at, middle), ink, 5, joint="curve")
        pen.line([(left, row), (left + 50, row)], ink, 6)
        for line in keys[i]:
            pen.text((left + 64, row), line, "#333333", font, anchor="lm")
            row += 34
    return picture.reduce(scale)
