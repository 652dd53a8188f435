"""zeuxis data check: what is in a data set, and whether it can be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from ..data import check
from ..errors import DataError, UsageError
from ..ranges import BaseConfig


@dataclass(frozen=True)
class Check(BaseConfig, flags="--"):
    """Counts, sizes, channels, classes, corrupt files and duplicates of a data set."""

    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")]
    """As --data of train takes it: a built-in name, NAME=PATH, a folder, a file, or a Hub id."""
    labels: str | None = None
    """A CSV of file and label for an image folder."""


def main(argv: Sequence[str]) -> None:
    if not argv or argv[0] in ("-h", "--help"):
        print(
            "usage: zeuxis data check DATA [--labels CSV]\n\n"
            "zeuxis data check --help explains its options."
        )
        return
    if argv[0] != "check":
        raise UsageError(
            f"zeuxis data has no command '{argv[0]}': the command is check, as in "
            "zeuxis data check my_folder."
        )
    args = tyro.cli(Check, args=argv[1:], prog="zeuxis data check")
    report = check(args.data, labels=args.labels)
    print(report)
    if report.fatal:
        raise DataError(report.fatal)
