"""The trainings of a sweep: every combination of the settings that vary, with every seed.

A training is a command line of `zeuxis train`, and its name is made of what varies. The same
command names the same folders, so a sweep that was stopped goes on, and seeds can be added later.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import UsageError

MOST = 10_000  # trainings of a sweep
SEEDS = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
NAME = re.compile(r"[A-Za-z][\w.-]*")


@dataclass(frozen=True)
class Cell:
    """One training of a sweep.

    Arguments:
        name: What varies, as the name of its folder.
        argv: The command line after `zeuxis`, without `--out`.
        seed: Its seed.
    """

    name: str
    argv: tuple[str, ...]
    seed: int


def parse_seeds(text: str) -> list[int]:
    """The seeds that a text names, in order and each of them once.

    Raises:
        UsageError: It names none, or too many.

    Example:
        >>> parse_seeds("0-3,7")
        [0, 1, 2, 3, 7]
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = SEEDS.fullmatch(part.strip())
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise UsageError(
                f"--seeds is '{text[:60]}', expected seeds and ranges, as in 0-9 or 0,3,7."
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last - first >= MOST:
            raise UsageError(f"--seeds {text[:60]} names more than {MOST:,} seeds: name fewer.")
        seeds += range(first, last + 1)
    return list(dict.fromkeys(seeds))


def parse_setting(text: str) -> tuple[str, list[str]]:
    """Name and values of a setting that varies; words within a value are a list.

    Example:
        >>> parse_setting("model.lr=1e-3,3e-3")
        ('model.lr', ['1e-3', '3e-3'])
        >>> parse_setting("model.channels=16 32,32 64")
        ('model.channels', ['16 32', '32 64'])
    """
    name, equals, rest = text.partition("=")
    name = name.strip().lstrip("-")
    values = list(dict.fromkeys(value.strip() for value in rest.split(",")))
    if not equals or not NAME.fullmatch(name) or not all(values):
        raise UsageError(
            f"--set is '{text[:60]}', expected NAME=VALUE,VALUE, as in model.lr=1e-3,3e-3."
        )
    return name, values


def grid(command: Sequence[str], seeds: Sequence[int], settings: Sequence[str]) -> list[Cell]:
    """Every combination of values, with every seed.

    Arguments:
        command: The words that all trainings share, from `train` on.
        seeds: The seeds.
        settings: What varies, each as `NAME=VALUE,VALUE`.

    Raises:
        UsageError: A setting is given twice, or there are too many trainings.

    Example:
        >>> cells = grid(["train", "vae"], [0, 1], ["model.lr=1e-3,3e-3"])
        >>> [cell.name for cell in cells]
        ['lr-1e-3-seed0', 'lr-1e-3-seed1', 'lr-3e-3-seed0', 'lr-3e-3-seed1']
        >>> cells[1].argv
        ('train', 'vae', '--model.lr', '1e-3', '--seed', '1')
    """
    varied = [parse_setting(text) for text in settings]
    fixed = {word.partition("=")[0].lstrip("-") for word in command if word.startswith("--")}
    for i, (name, _) in enumerate(varied):
        if name in fixed or name in [other for other, _ in varied[:i]]:
            raise UsageError(f"The setting '{name}' is given twice: leave one of the two out.")
    for name in ("seed", "training.seed", "bc.seed"):
        if name in fixed or name in [other for other, _ in varied]:
            raise UsageError("A sweep takes its seeds from --seeds, as in --seeds 0-9.")
    if "out" in [name for name, _ in varied]:
        raise UsageError("--set out is not for sweeps: their folder is --out.")
    choices = list(itertools.product(*(values for _, values in varied)))
    if len(choices) * len(seeds) > MOST:
        raise UsageError(
            f"This sweep has {len(choices) * len(seeds):,} trainings, and the most are {MOST:,}: "
            "give fewer values or seeds."
        )
    cells = []
    for values in choices:
        chosen = list(zip([name for name, _ in varied], values, strict=True))
        label = "-".join(f"{name.rsplit('.', 1)[-1]}-{value}" for name, value in chosen)
        options = [word for name, value in chosen for word in option(name, value)]
        for seed in seeds:
            name = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{label}-seed{seed}".lstrip("-"))
            cells.append(Cell(name, (*command, *options, "--seed", str(seed)), seed))
    if len({cell.name for cell in cells}) < len(cells):
        raise UsageError("Two trainings of this sweep would have one name: give other values.")
    return cells


def option(name: str, value: str) -> list[str]:
    """A setting as the words of a command line; switches are written as True or False.

    Example:
        >>> option("model.conditional", "False"), option("training.compile", "True")
        (['--model.no-conditional'], ['--training.compile'])
    """
    name = name.replace("_", "-")
    if value == "True":
        return [f"--{name}"]
    if value == "False":
        group, dot, last = name.rpartition(".")
        return [f"--{group}{dot}no-{last}"]
    return [f"--{name}", *value.split()]
