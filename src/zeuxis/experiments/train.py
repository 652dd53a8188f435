"""From a wish to a trained model: data, model, run folder, loop, film and card."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..arguments import public
from ..capabilities import CanSample
from ..checkpoints.ownership import REMOTE_TRACKERS, is_own, own_data_config, require_same, signed
from ..checkpoints.run_folder import Run
from ..checkpoints.serialization import from_json, to_json
from ..checkpoints.weights import build, describe, digest, rebuild, shipped, start_from
from ..data import few_labels
from ..data.config import DataConfig, is_built_in
from ..data.dataset import Dataset
from ..distributed import World, barrier, broadcast_text, init
from ..errors import DataError, UsageError, ZeuxisError
from ..machine import machine
from ..model import Model
from ..progress import console
from ..ranges import Count, Duration, Pixels, Seed, checked
from ..recipes import recipes
from ..registry import model_class, named
from ..training.budget import fit_minutes, fit_more_minutes
from ..training.config import TrainingConfig
from ..training.held_out import held_out, kept_held_out, remember, split_off
from ..training.loop import Result, Trainer
from ..visual.film import write_film
from ..visual.grid import grid
from .defaults import plan
from .model_card import card
from .validation import validation_of


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
    """Trains a model in a new run folder; the result's `model` is ready to use and its `run` is the
    folder.

    Arguments:
        model: The model's name, as in "dcgan"; or one of your own, as its class or as
            "module:Class".
        data: What `--data` takes, or a `Dataset`; by default the recipe's.
        recipe: Settings to start from; by default the one named after the data. For a set of one's
            own, size, length, batch and width are chosen to suit it, for minutes on two cores.
        out: Where the numbered run folder goes.
        settings: The model's config, instead of the recipe's.
        training: Training settings, instead of the recipe's.
        size: Side that images are brought to (pixels).
        labels_per_class: Labels to keep in each class; by default the recipe's choice, or all if
            `data` is a `Dataset`.
        label_seed: Fixes which.
        changes: Single training settings, as in `images=100_000` or `minutes=10`.

    Example:
        >>> import zeuxis, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = zeuxis.train("dcgan", "mnist", recipe="mnist-small", out=folder, images=128, film=0, log_every=1000)
        128 of 128 images...
    """
    given = data if isinstance(data, Dataset) else None
    # The name of a given set is of little use to a later reader unless it is a built-in one, but it
    # is never that of another set.
    wanted = data.spec.name if isinstance(data, Dataset) else data
    kind = named(model)
    begun = plan(
        kind,
        DataConfig(wanted, size, labels_per_class=labels_per_class, label_seed=label_seed),
        recipe,
        given,
    )
    config = config or begun.config
    training = training or begun.training
    if "minutes" in changes and "images" in changes:
        raise UsageError(
            "Give either minutes or images, since the minutes decide how many images are seen."
        )
    known = [field.name for field in dataclasses.fields(TrainingConfig)]
    if unknown := [name for name in changes if name not in known]:
        raise UsageError(
            f"Training has no setting '{unknown[0]}': the settings are {', '.join(known)}."
        )
    training = dataclasses.replace(training, **checked(TrainingConfig, changes))
    return start(
        kind.name, config, training, begun.source, out, begun.recipe, begun.data, begun.notes
    )


def start(
    model: str,
    config: Any,
    training: TrainingConfig,
    source: DataConfig,
    out: str | Path,
    recipe: str = "",
    given: Dataset | None = None,
    notes: Sequence[str] = (),
) -> Result:
    """Trains in a new run folder."""
    world = init()
    source = source.absolute()
    data = given if given is not None else source.load()
    data.require_finite()
    built = build(model, config, data.spec, training.seed)
    if training.start:  # what does not fit is refused before a folder is made
        start_from(built, training.start)
    held = held_out(data, training)
    kept = split_off(data, held)[0]
    if training.minutes:
        training = fit_minutes(built, kept, training, world)
    if world.is_main:
        for note in (*notes, *length(model, kept, training, source, recipe)):
            console.print(note, markup=False, soft_wrap=True)
    run = None
    if world.is_main:
        run = Run.create(out, f"{model}-{data.spec.name}-seed{training.seed}")
        about = describe(built) | {
            "training": to_json(training),
            "data": to_json(source),
            "recipe": recipe,
            "machine": machine(),
        }
        if training.start:
            about["start"] = {"weights": training.start, "sha256": digest(training.start)}
        about |= {"held_out": held, "fingerprint": data.fingerprint()}
        remember(run, data, held, source.data)  # before config.json, which makes the folder a run
        run.write_json("config.json", signed(about))
    with hold(run, world):
        return carry_out(built, data, run, training, world, source, held)


def length(
    model: str, data: Dataset, training: TrainingConfig, source: DataConfig, recipe: str
) -> list[str]:
    """Sentences on how often a training sees the images of a set of one's own, and on one that is
    too long."""
    published, epochs = recipes().get(recipe), training.images / max(1, len(data))
    if published and published.data == source.data and training.images <= published.training.images:
        return []
    found = []
    if not is_built_in(source.data):
        text = (
            f"{training.images:,} images are seen in training ({epochs:,.1f} epochs), "
            f"in batches of {training.batch}"
        )
        found.append(f"{text}; --minutes or --training.images choose another length.")
    if epochs > 300:
        shorter = f"zeuxis train {model} --data {source.data} --training.images {300 * len(data)}"
        found.append(
            f"Past 300 epochs ({epochs:,.0f} here) a model mostly learns its images by "
            f"heart. A shorter training: {shorter}."
        )
    return found


def hold(run: Run | None, world: World) -> contextlib.AbstractContextManager[None]:
    """The lock of a run's folder, for the process that writes."""
    return run.held() if run is not None and world.is_main else contextlib.nullcontext()


@public
def resume(
    folder: str | Path,
    images: Count | None = None,
    given: Dataset | None = None,
    data: str = "",
    labels: str | None = None,
    minutes: Duration = 0.0,
) -> Result:
    """Goes on with a run from its last save.

    Arguments:
        folder: The run folder.
        images: Where to end, instead of where it was meant to end.
        given: The data, where they are a `Dataset` and no place.
        data: Where the data lie now, if they were moved.
        labels: Where their CSV of labels lies now.
        minutes: Train for so many more minutes, instead of to an end in images; the new end follows
            from the speed of a few steps.

    Raises:
        DataError: The data are not those that the run began with.
        ZeuxisError: Another process is training in the folder, or it is damaged; nothing in it is
            changed then.
    """
    if images is not None and minutes:
        raise UsageError("Give either images or minutes, since both say where the training ends.")
    world = init()
    run = Run.open(folder)
    with hold(run, world):
        about, where = (
            json.loads(broadcast_text(json.dumps(run.read_json("config.json")))),
            str(run.path("config.json")),
        )
        if "training" not in about:
            raise UsageError(
                f"'{folder}' is a saved model and no run: only a run folder, with its "
                "state, can be resumed."
            )
        if "data" not in about and given is None and not data:
            raise UsageError(
                f"'{folder}' does not say which data it learned from: give them with --data."
            )
        about = {"data": {}} | about
        before = {
            "average_limit": 1.0,
            "hold_out": 0,
        }  # what was so where an older run does not say
        own, saved = is_own(about), run.path("state.safetensors").exists()
        training = from_json(TrainingConfig, before | part(about, "training", where), where)
        if not own and training.start and training.start not in shipped() and not saved:
            raise UsageError(
                f"'{folder}' begins from '{training.start}' and was not made by you "
                "here: train anew with --training.start."
            )
        if not own and training.track in REMOTE_TRACKERS:
            console.print(
                (
                    f"Nothing is sent to {training.track}: '{folder}' was not made by you on "
                    "this machine."
                ),
                soft_wrap=True,
            )
            training = dataclasses.replace(training, track="")
        if images is not None:
            training = dataclasses.replace(training, images=images, minutes=0.0)
        source = from_json(DataConfig, part(about, "data", where), where)
        if data or labels:
            kept = (source.data, source.labels) if own else ("", None)
            source = dataclasses.replace(
                source, data=data or kept[0], labels=labels or kept[1]
            ).absolute()
        elif given is None:
            source = own_data_config(about, where)
        found = require_same(about, given if given is not None else loaded(source), str(folder))
        kind = model_class(str(about.get("model")), str(about.get("class", "")))
        config: Any = from_json(kind.Config, part(about, "config", where), where)
        if saved:
            shapes = {
                k[6:]: s
                for k, s in run.shapes("state.safetensors").items()
                if k.startswith("model.")
            }
            built = rebuild(kind.name, config, found.spec, shapes, where, training.seed)
        else:
            built = build(kind.name, config, found.spec, training.seed)
        held = kept_held_out(about, where) or {
            "images": training.hold_out,
            "of": len(found),
            "seed": training.seed,
        }
        if minutes:
            training = fit_more_minutes(
                built, split_off(found, held)[0], training, minutes, run, world
            )
        changed = about | {"training": to_json(training), "data": to_json(source)}
        if own or data:
            changed = signed(changed)
        return carry_out(
            built, found, run, training, world, source, held, changed if changed != about else None
        )


def loaded(source: DataConfig) -> Dataset:
    """A run's data; where they are gone the sentence says how to name another place."""
    try:
        return source.load()
    except DataError as error:
        raise DataError(
            f"{error} If the data of the run lie elsewhere now, add --data PLACE."
        ) from error


def part(about: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    """A part of config.json that a run must have."""
    if not isinstance(about.get(name), dict):
        raise ZeuxisError(
            f"'{where}' has no entry '{name}': it is damaged or was not written by zeuxis."
        )
    return dict(about[name])


def carry_out(
    model: Model,
    data: Dataset,
    run: Run | None,
    training: TrainingConfig,
    world: World,
    source: DataConfig,
    held: dict[str, int],
    changed: dict[str, Any] | None = None,
) -> Result:
    """The training itself, and what is made of it at the end; `changed` is what config.json says
    from now on."""
    validate = None
    data, unseen = split_off(data, held)
    if training.hold_out > 0 or training.select or training.validate_every:
        if unseen is None:
            raise UsageError(
                "Validation needs images that are not trained on: set some aside with "
                "--training.hold-out 5000."
            )
        validate = validation_of(model, unseen)
    if (
        source.labels_per_class is not None
    ):  # after holding out, so that the held-out images keep their labels
        try:
            data = few_labels(data, source.labels_per_class, source.label_seed)
        except DataError as error:
            if unseen is None:
                raise
            more = (
                f"ask for fewer, or hold fewer than {len(unseen):,} images out with "
                "--training.hold-out."
            )
            raise DataError(str(error).replace("ask for fewer labels a class.", more)) from error
    if run is not None and world.is_main:
        weights = sum(p.numel() for p in model.parameters())
        known = len(data) if data.labels is None else int((data.labels >= 0).sum())
        labeled = f", {known:,} of them labeled" if known < len(data) else ""
        apart = f", {len(unseen):,} more are held out" if unseen is not None else ""
        console.print(
            f"{model.name}: {weights:,} weights ({weights * 4 / 1e6:.1f} MB) learn from "
            f"{len(data):,} examples{labeled}{apart} "
            f"({data.nbytes / 1e6:.1f} MB) in {run}",
            *data.facts.notes,
            sep="\n",
            markup=False,
            soft_wrap=True,
        )
    trainer = Trainer(model, data, run, training, validate, world)
    if (
        run is not None and world.is_main and changed is not None
    ):  # only now, as whatever may be refused has been by here
        run.write_json("config.json", changed)
    result = trainer.run()
    if run is not None and world.is_main:
        result.run = run
        if result.images < training.images and not result.stopped:  # the minutes were over first
            about = run.read_json("config.json")
            run.write_json(
                "config.json", about | {"training": about["training"] | {"images": result.images}}
            )
        finish(result, run)
    barrier()
    return result


def finish(result: Result, run: Run) -> None:
    """Samples, film and card of a run that ended or was stopped."""
    frames = [path for _, path in run.frames()]
    if frames:
        began = time.monotonic()
        write_film(frames, run.path("film.webp"))
        result.figures["film seconds"] = time.monotonic() - began
    if isinstance(result.model, CanSample) and len(result.model.spec.shape) == 3:
        picture = grid(
            result.model.sample(100, generator=torch.Generator().manual_seed(1)).cpu(),
            10,
            smallest=320,
        )
        run.write("samples/final.png", lambda path: picture.save(path, "PNG"))
    run.write("README.md", card(run, result))
    if result.stopped:
        sentence = (
            f"Stopped and saved at {result.images:,} images; go on with: zeuxis "
            f"train --resume {run}"
        )
    else:
        sentence = f"Done: {run}"
    console.print(sentence, markup=False, soft_wrap=True)
