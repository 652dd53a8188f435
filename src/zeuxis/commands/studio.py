"""zeuxis studio: a page on this machine to see, change and train models."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..errors import MissingExtra, UsageError
from ..progress import out
from ..ranges import BaseConfig, Range

Port = Annotated[int, Range(0, 65_535)]


@dataclass(frozen=True)
class Studio(BaseConfig, flags="--"):
    """Serves a page to look at models, move their codes, restore and compress images, train, and
    ask people whether images are real. It needs no network."""

    folder: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DIR")] = "runs"
    """The folder of run folders; trainings go there too."""
    port: Port = 7860
    """Port of the page; 0 takes a free one."""
    public: bool = False
    """Let other machines reach the page; by default it answers this machine alone."""


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Studio, args=argv, prog="zeuxis studio")
    folder = Path(args.folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"'{folder}' is a file: give the folder of run folders.")
    if importlib.util.find_spec("gradio") is None:
        raise MissingExtra("gradio", "studio", "The studio")
    from ..studio.app import serve

    if args.public:
        out.print(
            "Open to every machine that reaches this one: whoever opens the page can see the runs "
            f"in {folder.resolve()}, upload images, start and stop trainings, and use this "
            "machine's processor. Nothing asks for a password.",
            markup=False,
            soft_wrap=True,
        )
    serve(folder.resolve(), args.port, args.public, say)


def say(address: str) -> None:
    """Says where the page is."""
    out.print(f"Open {address} (Ctrl-C ends the studio; a training goes on)", markup=False)
