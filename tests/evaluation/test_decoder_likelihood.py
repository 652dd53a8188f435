"""Likelihoods of decoders: against the IWAE bound of a VAE, closed forms of both observations, and
priors that are recognized."""

from __future__ import annotations

import math

import pytest
import torch

import tiny
from linear_gaussian import LinearGaussian
from zeuxis.data.binarized import binarized
from zeuxis.errors import MissingCapability, UsageError
from zeuxis.evaluation.annealed_importance import AISConfig, annealed
from zeuxis.evaluation.decoder_likelihood import (
    Observation,
    decoder_likelihood,
    latent,
    log_likelihood_of,
    observed,
    prior_of,
    simulate,
)


def test_a_decoder_with_known_likelihood_is_found_to_a_twentieth_of_a_nat() -> None:
    """The helper leaves out the constant of its Gaussian pixels."""
    model = LinearGaussian(noise=40.0)
    x = model.draw_pixels(model.prior(4, generator=torch.Generator().manual_seed(0)))
    function = log_likelihood_of(model, x, Observation("own"), "normal")
    covariance = model.weight @ model.weight.T + model.noise**2 * torch.eye(16)
    normal = torch.distributions.MultivariateNormal(model.offset, covariance)
    exact = normal.log_prob(x.flatten(1)) + 16 * math.log(model.noise * math.sqrt(2 * math.pi))
    found = annealed(function, 4, 3, AISConfig(distributions=250, chains=100, leapfrog=5)).bound
    assert (found - exact).abs().mean() < 0.05


@pytest.mark.slow
def test_a_vae_has_the_likelihood_of_many_importance_samples() -> None:
    """Two estimates of one number that share nothing: by the encoder, and by annealing."""
    model = tiny.model("vae", architecture="dense", hidden_dim=16, latent_dim=2).eval()
    x = binarized(tiny.images(2).all(), torch.arange(2), 0)
    found = decoder_likelihood(model, x, "own", config=AISConfig(distributions=150, leapfrog=5))
    nats = model.log_weights(x, 2000, generator=torch.Generator().manual_seed(0)).double()
    assert torch.allclose(found.nats, nats.logsumexp(1) - math.log(2000), atol=0.5)
    assert found.curve == {} and found.gap is None


def test_observations_have_their_closed_forms() -> None:
    model = tiny.model("dcgan").eval()
    u = torch.randn(2, 3, 8)
    x = torch.randint(0, 2, (2, 1, 28, 28), dtype=torch.uint8) * 255
    half = log_likelihood_of(model, observed(x, Observation("bernoulli", 0.5)),
                             Observation("bernoulli", 0.5), "uniform")  # fmt: skip
    assert torch.allclose(half(u), torch.full((2, 3), 784 * math.log(0.5)))
    wide = Observation("gaussian", 1000.0)
    flat = log_likelihood_of(model, observed(x, wide), wide, "uniform")(u)
    assert torch.allclose(flat, torch.tensor(-784 * math.log(1000 * math.sqrt(2 * math.pi))))


@pytest.mark.slow
def test_the_width_is_chosen_on_validation_images_and_simulations_are_enclosed() -> None:
    model = tiny.model("dcgan").eval()
    x = model.sample(2, generator=torch.Generator().manual_seed(1))
    config = AISConfig(distributions=20, chains=2, leapfrog=2)
    found = decoder_likelihood(model, x, "gaussian", x, config, simulated=2)
    assert found.observation.width == max(found.curve, key=found.curve.__getitem__)
    assert found.gap is not None and found.gap.mean > -1
    with pytest.raises(UsageError, match="chosen on validation images"):
        decoder_likelihood(model, x, "gaussian", None, config)
    with pytest.raises(UsageError, match="binarize the images first"):
        decoder_likelihood(model, x, "bernoulli", x, config)


def test_simulated_images_are_those_of_the_observation() -> None:
    model = tiny.model("dcgan").eval()
    z = model.prior(3)
    binary = simulate(model, z, Observation("bernoulli", 0.01), 0)
    assert set(binary.unique().tolist()) <= {0.0, 1.0}
    clean = simulate(model, z, Observation("gaussian", 1e-6), 0)
    assert torch.allclose(clean, (model.render(z) + 0.5) / 256, atol=1e-4)


def test_priors_are_recognized_and_others_are_refused() -> None:
    assert prior_of(tiny.model("dcgan")) == "uniform" and prior_of(tiny.model("vae")) == "normal"
    u = torch.randn(20_000, 1)
    z = latent(tiny.model("dcgan"), u, "uniform")
    assert z.abs().max() <= 1 and abs(z.square().mean() - 1 / 3) < 0.01
    with pytest.raises(UsageError, match="are neither"):
        prior_of(tiny.model("infogan"))  # has a categorical code
    with pytest.raises(MissingCapability, match="cannot render"):
        decoder_likelihood(tiny.model("pixelcnn"), torch.zeros(1, 1, 28, 28).byte(), "bernoulli")
