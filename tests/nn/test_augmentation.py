"""Movements of images, read off images whose pixels say where they are."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zeuxis.nn.augmentation import random_elastic, random_flip, random_shift
from zeuxis.noise import Noise

SIDE = 28
CENTERS = (2 * torch.arange(SIDE) + 1) / SIDE - 1


def noise(n: int, step: int = 0, rows: slice | None = None) -> Noise:
    return Noise(0, step, rows or slice(0, n), n)


def sources(n: int, strength: float = 1.0) -> tuple[Tensor, Tensor]:
    """From where in the image each pixel was taken, (n, 2, side, side), and whether that lies
    inside, (n, side, side)."""
    down, across = torch.meshgrid(CENTERS, CENTERS, indexing="ij")
    places = torch.stack([across, down]).expand(n, -1, -1, -1)
    found = random_elastic(places, strength, noise(n))
    return found, (found.abs() < 0.95).all(1)


def affine(n: int, strength: float = 1.0) -> tuple[Tensor, Tensor]:
    """The affine map nearest to each movement, (n, 2, 2), and what the movement adds to it, (n, 2,
    side, side)."""
    found, inside = sources(n, strength)
    down, across = torch.meshgrid(CENTERS, CENTERS, indexing="ij")
    design = torch.stack([across, down, torch.ones_like(down)], -1).flatten(0, 1)
    matrices, rests = [], []
    for places, known in zip(found.flatten(2), inside.flatten(1), strict=True):
        solution = torch.linalg.lstsq(design[known], places.T[known]).solution
        matrices.append(solution[:2].T)
        rests.append((places.T - design @ solution).T.view(2, SIDE, SIDE) * known.view(SIDE, SIDE))
    return torch.stack(matrices), torch.stack(rests)


def uniform(limit: float) -> object:
    """The standard deviation of a number uniform between minus and plus this limit, as 400 of them
    and a little bend show it."""
    return pytest.approx(limit / math.sqrt(3), rel=0.15)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_images_are_turned_slanted_and_scaled_each_way(strength: float) -> None:
    matrices, _ = affine(400, strength)
    first, second = matrices.unbind(2)
    angle, wide = torch.atan2(first[:, 1], first[:, 0]), first.norm(dim=1).log()
    slant = (first * second).sum(1) / first.norm(dim=1)
    high = torch.linalg.det(matrices).log() - wide
    for value, limit in ((angle, 0.35), (slant, 0.4), (wide, 0.2), (high, 0.2)):
        assert value.std().item() == uniform(strength * limit)
        assert value.mean().abs() < 4 * strength * limit / math.sqrt(3 * 400)
    assert (
        torch.corrcoef(torch.stack([angle, slant, wide, high])).fill_diagonal_(0).abs().max() < 0.25
    )


def test_images_of_a_batch_are_bent_each_otherwise() -> None:
    _, rest = affine(200)
    size = rest.square().mean((1, 2, 3)).sqrt()
    assert size.min() > 0.01 and size.mean() == pytest.approx(
        0.055, abs=0.02
    )  # a little less than a pixel of 2 / 28
    alike = torch.corrcoef(rest.flatten(1)).fill_diagonal_(0)
    assert alike.mean().abs() < 0.05, "images are bent alike"
    assert torch.corrcoef(rest.flatten(2).transpose(0, 1).flatten(1))[0, 1].abs() < 0.05, (
        "across as down"
    )


def test_a_bend_is_smooth() -> None:
    _, rest = affine(50)
    inside = rest[:, :, 8:20, 8:20]
    step = inside.diff(dim=3).square().mean().sqrt()
    assert step < 0.25 * inside.square().mean().sqrt(), "neighboring pixels part"


def test_a_movement_follows_its_noise_and_splits_over_processes() -> None:
    x = torch.rand(6, 1, SIDE, SIDE)
    whole = random_elastic(x, 1.0, noise(6))
    assert torch.equal(whole, random_elastic(x, 1.0, noise(6)))
    assert not torch.allclose(whole, random_elastic(x, 1.0, noise(6, step=6)))
    halves = [
        random_elastic(x[rows], 1.0, noise(6, rows=rows)) for rows in (slice(0, 3), slice(3, 6))
    ]
    torch.testing.assert_close(torch.cat(halves), whole)


def test_beyond_its_edge_an_images_rim_goes_on() -> None:
    torch.testing.assert_close(
        random_elastic(torch.ones(20, 1, SIDE, SIDE), 1.0, noise(20)), torch.ones(20, 1, SIDE, SIDE)
    )


def test_a_movement_is_differentiable() -> None:
    x = torch.rand(2, 1, 6, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(2, 1, 6, 6, dtype=torch.float64)
    slope = torch.autograd.grad((random_elastic(x, 1.0, noise(2)) * weight).sum(), x)[0]
    direction = torch.rand_like(x)
    ahead, behind = (random_elastic(x + sign * 1e-4 * direction, 1.0, noise(2)) for sign in (1, -1))
    assert (((ahead - behind) * weight).sum() / 2e-4).item() == pytest.approx(
        (slope * direction).sum().item(), rel=1e-6
    )


def test_whole_images_are_mirrored_left_to_right_with_even_chances() -> None:
    x = torch.rand(400, 3, 5, 6)
    y = random_flip(x, noise(400))
    turned = (y == x.flip(3)).flatten(1).all(1)
    assert torch.equal(y[~turned], x[~turned]) and 150 < int(turned.sum()) < 250


def test_shifts_move_whole_images_and_repeat_the_border() -> None:
    down, across = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    x = torch.stack([down, across]).byte().expand(400, -1, -1, -1)
    moved = random_shift(x, 2, noise(400)).int()
    shifts = moved[:, :, 14, 14] - 14
    for axis in range(2):
        assert shifts[:, axis].unique().tolist() == [-2, -1, 0, 1, 2]
        expected = (torch.arange(SIDE) + shifts[:, axis, None]).clamp(0, SIDE - 1)
        got = moved[:, 0, :, 14] if axis == 0 else moved[:, 1, 14]
        assert torch.equal(got.long(), expected)
    assert random_shift(x, 0, noise(400)) is x
