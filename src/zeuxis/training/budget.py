"""A training of a given time: its length in images follows from the speed of a few steps of a copy
of the model that is thrown away.

The length is fixed before the first step, so that schedules and averages know it and a resumed run
ends where it would have ended. The loop itself stops a machine that becomes slower than it was at
the start.
"""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from ..checkpoints.run_folder import Run
from ..checkpoints.weights import build
from ..data.dataset import Dataset
from ..distributed import World, any_rank, broadcast_number
from ..model import Model
from ..visual.film import picture_of
from .config import TrainingConfig
from .loop import Trainer

FRAMES = 0.1  # largest share of the time for frames of the film
LEAST = 0.5  # least share of the time that the length is computed from
STEPS = (
    0.93  # share of the time for steps and frames; saves, reports and last samples take the rest
)


def fit_minutes(
    model: Model, data: Dataset, training: TrainingConfig, world: World
) -> TrainingConfig:
    """The settings with as many images as fill `training.minutes`, and with no more frames than a
    tenth of the time allows."""
    began, budget = time.monotonic(), 60 * training.minutes
    trial = replace(
        training, images=10**9, minutes=0.0, film=0, hold_out=0, select="", validate_every=0,
        track="", start="",
    )  # fmt: skip
    copy = build(model.name, model.config, model.spec, training.seed)
    trainer = Trainer(copy, data, None, trial, world=world, quiet=True)
    device = trainer.device
    speed = training.batch * steps_per_second(trainer, min(20.0, 0.04 * budget))
    film, drawing = training.film, 0.0
    if film and (picture := picture_of(trainer.model, data, 1)):
        start = time.monotonic()
        picture(trainer.ema_model(examples=0), 0)
        each = time.monotonic() - start
        film = min(film, int(FRAMES * budget / max(each, 1e-9)))
        drawing = film * each
    # Where the trial alone took the time, a length from what is left would be one batch; the limit
    # of the loop ends such a training.
    left = max(LEAST * budget, STEPS * budget - drawing - (time.monotonic() - began))
    images = round(broadcast_number(max(training.batch, speed * left), device))
    images = max(1, images // training.batch) * training.batch
    return replace(
        training,
        images=images,
        film=round(broadcast_number(film, device)),
        warmup=min(training.warmup, images // 20),
        log_every=max(1, min(training.log_every, images // 20)),
    )


def steps_per_second(trainer: Trainer, seconds: float) -> float:
    """The speed of a training, measured for at least this time and two steps."""
    trainer.one_step()  # the first is slower
    steps, start = 0, time.monotonic()
    while not any_rank(steps >= 2 and time.monotonic() - start > seconds, trainer.device):
        trainer.one_step()
        steps += 1
        if trainer.device.type == "cuda":
            torch.cuda.synchronize()
    return steps / (time.monotonic() - start)


def fit_more_minutes(
    model: Model, data: Dataset, training: TrainingConfig, minutes: float, run: Run, world: World
) -> TrainingConfig:
    """The settings of a saved run that continues for `minutes` more: a later end in images, and a
    limit on the time of the whole run."""
    images, seconds = run.saved_images(), run.saved_seconds()
    more = fit_minutes(model, data, replace(training, minutes=minutes), world)
    return replace(training, images=images + more.images, minutes=seconds / 60 + minutes)
