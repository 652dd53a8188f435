"""Figures for validation during a training, on images held out of the training data and never on
test data."""

from __future__ import annotations

import torch

from ..capabilities import CanClassify, CanLogProb, CanSample, HasConditionalELBO
from ..data.binarized import binarized
from ..data.dataset import Dataset
from ..errors import UsageError
from ..evaluation.features.feature_network import feature_network
from ..evaluation.metrics import frechet_distance, statistics
from ..model import Model, require
from ..training.selection import Validation


def validation_of(model: Model, held: Dataset) -> Validation:
    """The figures that a model's capabilities allow: accuracy, nats, nats of hidden pixels, or the
    Fréchet distance of its samples; the last if the model asks for it, as one whose likelihood is
    dear.

    Arguments:
        model: A model of the kind to validate.
        held: Images that it is not trained on.
    """
    if model.can(CanClassify) and held.labels is not None:
        return lambda trained: accuracy(trained, held)
    if model.can(CanLogProb) and model.validate_by != "frechet":
        return lambda trained: likelihood(trained, held)
    if model.can(HasConditionalELBO):
        return lambda trained: prediction(trained, held)
    if model.can(CanSample) and len(held.spec.shape) == 3:
        network = feature_network(None, held.spec.name)
        real = statistics(network.features(held.all())[0])

        def frechet(trained: Model) -> dict[str, float]:
            sampler = require(trained, CanSample, "draw samples")
            fake = sampler.sample(len(held), generator=torch.Generator().manual_seed(0)).cpu()
            return {"frechet": frechet_distance(real, statistics(network.features(fake)[0]))}

        return frechet
    raise UsageError(
        f"There is no held-out figure for the model '{model.name}': train without "
        "--training.hold-out."
    )


def accuracy(model: Model, held: Dataset) -> dict[str, float]:
    """Share of the labeled held-out images that are classified correctly, in per cent."""
    classifier = require(model, CanClassify, "classify")
    parts = [classifier.classify(part).argmax(1).cpu() for part in held.all().split(1000)]
    labels = torch.full((len(held),), -1) if held.labels is None else held.labels.cpu()
    known = labels >= 0
    if not known.any():
        raise UsageError(
            "None of the images held out has a label: hold out more, or train without "
            "--training.hold-out."
        )
    return {"accuracy": 100 * (torch.cat(parts) == labels)[known].float().mean().item()}


def likelihood(model: Model, held: Dataset) -> dict[str, float]:
    """Mean log-likelihood, or its bound, in nats per image. Models of binary images see the same
    binarization each time."""
    bounded, nats = require(model, CanLogProb, "say how likely an image is"), []
    for rows in torch.arange(len(held)).split(256):
        x = held.batch(rows)[0]
        x = binarized(x, rows, 0) if model.levels == 2 else x
        nats.append(bounded.log_prob(x).nats.cpu())
    return {"nats": torch.cat(nats).mean().item()}


def prediction(model: Model, held: Dataset) -> dict[str, float]:
    """Mean bound on log p(y | x) by one latent, its rate, and the baseline's log p(y | x), in nats
    per image. The binarization and the latents are the same each time."""
    bounded = require(model, HasConditionalELBO, "predict hidden pixels")
    generator, table = torch.Generator().manual_seed(0), []
    for rows in torch.arange(len(held)).split(256):
        x = binarized(held.batch(rows)[0], rows, 0)
        elbo = bounded.conditional_elbo(x, generator=generator)
        figures = (elbo.nats, elbo.rate.sum(1), bounded.baseline_log_prob(x))
        table.append(torch.stack(figures).cpu())
    bound, rate, baseline = torch.cat(table, 1).mean(1).tolist()
    return {"nats": bound, "rate": rate, "baseline": baseline}
