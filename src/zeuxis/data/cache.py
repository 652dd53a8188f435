"""Images decoded once: in memory if they fit, and in a memory-mapped file if they are many.

A cache is an `.npy` file with a JSON beside it. It is written under another name, goes on at the
row it had reached if the process was killed, and is renamed when whole. Several processes build it
once: the others wait.

The JSON holds a hash of every block of 256 kB, and no row is handed out before its block agrees: a
set that is copied into memory is checked whole, by all processors, while it is read; of a set that
stays on the disk, which may be a hundred times larger, a block is checked when a row of it is first
asked for, so that a start costs sixteen blocks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from platformdirs import user_cache_path
from torch import Tensor

from ..errors import DataError, UsageError
from ..progress import track
from .images import Encoded, Raw, decode

WORTH_KEEPING = 20_000  # images; fewer are decoded in a few seconds
FORM = 4  # of decoding: raised when the same source would be decoded to other pixels
PORTION = 2_000  # rows between two notes of how far it is
BLOCK = 1 << 18  # bytes that share a hash


def decoded(
    raw: Raw, size: int | None, channels: int | None, limit: int | None, cache: Path | None = None
) -> Tensor | np.ndarray:
    """Encoded images as a tensor in memory, or memory-mapped where they do not fit into it.

    Raises:
        DataError: An image is corrupt, or images differ in shape and no size is given.
    """
    images = raw.images
    assert isinstance(images, Encoded)
    n = min(len(images), limit or len(images))
    i = 0
    try:
        first = decode(images.read(0), images.where(0), size, channels)
        shape = first.shape
        fits = n * int(np.prod(shape)) <= memory()
        if fits and n < WORTH_KEEPING:
            x = np.empty((n, *shape), np.uint8)
            x[0] = first
            for i in track(range(1, n), n - 1, f"decoding {raw.name}"):
                x[i] = one(images, i, size, channels, shape)
            return torch.from_numpy(x)
    except DataError as error:
        raise refused(error, images, i, n) from error
    key = hashlib.sha256(
        f"{FORM} {raw.fingerprint} {n} {shape} {size} {channels}".encode()
    ).hexdigest()[:24]
    path = (cache or cache_folder()) / "decoded" / f"{raw.name}-{key}.npy"
    found = build(path, images, n, shape, size, channels, raw.name, fits)
    return torch.from_numpy(found) if fits else found


def refused(error: DataError, images: Encoded, i: int, n: int) -> DataError:
    """The error of image i, and how many further ones are corrupt where that is known in a few
    seconds."""
    if n >= WORTH_KEEPING or readable(images, i):
        return error
    more = sum(not readable(images, k) for k in range(i + 1, n))
    return (
        DataError(f"{str(error).rstrip('.')}; further corrupt images: {more:,}.") if more else error
    )


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


def one(
    images: Encoded, i: int, size: int | None, channels: int | None, shape: tuple[int, ...]
) -> np.ndarray:
    """Image i, which must have the shape of the others."""
    x = decode(images.read(i), images.where(i), size, channels)
    if x.shape != shape:
        mend = (
            "bring all to one size with --size"
            if x.shape[1:] != shape[1:]
            else "choose --channels 1 or --channels 3"
        )
        raise DataError(
            f"The image {images.where(i)} has shape {x.shape} and the first one {shape}: {mend}."
        )
    return x


def memory() -> int:
    """Bytes that a data set may take: ZEUXIS_MEMORY, else half of what can be had without
    swapping."""
    given = os.environ.get("ZEUXIS_MEMORY", "")
    if given:
        if not given.isdecimal():
            raise UsageError(
                f"ZEUXIS_MEMORY is '{given}', expected a number of bytes, as in 4000000000."
            )
        return int(given)
    with contextlib.suppress(OSError, StopIteration, ValueError):
        facts = Path("/proc/meminfo").read_text().splitlines()
        return (
            int(next(fact.split()[1] for fact in facts if fact.startswith("MemAvailable:")))
            * 1024
            // 2
        )
    with contextlib.suppress(ValueError, OSError, AttributeError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 << 30


def cache_folder() -> Path:
    """ZEUXIS_CACHE, else the folder `zeuxis` in the user's cache folder."""
    if folder := os.environ.get("ZEUXIS_CACHE"):
        return Path(folder)
    path = user_cache_path("zeuxis", appauthor=False)
    if path.parts[0] == "~":  # a user without a home folder
        raise DataError("There is no home folder to keep a cache in: set ZEUXIS_CACHE to a folder.")
    return path


def build(
    path: Path,
    images: Encoded,
    n: int,
    shape: tuple[int, ...],
    size: int | None,
    channels: int | None,
    name: str,
    fits: bool = False,
) -> np.ndarray:
    """The cache file at `path`, made or finished if need be: memory-mapped for reading, or its
    content if that fits into memory."""
    about = path.with_suffix(".json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # ends with its process
            if about.exists() and path.exists():
                if (kept := opened(path, about, (n, *shape), fits)) is not None:
                    return kept
                print(f"The cache '{path}' is damaged and is made again.", file=sys.stderr)
            partial, reached = path.with_suffix(".partial.npy"), path.with_suffix(".reached")
            target, done = begun(partial, reached, (n, *shape))
            for i in track(range(done, n), n - done, f"decoding {name} into the cache"):
                target[i] = one(images, i, size, channels, shape)
                if (i + 1) % PORTION == 0:
                    target.flush()
                    note(reached, str(i + 1))
            target.flush()
            facts = {
                "shape": [n, *shape],
                "rows": rows_of(target),
                "blocks": digests(target, rows_of(target)),
            }
            whole = np.array(target) if fits else None
            del target
            partial.replace(path)
            note(about, json.dumps(facts))
            reached.unlink(missing_ok=True)
            return whole if whole is not None else checked(path, facts)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"Decoded images could not be kept in '{path.parent}' ({reason}): make room "
            "or set ZEUXIS_CACHE to another folder."
        ) from error


def begun(partial: Path, reached: Path, shape: tuple[int, ...]) -> tuple[np.memmap, int]:
    """The file to decode into, with its room on the disk taken, and the rows that an earlier
    process wrote into it."""
    with contextlib.suppress(OSError, ValueError):
        np.lib.format.open_memmap(
            partial, "r"
        )  # opened for writing, a file that was cut short would be filled up with zeros
        target, done = np.lib.format.open_memmap(partial, "r+"), int(reached.read_text())
        if target.shape == shape and target.dtype == np.uint8 and 0 < done <= shape[0]:
            return target, done
    reached.unlink(missing_ok=True)
    target = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
    if hasattr(
        os, "posix_fallocate"
    ):  # a full disk is an error here; writing to a mapped hole in it would kill the process
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


class Checked(np.memmap):
    """A cache on the disk whose blocks are compared with their hashes before rows of them are first
    given out."""

    path: Path
    facts: dict[str, Any]
    seen: np.ndarray

    def __getitem__(self, rows: Any) -> Any:
        each, hashes = self.facts["rows"], self.facts["blocks"]
        for block in np.unique(np.arange(len(self))[rows] // each):
            if not self.seen[block]:
                if (
                    digest(np.ndarray.__getitem__(self, slice(block * each, (block + 1) * each)))
                    != hashes[block]
                ):
                    self.path.with_suffix(".json").unlink(missing_ok=True)
                    raise DataError(
                        f"The cache '{self.path}' is damaged: start again, and it is made anew."
                    )
                self.seen[block] = True
        return np.asarray(np.ndarray.__getitem__(self, rows))


def checked(path: Path, facts: dict[str, Any]) -> Checked:
    """The cache at a path, of which nothing was compared yet."""
    mapped = np.load(path, mmap_mode="r", allow_pickle=False).view(Checked)
    mapped.path, mapped.facts, mapped.seen = path, facts, np.zeros(len(facts["blocks"]), bool)
    return mapped


def rows_of(x: np.ndarray) -> int:
    """Rows that make up a block."""
    return max(1, BLOCK // max(1, x.nbytes // max(1, len(x))))


def digest(x: np.ndarray) -> str:
    """Hash of some rows."""
    return hashlib.blake2b(
        np.ascontiguousarray(x).view(np.ndarray).reshape(-1).data, digest_size=16
    ).hexdigest()


def digests(x: np.ndarray, rows: int) -> list[str]:
    """Hashes of all blocks, by all processors."""
    plain = x.view(np.ndarray)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(
            pool.map(lambda start: digest(plain[start : start + rows]), range(0, len(x), rows))
        )


def described(about: Path, mapped: np.ndarray) -> dict[str, Any] | None:
    """What the JSON beside a cache says, if it speaks of an array like this one."""
    facts: dict[str, Any] = json.loads(about.read_text())
    rows, blocks = facts["rows"], facts["blocks"]
    same = tuple(facts["shape"]) == mapped.shape and mapped.dtype == np.uint8 and rows >= 1
    return facts if same and len(blocks) == -(-len(mapped) // rows) else None


def opened(
    path: Path, about: Path, shape: tuple[int, ...], fits: bool = False
) -> np.ndarray | None:
    """The cache, or None if it is not what its JSON says: all of it if it is to be copied into
    memory, else at sixteen places."""
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        facts = described(about, mapped)
        if facts is None or mapped.shape != shape:
            return None
        if fits:
            whole = np.array(mapped)
            return whole if digests(whole, facts["rows"]) == facts["blocks"] else None
        rows = facts["rows"]
        if any(
            digest(mapped[i // rows * rows :][:rows]) != facts["blocks"][i // rows]
            for i in sample(len(mapped))
        ):
            return None
        return checked(path, facts)
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError):
        return None


def verify(path: Path) -> bool:
    """Whether every byte of a cache is what was decoded: compares the hashes of all blocks."""
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        facts = described(path.with_suffix(".json"), mapped)
        return facts is not None and digests(mapped, facts["rows"]) == facts["blocks"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError):
        return False
