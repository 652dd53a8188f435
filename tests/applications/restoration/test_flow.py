"""Restoration by a velocity field against Gaussian images, whose posterior is known exactly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zeuxis.applications.restoration.flow import denoised, flow_samples
from zeuxis.applications.restoration.gaussian import (
    GaussianPrior,
    posterior_covariance,
    posterior_mean,
)
from zeuxis.applications.restoration.operators import Average, Identity, Mask, Operator
from zeuxis.data.dataset import Spec
from zeuxis.flow.flow_matching import FlowMatching, FlowMatchingConfig

SPEC = Spec("gaussian", (1, 2, 4))
SIZE = 8


class Gaussian(FlowMatching):
    """The exact field of images from a Gaussian with correlated pixels."""

    def __init__(self, prior: GaussianPrior) -> None:
        super().__init__(FlowMatchingConfig(channels=(4,), blocks=1, patch=1), SPEC)
        self.mean = (prior.mean.flatten() + 0.5) / 128 - 1
        self.covariance = prior.covariance / 128**2

    def velocity(self, x: Tensor, t: float, y: Tensor | None = None) -> Tensor:
        c = self.covariance
        inner = t**2 * c + (1 - t) ** 2 * torch.eye(SIZE)
        flat = x.flatten(1)
        mean = self.mean + t * (flat - t * self.mean) @ torch.linalg.solve(inner, c)
        return ((mean - flat) / (1 - t)).view_as(x)


def prior() -> GaussianPrior:
    generator = torch.Generator().manual_seed(1)
    root = 15 * torch.randn(SIZE, SIZE, generator=generator)
    mean = 100 + 40 * torch.rand(SPEC.shape, generator=generator)
    return GaussianPrior(mean, root @ root.T + 100 * torch.eye(SIZE))


def image() -> Tensor:
    p = prior()
    generator = torch.Generator().manual_seed(2)
    root = torch.linalg.cholesky(p.covariance)
    x = p.mean.flatten() + root @ torch.randn(SIZE, generator=generator)
    return x.view(1, *SPEC.shape)


MASK = Mask(torch.tensor([[True, False, True, False], [False, True, True, False]]))


@pytest.mark.parametrize(
    ("operator", "sigma"),
    [
        pytest.param(Identity(), 25.0, id="denoise"),
        pytest.param(MASK, 0.0, id="inpaint"),
        pytest.param(MASK, 10.0, id="inpaint with noise", marks=pytest.mark.slow),
        pytest.param(Average(2), 0.0, id="super-resolve", marks=pytest.mark.slow),
    ],
)
def test_samples_have_the_posteriors_mean_and_covariance(operator: Operator, sigma: float) -> None:
    y = operator.forward(image())
    samples = flow_samples(
        Gaussian(prior()),
        *(y, operator, sigma),
        n=4_000,
        generator=torch.Generator().manual_seed(3),
        steps=200,
        gradients=SIZE,
    )
    assert samples.shape == (4_000, 1, *SPEC.shape)
    flat = samples.flatten(1).double()
    exact = posterior_covariance(prior(), operator, sigma).double()
    spread = exact.diagonal().clamp(min=1).sqrt()
    error = (flat.mean(0) - posterior_mean(prior(), y, operator, sigma).flatten()) / spread
    assert error.abs().max() < 0.1
    scaled = (flat.T.cov() - exact) / (spread[:, None] * spread)
    assert scaled.abs().max() < 0.15


def test_one_evaluation_gives_the_mean_of_a_noisy_image() -> None:
    y = image() + 30 * torch.randn(SPEC.shape, generator=torch.Generator().manual_seed(4))
    found = denoised(Gaussian(prior()), y, Identity(), 30.0)
    torch.testing.assert_close(
        found, posterior_mean(prior(), y, Identity(), 30.0), atol=1e-2, rtol=0
    )


def test_a_single_gradient_is_nearer_to_what_was_seen_than_none() -> None:
    y = MASK.forward(image())

    def misfit(gradients: int) -> float:
        samples = flow_samples(
            Gaussian(prior()),
            *(y, MASK, 0.0),
            n=200,
            generator=torch.Generator().manual_seed(5),
            gradients=gradients,
        )
        return (MASK.forward(samples) - y).square().mean().item()

    assert misfit(2) < misfit(1) < misfit(0) / 4


def test_hidden_pixels_are_not_used() -> None:
    y = image()

    def sampled(shown: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(6)
        return flow_samples(
            Gaussian(prior()), MASK.forward(shown), MASK, 0.0, n=2, generator=generator
        )

    changed = torch.where(MASK.visible, y, 255 - y)
    assert torch.equal(sampled(y), sampled(changed))
