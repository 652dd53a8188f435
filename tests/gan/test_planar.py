"""The GAN of the plane and its picture: whose gradients flow, what is penalized, that all modes are
covered, and honest divergences."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from zeuxis.capabilities import CanDecode, CanSample
from zeuxis.checkpoints.weights import build
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.data.densities import Density, Mixture, density, points
from zeuxis.errors import UsageError
from zeuxis.evaluation.mode_coverage import ModeCoverage, mode_coverage
from zeuxis.gan.planar import PLAIN, PlanarConfig, PlanarGAN
from zeuxis.model import Batch, Model
from zeuxis.noise import Noise
from zeuxis.training.loop import TrainingConfig, fit
from zeuxis.visual.density import DensityPicture, Square, compare, divergences, smooth

SPEC = Spec("ring", (2,), 8)
RECIPE = TrainingConfig(
    images=384_000, batch=128, average=10_000, schedule="linear", threads=1, log_every=10**9, film=0
)


def batch(n: int = 32) -> Batch:
    x, y = points("ring", n).batch(torch.arange(n))
    return Batch(x, y, Noise(0, 0, slice(0, n), n))


def losses(config: PlanarConfig) -> dict[str, Tensor]:
    return dict(build("planar", config, SPEC, 0).play(batch()))


@pytest.mark.parametrize("penalty", [0.0, 0.1])
def test_gradients_reach_the_yielding_player_only(penalty: float) -> None:
    model = PlanarGAN(PlanarConfig(r1=penalty, r2=penalty), SPEC)
    for player, loss in model.play(batch()):
        loss.backward()
        for name, p in model.named_parameters():
            if name.startswith(player):
                assert p.grad is not None and p.grad.abs().sum() > 0, name
            else:
                assert p.grad is None, f"{player} moves {name}"
        model.zero_grad(set_to_none=True)


def test_losses_are_the_formulas() -> None:
    config = PlanarConfig(r1=0.0, r2=0.0)
    model, given = build("planar", config, SPEC, 0), batch()
    assert isinstance(model, PlanarGAN)
    noise = Noise(0, 0, slice(0, 32), 32)
    fakes = [model.generator(noise.normal(2)) for _ in range(2)]
    a, b = model.discriminator(given.x)[:, 0], [model.discriminator(fake)[:, 0] for fake in fakes]
    values = losses(config)
    discriminator = -a.sigmoid().log().mean() - (1 - b[0].sigmoid()).log().mean()
    assert values["discriminator"].item() == pytest.approx(discriminator.item(), rel=1e-5)
    generator = -b[1].sigmoid().log().mean()
    assert values["generator"].item() == pytest.approx(generator.item(), rel=1e-5)


def test_penalties_are_half_the_squared_slope() -> None:
    """Against finite differences of the discriminator, at data and at samples."""
    free = losses(PlanarConfig(r1=0, r2=0))["discriminator"]
    model, given = build("planar", PlanarConfig(), SPEC, 0).double(), batch()
    assert isinstance(model, PlanarGAN)
    fake = model.generator(given.noise.normal(2).double())
    for x, config in ((given.x.double(), {"r1": 0.7, "r2": 0.0}), (fake, {"r1": 0.0, "r2": 0.7})):
        slope = [
            (model.discriminator(x + h) - model.discriminator(x - h))[:, 0] / 2e-6
            for h in 1e-6 * torch.eye(2).double()
        ]
        expected = 0.35 * torch.stack(slope).square().sum(0).mean().item()
        found = losses(PlanarConfig(**config))["discriminator"] - free
        assert found.item() == pytest.approx(expected, rel=1e-3)


def test_full_precision_inside_autocast() -> None:
    model = build("planar", PlanarConfig(), SPEC, 0)
    outside = dict(model.play(batch()))
    with torch.autocast("cpu", torch.bfloat16):
        inside = dict(model.play(batch()))
    for player in outside:
        assert torch.equal(inside[player], outside[player])
        assert inside[player].dtype == torch.float32


def test_begins_as_the_identity() -> None:
    model = build("planar", PlanarConfig(), SPEC, 0)
    assert isinstance(model, CanDecode)
    z = torch.randn(5000, 2)
    z = z[z.norm(dim=1) < 2]
    assert (model.decode(z) - z).norm(dim=1).mean() < 0.15
    wide = build("planar", PlanarConfig(latent_dim=16), SPEC, 0)
    assert isinstance(wide, CanSample) and 0.5 < wide.sample(2000).std().item() < 1.5


def test_mistakes() -> None:
    with pytest.raises(UsageError, match=r"makes points, and 'mnist' has shape \(1, 28, 28\)"):
        PlanarGAN(PlanarConfig(), Spec("mnist", (1, 28, 28)))
    with pytest.raises(UsageError, match="--model.width must be at least 1, got 0"):
        PlanarGAN(PlanarConfig(width=0), SPEC)
    with pytest.raises(UsageError, match="--model.r1 must be at least 0, got -1"):
        PlanarGAN(PlanarConfig(r1=-1), SPEC)
    with pytest.raises(UsageError, match=r"points in the plane; 'images' has shape \(1, 2, 2\)"):
        DensityPicture(
            Dataset(Spec("images", (1, 2, 2)), torch.zeros(1, 1, 2, 2, dtype=torch.uint8)), 10
        )


def covered(seed: int, config: PlanarConfig, training: TrainingConfig) -> ModeCoverage:
    data, target = points("ring"), density("ring")
    assert isinstance(target, Mixture)
    result = fit(
        build("planar", config, data.spec, seed),
        data,
        training=replace(training, seed=seed),
        quiet=True,
    )
    assert isinstance(result.model, CanSample)
    return mode_coverage(
        result.model.sample(20_000, generator=torch.Generator().manual_seed(1)),
        target.centers,
        target.std,
    )


def test_a_tenth_of_the_training_finds_all_modes() -> None:
    found = covered(0, PlanarConfig(), replace(RECIPE, images=40_000))
    assert found.hit == 8 and found.least > 0.1 and found.good > 0.1, found


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(5))
def test_all_modes_of_the_ring(seed: int) -> None:
    found = covered(seed, PlanarConfig(), RECIPE)
    assert found.hit == 8 and found.good > 0.9 and found.kl < 0.05, found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_plain_settings_lose_modes() -> None:
    found = [
        covered(seed, PLAIN, replace(RECIPE, average=0, schedule="constant")) for seed in range(3)
    ]
    assert min(one.hit for one in found) < 8 and all(
        one.good < 0.9 or one.kl > 0.05 for one in found
    ), found


@pytest.mark.parametrize("name", ["ring", "moons", "checkerboard"])
def test_divergences_see_the_same_and_another(name: str) -> None:
    target = density(name)
    same = divergences(target.sample(200_000, torch.Generator().manual_seed(0)), target)
    assert (
        max(same.kl, same.reverse_kl, same.js) < 0.05
        and min(same.kl, same.reverse_kl, same.js) >= 0
    )
    other = divergences(torch.randn(200_000, 2), target)
    assert other.kl > 5 * same.kl and other.js > 5 * same.js and other.js < math.log(2)


def test_divergence_of_gaussians_in_closed_form() -> None:
    """KL of N(0, s^2 + h^2) to the same Gaussian moved by d is d^2 / 2(s^2 + h^2), h the blur."""
    target, moved = density("ring", modes=1, radius=1e-9, std=1.0), 0.5
    square = Square((0.0, 0.0), 6.0)
    x = target.sample(2_000_000, torch.Generator().manual_seed(0)) + torch.tensor([moved, 0.0])
    found = divergences(x, target, square)
    expected = moved**2 / 2 / (1 + (2.0 * square.step) ** 2)
    assert found.kl == pytest.approx(expected, rel=0.1)
    assert found.reverse_kl == pytest.approx(expected, rel=0.1)
    missing = compare(square.exact(target), square.histogram(torch.full((10, 2), 50.0)))
    assert math.isfinite(missing.kl) and missing.js == pytest.approx(math.log(2), rel=0.02)


def test_histogram_and_blur_keep_every_point() -> None:
    square = Square((1.0, -1.0), 2.0, 8)
    x = torch.tensor([[1.0, -1.0], [-0.9, 0.9], [100.0, -1.1], [float("nan"), 0.0]])
    counts = square.histogram(x) * 4
    assert counts.sum() == 4 and counts[0, 0] == 1  # the top left corner is small x and large y
    assert counts[4, 7] == 1  # far to the right: the edge
    assert np.allclose(smooth(counts, 1.5).sum(), 4)
    middle = square.histogram(square.centers())
    assert np.allclose(middle, 1 / 64)


class Sampler(Model):
    """The target's own sampler, moved."""

    def __init__(self, target: Density, shift: float) -> None:
        super().__init__(None, Spec(target.name, (2,)))
        self.target, self.shift = target, shift

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        return self.target.sample(n, generator) + self.shift


def test_picture_shows_blue_green_and_both() -> None:
    data, target = points("ring", 1000), density("ring")
    draw = DensityPicture(data, 100)
    column, row = draw.square.pixels(torch.tensor([[2.0, 0.0]]))[0].astype(
        int
    )  # the middle of a mode
    right = np.asarray(draw(Sampler(target, 0.0), 50)).astype(int)
    wrong = np.asarray(draw(Sampler(target, 0.3), 100)).astype(int)
    assert right.shape == (480, 720, 3)
    assert right[row, column, 1] > 200 and right[row, column, 2] > 200  # both lights
    assert wrong[row, column, 1] < 160 < 200 < wrong[row, column, 2]  # the data's blue alone
    up = round(0.3 / draw.square.step)
    assert (
        wrong[row - up, column + up, 1] > 200 > 180 > wrong[row - up, column + up, 2]
    )  # the model's green alone
    (_, near, _), (_, far, js) = draw.curve
    assert near < 0.05 and far > 3 and js > 0.6


def test_curve_is_resumed_and_rewound() -> None:
    data = points("ring", 1000)
    model = build("planar", PlanarConfig(), data.spec, 0)
    draw = DensityPicture(data, 300, samples=2000)
    frames = [draw(model, images) for images in (0, 100, 200)]
    again = DensityPicture(data, 300, samples=2000)
    again.restore(json.loads(json.dumps(draw.state())))
    assert again.curve == draw.curve and len(again.curve) == 3
    repeated = again(model, 200)  # the frame after the last save is drawn again
    assert [point[0] for point in again.curve] == [0, 100, 200]
    assert np.array_equal(np.asarray(repeated), np.asarray(frames[-1]))


def test_points_without_a_density_are_drawn_from_themselves() -> None:
    x = torch.randn(5000, 2) * 3 + 40
    data = Dataset(Spec("mine", (2,)), x)
    draw = DensityPicture(data, 10, samples=2000)
    assert draw.target is None and draw.p.sum() == pytest.approx(1)
    assert draw.square.center[0] == pytest.approx(40, abs=3)
    draw(build("planar", PlanarConfig(latent_dim=3), data.spec, 0), 0)
    assert math.isfinite(draw.curve[0][1]) and draw.curve[0][2] > 0.5
