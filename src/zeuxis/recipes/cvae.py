"""The CVAE's three tasks on digits: one, two or three quadrants seen.

The networks are small convolutional ones, trained by Muon: on held-out digits these were ahead of
the paper's kind, dense layers trained by Adam, after as many seconds.
"""

from __future__ import annotations

from dataclasses import replace

from ..data.masks import Quadrant
from ..training.config import TrainingConfig
from ..vae.cvae import CVAEConfig
from . import Recipe

TRAINING = TrainingConfig(
    images=300_000,
    batch=100,
    average=15_000,
    schedule="linear",
    decay_from=0.3,
    log_every=20_000,
    hold_out=2_000,
    validate_every=50_000,
)
NETWORKS = CVAEConfig(architecture="conv", hidden_dim=256, latent_dim=32, lr=7e-3, optimizer="muon")
SEEN: dict[str, tuple[Quadrant, ...]] = {
    "quadrants-1": ("bottom-left",),
    "quadrants-2": ("top-left", "bottom-left"),
    "quadrants-3": ("top-left", "bottom-left", "bottom-right"),
    "top-half": ("top-left", "top-right"),
}

RECIPES = {
    f"cvae/mnist-{name}": Recipe(
        model="cvae",
        data="mnist",
        config=replace(NETWORKS, seen=seen),
        training=TRAINING,
        source="Sohn, Lee and Yan 2015, section 5.1; networks and training are ours",
        note=(
            "for comparison with an autoregressive model, whose order begins with the top half"
            if name == "top-half"
            else "small networks, for machines without a GPU"
        ),
    )
    for name, seen in SEEN.items()
}
