"""Rendered heads: a function of seed and number, with factors that show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zeuxis.data import hold_out, load_data
from zeuxis.data.face_paint import expressive
from zeuxis.data.faces import (
    FACE_FACTORS,
    FACTORS,
    IDENTITY,
    Heads,
    drawn,
    faces,
    factors,
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


@pytest.mark.parametrize("smiling", [False, True])
def test_each_factor_can_be_read_from_images(smiling: bool) -> None:
    """Ridge regression on the pixels of 2,000 heads explains each factor of 500 others; not a
    smile, whose place depends on pose and width."""
    index = np.arange(2_500)
    known = drawn(index, seed=0, smiling=smiling)[0].double()
    x = torch.from_numpy(Heads(2_500, 0, 16, smiling)[index]).flatten(1).double() / 255
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    train, test = slice(0, 2_000), slice(2_000, 2_500)
    weights = torch.linalg.solve(
        x[train].T @ x[train] + 3 * torch.eye(x.shape[1], dtype=torch.float64),
        x[train].T @ known[train],
    )
    left = (x[test] @ weights - known[test]).square().mean(0) / known[test].var(0)
    for name, share in zip(FACTORS, left.tolist()[: len(FACTORS)], strict=True):
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
    assert torch.equal(factors(held), drawn(held.rows.numpy(), 0)[0])
    assert torch.equal(train.batch(torch.tensor([3]))[0], few.batch(train.rows[3:4])[0])


def test_invalid_arguments_are_refused() -> None:
    for call, sentence in (
        (lambda: render(torch.zeros(1, 4), torch.zeros(1, 10), side=8), "16 or more"),
        (lambda: render(torch.full((1, 4), 1.5), torch.zeros(1, 10)), "outside"),
        (lambda: render(torch.zeros(1, 4), torch.zeros(1, 9)), "expected"),
        (lambda: heads(0), "at least 1"),
        (lambda: factors(load_data("mnist")), "--data heads"),
        (lambda: load_data("heads", channels=3), "gray"),
        (lambda: load_data("faces", channels=3), "--data faces is gray"),
        (lambda: faces(0), "Faces need a number"),
    ):
        with pytest.raises(UsageError, match=sentence):
            call()
    assert render(torch.zeros(0, 4), torch.zeros(0, 10)).shape == (0, 1, 32, 32)


# fmt: off
PIXELS = {
    12: [
        0, 0, 0, 0, 0, 0, 17, 21, 38, 63, 119, 167, 109, 119, 128, 137,
        145, 153, 160, 167, 174, 180, 163, 214, 181, 169, 72, 0, 0, 0, 0, 0,
    ],
    20: [
        0, 0, 0, 0, 0, 6, 33, 33, 40, 56, 70, 82, 93, 103, 112, 121,
        129, 137, 144, 151, 156, 159, 121, 71, 66, 78, 0, 0, 0, 0, 0, 0,
    ],
}
# fmt: on


def test_heads_are_those_that_records_stand_on() -> None:
    """Two rows of pixels as the first version rendered them."""
    x = Heads(8, 0)[np.array([3])][0, 0].astype(int)
    for row, expected in PIXELS.items():
        assert np.abs(x[row] - np.array(expected)).max() <= 1


def expressions(n: int, side: int = 32) -> torch.Tensor:
    """One head from a frown to a wide smile, (n, side, side)."""
    known = torch.zeros(n, len(FACE_FACTORS))
    known[:, -1] = torch.linspace(-1, 1, n)
    return render(known, torch.zeros(n, len(IDENTITY)), side)[:, 0].float()


def test_a_face_is_the_head_of_its_number_with_a_smile() -> None:
    index = np.arange(200)
    head, face = drawn(index, 5), drawn(index, 5, smiling=True)
    assert torch.equal(head[0], face[0][:, :4])
    assert torch.equal(head[1], face[1])
    data = load_data("faces", limit=200)
    assert data.facts.factor_names == FACE_FACTORS
    assert factors(data)[:, 4].std() > 0.5
    assert load_data("faces", size=64, limit=2).all().shape == (2, 1, 64, 64)


def test_a_smile_moves_mouth_and_cheeks_and_nothing_else() -> None:
    x = expressions(2)
    change = (x[1] - x[0]).abs()
    assert change[17:25, 9:23].mean() > 12, "plain to see at 32 pixels"
    assert change.max() > 80
    assert change[:8].max() == 0, "hair"
    assert change[28:].max() == 0, "neck"


def test_corners_of_the_mouth_rise_with_the_smile() -> None:
    """The height of lips at their ends, less that in their middle, on the painted skull."""
    y, x = torch.meshgrid(
        torch.linspace(-0.8, -0.2, 121), torch.linspace(-0.5, 0.5, 101), indexing="ij"
    )
    n = 9
    points = [part.flatten().repeat(n, 1) for part in (x, y, torch.ones_like(x))]
    smile = torch.linspace(-1, 1, n)
    albedo = expressive(*points, torch.zeros(n, len(IDENTITY)), smile).view(n, *x.shape)
    dark = (albedo < 0.6).float()

    def height(columns: torch.Tensor) -> torch.Tensor:
        part = dark * columns
        return (part * y).sum((1, 2)) / part.sum((1, 2))

    rise = height((x.abs() - 0.27).abs() < 0.02) - height(x.abs() < 0.05)
    assert rise[0] < -0.04
    assert rise[-1] > 0.04
    assert (rise.diff() > 0).all()


def test_a_small_change_of_a_smile_is_a_small_change_of_the_image() -> None:
    for side in (32, 64):
        assert expressions(201, side).diff(dim=0).abs().max() < 16


def test_a_mirrored_face_looks_the_other_way() -> None:
    known, identity = drawn(np.arange(50), 2, smiling=True)
    mirror = torch.tensor([-1.0, 1.0, -1.0, 1.0, 1.0])
    x, other = render(known, identity).int(), render(known * mirror, identity).int()
    assert (x.flip(3) - other).abs().max() <= 1
