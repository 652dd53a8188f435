"""The density picture: a Gaussian stretched over a law of the plane."""

from __future__ import annotations

from ..gan.planar import PLAIN, PlanarConfig
from ..training.settings import Training
from . import Recipe

TRAINING = Training(images=384_000, schedule="linear")

RECIPES = {
    "planar/ring": Recipe(
        model="planar",
        data="ring",
        settings=PlanarConfig(),
        training=TRAINING,
        source="Mescheder et al. 2018 (penalties); the law of Metz et al. 2017",
        target="all 8 modes of the ring",
        note="--data takes any law of the plane",
    ),
    "planar/plain": Recipe(
        model="planar",
        data="ring",
        settings=PLAIN,
        training=Training(images=384_000, average=0),
        source="the settings of 2016",
        note="loses modes: what the penalties are for",
    ),
}
