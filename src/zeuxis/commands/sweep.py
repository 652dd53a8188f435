"""zeuxis sweep train MODEL: a grid of settings and seeds, on this machine or on a cluster."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.table import Table

from ..checkpoints.run_folder import Run
from ..errors import UsageError, ZeuxisError
from ..experiments.policy_training import ALGORITHMS
from ..experiments.sweep.drive import State, drive, finished_runs
from ..experiments.sweep.grid import Cell, grid, parse_seeds
from ..experiments.sweep.places import On, SlurmConfig, place_named
from ..progress import clock, out
from ..ranges import BaseConfig, Range
from ..registry import named, user_modules
from ..visual.curves import read_curves
from .curves import group_figures, usual_metric
from .curves import table as quartiles_table
from .inputs import FLAT
from .options import option
from .provenance import training_of
from .record_options import RecordOptions

HELP = """usage: zeuxis sweep train MODEL [options of train] --seeds 0-9 [--set NAME=V1,V2 ...]
       zeuxis sweep train ALGORITHM --env TASK [options of train] --seeds 0-9 [--set ...]

Trains every combination of the values after --set with every seed, each in a process with one
thread, and shows the figures of every seed with median and quartiles. The same command goes on
where it was stopped. Options of the sweep:
"""


@dataclass(frozen=True)
class Sweep(BaseConfig, flags="--"):
    """A grid of trainings."""

    seeds: str = "0-4"
    """Seeds: numbers and ranges, as in 0-9 or 0,3,7."""
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A setting with the values to try, as in model.lr=1e-3,3e-3; can be repeated."""
    on: On = "local"
    """Where the trainings run: processes of this machine, slurm (extra slurm), or ray (extra ray;
    the cluster at RAY_ADDRESS, else this machine)."""
    jobs: Annotated[int, Range(0, 10_000)] = 0
    """Trainings at once; 0 takes one a core, and on a cluster as many as it runs."""
    retries: Annotated[int, Range(0, 100)] = 1
    """How often a training that failed is begun again, from its last save."""
    out: str = ""
    """The sweep's folder; by default sweeps/MODEL."""
    metric: str = ""
    """The figure of the last table, as the progress lines call it; by default the usual one."""
    slurm: SlurmConfig = field(default_factory=SlurmConfig)
    record: Annotated[RecordOptions, FLAT] = field(default_factory=RecordOptions)


def main(argv: Sequence[str]) -> None:
    if not argv or argv[0] in ("-h", "--help") or {"-h", "--help"} & set(argv[1:]):
        print(HELP)
        tyro.cli(Sweep, args=["--help"], prog="zeuxis sweep train MODEL")
        return
    if argv[0] != "train" or len(argv) < 2:
        raise UsageError(
            f"zeuxis sweep repeats trainings, got '{' '.join(argv[:2])}': write zeuxis sweep "
            "train MODEL --seeds 0-9."
        )
    args, rest = tyro.cli(
        Sweep, args=argv[2:], prog="zeuxis sweep train MODEL", return_unknown_args=True
    )
    model = argv[1]
    command = checked_command(model, rest)
    cells = grid(command, parse_seeds(args.seeds), args.set)
    root = Path(args.out or f"sweeps/{model.rpartition(':')[2]}").absolute()
    began = time.monotonic()
    place = place_named(args.on, args.jobs, args.slurm, root)
    states = drive(cells, root, place, args.retries, user_modules)
    report(states, args, began)


def checked_command(model: str, rest: Sequence[str]) -> list[str]:
    """The words that all trainings share; each trains in one thread.

    Raises:
        UsageError: There is no such model, or an option that a sweep cannot take.
    """
    if model.startswith("-"):
        raise UsageError(f"The model comes first, got '{model}': zeuxis sweep train MODEL ...")
    for name in ("--resume", "--dry-run"):
        if any(word.partition("=")[0] == name for word in rest):
            raise UsageError(f"{name} is for single trainings: leave it out.")
    command = ["train", model, *rest]
    if model not in ALGORITHMS:
        named(model)  # refuses what there is not, and imports a class of the user's
        if option(rest, "--training.threads") is None:
            command += ["--training.threads", "1"]
    return command


def report(states: Sequence[State], args: Sweep, began: float) -> None:
    """Prints the tables, writes the record, and ends with an error if trainings failed."""
    runs = finished_runs(states)
    failed = [state for state in states if state.status == "failed"]
    if runs:
        metric = args.metric or usual_metric(runs[0][1])
        unit, curves = read_curves([run for _, run in runs], metric)
        figures = {"of": metric, "unit": unit, "groups": group_figures(curves, None)}
        out.print(seeds_table(runs, metric))
        out.print(quartiles_table(curves, metric, unit, None))
        if args.record.record:
            training = [training_of(run) for _, run in runs]
            details: dict[str, Any] = {"training": training}
            details["config"] = [run.read_config() for _, run in runs]
            seeds = sorted({cell.seed for cell, _ in runs})
            args.record.write(figures, began, seeds, **details)
    if failed:
        names = ", ".join(state.cell.name for state in failed[:5])
        more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
        raise ZeuxisError(
            f"{len(failed)} of {len(states)} trainings failed ({names}{more}): see log.txt in "
            f"'{failed[0].place}', then give the same command again."
        )


def seeds_table(runs: Sequence[tuple[Cell, Run]], metric: str) -> Table:
    """The last figure of every training, its length and its time."""
    table = Table(title=f"{metric} of every training", title_justify="left")
    for name in ("training", metric, "length", "time"):
        table.add_column(name, justify="left" if name == "training" else "right")
    for cell, run in runs:
        values = [line[metric] for line in run.metrics() if metric in line]
        last = f"{values[-1]:.4g}" if values else "-"
        length = f"{run.saved_images():,}"
        table.add_row(cell.name, last, length, clock(run.saved_seconds()))
    return table
