"""zeuxis list: models, recipes, data sets, and runs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.padding import Padding
from rich.text import Text

from ..capabilities import ALL, has
from ..checkpoints.run_folder import Run
from ..checkpoints.weights import shipped
from ..data import describe_sources
from ..data.densities import DENSITIES
from ..errors import UsageError, ZeuxisError
from ..experiments.policy_training import ALGORITHMS
from ..progress import out
from ..ranges import BaseConfig
from ..recipes import recipes
from ..recipes.policies import PRESETS
from ..registry import models

Topic = Literal["all", "models", "recipes", "data", "runs"]


@dataclass(frozen=True)
class List(BaseConfig, flags="--"):
    """Lists models, recipes, data sets, and runs."""

    topic: tyro.conf.Positional[Topic] = "all"
    """What to list."""
    model: tyro.conf.Positional[str] = ""
    """Only the entries of this model."""
    runs: str = "runs"
    """The folder of run folders."""


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(List, args=argv, prog="zeuxis list")
    known = [*models(), *ALGORITHMS]
    if args.model and args.model not in known:
        near = difflib.get_close_matches(args.model, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"the models are {', '.join(sorted(known))}."
        raise UsageError(f"There is no model '{args.model}': {hint}")
    for topic, show in TOPICS.items():
        if args.topic in ("all", topic):
            show(args)


def section(title: str, entries: Iterable[tuple[str, ...]]) -> None:
    """Prints a title and its entries.

    Arguments:
        title: The title.
        entries: Of each entry the name, which stands on a line by itself and is never cut, and
            details, which are wrapped below it.
    """
    out.print(Text(f"\n{title}", style="bold"))
    for name, *details in entries:
        out.print(Text(name), soft_wrap=True)
        for detail in filter(None, details):
            out.print(Padding.indent(Text(detail), 4))


def list_models(args: List) -> None:
    policies = [(name, paper) for name, paper in ALGORITHMS.items() if args.model in ("", name)]
    weights = [(name,) for name, path in shipped().items() if args.model in ("", model_of(path))]
    if args.model not in ALGORITHMS:
        section("Models: zeuxis train MODEL", model_entries(args.model))
    if policies:
        section("Policies: zeuxis train ALGORITHM --env TASK", policies)
    if weights:
        section("Shipped: zeuxis sample NAME", weights)


def model_entries(model: str) -> Iterator[tuple[str, ...]]:
    """Name, paper and capabilities of each model, or of one."""
    for name, kind in sorted(models().items()):
        if model in ("", name):
            able = [verb for verb, capability in ALL.items() if has(kind, capability)]
            yield name, kind.paper, f"can {', '.join(able)}" if able else ""


def model_of(folder: Path) -> str:
    """The model of a run folder or of a shipped model."""
    return str(Run(folder).read_json("config.json").get("model"))


def list_recipes(args: List) -> None:
    entries = [
        (
            name,
            f"{recipe.data}, {recipe.training.images:,} images",
            recipe.target or recipe.note or recipe.source,
        )
        for name, recipe in recipes().items()
        if args.model in ("", recipe.model)
    ]
    presets = [
        (f"{algorithm}/{name}", note)
        for algorithm, notes in PRESETS.items()
        for name, note in notes.items()
        if args.model in ("", algorithm)
    ]
    if entries:
        section("Recipes: zeuxis train MODEL --recipe NAME", entries)
    if presets:
        section("Presets of policies: zeuxis train ALGORITHM --env TASK --preset NAME", presets)


def list_data(args: List) -> None:
    entries = [
        (name, f"{where}: {note}" if note else where) for name, where, note in describe_sources()
    ]
    entries.append((", ".join(DENSITIES), "computed: points in the plane, for the density picture"))
    section("Data: --data NAME, NAME=PATH or PATH", entries)


def list_runs(args: List) -> None:
    entries = list(run_entries(args))
    section(f"Runs in '{args.runs}'" if entries else f"No runs in '{args.runs}'", entries)


def run_entries(args: List) -> Iterator[tuple[str, ...]]:
    """Folder, model and length of each run."""
    for path in sorted(Path(args.runs).glob("*/config.json")):
        run = Run(path.parent)
        try:
            model, saved = model_of(path.parent), run.saved_images()
        except ZeuxisError:
            model, saved = "damaged", 0
        if args.model in ("", model):
            yield str(run), f"{model}, {saved:,} images or steps saved" if saved else model


TOPICS: dict[str, Callable[[List], None]] = {
    "models": list_models,
    "recipes": list_recipes,
    "data": list_data,
    "runs": list_runs,
}
