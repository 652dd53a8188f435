"""Small data, models and trainings that the tests share."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from zeuxis.checkpoints.weights import build
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.data.densities import points
from zeuxis.data.facts import Facts
from zeuxis.model import Batch, Model
from zeuxis.noise import Noise
from zeuxis.registry import models
from zeuxis.training.config import TrainingConfig
from zeuxis.training.sampler import ExtraBatches


def images(n: int = 64, side: int = 28, channels: int = 1, classes: int = 10) -> Dataset:
    """Random images with labels."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randint(0, 256, (n, channels, side, side), dtype=torch.uint8, generator=generator)
    return Dataset(Spec("tiny", (channels, side, side), classes), x, torch.arange(n) % classes)


def config(name: str) -> dict:
    """The settings in which a model's tiny config differs from its defaults."""
    small, _ = models()[name].tiny()
    return {
        field.name: getattr(small, field.name)
        for field in dataclasses.fields(small)
        if getattr(small, field.name) != field.default
    }


def data_for(name: str) -> Dataset:
    """Random data of the shape that a model's `tiny` asks for."""
    _, spec = models()[name].tiny()
    if spec.shape == (2,):
        return points("ring", 256, 0)
    if len(spec.shape) == 1:
        generator = torch.Generator().manual_seed(5)
        letters = (64, *spec.shape)
        symbols = len(spec.class_names)
        return Dataset(
            spec, torch.randint(symbols, letters, dtype=torch.uint8, generator=generator)
        )
    channels, side, _ = spec.shape
    data = images(side=side, channels=channels, classes=spec.classes)
    if (group := getattr(models()[name].tiny()[0], "group", 1)) > 1:
        kinds = torch.arange(len(data)) // group % spec.classes
        return Dataset(spec, data.x, kinds, facts=Facts(group=group))
    return data


def model(name: str, seed: int = 0, **changes: object) -> Model:
    """A small model of this name."""
    return build(
        name, models()[name].Config(**{**config(name), **changes}), data_for(name).spec, seed
    )


def training(**changes: object) -> TrainingConfig:
    """A short training on one thread in float32."""
    return TrainingConfig(
        **{
            "images": 64,
            "batch": 16,
            "film": 0,
            "log_every": 10**9,
            "precision": "fp32",
            "threads": 1,
            **changes,
        }
    )


def few(n: int = 64, labeled: int = 16) -> Dataset:
    """Random images of which the first are labeled."""
    data = images(n)
    assert data.y is not None
    return Dataset(data.spec, data.x, torch.where(torch.arange(n) < labeled, data.y, -1))


def batch(name: str, n: int = 16) -> Batch:
    """A first batch, as the loop would make it in a single process."""
    data = data_for(name)
    x, y = data.batch(torch.arange(n))
    streams = ExtraBatches(data, 0)
    return Batch(
        x,
        y,
        Noise(0, 0, slice(0, n), n),
        more=lambda kind, k, stream=0: data.batch(streams.rows(kind, k, 0, stream)),
    )


NAMES = sorted(models())
PARAMS = [  # for tests that train twice
    pytest.param(name, marks=pytest.mark.slow)
    if name in ("improved-gan-128", "pixelcnnpp", "iaf-ladder")
    else name
    for name in NAMES
]
