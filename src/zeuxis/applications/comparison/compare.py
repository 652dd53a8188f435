"""The whole comparison: trains what is missing, measures, and writes the page.

The folder of a comparison holds everything: `runs/` the trainings, `cells/` the figures of each
run, `samples/` and `pictures/`, `comparison.json` all figures, and `index.html` the page. The same
command goes on where it was stopped; with more models or seeds it adds what is missing.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ... import files
from ...capabilities import ALL
from ...checkpoints.run_folder import Run
from ...checkpoints.serialization import to_json
from ...data.config import DataConfig
from ...errors import UsageError, ZeuxisError
from ...evaluation.record import command, finite
from ...machine import machine
from ...progress import clock, console
from ...registry import model_class
from .effort import FULL, QUICK, Effort
from .entrants import Entrant, entrants, settings_of
from .material import Material, material
from .measure import is_measured, measure, reference
from .results import Column
from .subject import Subject
from .trainings import FAILED, is_done, train_run, trained


@dataclass(frozen=True)
class Request:
    """What a comparison is asked for.

    Arguments:
        data: Which data.
        models: Models or runs; none for the four default columns.
        minutes: Minutes of each training.
        seeds: Trainings of each model.
        out: The folder.
        quick: Whether to take a first look with fewer samples.
        network: A feature network's name, "" to choose.
        settings: Whether to train other step sizes and batches too.
    """

    data: DataConfig
    models: tuple[str, ...]
    minutes: float
    seeds: int
    out: Path
    quick: bool = False
    network: str = ""
    settings: bool = False

    @property
    def effort(self) -> Effort:
        """Numbers of samples and images."""
        return QUICK if self.quick else FULL


@dataclass(frozen=True)
class Task:
    """One run: to be trained, unless it is given, and to be measured."""

    entrant: Entrant
    seed: int
    place: Path | str


def compare(request: Request) -> dict[str, Any]:
    """Trains, measures and collects all figures.

    Returns:
        All figures, as `comparison.json` has them.

    Raises:
        UsageError: The folder holds a comparison with other settings.
    """
    began = time.monotonic()
    plan = checked_plan(request)
    parts = material(request.data, request.out, request.network, request.minutes)
    found = entrants(request.models, request.data, parts.train)
    files.write(request.out / "plan.json", json.dumps(plan, indent=2) + "\n")
    if request.settings:
        found += [variant for one in found if one.role == "all" for variant in settings_of(one)]
    tasks = list(tasks_of(found, request))
    left = Left(request, tasks)
    for i, task in enumerate(tasks, 1):
        key = f"{task.entrant.name}, seed {task.seed}"
        if not task.entrant.runs and not is_done(Path(task.place)):
            say(f"[{i} of {len(tasks)}] training {key}; {left} left")
            train_run(
                task.entrant, task.seed, parts, request.minutes, Path(task.place), request.effort
            )
        left.trained()
        subject = subject_of(task, parts, request)
        if subject is not None and not is_measured(subject):
            say(f"[{i} of {len(tasks)}] measuring {key}; {left} left")
            start = time.monotonic()
            measure(subject)
            left.measured(time.monotonic() - start)
        else:
            left.measured(0.0)
    columns = columns_of(found, tasks, parts, request)
    return figures_of(columns, tasks, parts, request, time.monotonic() - began)


def checked_plan(request: Request) -> dict[str, Any]:
    """What this comparison is; a folder that holds another one is refused."""
    plan: dict[str, Any] = {
        "data": to_json(request.data.absolute()),
        "minutes": request.minutes,
        "quick": request.quick,
        "network": request.network,
    }
    path = request.out / "plan.json"
    before = files.read_json(path) if path.exists() else plan
    if changed := [key for key in plan if before.get(key) != plan[key]]:
        raise UsageError(
            f"'{request.out}' holds a comparison with another value of {' and '.join(changed)}: "
            "give the same to go on with it, or another --out."
        )
    return plan


def tasks_of(found: list[Entrant], request: Request) -> Iterator[Task]:
    """Every run, seed by seed, so that a comparison that is stopped has all models."""
    for seed in range(request.seeds):
        for one in found:
            name = f"{one.name}-seed{seed}"
            if one.role == "setting" and seed:
                continue
            if one.runs:
                if seed < len(one.runs):
                    yield Task(one, seed, one.runs[seed])
            else:
                yield Task(one, seed, request.out / "runs" / name)
    for one in found:  # given runs beyond the number of seeds
        for seed in range(request.seeds, len(one.runs)):
            yield Task(one, seed, one.runs[seed])


class Left:
    """The time that is left, from the trainings to come and from measurements so far."""

    def __init__(self, request: Request, tasks: list[Task]) -> None:
        self.minutes = request.minutes
        self.trainings = sum(
            not task.entrant.runs and not is_done(Path(task.place)) for task in tasks
        )
        self.measures = len(tasks)
        self.times: list[float] = []
        self.guess = 60.0 if request.quick else 400.0

    def trained(self) -> None:
        """One training less."""
        self.trainings = max(0, self.trainings - 1)

    def measured(self, seconds: float) -> None:
        """One measurement less."""
        self.measures -= 1
        if seconds:
            self.times.append(seconds)

    def __str__(self) -> str:
        each = sum(self.times) / len(self.times) if self.times else self.guess
        return f"about {clock(66 * self.minutes * self.trainings + each * self.measures)}"


def say(sentence: str) -> None:
    """Prints where the comparison is."""
    console.print(sentence, markup=False, soft_wrap=True)


def subject_of(task: Task, parts: Material, request: Request) -> Subject | None:
    """What is measured of a task; None for a training that diverged."""
    if not task.entrant.runs and (Path(task.place) / FAILED).exists():
        return None
    return Subject(task.entrant, task.seed, task.place, parts, request.effort, request.out)


def columns_of(
    found: list[Entrant], tasks: list[Task], parts: Material, request: Request
) -> list[Column]:
    """All columns with their figures."""
    runs: dict[str, list[dict[str, Any]]] = {}
    able: dict[str, tuple[str, ...]] = {}
    for task in tasks:
        subject = subject_of(task, parts, request)
        if subject is None:
            failed = trained(Run(task.place)).as_dict()
            runs.setdefault(task.entrant.name, []).append({"training": {"figures": failed}})
            continue
        runs.setdefault(task.entrant.name, []).append(measure(subject))
        if task.entrant.name not in able and task.entrant.role != "setting":
            can = subject.model.can
            able[task.entrant.name] = tuple(word for word, kind in ALL.items() if can(kind))
    columns = {
        one.name: Column(
            one.name, one.title, one.model, one.family, able.get(one.name, ()),
            tuple(runs.get(one.name, ())),
            settings={
                other.name: runs[other.name][0]
                for other in found
                if other.parent == one.name and other.role == "setting" and runs.get(other.name)
            },
        )
        for one in found
        if one.role != "setting"
    }  # fmt: skip
    for one in found:
        if one.role == "likelihood" and one.parent in columns:
            first = columns[one.parent]
            columns[one.parent] = Column(**{**vars(first), "second": columns[one.name]})
    return [columns[one.name] for one in found if one.role == "all"]


def figures_of(
    columns: list[Column], tasks: list[Task], parts: Material, request: Request, seconds: float
) -> dict[str, Any]:
    """All figures as plain values."""
    first = next((s for task in tasks if (s := subject_of(task, parts, request)) is not None), None)
    if first is None:
        raise ZeuxisError("Every training diverged: there is nothing to compare.")
    about = {
        "zeuxis": version("zeuxis"),
        "date": datetime.date.today().isoformat(),
        "command": command(),
        "machine": machine(),
        "seconds": round(seconds, 1),
        "data": {
            "name": parts.test.spec.name,
            "shape": list(parts.test.spec.shape),
            "classes": list(parts.test.spec.class_names),
            "train": len(parts.train),
            "validation": len(parts.validation),
            "test": len(parts.test),
            "bytes": parts.train.nbytes,
            "notes": list(parts.notes),
        },
        "network": {
            "name": parts.network.name,
            "hash": parts.network.hash,
            "classifies": parts.classifies,
        },
        "protocol": asdict(request.effort)
        | {
            "minutes": request.minutes,
            "seeds": request.seeds,
            "quick": request.quick,
            "count": first.count,
            "gray": parts.gray,
        },
        "reference": reference(first),
        "columns": [column_json(column) for column in columns],
    }
    return finite(about)


def column_json(column: Column) -> dict[str, Any]:
    """A column as plain values."""
    return {
        "name": column.name,
        "title": column.title,
        "model": column.model,
        "paper": model_class(column.model).paper,
        "family": column.family,
        "capabilities": list(column.capabilities),
        "runs": [dict(run) for run in column.runs],
        "second": None if column.second is None else column_json(column.second),
        "settings": {name: dict(run) for name, run in column.settings.items()},
    }


def column_from(values: dict[str, Any]) -> Column:
    """A column out of `comparison.json`."""
    return Column(
        values["name"], values["title"], values["model"], values["family"],
        tuple(values["capabilities"]), tuple(values["runs"]),
        column_from(values["second"]) if values.get("second") else None,
        values.get("settings", {}),
    )  # fmt: skip
