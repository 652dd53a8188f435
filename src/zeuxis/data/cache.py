"""Images decoded once: in memory if they fit, and in a memory-mapped file if they are many.

A cache is an `.npy` file with a JSON beside it. It is written under another name, goes on at the row it had reached if the process
was killed, and is renamed when whole; its content is checked by hash. Several processes build it once: the others wait.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError, UsageError
from ..progress import track
from .images import Encoded, Raw, decode

WORTH_KEEPING = 20_000  # images; fewer are decoded in a few seconds
FORM = 3  # of decoding: raised when the same source would be decoded to other pixels
PORTION = 2_000  # rows between two notes of how far it is
BLOCK = 1 << 20


def decoded(raw: Raw, size: int | None, channels: int | None, limit: int | None, cache: Path | None = None) -> Tensor | np.ndarray:
    """Encoded images as a tensor in memory, or memory-mapped where they do not fit into it.

    Raises:
        DataError: An image is corrupt, or images differ in shape and no size is given.
    """
    images = raw.images
    assert isinstance(images, Encoded)
    n = min(len(images), limit or len(images))
    i = 0
    try:
        shape = decode(images.read(0), images.where(0), size, channels).shape
        fits = n * int(np.prod(shape)) <= memory()
        if fits and n < WORTH_KEEPING:
            x = np.empty((n, *shape), np.uint8)
            for i in track(range(n), n, f"decoding {raw.name}"):
                x[i] = one(images, i, size, channels, shape)
            return torch.from_numpy(x)
    except DataError as error:
        raise refused(error, images, i, n) from error
    key = hashlib.sha256(f"{FORM} {raw.fingerprint} {n} {shape} {size} {channels}".encode()).hexdigest()[:24]
    path = (cache or cache_folder()) / "decoded" / f"{raw.name}-{key}.npy"
    mapped = build(path, images, n, shape, size, channels, raw.name)
    return torch.from_numpy(np.array(mapped)) if fits else mapped


def refused(error: DataError, images: Encoded, i: int, n: int) -> DataError:
    """The error of image i, and how many further ones are corrupt where that is known in a few seconds."""
    if n >= WORTH_KEEPING or readable(images, i):
        return error
    more = sum(not readable(images, k) for k in range(i + 1, n))
    return DataError(f"{str(error).rstrip('.')}; further corrupt images: {more:,}.") if more else error


def readable(images: Encoded, i: int) -> bool:
    """Whether image i can be decoded."""
    try:
        decode(images.read(i), images.where(i))
    except DataError:
        return False
    return True


def sample(n: int) -> list[int]:
    """A few positions spread over n."""
    return sorted({round(i * (n - 1) / 15) for i in range(16)})


def one(images: Encoded, i: int, size: int | None, channels: int | None, shape: tuple[int, ...]) -> np.ndarray:
    """Image i, which must have the shape of the others."""
    x = decode(images.read(i), images.where(i), size, channels)
    if x.shape != shape:
        mend = "bring all to one size with --size" if x.shape[1:] != shape[1:] else "choose --channels 1 or --channels 3"
        raise DataError(f"The image {images.where(i)} has shape {x.shape} and the first one {shape}: {mend}.")
    return x


def memory() -> int:
    """Bytes that a data set may take: ZEUXIS_MEMORY, else half of what can be had without swapping."""
    given = os.environ.get("ZEUXIS_MEMORY", "")
    if given:
        if not given.isdecimal():
            raise UsageError(f"ZEUXIS_MEMORY is '{given}', expected a number of bytes, as in 4000000000.")
        return int(given)
    with contextlib.suppress(OSError, StopIteration, ValueError):
        facts = Path("/proc/meminfo").read_text().splitlines()
        return int(next(fact.split()[1] for fact in facts if fact.startswith("MemAvailable:"))) * 1024 // 2
    with contextlib.suppress(ValueError, OSError, AttributeError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 << 30


def cache_folder() -> Path:
    """ZEUXIS_CACHE, else zeuxis in the user's cache folder."""
    given = os.environ.get("ZEUXIS_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zeuxis"


def build(path: Path, images: Encoded, n: int, shape: tuple[int, ...], size: int | None, channels: int | None, name: str) -> np.ndarray:
    """The cache file at `path`, made or finished if need be, memory-mapped for reading."""
    about = path.with_suffix(".json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock")):
            if about.exists() and path.exists():
                if (mapped := opened(path, about, (n, *shape))) is not None:
                    return mapped
                print(f"The cache '{path}' is damaged and is made again.", file=sys.stderr)
            partial, reached = path.with_suffix(".partial.npy"), path.with_suffix(".reached")
            target, done = begun(partial, reached, (n, *shape))
            for i in track(range(done, n), n - done, f"decoding {name} into the cache"):
                target[i] = one(images, i, size, channels, shape)
                if (i + 1) % PORTION == 0:
                    target.flush()
                    note(reached, str(i + 1))
            target.flush()
            blocks = [digest(target, i, n) for i in sample(n)]
            whole = hashlib.sha256()
            for start in range(0, n, PORTION):
                whole.update(target[start : start + PORTION].tobytes())
            del target
            partial.replace(path)
            note(about, json.dumps({"shape": [n, *shape], "sha256": whole.hexdigest(), "rows": blocks}))
            reached.unlink(missing_ok=True)
            return np.load(path, mmap_mode="r")
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"Decoded images could not be kept in '{path.parent}' ({reason}): make room or set ZEUXIS_CACHE to another folder."
        ) from error


def begun(partial: Path, reached: Path, shape: tuple[int, ...]) -> tuple[np.memmap, int]:
    """The file to decode into, with its room on the disk taken, and the rows that an earlier process wrote into it."""
    with contextlib.suppress(OSError, ValueError):
        np.lib.format.open_memmap(partial, "r")  # opened for writing, a file that was cut short would be filled up with zeros
        target, done = np.lib.format.open_memmap(partial, "r+"), int(reached.read_text())
        if target.shape == shape and target.dtype == np.uint8 and 0 < done <= shape[0]:
            return target, done
    reached.unlink(missing_ok=True)
    target = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
    if hasattr(os, "posix_fallocate"):  # a full disk is an error here; writing to a mapped hole in it would kill the process
        try:
            with open(partial, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, partial.stat().st_size)
        except OSError:
            partial.unlink()
            raise
    return target, 0


def note(path: Path, text: str) -> None:
    """Writes a small file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)


def digest(x: np.ndarray, i: int, n: int) -> str:
    """Hash of the rows from i on that make up about a megabyte."""
    rows = max(1, BLOCK // max(1, x[0].nbytes))
    return hashlib.sha256(np.ascontiguousarray(x[i : min(n, i + rows)]).tobytes()).hexdigest()


def opened(path: Path, about: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The cache, or None if it is not what its JSON says; hashes of sixteen places are compared."""
    try:
        facts: dict[str, Any] = json.loads(about.read_text())
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        same = tuple(facts["shape"]) == mapped.shape == shape and mapped.dtype == np.uint8
        return mapped if same and [digest(mapped, i, shape[0]) for i in sample(shape[0])] == facts["rows"] else None
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def verify(path: Path) -> bool:
    """Whether every byte of a cache is what was decoded: compares the hash of all rows."""
    try:
        facts = json.loads(path.with_suffix(".json").read_text())
        mapped, whole = np.load(path, mmap_mode="r", allow_pickle=False), hashlib.sha256()
        for start in range(0, len(mapped), PORTION):
            whole.update(mapped[start : start + PORTION].tobytes())
        return bool(list(mapped.shape) == facts["shape"] and whole.hexdigest() == facts["sha256"])
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return False


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock file; a second process waits until the first is done. The lock ends with its process."""
    import fcntl

    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)
