"""Two processes under torchrun: killed, resumed, and ended when one of them ends."""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from zeuxis.checkpoints.run_folder import Run

ARGV = shlex.split(
    "train planar --data ring --limit 256 --model.width 8 --model.depth 2 --training.batch 16 "
    "--training.film 0 --training.device cpu --training.precision fp32 --training.threads 1 "
    "--training.save-minutes 0.001 --training.log-every 1000000"
)


def torchrun(argv: list[str], log: Path, restarts: int = 0) -> subprocess.Popen:
    line = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--max-restarts",
        str(restarts),
        "--nproc-per-node",
        "2",
        "-m",
        "zeuxis",
        *argv,
    ]
    return subprocess.Popen(
        line,
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def ranks(agent: subprocess.Popen) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(agent.pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    return [int(pid) for pid in found]


def until_saved(out: Path, beyond: int = 0, seconds: float = 120) -> Run:
    """The run under `out`, once it has a save of more images."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for folder in sorted(out.glob("*")):
            if (folder / "config.json").exists() and Run(folder).saved_images() > beyond:
                return Run(folder)
        time.sleep(0.02)
    raise AssertionError("no save in time")


def check_kills(tmp_path: Path, kills: int, images: int) -> None:
    log, chance = tmp_path / "log", random.Random(0)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert (
        torchrun([*ARGV, "--training.images", str(images), "--out", str(whole)], log).wait(300) == 0
    ), log.read_text()
    run, struck, beyond = None, 0, 0
    while True:
        resumed = (
            ["train", "--resume", str(run)]
            if run
            else [*ARGV, "--training.images", str(images), "--out", str(broken)]
        )
        agent = torchrun(resumed, log)
        if struck == kills:
            assert agent.wait(300) == 0, log.read_text()
            break
        run = until_saved(broken, beyond)
        time.sleep(chance.uniform(0, 0.2))
        victims = ranks(agent)
        if agent.poll() is None and len(victims) == 2:
            os.kill(victims[chance.randrange(2)], signal.SIGKILL)
            began = time.monotonic()
            code = agent.wait(60)
            assert time.monotonic() - began < 20, "the other process went on waiting"
            assert code != 0 or run.saved_images() >= images
            assert "Another process of this training has ended" in log.read_text() or code == 0, (
                log.read_text()
            )
            assert run.saved_images() >= beyond
            beyond, struck = min(run.saved_images(), images - 1), struck + 1
        else:
            agent.wait(60)
        if run.saved_images() >= images:  # it got to the end before all kills were dealt
            break
    assert run is not None
    one = next(folder for folder in whole.glob("*"))
    for name in ("state.safetensors", "model.safetensors", "ema.safetensors"):
        a, b = load_file(one / name), load_file(run.path(name))
        assert a.keys() == b.keys()
        assert all(a[key].numpy().tobytes() == b[key].numpy().tobytes() for key in a), name
    assert struck >= min(kills, 1)


@pytest.mark.slow
def test_two_processes_killed_once_go_on_to_the_same_weights(tmp_path: Path) -> None:
    check_kills(tmp_path, 1, 16 * 400)


@pytest.mark.slow
def test_two_processes_killed_ten_times_end_with_the_same_weights(tmp_path: Path) -> None:
    check_kills(tmp_path, 10, 16 * 2_000)


@pytest.mark.slow
def test_torchrun_restarts_the_group_by_itself(tmp_path: Path) -> None:
    """A rank is killed at a random moment; the same torchrun goes on to the same weights."""
    log, length = tmp_path / "log", ["--training.images", str(16 * 400)]
    whole = torchrun([*ARGV, *length, "--out", str(tmp_path / "whole")], log)
    assert whole.wait(600) == 0, log.read_text()
    agent = torchrun([*ARGV, *length, "--out", str(tmp_path / "broken")], log, restarts=2)
    run = until_saved(tmp_path / "broken")
    time.sleep(random.Random(1).uniform(0, 0.3))
    killed = ranks(agent)[1]
    os.kill(killed, signal.SIGKILL)
    assert agent.wait(600) == 0, log.read_text()
    assert run.saved_images() == 16 * 400
    folders = [path for path in (tmp_path / "broken").iterdir() if path.is_dir()]
    assert folders == [run.folder], "the restarted group began another run"
    one = next(path for path in (tmp_path / "whole").iterdir() if path.is_dir())
    a, b = load_file(one / "state.safetensors"), load_file(run.path("state.safetensors"))
    assert all(a[key].numpy().tobytes() == b[key].numpy().tobytes() for key in a)
