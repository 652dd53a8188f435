"""The CVAE's three tasks on digits: one, two or three quadrants seen."""

from __future__ import annotations

from ..data.masks import Quadrant
from ..training.config import TrainingConfig
from ..vae.cvae import CVAEConfig
from . import Recipe

TRAINING = TrainingConfig(
    images=2_000_000,
    batch=128,
    average=40_000,
    schedule="linear",
    decay_from=0.3,
    log_every=50_000,
    hold_out=5_000,
    validate_every=250_000,
)
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
        config=CVAEConfig(seen=seen, latent_dim=64),
        training=TRAINING,
        source="Sohn, Lee and Yan 2015, section 5.1; length and schedule are ours",
        note=(
            "for comparison with an autoregressive model, whose order begins with the top half"
            if name == "top-half"
            else "one network of each kind for one task; minutes on one core"
        ),
    )
    for name, seen in SEEN.items()
}
