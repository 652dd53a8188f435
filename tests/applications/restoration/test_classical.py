"""Restoration without a model: closed forms, and images that a method must improve or keep."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from zeuxis.applications.restoration.classical import classical, total_variation
from zeuxis.applications.restoration.gaussian import (
    GaussianPrior,
    conditional_gaussian,
    nearest_images,
    posterior_covariance,
    posterior_mean,
)
from zeuxis.applications.restoration.operators import Average, Identity, Mask, Operator
from zeuxis.errors import MissingExtra


def smooth(n: int = 2, channels: int = 1, side: int = 24) -> Tensor:
    """Images of slow waves."""
    g = torch.Generator().manual_seed(4)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    phase = 6 * torch.rand(n, channels, 1, 1, generator=g)
    return 127 + 100 * torch.sin(row / 5 + phase) * torch.cos(column / 7 + 2 * phase)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("method", [classical, total_variation])
def test_denoising_halves_the_error(method: object, channels: int) -> None:
    x = smooth(channels=channels)
    y = x + 25 * torch.randn(x.shape, generator=seeded())
    restored = method(None, y, Identity(), 25.0, n=2, generator=seeded())
    assert restored.shape == (2, *x.shape)
    assert torch.equal(restored[0], restored[1])
    assert (restored[0] - x).square().mean() < 0.25 * (y - x).square().mean()


@pytest.mark.parametrize("channels", [1, 3])
def test_holes_are_filled_smoothly(channels: int) -> None:
    x = smooth(channels=channels)
    visible = torch.ones(2, 1, 24, 24, dtype=torch.bool)
    visible[0, :, 8:12, 8:12] = visible[1, :, 4:7, 15:20] = False
    restored = classical(
        None, Mask(visible).forward(x), Mask(visible), 0.0, n=1, generator=seeded()
    )[0]
    torch.testing.assert_close(restored[visible.expand_as(x)], x[visible.expand_as(x)])
    assert (restored - x).abs().max() < 10
    nothing = Mask(torch.zeros(24, 24, dtype=torch.bool))
    gray = classical(None, nothing.forward(x), nothing, 0.0, n=1, generator=seeded())
    assert (gray == 127.5).all()


def test_back_projection_agrees_with_the_small_image() -> None:
    x, operator = smooth(channels=3), Average(3)
    y = operator.forward(x)
    restored = classical(None, y, operator, 0.0, n=1, generator=seeded())[0]
    assert (operator.forward(restored) - y).abs().max() < 0.5
    repeated = y.repeat_interleave(3, 2).repeat_interleave(3, 3)
    assert (restored - x).square().mean() < 0.1 * (repeated - x).square().mean()


def test_without_scikit_image_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(MissingExtra, match=r"pip install 'zeuxis\[restore\]'"):
        classical(None, smooth(), Identity(), 25.0, n=1, generator=seeded())


SHAPE = (1, 4, 4)
VISIBLE = torch.rand(1, 1, 4, 4, generator=seeded()) > 0.5


def prior() -> GaussianPrior:
    root = 10 * torch.randn(16, 5, generator=seeded())
    return GaussianPrior(
        127 + 10 * torch.randn(SHAPE, generator=seeded()), root @ root.T + torch.eye(16)
    )


@pytest.mark.parametrize(
    ("operator", "sigma"), [(Identity(), 15.0), (Mask(VISIBLE), 0.0), (Average(2), 3.0)]
)
def test_gaussian_samples_have_the_moments_of_the_posterior(
    operator: Operator, sigma: float
) -> None:
    model = prior()
    x = conditional_gaussian(
        model, torch.zeros(1, *SHAPE), Mask(VISIBLE[0, 0] & False), 0.0, n=1, generator=seeded()
    )[0]
    y = operator.forward(x) + sigma * torch.randn(operator.forward(x).shape, generator=seeded())
    samples = conditional_gaussian(model, y, operator, sigma, n=40_000, generator=seeded())[:, 0]
    mean, covariance = (
        posterior_mean(model, y, operator, sigma),
        posterior_covariance(model, operator, sigma),
    )
    deviation = covariance.diag().sqrt()
    assert ((samples.mean(0) - mean[0]).flatten().abs() < 0.025 * deviation + 1e-3).all()
    scale = deviation[:, None] * deviation + 1e-2
    assert ((samples.flatten(1).T.cov() - covariance).abs() / scale).max() < 0.04


@pytest.mark.parametrize(
    "operator",
    [
        Identity(),
        Average(2),
        Mask(torch.rand(8, 8, generator=seeded()) > 0.7),
        Mask(torch.rand(2, 1, 8, 8, generator=seeded()) > 0.7),
    ],
)
def test_the_nearest_images_come_first(operator: Operator) -> None:
    images = torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8, generator=seeded())
    y = operator.forward(images[[7, 31]].float())
    found = nearest_images(images, y, operator, 0.0, n=3, generator=seeded())
    assert found.shape == (3, 2, 1, 8, 8)
    assert torch.equal(found[0], images[[7, 31]].float())
    distances = (operator.forward(found) - y).square().sum((2, 3, 4))
    assert (distances.diff(dim=0) >= 0).all()
    each = (operator.forward(images[:, None].expand(-1, 2, -1, -1, -1).float()) - y).square()
    assert torch.allclose(distances, each.sum((2, 3, 4)).sort(0).values[:3])
