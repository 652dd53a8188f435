"""zeuxis train MODEL: from a recipe and the options after it to a run folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import field, replace
from typing import Annotated, Any

import tyro

from ..checkpoints.serialization import to_json
from ..checkpoints.weights import build
from ..data.config import DataConfig
from ..distributed import init
from ..errors import UsageError
from ..experiments.anew import described_experiment
from ..experiments.defaults import default_experiment
from ..experiments.elastic import run_to_resume
from ..experiments.experiment import Experiment
from ..experiments.policy_training import ALGORITHMS
from ..experiments.resume import resume
from ..experiments.train import start
from ..experiments.train_policy import resume as resume_policy
from ..model import Model
from ..progress import clock
from ..ranges import BaseConfig, Count, Duration
from ..recipes import recipes
from ..registry import models, named
from ..training.config import TrainingConfig
from ..training.loop import fit
from .options import (
    MODEL_OPTIONS,
    expand,
    is_policy,
    model_refusals,
    option,
    policy_options,
    policy_refusals,
    without,
)
from .train_policy import train as train_policy

HELP = """usage: zeuxis train MODEL [--recipe NAME] [--data DATA] [--minutes N] [options]
       zeuxis train ALGORITHM --env TASK [--demos FILE] [--minutes N] [options]
       zeuxis train --resume RUN [--images N | --minutes N] [--data PLACE]
       zeuxis train --config RUN/config.json [options]

models:     {models}
recipes:    {recipes}
algorithms: {algorithms}

zeuxis train MODEL --help shows every option. A model of your own is file.py:Class or module:Class;
later commands that open its run need --import file.py.
torchrun --nproc-per-node N -m zeuxis train MODEL ... shares each batch among N processes."""
RECIPE = "Settings to start from, as `zeuxis list` shows them."
OUT = "Where the numbered run folder goes."
DRY_RUN = "Show settings, sizes and time, and do not train."


@dataclasses.dataclass(frozen=True)
class Resume(BaseConfig, flags="--"):
    """Resumes a run from its last save."""

    resume: str
    """The run folder."""
    images: Annotated[Count | None, tyro.conf.arg(aliases=["--steps"])] = None
    """Train to this many images (a policy: steps) instead of to the planned end."""
    minutes: Duration = 0.0
    """Train for this many more minutes instead."""
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


@dataclasses.dataclass(frozen=True)
class Choice(BaseConfig, flags="--"):
    """The options that choose the defaults of all others."""

    data_config: Annotated[DataConfig, tyro.conf.arg(name="")] = field(
        default_factory=lambda: DataConfig("")
    )
    recipe: str = ""


def main(argv: Sequence[str]) -> None:
    if not argv:
        raise UsageError(
            f"Which model? As in: zeuxis train dcgan. The models are {', '.join(sorted(models()))}."
        )
    name = argv[0]
    if name in ("-h", "--help"):
        names = [", ".join(names) for names in (sorted(models()), recipes(), ALGORITHMS)]
        print(HELP.format(models=names[0], recipes=names[1], algorithms=names[2]))
    elif name.startswith("--resume"):
        resume_run(argv)
    elif name.startswith("--config"):
        train_anew(argv)
    elif name in ALGORITHMS:
        train_policy([name, *expand(argv[1:], policy_options(name), policy_refusals(name))])
    else:
        kind = named(name)
        train_model(kind, expand(argv[1:], MODEL_OPTIONS, model_refusals(kind)))


def resume_run(argv: Sequence[str]) -> None:
    """zeuxis train --resume RUN."""
    args = tyro.cli(Resume, args=argv, prog="zeuxis train")
    if args.images is not None and args.minutes:
        raise UsageError(
            "Give either --images or --minutes, since both say where the training ends."
        )
    if is_policy(args.resume):
        if args.data or args.labels:
            raise UsageError(
                "--data and --labels are for the runs of models of data: leave them out."
            )
        resume_policy(args.resume, args.images, args.env, args.demos, args.minutes)
        return
    if args.env or args.demos:
        raise UsageError("--env and --demos are for the runs of policies: leave them out.")
    resume(args.resume, args.images, data=args.data, labels=args.labels, minutes=args.minutes)


def train_anew(argv: Sequence[str]) -> None:
    """zeuxis train --config FILE: the settings of a run choose the defaults of all options."""
    config = option(argv, "--config") or ""
    experiment = described_experiment(config, option(argv, "--data") or "")
    kind = named(experiment.model)
    rest = expand(without(argv, "--config"), MODEL_OPTIONS, model_refusals(kind))
    if option(rest, "--recipe") is not None:
        raise UsageError("Give either --config or --recipe, since both choose all settings.")
    about = f"Trains {kind.name} with the settings in '{config}', and the options after it."
    run_options(kind, rest, experiment, about)


def train_model(kind: type[Model], argv: Sequence[str]) -> None:
    """zeuxis train MODEL: recipe and data choose the defaults of all other options."""
    prog = f"zeuxis train {kind.name}"
    choice, _ = tyro.cli(Choice, args=argv, prog=prog, return_unknown_args=True, add_help=False)
    experiment = default_experiment(kind, choice.data_config, choice.recipe)
    about = f"Trains {kind.name}: {kind.paper}."
    if experiment.recipe:
        about += f" Starts from the recipe {experiment.recipe}; others: --recipe NAME."
    run_options(kind, argv, experiment, about)


def run_options(kind: type[Model], argv: Sequence[str], experiment: Experiment, about: str) -> None:
    """Trains as an experiment and the options after it say, or shows what would happen."""
    about += f" Short forms: {', '.join(MODEL_OPTIONS)}."
    options = options_of(kind)
    default = options(
        recipe=experiment.recipe,
        data_config=experiment.data_config,
        model=experiment.config,
        training=experiment.training,
    )
    prog = f"zeuxis train {kind.name}"
    args = tyro.cli(options, args=argv, prog=prog, description=about, default=default)
    if args.training.minutes and args.training.images != experiment.training.images:
        raise UsageError(
            "Give either --minutes or --images, since the minutes decide how many images are seen."
        )
    experiment = replace(
        experiment, config=args.model, training=args.training, data_config=args.data_config
    )
    if args.dry_run:
        dry_run(experiment)
    elif (begun := run_to_resume(args.out, init())) is not None:
        resume(begun)
    else:
        start(experiment, args.out)


def options_of(kind: type[Model]) -> Any:
    """The dataclass of the command's options for a model."""
    help_of = lambda type_, text: Annotated[type_, tyro.conf.arg(help=text)]  # noqa: E731
    default = lambda make: dataclasses.field(default_factory=make)  # noqa: E731
    fields = [
        ("recipe", help_of(str, RECIPE), ""),
        ("data_config", Annotated[DataConfig, tyro.conf.arg(name="")], default(DataConfig)),
        ("out", help_of(str, OUT), "runs"),
        ("dry_run", help_of(bool, DRY_RUN), False),
        ("model", kind.Config, default(kind.Config)),
        ("training", TrainingConfig, default(TrainingConfig)),
    ]
    return dataclasses.make_dataclass("Train", fields, frozen=True)


def dry_run(experiment: Experiment) -> None:
    """Prints what would happen: settings, weights against data, and the time from a few steps."""
    e, training = experiment, experiment.training
    for note in e.notes:
        print(note)
    data = e.data if e.data is not None else e.data_config.load()
    model = build(e.model, e.config, data.spec, training.seed)
    parts = {"data": e.data_config, "config": e.config, "training": training}
    settings = {name: to_json(part) for name, part in parts.items()}
    print(json.dumps({"recipe": e.recipe} | settings, indent=2))
    print(f"\n{len(data):,} examples of shape {data.spec.shape}, {data.nbytes / 1e6:,.1f} MB")
    for name, player in model.players().items():
        print(f"{name}: {sum(p.numel() for p in player.module.parameters()):,} weights")
    weights = sum(p.numel() for p in model.parameters())
    print(
        f"all: {weights:,} weights, {weights * 4 / 1e6:,.1f} MB, "
        f"{data.nbytes / (weights * 4):.1f} times smaller than the data"
    )
    short = replace(
        training, minutes=0.0, images=training.batch, film=0, log_every=10**12, hold_out=0,
        select="", track="",
    )  # fmt: skip
    fit(model, data, None, short, quiet=True)  # the first step is slower
    short = replace(short, images=4 * training.batch)
    speed = short.images / fit(model, data, None, short, quiet=True).seconds
    images = round(speed * 60 * training.minutes) if training.minutes else training.images
    print(
        f"{images:,} images are {images / len(data):.1f} epochs: about "
        f"{clock(images / speed)} at {speed:,.0f} images/s here"
    )
