"""WGAN-GP on digits."""

from __future__ import annotations

from ..gan.wgan_gp import WGANGPConfig
from ..training.config import TrainingConfig
from . import Recipe

RECIPES = {
    "wgan-gp/mnist": Recipe(
        model="wgan-gp",
        data="mnist",
        config=WGANGPConfig(),
        training=TrainingConfig(images=10_000_000, batch=50),
        source="Gulrajani et al. 2017, algorithm 1 and the released gan_mnist.py: 200,000 steps",
        note="each step trains the critic five times: for GPUs",
    ),
    "wgan-gp/mnist-small": Recipe(
        model="wgan-gp",
        data="mnist",
        config=WGANGPConfig(channels=16, critic_steps=2, beta1=0.5, lr=1e-3),
        training=TrainingConfig(images=200_000, batch=50, schedule="linear", decay_from=0.3),
        note="a quarter of the channels, two critic steps, ten times the step size: for laptops",
    ),
}
