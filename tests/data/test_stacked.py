"""Stacked digits: channels are the digits that the class writes, and parts do not mix."""

from __future__ import annotations

import pytest
import torch

import zeuxis
from zeuxis.errors import UsageError


def test_each_channel_shows_a_digit_of_its_place_in_the_class() -> None:
    data = zeuxis.load_data("stacked-mnist", split="test", limit=40)
    digits = zeuxis.load_data("mnist", split="test")
    x, y = data.batch(torch.arange(40))
    assert x.shape == (40, 3, 28, 28) and data.spec.classes == 1000
    known = {
        image.numpy().tobytes(): int(label)
        for image, label in zip(digits.all(), digits.y, strict=True)
    }
    for image, number in zip(x, y.tolist(), strict=True):
        classes = [known[channel[None].numpy().tobytes()] for channel in image]
        assert int("".join(map(str, classes))) == number == int(data.spec.class_names[number])


def test_images_repeat_whatever_the_limit_and_parts_differ() -> None:
    whole = zeuxis.load_data("stacked-mnist", split="test")
    few = zeuxis.load_data("stacked-mnist", split="test", limit=5)
    assert len(whole) == 10_000 and torch.equal(few.all(), whole.batch_of(5))
    train = zeuxis.load_data("stacked-mnist", limit=5)
    assert train.facts.part == "train" and not torch.equal(train.all(), few.all())


def test_all_numbers_are_about_as_frequent() -> None:
    counts = torch.bincount(zeuxis.load_data("stacked-mnist").y, minlength=1000)
    assert counts.min() > 25 and counts.max() < 120


def test_other_sizes_are_refused() -> None:
    for options in ({"size": 32}, {"channels": 1}):
        with pytest.raises(UsageError, match="leave out --channels and --size"):
            zeuxis.load_data("stacked-mnist", **options)
