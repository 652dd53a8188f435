"""DCGAN on digits, objects and faces."""

from __future__ import annotations

from ..gan.dcgan import DCGANConfig
from ..training.config import TrainingConfig
from . import Recipe

PAPER = "Radford et al. 2016, section 4 and released code"

RECIPES = {
    "dcgan/mnist": Recipe(
        model="dcgan",
        data="mnist",
        config=DCGANConfig(weight_decay=2.5e-5),
        training=TrainingConfig(images=1_500_000, schedule="linear", decay_from=0.5),
        source="the authors' network for MNIST (6.8 + 6.7 million weights), without labels",
        note=(
            "the authors trained for 200 epochs, half of them with a falling step size; "
            "this is 25 in the same proportion"
        ),
    ),
    "dcgan/mnist-conditional": Recipe(
        model="dcgan",
        data="mnist",
        config=DCGANConfig(conditional=True, weight_decay=2.5e-5),
        training=TrainingConfig(images=12_000_000, schedule="linear", decay_from=0.5),
        source="Radford et al. 2016, section 8.1",
        target="test error of a nearest-neighbor classifier on 50,000 samples: 2.98 %",
    ),
    "dcgan/mnist-small": Recipe(
        model="dcgan",
        data="mnist",
        config=DCGANConfig(channels=48, weight_decay=2.5e-5, lr=8e-4),
        training=TrainingConfig(images=1_500_000, schedule="linear", decay_from=0.3),
        note=(
            "the same network at three eighths of its width, 1.9 million weights, with four times "
            "the paper's step size: the one that ships with zeuxis, for laptops"
        ),
    ),
    "dcgan/mnist-demo": Recipe(
        model="dcgan",
        data="mnist",
        config=DCGANConfig(channels=32, weight_decay=2.5e-5, lr=1e-3),
        training=TrainingConfig(images=250_000, schedule="linear", decay_from=0.3),
        note=(
            "the same network at a quarter of its width, 0.9 million weights, with five times the "
            "paper's step size: the one that zeuxis demo trains"
        ),
    ),
    "dcgan/cifar10": Recipe(
        model="dcgan",
        data="cifar10",
        config=DCGANConfig(architecture="alternating", kernel=3, latent_dim=256),
        training=TrainingConfig(
            images=12_800_000, schedule="linear", decay_from=0.0, average=50_000
        ),
        size=32,
        source="the authors' 3x3 network behind section 5.1, trained on CIFAR-10 for 100,000 steps",
        target="for DCGANs of this budget: Inception score 6.0, FID 43",
        note="0.8 TFLOP a step: for GPUs",
    ),
    "dcgan/cifar10-small": Recipe(
        model="dcgan",
        data="cifar10",
        config=DCGANConfig(channels=64),
        training=TrainingConfig(
            images=3_000_000, schedule="linear", decay_from=0.5, average=20_000
        ),
        size=32,
        source="the authors' network for SVHN (2.5 million weights) with the paper's optimizer",
        note="for machines without a GPU",
    ),
    "dcgan/svhn": Recipe(
        model="dcgan",
        data="svhn",
        config=DCGANConfig(channels=64, prior="normal", lr=5e-4),
        training=TrainingConfig(images=14_600_000, batch=64),
        size=32,
        source=(
            "the authors' released model "
            "`svhn_unsup_all_conv_dcgan_100z_gaussian_lr_0.0005_64mb`, 200 epochs"
        ),
        target=(
            "22.48 % test error with 1,000 labels from a linear classifier on the "
            "discriminator's features"
        ),
    ),
    "dcgan/faces": Recipe(
        model="dcgan",
        data="faces",
        config=DCGANConfig(),
        training=TrainingConfig(images=8_750_000, average=50_000),
        size=64,
        source=PAPER + ": 350,000 faces of 64 pixels, 25 epochs",
        note="give your own folder of faces with --data",
    ),
}
