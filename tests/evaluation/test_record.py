"""Records hold command, seed, time and machine of measurement and training beside the figures."""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

import zeuxis
from zeuxis.autoregressive.pixelcnn import PixelCNNConfig
from zeuxis.checkpoints.run_folder import Run
from zeuxis.checkpoints.weights import digest
from zeuxis.cli import main
from zeuxis.commands.provenance import training_of
from zeuxis.errors import UsageError
from zeuxis.evaluation.record import record_path, write_record
from zeuxis.machine import machine

TINY = {"recipe": "mnist-small", "images": 64, "batch": 32, "film": 0, "log_every": 32}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small = PixelCNNConfig(channels=4, layers=1, head_channels=4)
    return zeuxis.train(
        "pixelcnn", "mnist", config=small, out=tmp_path_factory.mktemp("runs"), seed=3, **TINY
    ).run.folder


def test_a_record_separates_training_and_measurement(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "likelihood.json"
    argv = ["likelihood", str(run), "--n", "20", "--seed", "7", "--record", str(file)]
    monkeypatch.setattr("sys.argv", ["zeuxis", *argv])
    assert main(argv) == 0
    record = json.loads(file.read_text())
    assert record["seed"] == 7
    assert record["command"].startswith("zeuxis likelihood")
    training, last = record["training"], Run(run).metrics()[-1]
    assert training["seed"] == 3
    assert training["seconds"] == last["seconds"]
    assert training["images"] == 64
    assert training["machine"] == machine()
    assert (
        training["command"].startswith("zeuxis train pixelcnn")
        and "--training.seed=3" in training["command"]
    )
    assert "start" not in training


def test_a_run_begun_with_other_weights_names_them_and_their_digest(
    run: Path, tmp_path: Path
) -> None:
    config = zeuxis.load(run).config
    more = zeuxis.train(
        "pixelcnn", "mnist", config=config, out=tmp_path, start=str(run), **TINY
    ).run
    ema = (run / "ema.safetensors").read_bytes()
    expected = {"weights": str(run), "sha256": hashlib.sha256(ema).hexdigest()}
    assert training_of(more)["start"] == expected
    assert digest(run) == expected["sha256"]


def test_what_a_folder_does_not_say_is_none_and_not_guessed(run: Path, tmp_path: Path) -> None:
    about = json.loads((run / "config.json").read_text())
    del about["machine"]
    about["training"]["start"] = "mnist/pixelcnn"
    (tmp_path / "config.json").write_text(json.dumps(about))
    training = training_of(Run(tmp_path))
    assert [training[key] for key in ("seed", "seconds", "images", "machine")] == [3] + [None] * 3
    assert training["start"] == {"weights": "mnist/pixelcnn", "sha256": None}


def test_the_name_of_a_record_is_derived(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["likelihood", str(run), "--record", "--n", "20"]
    monkeypatch.setattr("sys.argv", ["zeuxis", *argv])
    assert main(argv) == 0
    record = json.loads((tmp_path / "results/pixelcnn/mnist/likelihood-seed3.json").read_text())
    assert record["training"]["model"] == "pixelcnn"
    assert main([*argv, "--record", str(tmp_path / "other")]) == 0
    assert (tmp_path / "other/pixelcnn/mnist/likelihood-seed3.json").is_file()


@pytest.mark.parametrize(
    ("training", "name"),
    [
        ({"model": "vae", "data": "my photos/of cats", "seed": 2}, "vae/of-cats/curves-seed2.json"),
        ({"model": "vime", "data": "zeuxis/SparseMountainCar-v0", "seed": None},
         "vime/SparseMountainCar-v0/curves.json"),
        ([{"model": "gail", "data": "Ant-v5", "seed": 0}] * 2, "gail/Ant-v5/curves.json"),
    ],
)  # fmt: skip
def test_names_of_records(
    training: dict[str, Any] | list[dict[str, Any]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["zeuxis", "curves"])
    assert record_path("results", training) == Path("results") / name


def test_a_record_of_no_known_model_needs_a_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name the file"):
        write_record(tmp_path, {}, seconds=0, seed=0)


def test_a_record_has_no_nan(tmp_path: Path) -> None:
    path = write_record(
        tmp_path / "a.json", {"share": float("nan"), "runs": [float("inf"), 1.0]}, seconds=0, seed=0
    )
    text = path.read_text()
    assert json.loads(text, parse_constant=pytest.fail)["figures"] == {
        "share": None,
        "runs": [None, 1.0],
    }


def test_the_page_of_a_model_shows_seed_time_and_start_of_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "docs"))
    records = importlib.import_module("records")
    run = {
        "command": "zeuxis train vae",
        "seed": 5,
        "seconds": 3601.2,
        "images": 1000,
        "machine": None,
    }
    monkeypatch.setattr("sys.argv", ["zeuxis", "likelihood"])
    write_record(
        tmp_path / "vae" / "mnist" / "bound-seed5.json",
        {"nats": -80.0},
        seconds=2,
        seed=1,
        training=run,
    )
    pages = records.pages(tmp_path)
    assert "| [vae](vae.md) | mnist | 1 |" in pages["index"]
    page = pages["vae"]
    assert "| mnist | [bound-seed5](#mnistbound-seed5) | 5 | nats -80 | 1,000 |" in page
    assert "Measured by `zeuxis likelihood`: seed 1, time 2 s" in page
    assert (
        "Trained by `zeuxis train vae`: seed 5, images 1,000, time 3,601 s, machine not recorded."
        in page
    )
    assert "It started from" not in page
    begun = run | {"seconds": None, "start": {"weights": "mnist/vae", "sha256": "ab12"}}
    assert "time not recorded" in records.trained(begun)
    assert "It started from the weights of `mnist/vae` (SHA-256 ab12)" in records.trained(begun)
    unknown = begun | {"start": {"weights": "mnist/vae", "sha256": None}}
    assert "this command alone does not repeat it" in records.trained(unknown)


def test_every_record_has_its_place_and_one_layout() -> None:
    results = Path(__file__).parents[2] / "results"
    for path in results.rglob("*.json"):
        folders = path.relative_to(results).parts[:-1]
        assert len(folders) == (1 if folders[0] in ("speed", "studies") else 2), path
        record = json.loads(path.read_text(), parse_constant=pytest.fail)
        assert record.keys() >= {"command", "figures", "seed", "seconds", "machine", "date"}, path
        runs = record.get("training", [])
        for run in runs if isinstance(runs, list) else [runs]:
            assert "probabilities" in run or run.keys() >= {
                "command",
                "seed",
                "seconds",
                "machine",
            }, path
