"""zeuxis push: a model to the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import tyro

from ..checkpoints.hub import push
from ..checkpoints.weights import default_weights
from ..progress import out
from ..ranges import BaseConfig
from .inputs import ModelInput


@dataclass(frozen=True)
class Push(BaseConfig, flags="--"):
    """Uploads a model to the Hugging Face Hub: config.json, model.safetensors, a model card and
    pictures. Where the data lie is not published. Anybody then opens it as hf:owner/name."""

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A run folder, or a shipped model's name as in mnist/dcgan."""
    repository: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OWNER/NAME")]
    """Name on the Hub; made if it does not exist."""
    weights: str = ""
    """Which file of the folder; by default the best or averaged weights."""
    private: bool = False
    """Make a new repository private."""
    message: Annotated[str, tyro.conf.arg(aliases=["-m"])] = field(default="")
    """What the commit says."""


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Push, args=argv, prog="zeuxis push")
    model = ModelInput(args.name, args.weights)
    model.load()  # what cannot be opened is not published
    run = model.run()
    weights = args.weights or default_weights(run)
    where = push(run, weights, args.repository, args.private, args.message)
    out.print(f"Pushed: {where}\nOpen it as hf:{args.repository}", markup=False, soft_wrap=True)
