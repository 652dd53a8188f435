"""Where a model comes from: command, seed, time, length and machine of its training, for the
records.

A run that began with other weights (`--training.start`) is a continuation: its command alone does
not make the model, so the record names the weights and their SHA-256.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..checkpoints.run_folder import Run
from ..checkpoints.serialization import to_json
from ..checkpoints.weights import resolve
from ..recipes import recipes
from .options import option_for
from .policy_provenance import policy_command


def provenance(name: str | Path) -> dict[str, Any]:
    """What a record tells of a model: how it was trained, and its settings.

    Arguments:
        name: A run folder or a shipped model's name.
    """
    run = Run.open(resolve(name))
    about = run.read_config()
    return {"training": training_of(run), "config": about["config"]}


def training_of(run: Run) -> dict[str, Any]:
    """Command, seed, seconds, length and machine of a run's training, None where its folder does
    not tell.

    Arguments:
        run: The folder of a run, of a policy or of a saved model.
    """
    about, reports = run.read_config(), run.metrics()
    config: dict[str, Any] = about.get("training") or about.get("bc") or {}
    last = reports[-1] if reports else {}
    unit = "steps" if "algorithm" in about else "images"
    found = {
        "model": about.get("algorithm") or about.get("model"),
        "data": about.get("env") or about.get("data", {}).get("data"),
        "command": command_of(about),
        "seed": config.get("seed"),
        "seconds": last.get("seconds"),
        unit: last.get(unit),
        "machine": about.get("machine"),
    }
    if config.get("start"):
        found["start"] = about.get("start") or {"weights": config["start"], "sha256": None}
    if "training" in about:
        found["config"] = about["training"]
    return found | {"last report": last or None}


def command_of(about: dict[str, Any]) -> str | None:
    """The command that trains what a config.json describes; None for a model saved by hand, which
    no command made."""
    if "algorithm" in about:
        return policy_command(about)
    return training_command(about) if "training" in about else None


def training_command(about: dict[str, Any]) -> str:
    """The command that trains a run with these settings: its recipe and what differs from it."""
    name = about.get("recipe", "")
    words = ["zeuxis", "train", str(about["model"])]
    base: dict[str, Any] = {}
    if name in recipes():
        words += ["--recipe", name.split("/", 1)[1]]
        base = {
            "training": to_json(recipes()[name].training),
            "config": to_json(recipes()[name].config),
        }
    source = about.get("data", {})
    data = source.get("data", "")
    if name not in recipes() or data != recipes()[name].data:
        words += ["--data", data.split("=")[0]]
    given = (
        {"size": recipes()[name].size, "labels_per_class": recipes()[name].labels_per_class}
        if name in recipes()
        else {}
    )
    for key in ("size", "channels", "labels", "limit", "labels_per_class", "label_seed"):
        if source.get(key) and source[key] != given.get(key):
            words.append(f"--{key.replace('_', '-')}={source[key]}")
    for part, option in (("config", "model"), ("training", "training")):
        for key, value in about.get(part, {}).items():
            if key == "minutes":  # the images that came of them are there
                continue
            usual = base.get(part, {}).get(key, value)
            if value != (
                list(usual) if isinstance(usual, tuple) else usual
            ):  # a file knows lists only
                words.append(option_for(f"{option}.{key}", value))
    return " ".join(words)
