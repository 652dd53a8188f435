"""Memorization: copies, fresh samples, and mixtures of both."""

from __future__ import annotations

import pytest
import torch

from zeuxis.errors import UsageError
from zeuxis.evaluation.memorization import memorization, nearest_of

SETS = torch.randn(3, 600, 6, generator=torch.Generator().manual_seed(4))
TRAIN, TEST, NEW = SETS


def test_copies_are_found_and_fresh_samples_are_none() -> None:
    copied, fresh = memorization(TRAIN[:200], TRAIN, TEST), memorization(NEW, TRAIN, TEST)
    assert copied.copies.value == 1 and copied.ratio < 0.01
    assert torch.equal(copied.nearest, torch.arange(200))
    assert fresh.copies.value < 0.04 and 0.01 in fresh.copies and 0.95 < fresh.ratio < 1.05


def test_the_share_of_copies_is_that_of_the_mixture() -> None:
    mixed = torch.cat([TRAIN[:150], NEW[:450]])
    assert 0.25 <= memorization(mixed, TRAIN, TEST).copies.value < 0.28


def test_a_larger_training_set_does_not_lower_the_ratio() -> None:
    """Among more images the nearest is nearer; so both sets are made equally large."""
    few = memorization(NEW, TRAIN, TEST[:100])
    assert few.compared == 100 and 0.9 < few.ratio < 1.1


def test_the_ratio_does_not_depend_on_units_or_offset() -> None:
    one, other = (
        memorization(NEW, TRAIN, TEST),
        memorization(*(9 * s + 40 for s in (NEW, TRAIN, TEST))),
    )
    assert other.ratio == pytest.approx(one.ratio, rel=1e-4)
    assert other.copies.value == one.copies.value


def test_nearest_points_whatever_the_block() -> None:
    distances = torch.cdist(NEW, TRAIN)
    for block in (17, 1000):
        distance, at = nearest_of(NEW, TRAIN, block)
        assert torch.equal(at, distances.argmin(1))
        assert torch.allclose(distance, distances.amin(1), atol=1e-4)


def test_empty_sets_are_refused() -> None:
    with pytest.raises(UsageError, match="got 600, 600 and 0"):
        memorization(NEW, TRAIN, TEST[:0])
