"""Latents found for images: closed forms of a linear generator, the weights, and the blending."""

from __future__ import annotations

import pytest
import torch

import tiny
from linear_gaussian import LinearGaussian
from zeuxis.applications.restoration.gan_inversion import UNMADE, blended, invert, weights
from zeuxis.applications.restoration.gaussian import GaussianPrior, posterior_mean
from zeuxis.applications.restoration.operators import Average, Identity, Mask, Operator


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("operator", "sigma"), [(Identity(), 40.0), (Average(2), 10.0)])
def test_every_restart_finds_the_mode(operator: Operator, sigma: float) -> None:
    model = LinearGaussian()
    x = model.render(model.prior(3, generator=seeded(1)))
    y = operator.forward(x)
    y = y + sigma * torch.randn(y.shape, generator=seeded(2))
    found = invert(model, y, operator, sigma, n=4, generator=seeded())
    # The mode of a Gaussian is its mean.
    prior = GaussianPrior(model.offset.view(1, 4, 4), model.weight @ model.weight.T)
    expected = posterior_mean(prior, y, operator, (sigma**2 + UNMADE**2) ** 0.5)
    assert (found - expected).abs().max() < 0.5


def test_holes_are_filled_from_the_latent_that_fits_around_them() -> None:
    model = LinearGaussian((1, 8, 8), latent=2)
    x = model.render(model.prior(3, generator=seeded(1)))
    visible = torch.ones(8, 8, dtype=torch.bool)
    visible[2:6, 3:7] = False
    y = Mask(visible).forward(x)
    found = invert(model, y, Mask(visible), 0.0, n=2, generator=seeded())
    gray = (model.offset.view(1, 8, 8) - x)[..., ~visible].abs().mean()
    assert (found - x).abs()[..., ~visible].mean() < 0.1 * gray
    assert torch.equal(found[..., visible], x[..., visible].expand(2, *x[..., visible].shape))


def test_visible_pixels_near_a_hole_weigh_most() -> None:
    visible = torch.ones(21, 21, dtype=torch.bool)
    visible[8:13, 8:13] = False
    w = weights(visible)[0, 0]
    assert (w[~visible] == 0).all()
    assert w[7, 10] == pytest.approx(3 * 5 / 49)
    assert (w[10, :8].diff() >= 0).all() and w[10, 7] > w[10, 5] > w[10, 0] > 0


def test_blending_keeps_gradients_and_sees_no_hidden_pixel() -> None:
    x = 255 * torch.rand(2, 3, 12, 12, generator=seeded())
    visible = torch.ones(12, 12, dtype=torch.bool)
    visible[3:8, 2:9] = False
    y = Mask(visible).forward(x)
    assert (blended(x + 30, y, Mask(visible)) - x).abs().max() < 0.5, "an offset is removed"
    other = torch.where(visible, y, torch.full_like(y, 77.0))
    assert torch.equal(blended(x + 30, y, Mask(visible)), blended(x + 30, other, Mask(visible)))
    nothing = Mask(torch.zeros(12, 12, dtype=torch.bool))
    assert (blended(x, 0 * x, nothing) - x).abs().max() < 0.01


@pytest.mark.parametrize("name", ["dcgan", "improved-gan", "infogan", "wgan-gp"])
def test_gans_of_every_prior_restore(name: str) -> None:
    model = tiny.model(name).eval()
    y = model.sample(2, seed=0).float()
    found = invert(model, y, Identity(), 25.0, n=2, starts=4, steps=5, generator=seeded())
    assert found.shape == (2, 2, *model.spec.shape) and found.isfinite().all()
