"""Shared posteriors of a group, and what a mirrored image says of its latents."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal

from zeuxis.data.faces import FACE_FACTORS, drawn, render
from zeuxis.vae.clamping import active_units
from zeuxis.vae.group_posteriors import moving, share, share_in_pairs, shared_posterior
from zeuxis.vae.mirror import mirror_loss, mirror_signs


def posteriors(groups: int = 3, images: int = 4, latent: int = 5) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    shape = (groups, images, latent)
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))


def test_the_product_is_that_of_the_densities() -> None:
    """On a grid, the normalized product of the images' densities."""
    mean, log_variance = posteriors(1, 3, 1)
    grid = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    log_density = Normal(mean[0], (log_variance[0] / 2).exp()).log_prob(grid).sum(0)
    density = log_density.softmax(0)
    center = (density * grid).sum()
    spread = (density * (grid - center).square()).sum()
    found_mean, found_log_variance = shared_posterior(mean, log_variance, "product")
    assert found_mean.item() == pytest.approx(center.item(), abs=1e-6)
    assert found_log_variance.exp().item() == pytest.approx(spread.item(), rel=1e-6)


def test_a_group_of_equal_posteriors_is_one_of_them_or_sharper() -> None:
    mean, log_variance = (part[:, :1].expand(-1, 4, -1) for part in posteriors())
    averaged = shared_posterior(mean, log_variance, "mean")
    torch.testing.assert_close(averaged, (mean[:, :1], log_variance[:, :1]))
    product = shared_posterior(mean, log_variance, "product")
    four = torch.log(torch.tensor(4.0, dtype=torch.float64))
    torch.testing.assert_close(product, (mean[:, :1], log_variance[:, :1] - four))


@pytest.mark.parametrize("rule", ["mean", "product"])
def test_active_units_keep_their_posterior_and_others_share_one(rule: str) -> None:
    mean, log_variance = posteriors()
    active = active_units(torch.tensor([0, 1, 2]), 2, 5)
    new_mean, new_log_variance, charge = share(mean, log_variance, active, rule)  # type: ignore[arg-type]
    keep = active.expand_as(mean)
    for new, old in ((new_mean, mean), (new_log_variance, log_variance)):
        assert torch.equal(new[keep], old[keep])
        assert (new - new[:, :1]).masked_fill(keep, 0).abs().max() == 0
    units = charge.sum(1)
    expected = torch.where(active[:, 0], 4.0, 1.0).to(units)
    torch.testing.assert_close(units, expected)


def test_the_order_of_a_group_does_not_matter() -> None:
    mean, log_variance = posteriors()
    order = torch.tensor([2, 0, 3, 1])
    for rule in ("mean", "product"):
        one = shared_posterior(mean, log_variance, rule)  # type: ignore[arg-type]
        other = shared_posterior(mean[:, order], log_variance[:, order], rule)  # type: ignore[arg-type]
        torch.testing.assert_close(one, other)


def test_pairs_share_what_does_not_differ() -> None:
    mean, log_variance = torch.zeros(2, 4, 3), torch.zeros(2, 4, 3)
    mean[:, 1::2, 1] = 2.0
    mean[:, :, 0] = torch.tensor([0.0, 0.1, 5.0, 5.1])
    found, _, charge = share_in_pairs(mean, log_variance)
    assert torch.allclose(found[0, :, 0], torch.tensor([0.05, 0.05, 5.05, 5.05]))
    assert torch.equal(found[..., 1], mean[..., 1])
    assert charge[0, 0].tolist() == [0.5, 1.0, 0.5]
    pairs = mean.view(-1, 2, 3)
    assert moving(pairs, torch.zeros_like(pairs))[:, 0].tolist() == 4 * [[False, True, False]]


def test_the_mirror_loss_vanishes_for_codes_that_are_the_factors() -> None:
    """An encoder that looks factors up satisfies it; one that folds the azimuth does not."""
    known, identity = drawn(torch.arange(20).numpy(), 4, smiling=True)
    signs = mirror_signs(FACE_FACTORS, ("azimuth", "lighting"), 5)
    assert signs.tolist() == [-1, 1, -1, 1, 1]
    x = render(known, identity).float()
    mirrored = render(known * signs, identity).float()
    assert (x.flip(3) - mirrored).abs().max() <= 1
    folded = known.clone()
    folded[:, 0] = known[:, 0].abs()
    folded_mirror = known * signs
    folded_mirror[:, 0] = known[:, 0].abs()
    loss = mirror_loss(lambda _: known * signs, x, known, signs)
    assert loss.max() == 0
    loss = mirror_loss(lambda _: folded_mirror, x, folded, signs)
    torch.testing.assert_close(loss, 2 * known[:, 0].square())
