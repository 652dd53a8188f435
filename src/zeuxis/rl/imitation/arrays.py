"""Reads arrays of untrusted files safely.

The size of all arrays is known from their headers before anything is read. Arrays of other names
are not read, and arrays of objects are refused, so nothing is ever unpickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from ...data import reading
from ...data.npz import headers, values
from ...errors import DataError, ZeuxisError

MAX_JSON = 1 << 20  # characters


def first_line(error: BaseException) -> str:
    """An error's message as part of a sentence."""
    return reading.first_line(error).rstrip(".")


def plain_json(text: Any) -> dict[str, Any]:
    """Parses a JSON object; anything else gives an empty one."""
    try:
        value = json.loads(text) if isinstance(text, str | bytes) and len(text) <= MAX_JSON else {}
    except (ValueError, RecursionError):
        value = {}
    return value if isinstance(value, dict) else {}


def read_arrays(path: Path, names: Collection[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads arrays of an `.npz` or `.safetensors` file, and the notes beside them.

    Arguments:
        path: The file.
        names: Names of the arrays to read, where they exist.

    Raises:
        DataError: The file is missing, damaged, or unpacks to more than is usual.
    """
    if not path.exists():
        raise DataError(
            f"There is no file of demonstrations '{path}': check the path, or make one with "
            "zeuxis demos record."
        )
    if not path.is_file():
        raise DataError(f"'{path}' is no ordinary file: give .npz, .safetensors or .hdf5.")
    try:
        return (read_tensors if path.suffix == ".safetensors" else read_npz)(path, names)
    except ZeuxisError:
        raise
    except Exception as error:  # readers raise many types for damaged files
        raise DataError(
            f"'{path}' cannot be read as plain arrays ({first_line(error)}): give .npz, "
            ".safetensors or .hdf5."
        ) from error


def read_tensors(
    path: Path, names: Collection[str]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """`read_arrays` of safetensors, whose reader checks the header against the size of the file."""
    with safe_open(path, "np") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys() if key in names}  # noqa: SIM118
        return arrays, plain_json((file.metadata() or {}).get("zeuxis"))


def read_npz(path: Path, names: Collection[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """`read_arrays` of NumPy's archive."""
    arrays = {a.key: a for a in headers(path, None) if a.key in names or a.key == "about"}
    about = arrays.pop("about", None)
    size = sum(math.prod(a.shape) * a.dtype.itemsize for a in arrays.values())
    reading.affordable(size, path.stat().st_size)
    text = None
    if about is not None and about.shape == () and about.dtype.itemsize <= 4 * MAX_JSON:
        text = str(values(about))
    return {key: values(a) for key, a in arrays.items()}, plain_json(text)


def numeric(arrays: dict[str, np.ndarray], names: Iterable[str]) -> bool:
    """Whether these arrays hold real numbers."""
    return all(arrays[name].dtype.kind in "fiub" for name in names)
