"""Images held out of a training are seen by nothing that learns, and are those that figures are
taken on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tiny
from zeuxis.checkpoints.run_folder import Run
from zeuxis.data.binarized import binarized
from zeuxis.data.dataset import Dataset
from zeuxis.evaluation.features.classifier import ClassifierConfig
from zeuxis.experiments.resume import resume
from zeuxis.experiments.train import train
from zeuxis.experiments.validation import accuracy, likelihood, validation_of
from zeuxis.gan.improved import ImprovedGAN
from zeuxis.training.loop import Trainer


def numbered(n: int = 64) -> Dataset:
    """Images whose first pixel is their number."""
    data = tiny.images(n)
    data.x[:, 0, 0, 0] = torch.arange(n)
    return data


class Seen:
    """The numbers of the images that an Improved GAN was shown, by what for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.learned: list[int] = []
        self.scored: list[int] = []
        game, begin, update_statistics, classify = (
            getattr(ImprovedGAN, name)
            for name in ("play", "initialize_from_data", "update_statistics", "classify")
        )

        def play(model: ImprovedGAN, batch: object) -> object:
            more = batch.more  # type: ignore[attr-defined]

            def watched(kind: str, n: int) -> tuple[Tensor, Tensor | None]:
                x, y = more(kind, n)
                self.learned += numbers(x)
                return x, y

            self.learned += numbers(batch.x)  # type: ignore[attr-defined]
            batch.more = watched  # type: ignore[attr-defined]
            yield from game(model, batch)

        def started(model: ImprovedGAN, data: Dataset, seed: int) -> None:
            self.learned += numbers(data.all())
            begin(model, data, seed)

        def computed(model: ImprovedGAN, x: Tensor | None = None) -> None:
            self.learned += [] if x is None else numbers(x)
            update_statistics(model, x)

        def scored(model: ImprovedGAN, x: Tensor) -> Tensor:
            self.scored += numbers(x)
            return classify(model, x)

        for name, method in (
            ("play", play),
            ("initialize_from_data", started),
            ("update_statistics", computed),
            ("classify", scored),
        ):
            monkeypatch.setattr(ImprovedGAN, name, method)


def numbers(x: Tensor) -> list[int]:
    return x[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("labels_per_class", [None, 2])
def test_held_out_images_are_evaluated_and_never_trained_on(
    labels_per_class: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, config = Seen(monkeypatch), tiny.model("improved-gan").config
    training = tiny.training(images=192, hold_out=20, validate_every=64)
    result = train(
        "improved-gan",
        numbered(),
        config=config,
        training=training,
        labels_per_class=labels_per_class,
        out=tmp_path,
    )
    learned, scored = set(seen.learned), set(seen.scored)
    assert len(scored) == 20 and learned == set(range(64)) - scored
    assert "held-out/accuracy" in result.figures

    seen.learned, seen.scored = [], []
    assert result.run is not None
    resume(result.run.folder, 320, numbered())
    assert set(seen.scored) == scored and set(seen.learned) == learned, (
        "a resumed run holds out the same images"
    )


def test_another_seed_holds_out_other_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, config, sets = Seen(monkeypatch), tiny.model("improved-gan").config, []
    for seed in (0, 1):
        seen.scored = []
        training = tiny.training(images=16, hold_out=20, validate_every=16, seed=seed)
        train("improved-gan", numbered(), config=config, training=training, out=tmp_path)
        sets.append(set(seen.scored))
    assert sets[0] != sets[1]


def test_accuracy_is_the_share_of_labeled_images_guessed_rightly() -> None:
    data = tiny.images(30)
    assert data.y is not None
    labels = torch.where(torch.arange(30) < 10, -1, data.y)

    class Guess(ImprovedGAN):
        def classify(self, x: Tensor) -> Tensor:
            """Right but for the last 5 of the images."""
            right = torch.nn.functional.one_hot(data.labels, 10).float()
            right[25:] = right[25:].roll(1, 1)
            return right

    model = tiny.model("improved-gan")
    model.__class__ = Guess
    assert accuracy(model, replace(data, y=labels)) == {"accuracy": pytest.approx(75.0)}
    assert validation_of(model, data)(model) == {"accuracy": pytest.approx(100 * 25 / 30)}


def test_held_out_likelihood_is_that_of_pixels_drawn_once() -> None:
    model, held = tiny.model("vae").eval(), tiny.images(12)
    first, again = (validation_of(model, held)(model)["nats"] for _ in range(2))
    assert first == again and math.isfinite(first)
    x = binarized(held.all(), torch.arange(12), 0)
    assert first == pytest.approx(model.log_prob(x).nats.mean().item(), rel=1e-5)
    color = tiny.images(12, channels=3)
    ladder = tiny.model("vae").__class__(tiny.model("vae").config, color.spec).eval()
    assert likelihood(ladder, color)["nats"] == pytest.approx(
        ladder.log_prob(color.all()).nats.mean().item(), rel=1e-5
    )


def test_reports_stand_once_wherever_the_last_life_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the last validation and the last save repeats no line of the log, and neither
    does resuming a finished run."""
    data, training = (
        tiny.images(),
        tiny.training(images=64, hold_out=16, validate_every=32, save_minutes=0.0, log_every=16),
    )
    times = lambda run: [line["images"] for line in run.metrics()]  # noqa: E731
    whole = train(
        "classifier",
        data,
        out=tmp_path / "whole",
        config=ClassifierConfig(width=8),
        training=training,
    )
    assert whole.run is not None and len(times(whole.run)) == 6
    save = Trainer.save

    def killed(fitting: Trainer) -> None:
        if fitting.step == fitting.steps:
            raise KeyboardInterrupt
        save(fitting)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            train(
                "classifier",
                data,
                out=tmp_path / "broken",
                config=ClassifierConfig(width=8),
                training=training,
            )
    broken = Run(next((tmp_path / "broken").iterdir()))
    for _ in range(2):  # once to the end, and once more from there
        result = resume(broken.folder, data=data)
        assert times(broken) == times(whole.run) and "held-out/accuracy" in result.figures


def test_a_folder_is_a_run_only_once_it_knows_its_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, write = [], Run.write_json

    def watched(run: Run, name: str, values: dict) -> None:
        known.append(run.path("examples.safetensors").exists())
        write(run, name, values)

    monkeypatch.setattr(Run, "write_json", watched)
    train(
        "classifier",
        tiny.images(),
        out=tmp_path,
        config=ClassifierConfig(width=8),
        training=tiny.training(images=16),
    )
    assert known[0]
