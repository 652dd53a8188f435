"""The GAN of the plane: whose gradients flow, what is penalized, and that all modes are covered."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from zeuxis.capabilities import CanDecode, CanSample
from zeuxis.checkpoints.weights import build
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.data.densities import Mixture, density, points
from zeuxis.errors import UsageError
from zeuxis.evaluation.mode_coverage import ModeCoverage, mode_coverage
from zeuxis.gan.planar import PLAIN, PlanarConfig, PlanarGAN
from zeuxis.model import Batch
from zeuxis.noise import Noise
from zeuxis.training.loop import TrainingConfig, fit
from zeuxis.visual.density import DensityPicture

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


@pytest.mark.slow
def test_a_tenth_of_the_training_finds_all_modes() -> None:
    found = covered(0, PlanarConfig(), replace(RECIPE, images=40_000))
    assert found.hit == 8 and found.least > 0.1 and found.good > 0.1, found


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_all_modes_of_the_ring(seed: int) -> None:
    found = covered(seed, PlanarConfig(), RECIPE)
    assert found.hit == 8 and found.good > 0.9 and found.kl < 0.05, found


@pytest.mark.slow
def test_plain_settings_lose_modes() -> None:
    found = [
        covered(seed, PLAIN, replace(RECIPE, average=0, schedule="constant")) for seed in range(3)
    ]
    assert min(one.hit for one in found) < 8 and all(
        one.good < 0.9 or one.kl > 0.05 for one in found
    ), found
