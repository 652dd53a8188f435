"""Runs the measures of a run, each once: what is in its file already is not measured again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from torch import Tensor

from ... import files
from ...capabilities import CanSample
from ...checkpoints.run_folder import Run
from ...checkpoints.weights import digest
from ...errors import MissingCapability, UsageError, ZeuxisError
from ...evaluation import sharpness
from ...evaluation.metrics import scores
from ...evaluation.record import finite
from .entrants import Role
from .latent_measures import annealed, codes, likelihood, walks
from .material import some
from .sample_measures import (
    RULED,
    cost,
    diversity,
    memorized,
    modes,
    plain,
    quality,
    sharp,
    size,
)
from .subject import Subject
from .trainings import BEST, trained

Measure = Callable[[Subject], dict[str, Any]]


def training(subject: Subject) -> dict[str, Any]:
    """Length, time and course of the training."""
    return trained(Run.open(subject.place)).as_dict() if subject.entrant.training else {}


def best(subject: Subject) -> dict[str, Any]:
    """Scores with the weights of the best validation, beside those of the last step."""
    run = Run(subject.place)
    if not subject.entrant.training or not run.path(BEST).exists():
        raise UsageError("No weights were chosen by validation.")
    _, about = run.read_tensors(BEST)
    if int(about.get("images", 0)) >= run.saved_images():
        return asdict(scores(subject.real_half()[0], *subject.fake)) | {"images": about["images"]}
    other = Subject(
        replace(subject.entrant, name=f"{subject.entrant.name}-best"), subject.seed,
        subject.place, subject.material, subject.effort, subject.folder, BEST,
    )  # fmt: skip
    return asdict(scores(subject.real_half()[0], *other.fake)) | {"images": about["images"]}


MEASURES: dict[str, Measure] = {
    "training": training,
    "size": size,
    "quality": quality,
    "best": best,
    "sharpness": sharp,
    "diversity": diversity,
    "modes": modes,
    "memorization": memorized,
    "cost": cost,
    "likelihood": likelihood,
    "annealed": annealed,
    "codes": codes,
    "walks": walks,
}
OF_ROLE: dict[Role, tuple[str, ...]] = {
    "all": tuple(MEASURES),
    "likelihood": ("training", "size", "likelihood"),
    "setting": ("training", "quality"),
}


def cell_path(subject: Subject) -> str:
    """The file of a run's figures, below the folder of the comparison."""
    return f"cells/{subject.key}.json"


def is_measured(subject: Subject) -> bool:
    """Whether every measure of a run is in its file."""
    return set(kept(subject)) >= set(OF_ROLE[subject.entrant.role])


def kept(subject: Subject) -> dict[str, Any]:
    """The measures in a run's file, none if they are of other weights or of another effort."""
    try:
        cell = files.read_json(subject.folder / cell_path(subject))
    except ZeuxisError:
        return {}
    if cell.get("stamp") != stamp(subject) or not isinstance(cell.get("measures"), dict):
        return {}
    return cell["measures"]


def stamp(subject: Subject) -> dict[str, Any]:
    """What a run's figures depend on."""
    return {
        "weights": digest(subject.place),
        "effort": asdict(subject.effort),
        "network": subject.material.network.hash,
        "test images": len(subject.material.test),
    }


def measure(subject: Subject) -> dict[str, Any]:
    """Every measure of a run by its name.

    What a model cannot do, or what the data do not allow, is kept as a sentence under "missing".
    The file is written after each measure, so that an interruption loses one at most.
    """
    found, about = kept(subject), stamp(subject)
    for name in OF_ROLE[subject.entrant.role]:
        if name in found:
            continue
        began = time.monotonic()
        try:
            if name not in ("training", "likelihood") and not subject.model.can(CanSample):
                raise MissingCapability(f"The model '{subject.model.name}' cannot draw samples.")
            entry: dict[str, Any] = {"figures": MEASURES[name](subject)}
        except ZeuxisError as error:
            entry = {"missing": str(error)}
        found[name] = finite(entry) | {"seconds": round(time.monotonic() - began, 1)}
        text = json.dumps({"stamp": about, "measures": found}, indent=1)
        files.write(subject.folder / cell_path(subject), text + "\n")
    return found


def reference(subject: Subject) -> dict[str, Any]:
    """The floor of the scores, real against real, and the rulers of sharpness."""
    real, logits = subject.real_half(second=True)
    x = some(subject.material.test, RULED).all().cpu()

    def curve(images: Tensor) -> list[float]:
        return sharpness.radial_spectrum(sharpness.luminance(images)).tolist()

    rulers = {
        name: {"ratios": plain(sharpness.ratios(images, x)), "curve": curve(images)}
        for name, images in sharpness.rulers(x).items()
    }
    return {
        "floor": asdict(scores(subject.real_half()[0], real, logits)),
        "curve": curve(x),
        "rulers": rulers,
    }
