"""The recipe that a training starts from, short forms of options, and folders of zeuxis 0.1."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tiny
import zeuxis
from zeuxis.capabilities import CanClassify, CanSample
from zeuxis.checkpoints.run_folder import Run
from zeuxis.checkpoints.weights import save
from zeuxis.commands.options import MODEL_OPTIONS, expand, policy_options
from zeuxis.data.config import DataConfig
from zeuxis.errors import MissingCapability, ZeuxisError
from zeuxis.experiments.defaults import default_experiment
from zeuxis.experiments.resume import resume
from zeuxis.model import require
from zeuxis.registry import model_class


@pytest.mark.parametrize("gpu", [False, True])
def test_without_a_gpu_the_recipe_is_the_small_one(
    gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    for name, data in (("dcgan", ""), ("dcgan", "mnist"), ("pixelcnn", "")):
        experiment = default_experiment(model_class(name), DataConfig(data))
        assert experiment.recipe.endswith("-small") != gpu
        assert any("no GPU" in note for note in experiment.notes) != gpu
    asked = default_experiment(model_class("dcgan"), DataConfig(""), "mnist")
    assert asked.recipe == "dcgan/mnist" and not asked.notes


def test_short_forms_are_options_of_the_training() -> None:
    argv = ["--images", "5", "--lr=0.1", "--batch", "8", "--seed=2", "--out", "--images"]
    expected = ["--training.images", "5", "--model.lr=0.1", "--training.batch", "8"]
    assert expand(argv, MODEL_OPTIONS)[:5] == expected
    assert expand(["--minutes=3"], policy_options("bc")) == ["--bc.minutes=3"]


def test_a_folder_of_version_0_1_gets_a_sentence(tmp_path: Path) -> None:
    folder = save(tiny.model("vae"), tmp_path / "model")
    about = Run(folder).read_json("config.json")
    about["settings"] = about.pop("config")
    Run(folder).write_json("config.json", about)
    for act in (zeuxis.load, resume):
        with pytest.raises(ZeuxisError, match=r"was written by zeuxis 0\.1"):
            act(folder)


def test_instances_answer_for_their_capabilities() -> None:
    without_labels = tiny.model("improved-gan", supervised=False)
    with_labels = tiny.model("improved-gan")
    assert with_labels.can(CanClassify) and not without_labels.can(CanClassify)
    assert require(without_labels, CanSample, "draw samples") is without_labels
    with pytest.raises(MissingCapability, match="settings rule it out"):
        require(without_labels, CanClassify, "classify")


def test_the_command_line_limits_spinning_before_torch_is_loaded() -> None:
    script = (
        "import os, sys; from zeuxis.cli import main; main(['--version']); "
        "assert 'torch' not in sys.modules; print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    environment = {k: v for k, v in os.environ.items() if k not in names}
    for chosen, policy in (({}, "1000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environment | chosen,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split()[-1] == policy
