"""Canvases of several digits or sprites: functions of seed and number, with boxes around what they
show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zeuxis.cli import main
from zeuxis.data import hold_out, load_data
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.data.multi_mnist import SCENES
from zeuxis.data.scenes import (
    INK,
    Scene,
    boxes,
    boxes_of_pictures,
    canvases,
    counts,
    lay_out,
    placed,
    shared,
)
from zeuxis.data.sprites import COLORS, SHAPES, atlas
from zeuxis.errors import UsageError


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data("mnist", split="test", limit=300)


def test_a_canvas_depends_on_seed_and_number_alone(digits: Dataset) -> None:
    many, few = (canvases(digits, Scene(), n, seed=3) for n in (200, 20))
    assert torch.equal(many.batch_of(20), few.all())
    assert torch.equal(boxes(many)[:20].nan_to_num(-1), boxes(few).nan_to_num(-1))
    rows = torch.tensor([7, 150, 7, 0])
    together = many.batch(rows)[0]
    assert together.dtype == torch.uint8 and together.shape == (4, 1, 50, 50)
    for image, row in zip(together, rows, strict=True):
        assert torch.equal(many.batch(row[None])[0][0], image)
    assert not torch.equal(canvases(digits, Scene(), 20, seed=4).all(), few.all())


def test_counts_are_equally_frequent_and_say_what_is_drawn(digits: Dataset) -> None:
    data = canvases(digits, Scene(), 600, seed=0)
    n = counts(data)
    assert (torch.bincount(n, minlength=3) > 150).all() and n.max() == 2
    ink = data.all().flatten(1).float().sum(1)
    assert (ink[n == 0] == 0).all() and (ink[n > 0] > 0).all()
    assert ink[n == 2].mean() == pytest.approx(2 * ink[n == 1].mean().item(), rel=0.15)


def test_boxes_hold_the_strokes_and_nothing_else_is_there(digits: Dataset) -> None:
    data = canvases(digits, Scene(), 200, seed=0)
    for image, found in zip(data.all()[:, 0], boxes(data), strict=True):
        outside = image.clone()
        for left, top, right, bottom in found[found.isfinite().all(1)].tolist():
            assert 0 <= left < right <= 50 and 0 <= top < bottom <= 50
            inside = image[int(top) : int(bottom) + 1, int(left) : int(right) + 1]
            strokes = torch.nonzero(inside >= INK)
            height, width = strokes.amax(0) - strokes.amin(0) + 1
            assert height == pytest.approx(bottom - top, abs=2.5)
            assert width == pytest.approx(right - left, abs=2.5)
            grown = (
                slice(max(0, int(top) - 2), int(bottom) + 3),
                slice(max(0, int(left) - 2), int(right) + 3),
            )
            outside[grown] = 0
        assert (outside < INK).all()


@pytest.mark.parametrize(("overlap", "meets"), [(0.0, False), (0.1, True), (1.0, True)])
def test_boxes_overlap_at_most_by_the_stated_share(
    digits: Dataset, overlap: float, meets: bool
) -> None:
    scene = Scene(counts=(2, 3), overlap=overlap)
    found = boxes(canvases(digits, scene, 300, seed=0))
    pairs = shared(found).nan_to_num(0)[:, *torch.triu_indices(3, 3, 1)]
    assert pairs.max() <= overlap + 1e-6
    assert (pairs > 0).any() == meets
    assert (overlap < 1) or (pairs > 0.5).any()


def test_digits_of_full_size_are_copied_pixel_by_pixel(digits: Dataset) -> None:
    scene = Scene(counts=(1,), side=60, shrink=1.0, spread=0.0)
    layout = lay_out(scene, 10, 0, boxes_of_pictures(digits.all()))
    for i, canvas in enumerate(canvases(digits, scene, 10, seed=0).all()):
        left, top = layout.places[i, 0].long().tolist()
        digit = digits.batch(layout.pictures[i, :1])[0][0]
        assert torch.equal(canvas[:, top : top + 28, left : left + 28], digit)
        assert canvas.long().sum() == digit.long().sum()


def test_sizes_vary_by_the_stated_spread(digits: Dataset) -> None:
    layout = lay_out(Scene(), 5_000, 0, boxes_of_pictures(digits.all()))
    factor = (1 / layout.scales).flatten()
    assert factor.mean() == pytest.approx(1.3, abs=0.01)
    assert factor.std() == pytest.approx(0.1, abs=0.005)
    assert (layout.places >= 0).all()
    assert (layout.places + 28 * layout.scales[..., None] <= 50).all()


def test_shares_of_boxes() -> None:
    a = torch.tensor([[[0.0, 0, 4, 4], [2, 2, 4, 4], [3, 0, 7, 2]]])
    assert shared(a)[0].tolist() == [[1, 1, 0.25], [1, 1, 0], [0.25, 0, 1]]
    moved = placed(a, torch.tensor(0.5).expand(1, 3), torch.tensor([10.0, 20.0]).expand(1, 3, 2))
    assert moved[0, 2].tolist() == [11.5, 20, 13.5, 21]


@pytest.mark.slow
def test_as_built_in_sets() -> None:
    train, test = (load_data("multi-mnist", split=split, limit=60) for split in ("train", "test"))
    assert train.spec.shape == (1, 50, 50) and train.spec.name == "multi-mnist"
    assert not torch.equal(train.all(), test.all())
    assert (counts(load_data("multi-mnist-3", limit=10)) == 3).all()
    two = load_data("multi-mnist-60", limit=10)
    assert two.spec.shape == (1, 60, 60) and (counts(two) == 2).all()
    small = load_data("multi-mnist", limit=60, size=25)
    assert small.all().shape == (60, 1, 25, 25)
    torch.testing.assert_close(2 * boxes(small), boxes(train), equal_nan=True)
    left, held = hold_out(train, 20, seed=0)
    assert torch.equal(counts(held), counts(train)[held.rows]) and len(boxes(left)) == 40


def test_classes_are_sums_of_digits(digits: Dataset) -> None:
    data = load_data("multi-mnist-sum", split="test", limit=40)
    every = load_data("mnist", split="test")
    layout = lay_out(SCENES["multi-mnist-sum"], 40, 1, boxes_of_pictures(every.all()))
    first, second = (every.batch(layout.pictures[:, k])[1] for k in (0, 1))
    assert data.y is not None and first is not None and second is not None
    assert torch.equal(data.y, first + second) and data.y.max() > 9
    assert data.spec.classes == len(data.spec.class_names) == 19
    assert (counts(data) == 2).all()


def test_sprites_differ_in_shape_and_color_and_fill_their_boxes() -> None:
    x = atlas()
    assert x.shape == (len(SHAPES) * len(COLORS), 3, 28, 28) and len(x.unique(dim=0)) == len(x)
    for i, sprite in enumerate(x):
        lit = sprite.flatten(1).amax(1) > 0
        assert lit.tolist() == [bool(part) for part in COLORS[i % len(COLORS)]]
    found = boxes_of_pictures(x)
    assert found.min() >= 4 and found.max() <= 24
    assert (found[:, 2:] - found[:, :2]).min() >= 16
    train, test = (load_data("sprites", split=split, limit=60) for split in ("train", "test"))
    assert train.spec.shape == (3, 50, 50) and not torch.equal(train.all(), test.all())
    assert set(counts(train).tolist()) == {0, 1, 2}
    two = counts(train) == 2
    pairs = shared(boxes(train)[two])[:, 0, 1]
    assert pairs.max() <= 0.05 + 1e-6
    for image, found in zip(train.all(), boxes(train), strict=True):
        for left, top, right, bottom in found[found.isfinite().all(1)].round().int().tolist():
            assert image[:, top:bottom, left:right].amax() > 200


def test_the_list_of_data_shows_them(capsys: pytest.CaptureFixture) -> None:
    assert main(["list", "data"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in (*SCENES, "sprites"))


def test_invalid_arguments_are_refused(digits: Dataset) -> None:
    square = Dataset(Spec("small", (1, 8, 8)), torch.zeros(3, 1, 8, 8, dtype=torch.uint8))
    for call, sentence in (
        (lambda: canvases(square, Scene(), 5, 0), "28x28"),
        (lambda: canvases(digits, Scene(), 0, 0), "at least 1"),
        (lambda: canvases(digits, Scene(counts=()), 5, 0), "counts from 0 to 16"),
        (lambda: canvases(digits, Scene(counts=(5,), side=28, overlap=0.0), 2, 0), "do not fit"),
        (lambda: load_data("multi-mnist", channels=3), "is gray"),
        (lambda: load_data("sprites", channels=1), "is in color"),
        (lambda: boxes(digits), "Nothing is known of the objects in 'mnist'"),
    ):
        with pytest.raises(UsageError, match=sentence):
            call()
    assert np.dtype(np.uint8) == canvases(digits, Scene(), 1, 0).x.dtype
