"""PixelCNN++: the mixture's masses, who sees whom through three scales, the scan with its strided
streams."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import causal
import tiny
from zeuxis.autoregressive.pixelcnnpp import PixelCNNPP, PixelCNNPPConfig
from zeuxis.autoregressive.sampling import in_order
from zeuxis.capabilities import CanAutoregress, CanComplete, CanLogProb
from zeuxis.checkpoints.weights import build
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.distributions.logistic_mixture import Mixture, parameters_per_pixel
from zeuxis.errors import UsageError
from zeuxis.noise import Noise
from zeuxis.training.loop import fit

SMALL = {"channels": 5, "blocks": 1, "scales": 2, "mixtures": 3, "levels": 4}


def random_mixture(
    n: int,
    colors: int,
    levels: int = 256,
    spread: float = 3.0,
    k: int = 5,
    dtype: torch.dtype = torch.float64,
) -> Mixture:
    generator = torch.Generator().manual_seed(colors)
    return Mixture.of(
        spread * torch.randn(n, parameters_per_pixel(k, colors), generator=generator, dtype=dtype),
        colors,
        levels,
    )


def test_ten_numbers_a_component() -> None:
    assert [parameters_per_pixel(10, colors) for colors in (1, 2, 3)] == [30, 60, 100]


@pytest.mark.parametrize("spread", [0.3, 3.0, 30.0])
def test_masses_of_256_values_add_up_to_one_for_each_color_given_those_before(
    spread: float,
) -> None:
    n, mixture = 40, random_mixture(40, 3, spread=spread)
    v = torch.randint(256, (n, 3), generator=torch.Generator().manual_seed(0))
    for color in range(3):
        every = v[:, None].repeat(1, 256, 1)
        every[..., color] = torch.arange(256)
        many = Mixture(
            *(
                t[:, None]
                for t in (
                    mixture.log_weights,
                    mixture.means,
                    mixture.log_scales,
                    mixture.coefficients,
                )
            ),
            256,
        )
        mass = many.log_mass(every)[..., color]
        torch.testing.assert_close(
            mass.exp().sum(1), torch.ones(n, dtype=torch.float64), atol=1e-9, rtol=0
        )
        assert torch.isfinite(mass).all(), "no value is impossible"


def test_masses_in_float32_add_up_to_one_too() -> None:
    mixture = random_mixture(200, 1, dtype=torch.float32)
    table = mixture.table(0, torch.zeros(200, 1))
    total = (mixture.log_weights[..., None] + table).exp().sum((1, 2))
    assert (total - 1).abs().max() < 2e-5


def test_a_pixels_mass_is_one_component_for_all_its_colors() -> None:
    """The formula written out: a sum over components of products over colors, whose means depend on
    the true colors before."""
    mixture, levels = random_mixture(30, 3, levels=16), 16
    v = torch.randint(levels, (30, 3), generator=torch.Generator().manual_seed(1))
    x = 2 * v.double() / (levels - 1) - 1
    total = torch.zeros(30, dtype=torch.float64)
    for k in range(5):
        mass = mixture.log_weights[:, k].exp()
        m, s, a = mixture.means[:, k], mixture.log_scales[:, k].exp(), mixture.coefficients[:, k]
        mu = [m[:, 0], m[:, 1] + a[:, 0] * x[:, 0], m[:, 2] + a[:, 1] * x[:, 0] + a[:, 2] * x[:, 1]]
        for c in range(3):
            upper = torch.where(
                v[:, c] == levels - 1,
                1.0,
                torch.sigmoid((x[:, c] + 1 / (levels - 1) - mu[c]) / s[:, c]),
            )
            lower = torch.where(
                v[:, c] == 0, 0.0, torch.sigmoid((x[:, c] - 1 / (levels - 1) - mu[c]) / s[:, c])
            )
            mass = mass * (upper - lower)
        total += mass
    torch.testing.assert_close(mixture.log_mass(v).sum(1).exp(), total, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("colors", [1, 2, 3])
def test_tables_are_the_masses_component_by_component(colors: int) -> None:
    mixture = random_mixture(20, colors, levels=8, k=1)
    v = torch.randint(8, (20, colors), generator=torch.Generator().manual_seed(0))
    for c in range(colors):
        table = mixture.table(c, mixture.scaled(v))[:, 0]
        torch.testing.assert_close(
            table.gather(1, v[:, c : c + 1])[:, 0], mixture.log_mass(v)[:, c], rtol=1e-8, atol=1e-10
        )


def test_gradients_of_far_values_are_finite_and_pull_the_mean() -> None:
    out = torch.tensor(
        [[0.0, 5.0, -7.0]], requires_grad=True
    )  # one component far above the value, as narrow as can be
    nats = -Mixture.of(out, 1, 256).log_mass(torch.tensor([[0]])).sum()
    nats.backward()
    assert out.grad is not None and torch.isfinite(out.grad).all()
    assert out.grad[0, 1] > 0


def by_pixel(seen: Tensor, channels: int) -> Tensor:
    """Who sees whom, pixel by pixel."""
    size = len(seen) // channels
    return seen.view(size, channels, size, channels).any(3).any(1)


@pytest.mark.parametrize(("channels", "scales"), [(1, 3), (3, 2), (2, 1)])
def test_every_pixel_before_is_seen_and_none_after(channels: int, scales: int) -> None:
    shape = (channels, 4, 8)
    model = causal.make("pixelcnnpp", shape, channels=6, blocks=2, scales=scales, mixtures=2)
    size = 32
    x_to_out = causal.influence(model.network, shape, channels) if channels == 1 else None
    if (
        x_to_out is None
        # outputs belong to the pixel: their numbers are split evenly among its colors to be looked
        # at
    ):
        x_to_out = causal.influence(
            lambda x: pad_outputs(model.network(x), channels), shape, channels
        )  # type: ignore[arg-type]
    assert torch.equal(by_pixel(x_to_out, channels), causal.earlier(size))


def pad_outputs(out: Tensor, channels: int) -> Tensor:
    missing = -out.shape[1] % channels
    return torch.cat([out, out[:, :missing]], 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_conditional_of_a_color_sees_the_colors_before_it(channels: int) -> None:
    """Through network and mixture together: change one number, and only distributions behind it may
    change, and each of them must."""
    model = causal.make(
        "pixelcnnpp", (channels, 2, 4), channels=6, blocks=1, scales=2, mixtures=3, levels=8
    )
    x = causal.random_images(model, 4)
    base, size = model.conditionals(x).permute(0, 2, 3, 1, 4).flatten(1, 3), 8 * channels
    changed = torch.zeros(size, size, dtype=torch.bool)
    for j in range(size):
        k, r, c = j % channels, j // channels // 4, j // channels % 4
        other = x.clone()
        other[:, k, r, c] = torch.where(x[:, k, r, c] == 255, 0, 255)
        distributions = model.conditionals(other).permute(0, 2, 3, 1, 4).flatten(1, 3)
        changed[:, j] = (distributions - base).abs().amax((0, 2)) > 1e-12
    assert torch.equal(changed, causal.earlier(size))


VARIANTS = [
    ((1, 4, 4), 0, {}),
    ((3, 4, 2), 0, {"blocks": 2}),
    ((1, 8, 4), 0, {"scales": 3, "levels": 256}),
    ((3, 4, 8), 0, {"scales": 3}),
    ((2, 2, 3), 0, {"scales": 1}),
    ((3, 4, 4), 3, {"conditional": True}),
]


@pytest.mark.parametrize(("shape", "classes", "changes"), VARIANTS)
def test_a_scan_gives_the_conditionals_and_the_likelihood_is_their_sum(
    shape: tuple, classes: int, changes: dict
) -> None:
    causal.check_autoregress(causal.make("pixelcnnpp", shape, classes, **{**SMALL, **changes}))


@pytest.mark.parametrize(("shape", "classes", "changes"), VARIANTS)
def test_the_cached_sampler_gives_the_naive_ones_images(
    shape: tuple, classes: int, changes: dict
) -> None:
    causal.check_sampler(causal.make("pixelcnnpp", shape, classes, **{**SMALL, **changes}))


@pytest.mark.parametrize(
    ("shape", "scales", "levels"),
    [((1, 2, 2), 2, 2), ((1, 2, 2), 2, 3), ((3, 1, 2), 1, 3), ((2, 2, 2), 2, 2)],
)
def test_probabilities_of_a_tiny_space_add_up_to_one(
    shape: tuple, scales: int, levels: int
) -> None:
    model = causal.make(
        "pixelcnnpp", shape, channels=5, blocks=1, scales=scales, mixtures=3, levels=levels
    )
    p = model.log_prob(causal.all_images(shape, levels)).nats.exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-9)
    assert p.std() > 0.01 * p.mean(), "a uniform distribution shows little"


def test_a_scan_costs_the_operations_of_one_pass() -> None:
    """Strided streams included: coarse places are computed once for all the finer ones."""
    model = causal.make(
        "pixelcnnpp", (1, 8, 8), channels=16, blocks=1, scales=3, mixtures=2, levels=4
    )
    x = causal.random_images(model, 4)
    once = causal.operations(lambda: model.log_prob(x))
    assert 0.5 < causal.operations(lambda: causal.walk(model, 4)) / once < 1.1


def test_dropout_is_drawn_from_the_steps_noise_and_only_while_training() -> None:
    model = tiny.model("pixelcnnpp").train()
    assert isinstance(model, PixelCNNPP)
    v, noise = torch.randint(256, (4, 1, 8, 8)), lambda seed: Noise(seed, 0, slice(0, 4), 4)
    drawn = [model.log_likelihood(v, None, noise(seed)) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(
        model.eval().log_likelihood(v, None, noise(0)), model.log_likelihood(v, None)
    )


def test_normalized_weights_start_from_data() -> None:
    x = torch.randint(0, 256, (32, 3, 8, 8), dtype=torch.uint8)
    data = Dataset(Spec("some", (3, 8, 8)), x)
    model = build("pixelcnnpp", PixelCNNPPConfig(channels=8, blocks=1, scales=2), data.spec)
    assert isinstance(model, PixelCNNPP)
    model.initialize_from_data(data, 0)
    out = model.network(model.scaled(x.long()))
    assert (out.mean((0, 2, 3)).abs() < 0.3).all()
    assert ((out.std((0, 2, 3)) - 1).abs() < 0.5).all()


def flat_images() -> Dataset:
    """Flat images of one of four grays: log 4 nats, all of them at the first number."""
    x = (
        (torch.arange(128) % 4 * 85)
        .to(torch.uint8)
        .view(-1, 1, 1, 1)
        .expand(-1, 1, 4, 4)
        .contiguous()
    )
    return Dataset(Spec("flat", (1, 4, 4)), x)


def learned(images: int, scales: int, lr: float, average: int = 200) -> tuple[float, PixelCNNPP]:
    """Nats an image after a training on flat images."""
    data = flat_images()
    config = PixelCNNPPConfig(
        channels=12, blocks=1, scales=scales, mixtures=5, levels=4, dropout=0.0, lr=lr
    )
    training = tiny.training(images=images, batch=32, average=average, schedule="linear", clip=10.0)
    model = fit(build("pixelcnnpp", config, data.spec), data, training=training, quiet=True).model
    assert isinstance(model, PixelCNNPP)
    return -model.log_prob(data.all()).nats.mean().item(), model


@pytest.mark.slow
def test_it_learns() -> None:
    assert learned(3200, 1, 3e-3)[0] < 16 * math.log(4) / 4, "a quarter of the nats of ignorance"


@pytest.mark.slow
def test_it_learns_a_distribution_of_known_entropy() -> None:
    nats, model = learned(24_000, 2, 3e-3, average=500)
    assert nats == pytest.approx(math.log(4), abs=0.02)
    drawn = in_order(model.sample(64, generator=torch.Generator().manual_seed(0)))
    assert (drawn == drawn[:, :1]).float().mean() > 0.97


def test_full_size_is_the_papers() -> None:
    with torch.device("meta"):
        model = PixelCNNPP(PixelCNNPPConfig(), Spec("cifar10", (3, 32, 32)))
    weights = sum(p.numel() for name, p in model.named_parameters() if name.endswith("weight"))
    # 32 blocks of u, 32 of ul with two or three readings beside their input, four halvings, four
    # doublings, the stems and the head.
    f = 160
    blocks = (
        32 * (6 * 2 * f * f + 6 * 2 * f * 2 * f)
        + 32 * (4 * 2 * f * f + 4 * 2 * f * 2 * f)
        + (15 + 17 + 17 * 2) * 2 * f * f
    )
    assert weights == blocks + 2 * 2 * (6 + 4) * f * f + (6 + 3 + 2) * 4 * f + 100 * f


def test_capabilities_and_completion() -> None:
    model = causal.make("pixelcnnpp", (3, 4, 4), **SMALL)
    for capability in (CanAutoregress, CanComplete, CanLogProb):
        assert isinstance(model, capability)
    x, mask = causal.random_images(model, 3), torch.rand(4, 4) < 0.5
    (done,) = model.complete(x, mask, generator=torch.Generator().manual_seed(1))
    assert torch.equal(done[..., mask], x[..., mask])
    assert not torch.equal(done[..., ~mask], x[..., ~mask])


@pytest.mark.parametrize(
    ("changes", "shape", "sentence"),
    [
        ({}, (3, 30, 30), "cannot be halved 2 times"),
        ({"mixtures": 0}, (3, 32, 32), "at least 1"),
        ({"dropout": 1.0}, (3, 32, 32), "--model.dropout"),
        ({"levels": 1}, (3, 32, 32), "from 2 to 256"),
        ({"conditional": True}, (3, 32, 32), "has none"),
    ],
)
def test_settings_that_cannot_work(changes: dict, shape: tuple, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        PixelCNNPP(PixelCNNPPConfig(**changes), Spec("tiny", shape))
