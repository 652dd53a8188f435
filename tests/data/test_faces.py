"""Rendered heads: a function of seed and number, with factors that show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zeuxis.data import hold_out, load_data
from zeuxis.data.faces import (
    FACTORS,
    IDENTITY,
    Heads,
    factors,
    factors_of,
    heads,
    random_numbers,
    render,
)
from zeuxis.errors import UsageError


def test_an_image_depends_on_seed_and_number_alone() -> None:
    h = Heads(1000, seed=3)
    rows = np.array([7, 500, 7, 0])
    together = h[rows]
    assert together.dtype == np.uint8
    assert together.shape == (4, 1, 32, 32)
    assert np.array_equal(together[0], together[2])
    for i, row in enumerate(rows):
        assert (
            np.abs(h[np.array([row])][0].astype(int) - together[i]).max() <= 1
        )  # a rounding of the last bit
    assert not np.array_equal(Heads(1000, seed=4)[rows], together)


def test_numbers_are_uniform_and_unrelated() -> None:
    x = torch.cat(
        [random_numbers(np.arange(20_000), 0, 14), random_numbers(np.arange(20_000), 1, 14)], 1
    )
    assert x.min() >= -1
    assert x.max() < 1
    assert x.mean(0).abs().max() < 0.03
    assert (x.var(0) - 1 / 3).abs().max() < 0.01
    correlation = torch.corrcoef(x.T) - torch.eye(28)
    assert correlation.abs().max() < 0.04


def test_each_factor_can_be_read_from_images() -> None:
    """Ridge regression on the pixels of 2,000 heads explains each factor of 500 others."""
    index = np.arange(2_500)
    known = factors_of(index, seed=0).double()
    x = torch.from_numpy(Heads(2_500, 0, 16)[index]).flatten(1).double() / 255
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    train, test = slice(0, 2_000), slice(2_000, 2_500)
    weights = torch.linalg.solve(
        x[train].T @ x[train] + 3 * torch.eye(x.shape[1], dtype=torch.float64),
        x[train].T @ known[train],
    )
    left = (x[test] @ weights - known[test]).square().mean(0) / known[test].var(0)
    for name, share in zip(FACTORS, left.tolist(), strict=True):
        assert share < 0.2, f"{name} is not to be seen: {share:.2f} of its variance is unexplained"


def test_factors_do_what_they_say() -> None:
    zero, who = torch.zeros(2, 4), torch.zeros(2, len(IDENTITY))

    def pair(factor: int) -> torch.Tensor:
        f = zero.clone()
        f[:, factor] = torch.tensor([-1.0, 1.0])
        return render(f, who).float()[:, 0]

    lit = pair(FACTORS.index("lighting"))
    sides = lit[:, :, 16:].mean((1, 2)) - lit[:, :, :16].mean((1, 2))
    assert sides[0] < -10
    assert sides[1] > 10
    wide = (pair(FACTORS.index("width"))[:, 10:20] > 0).float().sum((1, 2))
    assert wide[1] > 1.3 * wide[0]
    left, right = pair(FACTORS.index("azimuth"))
    unlit = slice(4, 28)
    assert (left - right).abs()[unlit].mean() > 5
    up, down = pair(FACTORS.index("elevation"))
    assert (up - up.flip(1)).abs().mean() < 4, "a head that looks up or down is still symmetric"
    assert (up - down).abs().mean() > 5


def test_as_a_data_set() -> None:
    data = load_data("heads")
    assert (len(data), data.spec.shape, data.nbytes) == (200_000, (1, 32, 32), 200_000 * 1024)
    few = load_data("heads", limit=50, size=24)
    assert few.all().shape == (50, 1, 24, 24)
    test = load_data("heads", split="test")
    assert len(test) == 10_000
    assert not torch.equal(factors(test)[:50], factors(few))
    train, held = hold_out(few, 10, seed=0)
    assert torch.equal(factors(held), factors_of(held.rows.numpy(), 0))
    assert torch.equal(train.batch(torch.tensor([3]))[0], few.batch(train.rows[3:4])[0])


def test_invalid_arguments_are_refused() -> None:
    for call, sentence in (
        (lambda: render(torch.zeros(1, 4), torch.zeros(1, 10), side=8), "16 or more"),
        (lambda: render(torch.full((1, 4), 1.5), torch.zeros(1, 10)), "outside"),
        (lambda: render(torch.zeros(1, 4), torch.zeros(1, 9)), "expected"),
        (lambda: heads(0), "at least 1"),
        (lambda: factors(load_data("mnist")), "--data heads"),
        (lambda: load_data("heads", channels=3), "gray"),
    ):
        with pytest.raises(UsageError, match=sentence):
            call()
    assert render(torch.zeros(0, 4), torch.zeros(0, 10)).shape == (0, 1, 32, 32)
