"""What a stranger's run, file or archive must not do: run code, touch what lies outside, or take
much memory or time."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zeuxis
from fuzzing import Outcome, command, guarded, linux_only
from zeuxis.checkpoints.weights import build, save
from zeuxis.cli import main
from zeuxis.data.config import DataConfig
from zeuxis.data.dataset import Spec
from zeuxis.data.densities import points
from zeuxis.errors import ZeuxisError
from zeuxis.experiments import resume as resuming
from zeuxis.experiments.experiment import Experiment
from zeuxis.experiments.train import start
from zeuxis.gan.dcgan import DCGANConfig
from zeuxis.gan.planar import PlanarConfig
from zeuxis.rl.imitation.demonstration_files import read_demos
from zeuxis.rl.policies.numpy_policy import NumpyPolicy
from zeuxis.rl.policies.policy_file import write_policy
from zeuxis.training.config import TrainingConfig

pytestmark = linux_only

RUNS_ZEUXIS = [
    sys.executable,
    "-c",
    "import sys; sys.path.pop(0); from zeuxis.cli import run; run()",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run."""
    out = tmp_path_factory.mktemp("made")
    t = TrainingConfig(
        images=64, batch=16, film=3, log_every=16, precision="fp32", device="cpu", threads=1
    )
    config, data_config = PlanarConfig(width=8, depth=2), DataConfig("ring", limit=256)
    ring = points("ring", 256, 0)
    done = start(Experiment("planar", config, t, data_config, data=ring), out)
    return done.run.folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def safe(act: Callable[[], object], tmp_path: Path, seconds: float = 20) -> Outcome:
    """How an act ended, which must be taken or refused within the limits."""
    end = guarded(act, tmp_path / "guarded-act", seconds=seconds, megabytes=2000)
    assert end.kind in ("accepted", "refused"), end
    return end


def refused(act: Callable[[], object], tmp_path: Path, seconds: float = 20) -> None:
    assert (end := safe(act, tmp_path, seconds)).kind == "refused", end


def resume(folder: Path) -> None:
    resuming.resume(folder, 96, data=points("ring", 256, 0))


def changed(folder: Path, part: str, key: str, value: object) -> None:
    about = json.loads((folder / "config.json").read_text())
    about[part][key] = value
    (folder / "config.json").write_text(json.dumps(about))


# --- code


def evil(path: Path, mark: Path) -> None:
    path.write_text(f"open({str(mark)!r}, 'a').write('x')\nraise ImportError('x')\n")


@pytest.mark.slow
def test_a_frame_that_is_postscript_reaches_no_interpreter(run: Path, tmp_path: Path) -> None:
    for p in (run / "frames").glob("*.png"):
        p.write_bytes(
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n%%EOF\n"
        )
    tools, mark = tmp_path / "tools", tmp_path / "gs-was-run"
    tools.mkdir()
    (tools / "gs").write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo 10.0 && exit 0\necho "$@" >> {mark}\nexit 1\n'
    )
    (tools / "gs").chmod(0o755)
    words = [*RUNS_ZEUXIS, "film", str(run), "--out", str(tmp_path / "f.webp")]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"},
    )
    assert not mark.exists()
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_worker_processes_import_nothing_from_the_current_folder(tmp_path: Path) -> None:
    pytest.importorskip("gymnasium")
    for name in ("pickle", "socket", "zeuxis", "numpy"):
        evil(tmp_path / f"{name}.py", tmp_path / "mark")
    config = ["--training.steps", "200", "--training.batch", "100", "--training.workers", "1"]
    words = [
        *RUNS_ZEUXIS,
        "train",
        "trpo",
        "--env",
        "CartPole-v1",
        *config,
        "--out",
        str(tmp_path / "o"),
    ]
    subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=120)
    assert not (tmp_path / "mark").exists()
    assert list((tmp_path / "o").iterdir()), "the training ran"


@pytest.mark.slow
@pytest.mark.parametrize("module", ["evil", "antigravity"])
def test_a_policy_names_no_module_to_import(module: str, tmp_path: Path) -> None:
    pytest.importorskip("gymnasium")
    run = tmp_path / "run"
    run.mkdir()
    write_policy(
        NumpyPolicy([np.zeros((2, 4))], [np.zeros(2)], np.zeros(4), np.ones(4), "logits"),
        run / "policy.safetensors",
    )
    (run / "config.json").write_text(
        json.dumps({"algorithm": "trpo", "model": "trpo", "env": f"{module}:CartPole-v1"})
    )
    evil(tmp_path / "evil.py", tmp_path / "mark")
    code = (
        "import sys, zeuxis.cli; code = zeuxis.cli.main(['evaluate', 'run', "
        "'--episodes', '1', '--workers', '0']); "
        f"print('imported' if {module!r} in sys.modules else 'left', code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"BROWSER": "true"},
    )
    assert not (tmp_path / "mark").exists()
    assert done.stdout.split()[0] == "left"
    assert done.stdout.split()[1] != "0"
    assert "Traceback" not in done.stderr


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.mark), "w")


def test_no_reader_opens_a_pickle(made: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    raw = pickle.dumps(Evil(mark))
    np.savez(tmp_path / "o.npz", images=np.array([Evil(mark)], object))
    acts: list[Callable[[], object]] = [lambda: zeuxis.load_data(str(tmp_path / "o.npz"))]
    for name in ("config.json", "ema.safetensors", "state.safetensors"):
        run = Path(shutil.copytree(made, tmp_path / name))
        (run / name).write_bytes(raw)
        acts.append(lambda run=run: (zeuxis.load(run), resume(run)))  # type: ignore[misc]
    for end in ("npz", "mat", "parquet", "safetensors", "hdf5"):
        (tmp_path / f"p.{end}").write_bytes(raw)
        acts.append(lambda end=end: zeuxis.load_data(str(tmp_path / f"p.{end}")))
    acts += [lambda p=p: read_demos(tmp_path / p) for p in ("o.npz", "p.npz", "p.safetensors")]
    for act in acts:
        with pytest.raises(ZeuxisError):
            act()
    assert not mark.exists()


def test_no_code_unpickles_or_starts_a_shell() -> None:
    source = Path(zeuxis.__file__).parent
    words = (
        r"pickle\.loads?\(|torch\.load\((?!.*weights_only=True)|allow_pickle=True"
        r"|yaml\.load\(|shell=True|os\.system\("
    )
    found = {
        str(p.relative_to(source)) for p in source.rglob("*.py") if re.search(words, p.read_text())
    }
    assert found <= {"rl/rollouts/worker.py", "rl/rollouts/process.py"}, (
        "these take from a pipe what their own parent process wrote"
    )


# --- files outside


@pytest.mark.parametrize(
    "name",
    [
        ".lock",
        "metrics.jsonl",
        ".film.partial.webp",
        "README.md",
        "config.json",
        "state.safetensors",
        ".probe",
    ],
)
def test_a_link_in_a_run_changes_nothing_outside(name: str, run: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    original = (
        (run / name).read_bytes()
        if name in ("README.md", "config.json", "state.safetensors")
        else b"precious\n" * 20
    )
    if name == "metrics.jsonl":  # with a save it would be rewritten, and the link would go
        (run / "state.safetensors").unlink()
    victim.write_bytes(original)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(victim)
    safe(lambda: resume(run), tmp_path)
    assert victim.read_bytes() == original


def test_frames_that_are_a_link_to_a_folder_leave_it_as_it_is(run: Path, tmp_path: Path) -> None:
    victim, names = tmp_path / "photos", ["1.png", "20240101.png", "99999.png"]
    victim.mkdir()
    for name in names:
        (victim / name).write_bytes(b"precious")
    shutil.rmtree(run / "frames")
    (run / "frames").symlink_to(victim)
    safe(lambda: resume(run), tmp_path)
    assert sorted(p.name for p in victim.iterdir()) == names


def test_a_run_makes_nobody_go_to_the_network(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    asked: list[object] = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *names, **more: asked.append(names))
    changed(run, "data", "data", "stranger/tracker")
    assert main(["train", "--resume", str(run)]) != 0
    assert not asked


@pytest.mark.parametrize("how", ["external storage", "external link", "virtual data set"])
def test_hdf5_reads_no_other_file(how: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    (tmp_path / "secret").write_bytes(b"my password".ljust(44, b"."))
    with h5py.File(tmp_path / "other.hdf5", "w") as other:
        other["x"] = np.zeros((11, 4), np.float32)
    with h5py.File(tmp_path / "e.hdf5", "w") as file:
        group, steps = file.create_group("episode_0"), 43 if how == "external storage" else 10
        group["actions"], group["rewards"], group["terminations"] = (
            np.zeros(steps, np.int64),
            np.zeros(steps, np.float32),
            np.zeros(steps, bool),
        )
        if how == "external storage":
            group.create_dataset(
                "observations", (44,), "u1", external=[(str(tmp_path / "secret"), 0, 44)]
            )
        elif how == "external link":
            group["observations"] = h5py.ExternalLink(str(tmp_path / "other.hdf5"), "/x")
        else:
            layout = h5py.VirtualLayout((11, 4), "f4")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.hdf5"), "x", (11, 4))
            group.create_virtual_dataset("observations", layout)
    with pytest.raises(ZeuxisError):
        read_demos(tmp_path / "e.hdf5")


# --- memory and time

PLANAR = [("config", "width", 60_000), ("config", "depth", 200_000), ("config", "code", 2**40)]
PLANAR += [("spec", "shape", [2**40]), ("spec", "classes", 2**40)]


@pytest.mark.parametrize(("part", "key", "value"), PLANAR, ids=str)
def test_settings_larger_than_the_weights_are_refused(
    part: str, key: str, value: object, run: Path, tmp_path: Path
) -> None:
    changed(run, part, key, value)
    refused(lambda: zeuxis.load(run).sample(2), tmp_path)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("key", "value"), [("channels", 8192), ("code", 10**8), ("channels", 10**9)]
)
def test_networks_larger_than_the_weights_are_refused(key: str, value: int, tmp_path: Path) -> None:
    save(
        build(
            "dcgan",
            DCGANConfig(architecture="strided", channels=4, latent_dim=8),
            Spec("tiny", (1, 28, 28)),
        ),
        tmp_path / "dcgan",
    )
    changed(tmp_path / "dcgan", "config", key, value)
    refused(lambda: zeuxis.load(tmp_path / "dcgan"), tmp_path)


def test_brackets_without_end_are_refused(run: Path, tmp_path: Path) -> None:
    (run / "config.json").write_text("[" * 200_000)
    refused(lambda: zeuxis.load(run), tmp_path)


def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    folder, run = tmp_path / "images", tmp_path / "run"
    folder.mkdir(), run.mkdir()
    Image.new("L", (8, 8)).save(folder / "0.png")
    os.mkfifo(folder / "1.png")
    safe(lambda: len(zeuxis.load_data(str(folder))), tmp_path, 8)
    (folder / "1.png").unlink()
    (folder / "1.png").symlink_to("/dev/zero")
    safe(lambda: len(zeuxis.load_data(str(folder))), tmp_path, 8)
    for name in ("config.json", "model.safetensors"):
        os.mkfifo(run / name)
    refused(lambda: zeuxis.load(run), tmp_path, 8)
    os.mkfifo(tmp_path / "x.zx")
    refused(
        lambda: command("decompress", str(tmp_path / "x.zx"), "--out", str(tmp_path / "out")),
        tmp_path,
        8,
    )


@pytest.mark.slow
def test_arrays_that_inflate_cost_no_more_than_their_headers_say(tmp_path: Path) -> None:
    (tmp_path / "idx").mkdir()
    head = b"\0\0\x08\x03" + struct.pack(">3I", 2, 28, 28)
    (tmp_path / "idx" / "train-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(head) + 240 * gzip.compress(bytes(10_000_000))
    )
    refused(lambda: len(zeuxis.load_data(str(tmp_path / "idx"))), tmp_path)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        np.lib.format.write_array(into := io.BytesIO(), np.zeros((2, 8, 8), np.uint8))
        file.writestr("images.npy", into.getvalue())
        with file.open("junk.npy", "w", force_zip64=True) as junk:
            about = {"descr": "|u1", "fortran_order": False, "shape": (2_400_000_000,)}
            np.lib.format.write_array_header_1_0(junk, about)
            for _ in range(240):
                junk.write(bytes(10_000_000))
    safe(lambda: len(zeuxis.load_data(str(tmp_path / "bomb.npz"))), tmp_path)


@pytest.mark.slow
def test_pictures_that_inflate_cost_little(tmp_path: Path) -> None:
    for name in ("pixels", "text"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (9400, 9400)).save(tmp_path / "pixels" / "0.png")
    raw = bytearray(b"\x89PNG\r\n\x1a\n")
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)),
        (b"zTXt", b"a\0\0" + zlib.compress(bytes(500_000_000), 9)),
    ]
    for kind, body in (*parts, (b"IDAT", zlib.compress(bytes(72))), (b"IEND", b"")):
        raw += (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )
    (tmp_path / "text" / "0.png").write_bytes(raw)
    for name in ("pixels", "text"):
        safe(lambda name=name: len(zeuxis.load_data(str(tmp_path / name), size=32)), tmp_path)


@pytest.mark.slow
def test_a_table_of_large_rows_costs_little(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    Image.new("L", (8, 8)).save(into := io.BytesIO(), "PNG")
    rows = pa.array([into.getvalue() + bytes(4_000_000)] * 400, pa.binary())
    pq.write_table(pa.table({"image": rows}), tmp_path / "bomb.parquet", compression="zstd")
    safe(lambda: len(zeuxis.load_data(str(tmp_path / "bomb.parquet"))), tmp_path)


@pytest.mark.slow
def test_frames_far_larger_than_pictures_of_a_film_cost_little(run: Path, tmp_path: Path) -> None:
    shutil.rmtree(run / "frames")
    (run / "frames").mkdir()
    for i in range(6):
        Image.new("1", (13_000, 13_000)).save(run / "frames" / f"{i:012}.png")
    safe(lambda: command("film", str(run), "--out", str(tmp_path / "bomb.webp")), tmp_path)


def test_hdf5_that_claims_gigabytes_costs_little(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "e.hdf5", "w") as file:
        group = file.create_group("episode_0")
        group["actions"], group["rewards"], group["terminations"] = (
            np.zeros(10, np.int64),
            np.zeros(10, np.float32),
            np.zeros(10, bool),
        )
        group.create_dataset("observations", (11, 400_000_000), "u1", chunks=(1, 1_000_000))
    refused(lambda: read_demos(tmp_path / "e.hdf5"), tmp_path)


def test_weights_that_are_a_torch_archive_are_refused(run: Path, tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "t.safetensors")
    shutil.copy(tmp_path / "t.safetensors", run / "ema.safetensors")
    refused(lambda: zeuxis.load(run), tmp_path)
