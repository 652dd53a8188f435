"""DC-IGN on rendered faces: the paper's training, variants of it, and its network for 150 pixels.

The paper's faces need a licensed model; `faces` are rendered by zeuxis. Five factors have a unit
each, where the paper has three. Small images have a Gaussian likelihood, since the cross entropy of
their gray levels is too little for the latent to be used.
"""

from __future__ import annotations

from dataclasses import replace

from ..data.faces import FACE_FACTORS
from ..training.config import TrainingConfig
from ..vae.dcign import DCIGNConfig
from . import Recipe

PAPER = "Kulkarni et al. 2015"
TARGET = "a unit for each of azimuth, elevation, lighting, width and smile"
SMALL = DCIGNConfig(
    factors=FACE_FACTORS,
    ratio=(1, 1, 1, 1, 1, 10),
    architecture="strided",
    channels=(32, 64, 64),
    latent_dim=64,
    likelihood="gaussian",
    lr=1e-3,
)
SHARED = replace(SMALL, posterior="mean", ratio=())
DEEPER = replace(SHARED, channels=(32, 64, 64, 64))
# Eight groups a step; the average of weights covers a fiftieth of the training.
TRAINING = TrainingConfig(images=1_000_000, batch=160, average=20_000)

RECIPES = {
    "dcign/faces": Recipe(
        model="dcign",
        data="faces",
        config=SMALL,
        training=TRAINING,
        source=f"{PAPER}, section 3.2; but five factors, 32 pixels and a Gaussian likelihood",
        target=TARGET,
        note="the paper's clamping and its ratio of groups",
    ),
    "dcign/faces-shared": Recipe(
        model="dcign",
        data="faces",
        config=SHARED,
        training=TRAINING,
        target=TARGET,
        note="posteriors that a group shares (GVAE) instead of clamping, and equally many groups",
    ),
    "dcign/faces-product": Recipe(
        model="dcign",
        data="faces",
        config=replace(SHARED, posterior="product"),
        training=TRAINING,
        target=TARGET,
        note="the same with products of posteriors (ML-VAE)",
    ),
    "dcign/faces-mirror": Recipe(
        model="dcign",
        data="faces",
        config=replace(SHARED, mirror=1.0),
        training=TRAINING,
        target=f"{TARGET}, azimuth not folded",
        note="shared posteriors, and mirrored faces look the other way",
    ),
    "dcign/faces-64": Recipe(
        model="dcign",
        data="faces",
        config=replace(DEEPER, mirror=1.0),
        training=replace(TRAINING, batch=80),
        size=64,
        target=TARGET,
        note="64 pixels, for pictures of edits; shared posteriors and mirrored faces",
    ),
    "dcign/faces-150": Recipe(
        model="dcign",
        data="faces",
        config=DCIGNConfig(),
        training=TrainingConfig(images=1_200_000, batch=20, average=20_000),
        size=150,
        source=f"{PAPER}, sections 3 and 4.1: network, code of 200, three factors, 1:1:1:10",
        target="published are sweeps of azimuth, elevation and lighting, without a figure",
        note="for GPUs: 26 GFLOP an image",
    ),
}
