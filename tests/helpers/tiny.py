"""Small data, models and trainings that the tests share."""

from __future__ import annotations

import torch

from zeuxis.checkpoints.weights import build
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.data.densities import points
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
    """Settings that make a model of this name small."""
    small: dict[str, dict] = {
        "dcgan": {"architecture": "strided", "channels": 4, "latent_dim": 8},
        "improved-gan": {"width": 16, "generator_width": 16, "latent_dim": 8},
        "improved-gan-128": {
            "width": 0.03,
            "latent_dim": 8,
            "virtual": 4,
            "kernels": 3,
            "dimensions": 2,
        },
        "infogan": {"width": 0.05, "noise_dim": 6},
        "char-rnn": {"hidden_dim": 8},
        "pixelcnn": {"channels": 4, "layers": 1, "head_channels": 4},
        "pixelcnnpp": {"channels": 4, "blocks": 1, "scales": 2, "mixtures": 2},
        "pixelrnn": {"channels": 4, "layers": 1, "head_channels": 4},
        "vae": {"channels": (4, 4), "hidden_dim": 16, "latent_dim": 3},
        "iaf-vae": {"channels": (4, 4), "hidden_dim": 16, "latent_dim": 3, "width": 6},
        "iaf-ladder": {"blocks": (1, 1), "channels": 8, "latent_dim": 2},
    }
    return small.get(name, {})


def data_for(name: str) -> Dataset:
    """Data that a model of this name learns from."""
    if name == "planar":
        return points("ring", 256, 0)
    if name == "char-rnn":
        letters = torch.randint(
            5, (64, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(5)
        )
        return Dataset(Spec("letters", (12,), 0, tuple("abcde")), letters)
    if name.startswith("pixel"):  # these draw number by number
        return images(side=8)
    return images(side=128, channels=3) if name == "improved-gan-128" else images()


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
    """Random images of which the first so many are labeled."""
    data = images(n)
    assert data.y is not None
    return Dataset(data.spec, data.x, torch.where(torch.arange(n) < labeled, data.y, -1))


def batch(name: str, n: int = 16) -> Batch:
    """A first batch, as the loop would make it in a single process."""
    data = data_for(name)
    x, y = data.batch(torch.arange(n))
    streams = ExtraBatches(data, 0)
    return Batch(
        x, y, Noise(0, 0, slice(0, n), n), more=lambda kind, k: data.batch(streams.rows(kind, k, 0))
    )


NAMES = sorted(models())
