"""The IAF-VAE's posterior: its density is that of the code it draws, and its bound is one of log
p."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zeuxis.data.dataset import Spec
from zeuxis.distributions.elementwise import bernoulli
from zeuxis.vae.iaf import IAFVAE, IAFConfig

SIZE = 5


def randomized(**changes: object) -> IAFVAE:
    """A small model in float64 with random weights, so that nothing vanishes by its start."""
    config = {"architecture": "dense", "hidden_dim": 8, "latent_dim": SIZE, "width": 10, **changes}
    model = IAFVAE(IAFConfig(**config), Spec("tiny", (1, 4, 4))).double().eval()
    generator = torch.Generator().manual_seed(1)
    for p in model.parameters():
        p.data.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.7)
    return model


def features(n: int = 1) -> Tensor:
    """What an encoder might have found in n images."""
    return torch.randn(n, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def jacobian(model: IAFVAE, h: Tensor, eps: Tensor) -> Tensor:
    """The derivative of one image's code with respect to its noise, (latent, latent)."""
    return torch.autograd.functional.jacobian(
        lambda e: model.infer(h, e[None, None], False)[0][0, 0], eps
    )


POSTERIORS = [("iaf", 1), ("iaf", 2), ("iaf", 3), ("linear", 2), ("diagonal", 2)]


@pytest.mark.parametrize(("posterior", "depth"), POSTERIORS)
def test_the_rate_is_log_q_by_change_of_variables_less_log_p(posterior: str, depth: int) -> None:
    model, h = randomized(posterior=posterior, depth=depth), features()
    for seed in range(3):
        eps = torch.randn(SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        z, rate = model.infer(h, eps[None, None], False)
        standard = torch.distributions.Normal(torch.zeros(SIZE).double(), 1.0)
        log_q = standard.log_prob(eps).sum() - torch.linalg.slogdet(jacobian(model, h, eps))[1]
        assert rate.sum().item() == pytest.approx(
            (log_q - standard.log_prob(z).sum()).item(), abs=1e-9
        )


def test_noise_moves_by_steps_in_turned_order_so_that_every_number_sees_every_other() -> None:
    eps = torch.randn(SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one, two = (jacobian(randomized(depth=depth), features(), eps) for depth in (1, 2))
    # A step leaves the code in the reverse of the noise's order, each number made from the later
    # noise and its own.
    assert torch.equal(one.flip(1) != 0, torch.ones(SIZE, SIZE).tril().bool())
    assert (two != 0).all(), "after two steps some number does not depend on some other's noise"


def test_each_number_is_charged_for_itself() -> None:
    """After one step number i is a monotonic function of noise number i, the i-th from the end,
    given the later noise."""
    model, h = randomized(depth=1), features()
    eps = torch.randn(SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z, rate = model.infer(h, eps[None, None], False)
    own = jacobian(model, h, eps).flip(1).diagonal()
    log_q = -0.5 * (eps.flip(0).square() + math.log(2 * math.pi)) - own.abs().log()
    torch.testing.assert_close(rate[0, 0], log_q + 0.5 * (z[0, 0].square() + math.log(2 * math.pi)))


@pytest.mark.parametrize("posterior", ["iaf", "linear"])
def test_the_shape_of_the_posterior_depends_on_the_image(posterior: str) -> None:
    model = randomized(posterior=posterior)
    for head in (model.mean, model.log_std):
        head.length.data.zero_()  # the same Gaussian for all images before it is bent
    a, b = (model.infer(h[None], torch.ones(1, 1, SIZE).double(), False)[0] for h in features(2))
    assert (
        (a - b).abs() > 1e-3
    ).sum() >= SIZE - 1  # the first number of a triangular matrix is the Gaussian's


@pytest.mark.parametrize(("posterior", "depth"), POSTERIORS)
def test_importance_weights_find_log_p_where_it_is_known(posterior: str, depth: int) -> None:
    """A decoder that does not look at its code makes log p(x) known: that of its bias alone."""
    model = randomized(posterior=posterior, depth=depth).float()
    for part in (
        model.mean,
        model.log_std,
        model.steps,
        *([] if model.below is None else [model.below]),
    ):
        for p in part.parameters():
            p.data.mul_(0.3)
    model.log_std.layer.bias.data.fill_(
        0.2 + 0.3 * len(model.steps)
    )  # no narrower than the prior: few draws suffice
    model.decoder.last.length.data.zero_()
    x = 255 * torch.randint(0, 2, (3, 1, 4, 4), generator=torch.Generator().manual_seed(3)).byte()
    logits = model.decoder.last.layer.bias.detach().view(1, 1, 4, 4)
    log_p = bernoulli(x / 255, logits.expand(3, 1, 4, 4)).flatten(1).sum(1)
    weights = model.log_weights(x, 40_000, generator=torch.Generator().manual_seed(0))
    assert (weights.mean(1) < log_p - 0.05).all(), "the bound is not below log p"
    assert torch.allclose(torch.logsumexp(weights, 1) - math.log(40_000), log_p, atol=0.05)


@pytest.mark.parametrize("posterior", ["iaf", "linear"])
def test_the_bound_is_the_mean_log_weight(posterior: str) -> None:
    model = randomized(posterior=posterior).float()
    x = 255 * torch.randint(0, 2, (2, 1, 4, 4), generator=torch.Generator().manual_seed(3)).byte()
    many = model.elbo(
        x.repeat_interleave(4_000, 0), generator=torch.Generator().manual_seed(0)
    ).nats.view(2, -1)
    weights = model.log_weights(x, 4_000, generator=torch.Generator().manual_seed(1))
    error = (many.var(1) / 4_000 + weights.var(1) / 4_000).sqrt()
    assert ((many.mean(1) - weights.mean(1)).abs() < 5 * error).all()
