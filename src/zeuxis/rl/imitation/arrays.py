"""Arrays of a stranger's file, read without a surprise: what they will cost is known from their
headers before anything is read.

Arrays that nobody asked for are not read, and files of objects are refused, so nothing is ever
unpickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from ...data.npz import headers, values
from ...data.reading import affordable
from ...data.reading import first_line as short
from ...errors import DataError, ZeuxisError

TEXT = 1 << 20  # longest JSON (characters)


def first_line(error: BaseException) -> str:
    """An error's message as part of a sentence."""
    return short(error).rstrip(".")


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
        raise DataError(
            f"There is no file of demonstrations '{path}': check the path, or make one "
            "with zeuxis demos record."
        )
    if not path.is_file():
        raise DataError(f"'{path}' is no ordinary file: give .npz, .safetensors or .hdf5.")
    try:
        return (tensors if path.suffix == ".safetensors" else npz)(path, names)
    except ZeuxisError:
        raise
    except (
        Exception
    ) as error:  # readers of archives and of headers raise many types for damaged files
        raise DataError(
            f"'{path}' cannot be read as plain arrays ({first_line(error)}): give .npz, "
            ".safetensors or .hdf5."
        ) from error


def tensors(path: Path, names: Collection[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Of a safetensors file, whose header is checked against its size by the reader."""
    with safe_open(path, "np") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys() if key in names}  # noqa: SIM118
        return arrays, plain_json((file.metadata() or {}).get("zeuxis"))


def npz(path: Path, names: Collection[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Of NumPy's archive."""
    found = {
        array.key: array
        for array in headers(path, None)
        if array.key in names or array.key == "about"
    }
    about = found.pop("about", None)
    affordable(
        sum(math.prod(array.shape) * array.dtype.itemsize for array in found.values()),
        path.stat().st_size,
    )
    noted = about is not None and about.shape == () and about.dtype.itemsize <= 4 * TEXT
    return {key: values(array) for key, array in found.items()}, plain_json(
        str(values(about)) if about is not None and noted else None
    )


def numeric(arrays: dict[str, np.ndarray], names: Iterable[str]) -> bool:
    """Whether these arrays hold real numbers."""
    return all(arrays[name].dtype.kind in "fiub" for name in names)
