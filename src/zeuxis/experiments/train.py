"""Trains a model from data to a run folder: data, model, folder, loop, film and model card."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Any

import torch

from ..arguments import public
from ..capabilities import CanSample
from ..checkpoints.ownership import signed
from ..checkpoints.run_folder import Run
from ..checkpoints.serialization import to_json
from ..checkpoints.weights import build, describe, digest, require_same_layers
from ..data import few_labels
from ..data.config import DataConfig, is_built_in
from ..data.dataset import Dataset
from ..distributed import World, barrier, init
from ..errors import DataError, UsageError
from ..machine import machine
from ..model import Model
from ..progress import console
from ..ranges import Count, Pixels, Seed, checked
from ..recipes import recipes
from ..registry import named
from ..training.budget import fit_minutes
from ..training.config import TrainingConfig
from ..training.held_out import held_out, split_off, write_hashes
from ..training.loop import Result, Trainer
from ..visual.film import write_film
from ..visual.grid import grid
from .defaults import default_experiment
from .elastic import note_run
from .experiment import Experiment
from .model_card import card
from .validation import validation_of

MANY_EPOCHS = 300  # after more of them a model mostly memorizes its images


@public
def train(
    model: str | type[Model],
    data: str | Dataset = "",
    *,
    recipe: str = "",
    out: str | Path = "runs",
    config: Any = None,
    training: TrainingConfig | None = None,
    size: Pixels | None = None,
    labels_per_class: Count | None = None,
    label_seed: Seed = 0,
    **changes: Any,
) -> Result:
    """Trains a model in a new run folder.

    Arguments:
        model: The model's name, as in "dcgan"; or one of your own, as its class or as
            "module:Class".
        data: What `--data` takes, or a `Dataset`; by default the recipe's.
        recipe: Settings to start from; by default the recipe named after the data, or the one for
            small machines where there is no GPU. For a set of your own, size, length, batch and
            width are chosen to suit it, for minutes on two cores.
        out: Where the numbered run folder goes.
        config: The model's settings, instead of the recipe's.
        training: Training settings, instead of the recipe's.
        size: Side that images are brought to (pixels).
        labels_per_class: Labels to keep in each class; by default the recipe's choice, or all if
            `data` is a `Dataset`.
        label_seed: Fixes which labels are kept.
        changes: Single training settings, as in `images=100_000` or `minutes=10`.

    Returns:
        The result, whose `model` is ready to use and whose `run` is the folder.

    Example:
        >>> import zeuxis, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = zeuxis.train(
        ...         "dcgan", "mnist", recipe="mnist-small", out=folder, images=128, film=0
        ...     )
        128 of 128 images...
    """
    if "minutes" in changes and "images" in changes:
        raise UsageError(
            "Give either minutes or images, since the minutes decide how many images are seen."
        )
    known = [field.name for field in dataclasses.fields(TrainingConfig)]
    if unknown := [name for name in changes if name not in known]:
        raise UsageError(
            f"Training has no setting '{unknown[0]}': the settings are {', '.join(known)}."
        )
    # The folder keeps the name of a Dataset, which is of use to a later reader if it is built in.
    loaded = data if isinstance(data, Dataset) else None
    place = data.spec.name if isinstance(data, Dataset) else data
    data_config = DataConfig(place, size, labels_per_class=labels_per_class, label_seed=label_seed)
    experiment = default_experiment(named(model), data_config, recipe, loaded)
    training = training or experiment.training
    training = dataclasses.replace(training, **checked(TrainingConfig, changes))
    config = config or experiment.config
    return start(dataclasses.replace(experiment, config=config, training=training), out)


def start(experiment: Experiment, out: str | Path = "runs") -> Result:
    """Trains in a new run folder `out/NNNN-model-data-seed`."""
    world = init()
    e, data_config, training = experiment, experiment.data_config.absolute(), experiment.training
    data = e.data if e.data is not None else data_config.load()
    data.require_finite()
    model = build(e.model, e.config, data.spec, training.seed)
    if training.start:  # what does not fit is refused before a folder is made
        require_same_layers(model, training.start)
    held = held_out(data, training)
    kept = split_off(data, held)[0]
    if training.minutes:
        training = fit_minutes(model, kept, training, world)
    e = dataclasses.replace(e, training=training, data_config=data_config)
    run = None
    if world.is_main:
        for note in (*e.notes, *length_notes(e, kept)):
            console.print(note, markup=False, soft_wrap=True)
        run = Run.create(out, f"{e.model}-{data.spec.name}-seed{training.seed}")
        write_hashes(run, data, held, data_config.data)  # before config.json makes it a run
        run.write_json("config.json", signed(describe_run(e, model, data, held)))
        note_run(out, run)
    with locked(run, world):
        result = prepare(model, data, run, training, data_config, held, world).run()
        return finish(result, run, training)


def describe_run(
    experiment: Experiment, model: Model, data: Dataset, held: dict[str, int]
) -> dict[str, Any]:
    """The description of a new run for config.json."""
    e = experiment
    about = describe(model) | {
        "training": to_json(e.training),
        "data": to_json(e.data_config),
        "recipe": e.recipe,
        "machine": machine(),
    }
    if e.training.start:
        about["start"] = {"weights": e.training.start, "sha256": digest(e.training.start)}
    return about | {"held_out": held, "fingerprint": data.fingerprint()}


def length_notes(experiment: Experiment, data: Dataset) -> list[str]:
    """Sentences on how often a training sees the images of a set of your own, and on one that is
    too long."""
    e = experiment
    published, images = recipes().get(e.recipe), e.training.images
    if published and published.data == e.data_config.data and images <= published.training.images:
        return []
    epochs, notes = images / max(1, len(data)), []
    if not is_built_in(e.data_config.data):
        notes.append(
            f"{images:,} images are seen in training ({epochs:,.1f} epochs), in batches of "
            f"{e.training.batch}; --minutes or --images choose another length."
        )
    if epochs > MANY_EPOCHS:
        shorter = (
            f"zeuxis train {e.model} --data {e.data_config.data} --images {MANY_EPOCHS * len(data)}"
        )
        notes.append(
            f"Past {MANY_EPOCHS} epochs ({epochs:,.0f} here) a model mostly memorizes its "
            f"images. A shorter training: {shorter}."
        )
    return notes


def locked(run: Run | None, world: World) -> contextlib.AbstractContextManager[None]:
    """The lock of a run's folder, for the process that writes."""
    return run.held() if run is not None and world.is_main else contextlib.nullcontext()


def prepare(
    model: Model,
    data: Dataset,
    run: Run | None,
    training: TrainingConfig,
    data_config: DataConfig,
    held: dict[str, int],
    world: World,
) -> Trainer:
    """The trainer of a run, with its training and held-out examples, before its next step."""
    data, unseen = split_off(data, held)
    validate = None
    if training.hold_out > 0 or training.select or training.validate_every:
        if unseen is None:
            raise UsageError(
                "Validation needs images that are not trained on: set some aside with "
                "--training.hold-out 5000."
            )
        validate = validation_of(model, unseen)
    data = with_few_labels(data, data_config, unseen)
    if run is not None and world.is_main:
        weights = sum(p.numel() for p in model.parameters())
        labels = len(data) if data.labels is None else int((data.labels >= 0).sum())
        labeled = f", {labels:,} of them labeled" if labels < len(data) else ""
        more = f", {len(unseen):,} more are held out" if unseen is not None else ""
        console.print(
            f"{model.name}: {weights:,} weights ({weights * 4 / 1e6:.1f} MB) learn from "
            f"{len(data):,} examples{labeled}{more} ({data.nbytes / 1e6:.1f} MB) in {run}",
            *data.facts.notes,
            sep="\n",
            markup=False,
            soft_wrap=True,
        )
    return Trainer(model, data, run, training, validate, world)


def with_few_labels(data: Dataset, data_config: DataConfig, unseen: Dataset | None) -> Dataset:
    """The training data with the labels that the settings keep; held-out images keep theirs."""
    if data_config.labels_per_class is None:
        return data
    try:
        return few_labels(data, data_config.labels_per_class, data_config.label_seed)
    except DataError as error:
        if unseen is None:
            raise
        more = (
            f"ask for fewer, or hold fewer than {len(unseen):,} images out with "
            "--training.hold-out."
        )
        raise DataError(str(error).replace("ask for fewer labels a class.", more)) from error


def finish(result: Result, run: Run | None, training: TrainingConfig) -> Result:
    """Samples, film and card of a run that ended or was stopped."""
    if run is None or result.run is None:  # another process writes
        barrier()
        return result
    if result.images < training.images and not result.stopped:  # the minutes were over first
        about = run.read_config()
        shorter = about["training"] | {"images": result.images}
        run.write_json("config.json", about | {"training": shorter})
    if frames := [path for _, path in run.frames()]:
        began = time.monotonic()
        write_film(frames, run.path("film.webp"))
        result.figures["film seconds"] = time.monotonic() - began
    if isinstance(result.model, CanSample) and len(result.model.spec.shape) == 3:
        samples = result.model.sample(100, generator=torch.Generator().manual_seed(1)).cpu()
        picture = grid(samples, 10, smallest=320)
        run.write("samples/final.png", lambda path: picture.save(path, "PNG"))
    run.write("README.md", card(run, result))
    sentence = f"Done: {run}"
    if result.stopped:
        sentence = (
            f"Stopped and saved at {result.images:,} images; go on with: "
            f"zeuxis train --resume {run}"
        )
    console.print(sentence, markup=False, soft_wrap=True)
    barrier()
    return result
