"""The conditional VAE: its objective, what each network may see, a dependence that it learns."""

from __future__ import annotations

import math

import pytest
import torch

import tiny
from zeuxis.checkpoints.weights import build
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.errors import UsageError
from zeuxis.training.loop import fit
from zeuxis.vae.cvae import CVAE, CVAEConfig


def binary(n: int = 6, side: int = 28) -> torch.Tensor:
    return (tiny.images(n, side=side).all() > 127).byte() * 255


def cvae(**changes: object) -> CVAE:
    model = tiny.model("cvae", **changes)
    assert isinstance(model, CVAE)
    return model.eval()


def test_the_bound_is_likelihood_minus_divergence_of_hidden_pixels() -> None:
    """Against torch.distributions, pixel by pixel."""
    model, x = cvae(), binary()
    generator = torch.Generator().manual_seed(0)
    elbo = model.conditional_elbo(x, generator=generator)
    eps = torch.randn(6, 1, 3, generator=torch.Generator().manual_seed(0))
    image, _, merged = model.conditioned(x)
    h, mean, log_std = model.networks.prior(merged)
    prior = torch.distributions.Normal(mean, log_std.exp())
    posterior = torch.distributions.Normal(
        *(t if i == 0 else t.exp() for i, t in enumerate(model.networks.posterior(merged, image)))
    )
    rate = torch.distributions.kl_divergence(posterior, prior).sum(2)
    logits = model.networks.logits(h, posterior.loc + posterior.scale * eps)[:, 0]
    log_p = torch.distributions.Bernoulli(logits=logits).log_prob(image)[..., ~model.visible]
    torch.testing.assert_close(elbo.distortion, -log_p.sum((1, 2)))
    torch.testing.assert_close(elbo.rate, rate)
    assert elbo.nats.shape == (6,)


def test_weights_of_the_prior_are_likelihoods_and_those_of_recognition_average_to_the_bound() -> (
    None
):
    model, x = cvae(), binary(2)
    generator = torch.Generator().manual_seed(1)
    plain = model.conditional_log_weights(x, 7, proposal="prior", generator=generator)
    assert plain.shape == (2, 7) and (plain < 0).all()
    weights = model.conditional_log_weights(x, 4000, generator=generator)
    bounds = [model.conditional_elbo(x, generator=generator).nats for _ in range(300)]
    error = (weights.var(1) / 4000).sqrt() + (torch.stack(bounds).var(0) / 300).sqrt()
    assert ((weights.mean(1) - torch.stack(bounds).mean(0)).abs() < 4 * error + 1e-3).all()


def test_only_the_recognition_network_sees_hidden_pixels() -> None:
    model, x = cvae(), binary()
    other = torch.where(model.visible, x, 255 - x)
    assert torch.equal(model.conditioned(x)[1], model.conditioned(other)[1])
    for mean, changed in zip(
        model.networks.prior(model.conditioned(x)[2]),
        model.networks.prior(model.conditioned(other)[2]),
        strict=True,
    ):
        assert torch.equal(mean, changed)
    merged = model.conditioned(x)[2]
    assert not torch.equal(
        model.networks.posterior(merged, x / 255)[0],
        model.networks.posterior(merged, other / 255)[0],
    )


def test_the_networks_see_the_guess_of_the_baseline() -> None:
    model, x = cvae(), binary()
    before = model.conditional_elbo(x, generator=torch.Generator().manual_seed(0)).rate
    with torch.no_grad():
        for p in model.baseline.parameters():
            p.add_(0.1)
    after = model.conditional_elbo(x, generator=torch.Generator().manual_seed(0)).rate
    assert not torch.equal(before, after)


def losses(alpha: float) -> tuple[float, dict[str, torch.Tensor], CVAE]:
    model, batch = cvae(hybrid=alpha), tiny.batch("cvae")
    turns = dict(model.play(batch))
    turns["cvae"].backward()
    return turns["cvae"].item(), batch.logs, model


def test_the_hybrid_objective_mixes_the_bound_and_the_gsnn() -> None:
    loss, logs, _ = losses(0.25)
    mixed = 0.25 * logs["bound"] + 0.75 * logs["gsnn"]
    assert loss == pytest.approx(-mixed.item(), rel=1e-5)
    whole, logs, _ = losses(1.0)
    assert whole == pytest.approx(-logs["bound"].item(), rel=1e-6) and "gsnn" not in logs
    loss, logs, model = losses(0.0)
    assert loss == pytest.approx(-logs["gsnn"].item(), rel=1e-6)
    for p in model.networks.recognition.parameters():
        assert p.grad is None or not p.grad.any()


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("conv", "residual")]


@pytest.mark.parametrize("architecture", ["dense", *SLOW])
def test_it_learns_a_dependence_that_the_baseline_cannot(architecture: str) -> None:
    """All hidden pixels are equal, black or white: log 2 nats, and 27 log 2 pixel by pixel. Seen
    pixels are noise."""
    generator = torch.Generator().manual_seed(0)
    n = 6_500
    x = torch.randint(2, (n, 1, 1, 1), generator=generator).repeat(1, 1, 6, 6)
    x[:, :, 3:, :3] = torch.randint(2, (n, 1, 3, 3), generator=generator)
    x = (x * 255).byte()
    data, unseen = Dataset(Spec("flat", (1, 6, 6)), x[100:]), x[:100]
    config = CVAEConfig(
        architecture=architecture, channels=(8,), hidden_dim=32, latent_dim=2, lr=5e-3
    )
    model = build("cvae", config, data.spec)
    training = tiny.training(images=len(data), batch=64, average=100, schedule="linear")
    model = fit(model, data, training=training, quiet=True).model
    assert isinstance(model, CVAE)
    weights = model.conditional_log_weights(unseen, 500, generator=generator)
    nats = -(weights.logsumexp(1) - math.log(500)).mean().item()
    assert 0.6 < nats < 1.5
    baseline = -model.baseline_log_prob(unseen).mean().item()
    assert baseline == pytest.approx(27 * math.log(2), rel=0.03)
    done = model.complete(unseen[:2], model.visible, n=100, generator=generator)
    hidden = done[..., ~model.visible].float() / 255
    assert ((hidden.mean(-1) < 0.1) | (hidden.mean(-1) > 0.9)).float().mean() > 0.8
    assert 0.3 < hidden.mean().item() < 0.7


def test_gray_seen_pixels_are_kept_and_other_masks_refused() -> None:
    model, x = cvae(), tiny.images(3).all()
    done = model.complete(x, model.visible, n=4)
    assert done.shape == (4, 3, 1, 28, 28)
    assert (done == x)[..., model.visible].all()
    assert model.complete(x[:0], model.visible, n=4).shape == (4, 0, 1, 28, 28)
    with pytest.raises(UsageError, match="trained to see the quadrants bottom-left"):
        model.complete(x, ~model.visible)


@pytest.mark.parametrize(
    ("changes", "shape", "sentence"),
    [
        ({"seen": ()}, (1, 28, 28), "shows 0 of 784 pixels"),
        ({"seen": ("top-left",)}, (1, 1, 1), "shows 0 of 1 pixels"),
        ({}, (3, 32, 32), "gray images"),
        ({"architecture": "conv"}, (1, 28, 20), "square images"),
        ({"architecture": "residual", "channels": (4,) * 6}, (1, 28, 28), "halve images of 28"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    changes: dict, shape: tuple[int, ...], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        CVAE(CVAEConfig(hidden_dim=8, latent_dim=2, **changes), Spec("x", shape))


def test_likelihoods_need_binary_pixels() -> None:
    with pytest.raises(UsageError, match="binarize them first"):
        cvae().conditional_elbo(tiny.images(2).all())
