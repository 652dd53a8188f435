"""Command-line options as text: short forms, one option read or written, and whether a folder is a
policy's run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..checkpoints.run_folder import Run
from ..errors import UsageError, ZeuxisError
from ..model import Model

MODEL_OPTIONS = {
    "--images": "--training.images",
    "--minutes": "--training.minutes",
    "--batch": "--training.batch",
    "--lr": "--model.lr",
    "--seed": "--training.seed",
}
"""Short forms of the options that every training of a model has."""
STEP_SIZES = {"bc": "--bc.lr", "gail": "--gail.lr", "vime": "--vime.lr"}
"""Step sizes of Adam for the network that an algorithm adds; bc has no other."""


def model_refusals(kind: type[Model]) -> dict[str, str]:
    """Options that a model's training does not take, with the sentence that says what it takes.

    Example:
        >>> from zeuxis.registry import model_class
        >>> model_refusals(model_class("vae"))["--steps"]
        "--steps is for policies: a model's training is counted in --images."
    """
    refused = {"--steps": "--steps is for policies: a model's training is counted in --images."}
    if "lr" not in {field.name for field in fields(kind.Config)}:
        refused["--lr"] = (
            f"--lr sets --model.lr, a setting that '{kind.name}' does not have: zeuxis train "
            "MODEL --help shows its settings."
        )
    return refused


def policy_options(algorithm: str) -> dict[str, str]:
    """Short forms of the options of a policy's training.

    Example:
        >>> policy_options("bc")["--lr"], policy_options("trpo")["--steps"]
        ('--bc.lr', '--training.steps')
    """
    part = "bc" if algorithm == "bc" else "training"
    short = {f"--{name}": f"--{part}.{name}" for name in ("steps", "minutes", "batch", "seed")}
    return short | ({"--lr": STEP_SIZES[algorithm]} if algorithm in STEP_SIZES else {})


def policy_refusals(algorithm: str) -> dict[str, str]:
    """Options that a policy's training does not take, with the sentence that says what it takes.

    Example:
        >>> policy_refusals("bc")
        {'--images': "--images is for models: a policy's training is counted in --steps."}
        >>> sorted(policy_refusals("trpo"))
        ['--images', '--lr']
    """
    refused = {"--images": "--images is for models: a policy's training is counted in --steps."}
    if algorithm not in STEP_SIZES:
        refused["--lr"] = (
            f"--lr is no option of {algorithm}: its policy moves as far as --trust-region.delta "
            "allows (nats), and its value function's step size is --training.value-lr."
        )
    return refused


def expand(
    argv: Sequence[str], short: Mapping[str, str], refused: Mapping[str, str] | None = None
) -> list[str]:
    """A command line with its short forms written out.

    Arguments:
        argv: The command line.
        short: Options by their short forms.
        refused: Options that this training does not take, each with the sentence to raise.

    Example:
        >>> expand(["--lr=0.1", "--seed", "3"], MODEL_OPTIONS)
        ['--model.lr=0.1', '--training.seed', '3']
    """
    parts = [arg.partition("=") for arg in argv]
    for name, _, _ in parts:
        if refused and name in refused:
            raise UsageError(refused[name])
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
