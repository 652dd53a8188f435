"""Resumes a run from its last save: only with the data that it began with, and only following
what its owner put into config.json."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..arguments import public
from ..checkpoints.ownership import REMOTE_TRACKERS, is_own, own_data_config, require_same, signed
from ..checkpoints.run_folder import STATE, Run
from ..checkpoints.serialization import from_json, to_json
from ..checkpoints.weights import build, rebuild, shipped
from ..data.config import DataConfig
from ..data.dataset import Dataset
from ..distributed import broadcast_text, init
from ..errors import DataError, UsageError, ZeuxisError
from ..model import Model
from ..progress import console
from ..ranges import Count, Duration
from ..registry import model_class
from ..training.budget import fit_more_minutes
from ..training.config import TrainingConfig
from ..training.held_out import kept_held_out, split_off
from ..training.loop import Result
from .train import finish, locked, prepare


@public
def resume(
    folder: str | Path,
    images: Count | None = None,
    data: str | Dataset = "",
    labels: str | None = None,
    minutes: Duration = 0.0,
) -> Result:
    """Resumes a run from its last save.

    Arguments:
        folder: The run folder.
        images: Where to end, instead of the planned end.
        data: Where the data lie now, if they were moved, or the data as a `Dataset`.
        labels: Where their CSV of labels lies now.
        minutes: Train for this many more minutes, instead of to an end in images; the new end
            follows from the speed of a few steps.

    Raises:
        DataError: The data are not those that the run began with.
        ZeuxisError: Another process is training in the folder, or it is damaged; nothing in it is
            changed then.
    """
    if images is not None and minutes:
        raise UsageError("Give either images or minutes, since both say where the training ends.")
    world, run = init(), Run.open(folder)
    with locked(run, world):
        where = str(run.path("config.json"))
        about = json.loads(broadcast_text(json.dumps(run.read_config())))
        if "training" not in about:
            raise UsageError(
                f"'{folder}' is a saved model and no run: only a run folder, with its "
                "state, can be resumed."
            )
        training = training_config(run, about)
        if images is not None:
            training = replace(training, images=images, minutes=0.0)
        place = data if isinstance(data, str) else None
        data_config = data_config_of(run, about, place, labels)
        loaded = data if isinstance(data, Dataset) else load_data(data_config)
        examples = require_same(about, loaded, str(folder))
        model = model_of(run, about, examples, training.seed)
        held = kept_held_out(about, where) or {
            "images": training.hold_out,
            "of": len(examples),
            "seed": training.seed,
        }
        if minutes:
            kept = split_off(examples, held)[0]
            training = fit_more_minutes(model, kept, training, minutes, run, world)
        trainer = prepare(model, examples, run, training, data_config, held, world)
        changed = about | {"training": to_json(training), "data": to_json(data_config)}
        if is_own(about) or place:
            changed = signed(changed)
        if world.is_main and changed != about:  # after everything that may refuse the run
            run.write_json("config.json", changed)
        return finish(trainer.run(), run, training)


def training_config(run: Run, about: dict[str, Any]) -> TrainingConfig:
    """The training's settings; a folder of someone else starts from no other weights, and sends its
    figures nowhere."""
    training = from_json(TrainingConfig, section(run, about, "training"), where(run))
    if is_own(about):
        return training
    if training.start and training.start not in shipped() and not run.path(STATE).exists():
        raise UsageError(
            f"'{run}' begins from '{training.start}' and was not made by you here: train a new "
            "run with --training.start."
        )
    if training.track in REMOTE_TRACKERS:
        console.print(
            f"Nothing is sent to {training.track}: '{run}' was not made by you on this machine.",
            soft_wrap=True,
        )
        return replace(training, track="")
    return training


def data_config_of(
    run: Run, about: dict[str, Any], place: str | None, labels: str | None
) -> DataConfig:
    """Which data the run learns from, at the place that the user or config.json names.

    Arguments:
        run: The run folder.
        about: What its config.json says.
        place: Where the user says that the data lie, "" for nowhere; None where they are loaded.
        labels: Where the user says that their labels lie.
    """
    if "data" not in about and place == "":
        raise UsageError(f"'{run}' does not say which data it learned from: give them with --data.")
    about = {"data": {}} | about
    config = from_json(DataConfig, section(run, about, "data"), where(run))
    if place or labels:
        kept = (config.data, config.labels) if is_own(about) else ("", None)
        return replace(config, data=place or kept[0], labels=labels or kept[1]).absolute()
    return config if place is None else own_data_config(about, where(run))


def load_data(data_config: DataConfig) -> Dataset:
    """A run's data; where they are gone the sentence says how to name another place."""
    try:
        return data_config.load()
    except DataError as error:
        raise DataError(
            f"{error} If the data of the run lie elsewhere now, add --data PLACE."
        ) from error


def model_of(run: Run, about: dict[str, Any], data: Dataset, seed: int) -> Model:
    """The run's model before its weights are restored; with a save beside it, in no more memory
    than the saved weights call for."""
    kind = model_class(str(about.get("model")), str(about.get("class", "")))
    config: Any = from_json(kind.Config, section(run, about, "config"), where(run))
    if not run.path(STATE).exists():
        return build(kind.name, config, data.spec, seed)
    prefix = "model."
    shapes = {
        name.removeprefix(prefix): shape
        for name, shape in run.shapes(STATE).items()
        if name.startswith(prefix)
    }
    return rebuild(kind.name, config, data.spec, shapes, where(run), seed)


def section(run: Run, about: dict[str, Any], name: str) -> dict[str, Any]:
    """A part of config.json that a run must have."""
    if not isinstance(about.get(name), dict):
        raise ZeuxisError(
            f"'{where(run)}' has no entry '{name}': it is damaged or was not written by zeuxis."
        )
    return dict(about[name])


def where(run: Run) -> str:
    """The run's config.json, for error sentences."""
    return str(run.path("config.json"))
