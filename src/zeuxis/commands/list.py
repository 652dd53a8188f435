"""zeuxis list: what there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.table import Table

from ..capabilities import (
    CanClassify,
    CanComplete,
    CanDecode,
    CanEncode,
    CanFeature,
    CanLogProb,
    CanSample,
    HasCodes,
    has,
)
from ..checkpoints.run_folder import Run
from ..checkpoints.weights import shipped
from ..data import describe_sources
from ..data.densities import DENSITIES
from ..errors import ZeuxisError
from ..experiments.train_policy import ALGORITHMS
from ..progress import out
from ..ranges import BaseConfig
from ..recipes import recipes
from ..registry import models

VERBS = {
    "sample": CanSample,
    "decode": CanDecode,
    "encode": CanEncode,
    "log_prob": CanLogProb,
    "complete": CanComplete,
    "classify": CanClassify,
    "features": CanFeature,
    "codes": HasCodes,
}


@dataclass(frozen=True)
class List(BaseConfig, flags="--"):
    """Shows models, recipes, data, shipped models and runs."""

    runs: str = "runs"
    """The folder of run folders."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(List, args=words, prog="zeuxis list")
    table = Table("model", "paper", "can", title="models: zeuxis train MODEL", title_justify="left")
    for name, kind in sorted(models().items()):
        able = [verb for verb, what in VERBS.items() if has(kind, what)]
        table.add_row(name, kind.paper, ", ".join(able))
    out.print(table)
    table = Table(
        "algorithm",
        "paper",
        title="policies: zeuxis train ALGORITHM --env TASK",
        title_justify="left",
    )
    for name, paper in ALGORITHMS.items():
        table.add_row(name, paper)
    out.print(table)
    table = Table(
        "recipe",
        "data",
        "images",
        "for",
        title="recipes: zeuxis train MODEL --recipe NAME",
        title_justify="left",
    )
    for name, recipe in recipes().items():
        table.add_row(
            name,
            recipe.data,
            f"{recipe.training.images:,}",
            recipe.target or recipe.note or recipe.source,
        )
    out.print(table)
    table = Table(
        "data", "where", "note", title="data: --data NAME, NAME=PATH or PATH", title_justify="left"
    )
    for row in describe_sources():
        table.add_row(*row)
    table.add_row(", ".join(DENSITIES), "computed", "points in the plane, for the density picture")
    out.print(table)
    table = Table("model", title="shipped: zeuxis sample NAME", title_justify="left")
    for name in shipped():
        table.add_row(name)
    out.print(table)
    table = Table(
        "run",
        "model",
        "images or steps saved",
        title=f"runs in '{wish.runs}'",
        title_justify="left",
    )
    for folder in sorted(Path(wish.runs).glob("*/config.json")):
        run = Run(folder.parent)
        try:
            table.add_row(
                str(run), str(run.read_json("config.json").get("model")), f"{run.saved_images():,}"
            )
        except ZeuxisError:
            table.add_row(str(run), "damaged", "")
    out.print(table)
