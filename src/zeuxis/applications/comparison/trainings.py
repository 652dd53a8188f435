"""One training of the comparison: a fixed time, validated on the way, resumable.

The length in images follows from the speed of a few steps, so that the training takes the minutes
asked for on this machine. Validation is not counted: its seconds are measured and taken off. The
averaged weights of the last step are compared; those of the best validation are kept beside them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ...capabilities import CanSample
from ...checkpoints.ownership import signed
from ...checkpoints.run_folder import Run
from ...checkpoints.serialization import from_json
from ...checkpoints.weights import build
from ...distributed import World
from ...errors import DivergenceError
from ...evaluation.metrics import frechet_distance, statistics
from ...experiments.experiment import Experiment
from ...experiments.train import describe_run
from ...model import Model, require
from ...training.budget import fit_minutes
from ...training.config import TrainingConfig
from ...training.held_out import write_hashes
from ...training.loop import Trainer
from .effort import Effort
from .entrants import Entrant
from .material import Material

FAILED = "failed.json"
REPORTS = 60  # lines of figures of a training
LAST, BEST = "ema.safetensors", "best.safetensors"


@dataclass(frozen=True)
class Trained:
    """A training that ended.

    Arguments:
        folder: The run.
        images: Images seen.
        seconds: Time of the training without validations.
        flops: Operations of a training image, forward and backward; 0 if unknown.
        courses: Validation scores by images seen, as (images, frechet).
        losses: Training losses of each player, in their order.
        failed: Why it diverged, "" if it did not.
    """

    folder: str
    images: int
    seconds: float
    flops: int
    courses: list[tuple[int, float]]
    losses: dict[str, list[float]]
    failed: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def is_done(folder: Path) -> bool:
    """Whether a training ended, well or not."""
    run = Run(folder)
    if run.path(FAILED).exists():
        return True
    if not run.path("config.json").exists() or not run.path(LAST).exists():
        return False
    return run.saved_images() >= int(run.read_config()["training"]["images"])


def train_run(
    one: Entrant, seed: int, material: Material, minutes: float, folder: Path, effort: Effort
) -> Run:
    """Trains an entrant with a seed, going on from its last save.

    Raises:
        KeyboardInterrupt: A signal asked to stop; the save is kept.
    """
    run = Run.at(folder)
    if is_done(folder):
        return run
    assert one.training is not None
    model = build(one.model, one.config, material.train.spec, seed)
    validated = one.role == "all" and model.can(CanSample)
    validate = validation(material, effort) if validated else None
    try:
        if run.path("config.json").exists():
            about = run.read_config()
            training = from_json(TrainingConfig, about["training"], str(run.path("config.json")))
        else:
            training = planned(model, replace(one.training, seed=seed), material, minutes)
            if validated:
                every = max(training.batch, training.images // effort.validations)
                training = replace(training, validate_every=every, select="min:frechet")
            describe(one, model, training, material, run)
        with run.held():
            trainer = Trainer(model, material.train, run, training, validate, World())
            result = trainer.run()
    except DivergenceError as error:
        run.write_json(FAILED, {"failed": str(error)})
        return run
    if result.stopped:
        raise KeyboardInterrupt
    return run


def planned(
    model: Model, training: TrainingConfig, material: Material, minutes: float
) -> TrainingConfig:
    """The settings of a training of this many minutes; its length is fixed in images."""
    timed = fit_minutes(model, material.train, replace(training, minutes=minutes), World())
    return replace(timed, minutes=0.0, log_every=max(1, timed.images // REPORTS))


def describe(
    one: Entrant, model: Model, training: TrainingConfig, material: Material, run: Run
) -> None:
    """Writes config.json, by which other commands open the run."""
    experiment = Experiment(one.model, one.config, training, material.config.absolute())
    flops = step_flops(model, training, material)
    write_hashes(run, material.whole, material.held, material.config.data)
    about = describe_run(experiment, model, material.whole, material.held)
    run.write_json("config.json", signed(about | {"comparison": {"flops": flops}}))


def step_flops(model: Model, training: TrainingConfig, material: Material) -> int:
    """Operations of one image in one training step, forward and backward."""
    copy = build(model.name, model.config, model.spec, training.seed)
    trial = replace(training, select="", validate_every=0)
    trainer = Trainer(copy, material.train, None, trial, world=World(), quiet=True)
    with FlopCounterMode(display=False) as counter:
        trainer.one_step()
    return counter.get_total_flops() // training.batch


def validation(material: Material, effort: Effort) -> Callable[[Model], dict[str, float]]:
    """The Fréchet distance of a few samples to the validation images, and the seconds it took."""
    n = min(effort.validation_samples, len(material.validation))
    real = statistics(material.network.features(material.validation.all())[0])

    def validate(model: Model) -> dict[str, float]:
        began = time.monotonic()
        sampler = require(model, CanSample, "draw samples")
        fake = sampler.sample(n, generator=torch.Generator().manual_seed(0)).cpu()
        value = frechet_distance(real, statistics(material.network.features(fake)[0]))
        return {"frechet": value, "seconds": time.monotonic() - began}

    return validate


def trained(run: Run) -> Trained:
    """What a finished run's folder says about its training."""
    about: dict[str, Any] = {}
    if run.path("config.json").exists():  # the first steps of some diverge
        about = run.read_config()
    rows, failed = run.metrics(), ""
    if run.path(FAILED).exists():
        failed = str(run.read_json(FAILED).get("failed"))
    checks = {row["images"]: row for row in rows if "held-out/frechet" in row}
    waiting = sum(row.get("held-out/seconds", 0.0) for row in checks.values())
    known = ("images", "seconds", "step", "memory", "images/s")  # of the machine
    losses: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row.items():
            if key not in known and not key.startswith("held-out/"):
                losses.setdefault(key, []).append(value)
    last = max((row.get("seconds", 0.0) for row in rows), default=0.0)
    return Trained(
        folder=str(run),
        images=max((int(row.get("images", 0)) for row in rows), default=0),
        seconds=max(last, run.saved_seconds()) - waiting,
        flops=int(about.get("comparison", {}).get("flops", 0)),
        courses=[(int(images), row["held-out/frechet"]) for images, row in checks.items()],
        losses=losses,
        failed=failed,
    )
