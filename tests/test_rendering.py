"""Images of latents with gradients: `render` before rounding is `decode`, and what a VAE and a
discriminator say of them."""

from __future__ import annotations

import pytest
import torch

import tiny
from zeuxis.capabilities import CanPropose, CanRender, HasCritic, HasPixelLikelihood, has
from zeuxis.registry import models

ABLE = [name for name in tiny.NAMES if has(models()[name], CanRender)]


def test_who_renders() -> None:
    assert {"dcgan", "iaf-vae", "improved-gan", "infogan", "vae", "wgan-gp"} <= set(ABLE)
    assert not has(models()["pixelcnn"], CanRender)
    assert has(models()["vae"], CanPropose) and not has(models()["dcgan"], HasPixelLikelihood)


@pytest.mark.parametrize("name", ABLE)
def test_rounded_renderings_are_the_decoded_images(name: str) -> None:
    model = tiny.model(name).eval()
    z = model.prior(5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    x = model.render(z)
    assert torch.equal(x.round().clamp(0, 255).byte(), model.decode(z.detach()))
    (gradient,) = torch.autograd.grad(x.sum(), z)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0
    if model.can(HasCritic):
        x = x.detach().requires_grad_()
        logits = model.realism(x)
        assert logits.shape == (5,)
        assert torch.autograd.grad(logits.sum(), x)[0].abs().sum() > 0


@pytest.mark.parametrize("likelihood", ["bernoulli", "logistic"])
@pytest.mark.parametrize("name", ["vae", "iaf-vae"])
def test_likelihoods_of_pixels_are_those_of_the_bound(name: str, likelihood: str) -> None:
    model = tiny.model(name, likelihood=likelihood).eval()
    z = model.prior(2, generator=torch.Generator().manual_seed(0))
    log_probs = model.pixels(z)
    x = model.draw_pixels(z, generator=torch.Generator().manual_seed(1))
    levels = (x / 255 if likelihood == "bernoulli" else x).long()
    expected = log_probs.gather(4, levels[..., None])[..., 0]
    torch.testing.assert_close(model.pixel_log_prob(x, z), expected, rtol=1e-4, atol=1e-4)
    many = model.draw_pixels(z[:1].expand(4000, -1), generator=torch.Generator().manual_seed(2))
    values = torch.tensor([0.0, 255.0]) if likelihood == "bernoulli" else torch.arange(256.0)
    mean = (log_probs[0].exp() * values).sum(-1)
    deviation = ((log_probs[0].exp() * values.square()).sum(-1) - mean.square()).sqrt()
    assert ((many.mean(0) - mean).abs() < 5 * deviation / 4000**0.5 + 1e-3).all()
    torch.testing.assert_close(many.std(0), deviation, rtol=0.15, atol=0.01)


def test_proposals_are_the_posterior_and_take_gray_images() -> None:
    model = tiny.model("vae").eval()
    x = 255 * (model.sample(3) > 127).byte()
    for a, b in zip(model.propose(x.float()), model.posterior(x), strict=True):
        torch.testing.assert_close(a, b)
    gray = torch.full((2, 1, 28, 28), 99, dtype=torch.uint8)
    torch.testing.assert_close(model.propose(gray.float())[0], model.encode(gray))


def test_settings_rule_capabilities_out() -> None:
    assert not tiny.model("iaf-vae").can(CanPropose)
    assert tiny.model("iaf-vae", posterior="diagonal").can(CanPropose)
    assert not tiny.model("dcgan", conditional=True).can(CanRender)
