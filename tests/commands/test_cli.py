"""The command line as a user meets it: what works, and a table of what does not with the one
sentence each gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from zeuxis.checkpoints.run_folder import Run
from zeuxis.checkpoints.weights import describe, save
from zeuxis.cli import COMMANDS, main

SMALL = (
    "train dcgan --recipe mnist-small --model.channels 4 --limit 64 --training.batch "
    "16 --training.threads 1"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of good and bad things to give to the command line."""
    at = tmp_path_factory.mktemp("place")
    x = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
    np.savez(at / "good.npz", images=x, labels=np.arange(40) % 4)
    np.savez(at / "floats.npz", images=x / 255)
    np.savez(at / "flat.npz", images=x.reshape(40, -1))
    np.savez(at / "objects.npz", images=np.array([{"a": 1}], dtype=object))
    np.savez(at / "unequal.npz", images=x, labels=np.arange(7))
    np.savez(at / "wide.npz", images=x[:, :14])
    (at / "cut.npz").write_bytes((at / "good.npz").read_bytes()[:500])
    (at / "empty").mkdir()
    (at / "notes.txt").write_text("hello")
    (at / "objects.bin").write_text("hello")
    for name, sizes in (("mixed", (28, 32)), ("corrupt", (28, 28))):
        (at / name).mkdir()
        for i, side in enumerate(sizes):
            Image.fromarray(x[i]).resize((side, side)).save(at / name / f"{i}.png")
    (at / "corrupt" / "2.png").write_bytes(b"no image")
    (at / "labels.csv").write_text("file,label\nabsent.png,3\n")
    (at / "odd.csv").write_text("name;class\n")
    (at / "idx").mkdir()
    (at / "idx" / "train-images-idx3-ubyte").write_bytes(b"\0\0\x0d\x03" + bytes(64))
    (at / "shop.parquet").write_bytes(b"PAR1 and then nothing")
    save(tiny.model("dcgan"), at / "model")
    (at / "damaged").mkdir()
    (at / "damaged" / "config.json").write_text('{"model": "dcgan"}')
    half = save(tiny.model("dcgan"), at / "half")
    (half / "model.safetensors").write_bytes((half / "model.safetensors").read_bytes()[:999])
    return at


# command, exit code, part of the sentence; {0} is the folder above
BAD = [
    ("paint", 2, "There is no command 'paint'"),
    ("smaple mnist/dcgan", 2, "did you mean sample?"),
    ("train", 2, "Which model?"),
    ("train dcgna", 2, "There is no model 'dcgna'"),
    ("train dcgan --recipe mnits", 2, "did you mean mnist?"),
    ("train dcgan --recipe", 2, "Missing value for argument '--recipe'"),
    ("train dcgan --training.images many", 2, "many"),
    ("train dcgan --training.no-such 1", 2, "no-such"),
    ("train dcgan --data minst", 1, "did you mean mnist?"),
    ("train dcgan --data {0}/nowhere", 1, "There is no data set"),
    ("train dcgan --data bricks={0}", 2, "no built-in set"),
    ("train dcgan --data cifar10={0}/nowhere", 1, "check the path"),
    ("train dcgan --data {0}/empty", 1, "holds no train images"),
    ("train dcgan --data {0}/notes.txt", 1, "give a longer text"),
    ("train dcgan --data {0}/objects.bin", 1, "expected .npz"),
    ("train dcgan --data {0}/floats.npz", 1, "expected uint8"),
    ("train dcgan --data {0}/flat.npz", 1, "expected (N, H, W)"),
    ("train dcgan --data {0}/objects.npz", 1, "cannot be read as plain arrays"),
    ("train dcgan --data {0}/cut.npz", 1, "cannot be read as plain arrays"),
    ("train dcgan --data {0}/unequal.npz", 1, "40 images and 7 labels"),
    ("train dcgan --data {0}/wide.npz", 2, "needs square images"),
    ("train dcgan --data {0}/corrupt", 1, "cannot be decoded"),
    ("train dcgan --data {0}/corrupt --labels {0}/labels.csv", 1, "name 'absent.png'"),
    ("train dcgan --data {0}/corrupt --labels {0}/odd.csv", 1, "file,label"),
    ("train dcgan --data {0}/idx", 1, "expected 000008"),
    ("train dcgan --data {0}/shop.parquet", 1, "cannot be read as parquet"),
    ("train dcgan --size 0", 2, "--size must be at least 1"),
    ("train dcgan --channels 2", 2, "--channels must be 1"),
    ("train dcgan --limit 64 --size 45", 2, "cannot make images of 45 pixels"),
    ("train dcgan --limit 64 --training.batch 0", 2, "--training.batch must be at least 1"),
    ("train dcgan --limit 64 --training.batch 10 --training.accumulate 3", 2, "multiple of 3"),
    ("train dcgan --limit 64 --training.device tpu", 2, "cannot be used here"),
    ("train dcgan --limit 64 --training.hold-out 64", 2, "cannot be held out"),
    ("train dcgan --limit 64 --training.select min:frechet", 2, "--training.hold-out"),
    ("train dcgan --limit 64 --model.kernel 4", 2, "must be odd"),
    ("train dcgan --data {0}/mixed --size 28 --model.conditional", 2, "has none"),
    ("train dcgan --limit 64 --out {0}/notes.txt/runs", 1, "writable folder"),
    ("train dcgan --limit 64 --training.track abacus", 2, "abacus"),
    ("train --resume {0}/nowhere", 1, "There is no run folder"),
    ("train --resume {0}/empty", 1, "holds no config.json"),
    ("train --resume {0}/model", 2, "saved model and no run"),
    ("sample mnist/dcgna", 2, "neither a folder nor a model"),
    ("sample {0}/empty", 1, "holds no config.json"),
    ("sample {0}/damaged", 1, "has no entry"),
    ("sample {0}/half", 1, "damaged"),
    ("sample {0}/model --n 0", 2, "--n must be at least 1, got 0"),
    ("sample {0}/model --out {0}/notes.txt/x.png", 1, "could not be written"),
    ("sample {0}/model --out {0}/x.abc", 2, "picture format"),
    ("sample {0}/model --weights ema.safetensors", 1, "does not exist"),
    ("interpolate {0}/model --points 1", 2, "--points must be at least 2, got 1"),
    ("arithmetic {0}/model --plus 1 --minus 2 --then 99", 2, "expected 0 to 63"),
    ("film {0}/model", 2, "no frames"),
    ("evaluate {0}/model --data {0}/good.npz", 2, "no feature network for 'good'"),
    (
        "evaluate {0}/model --data {0}/good.npz --network inception-2015={0}/none.safetensors",
        1,
        "none.safetensors",
    ),
    ("evaluate {0}/model --data {0}/good.npz --split half", 2, "expected test or train"),
    ("train improved-gan --data {0}/mixed --size 28", 2, "has no labels of two or more classes"),
    ("train improved-gan --labels-per-class 7000", 1, "ask for fewer labels a class"),
    ("train improved-gan --labels-per-class 0", 2, "--labels-per-class must be at least 1, got 0"),
    ("train improved-gan --limit 64 --model.smoothing 0.3", 2, "--model.smoothing"),
    ("train improved-gan --limit 64 --model.architecture conv --size 30", 2, "--size 32"),
    ("train improved-gan-128 --data mnist --limit 64", 2, "--size 128"),
    (
        "train infogan --limit 64 --model.categorical 1",
        2,
        "--model.categorical must be a list of values, each at least 2",
    ),
    ("train infogan --data {0}/good.npz --size 30", 2, "choose --size"),
    ("codes {0}/model", 1, "cannot report on its latent codes"),
    ("traverse {0}/model", 1, "cannot"),
    ("ablation --rows everything", 2, "the rows are all, no-virtual"),
    ("ablation --data heads", 2, "give mnist, cifar10 or svhn"),
    ("ablation --images -1", 2, "--images must be at least 0, got -1"),
    ("data count x", 2, "the commands are check and shard"),
    ("data check {0}/corrupt", 1, "cannot be decoded"),
]


@pytest.mark.parametrize(("argv", "code", "sentence"), BAD, ids=[case[0] for case in BAD])
def test_bad_input_gets_one_sentence(
    argv: str, code: int, sentence: str, place: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(place / "empty")
    monkeypatch.delenv("ZEUXIS_DATA", raising=False)
    try:
        found = main(argv.format(place).split())
    except SystemExit as exit:  # tyro's own refusals of options
        found = exit.code
    output = capsys.readouterr()
    assert found == code, output.err
    assert sentence in " ".join(output.err.split()) + " ".join(output.out.split())
    assert "Traceback" not in output.err
    if output.err.startswith("zeuxis: "):
        assert len(output.err.strip().splitlines()) == 1, "more than one line"
        assert output.err.rstrip().endswith((".", "?")), "no whole sentence"


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 25


def run(argv: str, at: Path, **environment: str) -> subprocess.CompletedProcess:
    given = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"} | environment
    return subprocess.run(
        [sys.executable, "-m", "zeuxis", *argv.split()],
        cwd=at,
        env=given,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_a_whole_visit(tmp_path: Path) -> None:
    done = run(f"{SMALL} --training.images 64 --training.film 3 --training.log-every 32", tmp_path)
    assert done.returncode == 0, done.stderr
    folder = next((tmp_path / "runs").iterdir())
    assert folder.name == "0001-dcgan-mnist-seed0"
    names = {p.name for p in folder.iterdir()}
    assert {
        "config.json",
        "model.safetensors",
        "ema.safetensors",
        "state.safetensors",
        "metrics.jsonl",
    } <= names
    assert {"film.webp", "README.md", "samples", "frames"} <= names
    assert Image.open(folder / "film.webp").n_frames == 3
    assert "64 of 64 images" in done.stdout
    card = (folder / "README.md").read_text()
    assert "64 images" in card
    assert "No file of this folder is a pickle" in " ".join(card.split())

    for argv, made in (
        (f"sample {folder} --n 6 --out six.png", "six.png"),
        (f"sample {folder} --n 6 --out six.npz", "six.npz"),
        (f"sample {folder} --n 6 --out six/", "six/000005.png"),
        (f"sample {folder} --n 6 --numbers --out numbered.png", "numbered.png"),
        (f"interpolate {folder} --points 3 --steps 4 --out walk.png", "walk.png"),
        (f"interpolate {folder} --points 3 --steps 4 --walks 4 --out walk.webp", "walk.webp"),
        (f"arithmetic {folder} --plus 1 2 3 --minus 4 5 6 --then 7 8 9 --out sum.png", "sum.png"),
        (f"film {folder} --out film.gif", "film.gif"),
    ):
        done = run(argv, tmp_path)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / made).stat().st_size > 0, made
    assert np.load(tmp_path / "six.npz")["images"].shape == (6, 1, 28, 28)
    assert Image.open(tmp_path / "walk.webp").n_frames == 12

    done = run(f"train --resume {folder} --images 96", tmp_path)
    assert done.returncode == 0, done.stderr
    assert Run(folder).saved_images() == 96
    done = run(f"train --resume {folder} --minutes 0.05", tmp_path)
    assert done.returncode == 0, done.stderr
    written = Run(folder).read_json("config.json")["training"]
    assert Run(folder).saved_images() == written["images"] > 96 and written["minutes"] > 0.05
    done = run(f"train --resume {folder} --minutes 1 --images 200", tmp_path)
    assert done.returncode == 2 and "either --images or --minutes" in done.stderr
    done = run("list", tmp_path)
    assert "0001-dcgan-mnist-seed0" in done.stdout
    assert "dcgan/cifar10" in done.stdout


@pytest.mark.slow
def test_dry_run_shows_sizes_and_time_and_writes_nothing(tmp_path: Path) -> None:
    done = run(f"{SMALL} --dry-run", tmp_path)
    assert done.returncode == 0, done.stderr
    for argv in (
        "times smaller than the data",
        "generator:",
        "images/s",
        '"recipe": "dcgan/mnist-small"',
        "about",
    ):
        assert argv in done.stdout
    assert not (tmp_path / "runs").exists()


def test_an_unexpected_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(argv: list[str]) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("zeuxis.commands.film.main", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["film"])


def test_running_out_of_memory_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def hungry(argv: list[str]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr("zeuxis.commands.film.main", hungry)
    assert main(["film"]) == 1
    assert "smaller --batch" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [command, "--help"] if command != "train" else ["train", "dcgan", "--help"]
    try:
        assert main(argv) == 0
    except SystemExit as exit:
        assert exit.code == 0
    assert "usage" in capsys.readouterr().out
    assert COMMANDS[command]


def test_every_option_of_training_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "dcgan", "--help"])
    output = capsys.readouterr().out
    for option in (
        "--training.images",
        "--training.average",
        "--model.channels",
        "--data",
        "--recipe",
        "--dry-run",
    ):
        assert option in output
    assert "images seen" in output


@pytest.mark.slow
def test_two_processes_by_torchrun(tmp_path: Path) -> None:
    argv = f"{SMALL} --training.images 64 --training.film 0"
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        str(20000 + os.getpid() % 9000),
    ]
    done = subprocess.run(
        [*launch, "-m", "zeuxis", *argv.split()],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    folders = list((tmp_path / "runs").iterdir())
    assert len(folders) == 1
    assert Run(folders[0]).saved_images() == 64
    assert done.stdout.count("64 of 64 images") == 1


@pytest.mark.slow
def test_an_ablation_is_a_table_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    argv = (
        "ablation --data mnist --rows all no-labels --images 100 --width 8 "
        "--generator-width 16 --n 100 --record record.json"
    )
    done = run(argv, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "-L" in done.stdout and "real images" in done.stdout
    figures = json.loads((tmp_path / "record.json").read_text())["figures"]
    assert list(figures) == ["all", "no-labels"]
    assert figures["all"] != figures["no-labels"]
    again = run(argv, tmp_path)
    assert again.returncode == 0, again.stderr
    assert "learn from" not in again.stderr
    scores = [
        f["all"]["fake"]["score"]
        for f in (figures, json.loads((tmp_path / "record.json").read_text())["figures"])
    ]
    assert scores[1] == pytest.approx(scores[0], rel=1e-6)


@pytest.mark.slow
def test_points_are_trained_filmed_and_counted(tmp_path: Path) -> None:
    done = run(
        "train planar --data ring --training.images 2560 --training.film 2 --training.threads 1",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    folder = next((tmp_path / "runs").iterdir())
    done = run(f"evaluate {folder} --n 500 --record record.json", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "of 8 modes" in done.stdout
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["figures"]["modes"] == 8
    assert record["command"].startswith("zeuxis evaluate")


def test_describe_names_version_and_spec() -> None:
    about = describe(tiny.model("dcgan"))
    assert about["spec"]["shape"] == (1, 28, 28)
    assert about["zeuxis"]
