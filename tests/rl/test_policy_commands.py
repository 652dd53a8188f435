"""Policies on the command line: a whole visit, and a table of what does not work with the one
sentence each gives."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gymnasium")

from tiny_envs import demos_of, right_expert, switch_expert
from zeuxis.checkpoints.run_folder import Run
from zeuxis.cli import main
from zeuxis.experiments.policy_training import ALGORITHMS, IMITATION, PolicyTraining
from zeuxis.rl.environments.environment import Environment
from zeuxis.rl.environments.registration import maker
from zeuxis.rl.imitation.demonstration_files import write_demos
from zeuxis.rl.policies.policy_file import load_policy, write_policy
from zeuxis.rl.rollouts.rendering import draw_without_screen, image_of, track_body

TASK = "--env tiny_envs:Drawn-v0"
SMALL = "--training.workers 0 --training.threads 1 --training.batch 100 --training.hidden 8"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of good and bad things to give to the command line."""
    at = tmp_path_factory.mktemp("place")
    expert = switch_expert(False)
    expert.metadata = {"env": "tiny_envs:Drawn-v0"}
    write_policy(expert, at / "expert.safetensors")
    silent = switch_expert(False)
    write_policy(silent, at / "silent.safetensors")
    write_policy(switch_expert(True), at / "continuous.safetensors")
    write_policy(right_expert(), at / "other.safetensors")
    write_demos(demos_of(), at / "other.npz")
    (at / "text.npz").write_text("hello")
    (at / "empty").mkdir()
    (at / "damaged").mkdir()
    (at / "damaged" / "config.json").write_text('{"algorithm": "gail"}')
    (at / "future").mkdir()
    (at / "future" / "config.json").write_text('{"algorithm": "dreamer", "env": "Hopper-v5"}')
    return at


def test_a_whole_visit(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)

    def run(argv: str) -> str:
        assert main(argv.split()) == 0, capsys.readouterr().err
        said = capsys.readouterr()
        return said.out + said.err

    said = run("demos record expert.safetensors --episodes 3 --out demos.npz")
    assert (
        "3 trajectories, 60 steps" in said
        and "return 20.00 ± 0.00" in said
        and "Written: demos.npz" in said
    )
    assert "policy expert.safetensors" in run("demos show demos.npz")
    said = run(
        f"train gail {TASK} --demos demos.npz {SMALL} --training.steps 300 --gail.hidden "
        "8 --gail.trajectories 2 --gail.every 2"
    )
    assert (
        "20 pairs of 2 demonstrations" in said
        and "at least 0: going on pays" in said
        and "300 of 300 steps" in said
    )
    folder = place / "runs" / "0001-gail-tiny_envs-Drawn-v0-seed0"
    assert {p.name for p in folder.iterdir()} >= {
        "config.json",
        "state.safetensors",
        "policy.safetensors",
        "metrics.jsonl",
        "README.md",
    }
    assert "No file of this folder is a" in (folder / "README.md").read_text()
    lines = Run(folder).metrics()
    assert [line["steps"] for line in lines] == [100, 200, 300] and lines[0][
        "reward"
    ] == pytest.approx(np.log(2))
    assert load_policy(folder).metadata["algorithm"] == "gail"

    assert "400 of 400 steps" in run(f"train --resume {folder} --images 400")
    run(f"train --resume {folder} --minutes 0.02")
    more = Run(folder).read_json("config.json")["training"]["steps"]
    assert Run(folder).saved_images() >= more > 400
    said = run(f"evaluate {folder} --episodes 4 --workers 0 --record record.json --paper 1.0")
    assert "expert 20.00" in said and "of the way" in said
    record = json.loads((place / "record.json").read_text())
    assert record["figures"]["expert"] == 20 and record["figures"]["episodes"] == 4
    assert record["training"]["command"].startswith(
        "zeuxis train gail --env tiny_envs:Drawn-v0 --demos demos.npz"
    )
    assert (
        f"--training.steps={more}" in record["training"]["command"]
        and "--gail.every=2" in record["training"]["command"]
    )
    assert "20 steps" in run("evaluate expert.safetensors --episodes 2 --workers 0")
    assert "6 pictures" in run(f"play {folder} --every 4 --steps 21 --out film.gif")
    assert Image.open(place / "film.gif").n_frames > 1
    run("play expert.safetensors --episodes 2 --steps 3 --every 1 --side 30 --out film.webp")
    assert Image.open(place / "film.webp").size == (30, 20)

    for argv in ("fem", "gtal --preset modern --gail.no-absorbing --gail.penalty 0"):
        run(f"train {argv} {TASK} --demos demos.npz {SMALL} --training.steps 100")
    assert "60 pairs" not in run(
        f"train bc {TASK} --demos demos.npz --bc.steps 50 --bc.validate-every 25 --bc.threads 1"
    )
    assert run(f"evaluate {place}/runs/0004-bc-tiny_envs-Drawn-v0-seed0 --episodes 2 --workers 0")
    run(f"train trpo {TASK} {SMALL} --training.steps 100")
    said = run(f"train trpo {TASK} {SMALL} --training.steps 100 --trust-region.delta 0.1 --dry-run")
    assert "steps/s here" in said and '"delta": 0.1' in said
    assert len(list((place / "runs").iterdir())) == 5
    assert "0005-trpo" in run("list") and "gtal" in run("list")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_short_forms_set_the_fields_of_every_algorithm(
    algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings: list[PolicyTraining] = []
    monkeypatch.setattr("zeuxis.commands.train_policy.start", lambda t, out: trainings.append(t))
    argv = f"train {algorithm} {TASK} --steps 70 --minutes=2 --batch 9 --seed=3".split()
    demos = ["--demos", "demos.npz"] if algorithm in IMITATION else []
    network = algorithm in ("bc", "gail", "vime")  # one that its own Adam fits
    assert main([*argv, *demos, *(["--lr", "0.125"] if network else [])]) == 0
    loop = trainings[0].loop
    assert (loop.steps, loop.minutes, loop.batch, loop.seed) == (70, 2, 9, 3)
    if network:
        assert trainings[0].experiment.config.lr == 0.125  # type: ignore[union-attr]


# command, exit code, part of the sentence; {0} is the folder above
BAD = [
    ("train trpo --env Hoper-v5", 2, "There is no task 'Hoper-v5'"),
    ("train trpo --env nowhere:Task-v0", 2, "There is no task 'nowhere:Task-v0'"),
    ("train trpo", 2, "--env"),
    (f"train trpo {TASK} --training.gamma 2", 2, "--training.gamma must be from 0 to 1"),
    (f"train trpo {TASK} --training.gama 2", 2, "gama"),
    (f"train trpo {TASK} --images 100", 2, "a policy's training is counted in --steps"),
    (f"train bc {TASK} --images=100", 2, "a policy's training is counted in --steps"),
    (f"train trpo {TASK} --lr 0.1", 2, "as far as --trust-region.delta allows"),
    (f"train fem {TASK} --lr=0.1", 2, "step size is --training.value-lr"),
    (f"train gtal {TASK} --lr 0.1", 2, "--lr is no option of gtal"),
    (f"train trpo {TASK} --trust-region.delta 0", 2, "--trust-region.delta must be above 0"),
    (f"train trpo {TASK} --training.value-epochs 0", 2, "--training.value-epochs must be"),
    (f"train trpo {TASK} --training.device tpu", 2, "cannot be used here"),
    (f"train trpo {TASK} --out {{0}}/text.npz/runs", 1, "writable folder"),
    (f"train gail {TASK}", 2, "--demos"),
    (f"train gail {TASK} --demos {{0}}/nowhere.npz", 1, "no file of demonstrations"),
    (f"train gail {TASK} --demos {{0}}/text.npz", 1, "cannot be read as plain arrays"),
    (f"train gail {TASK} --demos {{0}}/other.npz", 1, "observations of 3 numbers"),
    (f"train gail {TASK} --demos {{0}}/other.npz --preset old", 2, "expected paper or modern"),
    (f"train bc {TASK} --demos {{0}}/other.npz", 1, "observations of 3 numbers"),
    ("train --resume {0}/damaged", 1, "names no algorithm and task"),
    ("train --resume {0}/future", 1, "names no algorithm and task"),
    ("evaluate {0}/expert.safetensors --episodes 0", 2, "--episodes must be at least 1"),
    ("evaluate {0}/silent.safetensors", 2, "give --env"),
    (f"evaluate {{0}}/other.safetensors {TASK}", 2, "reads 5 numbers"),
    (f"evaluate {{0}}/continuous.safetensors {TASK}", 2, "takes one of 2 actions"),
    ("demos paint", 2, "it can record and show"),
    ("demos show {0}/text.npz", 1, "cannot be read as plain arrays"),
    ("demos record {0}/expert.safetensors --episodes 0", 2, "--episodes must be at least 1"),
    ("demos record {0}/expert.safetensors --out x.csv", 2, "in Minari's form"),
    ("demos record {0}/nowhere.safetensors", 1, "no policy file"),
    ("demos record {0}/empty", 1, "no policy file"),
    ("play {0}/expert.safetensors --env tiny_envs:Blind-v0", 2, "could not be made"),
    ("play {0}/expert.safetensors --out x.png", 2, ".webp, .gif or .mp4"),
    ("play {0}/expert.safetensors --every 0", 2, "at least 1"),
    ("play {0}/expert.safetensors --out {0}/text.npz/x.gif", 1, "could not be written"),
    ("play {0}/text.npz", 1, "damaged or no safetensors"),
    ("sample {0}/damaged", 2, "is a policy and makes no images"),
]


@pytest.mark.parametrize(("argv", "code", "sentence"), BAD, ids=[case[0] for case in BAD])
def test_bad_input_gets_one_sentence(
    argv: str, code: int, sentence: str, place: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(place / "empty")
    try:
        result = main(argv.format(place).split())
    except SystemExit as exit:  # tyro's own refusals of options
        result = exit.code
    said = capsys.readouterr()
    assert result == code, said.err
    assert sentence in " ".join(said.err.split()) + " ".join(said.out.split())
    assert "Traceback" not in said.err
    if said.err.startswith("zeuxis: "):
        assert len(said.err.strip().splitlines()) == 1, "more than one line"
        assert said.err.rstrip().endswith((".", "?")), "no whole sentence"
    assert not list((place / "empty").rglob("*.json")), "a run folder for nothing"


def test_a_run_that_is_stopped_saves_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)

    def stop() -> None:
        while not list(tmp_path.glob("runs/*/metrics.jsonl")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop).start()
    assert main(f"train trpo {TASK} {SMALL} --training.steps 100000000".split()) == 0
    folder = next((tmp_path / "runs").iterdir())
    saved = Run(folder).saved_images()
    assert "go on with: zeuxis train --resume" in capsys.readouterr().err
    assert saved >= 100 and saved == Run(folder).metrics()[-1]["steps"]
    assert main(["train", "--resume", str(folder), "--images", str(saved + 200)]) == 0
    assert Run(folder).saved_images() == saved + 200


def test_classic_control_is_drawn_with_the_packages_of_the_extra() -> None:
    pytest.importorskip("pygame")
    draw_without_screen()
    environment = Environment(*maker("CartPole-v1", render_mode="rgb_array"))
    environment.reset(0)
    image = image_of(environment, "CartPole-v1", 60)
    environment.close()
    assert image.size == (60, 40) and len(image.getcolors() or ()) > 2  # pole and cart on white


def test_films_follow_the_body_where_a_task_has_such_a_camera() -> None:
    mujoco = pytest.importorskip("mujoco")
    body = (
        '<mujoco><worldbody><body><geom size="1"/><camera '
        'name="still"/>{}</body></worldbody></mujoco>'
    )
    for camera, chosen in (('<camera name="track" mode="trackcom"/>', 1), ("", -1)):
        bare = SimpleNamespace(
            mujoco_renderer=SimpleNamespace(camera_id=-1),
            model=mujoco.MjModel.from_xml_string(body.format(camera)),
        )
        track_body(bare)
        assert bare.mujoco_renderer.camera_id == chosen
    track_body(SimpleNamespace())  # a task that is not MuJoCo's
