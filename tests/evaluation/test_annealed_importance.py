"""Annealed importance sampling: a linear-Gaussian model to 0.05 nats, both bounds on their sides,
and transitions that leave their target unchanged."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zeuxis.errors import UsageError
from zeuxis.evaluation.annealed_importance import (
    AISConfig,
    LogLikelihood,
    annealed,
    annealed_backward,
    bidirectional,
    schedule,
    transition,
)

NOISE = 0.3


class Linear:
    """x = W z + noise, whose likelihood is that of N(0, W W' + noise^2 I)."""

    def __init__(self, latent: int = 2, size: int = 6) -> None:
        generator = torch.Generator().manual_seed(1)
        self.weight = torch.randn(size, latent, generator=generator) / 2
        self.z = torch.randn(5, latent, generator=generator)
        self.x = self.z @ self.weight.T + NOISE * torch.randn(5, size, generator=generator)

    def log_likelihood(self) -> LogLikelihood:
        constant = self.x.shape[1] * math.log(NOISE * math.sqrt(2 * math.pi))

        def function(z: Tensor) -> Tensor:
            error = (self.x[:, None] - z @ self.weight.T) / NOISE
            return -0.5 * error.square().sum(-1) - constant

        return function

    def exact(self) -> Tensor:
        """log p(x) of each image, (images,)."""
        covariance = self.weight @ self.weight.T + NOISE**2 * torch.eye(self.x.shape[1])
        normal = torch.distributions.MultivariateNormal(torch.zeros(len(covariance)), covariance)
        return normal.log_prob(self.x)


def test_the_linear_gaussian_model_to_a_twentieth_of_a_nat() -> None:
    model = Linear()
    found = annealed(model.log_likelihood(), 5, 2, AISConfig(distributions=400, chains=200))
    assert (found.bound - model.exact()).abs().mean() < 0.05
    assert 0.5 < found.acceptance.mean() < 0.8, "the pilot run tunes to 65 %"


@pytest.mark.slow
def test_the_bounds_enclose_the_likelihood_and_close_with_more_distributions() -> None:
    model = Linear()
    config = AISConfig(distributions=250, chains=200, leapfrog=5)
    gap = bidirectional(model.log_likelihood(), model.z, config)
    exact = model.exact().mean()
    assert gap.lower.mean() - 0.05 < exact < gap.upper.mean() + 0.05
    assert -0.02 < gap.mean < 0.1
    rough = bidirectional(model.log_likelihood(), model.z, AISConfig(distributions=8, leapfrog=2))
    assert rough.mean > 5 * abs(gap.mean)
    assert rough.lower.mean() < exact < rough.upper.mean()


def test_a_flat_likelihood_is_its_constant_in_both_directions() -> None:
    flat = lambda z: torch.full(z.shape[:2], -3.0) + 0 * z.sum(-1)  # noqa: E731
    config = AISConfig(distributions=20, chains=3, leapfrog=2)
    assert torch.allclose(annealed(flat, 2, 3, config).bound, torch.tensor(-3.0).double())
    assert torch.allclose(
        annealed_backward(flat, torch.zeros(2, 3), config), torch.tensor(-3.0).double()
    )


def test_transitions_leave_the_posterior_unchanged() -> None:
    """p(z | x) of one number with x = 1 and unit noise is N(1/2, 1/2)."""
    function = lambda z: -0.5 * (1 - z).square().sum(-1)  # noqa: E731
    generator = torch.Generator().manual_seed(0)
    z = 0.5 + math.sqrt(0.5) * torch.randn(1, 4000, 1, generator=generator)
    for _ in range(5):
        z, value, accepted = transition(function, z, 1.0, torch.tensor([0.9]), 3, generator)
    assert abs(z.mean() - 0.5) < 0.05 and abs(z.var() - 0.5) < 0.05
    assert torch.allclose(value, function(z)) and 0.3 < accepted.mean() < 1


@pytest.mark.parametrize("radius", [0.5, 4.0, 8.0])
def test_the_schedule_rises_from_0_to_1(radius: float) -> None:
    betas = torch.tensor(schedule(50, radius))
    assert betas[0] == 0 and betas[-1] == 1 and bool((betas.diff() > 0).all())
    assert torch.allclose(betas + betas.flip(0), torch.ones(51)), "it is symmetric"


def test_a_seed_repeats_the_bound_and_no_image_is_refused() -> None:
    model, config = Linear(), AISConfig(distributions=30, chains=2)
    one, same = (annealed(model.log_likelihood(), 5, 2, config).bound for _ in range(2))
    other = annealed(
        model.log_likelihood(), 5, 2, AISConfig(distributions=30, chains=2, seed=1)
    ).bound
    assert torch.equal(one, same) and not torch.equal(one, other)
    with pytest.raises(UsageError, match="at least one simulated image"):
        bidirectional(model.log_likelihood(), torch.empty(0, 2), config)
