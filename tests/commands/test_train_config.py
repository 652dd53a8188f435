"""zeuxis train --config: the run of a config.json anew, with changes, and what it refuses."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import torch

from zeuxis.checkpoints.run_folder import Run
from zeuxis.cli import main
from zeuxis.commands import train
from zeuxis.errors import UsageError
from zeuxis.experiments.anew import described_experiment

TRAIN = (
    "train planar --data ring --limit 64 --model.width 8 --model.depth 2 --batch 16 --images 64 "
    "--training.film 0 --training.precision fp32 --training.threads 1 --seed 3 --out "
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    assert main([*shlex.split(TRAIN), str(tmp_path / "runs")]) == 0
    return Run(next((tmp_path / "runs").iterdir()))


def test_the_same_run_begins_anew(run: Run, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert main(["train", "--config", str(run.path("config.json")), "--out", str(again)]) == 0
    other = Run(next(again.iterdir()))
    mine, theirs = (each.read_config() for each in (run, other))
    assert mine == theirs
    before, _ = run.read_tensors("ema.safetensors")
    after, _ = other.read_tensors("ema.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_options_change_the_settings(run: Run, tmp_path: Path) -> None:
    argv = ["train", f"--config={run}", "--seed", "4", "--images=32", "--out", str(tmp_path / "b")]
    assert main(argv) == 0
    about = Run(next((tmp_path / "b").iterdir())).read_config()
    assert (about["training"]["seed"], about["training"]["images"]) == (4, 32)
    assert about["config"] == run.read_config()["config"]
    with pytest.raises(UsageError, match="Give either --config or --recipe"):
        train.main(["--config", str(run), "--recipe", "mnist"])


def change(run: Run, **entries: object) -> None:
    about = run.read_config()
    for name, value in entries.items():
        about[name] = about[name] | value if isinstance(value, dict) else value
    run.path("config.json").write_text(json.dumps(about))


def test_what_others_wrote_is_not_followed(run: Run) -> None:
    change(run, training={"start": "/home/other/run"})
    with pytest.raises(UsageError, match="was not made by you here"):
        described_experiment(run.folder)
    change(run, training={"start": "", "track": "wandb"})
    assert described_experiment(run.folder).training.track == ""
    change(run, data={"data": "/home/other/photos"})
    with pytest.raises(UsageError, match="give them with --data"):
        described_experiment(run.folder)
    assert described_experiment(run.folder, "ring").data_config.data == "ring"


def test_policies_and_saved_models_are_no_trainings_of_models(run: Run) -> None:
    change(run, algorithm="trpo")
    with pytest.raises(UsageError, match="describes a policy"):
        described_experiment(run.path("config.json"))
    about = {k: v for k, v in run.read_config().items() if k not in ("training", "algorithm")}
    run.path("config.json").write_text(json.dumps(about))
    with pytest.raises(UsageError, match="a saved model and no training"):
        described_experiment(run.folder)
