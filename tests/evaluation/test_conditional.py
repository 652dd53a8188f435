"""Bounds on log p(y | x): against quadrature, and an exact conditional against enumeration."""

from __future__ import annotations

import math

import pytest
import torch

import causal
import tiny
from zeuxis.data.masks import Quadrant, quadrants
from zeuxis.errors import UsageError
from zeuxis.evaluation.conditional import autoregressive_log_prob, bounds, predict_likelihoods
from zeuxis.vae.cvae import CVAE, CVAEConfig


@pytest.fixture(scope="module")
def model() -> CVAE:
    """One latent that matters, and a posterior wide enough to cover the true one."""
    torch.manual_seed(1)
    model = CVAE(CVAEConfig(hidden_dim=8, latent_dim=1), tiny.images(side=6).spec).double().eval()
    networks = model.networks
    with torch.no_grad():
        for mean in (networks.prior_mean, networks.mean):
            mean.length.fill_(0.3)
        for log_std, value in ((networks.prior_log_std, 0.0), (networks.log_std, 0.4)):
            log_std.length.zero_()
            log_std.layer.bias.fill_(value)
    return model


def exact(model: CVAE, x: torch.Tensor) -> torch.Tensor:
    """log p(y | x) by the trapezoidal rule over z, from -10 to 10 prior standard deviations."""
    image, _, merged = model.conditioned(x)
    h, mean, log_std = model.networks.prior(merged)
    grid = torch.linspace(-10, 10, 4001, dtype=torch.float64)
    z = mean + log_std.exp() * grid[None, :, None]
    log_p = model.log_likelihood(image[:, None], model.networks.logits(h, z))
    log_prior = -0.5 * grid.square() - 0.5 * math.log(2 * math.pi)
    return (log_p + log_prior).logsumexp(1) + math.log(grid[1] - grid[0])


def test_bounds_rise_to_the_integral_over_z(model: CVAE, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    try:
        x = (tiny.images(24, side=6).all() > 127).byte() * 255
        with torch.no_grad():
            truth = exact(model, x)
            generator = torch.Generator().manual_seed(0)
            few = torch.stack([torch.stack(bounds(model, x, 10, generator)) for _ in range(100)])
            _, _, weighted, plain = bounds(model, x, 20_000, generator)
    finally:
        torch.set_default_dtype(torch.float32)
    _, elbo, weighted_few, plain_few = few.mean(0).mean(1)
    slack = 4 * few.std(0).max().item() / math.sqrt(100 * 24)
    assert elbo < weighted_few <= truth.mean() + slack
    assert plain_few <= truth.mean() + slack
    assert truth.mean() - elbo > 0.05, "the posterior is exact and the test sees nothing"
    torch.testing.assert_close(weighted, truth, atol=0.05, rtol=0)
    torch.testing.assert_close(plain, truth, atol=0.05, rtol=0)


def test_the_sum_of_conditionals_is_the_conditional_of_the_hidden_half() -> None:
    """Of four binary pixels, the lower two given the upper two, by enumeration."""
    rival = causal.make("pixelcnn", (1, 2, 2), seed=3, channels=4, layers=1, head_channels=4)
    every = causal.all_images((1, 2, 2), 2)
    visible = quadrants(("top-left", "top-right"), 2, 2)
    p = rival.log_prob(every).nats.exp().view(4, 4)  # upper half, lower half
    expected = (p / p.sum(1, keepdim=True)).log().flatten()
    torch.testing.assert_close(autoregressive_log_prob(rival, every, visible), expected)


def test_figures_do_not_depend_on_other_calls_and_order() -> None:
    data, cvae = tiny.images(50), tiny.model("cvae")
    first = predict_likelihoods(cvae, data, k=5)
    assert first == predict_likelihoods(cvae, data, k=5)
    assert first != predict_likelihoods(cvae, data, k=5, seed=1)
    nats = {name: value.mean for name, value in first.nats.items()}
    assert nats["IWAE-5"] < nats["ELBO"]
    assert first.images == 50 and first.hidden == 588
    record = first.as_dict()
    assert record["IWAE-5"]["nats"] == nats["IWAE-5"] and record["binarization"] == "dynamic"
    assert predict_likelihoods(cvae, data, k=5, n=10).images == 10


def test_a_rival_sees_the_same_mask_or_is_refused() -> None:
    data, rival = tiny.images(10, side=8), tiny.model("pixelcnn")

    def cvae(seen: tuple[Quadrant, ...]) -> CVAE:
        return CVAE(CVAEConfig(hidden_dim=8, latent_dim=2, seen=seen), data.spec)

    top = cvae(("top-left", "top-right"))
    result = predict_likelihoods(top, data, k=2, rival=rival)
    assert result.nats["pixelcnn, exact"].mean > 0
    with pytest.raises(UsageError, match="only where all hidden pixels come last"):
        predict_likelihoods(cvae(("bottom-left",)), data, k=2, rival=rival)
    with pytest.raises(UsageError, match="has 256 levels"):
        predict_likelihoods(top, data, k=2, rival=tiny.model("pixelcnn", levels=256))
    with pytest.raises(UsageError, match="at least 1 latent"):
        predict_likelihoods(top, data, k=0)
