"""Decodes images once: in memory if they fit, and in a memory-mapped file if they are many.

A cache is an `.npy` file with a JSON beside it. It is written under another name, continues after a
kill at the last noted row, and is renamed when complete. Of several processes one builds it, and
the others wait.

The JSON holds a hash of every block of 256 kB, and rows are returned only after their block is
verified. A set that is copied into memory is verified whole, in parallel. A set that stays on the
disk, which may be a hundred times larger, is verified block by block at the first access, so
opening it verifies sixteen blocks only.
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

MIN_CACHED = 20_000  # images; fewer are decoded in a few seconds
DECODER_VERSION = 4  # raised when a source would be decoded to other pixels
NOTE_EVERY = 2_000  # rows between two notes of the progress
BLOCK = 1 << 18  # bytes per hash


def decoded(
    raw: Raw, size: int | None, channels: int | None, limit: int | None, cache: Path | None = None
) -> Tensor | np.ndarray:
    """Decodes images into a tensor, or a memory-mapped array if they do not fit into memory.

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
        if fits and n < MIN_CACHED:
            x = np.empty((n, *shape), np.uint8)
            for i in track(range(n), n, f"decoding {raw.name}"):
                x[i] = decode_one(images, i, size, channels, shape) if i else first
            return torch.from_numpy(x)
    except DataError as error:
        raise with_count(error, images, i, n) from error
    key = hashlib.sha256(
        f"{DECODER_VERSION} {raw.fingerprint} {n} {shape} {size} {channels}".encode()
    ).hexdigest()[:24]
    path = (cache or cache_folder()) / "decoded" / f"{raw.name}-{key}.npy"
    array = build(path, images, n, shape, size, channels, raw.name, fits)
    return torch.from_numpy(array) if fits else array


def with_count(error: DataError, images: Encoded, i: int, n: int) -> DataError:
    """The error of image i with the number of further corrupt images, if counting is fast."""
    if n >= MIN_CACHED or readable(images, i):
        return error
    more = sum(not readable(images, k) for k in range(i + 1, n))
    if not more:
        return error
    return DataError(f"{str(error).rstrip('.')}; further corrupt images: {more:,}.")


def readable(images: Encoded, i: int) -> bool:
    """Whether image i can be decoded."""
    try:
        decode(images.read(i), images.where(i))
    except DataError:
        return False
    return True


def sample(n: int) -> list[int]:
    """Sixteen positions at equal distances over n."""
    return sorted({round(i * (n - 1) / 15) for i in range(16)})


def decode_one(
    images: Encoded,
    i: int,
    size: int | None,
    channels: int | None,
    shape: tuple[int, ...],
    data: bytes | None = None,
) -> np.ndarray:
    """Decodes image i, which must have the given shape; `data` are its bytes if they are read."""
    x = decode(images.read(i) if data is None else data, images.where(i), size, channels)
    if x.shape != shape:
        advice = "choose --channels 1 or --channels 3"
        if x.shape[1:] != shape[1:]:
            advice = "bring all to one size with --size"
        raise DataError(
            f"The image {images.where(i)} has shape {x.shape} and the first one {shape}: {advice}."
        )
    return x


def memory() -> int:
    """Bytes that a data set may take: ZEUXIS_MEMORY, else half of the available memory."""
    if limit := os.environ.get("ZEUXIS_MEMORY", ""):
        if not limit.isdecimal():
            raise UsageError(
                f"ZEUXIS_MEMORY is '{limit}', expected a number of bytes, as in 4000000000."
            )
        return int(limit)
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024 // 2
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
    """Opens the cache at `path`, and first builds or completes it if needed.

    Arguments:
        path: The .npy file.
        images: The encoded images.
        n: How many of them to decode.
        shape: The shape of each decoded image.
        size: Side to which images are resized and cropped, or None.
        channels: 1 or 3, or None.
        name: The data set's name, for the progress line.
        fits: Whether to return the content in memory instead of a memory-mapped array.

    Raises:
        DataError: An image is corrupt, or the cache cannot be written.
    """
    index = path.with_suffix(".json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # ends with its process
            if index.exists() and path.exists():
                if (cached := opened(path, index, (n, *shape), fits)) is not None:
                    return cached
                print(f"The cache '{path}' is damaged and is made again.", file=sys.stderr)
            partial, reached = path.with_suffix(".partial.npy"), path.with_suffix(".reached")
            target, done = open_partial(partial, reached, (n, *shape))
            for i in track(range(done, n), n - done, f"decoding {name} into the cache"):
                target[i] = decode_one(images, i, size, channels, shape)
                if (i + 1) % NOTE_EVERY == 0:
                    target.flush()
                    note(reached, str(i + 1))
            target.flush()
            rows = rows_per_block(target)
            hashes = {"shape": [n, *shape], "rows": rows, "blocks": digests(target, rows)}
            content = np.array(target) if fits else None
            del target
            partial.replace(path)
            note(index, json.dumps(hashes))
            reached.unlink(missing_ok=True)
            return content if content is not None else verified(path, hashes)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"Decoded images could not be kept in '{path.parent}' ({reason}): make room "
            "or set ZEUXIS_CACHE to another folder."
        ) from error


def open_partial(partial: Path, reached: Path, shape: tuple[int, ...]) -> tuple[np.memmap, int]:
    """Opens the file to decode into; also returns the rows that an earlier process completed.

    The space on the disk is allocated at once.
    """
    with contextlib.suppress(OSError, ValueError):
        # Opened for writing, a truncated file would be filled up with zeros.
        np.lib.format.open_memmap(partial, "r")
        target, done = np.lib.format.open_memmap(partial, "r+"), int(reached.read_text())
        if target.shape == shape and target.dtype == np.uint8 and 0 < done <= shape[0]:
            return target, done
    reached.unlink(missing_ok=True)
    target = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
    # A full disk is an error here; writing to a hole of a mapped file would kill the process.
    if hasattr(os, "posix_fallocate"):
        try:
            with open(partial, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, partial.stat().st_size)
        except OSError:
            partial.unlink()
            raise
    return target, 0


def note(path: Path, text: str) -> None:
    """Writes a small file atomically."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)


class VerifiedArray(np.memmap):
    """A memory-mapped cache that verifies the hash of a block at the first access to its rows."""

    path: Path
    hashes: dict[str, Any]
    is_verified: np.ndarray

    def __getitem__(self, rows: Any) -> Any:
        per_block, hashes = self.hashes["rows"], self.hashes["blocks"]
        for block in np.unique(np.arange(len(self))[rows] // per_block):
            if self.is_verified[block]:
                continue
            inside = slice(block * per_block, (block + 1) * per_block)
            if digest(np.ndarray.__getitem__(self, inside)) != hashes[block]:
                self.path.with_suffix(".json").unlink(missing_ok=True)
                raise DataError(
                    f"The cache '{self.path}' is damaged: start again, and it is rebuilt."
                )
            self.is_verified[block] = True
        return np.asarray(np.ndarray.__getitem__(self, rows))


def verified(path: Path, hashes: dict[str, Any]) -> VerifiedArray:
    """Maps the cache at a path, with no block verified yet."""
    mapped = np.load(path, mmap_mode="r", allow_pickle=False).view(VerifiedArray)
    mapped.path, mapped.hashes = path, hashes
    mapped.is_verified = np.zeros(len(hashes["blocks"]), bool)
    return mapped


def rows_per_block(x: np.ndarray) -> int:
    """Rows of an array in one block."""
    return max(1, BLOCK // max(1, x.nbytes // max(1, len(x))))


def digest(x: np.ndarray) -> str:
    """The hash of a block."""
    data = np.ascontiguousarray(x).view(np.ndarray).reshape(-1).data
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def digests(x: np.ndarray, rows: int) -> list[str]:
    """The hashes of all blocks, in parallel."""
    plain = x.view(np.ndarray)
    starts = range(0, len(x), rows)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(lambda start: digest(plain[start : start + rows]), starts))


def read_hashes(index: Path, mapped: np.ndarray) -> dict[str, Any] | None:
    """The JSON beside a cache, or None if it does not fit the array."""
    hashes: dict[str, Any] = json.loads(index.read_text())
    rows, blocks = hashes["rows"], hashes["blocks"]
    fits = tuple(hashes["shape"]) == mapped.shape and mapped.dtype == np.uint8 and rows >= 1
    return hashes if fits and len(blocks) == -(-len(mapped) // rows) else None


def opened(
    path: Path, index: Path, shape: tuple[int, ...], fits: bool = False
) -> np.ndarray | None:
    """Opens a cache; None if it is damaged.

    A cache that fits into memory is verified whole and copied; else sixteen blocks are verified.
    """
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        hashes = read_hashes(index, mapped)
        if hashes is None or mapped.shape != shape:
            return None
        rows, blocks = hashes["rows"], hashes["blocks"]
        if fits:
            content = np.array(mapped)
            return content if digests(content, rows) == blocks else None
        for i in sample(len(mapped)):
            if digest(mapped[i // rows * rows :][:rows]) != blocks[i // rows]:
                return None
        return verified(path, hashes)
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError):
        return None


def verify(path: Path) -> bool:
    """Whether the hashes of all blocks of a cache agree."""
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        hashes = read_hashes(path.with_suffix(".json"), mapped)
        return hashes is not None and digests(mapped, hashes["rows"]) == hashes["blocks"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError):
        return False
