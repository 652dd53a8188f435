r"""Figures of several runs over time: median and quartiles over seeds, as numbers and as a plot.

Runs that differ only in their seed form a group; a setting that some runs lack does not separate
groups. A run's figure is known only at its reports, which need not fall on the same times in every
run. It is therefore read on one grid of times: as its mean over the reports within one grid step,
and as the last report before where there is none. Before a run's first report it is NaN: medians
are those of the runs that have reported by then. A group extends as far as its shortest run.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints.run_folder import Run
from ..errors import DataError, MissingExtra, UsageError
from ..files import write

FORMATS = (".svg", ".pdf", ".png")
# Okabe and Ito's palette, which readers with color blindness can distinguish.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
UNITS = ("images", "characters", "steps")
DERIVED = ("task.", "digest")  # what follows from the names of task and demonstrations
IGNORED = ("seed", "workers", "threads", "log_every", "save_minutes", "track", "device", "film")


@dataclass(frozen=True)
class Curve:
    """A group of runs.

    Arguments:
        name: The settings by which it differs from the other groups.
        times: Times, (points,).
        values: The figure of each run at these times, (runs, points), NaN before a run's first
            report.
    """

    name: str
    times: np.ndarray
    values: np.ndarray

    def quartiles(self) -> np.ndarray:
        """First quartile, median and third quartile over the runs that have reported, (3, points).

        Example:
            >>> values = np.array([[np.nan, 1.0], [np.nan, 3.0]])
            >>> Curve("", np.array([10, 20]), values).quartiles()[1].tolist()
            [nan, 2.0]
        """
        quartiles = np.full((3, len(self.times)), np.nan)
        known = self.reported() > 0
        quartiles[:, known] = np.nanquantile(self.values[:, known], (0.25, 0.5, 0.75), axis=0)
        return quartiles

    def reported(self) -> np.ndarray:
        """Number of runs that have reported by each time, (points,)."""
        return np.isfinite(self.values).sum(axis=0)

    def first_reach(self, value: float) -> float | None:
        """The first time at which the median is at least this, or None.

        Example:
            >>> values = np.array([[0.0, 1.0], [0.0, 3.0]])
            >>> Curve("", np.array([10, 20]), values).first_reach(2)
            20.0
        """
        reached = np.flatnonzero(self.quartiles()[1] >= value)
        return float(self.times[reached[0]]) if len(reached) else None

    def as_dict(self, points: int = 25) -> dict[str, Any]:
        """Final figures of every run, and the quartiles at some times; None before the first
        report."""
        quartiles, reported = self.quartiles(), self.reported()
        positions = np.unique(np.linspace(0, len(self.times) - 1, points).round().astype(int))
        rows = [
            {
                "at": float(self.times[i]),
                "quartiles": [none_for_nan(value) for value in quartiles[:, i]],
                "runs": int(reported[i]),
            }
            for i in positions
        ]
        last = [none_for_nan(value) for value in self.values[:, -1]]
        return {"runs": len(self.values), "last of each run": last, "curve": rows}


def none_for_nan(value: float) -> float | None:
    """A number for JSON, which has no NaN."""
    return None if math.isnan(value) else float(value)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level.

    Example:
        >>> flatten({"vime": {"bonus": 1.0}, "seed": 0})
        {'vime.bonus': 1.0, 'seed': 0}
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def time_unit(lines: Sequence[Mapping[str, float]], run: Run) -> str:
    """What a run counts its time in: images, characters or steps."""
    for unit in UNITS:
        if lines and unit in lines[-1]:
            return unit
    raise DataError(f"'{run.folder}' has no figures yet: let it train until its first report.")


def read_metric(run: Run, metric: str) -> tuple[str, np.ndarray, np.ndarray]:
    """Unit, times and values of one figure of a run."""
    lines = run.metrics()
    unit = time_unit(lines, run)
    points = [
        (line[unit], line[metric])
        for line in lines
        if metric in line and math.isfinite(line[metric])
    ]
    if not points:
        names = sorted({key for line in lines for key in line})
        raise UsageError(
            f"'{run.folder}' has no figure '{metric}': choose from {', '.join(names)}."
        )
    times, values = np.array(points, dtype=float).T
    return unit, times, values


def group_names(runs: Sequence[Run]) -> list[str]:
    """For each run the settings in which the runs differ, as "bonus 1.0, batch 64"."""

    def separates(key: str) -> bool:
        return not key.startswith(DERIVED) and key.rsplit(".", 1)[-1] not in IGNORED

    configs = [flatten(run.read_json("config.json")) for run in runs]
    keys = [
        key
        for key in configs[0]
        if separates(key)
        and all(key in config for config in configs)
        and len({repr(config[key]) for config in configs}) > 1
    ]
    return [
        ", ".join(f"{key.rsplit('.', 1)[-1]} {as_text(config[key])}" for key in keys) or "runs"
        for config in configs
    ]


def as_text(value: Any) -> str:
    """A setting in the name of a group."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def read_curves(runs: Sequence[Run], metric: str, points: int = 50) -> tuple[str, list[Curve]]:
    """The unit of time that the runs share, and their groups.

    Arguments:
        runs: Run folders; all count in the same unit.
        metric: The figure, as it is called in `metrics.jsonl`.
        points: Times at which it is read.

    Raises:
        UsageError: A run lacks the figure, or the runs count differently.
    """
    names = group_names(runs)
    series = [read_metric(run, metric) for run in runs]
    if len(units := {unit for unit, _, _ in series}) > 1:
        raise UsageError(f"The runs count in {' and '.join(sorted(units))}: give runs of one kind.")
    curves = []
    for name in dict.fromkeys(names):
        members = [
            (times, values)
            for (_, times, values), own in zip(series, names, strict=True)
            if own == name
        ]
        grid = np.linspace(0, min(times[-1] for times, _ in members), points + 1)[1:]
        rows = [resample(times, values, grid) for times, values in members]
        curves.append(Curve(name, grid, np.stack(rows)))
    return units.pop(), curves


def resample(times: np.ndarray, values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Means of the reports within each step of the grid, NaN before the first report.

    Example:
        >>> times, values = np.array([3.0, 4.0, 8.0]), np.array([0.0, 2.0, 7.0])
        >>> resample(times, values, np.array([2.0, 4.0, 6.0, 8.0])).tolist()
        [nan, 1.0, 2.0, 7.0]
    """
    means = []
    for start, end in pairwise([-math.inf, *grid]):
        inside = values[(times > start) & (times <= end)]
        before = values[times <= end]
        means.append(inside.mean() if len(inside) else before[-1] if len(before) else math.nan)
    return np.array(means)


def check_format(path: str | Path) -> str:
    """The suffix of a plot's file; refuses any but .svg, .pdf and .png."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"The plot '{path}' must end in .svg, .pdf or .png.")
    return suffix


def plot(curves: Sequence[Curve], metric: str, unit: str, path: str | Path) -> Path:
    """Draws medians as lines and quartiles as bands, and writes an SVG, PDF or PNG file.

    Arguments:
        curves: The groups.
        metric: Label of the vertical axis.
        unit: Label of the horizontal axis.
        path: The file; its suffix chooses the format.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    suffix = check_format(path)
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.ticker import EngFormatter
    except ImportError as error:
        raise MissingExtra("matplotlib", "plot", "A plot") from error
    # A fixed salt and no date: equal curves are equal files.
    with rc_context({"svg.hashsalt": "zeuxis", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7.2, 4), layout="constrained", dpi=150)
        axes = figure.add_subplot()
        for i, curve in enumerate(curves):
            color, runs = COLORS[i % len(COLORS)], len(curve.values)
            lower, median, upper = curve.quartiles()
            label = f"{curve.name} ({runs} run{'s' if runs > 1 else ''})"
            axes.plot(curve.times, median, color=color, label=label)
            if runs > 1:
                axes.fill_between(curve.times, lower, upper, color=color, alpha=0.2, linewidth=0)
        axes.set(xlabel=unit, ylabel=metric, xlim=(0, None))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.grid(color="#dddddd")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside upper left", frameon=False)
        buffer = io.BytesIO()
        metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": {}}
        figure.savefig(buffer, format=suffix[1:], metadata=metadata[suffix])
    return write(path, buffer.getvalue())
