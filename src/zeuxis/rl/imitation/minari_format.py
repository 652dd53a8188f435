r"""Demonstrations in HDF5, as Minari lays them out.

A file has a group for each episode:

```
episode_0/observations   (T + 1, ...)   with the one after the last step
episode_0/actions        (T, ...)
episode_0/rewards        (T,)
episode_0/terminations   (T,)           whether it ended by itself, at the last step
episode_0/truncations    (T,)           whether it was cut off there
```

A data set of Minari is a folder with such a file, `data/main_data.hdf5`, and a `data/metadata.json`
that tells the spaces. Both are read and written: a name with the ending .hdf5 or .h5 is a file, a
name without an ending is a folder. Minari finds a folder by its id if it lies where Minari keeps
its data sets (`~/.minari/datasets/ID`). The package minari itself is not needed, only h5py.

Source: Younis et al., "Minari", 2024, https://minari.farama.org, for the layout.
"""

from __future__ import annotations

import json
import math
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...data.reading import affordable
from ...errors import DataError, MissingExtra, UsageError, ZeuxisError
from ..environments.environment import gymnasium, named_by_file, task_of
from ..environments.task import Task
from .arrays import TEXT, first_line, plain_json
from .demonstrations import PARTS, Demonstrations

ENDINGS = (".hdf5", ".h5")
FILTERS = {
    "deflate",
    "gzip",
    "shuffle",
    "fletcher32",
    "szip",
    "nbit",
    "scaleoffset",
    "lzf",
}  # that come with HDF5 or h5py


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
    return next(
        (at for at in (path / "data" / "main_data.hdf5", path / "main_data.hdf5") if at.exists()),
        path,
    )


def read(path: Path) -> Demonstrations:
    """Reads a file, or a folder that holds one; numbers that are kept in other files are refused.

    Raises:
        DataError: It is missing, damaged, or of another form.
    """
    h, file = h5py(), stored(path)
    if not file.is_file():
        what = "the folder has no data/main_data.hdf5" if path.is_dir() else "there is none"
        raise DataError(
            f"There are no demonstrations at '{path}' ({what}): check the path, or make "
            "some with zeuxis demos record."
        )
    try:
        with h.File(file, "r") as group:
            about = plain_json(note(group))
            demos = Demonstrations.of_episodes(episodes(group, str(path), file.stat().st_size))
    except ZeuxisError:
        raise
    except Exception as error:  # h5py raises many types for damaged files
        raise DataError(
            f"'{path}' cannot be read as HDF5 ({first_line(error)}): record it again, or "
            "give another."
        ) from error
    return Demonstrations(demos.rollouts, (about or env_of(file)) | demos.about, str(path))


def note(file: Any) -> Any:
    """The text that zeuxis leaves in a file, None without one."""
    if "zeuxis" not in file.attrs:
        return None
    kept = file.attrs.get_id("zeuxis")
    return (
        file.attrs["zeuxis"] if kept.shape == () and kept.get_storage_size() <= 4 * TEXT else None
    )


def member(group: Any, name: str, kind: type) -> Any:
    """What a group holds itself by this name, if it is of this kind: links may lead to other files,
    and are not followed."""
    if not isinstance(group.get(name, getlink=True), h5py().HardLink):
        return None
    found = group.get(name)
    return found if isinstance(found, kind) else None


def numbers_of(file: Any) -> list[int]:
    """The episodes' numbers, in order."""
    return sorted(
        int(key[8:])
        for key in file
        if key.startswith("episode_") and key[8:].isdecimal() and key[8:] == str(int(key[8:]))
    )


def episodes(file: Any, name: str, size: int) -> Iterator[Episode]:
    """The episodes of an open file, in the order of their numbers; nothing is read before all of it
    is known to be affordable.

    Arguments:
        file: The file, or a group.
        name: What sentences call it.
        size: Bytes of the file.
    """
    found: list[tuple[int, dict[str, Any]]] = []
    total = 0
    for number in numbers_of(file):
        group = member(file, f"episode_{number}", h5py().Group)
        if group is None:
            raise DataError(
                f"'{name}' has an episode {number} that is no group of its own: links "
                "are not followed."
            )
        parts = {part: member(group, part, h5py().Dataset) for part in PARTS}
        for part, data in parts.items():
            if data is None or data.dtype.kind not in "fiub":
                what = "missing, or a link" if data is None else "no plain array of numbers"
                raise DataError(
                    f"'{name}' has an episode {number} whose {part} are {what}: "
                    f"episodes have {', '.join(PARTS)}; where observations have parts, "
                    "flatten them first."
                )
            total += cost(data, f"'{name}' has an episode {number} whose {part}")
        affordable(total, size)
        found.append((number, parts))
    for number, parts in found:
        episode = Episode(**{part: data[()] for part, data in parts.items()})
        lengths = [
            len(x) if x.ndim else -1
            for x in (episode.actions, episode.rewards, episode.terminations)
        ]
        if len(set(lengths)) != 1 or -1 in lengths or not episode.observations.ndim:
            shapes = ", ".join(f"{part} of shape {getattr(episode, part).shape}" for part in PARTS)
            raise DataError(
                f"'{name}' has an episode {number} with {shapes}: their lengths must "
                "agree, with one observation more."
            )
        yield episode


def cost(data: Any, whose: str) -> int:
    """Bytes that reading these numbers takes; an error where they are kept in another file or
    nowhere."""
    if data.is_virtual or data.external:
        raise DataError(
            f"{whose} are kept in another file, which is not read: copy the numbers into this one."
        )
    kept = data.id.get_create_plist()
    known = {int(getattr(h5py().h5z, f"FILTER_{name.upper()}", -1)) for name in FILTERS} - {-1}
    if any(kept.get_filter(i)[0] not in known for i in range(kept.get_nfilters())):
        raise DataError(
            f"{whose} are packed by an unknown filter: write them with gzip, or without."
        )
    if data.size and not data.id.get_storage_size():
        raise DataError(f"{whose} were never written: record them again.")
    chunks = (
        math.prod(math.ceil(n / c) * c for n, c in zip(data.shape, data.chunks, strict=True))
        if data.chunks
        else data.size
    )
    return int(chunks) * data.dtype.itemsize


def env_of(file: Path) -> dict[str, Any]:
    """The task that Minari's metadata name, if there are any."""
    try:
        beside = file.with_name("metadata.json")
        text = beside.read_text() if beside.is_file() and beside.stat().st_size <= TEXT else ""
        return {"env": str(plain_json(plain_json(text)["env_spec"])["id"])}
    except (OSError, ValueError, KeyError):
        return {}


def write(demos: Demonstrations, path: Path) -> Path:
    """Writes a file, or a folder that Minari reads; whole or not at all.

    Raises:
        UsageError: The folder exists.
        DataError: There is no place or no room.
    """
    h, folder = h5py(), path.suffix not in ENDINGS
    if folder and path.exists():
        raise UsageError(
            f"'{path}' exists already: give a folder that does not, or a name that ends "
            "in .hdf5, .npz or .safetensors."
        )
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.partial")
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
        raise DataError(
            f"The demonstrations '{path}' could not be written ({error}): give a "
            "writable place with room."
        ) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(partial) if partial.is_dir() else partial.unlink(missing_ok=True)
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
        group["terminations"], group["truncations"] = (
            last & r.terminated[i],
            last & ~r.terminated[i],
        )


def metadata(demos: Demonstrations, path: Path) -> dict[str, Any]:
    """What Minari wants to know: counts and spaces, those of the task if it is known here, else as
    wide as the numbers need."""
    r, infinite = demos.rollouts, float("inf")
    entries = r.observations.shape[1]
    seen = {
        "type": "Box",
        "dtype": "float32",
        "shape": [entries],
        "low": [-infinite] * entries,
        "high": [infinite] * entries,
    }
    task = task_named(str(demos.about.get("env", "")))
    if demos.discrete:
        least = task.start if task and task.discrete else min(0, int(r.actions.min()))
        classes = task.action if task and task.discrete else int(r.actions.max()) + 1 - least
        taken: dict[str, Any] = {"type": "Discrete", "dtype": "int64", "start": least, "n": classes}
    else:
        low, high = (
            (task.low, task.high)
            if task and task.low
            else (r.actions.min(0).tolist(), r.actions.max(0).tolist())
        )
        taken = {
            "type": "Box",
            "dtype": str(r.actions.dtype),
            "shape": [len(low)],
            "low": list(low),
            "high": list(high),
        }
    parts = path.resolve().parts
    told = {
        "dataset_id": "/".join(parts[parts.index("datasets") + 1 :])
        if "datasets" in parts[:-1]
        else path.name,
        "total_episodes": len(demos),
        "total_steps": len(r),
        "data_format": "hdf5",
        "observation_space": json.dumps(seen),
        "action_space": json.dumps(taken),
        "description": f"Written by zeuxis: {json.dumps(demos.about)}",
        "minari_version": "0.5.0",
    }
    return told | (
        {"env_spec": gymnasium().spec(task.name.split(":")[-1]).to_json()} if task else {}
    )


def task_named(name: str) -> Task | None:
    """The task, if there is one of this name here that no module must be imported for: the name may
    be a file's."""
    try:
        return task_of(named_by_file(name, "The file")) if name else None
    except ZeuxisError:
        return None
