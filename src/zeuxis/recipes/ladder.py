"""The IAF ladder on photographs: the paper's best model, its ablation (table 4), and what one GPU
or a laptop can train."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..training.config import TrainingConfig
from ..vae.iaf_ladder import LadderConfig
from . import Recipe

PAPER = "Kingma et al. 2016"
LONG = TrainingConfig(
    images=300_000_000, batch=256, average=180_000, log_every=50_000
)  # an average that takes in a thousandth of each step
SHORT = TrainingConfig(
    images=850_000, batch=32, average=22_000, schedule="linear", log_every=10_000
)
SMALL = LadderConfig(blocks=(4,), channels=48, latent_dim=12, layers=1, optimizer="muon", lr=4e-3)
# settings: bits a dimension for 4, 8 and 12 layers
TABLE: dict[str, tuple[dict[str, Any], tuple[str, str, str]]] = {
    "bottom-up-factorized": (
        {"inference": "bottom-up", "posterior": "factorized"},
        ("3.71", "3.55", "3.44"),
    ),
    "bottom-up-linear": (
        {"inference": "bottom-up", "posterior": "linear"},
        ("3.68", "3.55", "3.41"),
    ),
    "bottom-up-iaf1": ({"inference": "bottom-up", "layers": 1}, ("3.61", "3.49", "3.38")),
    "factorized": ({"posterior": "factorized"}, ("3.74", "3.60", "3.46")),
    "linear": ({"posterior": "linear"}, ("3.67", "3.52", "3.40")),
    "iaf1": ({"layers": 1}, ("3.56", "3.42", "3.28")),
    "iaf2": ({"layers": 2}, ("3.54", "3.39", "3.27")),
    "iaf1-2steps": ({"layers": 1, "steps": 2}, ("3.53", "3.36", "3.26")),
}


def ablation() -> dict[str, Recipe]:
    """Every cell of table 4."""
    found = {}
    for row, (config, figures) in TABLE.items():
        for depth, bits in zip((4, 8, 12), figures, strict=True):
            found[f"iaf-ladder/cifar10-{row}-{depth}"] = Recipe(
                model="iaf-ladder",
                data="cifar10",
                config=LadderConfig(blocks=(depth,), **config),
                training=LONG,
                size=32,
                source=f"{PAPER}, table 4, depth {depth}",
                target=f"{bits} bits/dim",
                note="for GPUs",
            )
    return found


RECIPES = {
    "iaf-ladder/cifar10": Recipe(
        model="iaf-ladder",
        data="cifar10",
        config=LadderConfig(),
        training=LONG,
        size=32,
        source=(
            f"{PAPER}, section 6.2 and the released code's settings; the length is "
            "that of its checkpoint"
        ),
        target="3.15 bits/dim by the bound, 3.11 with 10,000 importance samples",
        note="41.6 million weights; eight GPUs in the paper",
    ),
    **ablation(),
    "iaf-ladder/cifar10-small": Recipe(
        model="iaf-ladder",
        data="cifar10",
        config=SMALL,
        training=SHORT,
        size=32,
        note="four layers, 48 maps for the paper's 160, by Muon, for machines without a GPU",
    ),
    "iaf-ladder/cifar10-small-factorized": Recipe(
        model="iaf-ladder",
        data="cifar10",
        config=replace(SMALL, posterior="factorized"),
        training=SHORT,
        size=32,
        note="the same without flow, as a control",
    ),
}
