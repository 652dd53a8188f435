"""zeuxis curves: a figure of several runs over time, as median and quartiles over seeds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.table import Table

from ..checkpoints.run_folder import Run
from ..errors import UsageError
from ..evaluation.record import write_record
from ..progress import out
from ..ranges import BaseConfig, Finite, Range
from ..visual.curves import curves, draw
from ..visual.grid import save
from .provenance import training_of


@dataclass(frozen=True)
class Curves(BaseConfig, flags="--"):
    """Compares runs over time: those that differ in their seed alone are taken together as median
    and quartiles, and each group gets a line in a picture. Groups are named by the settings in
    which they differ."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Run folders, of one kind."""
    of: str = ""
    """The figure, as the progress lines call it: by default return for policies, else the first of
    bound, bits/dim, generator."""
    above: Finite | None = None
    """Also say when each group's median first reaches this value."""
    out: str = ""
    """Where the picture goes, as in curves.png."""
    points: Annotated[int, Range(2, 10000)] = 50
    """Times at which the figure is read; its mean over the reports between two of them counts."""
    record: str = ""
    """Write the figures with command, machine and time to this JSON file."""
    paper: str = ""
    """The published figure, for the record."""
    note: str = ""
    """What a reader of the record must know."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Curves, args=words, prog="zeuxis curves")
    if not wish.runs:
        raise UsageError(
            "No run was given: name at least one run folder, as in zeuxis curves runs/*."
        )
    if wish.out and Path(wish.out).suffix.lower() not in (".png", ".webp"):
        raise UsageError(
            f"The picture '{wish.out}' has another ending than .png or .webp: give one of these."
        )
    began = time.monotonic()
    runs = [Run.open(folder) for folder in wish.runs]
    of = wish.of or usual(runs[0])
    unit, found = curves(runs, of, wish.points)
    aim = "" if wish.above is None else f"; when its median first reaches {wish.above:g}"
    table = Table(title=f"{of} over {unit}{aim}", title_justify="left")
    for name in ("group", "runs", unit, "25 %", "median", "75 %", *(["reached"] if aim else [])):
        table.add_column(name, min_width=20 if name == "group" else None)
    figures: dict[str, Any] = {"of": of, "unit": unit, "groups": {}}
    for curve in found:
        cells = [f"{value:.4g}" for value in curve.quartiles()[:, -1]]
        figures["groups"][curve.name] = curve.as_dict()
        if wish.above is not None:
            when = curve.reached(wish.above)
            figures["groups"][curve.name][f"median first reaches {wish.above:g}"] = when
            cells.append("never" if when is None else f"{when:,.0f}")
        table.add_row(curve.name, str(len(curve.values)), f"{curve.at[-1]:,.0f}", *cells)
    out.print(table)
    if wish.out:
        picture = save(draw(found, of, unit), wish.out)
        out.print(f"Picture: {picture}", markup=False, soft_wrap=True)
    if wish.record:
        training = [training_of(run) for run in runs]
        trained = sum(run["seconds"] or 0.0 for run in training)
        abouts = [run.read_json("config.json") for run in runs]
        config = [{k: v for k, v in about.items() if k != "task"} for about in abouts]
        more = {"config": config, "training": training, "training seconds": trained}
        seconds, seeds = (
            time.monotonic() - began,
            sorted({seed for about in abouts if (seed := seed_of(about)) is not None}),
        )
        path = write_record(
            wish.record,
            figures,
            seconds=seconds,
            seed=seeds,
            paper=wish.paper,
            note=wish.note,
            **more,
        )
        out.print(f"Record: {path}", markup=False, soft_wrap=True)


def seed_of(about: dict[str, Any]) -> int | None:
    """The seed a run was trained with, wherever among its settings that stands."""
    found = (part["seed"] for part in about.values() if isinstance(part, dict) and "seed" in part)
    return next(found, None)


def usual(run: Run) -> str:
    """The figure that most would look at."""
    lines = run.metrics()
    known = {key for line in lines for key in line}
    found = next(
        (name for name in ("return", "bound", "bits/dim", "generator") if name in known), ""
    )
    if not found:
        names = ", ".join(sorted(known)) or "nothing yet"
        raise UsageError(
            f"'{run.folder}' has none of the usual figures: choose one with --of from {names}."
        )
    return found
