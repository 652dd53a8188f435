"""Damaged run folders: loaded, resumed and filmed as they were, or refused in a sentence."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

import tiny
import zeuxis
from fuzzing import Target, check, command, faults, fuzz, linux_only
from mutations import bytes_mutant, config_mutant, lines_mutant, tensors_mutant
from zeuxis.data.config import DataConfig
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.errors import ZeuxisError
from zeuxis.experiments.experiment import Experiment
from zeuxis.experiments.resume import resume
from zeuxis.experiments.train import start
from zeuxis.registry import models
from zeuxis.training.config import TrainingConfig
from zeuxis.training.held_out import kept_held_out

pytestmark = linux_only

KINDS = ["dcgan", "vae", "pixelcnn", "improved-gan", "infogan", "pixelrnn"]
MANY = [pytest.mark.slow, pytest.mark.timeout(3600)]


def data() -> Dataset:
    x = torch.randint(
        0, 256, (64, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(5)
    )
    return Dataset(Spec("tiny", (1, 28, 28), 10), x, torch.arange(64) % 10)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A short run of each kind, made when it is asked for."""
    out = tmp_path_factory.mktemp("runs")

    class Made(dict[str, Path]):
        def __missing__(self, kind: str) -> Path:
            t = TrainingConfig(
                images=64,
                batch=16,
                film=3,
                log_every=16,
                average=100,
                precision="fp32",
                device="cpu",
                threads=1,
            )
            config = models()[kind].Config(**tiny.config(kind))
            experiment = Experiment(kind, config, t, DataConfig("tiny"), data=data())
            done = start(experiment, out / kind)
            self[kind] = done.run.folder
            return self[kind]

    return Made()


def summary(model: zeuxis.Model, *more: torch.Tensor) -> str:
    total = hashlib.sha256()
    for x in (*model.state_dict().values(), *more):
        assert not x.is_floating_point() or torch.isfinite(x).all()
        total.update(x.detach().contiguous().numpy().tobytes())
    return total.hexdigest()[:16]


def loaded(folder: Path) -> str:
    model = zeuxis.load(folder)
    return summary(model, model.sample(1, generator=torch.Generator().manual_seed(1)))


def resumed(folder: Path) -> str:
    return summary(resume(folder, images=80, data=data()).model)


def looked(folder: Path) -> str:
    out = folder.parent / "looks"
    command("film", str(folder), "--out", str(out / "f.webp"))
    command("curves", str(folder), "--out", str(out / "c.png"))
    return "looked"


@pytest.mark.parametrize("copies", [15, pytest.param(300, marks=MANY)])
@pytest.mark.parametrize(
    "kind", ["vae", *[pytest.param(k, marks=pytest.mark.slow) for k in KINDS if k != "vae"]]
)
def test_damaged_folders_load_or_are_refused(
    kind: str, copies: int, runs: dict[str, Path], tmp_path: Path
) -> None:
    mutants = {"config.json": config_mutant, "ema.safetensors": tensors_mutant}
    check(Target(runs[kind], mutants, loaded), copies, tmp_path / "work")


@pytest.mark.parametrize("copies", [12, pytest.param(300, marks=MANY)])
@pytest.mark.parametrize("kind", ["vae", pytest.param("dcgan", marks=pytest.mark.slow)])
def test_damaged_runs_resume_or_are_refused(
    kind: str, copies: int, runs: dict[str, Path], tmp_path: Path
) -> None:
    mutants = {
        "config.json": config_mutant,
        "state.safetensors": tensors_mutant,
        "metrics.jsonl": lines_mutant,
    }
    check(Target(runs[kind], mutants, resumed), copies, tmp_path / "work")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_damaged_logs_and_frames_are_looked_at_or_refused(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    frame = sorted(p.relative_to(runs["vae"]) for p in (runs["vae"] / "frames").iterdir())[-1]
    mutants = {
        "metrics.jsonl": lines_mutant,
        str(frame): bytes_mutant,
        "config.json": config_mutant,
    }
    assert not faults(fuzz(Target(runs["vae"], mutants, looked), 100, tmp_path / "work"))


HELD = [
    [-1],
    "x",
    5,
    {"images": 1},
    {"images": True, "of": 64, "seed": 0},
    {"images": -1, "of": 64, "seed": 0},
    {"images": 2.0, "of": 9, "seed": 0},
]


@pytest.mark.parametrize(
    "held",
    [*HELD, {"images": 2**70, "of": 1, "seed": 1}, {"images": 1, "of": 64, "seed": -1}],
    ids=str,
)
def test_what_was_held_out_is_whole_or_refused(
    held: object, runs: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(runs["vae"], tmp_path / "run"))
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | {"held_out": held}))
    for act in (lambda: resumed(folder), lambda: kept_held_out({"held_out": held}, "config.json")):
        with pytest.raises(ZeuxisError, match="held out"):
            act()


def test_a_run_that_does_not_say_its_version_is_resumed(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(runs["vae"], tmp_path / "run"))
    about = json.loads((folder / "config.json").read_text())
    del about["zeuxis"]
    (folder / "config.json").write_text(json.dumps(about))
    resumed(folder)
    assert "of an unknown version" in (folder / "README.md").read_text()
