"""Measures of a run by its samples: scores, sharpness, diversity, memorization, cost."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from ...capabilities import HasPixelLikelihood
from ...data.stacked import NAME as STACKED
from ...errors import UsageError
from ...evaluation import sharpness
from ...evaluation.diversity import (
    birthday,
    class_histogram,
    duplicate_distance,
    stacked_modes,
)
from ...evaluation.features.feature_network import feature_network
from ...evaluation.intervals import Interval
from ...evaluation.memorization import memorization
from ...evaluation.metrics import scores
from ...evaluation.sampling_cost import count_weights, sampling_cost
from ...model import require
from ...visual.grid import grid
from .material import some
from .subject import Subject

GRID = 64  # samples of a picture
RULED = 2_000  # images for sharpness, memorization and the birthday test


def quality(subject: Subject) -> dict[str, Any]:
    """Scores on features, and the class histogram where the network knows the classes."""
    real, real_logits = subject.real_half()
    fake, logits = subject.fake
    found = asdict(scores(real, fake, logits))
    picture = grid(subject.samples[:GRID], 8, smallest=8 * 29)
    found["picture"] = subject.picture("samples", picture)
    if subject.material.classifies:
        classes = logits.shape[1]
        found["histogram"] = asdict(
            class_histogram(logits.argmax(1), real_logits.argmax(1), classes)
        )
    return found


def sharp(subject: Subject) -> dict[str, Any]:
    """Sharpness as a ratio to test images, the radial spectrum, and the same of pixels that are
    drawn from a decoder's distribution instead of being its mean."""
    real = some(subject.material.test, RULED).all().cpu()
    fake = subject.samples[:RULED]
    found: dict[str, Any] = {
        "mean": plain(sharpness.ratios(fake, real)),
        "curve": sharpness.radial_spectrum(sharpness.luminance(fake)).tolist(),
    }
    if subject.model.can(HasPixelLikelihood):
        model = require(subject.model, HasPixelLikelihood, "draw pixels")
        if hasattr(model, "draw_pixels"):
            generator = torch.Generator().manual_seed(0)
            z = model.prior(len(fake), generator=generator)
            with torch.no_grad():
                parts = [model.draw_pixels(part, generator=generator) for part in z.split(250)]
            drawn = torch.cat(parts).round().clamp(0, 255).byte().cpu()
            found["drawn"] = plain(sharpness.ratios(drawn, real))
            found["drawn curve"] = sharpness.radial_spectrum(sharpness.luminance(drawn)).tolist()
            found["drawn picture"] = subject.picture("drawn", grid(drawn[:16], 8, smallest=232))
    return found


def plain(ratios: dict[str, Interval]) -> dict[str, list[float]]:
    """Intervals as [value, low, high]."""
    return {name: [i.value, i.low, i.high] for name, i in ratios.items()}


def diversity(subject: Subject) -> dict[str, Any]:
    """The birthday test on features, calibrated by as many real images."""
    n = min(subject.count, RULED)
    real = subject.real_half()[0][:n]
    share = 1 / (n * (n - 1) / 2)  # about one pair among the real images
    found = birthday(subject.fake[0][:n], duplicate_distance(real, share))
    return asdict(found) | {"samples": n}


def modes(subject: Subject) -> dict[str, Any]:
    """Modes of stacked digits, by a classifier of digits that looks at each channel.

    Raises:
        UsageError: The data are others.
    """
    if subject.material.test.spec.name != STACKED:
        raise UsageError(f"Modes are counted on {STACKED}.")
    digits = subject.samples.flatten(0, 1)[:, None]
    classes = feature_network("mnist/classifier").features(digits, "digits of samples")[1]
    return asdict(stacked_modes(classes.argmax(1).view(-1, 3)))


def memorized(subject: Subject) -> dict[str, Any]:
    """Distances of samples to training images, against those to test images."""
    n = min(subject.count, RULED)
    train = subject.features_of_train
    test = torch.cat([subject.real_half(second)[0] for second in (False, True)])
    found = memorization(subject.fake[0][:n], train, test)
    closest = found.distance.argsort()[:8]
    pairs = torch.stack(
        [
            subject.samples[closest],
            subject.neighbors.batch(found.nearest[closest])[0].cpu(),
        ]
    )
    picture = grid(pairs.flatten(0, 1), 8, smallest=8 * 29)
    copies = found.copies
    return {
        "ratio": found.ratio,
        "copies": [copies.value, copies.low, copies.high],
        "compared": found.compared,
        "training images": len(train),
        "picture": subject.picture("neighbors", picture),
    }


def cost(subject: Subject) -> dict[str, Any]:
    """Time, passes and operations of samples, and the weights that they need."""
    found = asdict(sampling_cost(subject.model, (1, 64)))
    found["seconds"] = {str(n): value for n, value in found["seconds"].items()}
    found["naive"] = {str(n): value for n, value in found["naive"].items()}
    return found | asdict(count_weights(subject.model))


def size(subject: Subject) -> dict[str, Any]:
    """Weights, and bytes of weights and of data."""
    weights = count_weights(subject.model)
    return {
        "sampling": weights.sampling,
        "training": weights.training,
        "bytes": 4 * weights.sampling,
        "data bytes": subject.material.train.nbytes,
    }
