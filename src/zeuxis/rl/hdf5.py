r"""Demonstrations in HDF5, as Minari lays them out.

A file has a group for each episode:

```
episode_0/observations   (T + 1, ...)   with the one after the last step
episode_0/actions        (T, ...)
episode_0/rewards        (T,)
episode_0/terminations   (T,)           whether it ended by itself, at the last step
episode_0/truncations    (T,)           whether it was cut off there
```

A data set of Minari is a folder with such a file, `data/main_data.hdf5`, and a `data/metadata.json` that tells the spaces. Both are read
and written: a name with the ending .hdf5 or .h5 is a file, a name without an ending is a folder. Minari finds a folder by its id if it
lies where Minari keeps its data sets (`~/.minari/datasets/ID`). The package minari itself is not needed, only h5py.

Source: Younis et al., "Minari", 2024, https://minari.farama.org, for the layout.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, MissingExtra, UsageError, ZeuxisError
from .demos import Demonstrations
from .envs import Task, gymnasium, task_of

ENDINGS = (".hdf5", ".h5")
PARTS = ("observations", "actions", "rewards", "terminations")


def h5py() -> Any:
    """The package, or a sentence that says how to get it."""
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("h5py", "hdf5", "Reading and writing HDF5") from error
    return h5py


@dataclass(frozen=True)
class Episode:
    """One episode, with the names of Minari's own."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray


def stored(path: Path) -> Path:
    """The file itself: in Minari's folder the one that holds the episodes."""
    return next((at for at in (path / "data" / "main_data.hdf5", path / "main_data.hdf5") if at.exists()), path)


def read(path: Path) -> Demonstrations:
    """Reads a file, or a folder that holds one.

    Raises:
        DataError: It is missing, damaged, or of another form.
    """
    h, file = h5py(), stored(path)
    if not file.is_file():
        what = "the folder has no data/main_data.hdf5" if path.is_dir() else "there is none"
        raise DataError(f"There are no demonstrations at '{path}' ({what}): check the path, or make some with zeuxis demos record.")
    try:
        with h.File(file, "r") as group:
            told = json.loads(group.attrs.get("zeuxis", "{}"))
            demos = Demonstrations.of_episodes(episodes(group, str(path)))
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise DataError(f"'{path}' cannot be read as HDF5 ({' '.join(str(error).split())}): record it again, or give another.") from error
    about = told if isinstance(told, dict) else {}
    return Demonstrations(demos.rollouts, about or env_of(file), str(path))


def episodes(file: Any, name: str) -> Iterator[Episode]:
    """The episodes of an open file, in the order of their numbers."""
    groups = {key: file.get(key) for key in file if isinstance(file.get(key, getlink=True), h5py().HardLink)}
    numbers = sorted(int(key[8:]) for key in groups if key.startswith("episode_") and key[8:].isdigit())
    for number in numbers:
        group, found = groups[f"episode_{number}"], {}
        for part in PARTS:
            stored = group.get(part)
            if not isinstance(stored, h5py().Dataset) or stored.dtype.kind not in "fiub":
                what = "is missing" if stored is None else "is no plain array of numbers"
                raise DataError(
                    f"'{name}' has an episode {number} whose {part} {what}: episodes have {', '.join(PARTS)}; "
                    "where observations have parts, flatten them first."
                )
            found[part] = stored[()]
        episode = Episode(**found)
        if len({len(episode.actions), len(episode.rewards), len(episode.terminations)}) != 1 or not len(episode.actions):
            lengths = ", ".join(f"{len(found[part])} {part}" for part in PARTS)
            raise DataError(f"'{name}' has an episode {number} of {lengths}: these must agree, with one observation more.")
        yield episode


def env_of(file: Path) -> dict[str, Any]:
    """The task that Minari's metadata name, if there are any."""
    try:
        told = json.loads(file.with_name("metadata.json").read_text())
        return {"env": str(json.loads(told["env_spec"])["id"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write(demos: Demonstrations, path: Path) -> Path:
    """Writes a file, or a folder that Minari reads; whole or not at all.

    Raises:
        UsageError: The folder exists.
        DataError: There is no place or no room.
    """
    h, folder = h5py(), path.suffix not in ENDINGS
    if folder and path.exists():
        raise UsageError(f"'{path}' exists already: give a folder that does not, or a name that ends in .hdf5, .npz or .safetensors.")
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = partial / "data" / "main_data.hdf5" if folder else partial
        file.parent.mkdir(parents=True, exist_ok=True)
        with h.File(file, "w", track_order=True) as group:
            group.attrs["zeuxis"] = json.dumps(demos.about)
            fill(group, demos)
        if folder:
            (file.parent / "metadata.json").write_text(json.dumps(metadata(demos, path)))
        partial.replace(path)
    except OSError as error:
        raise DataError(f"The demonstrations '{path}' could not be written ({error}): give a writable place with room.") from error
    finally:
        if partial.exists():
            shutil.rmtree(partial) if partial.is_dir() else partial.unlink()
    return path


def fill(file: Any, demos: Demonstrations) -> None:
    """The episodes' groups."""
    r = demos.rollouts
    for i, (start, length) in enumerate(zip(r.starts, r.lengths, strict=True)):
        group, steps = file.create_group(f"episode_{i}"), slice(start, start + length)
        last = np.arange(length) == length - 1
        group.attrs["id"], group.attrs["total_steps"] = i, int(length)
        group["observations"] = np.concatenate([r.observations[steps], r.finals[i : i + 1]])
        group["actions"], group["rewards"] = r.actions[steps], r.rewards[steps]
        group["terminations"], group["truncations"] = last & r.terminated[i], last & ~r.terminated[i]


def metadata(demos: Demonstrations, path: Path) -> dict[str, Any]:
    """What Minari wants to know: counts and spaces, those of the task if it is known here, else as wide as the numbers need."""
    r, infinite = demos.rollouts, float("inf")
    entries = r.observations.shape[1]
    seen = {"type": "Box", "dtype": "float32", "shape": [entries], "low": [-infinite] * entries, "high": [infinite] * entries}
    task = task_named(str(demos.about.get("env", "")))
    if demos.discrete:
        classes = task.action if task and task.discrete else int(r.actions.max()) + 1
        taken: dict[str, Any] = {"type": "Discrete", "dtype": "int64", "start": 0, "n": classes}
    else:
        low, high = (task.low, task.high) if task and task.low else (r.actions.min(0).tolist(), r.actions.max(0).tolist())
        taken = {"type": "Box", "dtype": "float32", "shape": [len(low)], "low": list(low), "high": list(high)}
    parts = path.resolve().parts
    told = {
        "dataset_id": "/".join(parts[parts.index("datasets") + 1 :]) if "datasets" in parts[:-1] else path.name,
        "total_episodes": len(demos),
        "total_steps": len(r),
        "data_format": "hdf5",
        "observation_space": json.dumps(seen),
        "action_space": json.dumps(taken),
        "description": f"Written by zeuxis: {json.dumps(demos.about)}",
        "minari_version": "0.5.0",
    }
    return told | ({"env_spec": gymnasium().spec(task.name.split(":")[-1]).to_json()} if task else {})


def task_named(name: str) -> Task | None:
    """The task, if there is one of this name here."""
    try:
        return task_of(name) if name else None
    except ZeuxisError:
        return None
