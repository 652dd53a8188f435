"""Columns of a comparison with figures that a test chooses."""

from __future__ import annotations

from typing import Any

from zeuxis.applications.comparison.entrants import Family
from zeuxis.applications.comparison.results import Column

CAPABILITIES: dict[str, tuple[str, ...]] = {
    "GAN": ("sample", "decode", "render"),
    "VAE": ("sample", "decode", "render", "encode", "elbo"),
    "autoregressive": ("sample", "log_prob", "autoregress"),
    "flow": ("sample", "velocity", "encode", "decode"),
}


def column(family: Family, seeds: int = 5, **figures: Any) -> Column:
    """A column whose figures are given by measure; a callable is called with the seed.

    Example:
        >>> column("GAN", 2, quality={"frechet": lambda seed: 3.0 + seed}).values("quality.frechet")
        [3.0, 4.0]
    """
    base = {"training": {"failed": "", "courses": [[1, 9.0], [2, 4.0]]}}
    runs = tuple(
        {name: {"figures": filled(value, seed)} for name, value in (base | figures).items()}
        for seed in range(seeds)
    )
    return Column(family.lower(), family, "toy", family, CAPABILITIES[family], runs)


def filled(value: Any, seed: int) -> Any:
    """Figures with every callable replaced by its value for a seed."""
    if callable(value):
        return value(seed)
    if isinstance(value, dict):
        return {key: filled(entry, seed) for key, entry in value.items()}
    return value


def noisy(center: float, spread: float = 0.01) -> Any:
    """A figure that differs a little from seed to seed."""
    return lambda seed: center * (1 + spread * (0, 1, -1, 0.5, -0.5)[seed % 5])
