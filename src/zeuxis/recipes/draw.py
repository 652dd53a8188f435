"""DRAW: the paper's model of digits, controls, color, two digits, and smaller machines.

The paper names Adam and no step size, batch or length. The long recipes have the step size of the
best known code for 64 steps, jbornschein's, which clips gradients too. The short ones take larger
steps.
"""

from __future__ import annotations

from dataclasses import replace

from ..training.config import TrainingConfig
from ..vae.draw import DRAWConfig
from . import Recipe

PAPER, CODE = "Gregor et al. 2015", "step size and clipping of jbornschein's code"
LONG = TrainingConfig(
    images=12_000_000,
    batch=100,
    clip=10.0,
    average=100_000,
    schedule="linear",
    decay_from=0.5,
    log_every=60_000,
)
SHORT = replace(LONG, images=3_000_000, average=40_000, log_every=20_000)
DIGITS = DRAWConfig()
SMALL = DRAWConfig(glimpses=16, lr=2e-3)

RECIPES = {
    "draw/mnist": Recipe(
        model="draw",
        data="mnist-static",
        config=DIGITS,
        training=LONG,
        source=f"{PAPER}, section 4.2; {CODE}",
        target="-80.97 nats (bound), static binarization by other files",
        note="for GPUs",
    ),
    "draw/mnist-no-attention": Recipe(
        model="draw",
        data="mnist-static",
        config=replace(DIGITS, read=0, write=0),
        training=LONG,
        source=f"{PAPER}, section 4.2; {CODE}",
        note="a control that reads the whole image and writes the whole canvas; for GPUs",
    ),
    "draw/mnist-learned-prior": Recipe(
        model="draw",
        data="mnist-static",
        config=replace(DIGITS, learned_prior=True),
        training=LONG,
        source="the prior of Gregor et al. 2016, in the model of 2015",
        note="for GPUs",
    ),
    "draw/mnist-small": Recipe(
        model="draw",
        data="mnist-static",
        config=SMALL,
        training=SHORT,
        note="16 glimpses, a quarter of the length, for machines without a GPU",
    ),
    "draw/mnist-small-no-attention": Recipe(
        model="draw",
        data="mnist-static",
        config=replace(SMALL, glimpses=10, read=0, write=0),
        training=SHORT,
        note="a control for machines without a GPU; without windows fewer glimpses do",
    ),
    "draw/two-digits": Recipe(
        model="draw",
        data="multi-mnist-60",
        config=replace(DIGITS, glimpses=32, lr=1e-3),
        training=LONG,
        source=f"{PAPER}, section 4.2: two digits on 60 x 60; sizes and training are ours",
        note="for GPUs",
    ),
    "draw/svhn": Recipe(
        model="draw",
        data="svhn",
        config=DRAWConfig(glimpses=32, hidden_dim=512, read=5, write=5),
        training=LONG,
        size=32,
        source="jbornschein's code, on crops of 32 pixels; the paper's have 54",
        target="1825.82 nats of cross-entropy and rate (jbornschein's code)",
        note="for GPUs",
    ),
    "draw/cifar10": Recipe(
        model="draw",
        data="cifar10",
        config=DRAWConfig(hidden_dim=400, latent_dim=200, read=5, write=5),
        training=LONG,
        size=32,
        source=f"{PAPER}, section 4.4; the sizes were not checked against the paper",
        note="cross-entropy; add --model.likelihood logistic for bits/dim; for GPUs",
    ),
}
