"""Options as words: read one, leave one out, write one, and tell runs of policies from others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..checkpoints.run_folder import Run
from ..errors import UsageError, ZeuxisError


def option(words: Sequence[str], name: str) -> str | None:
    """The value of an option among words, in either spelling."""
    for i, word in enumerate(words):
        if word == name:
            if i + 1 == len(words):
                raise UsageError(f"{name} needs a value after it.")
            return words[i + 1]
        if word.startswith(name + "="):
            return word.split("=", 1)[1]
    return None


def without(words: Sequence[str], name: str) -> list[str]:
    """The words without an option and its value."""
    kept, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word == name:
            skip = True
        elif not word.startswith(name + "="):
            kept.append(word)
    return kept


def option_for(name: str, value: Any) -> str:
    """A setting as the command line takes it.

    Example:
        >>> option_for("model.open_edges", False), option_for("model.maps", [16, 32]), option_for("training.clip", 1.0)
        ('--model.no-open-edges', '--model.maps 16 32', '--training.clip=1.0')
    """
    name = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else "--{}.no-{}".format(*name.split("."))
    return (
        f"--{name} {' '.join(map(str, value))}".rstrip()
        if isinstance(value, list)
        else f"--{name}={value}"
    )


def is_policy(folder: str) -> bool:
    """Whether a folder is the run of a policy, or a file is a policy."""
    path = Path(folder)
    if path.is_file():
        return path.suffix == ".safetensors"
    try:
        return "algorithm" in Run(path).read_json("config.json")
    except ZeuxisError:
        return False
