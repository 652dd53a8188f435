"""Flow matching on digits and photographs."""

from __future__ import annotations

from ..flow.flow_matching import FlowMatchingConfig
from ..training.config import TrainingConfig
from . import Recipe

RECIPES = {
    "flow-matching/mnist": Recipe(
        model="flow-matching",
        data="mnist",
        config=FlowMatchingConfig(),
        training=TrainingConfig(
            images=600_000, schedule="linear", decay_from=0.0, warmup=12_800, clip=1.0, film=30
        ),
    ),
}
