"""VAE and IAF-VAE: table 1 of the IAF paper on digits, the VAE of 2013, and smaller machines.

The paper gives neither optimizer nor batch nor length for the digits; those here are ours: Muon,
which needs about a quarter of the images that Adamax (its code's choice for photographs) needs for
the same bound, a step size that falls to 0 over the last half, and averaged weights.
"""

from __future__ import annotations

from dataclasses import replace

from ..training.config import TrainingConfig
from ..vae.iaf import IAFConfig
from ..vae.vae import VAEConfig
from . import Recipe

PAPER = "Kingma et al. 2016"
DIGITS = TrainingConfig(
    images=20_000_000,
    batch=200,
    average=200_000,
    schedule="linear",
    decay_from=0.5,
    log_every=60_000,
)
LAPTOP = replace(DIGITS, images=4_000_000, average=60_000)
TABLE = {  # depth, width: bound, log p(x) with 128 samples
    (2, 320): "-82.02 +- 0.08 nats (bound), -79.77 +- 0.06 (log p, 128 samples)",
    (2, 1920): "-81.17 +- 0.08 nats (bound), -79.30 +- 0.08 (log p, 128 samples)",
    (4, 1920): "-80.93 +- 0.09 nats (bound), -79.17 +- 0.08 (log p, 128 samples)",
    (8, 1920): "-80.80 +- 0.07 nats (bound), -79.10 +- 0.07 (log p, 128 samples)",
}
FACES = VAEConfig(likelihood="logistic", free_bits=0.05)
GAUSS, FLOW = VAEConfig(lr=7e-3, optimizer="muon"), IAFConfig(lr=7e-3, optimizer="muon")

RECIPES = {
    "vae/mnist": Recipe(
        model="vae",
        data="mnist",
        config=GAUSS,
        training=DIGITS,
        source=f"{PAPER}, table 1, diagonal covariance; appendix B",
        target=(
            "-84.08 +- 0.10 nats (bound), -81.08 +- 0.08 (log p, 128 samples), dynamic binarization"
        ),
        note="for GPUs",
    ),
    "vae/mnist-small": Recipe(
        model="vae",
        data="mnist",
        config=GAUSS,
        training=LAPTOP,
        note="a fifth of the length, for machines without a GPU",
    ),
    "vae/mnist-2013": Recipe(
        model="vae",
        data="mnist",
        config=VAEConfig(architecture="dense", hidden_dim=500, latent_dim=20, optimizer="adam"),
        training=replace(LAPTOP, images=6_000_000, batch=100),
        source=(
            "Kingma and Welling 2013, section 5: 500 hidden units; here two layers of "
            "them, ELU units and Adam"
        ),
        target=(
            "about -86 nats (bound) for a VAE of this kind with one layer of codes, "
            "dynamic binarization"
        ),
    ),
    "vae/heads": Recipe(
        model="vae",
        data="heads",
        config=VAEConfig(likelihood="logistic", free_bits=0.05),
        training=TrainingConfig(images=1_000_000, batch=100, average=20_000),
        note="rendered heads of known factors, for directions and edits",
    ),
    **{
        f"vae/faces{name}": Recipe(
            model="vae",
            data="faces",
            config=replace(FACES, **changes),
            training=TrainingConfig(images=1_000_000, batch=100, average=20_000),
            size=size,
            note=note,
        )
        for name, changes, size, note in (
            ("", {}, None, "rendered faces of known factors, for directions and edits"),
            ("-beta", {"beta": 4.0, "free_bits": 0.0}, None, "a beta-VAE, to be compared"),
            ("-64", {"channels": (16, 32, 32, 64)}, 64, "64 pixels, for pictures of edits"),
        )
    },
    "vae/cifar10": Recipe(
        model="vae",
        data="cifar10",
        config=VAEConfig(channels=(64, 128, 128), hidden_dim=512, latent_dim=128, free_bits=0.05),
        training=TrainingConfig(images=10_000_000, batch=100, average=100_000),
        size=32,
        note="one layer of codes; far from iaf-ladder's likelihood",
    ),
    **{
        f"iaf-vae/mnist-depth{depth}-width{width}": Recipe(
            model="iaf-vae",
            data="mnist",
            config=replace(FLOW, depth=depth, width=width),
            training=DIGITS,
            source=f"{PAPER}, table 1, depth {depth}, width {width}",
            target=f"{target}, dynamic binarization",
            note="for GPUs",
        )
        for (depth, width), target in TABLE.items()
    },
    "iaf-vae/mnist-linear": Recipe(
        model="iaf-vae",
        data="mnist",
        config=replace(FLOW, posterior="linear"),
        training=DIGITS,
        source=f"{PAPER}, appendix A: linear IAF",
        note="control between the diagonal posterior and the flow",
    ),
    "iaf-vae/mnist-small": Recipe(
        model="iaf-vae",
        data="mnist",
        config=FLOW,
        training=LAPTOP,
        note="depth 2, width 320, a fifth of the length, for machines without a GPU",
    ),
}
