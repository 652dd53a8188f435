"""Hooks of a training: called at each step and save, and able to end it."""

from __future__ import annotations

from pathlib import Path

import tiny
from zeuxis.checkpoints.run_folder import Run
from zeuxis.training.loop import Trainer, fit


def test_hooks_are_called_at_steps_and_saves(tmp_path: Path) -> None:
    steps: list[int] = []
    saves: list[int] = []

    def saved(trainer: Trainer) -> None:
        assert trainer.run_folder is not None
        saves.append(trainer.run_folder.saved_images())

    fit(
        tiny.model("planar"),
        tiny.data_for("planar"),
        Run.at(tmp_path),
        tiny.training(images=64, batch=16, save_minutes=0.0),
        quiet=True,
        on_step=lambda trainer: steps.append(trainer.images),
        on_save=saved,
    )
    assert steps == [16, 32, 48, 64]
    assert saves == [16, 32, 48, 64]


def test_a_hook_can_end_a_training() -> None:
    def enough(trainer: Trainer) -> None:
        if trainer.images >= 32:
            trainer.session.stop.set()

    data = tiny.data_for("planar")
    result = fit(
        tiny.model("planar"), data, training=tiny.training(batch=16), quiet=True, on_step=enough
    )
    assert result.stopped and result.images == 32
