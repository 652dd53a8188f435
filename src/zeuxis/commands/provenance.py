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

DATA_OPTIONS = ("size", "channels", "labels", "limit", "labels_per_class", "label_seed")


def provenance(name: str | Path) -> dict[str, Any]:
    """How a model was trained, and its settings, as a record keeps them.

    Arguments:
        name: A run folder or a shipped model's name.
    """
    run = Run.open(resolve(name))
    return {"training": training_of(run), "config": run.read_config()["config"]}


def training_of(run: Run) -> dict[str, Any]:
    """Command, seed, seconds, length and machine of a run's training, None where its folder does
    not say.

    Arguments:
        run: The folder of a run, of a policy or of a saved model.
    """
    about, reports = run.read_config(), run.metrics()
    config: dict[str, Any] = about.get("training") or about.get("bc") or {}
    last = reports[-1] if reports else {}
    unit = "steps" if "algorithm" in about else "images"
    training = {
        "model": about.get("algorithm") or about.get("model"),
        "data": about.get("env") or about.get("data", {}).get("data"),
        "command": command_of(about),
        "seed": config.get("seed"),
        "seconds": last.get("seconds"),
        unit: last.get(unit),
        "machine": about.get("machine"),
    }
    if config.get("start"):
        training["start"] = about.get("start") or {"weights": config["start"], "sha256": None}
    if "training" in about:
        training["config"] = about["training"]
    return training | {"last report": last or None}


def command_of(about: dict[str, Any]) -> str | None:
    """The command that trains what a config.json describes; None for a model saved by hand, which
    no command made."""
    if "algorithm" in about:
        return policy_command(about)
    return training_command(about) if "training" in about else None


def training_command(about: dict[str, Any]) -> str:
    """The command that trains a run with these settings: its recipe and what differs from it."""
    argv = ["zeuxis", "train", str(about["model"])]
    recipe, data_config = recipes().get(about.get("recipe", "")), about.get("data", {})
    defaults: dict[str, Any] = {"data": {}, "config": {}, "training": {}}
    if recipe is not None:
        argv += ["--recipe", about["recipe"].split("/", 1)[1]]
        defaults = {
            "data": {"size": recipe.size, "labels_per_class": recipe.labels_per_class},
            "config": to_json(recipe.config),
            "training": to_json(recipe.training),
        }
    data = data_config.get("data", "")
    if recipe is None or data != recipe.data:
        argv += ["--data", data.split("=")[0]]
    for key in DATA_OPTIONS:
        value = data_config.get(key)
        if value and value != defaults["data"].get(key):
            argv.append(f"--{key.replace('_', '-')}={value}")
    for part, option in (("config", "model"), ("training", "training")):
        for key, value in about.get(part, {}).items():
            default = defaults[part].get(key, value)
            if isinstance(default, tuple):  # JSON has lists only
                default = list(default)
            if key != "minutes" and value != default:  # minutes became a number of images
                argv.append(option_for(f"{option}.{key}", value))
    return " ".join(argv)
