"""A training of so many minutes: its length in images follows from the speed of a few steps of a
model that is thrown away.

The length is fixed before the first step, so that schedules and averages know it and a resumed run
ends where it would have ended. A machine that becomes slower than it was at the start is stopped by
the loop when the minutes are over.
"""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from ..checkpoints.run_folder import Run
from ..checkpoints.weights import build
from ..data.dataset import Dataset
from ..distributed import World, agree, shared
from ..model import Model
from ..visual.film import picture_of
from .config import TrainingConfig
from .loop import begin

FRAMES = 0.1  # of the time, at most
# of the time, for steps and frames; the rest goes into saves, reports and the last samples
KEPT = 0.93


def in_minutes(
    model: Model, data: Dataset, training: TrainingConfig, world: World
) -> TrainingConfig:
    """The settings with the length that fills `training.minutes`, and no more frames than a tenth
    of that allows."""
    began, budget = time.monotonic(), 60 * training.minutes
    trial = replace(
        training,
        images=10**9,
        film=0,
        hold_out=0,
        select="",
        validate_every=0,
        track="",
        minutes=0.0,
    )
    fitting = begin(
        build(model.name, model.config, model.spec, training.seed),
        data,
        None,
        trial,
        world=world,
        quiet=True,
    )
    fitting.one_step()
    steps, start, device = 0, time.monotonic(), fitting.machine.device
    while not agree(steps >= 2 and time.monotonic() - start > min(20.0, 0.04 * budget), device):
        fitting.one_step()
        steps += 1
        if device.type == "cuda":
            torch.cuda.synchronize()
    rate = steps * training.batch / (time.monotonic() - start)
    film, spent = training.film, 0.0
    if film and (picture := picture_of(fitting.model, data, 1)):
        start = time.monotonic()
        picture(fitting.settled(0), 0)
        each = time.monotonic() - start
        film = min(film, int(FRAMES * budget / max(each, 1e-9)))
        spent = film * each
    left = max(0.0, KEPT * budget - spent - (time.monotonic() - began))
    images, film = (
        round(shared(value, device)) for value in (max(training.batch, rate * left), film)
    )
    images = max(1, images // training.batch) * training.batch
    return replace(
        training,
        images=images,
        film=film,
        warmup=min(training.warmup, images // 20),
        log_every=max(1, min(training.log_every, images // 20)),
    )


def in_more_minutes(
    model: Model, data: Dataset, training: TrainingConfig, minutes: float, run: Run, world: World
) -> TrainingConfig:
    """The settings of a saved run that goes on for `minutes` more: a new end in images, and a limit
    on the time of the whole run."""
    images, seconds = run.saved_images(), run.saved_seconds()
    more = in_minutes(model, data, replace(training, minutes=minutes), world)
    return replace(training, images=images + more.images, minutes=seconds / 60 + minutes)
