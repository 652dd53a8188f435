"""The page of all records, made from `results/` whenever the documentation is built."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "results"
UNKNOWN = "not recorded"


def numbers(figures: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Name and number of each figure of a record, however deep it lies."""
    for key, value in figures.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{prefix}{key} ")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + key, value


def shown(value: Any, unit: str = "") -> str:
    """A number with its unit, or that it was not recorded.

    Example:
        >>> shown(6755.25, "s"), shown(None, "s")
        ('6,755 s', 'not recorded')
    """
    return UNKNOWN if value is None else f"{value:,.0f} {unit}".strip()


def trained(training: dict[str, Any]) -> str:
    """One sentence on the training of a model, and a second one where it began with the weights of
    another."""
    if "probabilities" in training:
        return f"A member by its probabilities: `{training['probabilities']}`."
    unit = "steps" if "steps" in training else "images"
    command = f"`{training['command']}`" if training["command"] else f"a command that is {UNKNOWN}"
    text = (
        f"Trained by {command}: seed {shown(training['seed'])}, {unit} {shown(training[unit])}, "
        f"time {shown(training['seconds'], 's')}, machine {training['machine'] or UNKNOWN}."
    )
    if start := training.get("start"):
        digest = f"SHA-256 {start['sha256']}" if start["sha256"] else f"whose digest is {UNKNOWN}"
        text += f" A continuation: it began with the weights of `{start['weights']}` ({digest})"
        text += "." if start["sha256"] else ", so that this command alone does not repeat it."
    return text


def section(name: str, record: dict[str, Any]) -> str:
    """One record as Markdown."""
    runs = record.get("training", [])
    runs = runs if isinstance(runs, list) else [runs]
    seeds = record["seed"] if isinstance(record["seed"], list) else [record["seed"]]
    lines = [
        f"## {name}",
        "",
        f"Measured by `{record['command']}`: seed {', '.join(map(str, seeds))}, ",
    ]
    lines[-1] += (
        f"time {shown(record['seconds'], 's')}, machine {record['machine']}, {record['date']}."
    )
    sentences = [trained(run) for run in runs]
    if len(sentences) > 1:
        lines += ["", *(f"- {sentence}" for sentence in sentences)]
        if total := record.get("training seconds"):
            lines += ["", f"All trainings together: {shown(total, 's')}."]
    else:
        lines += sentences
    for title, key in (("Published", "paper"), ("Note", "note")):
        if record[key]:
            lines += ["", f"{title}: {record[key]}."]
    lines += ["", "| figure | value |", "| --- | --- |"]
    lines += [
        (
            f"| {figure.replace('|', chr(92) + '|')} | "
            f"{value:{',.5g' if isinstance(value, float) else ','}} |"
        )
        for figure, value in numbers(record["figures"])
    ]
    return "\n".join(lines)


def page(folder: Path = RESULTS) -> str:
    """The page, with a section for each record."""
    parts = [
        "# Records",
        "Every figure has a record under `results/`, written by the program that measured it.",
    ]
    parts += [
        section(path.stem, json.loads(path.read_text())) for path in sorted(folder.rglob("*.json"))
    ]
    return "\n\n".join(parts) + "\n"
