"""Samples of a VAE's posterior against a model whose posterior is known."""

from __future__ import annotations

import pytest
import torch

from linear_gaussian import LinearGaussian
from zeuxis.applications.restoration.latent import latent, metropolis
from zeuxis.applications.restoration.operators import Average, Identity, Mask, Operator

VISIBLE = torch.tensor([[1, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]).bool()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def degraded(model: LinearGaussian, operator: Operator, sigma: float) -> torch.Tensor:
    x = model.draw_pixels(model.prior(2, generator=seeded(1)), generator=seeded(2))
    y = operator.forward(x)
    return y + operator.forward(sigma * torch.randn(x.shape, generator=seeded(3)))


def compare(
    samples: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor, counted: torch.Tensor
) -> None:
    deviation = variance.sqrt()
    error = ((samples.mean(0) - mean).abs() / deviation)[:, :, counted]
    assert error.max() < 0.15
    ratio = (samples.var(0) / variance)[:, :, counted]
    assert ratio.min() > 0.8 and ratio.max() < 1.25
    assert 0.92 < ratio.mean() < 1.08


@pytest.mark.parametrize(
    ("operator", "sigma"),
    [
        (Identity(), 40.0),
        (Mask(VISIBLE), 0.0),
        (Mask(VISIBLE.expand(2, 1, 4, 4)), 0.0),
        (Average(2), 0.0),
        (Average(2), 20.0),
    ],
)
def test_chains_have_the_moments_of_the_posterior(operator: Operator, sigma: float) -> None:
    model = LinearGaussian()
    y = degraded(model, operator, sigma)
    samples = latent(model, y, operator, sigma, n=1500, generator=seeded())
    assert samples.shape == (1500, 2, 1, 4, 4)
    known = Mask(VISIBLE) if isinstance(operator, Mask) else operator
    hidden = ~VISIBLE if isinstance(operator, Mask) else torch.ones(4, 4, dtype=torch.bool)
    compare(samples, *model.moments(y, known, sigma), hidden)


def test_metropolis_within_gibbs_has_the_moments_of_the_posterior() -> None:
    model = LinearGaussian()
    y = degraded(model, Mask(VISIBLE), 0.0)
    samples = metropolis(model, y, Mask(VISIBLE), 0.0, n=1500, generator=seeded())
    assert torch.equal(samples[..., VISIBLE], y[..., VISIBLE].expand(1500, 2, 1, -1))
    compare(samples, *model.moments(y, Mask(VISIBLE), 0.0), ~VISIBLE)


def test_hidden_pixels_are_not_read() -> None:
    model = LinearGaussian()
    y = degraded(model, Mask(VISIBLE), 0.0)
    other = torch.where(VISIBLE, y, torch.full_like(y, 99.0))
    for method in (latent, metropolis):
        a = method(model, y, Mask(VISIBLE), 0.0, n=2, generator=seeded())
        b = method(model, other, Mask(VISIBLE), 0.0, n=2, generator=seeded())
        assert torch.equal(a[..., ~VISIBLE], b[..., ~VISIBLE])
