"""WGAN-GP: its loss against the paper's formula, its schedule, and the sizes it takes."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch

import tiny
from zeuxis.checkpoints.weights import build
from zeuxis.data.dataset import Spec
from zeuxis.errors import UsageError
from zeuxis.gan import wgan_gp
from zeuxis.gan.wgan_gp import WGANGPConfig
from zeuxis.model import Batch
from zeuxis.noise import Noise


def test_the_critic_moves_n_critic_times_on_different_images_before_the_generator() -> None:
    model, batch = tiny.model("wgan-gp", critic_steps=3), tiny.batch("wgan-gp")
    seen: list[torch.Tensor] = []
    model.critic.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    assert [player for player, _ in model.play(batch)] == ["critic"] * 3 + ["generator"]
    real = seen[1:9:3]  # each step shows the mixture, the images and the samples
    assert torch.equal(real[0], batch.x.float() / 255)
    assert not torch.equal(real[1], real[0]) and not torch.equal(real[2], real[1])


def test_the_losses_are_those_of_algorithm_1() -> None:
    model, batch = tiny.model("wgan-gp", critic_steps=1, penalty=7.0), tiny.batch("wgan-gp", 4)
    play = model.play(batch)
    _, critic_loss = next(play)
    noise = Noise(0, 0, slice(0, 4), 4)
    x, fake = batch.x.float() / 255, model.generator(noise.normal(8)).detach()
    epsilon = noise.uniform(1, 1, 1)
    penalties = []
    for i in range(4):
        mixed = (epsilon[i] * x[i] + (1 - epsilon[i]) * fake[i])[None].requires_grad_()
        (gradient,) = torch.autograd.grad(model.critic(mixed).squeeze(), mixed)
        penalties.append((gradient.square().sum().sqrt() - 1) ** 2)
    distance = model.critic(x).mean() - model.critic(fake).mean()
    torch.testing.assert_close(critic_loss, 7 * torch.stack(penalties).mean() - distance)
    torch.testing.assert_close(batch.logs["distance"], distance.detach())
    _, generator_loss = next(play)
    torch.testing.assert_close(
        generator_loss, -model.critic(model.generator(noise.normal(8))).mean()
    )


def test_a_linear_critic_of_norm_one_pays_no_penalty() -> None:
    model, batch = tiny.model("wgan-gp"), tiny.batch("wgan-gp", 4)
    linear = torch.nn.Linear(28 * 28, 1)
    with torch.no_grad():
        linear.weight /= linear.weight.norm()
    model.critic = torch.nn.Sequential(torch.nn.Flatten(), linear)
    _, loss = next(model.play(batch))
    torch.testing.assert_close(loss, -batch.logs["distance"])


def test_the_default_networks_are_those_of_the_released_code() -> None:
    model = build("wgan-gp", WGANGPConfig(), Spec("digits", (1, 28, 28)))
    maps = {
        "generator": [(256, 4, 4), (128, 7, 7), (64, 14, 14), (1, 28, 28)],
        "critic": [(64, 14, 14), (128, 7, 7), (256, 4, 4)],
    }
    for name, h in (("generator", torch.zeros(2, 128)), ("critic", torch.zeros(2, 1, 28, 28))):
        shapes = []
        for layer in getattr(model, name):
            h = layer(h)
            if isinstance(layer, torch.nn.Unflatten | torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                shapes.append(tuple(h.shape[1:]))
        assert shapes == maps[name]


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 8, 8), (2, 13, 30), (3, 64, 64)])
def test_images_of_any_size(shape: tuple[int, ...]) -> None:
    model = build("wgan-gp", WGANGPConfig(latent_dim=2, channels=2), Spec("any", shape))
    assert model.sample(3).shape == (3, *shape)
    x = torch.zeros(4, *shape, dtype=torch.uint8)
    more = lambda kind, n, stream=0: (x, None)  # noqa: E731
    for _, loss in model.play(Batch(x, None, Noise(0, 0, slice(0, 4), 4), more=more)):
        loss.backward()


def test_a_batch_that_stands_alone_has_no_further_examples() -> None:
    model, batch = tiny.model("wgan-gp", critic_steps=2), tiny.batch("wgan-gp", 4)
    alone = Batch(batch.x, batch.y, batch.noise)
    with pytest.raises(UsageError, match="no further examples"):
        list(model.play(alone))


def test_points_are_refused() -> None:
    with pytest.raises(UsageError, match="WGAN-GP makes images"):
        build("wgan-gp", WGANGPConfig(), Spec("ring", (2,)))


def test_the_page_on_new_models_shows_this_file() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "new-model.md"
    source = inspect.getsource(wgan_gp)
    excerpts = re.findall(r"(?ms)^```python\n(.*?)^```$", page.read_text())
    excerpts = [excerpt for excerpt in excerpts if not excerpt.startswith(">>>")]
    assert len(excerpts) >= 6
    for excerpt in excerpts:
        assert excerpt in source, f"docs/new-model.md differs from wgan_gp.py:\n{excerpt}"
