"""Binarized images: 0 and 255 only, the same for a seed whatever is asked with them, and gray in
the mean."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from zeuxis.data import load_data
from zeuxis.data.binarized import STATIC_SEEDS, binarized


@pytest.mark.parametrize("split", ["train", "test"])
def test_static_digits_are_always_the_same_and_black_and_white(split: str) -> None:
    drawn, gray = (load_data(name, split=split, limit=3000) for name in ("mnist-static", "mnist"))
    x = drawn.all()
    assert (
        drawn.spec.name == "mnist-static"
        and drawn.spec.shape == (1, 28, 28)
        and drawn.spec.classes == 10
    )
    assert torch.equal(drawn.labels, gray.labels)
    assert x.dtype == torch.uint8 and ((x == 0) | (x == 255)).all()
    assert torch.equal(x, load_data("mnist-static", split=split, limit=3000).all())
    assert torch.equal(x[:70], load_data("mnist-static", split=split, limit=70).all())
    p = gray.all().double() / 255
    assert abs((x.double() / 255 - p).sum().item()) < 4.5 * (p * (1 - p)).sum().sqrt().item()
    assert torch.equal(x, binarized(gray.all(), torch.arange(3000), STATIC_SEEDS[split]))


@pytest.mark.parametrize(
    ("split", "fingerprint"), [("train", "be212bb387574d50"), ("test", "3fea0794b835671f")]
)
def test_the_static_set_is_this_one(split: str, fingerprint: str) -> None:
    """Pins the draw itself: another one would make earlier records incomparable."""
    bits = np.packbits(load_data("mnist-static", split=split).all().numpy().ravel() > 0)
    assert hashlib.sha256(bits.tobytes()).hexdigest()[:16] == fingerprint


def test_a_draw_depends_on_seed_image_and_pixel_alone() -> None:
    gray = torch.randint(0, 256, (40, 3, 5, 7), dtype=torch.uint8)
    rows = torch.arange(1000, 1040)
    whole = binarized(gray, rows, seed=3)
    chosen = torch.tensor([7, 3, 4, 5, 39, 0, 7])
    assert torch.equal(binarized(gray[chosen], rows[chosen], seed=3), whole[chosen])
    assert not torch.equal(binarized(gray, rows, seed=4), whole)
    assert not torch.equal(binarized(gray, rows + 1, seed=3), whole)
    assert binarized(gray[:0], rows[:0], seed=3).shape == (0, 3, 5, 7)


def test_the_mean_over_seeds_is_the_gray_image() -> None:
    gray = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    p = gray.double() / 255
    n = 4000
    seen = torch.cat([binarized(gray, torch.tensor([0]), seed) for seed in range(n)]).double() / 255
    z = (seen.mean(0) - p[0]) / (p[0] * (1 - p[0]) / n).sqrt().clamp(min=1e-12)
    assert z.abs().max() < 4.5
    assert z[p[0] > 0][:-1].square().mean().item() == pytest.approx(1, abs=0.35), (
        "pixels must be independent draws"
    )
    assert seen[:, 0, 0, 0].max() == 0 and seen[:, 0, 15, 15].min() == 1, (
        "black and white stay what they are"
    )


def test_neighboring_images_pixels_and_seeds_are_unrelated() -> None:
    half = torch.full((500, 1, 20, 20), 128, dtype=torch.uint8)
    a, b = (
        binarized(half, torch.arange(500), seed).double().flatten(1) / 255 - 128 / 255
        for seed in (0, 1)
    )
    bound = 4.5 * 0.25 / a.numel() ** 0.5
    for one, other in ((a[1:], a[:-1]), (a[:, 1:], a[:, :-1]), (a, b), (a[1:], b[:-1])):
        assert abs((one * other).mean().item()) < bound
