"""Crops and placements: as grid_sample, inverse to each other, with gradients for the window."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from zeuxis.vae.spatial_transformer import crop, place


def windows(n: int, low: float = 0.2, high: float = 1.2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    scale = low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)
    center = torch.rand(n, 2, generator=generator, dtype=torch.float64) - 0.5
    return scale, center


def theta(scale: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
    matrix = torch.zeros(len(scale), 2, 3, dtype=scale.dtype)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    matrix[:, :, 2] = center
    return matrix


def test_they_are_bilinear_sampling_with_zeros_outside() -> None:
    scale, center = windows(20)
    x = torch.rand(20, 2, 9, 13, dtype=torch.float64)
    grid = F.affine_grid(theta(scale, center), [20, 2, 5, 5], align_corners=False)
    expected = F.grid_sample(x, grid, align_corners=False)
    torch.testing.assert_close(crop(x, scale, center, 5), expected)
    small = torch.rand(20, 2, 5, 5, dtype=torch.float64)
    inverse = theta(1 / scale, -center / scale[:, None])
    grid = F.affine_grid(inverse, [20, 2, 9, 13], align_corners=False)
    expected = F.grid_sample(small, grid, align_corners=False)
    torch.testing.assert_close(place(small, scale, center, (9, 13)), expected)


def test_the_identity_is_exact() -> None:
    x, one, zero = torch.rand(3, 1, 28, 28), torch.ones(3), torch.zeros(3, 2)
    torch.testing.assert_close(crop(x, one, zero, 28), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(place(x, one, zero, (28, 28)), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("share", [0.25, 0.35, 0.6])
def test_a_placed_smooth_patch_is_cropped_again(share: float) -> None:
    """Within 2 % of its greatest value, over the range of the prior."""
    line = torch.linspace(-1, 1, 28, dtype=torch.float64)
    bump = torch.cos(math.pi / 2 * line).square()
    patch = (bump[:, None] * bump).expand(10, 1, 28, 28)
    scale, center = torch.full((10,), share, dtype=torch.float64), 0.6 * windows(10)[1]
    again = crop(place(patch, scale, center, (50, 50)), scale, center, 28)
    assert (again - patch).abs().mean() < 0.02
    if share == 0.6:  # the canvas has more pixels than the patch
        assert (again - patch).abs().max() < 0.02


def test_gradients_reach_image_and_window() -> None:
    scale, center = windows(2, 0.4, 0.8)
    x = torch.rand(2, 1, 6, 6, dtype=torch.float64)
    inputs = [t.requires_grad_() for t in (x, scale, center)]
    assert torch.autograd.gradcheck(lambda *a: crop(*a, 4), inputs)
    small = torch.rand(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *a: place(*a, (6, 5)), [small, scale, center])


def test_a_window_outside_shows_nothing() -> None:
    far = torch.tensor([[3.0, 0.0]])
    assert not crop(torch.ones(1, 1, 8, 8), torch.tensor([0.3]), far, 4).any()
    assert not place(torch.ones(1, 1, 4, 4), torch.tensor([0.3]), far, (8, 8)).any()
