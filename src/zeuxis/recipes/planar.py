"""The density picture: a Gaussian warped onto a density of the plane."""

from __future__ import annotations

from ..gan.planar import PLAIN, PlanarConfig
from ..training.config import TrainingConfig
from . import Recipe

TRAINING = TrainingConfig(images=384_000, schedule="linear")

RECIPES = {
    "planar/ring": Recipe(
        model="planar",
        data="ring",
        config=PlanarConfig(),
        training=TRAINING,
        source="Mescheder et al. 2018 (penalties); the density of Metz et al. 2017",
        target="all 8 modes of the ring",
        note="--data takes any density of the plane",
    ),
    "planar/plain": Recipe(
        model="planar",
        data="ring",
        config=PLAIN,
        training=TrainingConfig(images=384_000, average=0),
        source="the settings of 2016",
        note="loses modes: what the penalties are for",
    ),
}
