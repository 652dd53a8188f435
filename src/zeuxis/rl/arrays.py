"""Arrays of a stranger's file, read without a surprise: what they will cost is known from their headers before anything is read.

`.npz` archives are read by their members' headers, of which each must promise as many bytes as the archive says the member has; names
that nobody asked for are not read. Files of objects are refused, so nothing is ever unpickled.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ..errors import DataError

SMALL, RATIO = 512 << 20, 200  # bytes that any file may unfold to, and beyond that for each byte that it has
HEADER = 4096  # longest header of an array that is read (bytes)
TEXT = 1 << 20  # longest JSON (characters)

DAMAGED = (
    OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, IndexError, RuntimeError, NotImplementedError, OverflowError,
    MemoryError, RecursionError, zlib.error, zipfile.BadZipFile, SafetensorError,
)  # fmt: skip
"""What readers of damaged files raise."""


def first_line(error: BaseException) -> str:
    """An error's message in one line that any terminal can print."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return text[:160].encode("ascii", "backslashreplace").decode()


def affordable(promised: int, stored: int) -> None:
    """Refuses a file that says it unfolds to more than 512 MB and to over 200 times its own size.

    Arguments:
        promised: Bytes that its headers announce.
        stored: Bytes of the file.

    Raises:
        ValueError: It does.
    """
    if promised > max(SMALL, RATIO * stored):
        raise ValueError(f"{stored:,} bytes that unfold to {promised:,}, over {RATIO} times as many, are not safe to read")


def plain_json(text: Any, kind: type = dict) -> Any:
    """A JSON value of this type from text, an empty one from anything else."""
    try:
        found = json.loads(text) if isinstance(text, str | bytes) and len(text) <= TEXT else None
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, kind) else kind()


def read_arrays(path: Path, names: Collection[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of these names in an `.npz` or `.safetensors` file, and the notes beside them.

    Raises:
        DataError: The file is missing, damaged, or unfolds to more than is usual.
    """
    if not path.exists():
        raise DataError(f"There is no file of demonstrations '{path}': check the path, or make one with zeuxis demos record.")
    if not path.is_file():
        raise DataError(f"'{path}' is no ordinary file: give .npz, .safetensors or .hdf5.")
    try:
        return (tensors if path.suffix == ".safetensors" else npz)(path, names)
    except DAMAGED as error:
        raise DataError(f"'{path}' cannot be read as plain arrays ({first_line(error)}): give .npz, .safetensors or .hdf5.") from error


def tensors(path: Path, names: Collection[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Of a safetensors file, whose header is checked against its size by the reader."""
    with safe_open(path, "np") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys() if key in names}  # noqa: SIM118
        return arrays, plain_json((file.metadata() or {}).get("zeuxis"))


def npz(path: Path, names: Collection[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Of NumPy's archive."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist() if info.filename.endswith(".npy")}
        wanted = {name: members[name] for name in names if name in members}
        for info in wanted.values():
            with archive.open(info) as member:
                promised(member, info.file_size)
        affordable(sum(info.file_size for info in wanted.values()), path.stat().st_size)
        arrays = {name: whole(archive, info) for name, info in wanted.items()}
        about = members.get("about")
        notes = str(whole(archive, about)) if about is not None and about.file_size <= 4 * TEXT + HEADER else None
        return arrays, plain_json(notes)


def whole(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """One array."""
    with archive.open(info) as member:
        promised(member, info.file_size)
        member.seek(0)
        return np.lib.format.read_array(member, allow_pickle=False, max_header_size=HEADER)


def promised(file: Any, size: int) -> None:
    """Reads an array's header from a binary file of so many bytes.

    Raises:
        ValueError: It does not fit the bytes that there are, or is of objects.
    """
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"an array of the unknown version {version}")
    shape, _, dtype = read(file, max_header_size=HEADER)
    if dtype.hasobject:
        raise ValueError("an array of objects")
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != size - file.tell():
        raise ValueError(f"an array whose header promises the shape {shape} of {dtype} for {size - file.tell():,} bytes")


def numeric(arrays: dict[str, np.ndarray], names: Iterable[str]) -> bool:
    """Whether these arrays hold real numbers."""
    return all(arrays[name].dtype.kind in "fiub" for name in names)
