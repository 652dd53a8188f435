"""Over 500 wrong command lines, from `wrong_commands.txt`: each ends in words within seconds; where
a line ends in ?, taking it is fine."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiny
from fuzzing import command, guarded, linux_only
from zeuxis.experiments.train import train
from zeuxis.rl.policies.numpy_policy import NumpyPolicy
from zeuxis.rl.policies.policy_file import write_policy

LINES = [
    line.strip()
    for line in (Path(__file__).parent / "wrong_commands.txt").read_text().splitlines()
    if line.strip()
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files and folders that the command lines name."""
    at = tmp_path_factory.mktemp("places")
    config = tiny.model("vae").config
    run = train(
        "vae", tiny.images(), out=at / "made", config=config, training=tiny.training(film=3)
    ).run
    assert run is not None
    shutil.copytree(run.folder, at / "run")
    shutil.copytree(
        run.folder, at / "run-noweights", ignore=shutil.ignore_patterns("*.safetensors")
    )
    shutil.copytree(run.folder, at / "run-other")
    about = json.loads((at / "run-other" / "config.json").read_text())
    about["config"]["latent_dim"] = 5
    (at / "run-other" / "config.json").write_text(json.dumps(about))
    for name in ("empty", "run-broken", "policyrun", "images", "mixed"):
        (at / name).mkdir()
    (at / "run-broken" / "config.json").write_text("{")
    policy = NumpyPolicy(
        [np.zeros((2, 4))],
        [np.zeros(2)],
        np.zeros(4),
        np.ones(4),
        "logits",
        metadata={"env": "CartPole-v1"},
    )
    write_policy(policy, at / "policy.safetensors")
    shutil.copy(at / "policy.safetensors", at / "policyrun")
    (at / "policyrun" / "config.json").write_text(
        json.dumps({"algorithm": "trpo", "model": "trpo", "env": "CartPole-v1"})
    )
    for name, content in {
        "text.txt": b"hello",
        "nothing.bin": b"",
        "latin.txt": b"caf\xe9 " * 100,
        "notimage.png": b"no image",
    }.items():
        (at / name).write_bytes(content)
    for name, mode, size in (
        ("ok", "L", (28, 28)),
        ("alpha", "RGBA", (5, 7)),
        ("mixed/a", "L", (28, 28)),
        ("mixed/b", "RGB", (9, 7)),
    ):
        Image.new(mode, size).save(at / f"{name}.png")
    (at / "broken.png").write_bytes((at / "ok.png").read_bytes()[:40])
    for i in range(4):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (28, 28), np.uint8)).save(
            at / "images" / f"{i}.png"
        )
    gray = np.zeros((3, 8, 8), np.uint8)
    np.savez(at / "float.npz", images=gray.astype(np.float32))
    np.savez(at / "flat.npz", images=gray[:, 0, 0])
    np.savez(at / "none.npz", images=gray[:0])
    np.savez(at / "object.npz", images=np.array([{}], object))
    np.savez(at / "labels.npz", images=gray, labels=np.arange(5))
    np.savez(at / "negative.npz", images=gray, labels=np.array([-7, 0, 1]))
    (at / "bad.csv").write_text("a,b\n1,2\n")
    (at / "unknown.csv").write_text("file,label\nnone.png,1\n")
    return at


def check(line: str, places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a command line ended, "" if that is right."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    here = shutil.copytree(places, tmp_path / "places")  # no line meets what another left

    def act() -> str:
        os.chdir(here)  # the child that acts starts elsewhere
        return command(*shlex.split(line.rstrip("?")))

    outcome = guarded(act, tmp_path / "act")
    shutil.rmtree(here)
    fine = ("refused", "accepted") if line.endswith("?") else ("refused",)
    return "" if outcome.kind in fine else f"{line}: {outcome.kind} {outcome.more}"


def test_the_list_is_whole() -> None:
    assert len(set(LINES)) > 500


@linux_only
@pytest.mark.parametrize("line", LINES[::60])
def test_some_wrong_command_lines(
    line: str, places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not check(line, places, tmp_path, monkeypatch)


@linux_only
@pytest.mark.slow
def test_every_wrong_command_line(
    places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = [
        end
        for i, line in enumerate(LINES)
        if (end := check(line, places, tmp_path / str(i), monkeypatch))
    ]
    assert not wrong, "\n".join(wrong)
