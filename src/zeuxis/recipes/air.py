"""AIR on canvases with up to two objects.

Window, networks and noise are those of the paper's experiment as its implementations give them.
With enumeration and exploration a step size ten times theirs trains well, and two digits are
counted after a few minutes. The control by NVIL keeps their step size, and anneals the prior over
half of the images after which they reported their counting accuracy to have risen.
"""

from __future__ import annotations

from dataclasses import replace

from ..training.config import TrainingConfig
from ..vae.air import AIRConfig
from . import Recipe

TRAINING = TrainingConfig(
    images=400_000,
    batch=64,
    average=20_000,
    clip=1.0,
    schedule="linear",
    decay_from=0.6,
    log_every=20_000,
)

RECIPES = {
    "air/multi-mnist": Recipe(
        model="air",
        data="multi-mnist",
        config=AIRConfig(explore=0.3, lr=1e-3),
        training=TRAINING,
        source="Eslami et al. 2016, section 3.1; Pyro's example for what it leaves open",
        target="98.7% of images counted right, on training images (Pyro's example)",
        note="the number of objects by enumeration",
    ),
    "air/multi-mnist-nvil": Recipe(
        model="air",
        data="multi-mnist",
        config=AIRConfig(gradient="nvil", anneal=1_000_000, explore=0.0),
        training=replace(TRAINING, images=2_000_000),
        source="Eslami et al. 2016, section 2.2",
        note="the paper's gradient of the number of objects, as a control",
    ),
    "air/sprites": Recipe(
        model="air",
        data="sprites",
        config=AIRConfig(explore=0.3, lr=1e-3),
        training=TRAINING,
        source="Eslami et al. 2016, for the idea of the set; its sprites are ours",
        note="colored shapes",
    ),
}
