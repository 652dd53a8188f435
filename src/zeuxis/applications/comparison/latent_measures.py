"""Measures of a run by its likelihood and its codes, each only where the model has them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...capabilities import (
    CanAutoregress,
    CanDecode,
    CanEncode,
    CanFeature,
    CanLogProb,
    CanRender,
    HasELBO,
    HasPixelLikelihood,
    HasVelocity,
)
from ...data.binarized import binarized
from ...errors import MissingCapability, UsageError
from ...evaluation.code_quality import code_accuracy, reconstruction_error, smoothness
from ...evaluation.decoder_likelihood import Kind, decoder_likelihood
from ...evaluation.features.principal import principal_components
from ...evaluation.likelihood import evaluate_images
from ...evaluation.likelihood_report import ACTIVE
from ...model import require
from ...progress import track
from ...visual.grid import grid
from ..interpolate import has_normal_prior, interpolate
from .inverter import train_inverter
from .material import some
from .subject import Subject

BINARIZATION_SEED = 0
LABELS = (100, 1000)
STEPS = 11  # images of a walk


def images_of_test(subject: Subject, n: int, binary: bool) -> tuple[Tensor, Tensor]:
    """Rows and images of the test part, the same for every run; binary ones drawn as 0 and 255."""
    test = subject.material.test
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(1))[:n]
    x = test.batch(order)[0].cpu()
    return order, binarized(x, order, BINARIZATION_SEED) if binary else x


def likelihood(subject: Subject) -> dict[str, Any]:
    """Nats of test images: exact, or bounds by one latent and by many."""
    model = subject.model
    if not model.can(HasELBO):
        require(model, CanLogProb, "evaluate likelihoods")
    binary, effort = model.levels == 2, subject.effort
    n = effort.flow_images if model.can(HasVelocity) else effort.likelihood_images
    rows, x = images_of_test(subject, n, binary)
    latents: list[Tensor] = []
    k = effort.latents if isinstance(model, HasELBO) else 0
    parts = zip(rows.split(50), x.split(50), strict=True)
    with torch.no_grad():
        exact = not k and model.log_prob(x[:1]).exact  # type: ignore[operator]
        found = evaluate_images(model, iter(parts), k, 0, latents, [])
        table = torch.stack(list(track(found, len(x), f"likelihood by {subject.key}")))
    nats = table[:, 2] if k else table[:, 0]
    result: dict[str, Any] = {
        "pixels": "binary" if binary else "256 levels",
        "kind": "exact" if exact else (f"IWAE-{k}" if k else "bound"),
        "nats": nats.tolist(),
        "dimensions": model.spec.size,
    }
    if k:
        active = torch.cat(latents).double().var(0) > ACTIVE if latents else torch.empty(0)
        result |= {
            "elbo": (-(table[:, 0] + table[:, 1])).tolist(),
            "distortion": table[:, 0].mean().item(),
            "rate": table[:, 1].mean().item(),
            "effective": table[:, 3].median().item(),
            "active": int(active.sum()),
            "units": len(active),
        }
    return result


def annealed(subject: Subject) -> dict[str, Any]:
    """Annealed likelihoods of a decoder: of binarized pixels, and of gray or color ones."""
    effort, model = subject.effort, subject.model
    if subject.seed != 0 or not effort.annealed_images:
        raise UsageError("Annealed importance sampling is for the first run of each model.")
    if model.can(CanAutoregress) or model.can(HasVelocity):
        raise MissingCapability(f"'{model.name}' has its likelihood by other means.")
    require(model, CanRender, "render images with gradients")
    own = model.can(HasPixelLikelihood) and model.levels == 2
    kinds: list[tuple[str, Kind]] = [("256 levels", "gaussian")]
    if subject.material.gray:
        kinds.insert(0, ("binary", "own" if own else "bernoulli"))
    found: dict[str, Any] = {}
    for pixels, kind in kinds:
        _, x = images_of_test(subject, effort.annealed_images, pixels == "binary")
        validation = some(subject.material.validation, max(2, effort.annealed_images // 2)).all()
        if pixels == "binary":
            validation = binarized(validation, torch.arange(len(validation)), BINARIZATION_SEED)
        result = decoder_likelihood(
            model, x, kind, validation, effort.chains_config(), effort.simulated
        )
        found[pixels] = {
            "nats": result.nats.tolist(),
            "dimensions": x[0].numel(),
            "observation": kind,
            "width": result.observation.width,
            "curve": {f"{width:g}": value for width, value in result.curve.items()},
            "gap": None if result.gap is None else result.gap.mean,
            "acceptance": result.acceptance,
        }
    return found


def codes(subject: Subject) -> dict[str, Any]:
    """Classes read from codes, reconstructions, and the encoder they come from."""
    material, effort, model = subject.material, subject.effort, subject.model
    train, test = material.train, material.test
    slow = model.can(HasVelocity)
    n, m = (
        (effort.slow_codes, effort.slow_codes // 2) if slow else (effort.code_images, subject.count)
    )
    train, test = some(train, n), some(test, m)
    x, y, x_test, y_test = train.all(), train.labels, test.all(), test.labels
    if model.can(CanEncode):
        encode, source = require(model, CanEncode, "encode").encode, "its own encoder"
    else:
        decoder = require(model, CanDecode, "encode or decode")
        encode = train_inverter(decoder, effort.inverter_steps).encode
        source = "an encoder trained on its samples"
    found: dict[str, Any] = {"source": source, "length": encode(x[:1]).flatten(1).shape[1]}
    if y is not None and y_test is not None and int(torch.cat([y, y_test]).min()) >= 0:
        labels = (*LABELS, len(x))
        classes = train.spec.classes
        found["accuracy"] = accuracies(encode(x), encode(x_test), y, y_test, classes, labels)
        length = min(32, found["length"])
        pca = principal_components(x, length)
        found["baseline"] = accuracies(
            pca.features(x)[0], pca.features(x_test)[0], y, y_test, classes, labels
        )
        if model.can(CanFeature):
            features = require(model, CanFeature, "give features").features
            pair = features(x), features(x_test)
            found["features"] = accuracies(*pair, y, y_test, classes, labels)
            found["features length"] = pair[0].shape[1]
    if model.can(CanDecode):
        shown = x_test[: 100 if slow else 500]
        again = require(model, CanDecode, "decode").decode(encode(shown)).cpu()
        found["error"] = reconstruction_error(x_test[: len(again)].cpu(), again).mean().item()
        pairs = torch.cat([x_test[:8].cpu(), again[:8]])
        picture = grid(pairs, 8, smallest=8 * 29)
        found["picture"] = subject.picture("reconstructions", picture)
    return found


def accuracies(
    train: Tensor,
    test: Tensor,
    y: Tensor,
    y_test: Tensor,
    classes: int,
    labels: tuple[int, ...],
) -> list[list[float]]:
    """Labels, accuracy of the probe, and accuracy of the neighbors, for growing numbers."""
    codes = train.flatten(1).float().cpu(), test.flatten(1).float().cpu()
    rows = code_accuracy(codes[0], y.cpu(), codes[1], y_test.cpu(), classes, labels)
    return [[row.labels, row.probe, row.neighbors] for row in rows]


def walks(subject: Subject) -> dict[str, Any]:
    """Smoothness of walks between random latents."""
    decoder = require(subject.model, CanDecode, "decode latents")
    n = subject.effort.walks
    z = decoder.prior(2 * n, generator=torch.Generator().manual_seed(2)).cpu()
    circle = has_normal_prior(subject.model)
    ways = [interpolate(z[2 * i : 2 * i + 2], STEPS - 1, circle) for i in range(n)]
    x = decoder.decode(torch.cat(ways)).cpu()
    features, logits = subject.material.network.features(x, "features of walks")
    shape = (n, STEPS)
    found = smoothness(features.unflatten(0, shape), logits.softmax(1).unflatten(0, shape))
    picture = grid(x[: 4 * STEPS], STEPS, smallest=STEPS * 29)
    return {
        "path ratio": found.path_ratio,
        "largest step": found.largest_step,
        "sure": found.sure if subject.material.classifies else None,
        "picture": subject.picture("walks", picture),
    }
