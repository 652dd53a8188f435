"""Damaged policies, runs of policies and demonstrations: taken or refused in a sentence, and never
more than a small file may cost."""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium")

from fuzzing import Target, check, guarded, linux_only
from mutations import bytes_mutant, config_mutant, lines_mutant, npz_mutant, tensors_mutant
from tiny_envs import demos_of, right_expert
from zeuxis.errors import DataError, ZeuxisError
from zeuxis.experiments.policy_training import PolicyTraining
from zeuxis.experiments.train_policy import resume, start
from zeuxis.rl.exploration.information_gain import VIMEConfig
from zeuxis.rl.imitation.behavioral_cloning import CloningConfig
from zeuxis.rl.imitation.demonstration_files import read_demos, write_demos
from zeuxis.rl.imitation.demonstrations import record
from zeuxis.rl.imitation.discriminator import GAILConfig
from zeuxis.rl.optimization.config import OnPolicyConfig, PolicyExperiment
from zeuxis.rl.policies.policy_file import load_policy

SMALL = OnPolicyConfig(
    steps=200, batch=100, horizon=50, hidden=(8,), workers=0, threads=1, value_epochs=1
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The unchanged files and runs."""
    at = tmp_path_factory.mktemp("made")
    demos = record(right_expert(3), "CartPole-v1", 4, horizon=50)
    result = {form: write_demos(demos, at / f"d.{form}") for form in ("npz", "safetensors")}
    with contextlib.suppress(ZeuxisError):  # without h5py
        result["hdf5"] = write_demos(demos, at / "d.hdf5")
    path = str(result["npz"])
    trainings = {
        "trpo": PolicyTraining("trpo", PolicyExperiment("CartPole-v1", SMALL)),
        "gail": PolicyTraining(
            "gail", PolicyExperiment("CartPole-v1", SMALL, config=GAILConfig(hidden=(8,))), path
        ),
        "vime": PolicyTraining(
            "vime",
            PolicyExperiment(
                "CartPole-v1", SMALL, config=VIMEConfig(learning_starts=50, updates=3, minibatch=8)
            ),
        ),
        "bc": PolicyTraining(
            "bc",
            PolicyExperiment("CartPole-v1", config=CloningConfig(steps=20, hidden=(8,), threads=1)),
            path,
        ),
    }
    return result | {
        name: start(training, at / "runs").run.folder for name, training in trainings.items()
    }


def act(folder: Path) -> Any:
    return np.asarray(load_policy(folder).predict(np.zeros(4, np.float32))[0]).tolist()


def go_on(folder: Path, steps: int) -> Any:
    return [p.sum().item() for p in resume(folder, steps).policy.parameters()]


def content(path: Path) -> Any:
    return {name: value.tobytes() for name, value in vars(read_demos(path).rollouts).items()}


def target(name: str, made: dict[str, Path]) -> Target:
    kind, _, form = name.partition("-")
    if kind == "demos":
        if form not in made:
            pytest.skip("h5py is not installed")
        return Target(
            made[form],
            {"": {"npz": npz_mutant, "safetensors": tensors_mutant}.get(form, bytes_mutant)},
            content,
        )
    if kind == "policy":
        return Target(made[form], {"policy.safetensors": tensors_mutant}, act)
    files = {
        "config.json": config_mutant,
        "state.safetensors": tensors_mutant,
        "metrics.jsonl": lines_mutant,
    }
    return Target(made[form], files, partial(go_on, steps=25 if form == "bc" else 300))


COPIES = {"policy-trpo": 20, "demos-npz": 20, "demos-safetensors": 20, "demos-hdf5": 10}
RUNS = ["run-trpo", "run-gail", "run-vime", "run-bc"]


@linux_only
@pytest.mark.parametrize("name", [*COPIES, "run-trpo"])
def test_some_damaged_copies(name: str, made: dict[str, Path], tmp_path: Path) -> None:
    check(target(name, made), COPIES.get(name, 12), tmp_path / "work")


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize("name", [*COPIES, *RUNS])
def test_many_damaged_copies(name: str, made: dict[str, Path], tmp_path: Path) -> None:
    check(target(name, made), 300, tmp_path / "work")


def header(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    np.lib.format.write_array_header_1_0(
        into := io.BytesIO(), {"descr": kind, "fortran_order": False, "shape": shape}
    )
    return into.getvalue()


def archive(path: Path, members: dict[str, tuple[bytes, int]]) -> Path:
    """An .npz whose members are a header and bytes of 0."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, (head, zeros) in members.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(head)
                for start in range(0, zeros, 1 << 24):
                    member.write(bytes(min(1 << 24, zeros - start)))
    return path


BOMBS: dict[str, dict[str, tuple[bytes, int]]] = {
    "promises": {"observations": (header((10**12, 4)), 64)},
    "another order": {"observations": (header((2**62, 4, 4)), 64)},
    "large": {"observations": (header((140_000_000, 1)), 560_000_000)},
    "objects": {"observations": (header((2,), "|O"), 16)},
}


@linux_only
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name == "large" else name for name in BOMBS],
)
def test_small_archives_cost_little(name: str, tmp_path: Path) -> None:
    rest = {k: (header((2,)), 8) for k in ("actions", "rewards", "lengths", "finals", "terminated")}
    path = archive(tmp_path / "d.npz", BOMBS[name] | rest)
    result = guarded(lambda: read_demos(path), tmp_path / "work", seconds=20, megabytes=200)
    assert result.kind == "refused", result


@linux_only
@pytest.mark.slow
def test_arrays_that_nobody_asked_for_are_not_read(tmp_path: Path) -> None:
    path = write_demos(demos_of(), tmp_path / "d.npz")
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("junk.npy", "w", force_zip64=True) as junk,
    ):
        junk.write(header((300_000_000,)))
        for _ in range(75):
            junk.write(bytes(16_000_000))
    result = guarded(lambda: len(read_demos(path)), tmp_path / "work", seconds=20, megabytes=200)
    assert result.kind == "accepted", result


@pytest.mark.parametrize("what", ["pipe", "device", "folder"])
def test_what_is_no_file_is_refused_at_once(what: str, tmp_path: Path) -> None:
    for name, read in (
        ("d.npz", read_demos),
        ("d.safetensors", read_demos),
        ("p.safetensors", load_policy),
    ):
        path = tmp_path / name
        if what == "pipe":
            os.mkfifo(path)
        elif what == "device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
        with pytest.raises(ZeuxisError) as error:
            read(path)
        assert str(error.value).endswith(".") and "\n" not in str(error.value)


def test_nested_notes_and_odd_ones_are_no_traceback(tmp_path: Path) -> None:
    demos = demos_of()
    for text in ("[" * 100_000, "5", "nonsense", '"x"'):
        raw = write_demos(demos, tmp_path / "d.safetensors").read_bytes()
        n = struct.unpack("<Q", raw[:8])[0]
        head = json.loads(raw[8 : 8 + n])
        head["__metadata__"]["zeuxis"] = text
        new = json.dumps(head).encode()
        (tmp_path / "d.safetensors").write_bytes(struct.pack("<Q", len(new)) + new + raw[8 + n :])
        assert read_demos(tmp_path / "d.safetensors").about == {}


HDF5 = [
    "external storage",
    "external link",
    "soft link",
    "group link",
    "virtual data set",
    "never written",
    "filter",
    "attribute",
    pytest.param("again", marks=pytest.mark.slow),
]


@linux_only
@pytest.mark.parametrize("how", HDF5)
def test_hdf5_that_leads_elsewhere_or_unfolds_is_refused(how: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    secret, other, path = tmp_path / "secret", tmp_path / "other.hdf5", tmp_path / "e.hdf5"
    secret.write_bytes(b"my password is 12345678901234567890".ljust(44, b"."))
    with h5py.File(other, "w") as file:
        file["x"] = np.zeros((11, 4), np.float32)
        file["episode_0/observations"] = np.zeros((11, 4), np.float32)
    with h5py.File(path, "w") as file:
        n = 43 if how == "external storage" else 10
        group: Any = file.create_group("episode_0")
        group["actions"], group["rewards"], group["terminations"] = (
            np.zeros(n, int),
            np.zeros(n, np.float32),
            np.zeros(n, bool),
        )
        if how == "external storage":
            group.create_dataset("observations", (44,), "u1", external=[(str(secret), 0, 44)])
        elif how == "external link":
            group["observations"] = h5py.ExternalLink(str(other), "/x")
        elif how == "soft link":
            file["x"] = np.zeros((11, 4), np.float32)
            group["observations"] = h5py.SoftLink("/x")
        elif how == "group link":
            del file["episode_0"]
            file["episode_0"] = h5py.ExternalLink(str(other), "/episode_0")
        elif how == "virtual data set":
            layout = h5py.VirtualLayout((11, 4), "f4")
            layout[:] = h5py.VirtualSource(str(other), "x", (11, 4))
            group.create_virtual_dataset("observations", layout)
        elif how == "never written":
            group.create_dataset("observations", (11, 400_000_000), "u1", chunks=(1, 1_000_000))
        elif how == "filter":
            made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            made.set_chunk((11, 4))
            made.set_filter(h5py.h5z.FILTER_RESERVED + 1, h5py.h5z.FLAG_OPTIONAL, (1,))
            h5py.h5d.create(
                group.id,
                b"observations",
                h5py.h5t.NATIVE_FLOAT,
                h5py.h5s.create_simple((11, 4)),
                made,
            )
            group["observations"][:] = 1
        elif how == "attribute":
            group["observations"] = np.zeros((11, 4), np.float32)
            file.attrs["zeuxis"] = np.zeros(3)
        else:  # a large episode under many names
            del file["episode_0"]
            whole = file.create_group("episode_0")
            whole.create_dataset(
                "observations",
                (200_001, 16),
                "f4",
                compression="gzip",
                compression_opts=1,
                chunks=(10_000, 16),
            )
            whole["observations"][:] = 0
            for name in ("actions", "rewards", "terminations"):
                whole.create_dataset(name, data=np.zeros(200_000, np.int8), compression="gzip")
            for i in range(1, 60):
                file[f"episode_{i}"] = whole
    result = guarded(lambda: read_demos(path).about, tmp_path / "work", seconds=20, megabytes=1000)
    assert result.kind == ("accepted" if how == "attribute" else "refused"), result


def test_numbers_that_float32_cannot_hold_are_refused(tmp_path: Path) -> None:
    arrays = vars(demos_of().rollouts)
    for name in ("observations", "rewards", "finals"):
        np.savez(tmp_path / "d.npz", **(arrays | {name: np.full(arrays[name].shape, 1e300)}))
        with pytest.raises(DataError, match=f"{name} that are no finite numbers"):
            read_demos(tmp_path / "d.npz")


@pytest.mark.parametrize("lengths", [[2**62, 2**62], [2.5, 3.5], [-1, 7], [np.nan, 6]], ids=str)
def test_lengths_that_are_none_are_refused(lengths: list[float], tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", **(vars(demos_of().rollouts) | {"lengths": np.array(lengths)}))
    with pytest.raises(DataError):
        read_demos(tmp_path / "d.npz")
