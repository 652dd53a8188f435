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
            batch=64,
            schedule="linear",
            decay_from=0.4,
            warmup=6_400,
            film=0,
            hold_out=1_000,
            log_every=10_000,
        ),
        note="digits with all 256 gray levels, for restoration",
    ),
}
