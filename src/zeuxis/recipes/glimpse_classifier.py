"""A classifier that finds digits among clutter by glimpses."""

from __future__ import annotations

from ..training.config import TrainingConfig
from ..vae.draw_classifier import GlimpseClassifierConfig
from . import Recipe

RECIPES = {
    "glimpse-classifier/mnist-cluttered": Recipe(
        model="glimpse-classifier",
        data="mnist-cluttered",
        config=GlimpseClassifierConfig(),
        training=TrainingConfig(
            images=3_000_000,
            batch=128,
            clip=10.0,
            average=20_000,
            schedule="linear",
            decay_from=0.5,
            film=0,
        ),
        source="Gregor et al. 2015, section 4.1; step size, batch, length and clutter are ours",
        note="digits on 100x100 pixels among pieces of others",
    ),
}
