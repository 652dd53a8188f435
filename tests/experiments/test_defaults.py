"""The recipe that a training starts from, short forms of options, and folders of zeuxis 0.1."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import tiny
import zeuxis
from zeuxis.capabilities import CanClassify, CanSample
from zeuxis.checkpoints.run_folder import Run
from zeuxis.checkpoints.weights import save
from zeuxis.cli import main
from zeuxis.commands.options import MODEL_OPTIONS, expand, model_refusals, policy_options
from zeuxis.data.config import DataConfig
from zeuxis.errors import MissingCapability, UsageError, ZeuxisError
from zeuxis.experiments.defaults import default_experiment
from zeuxis.experiments.resume import resume
from zeuxis.model import require
from zeuxis.registry import built_in, model_class


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
    with pytest.raises(UsageError, match="must be something else"):
        expand(["--lr=1"], {}, {"--lr": "It must be something else."})


@pytest.mark.parametrize("name", sorted(built_in()))
def test_short_forms_set_the_fields_of_every_model(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiments = []
    monkeypatch.setattr("zeuxis.commands.train.start", lambda e, out: experiments.append(e))
    argv = ["train", name, "--batch=8", "--lr", "0.125", "--seed", "3"]
    assert main([*argv, "--images", "64"]) == 0 and main([*argv, "--minutes=2"]) == 0
    for experiment, images, minutes in zip(experiments, (64, None), (0, 2), strict=True):
        t = experiment.training
        assert (t.batch, t.seed, t.minutes, experiment.config.lr) == (8, 3, minutes, 0.125)
        assert images in (None, t.images)


def test_a_training_refuses_the_short_forms_of_the_other_kind(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "vae", "--steps", "64"]) == 2
    assert "a model's training is counted in --images." in capsys.readouterr().err


def test_lr_is_refused_for_a_model_without_a_step_size() -> None:
    @dataclass(frozen=True)
    class WithoutStepSize:
        width: int = 8

    vae = model_class("vae")
    kind = type("Other", (vae,), {"Config": WithoutStepSize})  # unnamed, so not registered
    assert "a setting that 'vae' does not have" in model_refusals(kind)["--lr"]
    assert "--lr" not in model_refusals(vae)


def test_a_folder_of_version_0_1_gets_a_sentence(tmp_path: Path) -> None:
    folder = save(tiny.model("vae"), tmp_path / "model")
    about = Run(folder).read_json("config.json")
    about["settings"] = about.pop("config")
    Run(folder).write_json("config.json", about)
    for act in (zeuxis.load, resume):
        with pytest.raises(ZeuxisError, match=r"was saved by zeuxis 0\.1"):
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
