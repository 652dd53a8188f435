r"""Demonstrations in HDF5, in the format of Minari.

A file has a group for each episode:

```
episode_0/observations   (T + 1, ...)   with the one after the last step
episode_0/actions        (T, ...)
episode_0/rewards        (T,)
episode_0/terminations   (T,)           true at the last step if the episode terminated
episode_0/truncations    (T,)           true at the last step if it was truncated
```

A data set of Minari is a folder with such a file, `data/main_data.hdf5`, and the spaces in
`data/metadata.json`. A path that ends in .hdf5 or .h5 is a file, a path without an ending is a
folder. Minari finds a folder by its id where it keeps its data sets (`~/.minari/datasets/ID`).

The package minari writes. Reading needs h5py alone: every link, filter and size is checked in the
open file before its numbers are read from the same handle, so that a file that changes in between,
points to other files or unpacks to more than is usual cannot get past the checks.

Source: Younis et al., "Minari", 2024, https://minari.farama.org.
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
from ..environments.environment import task_of
from ..environments.registration import gymnasium, named_by_file
from ..environments.task import Task
from .arrays import MAX_JSON, first_line, plain_json
from .demonstrations import EPISODE_PARTS, Demonstrations

ENDINGS = (".hdf5", ".h5")
MAIN_FILE = "main_data.hdf5"
# Filters that come with HDF5 or h5py; others would load plugins.
FILTERS = ("DEFLATE", "GZIP", "SHUFFLE", "FLETCHER32", "SZIP", "NBIT", "SCALEOFFSET", "LZF")


def h5py() -> Any:
    """Imports h5py.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("h5py", "minari", "Reading and writing HDF5") from error
    return h5py


def minari() -> Any:
    """Imports Minari.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import minari
    except ImportError as error:
        raise MissingExtra("minari", "minari", "Writing HDF5") from error
    return minari


@dataclass(frozen=True)
class Episode:
    """One episode, with Minari's names."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray


def main_file(path: Path) -> Path:
    """The HDF5 file itself; in Minari's folder the one that holds the episodes."""
    inside = (path / "data" / MAIN_FILE, path / MAIN_FILE)
    return next((file for file in inside if file.exists()), path)


def read_minari(path: Path) -> Demonstrations:
    """Reads an HDF5 file, or a folder that holds one.

    Raises:
        DataError: It is missing, damaged, of another form, or keeps numbers in other files.
    """
    h, file = h5py(), main_file(path)
    if not file.is_file():
        what = f"the folder has no data/{MAIN_FILE}" if path.is_dir() else "there is none"
        raise DataError(
            f"There are no demonstrations at '{path}' ({what}): check the path, or make some with "
            "zeuxis demos record."
        )
    try:
        with h.File(file, "r") as group:
            about = plain_json(read_note(group))
            demos = Demonstrations.of_episodes(episodes(group, str(path), file.stat().st_size))
    except ZeuxisError:
        raise
    except Exception as error:  # h5py raises many types for damaged files
        raise DataError(
            f"'{path}' cannot be read as HDF5 ({first_line(error)}): record it again, or give "
            "another."
        ) from error
    return Demonstrations(demos.rollouts, (about or read_env(file)) | demos.about, str(path))


def read_note(file: Any) -> Any:
    """The JSON text that zeuxis adds to a file, None without one."""
    if "zeuxis" not in file.attrs:
        return None
    attribute = file.attrs.get_id("zeuxis")
    short = attribute.shape == () and attribute.get_storage_size() <= 4 * MAX_JSON
    return file.attrs["zeuxis"] if short else None


def read_env(file: Path) -> dict[str, Any]:
    """The environment that Minari's metadata name, if there is one."""
    try:
        metadata = file.with_name("metadata.json")
        short = metadata.is_file() and metadata.stat().st_size <= MAX_JSON
        text = metadata.read_text() if short else ""
        return {"env": str(plain_json(plain_json(text)["env_spec"])["id"])}
    except (OSError, ValueError, KeyError):
        return {}


def member(group: Any, name: str, kind: type) -> Any:
    """A member of a group if it is of this kind, else None.

    Links are not followed, since they may lead to other files.
    """
    if not isinstance(group.get(name, getlink=True), h5py().HardLink):
        return None
    value = group.get(name)
    return value if isinstance(value, kind) else None


def episode_numbers(file: Any) -> list[int]:
    """Numbers of the episodes, in order."""
    numbers = (key.removeprefix("episode_") for key in file if key.startswith("episode_"))
    return sorted(int(n) for n in numbers if n.isdecimal() and n == str(int(n)))


def episodes(file: Any, name: str, size: int) -> Iterator[Episode]:
    """Yields the episodes of an open file; it reads nothing before all of it is checked.

    Arguments:
        file: The file, or a group.
        name: Name in messages.
        size: Bytes of the file.
    """
    groups: list[tuple[int, dict[str, Any]]] = []
    total = 0
    for number in episode_numbers(file):
        group = member(file, f"episode_{number}", h5py().Group)
        if group is None:
            raise DataError(
                f"'{name}' has an episode {number} that is no group: links are not followed."
            )
        parts = {part: member(group, part, h5py().Dataset) for part in EPISODE_PARTS}
        for part, data in parts.items():
            if data is None or data.dtype.kind not in "fiub":
                what = "missing, or a link" if data is None else "no plain array of numbers"
                raise DataError(
                    f"'{name}' has an episode {number} whose {part} are {what}: episodes have "
                    f"{', '.join(EPISODE_PARTS)}; where observations have parts, flatten them "
                    "first."
                )
            total += checked_bytes(data, f"'{name}' has an episode {number} whose {part}")
        affordable(total, size)
        groups.append((number, parts))
    for number, parts in groups:
        yield read_episode(parts, f"'{name}' has an episode {number}")


def read_episode(parts: dict[str, Any], which: str) -> Episode:
    """Reads one episode and checks its lengths."""
    episode = Episode(**{part: data[()] for part, data in parts.items()})
    steps = (episode.actions, episode.rewards, episode.terminations)
    lengths = {len(x) if x.ndim else -1 for x in steps}
    if len(lengths) != 1 or -1 in lengths or not episode.observations.ndim:
        shapes = [f"{part} of shape {getattr(episode, part).shape}" for part in EPISODE_PARTS]
        raise DataError(
            f"{which} with {', '.join(shapes)}: their lengths must agree, with one observation "
            "more."
        )
    return episode


def checked_bytes(data: Any, which: str) -> int:
    """Bytes that reading an HDF5 data set takes.

    Raises:
        DataError: Its numbers are in another file, packed by an unknown filter, or missing.
    """
    if data.is_virtual or data.external:
        raise DataError(
            f"{which} are kept in another file, which is not read: copy the numbers into this one."
        )
    properties = data.id.get_create_plist()
    known = {int(getattr(h5py().h5z, f"FILTER_{name}", -1)) for name in FILTERS} - {-1}
    if any(properties.get_filter(i)[0] not in known for i in range(properties.get_nfilters())):
        raise DataError(
            f"{which} are packed by an unknown filter: write them with gzip, or without."
        )
    if data.size and not data.id.get_storage_size():
        raise DataError(f"{which} were never written: record them again.")
    count = data.size
    if data.chunks:
        count = math.prod(
            math.ceil(n / c) * c for n, c in zip(data.shape, data.chunks, strict=True)
        )
    return int(count) * data.dtype.itemsize


def write_minari(demos: Demonstrations, path: Path) -> Path:
    """Writes an HDF5 file, or a folder that Minari reads, completely or not at all.

    Raises:
        UsageError: The folder exists.
        DataError: There is no place or no room.
    """
    minari()
    folder = path.suffix not in ENDINGS
    if folder and path.exists():
        raise UsageError(
            f"'{path}' exists already: give a folder that does not, or a name that ends in .hdf5, "
            ".npz or .safetensors."
        )
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.partial")
    try:
        (partial / "data").mkdir(parents=True)
        write_folder(demos, partial / "data", path)
        (partial if folder else partial / "data" / MAIN_FILE).replace(path)
    except OSError as error:
        raise DataError(
            f"The demonstrations '{path}' could not be written ({error}): give a writable place "
            "with room."
        ) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(partial)
    return path


def write_folder(demos: Demonstrations, folder: Path, path: Path) -> None:
    """Writes the files of Minari's folder `data`.

    Arguments:
        demos: Demonstrations.
        folder: The folder.
        path: Where the data set will lie, for its id.
    """
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    r, task = demos.rollouts, known_task(str(demos.about.get("env", "")))
    buffers = []
    for i, (start, length) in enumerate(zip(r.starts, r.lengths, strict=True)):
        steps, last = slice(start, start + length), np.arange(length) == length - 1
        buffers.append(
            EpisodeBuffer(
                id=i,
                observations=np.concatenate([r.observations[steps], r.finals[i : i + 1]]),
                actions=r.actions[steps],
                rewards=r.rewards[steps],
                terminations=last & r.terminated[i],
                truncations=last & ~r.terminated[i],
            )
        )
    spec = gymnasium().spec(task.name.split(":")[-1]) if task else None
    storage = MinariStorage.new(folder, *spaces_of(demos, task), env_spec=spec, data_format="hdf5")
    storage.update_episodes(buffers)
    storage.update_metadata(
        {
            "dataset_id": dataset_id(path),
            "description": f"Written by zeuxis: {json.dumps(demos.about)}",
            "minari_version": minari().__version__,
        }
    )
    with h5py().File(folder / MAIN_FILE, "a") as file:
        file.attrs["zeuxis"] = json.dumps(demos.about)


def spaces_of(demos: Demonstrations, task: Task | None) -> tuple[Any, Any]:
    """Spaces of observations and actions: the task's, or as wide as the numbers need."""
    spaces, r = gymnasium().spaces, demos.rollouts
    observations = spaces.Box(-np.inf, np.inf, r.observations.shape[1:], np.float32)
    if demos.discrete:
        start = task.start if task and task.discrete else min(0, int(r.actions.min()))
        n = task.action if task and task.discrete else int(r.actions.max()) + 1 - start
        return observations, spaces.Discrete(n, start=start)
    low, high = (task.low, task.high) if task and task.low else (r.actions.min(0), r.actions.max(0))
    dtype = r.actions.dtype
    return observations, spaces.Box(np.asarray(low, dtype), np.asarray(high, dtype), dtype=dtype)


def dataset_id(path: Path) -> str:
    """Minari's id of a folder: its path below `datasets`, or its name."""
    parts = path.resolve().parts
    if "datasets" in parts[:-1]:
        return "/".join(parts[parts.index("datasets") + 1 :])
    return path.name


def known_task(name: str) -> Task | None:
    """The task of this name, if it is known without importing a module: a file may name it."""
    try:
        return task_of(named_by_file(name, "The file")) if name else None
    except ZeuxisError:
        return None
