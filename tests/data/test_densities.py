"""Toy densities: each integrates to one, its samples follow it, and its seed repeats; mode
coverage in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from zeuxis.data.densities import DENSITIES, Curves, Mixture, density, density_of, points
from zeuxis.errors import UsageError
from zeuxis.evaluation.mode_coverage import mode_coverage


def cells(extent: float, side: int) -> tuple[torch.Tensor, float]:
    """Centers (side^2, 2) of the cells of [-extent, extent]^2, row by row along the second axis,
    and a cell's area."""
    step = 2 * extent / side
    axis = (torch.arange(side, dtype=torch.float64) + 0.5) * step - extent
    return torch.cartesian_prod(axis, axis), step**2


@pytest.mark.parametrize("name", DENSITIES)
def test_integrates_to_one(name: str) -> None:
    target = (
        density(name, std=0.1) if name in ("ring", "grid") else density(name)
    )  # cells must be smaller than a standard deviation
    centers, area = cells(target.extent, 220)  # aligned with the squares of the board
    mass = target.log_prob(centers).exp().sum().item() * area
    assert mass == pytest.approx(1, abs=2e-4)


@pytest.mark.parametrize("name", DENSITIES)
def test_samples_follow_the_density(name: str) -> None:
    """Chi-square of 100,000 samples against the integral of the density over coarse cells."""
    target, coarse, fine = (
        density(name, std=0.2) if name in ("ring", "grid") else density(name),
        22,
        10,
    )
    n = 100_000
    centers, area = cells(target.extent, coarse * fine)
    mass = target.log_prob(centers).exp().view(coarse, fine, coarse, fine).sum((1, 3)) * area
    x = target.sample(n, torch.Generator().manual_seed(3)).double()
    index = ((x + target.extent) / (2 * target.extent / coarse)).floor().long()
    assert ((index >= 0) & (index < coarse)).all(1).double().mean() > 0.9999
    index = index.clamp(0, coarse - 1)
    counts = torch.bincount(index[:, 0] * coarse + index[:, 1], minlength=coarse**2).view(
        coarse, coarse
    )
    expected = n * mass
    kept = expected > 10
    chi2 = ((counts - expected)[kept] ** 2 / expected[kept]).sum().item()
    freedom = int(kept.sum()) - 1
    assert abs(chi2 - freedom) < 5 * math.sqrt(2 * freedom), (
        f"chi-square {chi2:.0f} at {freedom} degrees of freedom"
    )
    assert counts[~kept].sum().item() == pytest.approx(expected[~kept].sum().item(), abs=40)


@pytest.mark.parametrize("name", DENSITIES)
def test_seed_and_labels(name: str) -> None:
    a, b, other = points(name, 5000, seed=7), points(name, 5000, seed=7), points(name, 5000, seed=8)
    assert torch.equal(a.x, b.x) and a.y is not None and b.y is not None and torch.equal(a.y, b.y)
    assert not torch.equal(a.x, other.x)
    assert (
        a.x.dtype == torch.float32
        and a.spec.shape == (2,)
        and a.y.unique().tolist() == list(range(a.spec.classes))
    )
    target = density_of(a)
    assert target is not None and target.name == name and target.modes == a.spec.classes


def test_ring_is_the_papers() -> None:
    target = density("ring")
    assert isinstance(target, Mixture) and target.modes == 8 and target.std == 0.02
    assert torch.allclose(target.centers.norm(dim=1), torch.full((8,), 2.0).double())
    data = points("ring", 40_000)
    assert data.y is not None
    deviation = data.x.double() - target.centers[data.y]
    assert deviation.std().item() == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize("name", ["moons", "spiral"])
def test_quadrature_has_converged(name: str) -> None:
    """Twice the nodes give the same density to nine digits near the curve."""
    target = density(name)
    assert isinstance(target, Curves)
    twice = Curves(
        target.name,
        target.modes,
        target.extent,
        target.path,
        target.root,
        target.std,
        2 * target.nodes,
    )
    x = target.sample(2000, torch.Generator().manual_seed(0)).double()
    assert torch.allclose(target.log_prob(x), twice.log_prob(x), rtol=0, atol=1e-9)


def test_pinwheel_untwisted_is_a_mixture() -> None:
    """Without twist and with equal deviations the pinwheel is a ring."""
    wheel, target = (
        density("pinwheel", radial_std=0.3, tangential_std=0.3, twist=1e-12),
        density("ring", modes=5, std=0.3),
    )
    x = target.sample(1000, torch.Generator().manual_seed(0)).double()
    assert torch.allclose(wheel.log_prob(x), target.log_prob(x), atol=1e-8)


def test_mistakes() -> None:
    with pytest.raises(UsageError, match="no density 'rings': the densities are ring, grid"):
        density("rings")
    with pytest.raises(UsageError, match="no setting 'sigma': it takes modes, radius, std"):
        density("ring", sigma=0.1)
    with pytest.raises(UsageError, match="modes=2.5: give a whole number above 0"):
        density("ring", modes=2.5)
    with pytest.raises(UsageError, match="std=-1: give a number above 0"):
        density("ring", std=-1)
    with pytest.raises(UsageError, match="at least one point, got 0"):
        points("ring", 0)


def test_mode_coverage_in_closed_form() -> None:
    centers = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    ideal = (centers.repeat_interleave(50_000, 0) + torch.randn(200_000, 2)).float()
    found = mode_coverage(ideal, centers, 1.0)
    assert (found.hit, found.reached, found.modes, found.samples) == (4, 4, 4, 200_000)
    assert found.good == pytest.approx(1 - math.exp(-4.5), abs=1e-3)
    assert found.good4 == pytest.approx(1 - math.exp(-8), abs=3e-4)
    assert found.kl == pytest.approx(0, abs=1e-4) and found.reverse_kl == pytest.approx(0, abs=1e-4)

    half = mode_coverage(centers[:2], centers, 1.0)
    assert (half.hit, half.least, half.reverse_kl) == (2, 0.0, math.inf)
    assert half.kl == pytest.approx(math.log(2))

    shares = torch.tensor([5, 3, 1, 1])
    uneven = mode_coverage(centers.repeat_interleave(shares, 0), centers, 1.0)
    q = shares / 10
    assert uneven.kl == pytest.approx((q * (4 * q).log()).sum().item(), rel=1e-5)
    assert uneven.reverse_kl == pytest.approx(-(4 * q).log().mean().item(), rel=1e-5)
    assert uneven.least == pytest.approx(0.4)


def test_a_stray_sample_does_not_make_a_mode() -> None:
    centers = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    found = mode_coverage(torch.cat([centers[:1].repeat(999, 1), centers[1:]]), centers, 1.0)
    assert (found.hit, found.reached) == (1, 2)


def test_a_fog_hits_no_mode() -> None:
    """Some points of a wide Gaussian fall near every center by chance; that is not coverage."""
    target = density("ring")
    assert isinstance(target, Mixture)
    fog = mode_coverage(torch.randn(100_000, 2), target.centers, target.std)
    assert (fog.hit, fog.reached) == (0, 8) and fog.good < 0.01


def test_mode_coverage_without_a_good_sample_and_mistakes() -> None:
    centers = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    lost = mode_coverage(torch.full((10, 2), 5.0), centers, 0.1)
    assert (lost.hit, lost.good, lost.least) == (0, 0.0, 0.0) and math.isnan(lost.kl)
    with pytest.raises(UsageError, match="needs samples and centers, got 0 and 2"):
        mode_coverage(torch.zeros(0, 2), centers, 0.1)
    with pytest.raises(UsageError, match="std 0.0 .* give numbers above 0"):
        mode_coverage(centers, centers, 0.0)
