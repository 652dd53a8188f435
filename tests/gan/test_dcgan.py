"""DCGAN against the authors' networks: shapes, parameter counts, the first step, features, batch
statistics."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tiny
from zeuxis.checkpoints.weights import build
from zeuxis.data.dataset import Spec
from zeuxis.errors import UsageError
from zeuxis.gan.dcgan import DCGAN, DCGANConfig
from zeuxis.gan.losses import discriminator_loss, generator_loss
from zeuxis.model import Batch
from zeuxis.nn.norm import BatchNorm, estimate_batch_statistics
from zeuxis.noise import Noise
from zeuxis.recipes import recipes

# Weights in millions of generator and discriminator, counted from the sizes of the released files.
NETWORKS = [
    (DCGANConfig(), (3, 64, 64), 18.89, 17.23),
    (DCGANConfig(architecture="alternating", kernel=3, latent_dim=256), (3, 32, 32), 6.69, 4.59),
    (DCGANConfig(channels=64), (3, 32, 32), 1.45, 1.03),
    (DCGANConfig(conditional=True), (1, 28, 28), 6.82, 6.69),
]


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("config", "shape", "generator", "discriminator"), NETWORKS)
def test_parameter_counts_are_the_released_ones(config, shape, generator, discriminator) -> None:
    model = DCGAN(config, Spec("x", shape, 10))
    # The conditional network's count is of the code and maps alone, as the one-hot class adds
    # inputs to each layer.
    extra = 0.26 if config.conditional else 0.005
    assert abs(count(model.generator) / 1e6 - generator) < extra
    assert abs(count(model.discriminator) / 1e6 - discriminator) < extra


def test_every_layer_of_the_faces_network() -> None:
    model = DCGAN(DCGANConfig(), Spec("faces", (3, 64, 64)))
    shapes = []
    for layer in [*model.generator.dense, *model.generator.deconv, *model.discriminator.conv]:
        layer.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape[1:])))
    with torch.no_grad():
        logits = model.discriminator(model.generator(model.prior(2)))
    assert logits.shape == (2,)
    assert shapes == [
        *[(16384,), (512, 8, 8), (256, 16, 16), (128, 32, 32), (3, 64, 64)],
        *[(128, 32, 32), (256, 16, 16), (512, 8, 8), (1024, 4, 4)],
    ]


def test_every_layer_of_the_alternating_network() -> None:
    model = DCGAN(
        DCGANConfig(architecture="alternating", kernel=3, latent_dim=256),
        Spec("objects", (3, 32, 32)),
    )
    shapes = []
    for layer in [*model.generator.deconv, *model.discriminator.conv]:
        layer.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape[1:])))
    with torch.no_grad():
        model.discriminator(model.generator(model.prior(2)))
    assert shapes == [
        *[(512, 8, 8), (256, 8, 8), (256, 16, 16), (128, 16, 16), (128, 32, 32), (3, 32, 32)],
        *[(128, 32, 32), (128, 16, 16), (256, 16, 16), (256, 8, 8), (512, 8, 8), (512, 4, 4)],
    ]


def test_features_have_the_papers_lengths() -> None:
    for config, length in ((NETWORKS[1][0], 28672), (NETWORKS[2][0], 7168)):
        model = DCGAN(config, Spec("x", (3, 32, 32))).eval()
        x = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
        assert model.features(x).shape == (2, length)


@pytest.mark.parametrize("name", [n for n in recipes() if n.startswith("dcgan/") and "small" in n])
def test_first_losses_are_those_of_a_coin(name: str) -> None:
    recipe = recipes()[name]
    shape = (1, 28, 28) if recipe.data == "mnist" else (3, 32, 32)
    model = build("dcgan", recipe.config, Spec(recipe.data, shape, 10)).train()
    x = torch.randint(0, 256, (32, *shape), dtype=torch.uint8)
    losses = dict(model.play(Batch(x, torch.arange(32) % 10, Noise(0, 0, slice(0, 32), 32))))
    # The last layer sums thousands of units with weights of 0.02: logits start within about one of
    # zero, not at it.
    assert abs(losses["discriminator"].item() - 2 * math.log(2)) < 0.5
    assert abs(losses["generator"].item() - math.log(2)) < 0.5


def test_losses_are_cross_entropies_with_real_as_1_and_generated_as_0() -> None:
    real, fake = torch.randn(2, 50) * 3
    one, zero = torch.ones(50), torch.zeros(50)
    cross = F.binary_cross_entropy_with_logits
    torch.testing.assert_close(discriminator_loss(real, fake), cross(real, one) + cross(fake, zero))
    torch.testing.assert_close(generator_loss(fake), cross(fake, one))


def test_the_discriminator_sees_real_and_generated_images_in_separate_batches() -> None:
    model, batch = tiny.model("dcgan").train(), tiny.batch("dcgan")
    calls: list[tuple[Tensor, Tensor]] = []
    made: list[Tensor] = []
    model.discriminator.register_forward_hook(lambda _, given, out: calls.append((given[0], out)))
    model.generator.register_forward_hook(lambda _, given, out: made.append(out))
    turns = [loss for _, loss in model.play(batch)]
    assert [len(x) for x, _ in calls] == [16, 16, 16] and len(made) == 2
    assert torch.equal(calls[0][0], model.scale(batch.x))
    assert all(torch.equal(x, fake) for (x, _), fake in zip(calls[1:], made, strict=True))
    assert not torch.equal(made[0], made[1]), "each turn draws other latents"
    torch.testing.assert_close(turns[0], discriminator_loss(calls[0][1], calls[1][1]))
    torch.testing.assert_close(turns[1], generator_loss(calls[2][1]))


def like(
    norm: BatchNorm, plain: type[nn.BatchNorm1d] | type[nn.BatchNorm2d], order: Tensor | None = None
) -> nn.Module:
    """PyTorch's batch normalization with the same numbers, its features in another order if one is
    given."""
    copy = plain(len(norm.mean), norm.eps)
    for mine, theirs in (
        ("weight", norm.gain),
        ("bias", norm.bias),
        ("running_mean", norm.mean),
        ("running_var", norm.variance),
    ):
        getattr(copy, mine).data.copy_(theirs if order is None else theirs[order])
    return copy.eval()


def with_weight(layer: nn.Module, weight: Tensor) -> nn.Module:
    layer.weight.data.copy_(weight)
    return layer


def with_statistics() -> tuple[DCGAN, Tensor]:
    """A strided network for 32 pixels with statistics, and images."""
    model = DCGAN(
        DCGANConfig(architecture="strided", channels=3, latent_dim=7), Spec("x", (3, 32, 32))
    ).eval()
    x = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8)
    model.update_statistics(x)
    return model, x


@torch.no_grad()
def test_the_generator_is_that_of_pytorchs_layers() -> None:
    model, _ = with_statistics()
    g, c = model.generator, 3
    order = (
        torch.arange(16 * 4 * c).view(4, 4, 4 * c).permute(2, 0, 1).flatten()
    )  # units by maps, as `Unflatten` takes them
    layers = [with_weight(nn.Linear(7, 16 * 4 * c, bias=False), g.dense[0].weight[order])]
    layers += [
        like(g.dense_norm[0], nn.BatchNorm1d, order),
        nn.ReLU(),
        nn.Unflatten(1, (4 * c, 4, 4)),
    ]
    for layer, norm in zip(g.deconv, [*g.deconv_norm, None], strict=True):
        a, b = layer.weight.shape[:2]
        layers.append(with_weight(nn.ConvTranspose2d(a, b, 5, 2, 2, 1, bias=False), layer.weight))
        layers += [nn.Tanh()] if norm is None else [like(norm, nn.BatchNorm2d), nn.ReLU()]
    z = model.prior(5)
    torch.testing.assert_close(g(z), nn.Sequential(*layers)(z), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_discriminator_and_its_features_are_those_of_pytorchs_layers() -> None:
    model, x = with_statistics()
    d, h, pooled = model.discriminator, model.scale(x), []
    for i, (layer, norm) in enumerate(zip(d.conv, d.conv_norm, strict=True)):
        b, a = layer.weight.shape[:2]
        h = with_weight(nn.Conv2d(a, b, 5, 2, 2, bias=False), layer.weight)(h)
        h = nn.LeakyReLU(0.2)(like(norm, nn.BatchNorm2d)(h) if i else h)
        size = h.shape[2] // 4
        pooled.append(h.unflatten(2, (4, size)).unflatten(4, (4, size)).amax((3, 5)).flatten(1))
    logits = h.permute(0, 2, 3, 1).flatten(1) @ d.last.weight[0]
    torch.testing.assert_close(d(model.scale(x)), logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.features(x), torch.cat(pooled, 1), atol=1e-5, rtol=1e-4)


def test_codes_are_uniform_and_scaling_is_undone() -> None:
    model = tiny.model("dcgan", latent_dim=100)
    z = model.prior(200, generator=torch.Generator().manual_seed(0))
    assert z.min() >= -1
    assert z.max() < 1
    assert abs(z.mean()) < 0.02
    assert abs(z.var() - 1 / 3) < 0.01
    x = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(((model.scale(x) + 1) * 127.5).round().byte(), x)


def test_a_conditional_generator_looks_at_the_class() -> None:
    model = DCGAN(DCGANConfig(conditional=True, channels=8), Spec("digits", (1, 28, 28), 10)).eval()
    model.update_statistics()
    z = model.prior(1).repeat(2, 1)
    a, b = model.decode(z, torch.tensor([3, 4]))
    assert not torch.equal(a, b)
    assert model.sample(12).shape == (12, 1, 28, 28)
    with pytest.raises(UsageError, match="label for every image"):
        next(
            model.play(
                Batch(
                    torch.zeros(4, 1, 28, 28, dtype=torch.uint8), None, Noise(0, 0, slice(0, 4), 4)
                )
            )
        )


def test_batch_norm_is_the_formula_with_its_gradient() -> None:
    x = torch.randn(16, 5, 3, 3, dtype=torch.double, requires_grad=True)
    norm = BatchNorm(5).double()
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    expected = norm.gain.view(1, 5, 1, 1) * (x - mean) / (variance + 1e-8).sqrt() + norm.bias.view(
        1, 5, 1, 1
    )
    weight = torch.randn_like(x)
    torch.testing.assert_close(norm(x), expected)
    torch.testing.assert_close(
        *(torch.autograd.grad((y * weight).sum(), x)[0] for y in (norm(x), expected))
    )


def test_computed_statistics_are_the_mean_over_batches() -> None:
    norm = BatchNorm(4, affine=False)
    x = torch.randn(6, 32, 4) * 3 + 1
    with torch.no_grad(), estimate_batch_statistics(norm):
        for part in x:
            norm(part)
    torch.testing.assert_close(norm.mean, x.mean(1).mean(0))
    torch.testing.assert_close(norm.variance, x.var(1, correction=0).mean(0))
    norm.eval()
    torch.testing.assert_close(norm(x[0]), (x[0] - norm.mean) / (norm.variance + 1e-8).sqrt())


@pytest.mark.parametrize(
    ("changes", "spec", "sentence"),
    [
        ({}, Spec("wide", (3, 32, 48)), "square"),
        ({}, Spec("odd", (3, 45, 45)), "cannot make images of 45 pixels"),
        ({"kernel": 4}, Spec("x", (3, 32, 32)), "odd"),
        ({"conditional": True}, Spec("x", (3, 32, 32)), "has none"),
        ({"architecture": "mnist"}, Spec("x", (3, 64, 64)), "28 pixels"),
        ({"latent_dim": 0}, Spec("x", (3, 32, 32)), "latent-dim must be at least 1"),
    ],
)
def test_settings_that_cannot_work_say_what_can(changes, spec, sentence) -> None:
    with pytest.raises(UsageError, match=sentence):
        DCGAN(DCGANConfig(**changes), spec)


def test_statistics_of_a_single_number_a_channel_are_that_number() -> None:
    norm = BatchNorm(3, affine=False).eval()
    x = torch.randn(1, 3)
    with estimate_batch_statistics(norm):
        assert norm(x).abs().max() < 1e-2
    assert torch.equal(norm.mean, x[0]) and torch.equal(norm.variance, torch.zeros(3))
