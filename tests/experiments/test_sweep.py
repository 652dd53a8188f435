"""Sweeps: the grid, restarts, retries, and the tables; with real trainings in the slow tests."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from zeuxis.checkpoints.run_folder import STATE, Run
from zeuxis.commands import sweep
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.experiments.sweep import cell as cells
from zeuxis.experiments.sweep.cell import Outcome, claim, is_done, run_cell
from zeuxis.experiments.sweep.drive import State, drive, reached
from zeuxis.experiments.sweep.grid import Cell, grid, parse_seeds
from zeuxis.experiments.sweep.places import Processes, Ray, Slurm, SlurmConfig

TRAIN = shlex.split(
    "train planar --data ring --limit 256 --model.width 8 --model.depth 2 --training.batch 16 "
    "--training.film 0 --training.device cpu --training.precision fp32 --training.threads 1 "
    "--training.log-every 160 --training.images 640"
)
COPY = "import os, shutil, sys; shutil.copytree(os.environ['MADE'], sys.argv[-1] + '/0001-run')"


def made_run(folder: Path, images: int = 10, planned: int = 10, figure: float = 1.0) -> Run:
    """A run folder as a training leaves it."""
    run = Run.at(folder)
    about = {"zeuxis": "0.2.0", "model": "vae", "training": {"images": planned, "seed": 0}}
    run.write_json("config.json", about)
    run.write_tensors(STATE, {}, {"images": images, "seconds": 5.0})
    run.log({"images": images, "bound": figure})
    return run


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that the program of a training copies, in place of a training."""
    monkeypatch.setattr(cells, "PROGRAM", COPY)
    monkeypatch.setenv("MADE", str(tmp_path / "made"))
    return made_run(tmp_path / "made")


class Script:
    """A place whose trainings end as a list says."""

    def __init__(self, codes: dict[str, list[int]], at_once: int = 0) -> None:
        self.codes, self.at_once, self.begun, self.most = codes, at_once, [], 0
        self.running: set[str] = set()

    def submit(self, argv: Sequence[str], folder: Path, imports: Sequence[str]) -> Any:
        self.begun.append(folder.name)
        self.running.add(folder.name)
        self.most = max(self.most, len(self.running))
        return folder

    def outcome(self, job: Path) -> Outcome:
        self.running.discard(job.name)
        code = self.codes.get(job.name, [0]).pop(0)
        if code == 0:
            made_run(job / "0001-run")
            (job / "done.json").write_text("{}")
        return Outcome(code, () if code == 0 else ("the last line",))

    def close(self) -> None:
        self.begun.append("closed")


def test_the_grid_has_every_value_with_every_seed() -> None:
    found = grid(["train", "vae"], parse_seeds("0-1"), ["model.lr=1e-3,3e-3", "training.ema=True"])
    assert [one.seed for one in found] == [0, 1, 0, 1]
    assert found[0].name == "lr-1e-3-ema-True-seed0"
    assert "--training.ema" in found[0].argv and len({one.argv for one in found}) == 4


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("sample mnist/dcgan", "zeuxis sweep repeats trainings"),
        ("train", "zeuxis sweep repeats trainings"),
        ("train dcgna", "There is no model"),
        ("train --seeds 0", "The model comes first"),
        ("train vae --seeds x", "expected seeds and ranges"),
        ("train vae --seeds 3-1", "expected seeds and ranges"),
        ("train vae --seeds 0-99999", "more than 10,000 seeds"),
        ("train vae --set model.lr", "expected NAME=VALUE"),
        ("train vae --set model.lr=1,,2", "expected NAME=VALUE"),
        ("train vae --set seed=1,2", "takes its seeds from --seeds"),
        ("train vae --seed 3", "takes its seeds from --seeds"),
        ("train vae --set out=a,b", "their folder is --out"),
        ("train vae --set model.lr=1 --set model.lr=2", "given twice"),
        ("train vae --model.lr 1 --set model.lr=2", "given twice"),
        ("train vae --resume runs/0001", "for single trainings"),
        ("train vae --dry-run", "for single trainings"),
    ],
)
def test_a_wrong_sweep_gets_a_sentence(line: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        sweep.main(shlex.split(line))


def test_what_is_done_is_not_done_again(
    made: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_cell(["train"], str(tmp_path / "seed0")) == (0, ())
    assert is_done(tmp_path / "seed0")
    monkeypatch.setattr(cells, "PROGRAM", "raise SystemExit(3)")
    assert run_cell(["train"], str(tmp_path / "seed0")) == (0, ())
    (tmp_path / "seed0" / "done.json").unlink()
    assert run_cell(["train"], str(tmp_path / "seed0"))[0] == 3


def test_a_training_with_a_save_is_resumed(
    made: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_run(tmp_path / "seed0" / "0001-run", images=5)
    monkeypatch.setattr(cells, "PROGRAM", "import sys; sys.exit(' '.join(sys.argv[1:]))")
    code, lines = run_cell(["train", "vae"], str(tmp_path / "seed0"), ["mine.py"])
    assert code == 1
    assert lines[-1] == f"train --resume {tmp_path}/seed0/0001-run --import mine.py"


def test_a_training_that_was_stopped_is_not_done(tmp_path: Path, made: Run) -> None:
    made_run(Path(os.environ["MADE"]), images=5)
    code, lines = run_cell(["train"], str(tmp_path / "seed0"))
    assert code == 130 and "was stopped" in lines[-1] and not is_done(tmp_path / "seed0")


def test_a_training_ends_with_its_caller(tmp_path: Path) -> None:
    """Its standard input is closed then."""
    program = "import signal; from zeuxis.caller import end_with_caller; end_with_caller(); "
    program += "print('ready', flush=True); signal.pause()"
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None and child.stdin is not None
    assert child.stdout.readline() == b"ready\n"
    child.stdin.close()
    assert child.wait(30) == -signal.SIGTERM


def test_failures_are_retried_as_asked(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    found = grid(["train", "vae"], range(4), [])
    place = Script({"seed1": [1, 0], "seed2": [1, 1, 0], "seed3": [2, 0]}, at_once=2)
    states = drive(found, tmp_path, place, retries=1, poll=0)
    assert [state.status for state in states] == ["done", "done", "failed", "failed"]
    assert [state.attempts for state in states] == [1, 2, 2, 1]  # a wrong option stays wrong
    assert place.most == 2 and place.begun[-1] == "closed"
    assert "the last line" in capsys.readouterr().err
    again = Script({})
    states = drive(found, tmp_path, again, poll=0)
    assert again.begun == ["seed2", "seed3", "closed"]
    assert all(state.status == "done" for state in states)


def test_another_command_does_not_go_on_in_the_folder(tmp_path: Path) -> None:
    claim(Cell("seed0", ("train", "vae"), 0), tmp_path / "seed0")
    claim(Cell("seed0", ("train", "vae"), 0), tmp_path / "seed0")
    with pytest.raises(UsageError, match="the training of another command"):
        claim(Cell("seed0", ("train", "dcgan"), 0), tmp_path / "seed0")


def test_progress_is_read_from_the_last_report(tmp_path: Path) -> None:
    run = made_run(tmp_path / "seed0" / "0001-run", images=4, planned=16)
    assert reached(run) == 4
    state = State(Cell("seed0", (), 0), tmp_path / "seed0", "running")
    assert state.share() == 0.25
    run.path("metrics.jsonl").write_text("")
    assert state.share() == 0.0


def test_the_tables_have_every_seed_and_the_quartiles(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    states = []
    for seed in range(3):
        made_run(tmp_path / f"seed{seed}" / "0001-run", figure=10.0 * seed)
        cell = Cell(f"seed{seed}", (), seed)
        states.append(State(cell, tmp_path / cell.name, "done"))
    states.append(State(Cell("seed3", (), 3), tmp_path / "seed3", "failed"))
    record = tmp_path / "record.json"
    args = sweep.Sweep(record=sweep.RecordOptions(str(record)))
    with pytest.raises(ZeuxisError, match=r"1 of 4 trainings failed \(seed3\)"):
        sweep.report(states, args, time.monotonic())
    said = capsys.readouterr().out
    assert all(f"seed{seed}" in said for seed in range(3))
    group = json.loads(record.read_text())["figures"]["groups"]["runs"]
    assert group["last of each run"] == [0.0, 10.0, 20.0]
    assert group["curve"][-1]["quartiles"] == [5.0, 10.0, 15.0]


def weights(folder: Path) -> bytes:
    state = load_file(next(folder.glob("*/model.safetensors")))
    return b"".join(tensor.numpy().tobytes() for tensor in state.values())


@pytest.mark.slow
def test_a_killed_sweep_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    words = [*TRAIN, "--training.images", "4800", "--training.save-minutes", "0.002"]
    argv = ["sweep", *words, "--seeds", "0-1", "--jobs", "2", "--out"]
    command = [sys.executable, "-m", "zeuxis", *argv]
    assert subprocess.run([*command, str(tmp_path / "whole")], check=False).returncode == 0
    broken = subprocess.Popen([*command, str(tmp_path / "broken")])
    while not list((tmp_path / "broken").glob("*/*/state.safetensors")):
        time.sleep(0.1)
    broken.kill()
    broken.wait()
    assert subprocess.run([*command, str(tmp_path / "broken")], check=False).returncode == 0
    for name in ("seed0", "seed1"):
        assert is_done(tmp_path / "broken" / name)
        assert weights(tmp_path / "broken" / name) == weights(tmp_path / "whole" / name)


@pytest.mark.slow
def test_slurm_by_submitits_local_executor(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="needs the extra slurm")
    found = grid(TRAIN, [0, 1], [])
    states = drive(found, tmp_path, Slurm(SlurmConfig(cluster="local"), tmp_path))
    assert [state.status for state in states] == ["done", "done"]
    alone = drive(found[:1], tmp_path / "alone", Processes(1))
    assert alone[0].status == "done"
    assert weights(tmp_path / "seed0") == weights(tmp_path / "alone" / "seed0")


@pytest.mark.slow
def test_a_ray_cluster_loses_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two node processes on loopback; one is killed once its training has a save."""
    pytest.importorskip("ray", reason="needs the extra ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    found = grid([*TRAIN, "--training.save-minutes", "0.002"], [0, 1, 2], [])

    class Struck(Ray):
        """Kills the second node once there are two saves."""

        struck = False

        def outcome(self, job: Any) -> Outcome | None:
            if not self.struck and len(list(tmp_path.glob("*/*/state.safetensors"))) >= 2:
                cluster.remove_node(second, allow_graceful=False)
                self.struck = True
            return super().outcome(job)

    try:
        place = Struck()
        states = drive(found, tmp_path, place, retries=1)
    finally:
        cluster.shutdown()
    assert place.struck
    assert [state.status for state in states] == ["done"] * 3
    alone = drive(found, tmp_path / "alone", Processes(1))
    for state in alone:
        assert weights(tmp_path / state.cell.name) == weights(state.place)
