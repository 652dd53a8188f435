"""What a run folder may hold: finite numbers, whole files, honest data, and nothing that reaches
outside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import tiny
from zeuxis import files
from zeuxis.checkpoints.bounded import Unfit, bounded
from zeuxis.checkpoints.ownership import is_own, key, own_data_config
from zeuxis.checkpoints.run_folder import Run
from zeuxis.checkpoints.weights import load, save
from zeuxis.cli import main
from zeuxis.data import cache
from zeuxis.data.config import DataConfig
from zeuxis.data.densities import points
from zeuxis.distributed import World
from zeuxis.errors import DataError, DivergenceError, UsageError, ZeuxisError
from zeuxis.experiments.experiment import Experiment
from zeuxis.experiments.resume import resume
from zeuxis.experiments.train import start
from zeuxis.registry import models
from zeuxis.training.interrupts import interrupts
from zeuxis.training.loop import fit
from zeuxis.training.metrics_log import MetricsLog
from zeuxis.visual.film import write_film

MADE: list[Path] = []


@pytest.fixture(scope="module", autouse=True)
def _made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZEUXIS_CACHE", str(tmp_path_factory.mktemp("cache")))
        config, training = (
            models()["planar"].Config(width=8, depth=2),
            tiny.training(images=64, log_every=16, device="cpu"),
        )
        experiment = Experiment("planar", config, training, DataConfig("ring", limit=256))
        run = start(experiment, tmp_path_factory.mktemp("runs")).run
        assert run is not None
        MADE[:] = [run.folder]
        yield


def a_run(tmp_path: Path) -> Run:
    """A small run on points of a ring, that may be damaged."""
    shutil.copytree(MADE[0], tmp_path / "run")
    return Run(tmp_path / "run")


def contents(run: Run) -> dict[str, bytes]:
    return {
        str(p): p.read_bytes() for p in run.folder.rglob("*") if p.is_file() and p.name != ".lock"
    }


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_no_number_that_is_not_finite_is_written_or_read(bad: float, tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_tensors("state.safetensors", {"a": torch.ones(3)}, {"images": 16})
    good = run.path("state.safetensors").read_bytes()
    for dtype in (
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.float64,
        torch.float8_e5m2,
        torch.complex64,
    ):
        tensors = {"a": torch.ones(3), "optimizer.exp_avg": torch.tensor([0.0, bad]).to(dtype)}
        with pytest.raises(
            DivergenceError,
            match=r"'optimizer.exp_avg' holds numbers that are not finite.*last good save, at 16",
        ):
            run.write_tensors("state.safetensors", tensors)
        assert run.path("state.safetensors").read_bytes() == good
        save_file(tensors, tmp_path / "strange.safetensors")
        with pytest.raises(ZeuxisError, match="not finite"):
            run.read_tensors("strange.safetensors")
    folder = save(tiny.model("planar"), tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    tensors[next(iter(tensors))].view(-1)[0] = bad
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ZeuxisError, match="not finite"):
        load(folder)


def test_moments_that_overflow_keep_the_save_before(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    about = run.read_json("config.json")
    about["config"] |= {
        k: 1e30 for k in about["config"] if k in ("lr", "generator_lr", "discriminator_lr")
    }
    run.write_json("config.json", about)
    good = run.path("state.safetensors").read_bytes()
    with pytest.raises(ZeuxisError):
        resume(run.folder, 160)
    assert run.path("state.safetensors").read_bytes() == good


def test_every_flipped_bit_is_refused(tmp_path: Path) -> None:
    run, path = Run(tmp_path), tmp_path / "a.safetensors"
    run.write_tensors(
        "a.safetensors", {"w": torch.arange(6.0), "n": torch.tensor([3])}, {"images": 64, "step": 4}
    )
    good, before = path.read_bytes(), run.read_tensors("a.safetensors")
    assert before[1] == {"images": 64, "step": 4}
    for at in range(len(good)):
        for bit in (1, 32):
            path.write_bytes(good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :])
            with pytest.raises(ZeuxisError):
                run.read_tensors("a.safetensors")
    path.write_bytes(good)
    assert torch.equal(run.read_tensors("a.safetensors")[0]["w"], before[0]["w"])
    assert path.read_bytes() == good
    save_file({"w": torch.arange(6.0)}, path, {"zeuxis": "{}"})  # as earlier versions wrote it
    assert run.read_tensors("a.safetensors")[1] == {}


@pytest.mark.parametrize("name", ["state.safetensors", "ema.safetensors", "model.safetensors"])
def test_a_run_with_a_flipped_bit_is_not_gone_on_with(name: str, tmp_path: Path) -> None:
    run = a_run(tmp_path)
    raw = bytearray(run.path(name).read_bytes())
    raw[-5] ^= 4
    run.path(name).write_bytes(raw)
    before = contents(run)
    with pytest.raises(ZeuxisError, match="damaged"):
        resume(run.folder, 96) if name == "state.safetensors" else load(run.folder, name)
    assert contents(run) == before


LINES = [
    "5",
    "null",
    "[]",
    '"x"',
    "{}",
    '{"images": "a"}',
    '{"images": null}',
    '{"images": 1e400}',
    '{"images": NaN}',
    "[" * 50_000,
]
LINES += [
    '{"images": 16, "generator": "y"}',
    "\udcff{",
    '{"images": 1' + "0" * 400 + "}",
    '{"images": 9',
]


@pytest.mark.parametrize("line", LINES)
def test_a_damaged_line_of_the_log_costs_nothing_else(line: str, tmp_path: Path) -> None:
    run = a_run(tmp_path)
    whole = run.path("metrics.jsonl").read_bytes()
    first, rest = whole.split(b"\n", 1)
    run.path("metrics.jsonl").write_bytes(
        first + b"\n" + line.encode("utf-8", "surrogateescape") + b"\n" + rest
    )
    assert resume(run.folder, 80).images == 80
    seen = [figures["images"] for figures in run.metrics()]
    assert [x for x in seen if x != 16] == [32, 48, 64, 80]
    assert main(["curves", str(run.folder), "--metric", "generator"]) == 0


def test_a_log_without_a_save_is_taken_back(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    for path in run.folder.glob("*.safetensors"):
        path.unlink()
    resume(run.folder)
    assert [figures["images"] for figures in run.metrics()] == [16, 32, 48, 64]


def test_a_refused_resume_changes_nothing(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    before = contents(run)
    with run.held(), pytest.raises(ZeuxisError, match="Another process is training"):
        resume(run.folder, 320)
    with pytest.raises(DataError, match="not the data"):
        resume(run.folder, 320, data=points("ring", 256, 1))
    about = run.read_json("config.json")
    run.write_json("config.json", about | {"config": about["config"] | {"width": 16}})
    with pytest.raises(ZeuxisError, match="fit"):
        resume(run.folder, 320)
    run.write_json("config.json", about)
    assert contents(run) == before


def test_other_data_are_refused_and_moved_ones_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pictures(root: Path, level: int, classes: str = "mz") -> Path:
        for kind in classes:
            (root / kind).mkdir(parents=True)
            for i in range(4):
                Image.fromarray(np.full((16, 16), level + i, np.uint8)).save(
                    root / kind / f"{i}.png"
                )
        return root

    pictures(tmp_path / "A" / "pics", 20)
    monkeypatch.chdir(tmp_path / "A")
    config = models()["dcgan"].Config(channels=4, latent_dim=4)
    training = tiny.training(images=16, batch=4, hold_out=0)
    run = start(Experiment("dcgan", config, training, DataConfig("pics")), tmp_path / "r").run
    assert run is not None
    monkeypatch.chdir(tmp_path)
    assert resume(run.folder, 20).images == 20
    pictures(tmp_path / "pics", 200)
    assert resume(run.folder, 24).images == 24  # and not those of the folder it is started in
    for other in (pictures(tmp_path / "other", 99), pictures(tmp_path / "renumbered", 20, "am")):
        with pytest.raises(DataError, match="not the data"):
            resume(run.folder, 28, data=str(other))
    (tmp_path / "A" / "pics").rename(tmp_path / "moved")
    with pytest.raises(DataError, match="--data PLACE"):
        resume(run.folder, 28)
    assert main(["train", "--resume", str(run.folder), "--images", "28", "--data", "moved"]) == 0
    monkeypatch.chdir(tmp_path / "A")
    assert resume(run.folder, 32).images == 32


@pytest.mark.parametrize(
    "data", ["stranger/tracker", "/etc", "mnist=/etc", "cifar10", "../runs", "~/pictures"]
)
def test_a_folder_of_somebody_else_names_no_data(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZEUXIS_DATA", raising=False)
    run = a_run(tmp_path)
    about = run.read_json("config.json")
    assert is_own(about)
    about["data"]["data"] = data
    run.write_json("config.json", about)
    monkeypatch.setattr(DataConfig, "load", lambda *_: pytest.fail("the data were looked for"))
    with pytest.raises(UsageError, match="give them with --data"):
        resume(run.folder, 96)
    with pytest.raises(UsageError, match="give them with --data"):
        own_data_config({k: v for k, v in about.items() if k != "signature"}, "config.json")


def test_a_key_is_kept_and_a_missing_home_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert key() == key() is not None
    monkeypatch.delenv("ZEUXIS_CACHE")
    monkeypatch.setattr(cache, "user_cache_path", lambda *_, **__: Path("~/.cache/zeuxis"))
    assert key() is None
    run = a_run(tmp_path)
    assert not is_own(run.read_json("config.json"))
    assert resume(run.folder, 80).images == 80  # points need no place


def test_links_lead_nothing_that_is_written_out_of_the_folder(tmp_path: Path) -> None:
    for name in (
        ".lock",
        "metrics.jsonl",
        "README.md",
        "config.json",
        "state.safetensors",
        ".probe",
        "frames",
        "samples",
    ):
        run, victim = a_run(tmp_path / name), tmp_path / f"victim-{name}"
        place = run.path(name)
        if name in ("frames", "samples"):
            victim.mkdir()
            (victim / "99999.png").write_bytes(b"precious")
        else:
            victim.write_bytes(place.read_bytes() if place.exists() else b"precious")
            place.unlink(missing_ok=True)
        before = {str(p): p.read_bytes() for p in (victim, *victim.glob("*")) if p.is_file()}
        place.symlink_to(victim)
        if name == "samples":
            with pytest.raises(ZeuxisError, match="is a link"):
                run.write("samples/final.png", b"picture")
        with contextlib.suppress(ZeuxisError):
            resume(run.folder, 96)
        assert {
            str(p): p.read_bytes() for p in (victim, *victim.glob("*")) if p.is_file()
        } == before, name


def test_pipes_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    for name in ("config.json", "metrics.jsonl", "ema.safetensors", "state.safetensors", ".lock"):
        run = a_run(tmp_path / name)
        run.path(name).unlink(missing_ok=True)
        os.mkfifo(run.path(name))
        signal.alarm(60)  # which ends a wait for the pipe
        try:
            with pytest.raises(ZeuxisError):
                resume(run.folder, 96)
            with (
                pytest.raises(ZeuxisError)
                if name in ("config.json", "ema.safetensors")
                else contextlib.nullcontext()
            ):
                load(run.folder)
            assert run.saved_images() in (0, 64, 96)
        finally:
            signal.alarm(0)


def test_settings_that_ask_for_other_weights_cost_no_memory(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    good = run.read_json("config.json")
    cases = [
        ("config", "width", 60_000),
        ("config", "depth", 200_000),
        ("config", "code", 2**40),
        ("config", "width", -1),
    ]
    cases += [
        ("spec", "shape", [2**40]),
        ("spec", "shape", []),
        ("spec", "classes", 2**40),
        ("spec", "shape", [1, 10**6, 10**6]),
    ]
    for part, name, value in cases:
        run.write_json("config.json", good | {part: good[part] | {name: value}})
        for act in (load, resume):
            with pytest.raises(ZeuxisError):
                act(run.folder)
    run.path("config.json").write_text("[" * 200_000)
    with pytest.raises(ZeuxisError, match="nested"):
        load(run.folder)


@pytest.mark.parametrize("name", tiny.NAMES)
def test_no_model_is_thought_too_large_for_its_own_weights(name: str, tmp_path: Path) -> None:
    model = tiny.model(name)
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    with bounded(shapes):
        type(model)(model.config, model.spec)
    with bounded({}), pytest.raises(Unfit):
        torch.zeros(5_000, 5_000)


def test_frames_are_pngs_of_one_size(tmp_path: Path) -> None:
    frames = []
    for i in range(5):
        frames.append(tmp_path / f"{i:012}.png")
        Image.new("RGB", (20, 12), (40 * i, 0, 0)).save(frames[-1])
    for kind in ("webp", "gif"):
        with Image.open(write_film(frames, tmp_path / f"film.{kind}")) as film:
            assert (film.n_frames, film.size) == (5, (20, 12))  # type: ignore[attr-defined]
            film.seek(3)
            assert abs(film.convert("RGB").getpixel((5, 5))[0] - 120) < 12  # type: ignore[index]
    for bad in (
        lambda p: p.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n"),
        lambda p: Image.new("L", (9, 9)).save(p),
    ):
        bad(frames[2])
        with pytest.raises(DataError, match=frames[2].name):
            write_film(frames, tmp_path / "film.webp")
    Image.new("1", (13_000, 13_000)).save(frames[-1])
    with pytest.raises(DataError, match="too many"):
        write_film(frames, tmp_path / "film.webp")
    assert not list(tmp_path.glob(".*partial*"))


def test_a_failed_write_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = files.write(tmp_path / "deep" / "a.txt", "first")

    def full(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(ZeuxisError, match="disk is full"):
        files.write(target, full)
    assert target.read_text() == "first"
    monkeypatch.setattr(
        Path, "unlink", lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only file system"))
    )
    monkeypatch.setattr(
        os, "open", lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only file system"))
    )
    with pytest.raises(ZeuxisError, match="Read-only file system"):
        files.write(target, "second")
    monkeypatch.undo()
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ZeuxisError, match="a pipe"):
        files.write(tmp_path / "pipe", "x")


def test_a_deleted_folder_is_not_made_again(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    with run.held():
        for path in run.folder.rglob("*"):
            if path.is_file():
                path.unlink()
        with pytest.raises(ZeuxisError, match="moved or deleted"):
            run.write_tensors("state.safetensors", {"a": torch.ones(1)})
        with pytest.raises(ZeuxisError, match="moved or deleted"):
            run.write("frames/1.png", b"x")


def test_a_file_system_without_locks_is_not_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(tmp_path)

    def none(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    assert resume(run.folder, 80).images == 80


def test_a_closed_terminal_saves_unless_it_is_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with interrupts() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.wait(1)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup starts a program
        with interrupts() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.wait(0.05)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_training_whose_reader_has_gone_saves_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(MetricsLog, "line", closed)
    run = Run(tmp_path)
    result = fit(
        tiny.model("planar"),
        tiny.data_for("planar"),
        run,
        tiny.training(images=160, log_every=16),
        world=World(),
    )
    assert result.stopped
    assert run.saved_images() == result.images == 16


def test_half_written_weights_do_not_look_like_weights(tmp_path: Path) -> None:
    """Whoever lists *.safetensors while a run saves, or after it was killed, finds whole files
    only."""
    run, seen = Run(tmp_path), []

    def fill(path: Path) -> None:
        path.write_bytes(b"half")
        seen.extend(p.name for p in tmp_path.glob("*.safetensors"))

    run.write("model.safetensors", fill)
    assert seen == [] and [p.name for p in tmp_path.glob("*.safetensors")] == ["model.safetensors"]
