"""Where a model comes from: the command that trains it again and the last figures of its training, for the records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..recipes import recipes
from ..training.config import to_json
from ..training.run import Run
from ..training.weights import resolve


def provenance(name: str | Path) -> dict[str, Any]:
    """What a record tells of a model: how it was trained, its settings, and what its run last reported.

    Arguments:
        name: A run folder or a shipped model's name.
    """
    run = Run.open(resolve(name))
    about = run.read_json("config.json")
    told = {"trained by": training_command(about), "training": about.get("training"), "settings": about["settings"]}
    return told | {"metrics": run.metrics()[-1:]}


def training_command(about: dict[str, Any]) -> str:
    """The command that trains a run with these settings: its recipe and what differs from it."""
    name = about.get("recipe", "")
    words = ["zeuxis", "train", str(about["model"])]
    base: dict[str, Any] = {}
    if name in recipes():
        words += ["--recipe", name.split("/", 1)[1]]
        base = {"training": to_json(recipes()[name].training), "settings": to_json(recipes()[name].settings)}
    source = about.get("source", {})
    data = source.get("data", "")
    if name not in recipes() or data != recipes()[name].data:
        words += ["--data", data.split("=")[0]]
    given = {"size": recipes()[name].size, "labels_per_class": recipes()[name].labels_per_class} if name in recipes() else {}
    for key in ("size", "channels", "labels", "limit", "labels_per_class", "label_seed"):
        if source.get(key) and source[key] != given.get(key):
            words.append(f"--{key.replace('_', '-')}={source[key]}")
    for part, option in (("settings", "model"), ("training", "training")):
        for key, value in about.get(part, {}).items():
            usual = base.get(part, {}).get(key, value)
            if value != (list(usual) if isinstance(usual, tuple) else usual):  # a file knows lists only
                words.append(option_for(f"{option}.{key}", value))
    return " ".join(words)


def option_for(name: str, value: Any) -> str:
    """A setting as the command line takes it.

    Example:
        >>> option_for("model.open_edges", False), option_for("model.maps", [16, 32]), option_for("training.clip", 1.0)
        ('--model.no-open-edges', '--model.maps 16 32', '--training.clip=1.0')
    """
    name = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else "--{}.no-{}".format(*name.split("."))
    return f"--{name} {' '.join(map(str, value))}".rstrip() if isinstance(value, list) else f"--{name}={value}"
