"""The particle filter against posteriors by enumeration, and what it returns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import causal
import tiny
from zeuxis.applications.restoration.autoregressive import (
    completion,
    effective,
    expectation,
    particle_filter,
    resampled,
)
from zeuxis.applications.restoration.operators import Average, Identity, Mask, Operator
from zeuxis.applications.restoration.restore import choose
from zeuxis.errors import UsageError

SMALL = {"channels": 7, "layers": 1, "head_channels": 8}
PIXEL = {"first_kernel": 7, **SMALL}
SEEN = torch.tensor([[False, True, False], [True, False, True], [False, False, True]])


def counted(images: Tensor, shape: tuple[int, int, int]) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for row in images.byte().reshape(-1, shape[0] * shape[1] * shape[2]).numpy():
        key = row.tobytes()
        found[key] = found.get(key, 0) + 1
    return found


def variation(samples: Tensor, images: Tensor, p: Tensor) -> float:
    """Total variation between the samples' frequencies and probabilities of all images."""
    shape = tuple(images.shape[1:])
    counts = counted(samples, shape)  # type: ignore[arg-type]
    n = sum(counts.values())
    keys = [row.tobytes() for row in images.flatten(1).numpy()]
    shares = torch.tensor([counts.get(key, 0) / n for key in keys], dtype=torch.float64)
    assert shares.sum() == pytest.approx(1)
    return 0.5 * float((shares - p).abs().sum())


def posterior(model, images: Tensor, log_g: Tensor) -> Tensor:
    """p(x | y) of every image."""
    return (model.log_prob(images).nats + log_g).softmax(0)


def gaussian(images: Tensor, y: Tensor, operator: Operator, variance: Tensor | float) -> Tensor:
    error = (operator.forward(images.double()) - y.double()).square() / variance
    return -0.5 * error.flatten(1).sum(1)


def run(model, y: Tensor, operator: Operator, sigma: float, n: int = 20_000, **more) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return particle_filter(model, y, operator, sigma, n=n, generator=generator, **more)[:, 0]


def noisy(shape: tuple[int, ...], seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 255 * torch.rand((1, *shape), generator=generator)


@pytest.mark.parametrize(
    ("name", "shape", "levels"),
    [("pixelcnn", (1, 3, 3), 2), ("pixelrnn", (1, 2, 3), 2), ("pixelcnn", (2, 1, 2), 3)],
)
def test_denoised_samples_follow_the_posterior(name: str, shape: tuple, levels: int) -> None:
    model = causal.make(name, shape, levels=levels, seed=2, **PIXEL)
    images, y = causal.all_images(shape, levels), noisy(shape)
    p = posterior(model, images, gaussian(images, y, Identity(), 120.0**2))
    prior = model.log_prob(images).nats.exp()
    assert 0.5 * (p - prior).abs().sum() > 0.2, "y that says nothing shows little"
    assert variation(run(model, y, Identity(), 120.0), images, p) < 0.05


def test_inpainted_samples_follow_the_posterior() -> None:
    model = causal.make("pixelcnn", (1, 3, 3), seed=2, **PIXEL)
    images, x = causal.all_images((1, 3, 3), 2), noisy((1, 3, 3)).round().gt(127) * 255.0
    fits = (images == x)[:, 0][:, SEEN].all(1)
    p = posterior(model, images, torch.where(fits, 0.0, -torch.inf).double())
    operator = Mask(SEEN)
    assert variation(run(model, operator.forward(x), operator, 0.0), images, p) < 0.05


@pytest.mark.slow
def test_gray_pixels_are_probabilities_to_a_binary_model() -> None:
    """Seen pixels are drawn with their brightness as probability, and the rest given these."""
    model, seen = causal.make("pixelcnn", (1, 2, 3), seed=2, **PIXEL), SEEN[:2]
    images, b = causal.all_images((1, 2, 3), 2), noisy((1, 2, 3)).round()
    bright = torch.where(images > 0, b, 255 - b).double() / 255
    drawn = torch.where(seen, bright, 1.0).flatten(1).prod(1)
    shown = (images * seen).flatten(1)
    same = (shown[:, None] == shown[None]).all(2).double()
    joint = model.log_prob(images).nats.exp()
    p = drawn * joint / (same @ joint)
    assert p.sum().item() == pytest.approx(1)
    operator, n = Mask(seen), 8000
    found = run(model, operator.forward(b), operator, 0.0, n, particles=24 * n)
    assert variation(found, images, p) < 0.05


@pytest.mark.parametrize(
    ("shape", "levels", "sigma"),
    [((1, 2, 4), 2, 40.0), ((1, 2, 4), 2, 0.0), ((2, 2, 2), 2, 40.0), ((1, 2, 2), 3, 25.0)],
)
def test_enlarged_samples_follow_the_posterior(shape: tuple, levels: int, sigma: float) -> None:
    model = causal.make("pixelcnn", shape, levels=levels, seed=2, **PIXEL)
    images, operator = causal.all_images(shape, levels), Average(2)
    y = torch.tensor([100.0, 60.0])[: shape[0] * shape[2] // 2].view(1, shape[0], 1, -1)
    variance = torch.full_like(y, max(sigma**2, 1 / 12)).double()
    if levels == 2 and not sigma:  # a block of gray pixels, drawn binary
        variance += y * (255 - y) / 4
    p = posterior(model, images, gaussian(images, y, operator, variance))
    assert variation(run(model, y, operator, sigma), images, p) < 0.05


def test_hidden_values_that_come_last_are_drawn_exactly_and_once_each() -> None:
    model = causal.make("pixelcnn", (1, 3, 3), seed=2, **PIXEL)
    images, x = causal.all_images((1, 3, 3), 2), noisy((1, 3, 3)).gt(127) * 255.0
    seen = torch.arange(9).view(3, 3) < 4
    fits = (images == x)[:, 0][:, seen].all(1)
    p = posterior(model, images, torch.where(fits, 0.0, -torch.inf).double())
    operator = Mask(seen)
    found = run(model, operator.forward(x), operator, 0.0, particles=1)
    assert variation(found, images, p) < 0.05
    # Independent samples: runs of equal neighbors are as frequent as chance says.
    same = (found[1:] == found[:-1]).flatten(1).all(1).double().mean().item()
    assert same == pytest.approx(float(p.square().sum()), abs=0.02)


@pytest.mark.slow
def test_sweeps_correct_what_one_particle_gets_wrong() -> None:
    model = causal.make("pixelcnn", (1, 2, 3), seed=2, **PIXEL)
    for p in model.parameters():
        p.mul_(1.3)
    images, y = causal.all_images((1, 2, 3), 2), noisy((1, 2, 3), 4)
    for operator, given, sigma in (
        (Identity(), y, 120.0),
        (Mask(SEEN[:2]), Mask(SEEN[:2]).forward(y.gt(127) * 255.0), 0.0),
    ):
        log_g = gaussian(images, given, operator, sigma**2 if sigma else 1e-3)
        p, many = posterior(model, images, log_g), given.expand(2000, -1, -1, -1)
        for sweeps, low, high in ((0, 0.1, 1.0), (6, 0.0, 0.06)):
            seed = torch.Generator().manual_seed(1)
            x = particle_filter(
                model, many, operator, sigma, n=1, generator=seed, particles=1, sweeps=sweeps
            )
            assert low <= variation(x[0], images, p) < high


def test_images_do_not_mix_and_a_seed_repeats() -> None:
    model = causal.make("pixelcnn", (1, 4, 4), levels=4, **PIXEL)
    x = causal.random_images(model, 5)
    mask = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    operator = Mask(mask)
    y = operator.forward(x.float())
    first, second = (
        particle_filter(
            model, y, operator, 0.0, n=3, generator=torch.Generator().manual_seed(7), particles=8
        )
        for _ in range(2)
    )
    assert torch.equal(first, second)
    assert first.shape == (3, 5, 1, 4, 4)
    assert torch.equal(operator.forward(first), y.expand_as(first))


def test_systematic_resampling_keeps_shares() -> None:
    log_w = torch.tensor([[0.5, 0.25, 0.125, 0.125]], dtype=torch.float64).log()
    rows = resampled(log_w, 8, torch.Generator().manual_seed(0))
    assert torch.bincount(rows[0]).tolist() == [4, 2, 1, 1]
    assert effective(log_w).item() == pytest.approx(1 / (0.25 + 0.0625 + 2 / 64))
    assert effective(torch.zeros(1, 6)).item() == pytest.approx(6)


def test_completing_models_restore_masks_only() -> None:
    model = tiny.model("order-agnostic").eval()
    x = torch.randint(0, 256, (2, 1, 8, 8)).float()
    operator, seed = Mask(torch.eye(8) > 0), torch.Generator().manual_seed(0)
    y = operator.forward(x)
    found = completion(model, y, operator, 0.0, n=3, generator=seed)
    assert found.shape == (3, 2, 1, 8, 8)
    assert torch.equal(operator.forward(found), y.expand_as(found))
    assert torch.equal(operator.forward(expectation(model, y, operator, 0.0)), y)
    assert choose(model, "inpaint")[0] == "completion"
    assert choose(tiny.model("pixelcnn"), "denoise")[0] == "particles"
    for wrong, sigma in ((Identity(), 10.0), (operator, 10.0)):
        with pytest.raises(UsageError, match="use Mask and sigma 0"):
            completion(model, y, wrong, sigma, n=1, generator=seed)


def test_refusals() -> None:
    model = causal.make("pixelcnn", (1, 4, 4), **SMALL)
    y, seed = torch.zeros(1, 1, 4, 4), torch.Generator()
    with pytest.raises(UsageError, match="at least one sample"):
        particle_filter(model, y, Identity(), 1.0, n=0, generator=seed)
    conditional = causal.make(
        "pixelcnn", (1, 4, 4), 3, architecture="gated", conditional=True, **SMALL
    )
    with pytest.raises(UsageError, match="without classes"):
        particle_filter(conditional, y, Identity(), 1.0, n=1, generator=seed)
