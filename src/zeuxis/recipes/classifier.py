"""Classifiers whose features score samples."""

from __future__ import annotations

from ..evaluation.features.classifier import ClassifierConfig
from ..training.config import TrainingConfig
from . import Recipe

RECIPES = {
    "classifier/mnist": Recipe(
        model="classifier",
        data="mnist",
        config=ClassifierConfig(),
        training=TrainingConfig(
            images=600_000,
            batch=128,
            schedule="cosine",
            decay_from=0.0,
            warmup=20_000,
            film=0,
            average=5_000,
        ),
        target="99.5 % of the test digits",
        note="the network that scores samples of MNIST and ships as mnist/classifier",
    ),
    "classifier/cifar10": Recipe(
        model="classifier",
        data="cifar10",
        config=ClassifierConfig(width=48, shift=4.0, smoothing=0.1, lr=2e-3, weight_decay=5e-4),
        training=TrainingConfig(
            images=2_000_000,
            batch=128,
            schedule="cosine",
            decay_from=0.0,
            warmup=100_000,
            film=0,
            average=20_000,
        ),
        size=32,
        target="92 % of the test images",
        note="the network that scores samples of CIFAR-10",
    ),
}
