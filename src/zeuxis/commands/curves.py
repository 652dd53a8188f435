"""zeuxis curves: a figure of several runs over time, with median and quartiles over seeds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import tyro
from rich.table import Table

from ..checkpoints.run_folder import Run
from ..errors import UsageError
from ..progress import out
from ..ranges import BaseConfig, Finite, Range
from ..visual.curves import Curve, check_format, plot, read_curves
from .inputs import FLAT
from .provenance import training_of
from .record_options import RecordOptions

USUAL = ("return", "bound", "bits/dim", "generator")


@dataclass(frozen=True)
class Curves(BaseConfig, flags="--"):
    """Compares runs over time. Runs that differ only in their seed form a group, shown as median
    and quartiles; groups are named by the settings in which they differ."""

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN")]
    """Run folders of one kind."""
    metric: str = ""
    """The figure, as the progress lines call it: by default return for policies, else the first of
    bound, bits/dim, generator."""
    above: Finite | None = None
    """Also report when each group's median first reaches this value."""
    out: str = ""
    """File of the plot: .svg, .pdf or .png; needs the extra plot."""
    points: Annotated[int, Range(2, 10000)] = 50
    """Times at which the figure is read, as the mean over the reports since the time before."""
    record: Annotated[RecordOptions, FLAT] = field(default_factory=RecordOptions)


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Curves, args=argv, prog="zeuxis curves")
    if not args.runs:
        raise UsageError("Name at least one run folder, as in zeuxis curves runs/*.")
    if args.out:
        check_format(args.out)
    began = time.monotonic()
    runs = [Run.open(folder) for folder in args.runs]
    metric = args.metric or usual_metric(runs[0])
    unit, curves = read_curves(runs, metric, args.points)
    out.print(table(curves, metric, unit, args.above))
    if args.out:
        out.print(f"Plot: {plot(curves, metric, unit, args.out)}", markup=False, soft_wrap=True)
    if args.record.record:
        figures = {"of": metric, "unit": unit, "groups": group_figures(curves, args.above)}
        configs = [run.read_json("config.json") for run in runs]
        training = [training_of(run) for run in runs]
        details = {
            "config": [{k: v for k, v in config.items() if k != "task"} for config in configs],
            "training": training,
            "training seconds": sum(run["seconds"] or 0.0 for run in training),
        }
        seeds = sorted({seed for config in configs if (seed := seed_of(config)) is not None})
        args.record.write(figures, began, seeds, **details)


def table(curves: Sequence[Curve], metric: str, unit: str, above: float | None) -> Table:
    """One row for each group: the final quartiles, and when the median reaches `above`."""
    goal = "" if above is None else f"; when its median first reaches {above:g}"
    table = Table(title=f"{metric} over {unit}{goal}", title_justify="left")
    columns = ["group", "runs", unit, "25 %", "median", "75 %", *(["reached"] if goal else [])]
    for name in columns:
        table.add_column(name, min_width=20 if name == "group" else None)
    for curve in curves:
        cells = [f"{value:.4g}" for value in curve.quartiles()[:, -1]]
        if above is not None:
            when = curve.first_reach(above)
            cells.append("never" if when is None else f"{when:,.0f}")
        table.add_row(curve.name, str(len(curve.values)), f"{curve.times[-1]:,.0f}", *cells)
    return table


def group_figures(curves: Sequence[Curve], above: float | None) -> dict[str, Any]:
    """The figures of each group, for a record."""
    groups = {curve.name: curve.as_dict() for curve in curves}
    if above is not None:
        for curve in curves:
            groups[curve.name][f"median first reaches {above:g}"] = curve.first_reach(above)
    return groups


def seed_of(config: dict[str, Any]) -> int | None:
    """The seed that a run was trained with, wherever it stands among the settings."""
    parts = (part for part in config.values() if isinstance(part, dict))
    return next((part["seed"] for part in parts if "seed" in part), None)


def usual_metric(run: Run) -> str:
    """The figure that most readers look at."""
    names = {key for line in run.metrics() for key in line}
    for name in USUAL:
        if name in names:
            return name
    known = ", ".join(sorted(names)) or "nothing yet"
    raise UsageError(
        f"'{run.folder}' has none of the usual figures: choose one with --metric from {known}."
    )
