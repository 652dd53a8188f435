"""Sharpness: ramps, noise and waves in closed form, and the rulers in their order."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import zeuxis
from zeuxis.errors import UsageError
from zeuxis.evaluation import sharpness


def noise(n: int = 300, side: int = 32, std: float = 0.1) -> Tensor:
    return std * torch.randn(n, side, side, generator=torch.Generator().manual_seed(0))


def wave(frequency: float, side: int = 64) -> Tensor:
    """A plane wave along the columns, of `frequency` cycles a pixel."""
    return torch.sin(2 * math.pi * frequency * torch.arange(float(side))).expand(1, side, side)


def test_a_ramp_has_its_slope_in_any_direction() -> None:
    at = torch.arange(16.0)
    for angle in (0.0, 0.3, math.pi / 2):
        ramp = 0.02 * (math.cos(angle) * at[:, None] + math.sin(angle) * at)
        assert math.isclose(sharpness.gradient(ramp[None]).item(), 0.02, rel_tol=1e-4)


def test_white_noise_has_the_values_of_the_formulas() -> None:
    x = noise()
    assert math.isclose(sharpness.laplacian(x).mean().item(), 20 * 0.1**2, rel_tol=0.02)
    assert math.isclose(sharpness.spectrum(x).mean().item(), 1 - math.pi / 16, rel_tol=0.02)


@pytest.mark.parametrize(("frequency", "share"), [(0.11, 0.0), (0.42, 1.0)])
def test_a_wave_lies_on_its_side_of_the_threshold(frequency: float, share: float) -> None:
    assert abs(sharpness.spectrum(wave(frequency)).item() - share) < 0.01
    ring = sharpness.radial_spectrum(wave(frequency), bins=16).argmax().item()
    assert ring == int(frequency / 0.5 * 16)


def test_measures_do_not_depend_on_brightness_or_company() -> None:
    x = noise(6)
    for name in ("gradient", "laplacian", "spectrum"):
        function = sharpness.FUNCTIONS[name]
        assert torch.allclose(function(x + 0.3), function(x), atol=1e-5)
        assert torch.allclose(function(x)[2], function(x[2:3])[0], atol=1e-6)


def test_a_flat_image_has_no_sharpness() -> None:
    flat = torch.full((2, 1, 16, 16), 90, dtype=torch.uint8)
    found = sharpness.measures(flat)
    assert all(found[name].max() < 1e-6 for name in ("gradient", "laplacian", "spectrum"))
    assert found["fringe"].tolist() == [1, 1]


def test_the_rulers_come_in_their_order() -> None:
    real = zeuxis.load_data("mnist", split="test").batch_of(200)
    ratio = {
        name: sharpness.ratios(x, real, draws=50) for name, x in sharpness.rulers(real).items()
    }
    for name in ("gradient", "laplacian", "spectrum"):
        order = [ratio[ruler][name].value for ruler in ("blur 1", "blur 0.5")]
        assert order[0] < order[1] < 1
    assert ratio["blur 1"]["fringe"].value > 1 and ratio["noise 0.05"]["laplacian"].value > 1


def test_halves_and_doubles_are_equally_wrong_and_small_images_are_refused() -> None:
    assert math.isclose(sharpness.error(0.5), sharpness.error(2.0))
    assert sharpness.error(0.0) == math.inf
    with pytest.raises(UsageError, match="8 pixels a side"):
        sharpness.luminance(torch.zeros(1, 1, 4, 9, dtype=torch.uint8))


def test_a_blur_keeps_the_mean_and_luminance_weighs_colors() -> None:
    x = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    assert abs(sharpness.blurred(x, 1.0).float().mean() - x.float().mean()) < 2
    green = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    green[:, 1] = 255
    assert math.isclose(sharpness.luminance(green)[0, 0, 0].item(), 0.587, rel_tol=1e-5)
