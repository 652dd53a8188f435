"""AIR on canvases with up to two digits.

Batch, window, networks and noise are those of the paper's experiment as its implementations give
them. The length is that after which they reported their counting accuracy to have risen, and the
prior is annealed over half of it.
"""

from __future__ import annotations

from ..training.config import TrainingConfig
from ..vae.air import AIRConfig
from . import Recipe

TRAINING = TrainingConfig(
    images=2_000_000,
    batch=64,
    average=20_000,
    clip=1.0,
    schedule="linear",
    decay_from=0.7,
    log_every=20_000,
)

RECIPES = {
    "air/multi-mnist": Recipe(
        model="air",
        data="multi-mnist",
        config=AIRConfig(),
        training=TRAINING,
        source="Eslami et al. 2016, section 3.1; Pyro's example for what it leaves open",
        target="98.7% of images counted right, on training images (Pyro's example)",
        note="the number of objects by enumeration",
    ),
    "air/multi-mnist-nvil": Recipe(
        model="air",
        data="multi-mnist",
        config=AIRConfig(gradient="nvil"),
        training=TRAINING,
        source="Eslami et al. 2016, section 2.2",
        note="the paper's gradient of the number of objects, as a control",
    ),
}
