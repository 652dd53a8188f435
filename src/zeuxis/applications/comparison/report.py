"""Writes the figures of a comparison as JSON and as a page, and shows them on a terminal."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from ... import files
from ...evaluation.record import finite
from .advice import advice
from .compare import column_from
from .hypotheses import hypotheses
from .page import html
from .results import Column
from .verdicts import Verdict

PAGE, JSON = "index.html", "comparison.json"
ROWS = {
    "Fréchet distance": "quality.frechet",
    "precision": "quality.precision",
    "recall": "quality.recall",
    "coverage": "quality.coverage",
    "sharpness, ratio to real": "sharpness.mean.spectrum.0",
    "seconds an image": "cost.seconds.64",
    "class from code, 100 labels": "codes.accuracy.0.1",
}


def write_report(figures: dict[str, Any], folder: Path) -> tuple[list[Column], list[Verdict]]:
    """Writes `comparison.json` and `index.html`.

    Arguments:
        figures: As `compare` gives them.
        folder: Where they go, beside the pictures.

    Returns:
        The columns, and a verdict on each hypothesis.
    """
    plain = json.loads(json.dumps(finite(figures)))  # as a later reader of the file has them
    columns = [column_from(values) for values in plain["columns"]]
    verdicts, advised = hypotheses(columns), advice(columns)
    whole = plain | {
        "hypotheses": [asdict(verdict) for verdict in verdicts],
        "advice": [asdict(line) for line in advised],
    }
    files.write(folder / JSON, json.dumps(whole, indent=1) + "\n")
    files.write(folder / PAGE, html(plain, verdicts, advised, folder))
    return columns, verdicts


def summary(columns: list[Column]) -> Table:
    """The main figures as a table for a terminal."""
    table = Table("", *(column.title for column in columns))
    for name, path in ROWS.items():
        cells = [mean_of(column.values(path)) for column in columns]
        if any(text != "-" for text in cells):
            table.add_row(name, *cells)
    table.add_row("nats, binarized", *(nats_of(column) for column in columns))
    return table


def mean_of(values: list[float]) -> str:
    """The mean of values as text, "-" for none."""
    return f"{sum(values) / len(values):.3g}" if values else "-"


def nats_of(column: Column) -> str:
    """Mean nats of binarized images and their kind."""
    found = column.nats("binary")
    if found is None:
        return "-"
    kind, runs = found
    return f"{sum(sum(run) / len(run) for run in runs) / len(runs):.1f} {kind}"


def sentences(verdicts: list[Verdict]) -> str:
    """The verdicts in a line each."""
    return "\n".join(f"{v.number:<4}{v.outcome:<15}{v.hypothesis}" for v in verdicts)
