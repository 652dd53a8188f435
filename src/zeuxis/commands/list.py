"""zeuxis list: models, recipes, data sets, and runs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
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
from ..experiments.train_policy import ALGORITHMS
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


def heading(text: str) -> None:
    """A title with an empty line before it."""
    out.print(Text(f"\n{text}", style="bold"))


def entry(name: str, *details: str) -> None:
    """A name on a line by itself, which is never cut, and what there is to say below it."""
    out.print(Text(name), soft_wrap=True)
    for detail in filter(None, details):
        out.print(Padding(Text(detail), (0, 0, 0, 4)))


def list_models(args: List) -> None:
    heading("Models: zeuxis train MODEL")
    for name, kind in sorted(models().items()):
        if args.model in ("", name):
            able = [verb for verb, capability in ALL.items() if has(kind, capability)]
            entry(name, kind.paper, f"can {', '.join(able)}" if able else "")
    heading("Policies: zeuxis train ALGORITHM --env TASK")
    for name, paper in ALGORITHMS.items():
        if args.model in ("", name):
            entry(name, paper)
    heading("Shipped: zeuxis sample NAME")
    for name in shipped():
        if not args.model or name.split("/", 1)[1].startswith(args.model):
            entry(name)


def list_recipes(args: List) -> None:
    if args.model not in PRESETS:
        heading("Recipes: zeuxis train MODEL --recipe NAME")
    for name, recipe in recipes().items():
        if args.model in ("", recipe.model):
            length = f"{recipe.data}, {recipe.training.images:,} images"
            entry(name, length, recipe.target or recipe.note or recipe.source)
    if not args.model or args.model in PRESETS:
        heading("Presets of policies: zeuxis train ALGORITHM --env TASK --preset NAME")
    for algorithm, presets in PRESETS.items():
        if args.model in ("", algorithm):
            for name, note in presets.items():
                entry(f"{algorithm}/{name}", note)


def list_data(args: List) -> None:
    heading("Data: --data NAME, NAME=PATH or PATH")
    for name, where, note in describe_sources():
        entry(name, f"{where}: {note}" if note else where)
    entry(", ".join(DENSITIES), "computed: points in the plane, for the density picture")


def list_runs(args: List) -> None:
    heading(f"Runs in '{args.runs}'")
    for path in sorted(Path(args.runs).glob("*/config.json")):
        run = Run(path.parent)
        try:
            model = str(run.read_json("config.json").get("model"))
            if args.model in ("", model):
                entry(str(run), f"{model}, {run.saved_images():,} images or steps saved")
        except ZeuxisError:
            if not args.model:
                entry(str(run), "damaged")


TOPICS: dict[str, Callable[[List], None]] = {
    "models": list_models,
    "recipes": list_recipes,
    "data": list_data,
    "runs": list_runs,
}
