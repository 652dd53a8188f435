"""What a model is judged by while it trains: figures on images that were held out of the training
data, never on test data."""

from __future__ import annotations

import torch

from ..capabilities import CanClassify, CanLogProb, CanSample
from ..data.binarized import binarized
from ..data.dataset import Dataset
from ..errors import UsageError
from ..evaluation.features.feature_network import feature_network
from ..evaluation.metrics import frechet_distance, statistics
from ..model import Model
from ..training.selection import Validation


def validation_of(model: Model, held: Dataset) -> Validation:
    """The figures that this model's capabilities allow: accuracy, nats, or the Fréchet distance of
    its samples.

    Arguments:
        model: A model of the kind that will be judged.
        held: Images that it does not train on.
    """
    if isinstance(model, CanClassify) and held.labels is not None:
        return lambda judged: accuracy(judged, held)
    if isinstance(model, CanLogProb):
        return lambda judged: likelihood(judged, held)
    if isinstance(model, CanSample) and len(held.spec.shape) == 3:
        network = feature_network(None, held.spec.name)
        real = statistics(network.features(held.all())[0])

        def frechet(judged: Model) -> dict[str, float]:
            assert isinstance(judged, CanSample)
            fake = judged.sample(len(held), generator=torch.Generator().manual_seed(0)).cpu()
            return {"frechet": frechet_distance(real, statistics(network.features(fake)[0]))}

        return frechet
    raise UsageError(
        f"There is no held-out figure for the model '{model.name}': train without "
        "--training.hold-out."
    )


def accuracy(model: Model, held: Dataset) -> dict[str, float]:
    """Share of held-out images classified rightly, in per cent."""
    assert isinstance(model, CanClassify)
    assert held.labels is not None
    guesses = torch.cat([model.classify(part).argmax(1).cpu() for part in held.all().split(1000)])
    labels = held.labels.cpu()
    known = labels >= 0
    if not known.any():
        raise UsageError(
            "None of the images held out has a label: hold out more, or train without "
            "--training.hold-out."
        )
    return {"accuracy": 100 * (guesses == labels)[known].float().mean().item()}


def likelihood(model: Model, held: Dataset) -> dict[str, float]:
    """Mean log-likelihood (or its bound) in nats an image; for models of binary images pixels are
    drawn once, the same ones every time."""
    assert isinstance(model, CanLogProb)
    nats = []
    for rows in torch.arange(len(held)).split(256):
        x = held.batch(rows)[0]
        nats.append(model.log_prob(binarized(x, rows, 0) if model.levels == 2 else x).nats.cpu())
    return {"nats": torch.cat(nats).mean().item()}
