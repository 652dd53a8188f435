"""A run killed at any moment goes on from its last save and ends bit for bit where an unbroken one
ends."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

HELPERS = str(Path(__file__).parents[1] / "helpers")

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import tiny
from zeuxis.training.loop import fit
from zeuxis.checkpoints.run_folder import Run
print("ready", flush=True)
kind = sys.argv[3]
training = tiny.training(images=16 * 60, save_minutes=0.003, film=20, log_every=64)
fit(tiny.model(kind), tiny.data_for(kind), Run(sys.argv[2]), training, quiet=True)
"""


def go(folder: Path, kind: str) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    words = [sys.executable, "-c", SCRIPT, HELPERS, str(folder), kind]
    worker = subprocess.Popen(
        words, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    assert worker.stdout.readline().strip() == "ready"
    return worker


def check_kills(tmp_path: Path, kills: int, sent: int, kind: str = "dcgan") -> None:
    whole = tmp_path / "whole"
    began = time.monotonic()
    assert go(whole, kind).wait(300) == 0
    seconds = time.monotonic() - began
    broken, chance, struck, saves = tmp_path / "broken", random.Random(0), 0, []
    while True:
        worker = go(broken, kind)
        wait = chance.uniform(0, 1.5 * seconds / max(1, kills - struck)) if struck < kills else None
        try:
            worker.wait(wait)
        except subprocess.TimeoutExpired:
            worker.send_signal(sent)
            worker.wait(60)
            if (
                sent == signal.SIGTERM or worker.returncode
            ):  # a worker may end by itself just before the signal
                assert worker.returncode == (-sent if sent == signal.SIGKILL else 0)
                struck += 1
                state = broken / "state.safetensors"
                if state.exists():
                    load_file(state)
                    saves.append(state.stat().st_mtime_ns)
                continue
        assert worker.returncode == 0
        if struck >= kills:
            break
        for path in broken.glob(
            "*.safetensors"
        ):  # it got to the end before all kills were dealt: once more from the start
            path.unlink()
    assert saves == sorted(saves)
    a, b = load_file(whole / "state.safetensors"), load_file(broken / "state.safetensors")
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key
    frames = [sorted((f / "frames").glob("*.png")) for f in (whole, broken)]
    assert [p.read_bytes() for p in frames[0]] == [p.read_bytes() for p in frames[1]]
    assert not list(broken.rglob("*.partial"))


@pytest.mark.slow
def test_two_kills(tmp_path: Path) -> None:
    check_kills(tmp_path, 2, signal.SIGKILL)


@pytest.mark.slow
def test_twenty_kills_at_random_moments(tmp_path: Path) -> None:
    check_kills(tmp_path, 24, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["planar", "vae", "pixelcnn", "improved-gan", "infogan", "iaf-vae", "classifier"]
)
def test_every_kind_of_model_goes_on_after_kills(kind: str, tmp_path: Path) -> None:
    check_kills(tmp_path, 8, signal.SIGKILL, kind)


@pytest.mark.slow
def test_five_terminations_at_random_moments(tmp_path: Path) -> None:
    check_kills(tmp_path, 5, signal.SIGTERM)
