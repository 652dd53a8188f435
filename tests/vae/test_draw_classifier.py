"""DRAW's attention as a classifier: what it sees, that it learns where to look, and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tiny
from zeuxis.capabilities import HasGlimpses, HasSteps
from zeuxis.checkpoints.weights import build, save
from zeuxis.cli import main
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.errors import UsageError
from zeuxis.training.loop import fit
from zeuxis.vae.draw_attention import filters, read
from zeuxis.vae.draw_classifier import GlimpseClassifier, GlimpseClassifierConfig


def patterns(n: int, seed: int, side: int = 24) -> Dataset:
    """A square or a cross of 5x5 pixels at any place, and single bright pixels."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (n,), generator=generator)
    places = torch.randint(side - 4, (n, 2), generator=generator)
    x = (torch.rand(n, side, side, generator=generator) < 0.02) * 200
    line = torch.arange(5)
    square = torch.ones(5, 5, dtype=torch.long)
    square[1:4, 1:4] = 0
    cross = ((line[:, None] == 2) | (line == 2)).long()
    for image, place, c in zip(x, places.tolist(), y.tolist(), strict=True):
        image[place[0] : place[0] + 5, place[1] : place[1] + 5] = 255 * (square, cross)[c]
    spec = Spec("patterns", (1, side, side), 2, ("square", "cross"))
    return Dataset(spec, x[:, None].byte(), y)


def classifier(**changes: object) -> GlimpseClassifier:
    config = GlimpseClassifierConfig(**{"glimpses": 3, "hidden_dim": 8, "read": 4, **changes})
    model = build("glimpse-classifier", config, Spec("small", (1, 20, 20), 3), 0)
    assert isinstance(model, GlimpseClassifier)
    return model.eval()


def test_each_glimpse_reads_through_the_window_of_the_state_before() -> None:
    model = classifier()
    x = torch.rand(2, 1, 20, 20)
    state = model.cell.start(2)
    for h, window in model.glimpses(x):
        expected = filters(model.window(state.h), 4, 20, 20)
        torch.testing.assert_close(window.x, expected.x)
        seen = read(x.transpose(1, 2), expected).flatten(1)
        state = model.cell(seen, state)
        torch.testing.assert_close(h, state.h)


def test_the_first_window_covers_the_image_without_gaps() -> None:
    model = classifier(read=5)
    _, window = next(model.glimpses(torch.rand(1, 1, 20, 20)))
    assert window.x.sum(1).min() > 0.1, "every column is seen"
    box = model.windows_of(torch.zeros(1, 1, 20, 20, dtype=torch.uint8)).box[0, 0]
    torch.testing.assert_close(box, torch.tensor([0.5, 0.5, 19.5, 19.5]))


@pytest.mark.slow
def test_it_learns_what_is_there_and_where_to_look() -> None:
    data, unseen = patterns(4_000, 0), patterns(400, 1)
    config = GlimpseClassifierConfig(glimpses=4, hidden_dim=48, read=6, lr=3e-3)
    training = tiny.training(images=60_000, batch=50, clip=10.0, schedule="linear", average=500)
    model = build("glimpse-classifier", config, data.spec, 0)
    model = fit(model, data, training=training, quiet=True).model
    assert isinstance(model, GlimpseClassifier)
    x, y = unseen.batch(torch.arange(400))
    assert (model.classify(x).argmax(1) == y).float().mean() > 0.9
    box = model.windows_of(x).box
    centers = (box[..., :2] + box[..., 2:]) / 2
    assert centers[:, 0].std(0).max() < 1e-3, "nothing has been seen before the first glimpse"
    bright = (x[:, 0] == 255).float()
    at = torch.stack([torch.arange(24.0) + 0.5] * 2)
    place = torch.stack([bright.sum(1) @ at[0], bright.sum(2) @ at[1]], 1)
    place = place / bright.sum((1, 2))[:, None]
    last = torch.corrcoef(torch.stack([centers[:, -1, 0], place[:, 0]]))[0, 1]
    assert last > 0.5, "it looks at the pattern"


def test_steps_show_where_it_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = tiny.model("glimpse-classifier")
    assert model.can(HasGlimpses) and not model.can(HasSteps)
    save(model, tmp_path / "run")
    assert main(["steps", "run", "--data", "mnist", "--n", "2", "--out", "a.png"]) == 0
    assert main(["steps", "run", "--data", "mnist", "--n", "2", "--out", "a.gif"]) == 0
    assert (tmp_path / "a.png").stat().st_size and (tmp_path / "a.gif").stat().st_size


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [(Spec("x", (1, 9, 9)), "labels of 2 or more"), (Spec("x", (2,), 3), "needs images")],
)
def test_what_has_no_classes_or_pixels_is_refused(spec: Spec, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        GlimpseClassifier(GlimpseClassifierConfig(), spec)
