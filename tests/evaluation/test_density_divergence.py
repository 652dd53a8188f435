"""Divergences of the plane: between like and unlike sets, of Gaussians in closed form, and points
outside the square."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from zeuxis.data.densities import density
from zeuxis.evaluation.density_divergence import Square, compare, divergences, smooth


@pytest.mark.parametrize("name", ["ring", "moons", "checkerboard"])
def test_divergences_see_the_same_and_another(name: str) -> None:
    target = density(name)
    same = divergences(target.sample(200_000, torch.Generator().manual_seed(0)), target)
    assert (
        max(same.kl, same.reverse_kl, same.js) < 0.05
        and min(same.kl, same.reverse_kl, same.js) >= 0
    )
    other = divergences(torch.randn(200_000, 2), target)
    assert other.kl > 5 * same.kl and other.js > 5 * same.js and other.js < math.log(2)


def test_divergence_of_gaussians_in_closed_form() -> None:
    """KL of N(0, s^2 + h^2) to the same Gaussian moved by d is d^2 / 2(s^2 + h^2), h the blur."""
    target, moved = density("ring", modes=1, radius=1e-9, std=1.0), 0.5
    square = Square((0.0, 0.0), 6.0)
    x = target.sample(2_000_000, torch.Generator().manual_seed(0)) + torch.tensor([moved, 0.0])
    found = divergences(x, target, square)
    expected = moved**2 / 2 / (1 + (2.0 * square.step) ** 2)
    assert found.kl == pytest.approx(expected, rel=0.1)
    assert found.reverse_kl == pytest.approx(expected, rel=0.1)
    missing = compare(square.exact(target), square.histogram(torch.full((10, 2), 50.0)))
    assert math.isfinite(missing.kl) and missing.js == pytest.approx(math.log(2), rel=0.02)


def test_histogram_and_blur_keep_every_point() -> None:
    square = Square((1.0, -1.0), 2.0, 8)
    x = torch.tensor([[1.0, -1.0], [-0.9, 0.9], [100.0, -1.1], [float("nan"), 0.0]])
    counts = square.histogram(x) * 4
    assert counts.sum() == 4 and counts[0, 0] == 1  # the top left corner is small x and large y
    assert counts[4, 7] == 1  # far to the right: the edge
    assert np.allclose(smooth(counts, 1.5).sum(), 4)
    middle = square.histogram(square.centers())
    assert np.allclose(middle, 1 / 64)
