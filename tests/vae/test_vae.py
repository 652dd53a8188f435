"""The VAE: two ways to its rate, its objectives by hand, binarization, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tiny
from zeuxis.capabilities import CanDecode, CanEncode, HasELBO
from zeuxis.data.dataset import Spec
from zeuxis.distributions.elementwise import logistic_mean, mean_pixels
from zeuxis.errors import UsageError
from zeuxis.model import Batch
from zeuxis.nn.data_dependent_init import data_dependent_init
from zeuxis.nn.weight_norm import WeightNorm
from zeuxis.noise import Noise
from zeuxis.vae.networks import Residual
from zeuxis.vae.vae import VAE, VAEConfig

SPEC = Spec("tiny", (1, 8, 8))


def small(channels: int = 1, **changes: object) -> VAE:
    """A dense VAE of a few units."""
    torch.manual_seed(0)
    config = {"architecture": "dense", "hidden_dim": 12, "latent_dim": 3, **changes}
    return VAE(VAEConfig(**config), Spec("tiny", (channels, 8, 8))).eval()  # type: ignore[arg-type]


def digits(n: int, channels: int = 1) -> Tensor:
    """Random binary images."""
    return 255 * torch.randint(
        0, 2, (n, channels, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def batch(x: Tensor, images: int = 0) -> Batch:
    return Batch(x, None, Noise(0, images, slice(0, len(x)), len(x)), images)


def test_it_bounds_encodes_and_decodes() -> None:
    model = small()
    assert isinstance(model, HasELBO)
    assert isinstance(model, CanEncode)
    assert isinstance(model, CanDecode)


def test_the_expected_rate_is_the_mean_of_the_sampled_one() -> None:
    model = small()
    x = model.observed(digits(1)).expand(1, -1, -1, -1)
    eps = torch.randn(1, 20_000, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact, drawn = (model.terms(x, eps, expected=e)[1] for e in (True, False))
    assert torch.equal(exact[:, :1], exact[:, 1:2])
    assert torch.allclose(exact.mean(1), drawn.mean(1), atol=0.02)


def test_the_bound_is_distortion_and_rate_and_the_mean_log_weight() -> None:
    model, x = small(), digits(4)
    weights = model.log_weights(x, 4_000, generator=torch.Generator().manual_seed(0))
    bound = torch.stack(
        [model.elbo(x, generator=torch.Generator().manual_seed(i)).nats for i in range(400)]
    ).mean(0)
    assert torch.allclose(
        weights.mean(1), bound, atol=0.6
    )  # two means of a few hundred draws with a deviation of about 4
    assert (torch.logsumexp(weights, 1) - math.log(4_000) >= weights.mean(1)).all()


def objective(model: VAE, images: int = 0) -> tuple[float, dict[str, Tensor]]:
    turn = batch(digits(16), images)
    _, loss = next(model.play(turn))
    return loss.item(), turn.logs


def test_warm_up_lets_the_rate_in_by_and_by() -> None:
    model = small(warmup=1000)
    for images, weight in ((0, 0.0), (250, 0.25), (1000, 1.0), (5000, 1.0)):
        loss, logs = objective(model, images)
        assert loss == pytest.approx((logs["distortion"] + weight * logs["rate"]).item(), rel=1e-5)


def test_beta_weighs_the_rate() -> None:
    loss, logs = objective(small(beta=4.0))
    assert loss == pytest.approx((logs["distortion"] + 4 * logs["rate"]).item(), rel=1e-5)
    loss, logs = objective(small(beta=4.0, warmup=1000), 250)
    assert loss == pytest.approx((logs["distortion"] + logs["rate"]).item(), rel=1e-5)


def test_free_bits_count_each_number_of_the_code_at_least_so_much() -> None:
    model = small(free_bits=10.0)
    loss, logs = objective(model)
    assert logs["rate"] < 10
    assert loss == pytest.approx(logs["distortion"].item() + 30.0, rel=1e-5)
    assert logs["bound"].item() == pytest.approx(
        -(logs["distortion"] + logs["rate"]).item(), rel=1e-5
    )


def test_free_bits_are_counted_on_the_mean_over_the_batch() -> None:
    """A number that costs nothing for one image and twice the free bits for the other costs exactly
    those."""
    model = small(free_bits=0.5)
    rate = torch.tensor([[0.0, 0.1, 2.0], [1.0, 0.2, 4.0]])[:, None]  # means 0.5, 0.15, 3
    assert model.objective(torch.ones(2, 1), rate, batch(digits(2))).item() == pytest.approx(
        1 + 0.5 + 0.5 + 3
    )


def test_the_start_is_from_500_images() -> None:
    seen: list[int] = []
    for n in (600, 40):
        model = VAE(
            VAEConfig(channels=(4, 4), hidden_dim=12, latent_dim=3), Spec("tiny", (1, 28, 28))
        )
        model.encoder.register_forward_hook(lambda _, given, out: seen.append(len(given[0])))
        model.initialize_from_data(tiny.images(n), 0)
    assert seen == [500, 40]


def test_a_mean_image_is_the_likeliest_one() -> None:
    """A mean at the center of a pixel's bin decodes as that pixel, which then has the largest
    probability."""
    model = small(3)
    nn.init.constant_(model.log_scale, -7.0)
    centers = (torch.arange(192).float() + 0.5) / 256 - 0.5
    model.decoder.forward = lambda z: centers.view(1, 3, 8, 8).expand(len(z), -1, -1, -1)
    found = model.decode(torch.zeros(1, 3))
    assert torch.equal(found.flatten(), torch.arange(192, dtype=torch.uint8))
    assert torch.equal(model.pixels(torch.zeros(1, 3)).argmax(-1).byte(), found)


def test_importance_weights_train_the_tighter_bound() -> None:
    model = small(importance=5)
    turn = batch(digits(16))
    _, loss = next(model.play(turn))
    again = batch(digits(16))
    x = model.observed(again.x, again.noise)
    distortion, rate = model.terms(x, again.noise.normal(5, 3), expected=False)
    weights = -(distortion + rate.sum(2))
    assert loss.item() == pytest.approx(
        -(torch.logsumexp(weights, 1) - math.log(5)).mean().item(), rel=1e-6
    )
    assert loss < -weights.mean()


def test_training_samples_pixels_again_and_evaluation_takes_none_but_binary_ones() -> None:
    model = small()
    gray = torch.full((400, 1, 8, 8), 64, dtype=torch.uint8)
    drawn = [model.observed(gray, Noise(0, step, slice(0, 400), 400)) for step in (0, 400)]
    assert set(drawn[0].unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(*drawn)
    assert drawn[0].mean().item() == pytest.approx(64 / 255, abs=0.01)
    still = digits(2)
    assert torch.equal(model.observed(still, Noise(0, 0, slice(0, 2), 2)), still / 255)
    with pytest.raises(UsageError, match="binarize them first"):
        model.elbo(gray[:1])
    assert model.encode(gray[:1]).shape == (1, 3)


def test_color_images_have_a_logistic_and_means_among_the_pixels() -> None:
    model = small(3)
    x = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    assert not model.binary
    assert torch.isfinite(model.elbo(x).nats).all()
    assert logistic_mean(torch.tensor([-9.0, 0.0, 9.0])).tolist() == [1 / 512, 0.5, 1 - 1 / 512]
    levels = torch.arange(256)
    assert mean_pixels((levels + 0.5) / 256).tolist() == levels.tolist()
    generator = torch.Generator().manual_seed(0)
    open_edges, closed = (
        m.elbo(x, generator=generator.manual_seed(0))
        for m in (small(3), small(3, open_edges=False))
    )
    assert (
        open_edges.nats >= closed.nats - 0.1
    ).all()  # the released form loses mass outside, but for 1e-7 in each logarithm


@pytest.mark.parametrize("network", ["residual", "conv", "dense"])
def test_every_layer_starts_from_data(network: str) -> None:
    torch.manual_seed(0)
    model = VAE(
        VAEConfig(architecture=network, channels=(4, 4), hidden_dim=12, latent_dim=3),
        Spec("tiny", (1, 28, 28)),
    )  # type: ignore[arg-type]
    seen = []
    for part in (model.mean, model.encoder.last if network != "dense" else model.encoder.layers[1]):
        part.register_forward_hook(lambda module, _, out: seen.append((module.start, out)))
    x = tiny.images(64).all()
    noise = Noise(0, 0, slice(0, 64), 64)
    with data_dependent_init(model):
        model.terms(model.observed(x, noise), noise.normal(1, 3), expected=True)
    for start, out in seen:
        assert torch.allclose(
            out.std(0, correction=0), torch.full((out.shape[1],), start), rtol=1e-3
        )
        assert out.mean(0).abs().max() < 1e-4


@torch.no_grad()
@pytest.mark.parametrize(("out", "change"), [(3, 0), (5, 0), (3, -1), (3, 1)])
def test_a_residual_block_is_its_formula(out: int, change: int) -> None:
    block, x = Residual(3, out, change, 8), torch.randn(2, 3, 4, 4)
    h = F.elu(x)
    skip = x if (out, change) == (3, 0) else block.skip(h)
    torch.testing.assert_close(block(x), skip + block.second(F.elu(block.first(h))))


@pytest.mark.parametrize("network", ["residual", "conv", "dense"])
def test_every_layer_but_the_first_reads_elu_units(network: str) -> None:
    """ELU units lie above -1, and some of them below 0."""
    model = VAE(
        VAEConfig(architecture=network, channels=(4, 4), hidden_dim=12, latent_dim=3),
        Spec("tiny", (1, 28, 28)),
    )  # type: ignore[arg-type]
    seen: dict[str, Tensor] = {}
    for name, part in model.named_modules():
        if isinstance(part, WeightNorm):
            part.register_forward_hook(
                lambda _, given, out, name=name: seen.update({name: given[0]})
            )
    with data_dependent_init(model):
        x = model.observed(tiny.images(64).all(), Noise(0, 0, slice(0, 64), 64))
        model.terms(x, torch.randn(64, 1, 3), expected=True)
    firsts = {
        "encoder.layers.0",
        "encoder.blocks.0",
        "encoder.blocks.0.first",
        "decoder.dense.0",
        "decoder.layers.0",
    }
    for name, given in seen.items():
        if name not in firsts and not name.endswith("blocks.0.skip"):
            assert given.min() >= -1 and (given < 0).any(), name


@pytest.mark.parametrize(
    ("changes", "shape", "sentence"),
    [
        ({"architecture": "conv", "channels": (4, 4, 4, 4)}, (1, 8, 8), "fewer"),
        ({"architecture": "conv", "channels": ()}, (1, 8, 8), "at least one"),
        ({"latent_dim": 0}, (1, 8, 8), "--model.latent-dim must be at least 1"),
        ({"free_bits": -1.0}, (1, 8, 8), "at least 0"),
        ({"free_bits": 0.1, "importance": 5}, (1, 8, 8), "--model.free-bits is .* leave it out"),
        ({"beta": 4.0, "importance": 5}, (1, 8, 8), "--model.beta is .* leave it out"),
        ({}, (2,), "square images"),
        ({}, (1, 8, 9), "square images"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict, shape: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        VAE(VAEConfig(**changes), Spec("tiny", shape))
