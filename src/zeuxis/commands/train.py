"""zeuxis train MODEL: from a recipe and the options given after it to a run folder."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from ..checkpoints.serialization import to_json
from ..checkpoints.weights import build
from ..data.config import DataConfig, is_built_in
from ..errors import UsageError
from ..experiments.defaults import Plan, plan
from ..experiments.train import resume, start
from ..experiments.train_policy import ALGORITHMS
from ..experiments.train_policy import resume as resume_policy
from ..model import Model
from ..progress import clock
from ..ranges import BaseConfig, Count, Duration
from ..recipes import recipe_for, recipes
from ..registry import models, named
from ..training.config import TrainingConfig
from ..training.loop import fit
from .options import is_policy, option, without
from .train_policy import train as train_policy

HELP = """usage: zeuxis train MODEL [--recipe NAME] [--data DATA] [--minutes N] [options]
       zeuxis train ALGORITHM --env TASK [--demos FILE] [options]
       zeuxis train --resume RUN [--images N | --minutes N] [--data PLACE]

models:     {models}
recipes:    {recipes}
algorithms: {algorithms}

zeuxis train MODEL --help teaches every option. A model of your own is file.py:Class or module:Class; later commands that open its run
need --import file.py.
torchrun --nproc-per-node N -m zeuxis train MODEL ... shares each batch among N processes."""


@dataclasses.dataclass(frozen=True)
class Resume(BaseConfig, flags="--"):
    """Goes on with a run from its last save."""

    resume: str
    """The run folder."""
    images: Count | None = None
    """Train to this many images (a policy: steps) instead of to the planned end."""
    minutes: Duration = 0.0
    """Train for so many more minutes instead."""
    env: str = ""
    """A policy's task again, where it is module:Task-v0: a run folder must not name the module to
    import."""
    demos: str = ""
    """Where the demonstrations of an imitation are now."""
    data: str = ""
    """Where the data lie now, if they were moved or the run was made elsewhere; they must be those
    that it began with."""
    labels: str | None = None
    """Where the CSV of their labels lies now."""


def main(words: Sequence[str]) -> None:
    words = list(words)
    if not words or words[0] in ("-h", "--help"):
        text = HELP.format(
            models=", ".join(sorted(models())),
            recipes=", ".join(recipes()),
            algorithms=", ".join(ALGORITHMS),
        )
        if not words:
            raise UsageError(
                "Which model? As in: zeuxis train dcgan. The models are "
                + ", ".join(sorted(models()))
                + "."
            )
        print(text)
        return
    if words[0].startswith("--resume"):
        wish = tyro.cli(Resume, args=words, prog="zeuxis train")
        if wish.images is not None and wish.minutes:
            raise UsageError(
                "Give either --images or --minutes, since both say where the training ends."
            )
        if is_policy(wish.resume):
            if wish.data or wish.labels:
                raise UsageError(
                    "--data and --labels are for the runs of models of data: leave them out."
                )
            resume_policy(wish.resume, wish.images, wish.env, wish.demos, wish.minutes)
        elif wish.env or wish.demos:
            raise UsageError("--env and --demos are for the runs of policies: leave them out.")
        else:
            resume(
                wish.resume, wish.images, data=wish.data, labels=wish.labels, minutes=wish.minutes
            )
        return
    minutes = "--bc.minutes" if words[0] == "bc" else "--training.minutes"
    words = [re.sub("^--minutes(?==|$)", minutes, word) for word in words]
    if words[0] in ALGORITHMS:
        train_policy(words)
        return
    if option(words, "--training.minutes") and option(words, "--training.images"):
        raise UsageError(
            "Give either --minutes or --training.images, since the minutes decide how "
            "many images are seen."
        )
    kind = named(words[0])
    name, data = option(words, "--recipe") or "", option(words, "--data") or ""
    rest = without(words[1:], "--recipe")
    source = DataConfig(data)
    if data and not is_built_in(data):  # what is said of the data decides which settings fit them
        found = recipe_for(kind.name, name, data)
        config, training = (
            (found[1].config, found[1].training) if found else (kind.Config(), TrainingConfig())
        )
        source = parsed(kind, rest, found[0] if found else "", config, training, source).source
    begun = plan(kind, source, name)
    wish = parsed(kind, rest, begun.recipe, begun.config, begun.training, begun.source)
    if wish.dry_run:
        dry_run(kind, wish, begun)
        return
    start(
        kind.name,
        wish.model,
        wish.training,
        wish.source,
        wish.out,
        begun.recipe,
        begun.data,
        begun.notes,
    )


def parsed(
    kind: type[Model],
    words: Sequence[str],
    recipe: str,
    config: Any,
    training: TrainingConfig,
    source: DataConfig,
) -> Any:
    """The options, which count more than these settings."""
    about = f"Trains {kind.name}: {kind.paper}." + (
        f" Starts from the recipe {recipe}; others: --recipe NAME." if recipe else ""
    )
    default = arguments(kind)(recipe=recipe, model=config, training=training, source=source)
    return tyro.cli(
        arguments(kind),
        args=words,
        prog=f"zeuxis train {kind.name}",
        description=about,
        default=default,
    )


def arguments(kind: type[Model]) -> Any:
    """The dataclass of the command's options for this model."""
    return dataclasses.make_dataclass(
        "Train",
        [
            (
                "recipe",
                Annotated[
                    str, tyro.conf.arg(help="Settings to start from, as `zeuxis list` shows them.")
                ],
                "",
            ),
            (
                "source",
                Annotated[DataConfig, tyro.conf.arg(name="")],
                dataclasses.field(default_factory=DataConfig),
            ),
            (
                "out",
                Annotated[str, tyro.conf.arg(help="Where the numbered run folder goes.")],
                "runs",
            ),
            (
                "dry_run",
                Annotated[
                    bool, tyro.conf.arg(help="Show settings, sizes and time, and do not train.")
                ],
                False,
            ),
            ("model", kind.Config, dataclasses.field(default_factory=kind.Config)),
            ("training", TrainingConfig, dataclasses.field(default_factory=TrainingConfig)),
        ],
        frozen=True,
    )


def dry_run(kind: type[Model], wish: Any, begun: Plan) -> None:
    """Prints what would happen: settings, weights against data, and the time from a few real
    steps."""
    for note in begun.notes:
        print(note)
    data = begun.data if begun.data is not None else wish.source.load()
    built = build(kind.name, wish.model, data.spec, wish.training.seed)
    parts = {
        name: to_json(getattr(wish, place))
        for name, place in (("data", "source"), ("config", "model"), ("training", "training"))
    }
    print(json.dumps({"recipe": begun.recipe} | parts, indent=2))
    print(f"\n{len(data):,} examples of shape {data.spec.shape}, {data.nbytes / 1e6:,.1f} MB")
    for name, player in built.players().items():
        print(f"{name}: {sum(p.numel() for p in player.module.parameters()):,} weights")
    weights = sum(p.numel() for p in built.parameters())
    print(
        f"all: {weights:,} weights, {weights * 4 / 1e6:,.1f} MB, "
        f"{data.nbytes / (weights * 4):.1f} times smaller than the data"
    )
    batch = wish.training.batch
    few = dataclasses.replace(
        wish.training,
        minutes=0.0,
        images=4 * batch,
        film=0,
        log_every=10**12,
        hold_out=0,
        select="",
        track="",
    )
    fit(built, data, None, dataclasses.replace(few, images=batch), quiet=True)
    rate = 4 * batch / fit(built, data, None, few, quiet=True).seconds
    images = (
        round(rate * 60 * wish.training.minutes) if wish.training.minutes else wish.training.images
    )
    print(
        f"{images:,} images are {images / len(data):.1f} epochs: about "
        f"{clock(images / rate)} at {rate:,.0f} images/s here"
    )
