"""The shared distributions against closed forms, brute force in float64 and torch.distributions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from zeuxis.distributions.elementwise import (
    bernoulli,
    discretized_logistic,
    normal,
    normal_kl,
)

PIXELS = torch.arange(256)


def parameters(n: int, low: float = -7.0, high: float = 3.0) -> tuple[Tensor, Tensor]:
    """Means inside and a little outside of the range of pixels, and log-scales, (n, 1) each."""
    return torch.rand(n, 1) * 1.4 - 0.2, torch.rand(n, 1) * (high - low) + low


def brute(mean: Tensor, log_scale: Tensor, open_edges: bool) -> Tensor:
    """Masses as differences of the cumulative distribution in float64, taken on the side where it
    is small."""
    y, mean, s = PIXELS.double() / 256, mean.double(), log_scale.double().exp()
    a, b = (y - mean) / s, (y + 1 / 256 - mean) / s
    if open_edges:
        a, b = a.masked_fill(PIXELS == 0, -math.inf), b.masked_fill(PIXELS == 255, math.inf)
    return torch.where(
        a > 0, torch.sigmoid(-a) - torch.sigmoid(-b), torch.sigmoid(b) - torch.sigmoid(a)
    )


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 2e-4), (torch.float64, 1e-12)])
def test_masses_with_open_edges_add_up_to_one(dtype: torch.dtype, within: float) -> None:
    mean, log_scale = (p.to(dtype) for p in parameters(2000))
    log_scale[:20] = -7
    total = discretized_logistic(PIXELS, mean, log_scale).exp().sum(1)
    assert (total - 1).abs().max() < within


@pytest.mark.parametrize("pixels", [PIXELS, PIXELS.to(torch.uint8), PIXELS.float()])
@pytest.mark.parametrize("open_edges", [True, False])
def test_masses_are_those_of_brute_force(open_edges: bool, pixels: Tensor) -> None:
    mean, log_scale = parameters(2000)
    expected = brute(mean, log_scale, open_edges) + (0 if open_edges else 1e-7)
    for dtype, within in ((torch.float32, 3e-4), (torch.float64, 1e-6)):
        found = discretized_logistic(pixels, mean.to(dtype), log_scale.to(dtype), open_edges)
        assert found.dtype == dtype
        known = expected > 1e-9
        assert known.sum() > 0.3 * known.numel()
        assert (found - expected.log())[known].abs().max() < within


def test_a_mass_too_small_for_a_difference_keeps_its_logarithm() -> None:
    """Far from the mean the mass of a bin falls by its width over s from bin to bin: log P is
    linear, and no bin is at minus infinity."""
    found = discretized_logistic(PIXELS.float(), torch.tensor(0.5), torch.tensor(-7.0))
    assert found.isfinite().all()
    steps = found[1:-1].diff()
    assert torch.allclose(steps[:100], torch.tensor(math.exp(7) / 256), rtol=1e-3)
    assert torch.allclose(steps[-100:], torch.tensor(-math.exp(7) / 256), rtol=1e-3)


@pytest.mark.parametrize(("mu", "total"), [(0.0, 0.99993), (0.498, 0.510)])
def test_the_released_form_loses_the_mass_outside(mu: float, total: float) -> None:
    """In IAF's code pixel v fills the bin from v / 256 - 1/2 on, so its mean lies half a unit below
    ours."""
    found = (
        discretized_logistic(
            PIXELS, torch.tensor(mu + 0.5), torch.tensor(math.log(0.05)), open_edges=False
        )
        .exp()
        .sum()
        .item()
    )
    assert found == pytest.approx(total, abs=5e-6 if mu == 0 else 5e-4)
    u = torch.tensor([-0.5, 0.5], dtype=torch.float64)
    inside = torch.sigmoid((u - mu) / 0.05).diff().item()
    assert found == pytest.approx(inside + 256e-7, abs=1e-6)


def test_the_released_form_is_the_same_on_both_sides_of_the_mean() -> None:
    """A difference of two sigmoids near 1 has no digits left in float32; near 0 it has all."""
    left = discretized_logistic(
        PIXELS.float(), torch.tensor(0.9), torch.tensor(-4.0), open_edges=False
    )
    right = discretized_logistic(
        255 - PIXELS.float(), torch.tensor(0.1), torch.tensor(-4.0), open_edges=False
    )
    assert (left - right).abs().max() < 1e-4


@pytest.mark.parametrize("open_edges", [True, False])
@pytest.mark.parametrize("log_scale", [-7.0, -2.0, 5.0])
@pytest.mark.parametrize("mean", [0.0, 0.3, 1.0])
def test_gradients_are_finite_at_the_edges(mean: float, log_scale: float, open_edges: bool) -> None:
    m, s = (
        torch.tensor(mean).expand(256).clone().requires_grad_(),
        torch.tensor(log_scale).expand(256).clone().requires_grad_(),
    )
    found = discretized_logistic(PIXELS, m, s, open_edges)
    found.sum().backward()
    assert found.isfinite().all() and m.grad.isfinite().all() and s.grad.isfinite().all()
    if open_edges and log_scale < 0:
        assert m.grad[[0, 255]].abs().min() > 0 or mean in (0.0, 1.0), (
            "a pixel far from its mean must pull"
        )


def test_gradients_are_the_derivatives() -> None:
    mean, log_scale = (p.double().requires_grad_() for p in parameters(30, -4.0, 1.0))
    for open_edges in (True, False):
        assert torch.autograd.gradcheck(
            lambda m, s: discretized_logistic(PIXELS[::15], m, s, open_edges), (mean, log_scale)
        )


def test_normal_is_torchs() -> None:
    z, mean, log_std = torch.randn(3, 500, dtype=torch.float64).unbind()
    assert torch.allclose(
        normal(z, mean, log_std), Normal(mean, log_std.exp()).log_prob(z), rtol=0, atol=1e-12
    )
    assert torch.allclose(
        normal(z, 0.0, 0.5),
        Normal(torch.zeros(500).double(), math.exp(0.5)).log_prob(z),
        rtol=0,
        atol=1e-12,
    )


def test_normal_kl_is_torchs_and_that_of_the_densities() -> None:
    mean, log_std, prior_mean, prior_log_std = torch.randn(4, 500, dtype=torch.float64).unbind()
    q, p = Normal(mean, log_std.exp()), Normal(prior_mean, prior_log_std.exp())
    assert torch.allclose(
        normal_kl(mean, log_std, prior_mean, prior_log_std),
        kl_divergence(q, p),
        rtol=1e-12,
        atol=1e-12,
    )
    standard = kl_divergence(q, Normal(torch.zeros(500).double(), torch.ones(500).double()))
    assert torch.allclose(normal_kl(mean, log_std), standard, rtol=1e-12, atol=1e-12)
    z = q.sample((20_000,))
    sampled = (normal(z, mean, log_std) - normal(z, prior_mean, prior_log_std)).mean(0)
    error = (normal(z, mean, log_std) - normal(z, prior_mean, prior_log_std)).std(0) / math.sqrt(
        20_000
    )
    assert ((sampled - kl_divergence(q, p)) / error).abs().max() < 5


def test_normal_kl_of_a_posterior_that_nearly_is_the_prior_keeps_its_digits() -> None:
    log_std = torch.logspace(-5, -2, 50)
    for mean in (torch.zeros(50), log_std / 3):
        found = normal_kl(mean, log_std)
        assert (found > 0).all()
        assert torch.allclose(found.double(), normal_kl(mean.double(), log_std.double()), rtol=1e-2)


def test_bernoulli_is_torchs_and_finite_for_certain_logits() -> None:
    x, logits = (torch.rand(1000) < 0.5).double(), torch.randn(1000, dtype=torch.float64) * 5
    assert torch.allclose(
        bernoulli(x, logits), Bernoulli(logits=logits).log_prob(x), rtol=0, atol=1e-8
    )
    both = (
        bernoulli(torch.ones(1000).double(), logits).exp()
        + bernoulli(torch.zeros(1000).double(), logits).exp()
    )
    assert torch.allclose(both, torch.ones(1000).double(), rtol=0, atol=1e-8)
    far = torch.tensor([-1e4, 1e4], requires_grad=True)
    found = bernoulli(torch.tensor([1.0, 0.0]), far)
    assert found.tolist() == [-1e4, -1e4]
    found.sum().backward()
    assert far.grad.tolist() == [1.0, -1.0]


def test_bernoulli_of_a_brightness_is_the_expected_value() -> None:
    p, logits = torch.rand(100), torch.randn(100)
    expected = p * bernoulli(torch.ones(100), logits) + (1 - p) * bernoulli(
        torch.zeros(100), logits
    )
    assert torch.allclose(bernoulli(p, logits), expected, atol=1e-6)


def test_one_image_meets_many_logits() -> None:
    x, logits = (torch.rand(3, 1, 4) < 0.5).float(), torch.randn(3, 5, 4)
    assert torch.equal(bernoulli(x, logits), bernoulli(x.expand(3, 5, 4), logits))
