"""Models with an encoder that tests share: one whose codes are known exactly, and a VAE trained on
digits for a few seconds."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import torch
from torch import Tensor

import tiny
from zeuxis.checkpoints.weights import build
from zeuxis.data import load_data
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.model import Model
from zeuxis.registry import models
from zeuxis.training.loop import fit


class Halves:
    """Codes are the mean brightness of the upper and of the lower half of an image, from -1 to 1;
    all else is lost."""

    name = "halves"
    config = SimpleNamespace(prior="uniform")
    spec = Spec("halves", (1, 4, 4))

    def encode(self, x: Tensor) -> Tensor:
        return (
            torch.stack([half.float().flatten(1).mean(1) for half in (x[:, :, :2], x[:, :, 2:])], 1)
            / 127.5
            - 1
        )

    def decode(self, z: Tensor) -> Tensor:
        return (
            ((z + 1) * 127.5)
            .round()
            .clamp(0, 255)
            .byte()
            .repeat_interleave(2, 1)[:, None, :, None]
            .repeat(1, 1, 1, 4)
        )


@functools.cache
def digits() -> tuple[Model, Dataset]:
    """A small VAE that has seen digits, and digits that it has not seen."""
    data = load_data("mnist", limit=4000)
    config = models()["vae"].Config(
        architecture="dense", hidden_dim=100, latent_dim=8, lr=5e-3, optimizer="adam", warmup=16_000
    )
    model = build("vae", config, data.spec, 0)
    fit(model, data, training=tiny.training(images=16_000, batch=50), quiet=True)
    return model.eval().requires_grad_(False), load_data("mnist", split="test", limit=1500)
