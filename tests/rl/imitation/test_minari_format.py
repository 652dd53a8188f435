"""Demonstrations in HDF5: back as they went, read by Minari and read from it, and what is
refused."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium")

from tiny_envs import demos_of
from zeuxis.errors import DataError, MissingExtra, UsageError, ZeuxisError
from zeuxis.experiments.policy_training import PolicyTraining
from zeuxis.experiments.train_policy import resume, start
from zeuxis.rl.imitation.behavioral_cloning import CloningConfig
from zeuxis.rl.imitation.demonstration_files import read_demos, write_demos
from zeuxis.rl.imitation.demonstrations import Demonstrations, record
from zeuxis.rl.optimization.config import PolicyExperiment
from zeuxis.rl.policies.numpy_policy import linear_policy
from zeuxis.rl.rollouts.trajectory import Rollouts


def same(a: Rollouts, b: Rollouts) -> bool:
    return all(
        np.array_equal(x, y) and x.dtype == y.dtype
        for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
    )


def cartpole() -> Demonstrations:
    expert = linear_policy(np.array([[0, 0, -1, -1], [0, 0, 1, 1]]))
    return record(expert, "CartPole-v1", 12, horizon=30, policy="planted")


@pytest.mark.parametrize("name", ["demos.hdf5", "demos.h5", "own-v0"])
def test_demonstrations_go_through_hdf5(name: str, tmp_path: Path) -> None:
    pytest.importorskip("minari")
    for i, demos in enumerate((demos_of(100, lengths=(40, 5, 55)), cartpole())):
        path = write_demos(demos, tmp_path / str(i) / name)
        again = read_demos(path)
        assert (
            same(demos.rollouts, again.rollouts)
            and again.about == demos.about
            and again.name == str(path)
        )
        assert sorted(p.name for p in path.parent.iterdir()) == [name], "nothing else is left"
    assert len(again) == 12, "ten and more are not sorted as text"


def test_a_folder_is_not_written_over(tmp_path: Path) -> None:
    pytest.importorskip("minari")
    (tmp_path / "own").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        write_demos(demos_of(), tmp_path / "own")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="could not be written"):
        write_demos(demos_of(), tmp_path / "file" / "demos.hdf5")


def test_minari_reads_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    demos = cartpole()
    write_demos(demos, tmp_path / "datasets" / "cartpole" / "planted-v0")
    result = minari.load_dataset("cartpole/planted-v0")
    assert (
        result.total_episodes == 12
        and result.total_steps == len(demos.rollouts)
        and result.action_space.n == 2
    )
    assert result.env_spec.id == "CartPole-v1"
    assert same(Demonstrations.of_episodes(result.iterate_episodes()).rollouts, demos.rollouts)
    boxes = demos_of(100, lengths=(40, 60))
    write_demos(boxes, tmp_path / "datasets" / "boxes-v0")
    result = minari.load_dataset("boxes-v0")
    assert same(Demonstrations.of_episodes(result.iterate_episodes()).rollouts, boxes.rollouts)
    assert all(result.action_space.contains(a) for a in boxes.rollouts.actions)


def test_what_minari_writes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minari = pytest.importorskip("minari")
    from minari.data_collector import EpisodeBuffer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    rng, buffers = np.random.default_rng(0), []
    for i in range(11):
        n, over = 3 + i, np.arange(3 + i) == 2 + i
        seen, done = rng.uniform(-1, 1, (n + 1, 4)).astype(np.float32), rng.integers(0, 2, n)
        ends = (over, ~over & over) if i % 2 else (~over & over, over)
        buffers.append(
            EpisodeBuffer(
                i, i, None, seen, done, list(rng.random(n)), list(ends[0]), list(ends[1]), {}
            )
        )
    whole = minari.create_dataset_from_buffers("own/cartpole-v0", buffers, env="CartPole-v1")
    demos = read_demos(tmp_path / "own" / "cartpole-v0")
    assert same(demos.rollouts, Demonstrations.of_episodes(whole.iterate_episodes()).rollouts)
    assert np.array_equal(
        demos.rollouts.finals[7], buffers[7].observations[-1]
    ) and demos.rollouts.lengths.tolist() == list(range(3, 14))
    assert demos.about == {"env": "CartPole-v1"} and demos.rollouts.terminated.tolist() == [
        False,
        True,
    ] * 5 + [False]


def test_a_folder_is_imitated(tmp_path: Path) -> None:
    pytest.importorskip("minari")
    path = write_demos(cartpole(), tmp_path / "own-v0")
    experiment = PolicyExperiment("CartPole-v1", config=CloningConfig(steps=2, seed=1))
    start(
        PolicyTraining("bc", experiment, str(path)),
        tmp_path / "runs",
    )
    (run,) = (tmp_path / "runs").iterdir()
    assert resume(run, 4).run is not None
    (path / "data" / "main_data.hdf5").write_bytes(b"other")
    with pytest.raises(ZeuxisError):
        resume(run, 6)


def damaged(at: Path, how: str) -> Path:
    import h5py

    path = write_demos(demos_of(), at / "demos.hdf5")
    if how == "text file":
        path.write_text("no HDF5")
        return path
    if how == "cut":
        path.write_bytes(path.read_bytes()[:1500])
        return path
    with h5py.File(path, "a") as file:
        group: Any = file["episode_1"]
        if how == "empty":
            del file["episode_0"], file["episode_1"]
        elif how == "parts":
            del group["observations"]
            group["observations/picture"] = np.zeros((3, 4))
        elif how == "text":
            del group["actions"]
            group["actions"] = np.array([b"left", b"right"], dtype=object)
        elif how == "link":
            del group["actions"]
            group["actions"] = h5py.ExternalLink("elsewhere.hdf5", "actions")
        else:
            name, value = {
                "short": ("rewards", np.zeros(1)),
                "long": ("observations", np.zeros((9, 3))),
                "nan": ("actions", np.full((len(group["actions"]), 2), np.nan)),
            }[how]
            del group[name]
            group[name] = value
    return path


SENTENCES = {
    "text file": "cannot be read as HDF5",
    "cut": "cannot be read as HDF5",
    "empty": "no episodes",
    "parts": "whose observations are missing, or a link",
    "text": "whose actions are no plain array",
    "link": "whose actions are missing, or a link",
    "short": "must agree",
    "long": "one observation more",
    "nan": "no finite numbers",
}


@pytest.mark.parametrize("how", SENTENCES)
def test_damaged_files_are_refused(how: str, tmp_path: Path) -> None:
    pytest.importorskip("minari")
    with pytest.raises(DataError, match=SENTENCES[how]) as error:
        read_demos(damaged(tmp_path, how))
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_what_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="Minari's form"):
        write_demos(demos_of(), tmp_path / "demos.csv")
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return real(name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without)
        with pytest.raises(MissingExtra, match=r"zeuxis\[minari\]"):
            read_demos(tmp_path / "demos.hdf5")
    pytest.importorskip("minari")
    for name in ("none.hdf5", "."):
        with pytest.raises(DataError, match="There are no demonstrations at"):
            read_demos(tmp_path / name)
