"""Digits among clutter: functions of their number, with one whole digit each."""

from __future__ import annotations

import pytest
import torch

from zeuxis.data import load_data
from zeuxis.data.cluttered import DIGIT, NAME, PIECE, PIECES, SIDE, Cluttered, drawn
from zeuxis.data.faces import random_numbers
from zeuxis.errors import UsageError


def test_a_canvas_shows_its_digit_and_pieces_of_others() -> None:
    data, digits = load_data(NAME, split="test"), load_data("mnist", split="test")
    rows = torch.tensor([5, 9_000, 5, 0])
    x, y = data.batch(rows)
    shown, labels = digits.batch(rows)
    assert y is not None and labels is not None and torch.equal(y, labels)
    assert x.shape == (4, 1, SIDE, SIDE) and torch.equal(x[0], x[2])
    places = drawn(random_numbers(rows.numpy(), 1, 2), SIDE - DIGIT + 1)
    for image, digit, (top, left) in zip(x, shown, places.tolist(), strict=True):
        window = image[0, top : top + DIGIT, left : left + DIGIT]
        assert (window >= digit[0]).all(), "pieces only add to it"
        clutter = image.clone()
        clutter[0, top : top + DIGIT, left : left + DIGIT] = 0
        assert 0 < (clutter > 0).sum() <= PIECES * PIECE**2


def test_parts_differ_and_digits_lie_everywhere() -> None:
    train, test = (load_data(NAME, split=split, limit=500) for split in ("train", "test"))
    assert (train.facts.part, test.facts.part, len(train)) == ("train", "test", 500)
    assert not torch.equal(train.all(), test.all())
    places = drawn(random_numbers(torch.arange(5_000).numpy(), 0, 2), SIDE - DIGIT + 1)
    assert places.min() == 0 and places.max() == SIDE - DIGIT
    assert train.spec.classes == 10
    small = load_data(NAME, limit=20, size=50)
    assert small.all().shape == (20, 1, 50, 50)
    large = train.batch(torch.arange(20))[0].float().mean((2, 3))
    torch.testing.assert_close(small.all().float().mean((2, 3)), large, atol=0.5, rtol=0)


def test_where_pixels_add_up_they_end_at_white() -> None:
    white = torch.full((3, 1, DIGIT, DIGIT), 255, dtype=torch.uint8)
    image = torch.from_numpy(Cluttered(white, 0, SIDE)[torch.arange(3).numpy()])
    assert set(image.unique().tolist()) == {0, 255}


def test_colors_are_refused() -> None:
    with pytest.raises(UsageError, match="is gray"):
        load_data(NAME, channels=3)
