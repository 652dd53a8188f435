"""Operators: adjoint, projection, and whole pixels that agree with what was given."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zeuxis.applications.restoration.operators import Average, Identity, Mask, Operator
from zeuxis.errors import UsageError


def random(*shape: int, seed: int = 0) -> Tensor:
    return 255 * torch.rand(shape, generator=torch.Generator().manual_seed(seed))


VISIBLE = random(4, 1, 6, 8, seed=9) > 90
OPERATORS = [Identity(), Mask(VISIBLE[0, 0]), Mask(VISIBLE), Average(2)]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("lead", [(), (3,)])
def test_adjoint_and_projection(operator: Operator, lead: tuple[int, ...]) -> None:
    x, other = random(*lead, 4, 3, 6, 8), random(*lead, 4, 3, 6, 8, seed=1)
    y = operator.forward(other)
    left, right = (operator.forward(x) * y).sum(), (x * operator.adjoint(y)).sum()
    torch.testing.assert_close(left, right)
    z = operator.project(x, y)
    torch.testing.assert_close(operator.forward(z), y)
    # The closest one: the step from x is at right angles to what the operator cannot see.
    unseen = other - operator.project(torch.zeros_like(other), y)
    assert abs(float(((z - x) * unseen).sum())) < 1e-5 * float(x.square().sum())
    torch.testing.assert_close(
        operator.part(slice(1, 3)).forward(x[..., 1:3, :, :, :]),
        operator.forward(x)[..., 1:3, :, :, :],
    )


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_whole_pixels_have_the_given_means(factor: int, scale: float) -> None:
    operator = Average(factor)
    x = (random(5, 2, 3, 12, 24) - 128) * scale + 128
    y = random(2, 3, 12 // factor, 24 // factor, seed=2).round()
    y[0, 0, 0] = torch.tensor([0.0, 255.0] * (12 // factor))
    pixels = operator.pixels(x, y)
    assert pixels.dtype == torch.uint8
    assert torch.equal(operator.forward(pixels.double()), y.double().expand(5, *y.shape))
    same = random(2, 3, 12, 24, seed=3).round()
    assert (operator.pixels(same, operator.forward(same)).float() - same).abs().max() <= 1


def test_visible_pixels_come_back() -> None:
    operator, x = Mask(VISIBLE), random(7, 4, 3, 6, 8)
    y = random(4, 3, 6, 8, seed=1).round()
    pixels = operator.pixels(x, y)
    seen = VISIBLE.expand(4, 3, 6, 8)
    assert (pixels[:, seen] == y[seen]).all()
    assert torch.equal(pixels[:, ~seen], x[:, ~seen].round().byte())


def test_blocks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="3 x 3 pixels do not fill 6 x 8"):
        Average(3).forward(random(1, 6, 8))
