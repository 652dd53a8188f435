"""Masks of quadrants, and which of them an autoregressive order suits."""

from __future__ import annotations

import pytest
import torch

from zeuxis.data.masks import for_images, hidden_come_last, quadrants
from zeuxis.errors import UsageError


def test_the_papers_three_tasks() -> None:
    one = quadrants(("bottom-left",), 28, 28)
    two = quadrants(("top-left", "bottom-left"), 28, 28)
    three = quadrants(("top-left", "bottom-left", "bottom-right"), 28, 28)
    assert one[14:, :14].all() and one.sum() == 196
    assert two[:, :14].all() and two.sum() == 392
    assert not three[:14, 14:].any() and three.sum() == 588


def test_quadrants_of_odd_images_cover_each_pixel_once() -> None:
    names = ("top-left", "top-right", "bottom-left", "bottom-right")
    for shape in ((5, 3), (1, 1), (4, 7)):
        total = sum(quadrants((name,), *shape).int() for name in names)  # type: ignore[arg-type]
        assert (torch.as_tensor(total) == 1).all()


def test_a_mask_of_the_wrong_shape_is_refused() -> None:
    x = torch.zeros(2, 1, 4, 4)
    assert for_images(torch.ones(2, 1, 4, 4), x).all()
    with pytest.raises(UsageError, match=r"mask has shape \(3, 3\) and the images \(2, 1, 4, 4\)"):
        for_images(torch.ones(3, 3), x)


def test_hidden_pixels_come_last_below_but_not_beside() -> None:
    top = quadrants(("top-left", "top-right"), 6, 6)
    assert hidden_come_last(top)
    for seen in (("bottom-left",), ("top-left", "bottom-left"), ("bottom-left", "bottom-right")):
        assert not hidden_come_last(quadrants(seen, 6, 6))  # type: ignore[arg-type]
