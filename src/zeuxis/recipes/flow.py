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
            images=300_000, schedule="linear", decay_from=0.0, warmup=12_800, clip=1.0, film=30
        ),
        note="1.5 million weights, five passes over the digits: the one that ships, for laptops",
    ),
    "flow-matching/cifar10": Recipe(
        model="flow-matching",
        data="cifar10",
        config=FlowMatchingConfig(
            channels=(128, 256, 256, 256),
            patch=1,
            attention=(1,),
            dropout=0.1,
            times="uniform",
            optimizer="adam",
            lr=2e-4,
            steps=50,
        ),
        training=TrainingConfig(
            images=51_200_000, warmup=640_000, clip=1.0, average=900_000, film=30
        ),
        size=32,
        source=(
            "Tong et al. 2024 and its code: U-Net of 128 channels, Adam 2e-4 with a warm-up of "
            "5,000 steps and no decay, batch 128, gradient norm 1, 400,000 steps"
        ),
        note="for GPUs",
    ),
    "flow-matching/cifar10-small": Recipe(
        model="flow-matching",
        data="cifar10",
        config=FlowMatchingConfig(channels=(64, 128, 128), steps=20),
        training=TrainingConfig(
            images=600_000, schedule="linear", decay_from=0.0, warmup=12_800, clip=1.0, film=30
        ),
        size=32,
        note="for machines without a GPU",
    ),
    "flow-matching/olivetti": Recipe(
        model="flow-matching",
        data="olivetti",
        config=FlowMatchingConfig(
            channels=(64, 128, 128), patch=4, dropout=0.1, mirror=True, steps=20
        ),
        training=TrainingConfig(
            images=100_000,
            schedule="linear",
            decay_from=0.0,
            warmup=12_800,
            clip=1.0,
            average=5_000,
            film=30,
        ),
        size=64,
        note="a few hundred faces: give a folder with --data; longer trainings overfit",
    ),
}
