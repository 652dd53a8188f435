"""The classifier whose features score samples: how training moves its images, what it learns, what
it refuses."""

from __future__ import annotations

import pytest
import torch

import tiny
from zeuxis.checkpoints.weights import build, save
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.errors import UsageError
from zeuxis.evaluation.features.classifier import Classifier, ClassifierConfig
from zeuxis.evaluation.features.feature_network import feature_network
from zeuxis.model import Batch
from zeuxis.noise import Noise
from zeuxis.training.loop import fit

GRAY, COLOR = Spec("gray", (1, 28, 28), 4), Spec("color", (3, 32, 32), 4)


def moved(spec: Spec, x: torch.Tensor, **changes: float) -> torch.Tensor:
    config = ClassifierConfig(width=4, **changes)  # type: ignore[arg-type]
    return Classifier(config, spec).moved(Batch(x, None, Noise(3, 0, slice(0, len(x)), len(x))))


def corners(n: int, spec: Spec) -> Dataset:
    """Dim noise with one bright quarter, whose place is the label."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 60, (n, *spec.shape), dtype=torch.uint8, generator=generator)
    y, half = torch.arange(n) % 4, spec.shape[1] // 2
    for image, place in zip(x, y.tolist(), strict=True):
        row, column = divmod(place, 2)
        image[
            :, row * half + 4 : row * half + half - 4, column * half + 4 : column * half + half - 4
        ] = 250
    return Dataset(spec, x, y)


def test_images_stay_where_no_movement_is_asked() -> None:
    x = torch.randint(0, 256, (16, 1, 28, 28), dtype=torch.uint8)
    torch.testing.assert_close(
        moved(GRAY, x, shift=0, turn=0, scale=0), x.float() / 127.5 - 1, atol=1e-4, rtol=0
    )


def test_color_images_are_as_they_were_or_mirrored() -> None:
    x = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8)
    y, plain = moved(COLOR, x, shift=0), x.float() / 127.5 - 1
    same = (y - plain).abs().amax((1, 2, 3)) < 1e-4
    mirrored = (y - plain.flip(3)).abs().amax((1, 2, 3)) < 1e-4
    assert bool((same ^ mirrored).all())
    assert 16 < int(mirrored.sum()) < 48


@pytest.mark.parametrize("spec", [GRAY, COLOR], ids=["gray", "color"])
def test_shifts_reach_the_limit_and_no_further(spec: Spec) -> None:
    side, middle = spec.shape[1], spec.shape[1] // 2
    x = torch.zeros(200, *spec.shape, dtype=torch.uint8)
    x[:, :, middle - 1 : middle + 1, middle - 1 : middle + 1] = (
        255  # its center is the image's, where mirroring leaves it
    )
    mass = (moved(spec, x, shift=3, turn=0, scale=0) + 1).sum(1)
    places = torch.arange(side) + 0.5 - side / 2
    for center in (
        (mass.sum(2) * places).sum(1) / mass.sum((1, 2)),
        (mass.sum(1) * places).sum(1) / mass.sum((1, 2)),
    ):
        assert 2.5 < center.abs().max() < 3 + 1e-3
        assert center.abs().min() < 0.5


@pytest.mark.parametrize(
    "spec", [GRAY, pytest.param(COLOR, marks=pytest.mark.slow)], ids=["gray", "color"]
)
def test_it_learns_and_its_features_serve_by_the_name_of_its_folder(spec: Spec, tmp_path) -> None:
    data = corners(256, spec)
    # Mirroring would exchange the quarters' labels, so color images tell rows only.
    labels = data.y if spec is GRAY else data.y // 2
    data = Dataset(spec, data.x, labels)
    # Not 4: oneDNN writes out of bounds in a 1x1 convolution of stride 2 over 4 channels, channels
    # last, on AVX2 (PyTorch 2.13).
    model = build("classifier", ClassifierConfig(width=8, features=16, depth=1), spec)
    fit(model, data, training=tiny.training(images=1_500, batch=32), quiet=True)
    model.update_statistics(data.batch_of(256))
    model.eval()
    probabilities = model.classify(data.all())
    torch.testing.assert_close(probabilities.sum(1), torch.ones(256))
    assert (probabilities.argmax(1) == labels).double().mean() > 0.95
    network = feature_network(str(save(model, tmp_path / "run")))
    features, logits = network.features(data.all())
    assert features.shape == (256, 16)
    torch.testing.assert_close(logits.softmax(1), probabilities, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(features, model.features(data.all()), atol=1e-4, rtol=1e-3)


def test_images_without_labels_are_refused() -> None:
    model = tiny.model("classifier", width=4)
    x = torch.zeros(4, 1, 28, 28, dtype=torch.uint8)
    for y in (None, torch.tensor([0, 1, -1, 2])):
        with pytest.raises(UsageError, match="a label for every image"):
            next(model.play(Batch(x, y, Noise(0, 0, slice(0, 4), 4))))
    with pytest.raises(UsageError, match="2 or more classes"):
        Classifier(ClassifierConfig(), Spec("bare", (1, 28, 28)))


def test_a_model_that_is_no_classifier_is_no_feature_network(tmp_path) -> None:
    with pytest.raises(UsageError, match="is a dcgan and no classifier"):
        feature_network(str(save(tiny.model("dcgan"), tmp_path / "run")))


def test_gray_images_too_small_for_three_poolings_are_refused() -> None:
    with pytest.raises(UsageError, match="--size 8 or more"):
        Classifier(ClassifierConfig(width=8), Spec("dots", (1, 7, 9), 2))
    smallest = Classifier(ClassifierConfig(width=8), Spec("dots", (1, 8, 8), 2)).eval()
    assert smallest.classify(torch.zeros(1, 1, 8, 8, dtype=torch.uint8)).shape == (1, 2)
