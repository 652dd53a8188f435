"""Pages of all records, one for each model, made from `results/` with the documentation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "results"
UNKNOWN = "not recorded"
TITLES = {
    "pretraining": "Few labels",
    "restoration": "Restored pictures",
    "speed": "Speed",
    "studies": "Studies",
}
HEADLINES = (
    "errors", "accuracy", "frechet", "nats", "bits/dim", "one to one", "one_to_one",
    "PSNR", "hit", "share", "mean", "size", "bytes", "ratio to tuned", "ratio",
)  # fmt: skip


def numbers(figures: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Name and number of each figure of a record, at any depth."""
    for key, value in figures.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{prefix}{key} ")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + key, value


def formatted(value: Any, unit: str = "") -> str:
    """A number with its unit, or that it was not recorded.

    Example:
        >>> formatted(6755.25, "s"), formatted(None, "s")
        ('6,755 s', 'not recorded')
    """
    return UNKNOWN if value is None else f"{value:,.0f} {unit}".strip()


def headline(record: dict[str, Any]) -> str:
    """The first figure of a record that carries a well-known name.

    Example:
        >>> headline({"figures": {"n": 10, "ELBO": {"nats": -84.35}}})
        'ELBO nats -84.35'
    """
    entries = list(numbers(record["figures"]))
    for name in HEADLINES:
        for key, value in entries:
            if key == name or key.endswith(f" {name}"):
                return f"{key} {value:,.5g}"
    return ""


def training_runs(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs that a record measured."""
    runs = record.get("training", [])
    return runs if isinstance(runs, list) else [runs]


def trained(training: dict[str, Any]) -> str:
    """One sentence on a training, and a second one if it started from other weights."""
    if "probabilities" in training:
        return f"A member by its probabilities: `{training['probabilities']}`."
    unit = "steps" if "steps" in training else "images"
    command = f"`{training['command']}`" if training["command"] else f"a command that is {UNKNOWN}"
    text = (
        f"Trained by {command}: seed {formatted(training['seed'])}, "
        f"{unit} {formatted(training[unit])}, time {formatted(training['seconds'], 's')}, "
        f"machine {training['machine'] or UNKNOWN}."
    )
    if start := training.get("start"):
        digest = f"SHA-256 {start['sha256']}" if start["sha256"] else f"whose digest is {UNKNOWN}"
        text += f" It started from the weights of `{start['weights']}` ({digest})"
        text += "." if start["sha256"] else ", so this command alone does not repeat it."
    return text


def section(name: str, record: dict[str, Any]) -> str:
    """One record as Markdown, under its name."""
    runs = training_runs(record)
    seeds = record["seed"] if isinstance(record["seed"], list) else [record["seed"]]
    lines = [
        f"### {name}",
        "",
        f"Measured by `{record['command']}`: seed {', '.join(map(str, seeds))}, "
        f"time {formatted(record['seconds'], 's')}, machine {record['machine']}, "
        f"{record['date']}.",
    ]
    sentences = [trained(run) for run in runs]
    if len(sentences) > 1:
        lines += ["", *(f"- {sentence}" for sentence in sentences)]
        if total := record.get("training seconds"):
            lines += ["", f"All trainings together: {formatted(total, 's')}."]
    else:
        lines += sentences
    for title, key in (("Published", "paper"), ("Note", "note")):
        if record[key]:
            lines += ["", f"{title}: {record[key]}."]
    lines += ["", "| figure | value |", "| --- | --- |"]
    for figure, value in numbers(record["figures"]):
        number = f"{value:{',.5g' if isinstance(value, float) else ','}}"
        lines.append(f"| {cell(figure)} | {number} |")
    return "\n".join(lines)


def cell(text: str) -> str:
    """A text that ends no table cell."""
    return text.replace("|", r"\|")


def title(path: str) -> str:
    """The heading of a record: its path below the model's folder."""
    return path.partition("/")[2]


def anchor(path: str) -> str:
    """The address of a record on its model's page.

    Example:
        >>> anchor("vae/mnist/diagonal-seed0")
        'mnistdiagonal-seed0'
    """
    return re.sub(r"[^\w-]", "", title(path).lower())


def row(path: str, record: dict[str, Any]) -> str:
    """One record as a row: data, name, seed, headline figure, length and date."""
    folder, _, name = path.rpartition("/")
    runs = training_runs(record)
    seeds = sorted({run["seed"] for run in runs if run.get("seed") is not None})
    length = next((run[unit] for run in runs for unit in ("images", "steps") if run.get(unit)), "")
    return (
        f"| {folder.partition('/')[2]} | [{name}](#{anchor(path)}) | {', '.join(map(str, seeds))} "
        f"| {cell(headline(record))} | {f'{length:,}' if length else ''} | {record['date']} |"
    )


def model_page(model: str, records: dict[str, dict[str, Any]]) -> str:
    """The page of a model: a table of its records, then each record in full."""
    parts = [
        f"# {TITLES.get(model, f'`{model}`')}",
        "\n".join(
            [
                "| data | record | training seeds | headline | length | date |",
                "| --- | --- | --- | --- | --- | --- |",
                *(row(path, record) for path, record in records.items()),
            ]
        ),
    ]
    data = ""
    for path, record in records.items():
        folder = "/".join(path.split("/")[1:-1])
        if folder != data:
            data = folder
            parts.append(f"## {folder}")
        text = section(title(path), record)
        parts.append(text if folder else text.replace("###", "##", 1))
    return "\n\n".join(parts) + "\n"


def pages(folder: Path = RESULTS) -> dict[str, str]:
    """A page for each folder of `results/`, and `index`, which links them."""
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(folder.rglob("*.json")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        groups.setdefault(name.split("/")[0], {})[name] = json.loads(path.read_text())
    made = {model: model_page(model, records) for model, records in groups.items()}
    index = [
        "# Records",
        "Every measured figure has a record, written by the program that measured it. A click on "
        "the head of a column sorts a table. [How records and figures work](../../figures.md).",
        "\n".join(
            [
                "| folder | data | records |",
                "| --- | --- | --- |",
                *(
                    f"| [{TITLES.get(model, model)}]({model}.md) "
                    f"| {', '.join(sorted({n.split('/')[1] for n in records if n.count('/') > 1}))}"
                    f" | {len(records)} |"
                    for model, records in groups.items()
                ),
            ]
        ),
        "```{toctree}\n:hidden:\n\n" + "\n".join(groups) + "\n```",
    ]
    return made | {"index": "\n\n".join(index) + "\n"}
