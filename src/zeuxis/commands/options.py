"""Command-line options as text: short forms, one option read or written, and whether a folder is a
policy's run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checkpoints.run_folder import Run
from ..errors import UsageError, ZeuxisError

MODEL_OPTIONS = {
    "--images": "--training.images",
    "--minutes": "--training.minutes",
    "--batch": "--training.batch",
    "--lr": "--model.lr",
    "--seed": "--training.seed",
}
"""Short forms of the options that every training of a model has."""


def policy_options(algorithm: str) -> dict[str, str]:
    """Short forms of the options of a policy's training.

    Example:
        >>> policy_options("bc")["--lr"], policy_options("trpo")["--steps"]
        ('--bc.lr', '--training.steps')
    """
    part = "bc" if algorithm == "bc" else "training"
    short = {f"--{name}": f"--{part}.{name}" for name in ("steps", "minutes", "batch", "seed")}
    rates = {"bc": "--bc.lr", "gail": "--gail.lr"}
    return short | ({"--lr": rates[algorithm]} if algorithm in rates else {})


def expand(argv: Sequence[str], short: Mapping[str, str]) -> list[str]:
    """A command line with its short forms written out.

    Example:
        >>> expand(["--lr=0.1", "--seed", "3"], MODEL_OPTIONS)
        ['--model.lr=0.1', '--training.seed', '3']
    """
    parts = [arg.partition("=") for arg in argv]
    return [short.get(name, name) + equals + value for name, equals, value in parts]


def option(argv: Sequence[str], name: str) -> str | None:
    """The value of an option in a command line, written `--name value` or `--name=value`."""
    for i, arg in enumerate(argv):
        if arg == name:
            if i + 1 == len(argv):
                raise UsageError(f"{name} needs a value after it.")
            return argv[i + 1]
        if arg.startswith(name + "="):
            return arg.split("=", 1)[1]
    return None


def without(argv: Sequence[str], name: str) -> list[str]:
    """A command line without an option and its value."""
    kept, skip = [], False
    for arg in argv:
        if skip:
            skip = False
        elif arg == name:
            skip = True
        elif not arg.startswith(name + "="):
            kept.append(arg)
    return kept


def option_for(name: str, value: Any) -> str:
    """A setting as the command line takes it.

    Example:
        >>> option_for("model.open_edges", False), option_for("training.clip", 1.0)
        ('--model.no-open-edges', '--training.clip=1.0')
        >>> option_for("model.channels", [16, 32])
        '--model.channels 16 32'
    """
    name = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else "--{}.no-{}".format(*name.split("."))
    if isinstance(value, list):
        return f"--{name} {' '.join(map(str, value))}".rstrip()
    return f"--{name}={value}"


def is_policy(folder: str) -> bool:
    """Whether a folder is the run of a policy, or a file is a policy."""
    path = Path(folder)
    if path.is_file():
        return path.suffix == ".safetensors"
    try:
        return "algorithm" in Run(path).read_json("config.json")
    except ZeuxisError:
        return False
