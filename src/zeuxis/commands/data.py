"""zeuxis data check: what is in a data set, and whether it can be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from ..data import check
from ..errors import DataError, UsageError
from ..ranges import BaseConfig


@dataclass(frozen=True)
class Check(BaseConfig, flags="--"):
    """Counts, sizes, channels, classes, corrupt files and duplicates of a data set."""

    source: tyro.conf.Positional[str]
    """What --data takes: a built-in name, NAME=PATH, a folder, a file, or a Hub id."""
    labels: str | None = None
    """A CSV of file and label for an image folder."""


def main(words: Sequence[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        print(
            "usage: zeuxis data check SOURCE [--labels CSV]\n\nzeuxis data check --help "
            "teaches its options."
        )
        return
    if words[0] != "check":
        raise UsageError(
            f"zeuxis data cannot '{words[0]}': it can check, as in zeuxis data check my_folder."
        )
    wish = tyro.cli(Check, args=words[1:], prog="zeuxis data check")
    report = check(wish.source, labels=wish.labels)
    print(report)
    if report.fatal:
        raise DataError(report.fatal)
