"""A user's model is trained, saved and loaded again; what a saved folder names is never
imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import tiny
import zeuxis
from zeuxis import registry
from zeuxis.checkpoints.weights import build
from zeuxis.cli import main
from zeuxis.data.dataset import Spec
from zeuxis.errors import UsageError
from zeuxis.model import Model
from zeuxis.ranges import BaseConfig
from zeuxis.registry import model_class, models

SOURCE = '''
from dataclasses import dataclass

import torch
from torch import nn

from zeuxis import Model, Player


@dataclass(frozen=True)
class TinyConfig:
    lr: float = 0.1
    """Step size."""
    width: int = 2
    """Unused."""


class Tiny(Model):
    name = "NAME"
    Config = TinyConfig

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.net = nn.Linear(1, spec.size, bias=False)

    def players(self):
        return {"mean": Player(self.net, self.config.lr)}

    def play(self, batch):
        error = batch.x.float().flatten(1) / 255 - self.net.weight[:, 0]
        yield "mean", error.square().sum(1).mean()

    def sample(self, n, *, generator=None):
        u = torch.rand(n, self.spec.size, generator=generator)
        return (255 * (u < self.net.weight[:, 0])).to(torch.uint8).view(n, *self.spec.shape)
'''
SHORT = [
    "--training.images",
    "64",
    "--training.batch",
    "16",
    "--training.film",
    "0",
    "--training.device",
    "cpu",
    "--training.threads",
    "1",
]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models and modules of one test are unknown to the next."""
    monkeypatch.setattr(registry, "own", dict(registry.own))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("own_"):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_tiny.py").write_text(SOURCE.replace("NAME", "own-tiny"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def forget() -> None:
    """As a new process that has imported nothing."""
    registry.own.clear()
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


@pytest.mark.parametrize("named", ["own_tiny.py:Tiny", "own_tiny:Tiny", "./own_tiny.py:Tiny"])
def test_trained_by_name_and_opened_by_name(
    named: str, folder: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["train", named, "--limit", "64", "--out", "runs", *SHORT]) == 0
    (run,) = Path("runs").iterdir()
    assert json.loads((run / "config.json").read_text())["class"] == "own_tiny:Tiny"
    assert zeuxis.load(run).name == "own-tiny"
    forget()
    capsys.readouterr()
    assert main(["sample", str(run), "--n", "4"]) == 2
    assert "was defined in own_tiny:Tiny, which is not imported" in capsys.readouterr().err
    with pytest.raises(
        UsageError, match="import that module first, or on the command line add --import own_tiny"
    ):
        zeuxis.load(run)
    assert "own_tiny" not in sys.modules, "a saved folder imports nothing"
    assert main(["sample", str(run), "--n", "4", "--import", "own_tiny.py"]) == 0
    forget()
    assert main(["--import=own_tiny", "train", "--resume", str(run), "--images", "128"]) == 0


def test_trained_in_python_by_class_and_by_words(folder: Path) -> None:
    result = zeuxis.train("own_tiny.py:Tiny", tiny.images(), out="runs", training=tiny.training())
    kind = type(result.model)
    again = zeuxis.train(kind, tiny.images(), out="runs", training=tiny.training())
    assert torch.equal(result.model.net.weight, again.model.net.weight)
    path = zeuxis.save(result.model, "saved")
    assert type(zeuxis.load(path)) is kind and torch.equal(
        zeuxis.load(path).net.weight, result.model.net.weight
    )


@pytest.mark.parametrize("entry", ["os:system", "own_evil:Evil", "own_evil.py:Evil", "own_evil"])
def test_a_saved_folder_never_decides_what_is_imported(entry: str, folder: Path) -> None:
    (folder / "own_evil.py").write_text("open('ran', 'w')\n" + SOURCE)
    path = zeuxis.save(tiny.model("vae"), folder / "saved")
    about = json.loads((path / "config.json").read_text())
    for change in ({"model": entry}, {"model": "evil", "class": entry}, {"class": entry}):
        (path / "config.json").write_text(json.dumps(about | change))
        try:
            assert zeuxis.load(path).name == "vae"
        except zeuxis.ZeuxisError as error:
            assert "\n" not in str(error)
        assert main(["sample", str(path), "--out", str(folder / "x.png")]) in (0, 1, 2)
    assert not (folder / "ran").exists() and "own_evil" not in sys.modules


def test_a_name_is_given_once(folder: Path) -> None:
    class First(Model):
        name = "own-first"
        Config = BaseConfig

    for taken in ("own-first", "dcgan"):
        with pytest.raises(
            UsageError, match=f"There is a model '{taken}' already, .*: give .*Second another name"
        ):

            class Second(Model):
                name = taken
                Config = BaseConfig

    with pytest.raises(UsageError, match="give a text without / and :"):

        class Third(Model):
            name = "mnist/own"
            Config = BaseConfig

    (folder / "own_taken.py").write_text(SOURCE.replace("NAME", "vae"))
    with pytest.raises(UsageError, match="There is a model 'vae' already"):
        zeuxis.train("own_taken.py:Tiny", tiny.images())
    assert models()["dcgan"].__module__ == "zeuxis.gan.dcgan" and model_class("own-first") is First


def test_a_class_may_be_defined_again_in_its_place() -> None:
    for _ in range(2):

        class Again(Model):
            name = "own-again"
            Config = BaseConfig

    assert models()["own-again"] is Again


def test_save_refuses_what_load_could_not_find(tmp_path: Path) -> None:
    kind = type(tiny.model("vae"))

    class Nameless(kind):  # type: ignore[misc, valid-type]
        pass

    for model in (
        Nameless(kind.Config(channels=(4,), hidden_dim=4, latent_dim=2), Spec("x", (1, 8, 8))),
    ):
        with pytest.raises(
            UsageError,
            match=(
                r"Nameless could not be found again .* give the class another name, "
                r"as in name = \"nameless\""
            ),
        ):
            zeuxis.save(model, tmp_path / "saved")
    with pytest.raises(UsageError, match="Nameless could not be found again"):
        zeuxis.train(Nameless, tiny.images(), out=tmp_path / "runs")
    assert not any(tmp_path.iterdir())

    class Bare(Model):
        name = "own-bare"

    with pytest.raises(UsageError, match="has no settings"):
        zeuxis.train(Bare, tiny.images())
    with pytest.raises(UsageError, match="is no model"):
        model_class(nn.Linear)  # type: ignore[arg-type]


MISTAKES = {
    "own_tiny.py": "Name the class after the file",
    "own_none.py:Tiny": "There is no file 'own_none.py'",
    "own_none:Tiny": "'own_none' cannot be imported",
    "own_tiny.py:Tinny": "has no class 'Tinny': its models are Tiny",
    "own_tiny.py:": "has no class ''",
    ":Tiny": "'' is no module",
    "own tiny:Tiny": "is no module",
    "own_wrong.py:Tiny": (
        r"'own_wrong.py' cannot be imported \(own_wrong.py, line 1\): "
        r"ZeroDivisionError"
    ),
    "own_syntax.py:Tiny": "'own_syntax.py' cannot be imported.*SyntaxError",
    "own_exit.py:Tiny": "'own_exit.py' cannot be imported.*SystemExit",
    "own_tiny.py:TinyConfig": "is no model",
    ".:Tiny": "is no module",
}


@pytest.mark.parametrize("named", MISTAKES)
def test_a_wrong_place_gets_a_sentence(
    named: str, folder: Path, capsys: pytest.CaptureFixture
) -> None:
    (folder / "own_wrong.py").write_text("1 / 0\n")
    (folder / "own_syntax.py").write_text("def\n")
    (folder / "own_exit.py").write_text("raise SystemExit(0)\n")
    with pytest.raises(UsageError, match=MISTAKES[named]) as error:
        zeuxis.train(named, tiny.images())
    assert "\n" not in str(error.value)
    assert main(["train", named]) == 2 and str(error.value) in capsys.readouterr().err


def test_import_needs_a_module_and_a_command(capsys: pytest.CaptureFixture) -> None:
    assert main(["list", "--import"]) == 2 and "needs a module" in capsys.readouterr().err
    assert main(["--import", "json"]) == 2 and "Name a command" in capsys.readouterr().err


def test_settings_that_check_nothing_themselves_are_checked(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    kind = registry.named("own_tiny.py:Tiny")
    for wrong in ({"lr": float("nan")}, {"width": 2**63}):
        with pytest.raises(UsageError, match=f"--model.{next(iter(wrong))} must be "):
            build(kind, kind.Config(**wrong), Spec("x", (1, 2, 2)))
    assert main(["train", "own_tiny.py:Tiny", "--model.lr", "nan", "--limit", "64", *SHORT]) == 2
    assert "--model.lr must be a finite number, got nan" in capsys.readouterr().err


def test_models_of_installed_packages_are_found(folder: Path) -> None:
    """In new processes, in which a package with an entry point is on the path."""
    site = folder / "site"
    (site / "own_pack-1.dist-info").mkdir(parents=True)
    shutil.copy(folder / "own_tiny.py", site / "own_pack.py")
    (site / "own_pack-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: own-pack\nVersion: 1\n"
    )
    (site / "own_pack-1.dist-info" / "entry_points.txt").write_text(
        "[zeuxis.models]\nown = own_pack:Tiny\nbad = own_gone:Tiny\n"
    )
    code = (
        "import warnings; warnings.simplefilter('ignore'); import zeuxis; "
        "print(zeuxis.models()['own-tiny'].__module__)"
    )
    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "own_pack\n", done.stderr
