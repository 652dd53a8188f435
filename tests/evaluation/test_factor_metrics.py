"""Measures of how latents follow known factors: their values where these are known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zeuxis.errors import UsageError
from zeuxis.evaluation.disentanglement import spearman
from zeuxis.evaluation.factor_metrics import (
    exchange_gain,
    leak,
    own_latents,
    ridge_read_out,
    sides,
    sweep_distance,
    within_groups,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_own_latents_undo_any_order_scale_and_sign(seed: int, q: int) -> None:
    v = random(200, q, seed=seed)
    order = torch.randperm(q + 2, generator=torch.Generator().manual_seed(seed))
    scale = random(q + 2, seed=seed + 1)
    z = (torch.cat([v, random(200, 2, seed=seed + 2)], 1) * scale)[:, order]
    own = own_latents(spearman(z, v).abs())
    assert order[own].tolist() == list(range(q))
    table = spearman(z, v)
    assert table[own, torch.arange(q)].abs().min() > 0.999


def test_each_factor_gets_another_latent_and_too_few_are_refused() -> None:
    table = torch.tensor([[0.9, 0.9, 0.9], [0.1, 0.2, 0.3], [0.1, 0.1, 0.2]])
    assert sorted(own_latents(table).tolist()) == [0, 1, 2]
    with pytest.raises(UsageError, match="2 latents cannot each belong to one of 3 factors"):
        own_latents(table[:2])


def test_a_leak_is_that_of_the_strongest_other_latent() -> None:
    table = torch.tensor([[0.9, 0.1], [-0.7, 0.2], [0.3, 0.8]], dtype=torch.float64)
    assert leak(table, torch.tensor([0, 2])).tolist() == [0.7, 0.2]
    assert leak(table[:1, :1], torch.tensor([0])).tolist() == [0.0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_offsets_and_signs_of_groups_do_not_change_correlations_within_them(seed: int) -> None:
    factor = random(6, 9, seed=seed)
    sign = random(6, 1, seed=seed + 1).sign()
    latent = sign * factor.exp() + 100 * random(6, 1, seed=seed + 2)
    assert within_groups(latent, factor) == pytest.approx(1)
    noise = within_groups(random(6, 9, seed=seed + 3), factor)
    assert 0 <= noise < 1
    pooled = spearman(latent.flatten()[:, None], factor.flatten()[:, None]).abs().item()
    assert pooled < 0.9


def test_a_fold_shows_in_its_sides() -> None:
    v = random(2_000)
    folded = torch.where(v < 0, v + 3, v - 3)
    left, right, absolute = sides(folded, v)
    assert left == pytest.approx(1) and right == pytest.approx(1)
    assert spearman(folded[:, None], v[:, None]).abs() < 0.6
    assert abs(sides(v, v)[2]) < 0.1 and sides(v.abs(), v)[2] == pytest.approx(1)
    assert abs(absolute) < 0.1
    assert sides(v[:1], v[:1]) == (0.0, 0.0, 0.0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_a_read_out_does_not_depend_on_scale_and_offset(seed: int) -> None:
    z = random(400, 4, seed=seed)
    noise = 0.5 * random(400, 2, seed=seed + 1)
    v = z[:, :2] + noise
    share = ridge_read_out(z, v)
    torch.testing.assert_close(ridge_read_out(z * 7 - 3, v * 2 + 1), share)
    assert (share - 0.8).abs().max() < 0.12, "1 / 1.25 of the variance"


def test_nothing_is_read_out_of_noise_or_nothing() -> None:
    v = random(2_000, 3)
    assert ridge_read_out(random(2_000, 20, seed=1), v).abs().max() < 0.05
    assert ridge_read_out(torch.zeros(2_000, 0), v).abs().max() < 0.01
    assert ridge_read_out(torch.ones(2_000, 1), v).abs().max() < 0.01


def test_gain_of_a_half_way_change() -> None:
    before, truth = random(5, 3, 3), random(5, 3, 3, seed=1)
    assert exchange_gain((before + truth) / 2, truth, before) == pytest.approx(0.75)
    assert exchange_gain(2 * before - truth, truth, before) == pytest.approx(-3)
    with pytest.raises(UsageError, match="No image changes"):
        exchange_gain(before, before, before)


def test_a_sweep_that_changes_the_code_as_much_as_another_face_has_distance_one() -> None:
    first = random(300, 1, 8)
    assert sweep_distance(first.expand(-1, 5, -1)) == pytest.approx(0, abs=1e-12)
    assert sweep_distance(first * torch.rand(300, 5, 1).double().add(0.1)) == pytest.approx(
        0, abs=1e-9
    ), "a longer code has the same direction"
    assert sweep_distance(random(300, 5, 8)) == pytest.approx(1, abs=0.05)
    near = sweep_distance(first + 0.1 * random(300, 5, 8, seed=1))
    far = sweep_distance(first + 0.5 * random(300, 5, 8, seed=1))
    assert 0 < near < far < 1
    for wrong in (first[:1].expand(1, 3, -1), first):
        with pytest.raises(UsageError, match="at least 2 groups of 2"):
            sweep_distance(wrong)


def test_groups_of_two_have_no_rank_correlation() -> None:
    with pytest.raises(UsageError, match="at least 3"):
        within_groups(random(4, 2), random(4, 2))
