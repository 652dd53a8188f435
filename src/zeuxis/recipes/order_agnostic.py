"""Order-agnostic model of digits."""

from __future__ import annotations

from ..autoregressive.order_agnostic import OrderAgnosticConfig
from ..training.config import TrainingConfig
from . import Recipe

RECIPES = {
    "order-agnostic/mnist": Recipe(
        model="order-agnostic",
        data="mnist",
        config=OrderAgnosticConfig(),
        training=TrainingConfig(
            images=300_000,
            schedule="linear",
            decay_from=0.0,
            warmup=12_800,
            clip=1.0,
            film=0,
            hold_out=1_000,
            log_every=10_000,
        ),
        note="digits with all 256 gray levels, for restoration",
    ),
}
