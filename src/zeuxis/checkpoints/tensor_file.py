"""Files of tensors in the safetensors format, with JSON values and a checksum in their header."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .. import files
from ..errors import ZeuxisError


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors of a file and the values beside them.

    Raises:
        ZeuxisError: The file is missing or damaged, or a number in it is not finite.
    """
    with sentences(path):
        files.check_seal(files.require_regular(path))
        with safe_open(path, "pt") as file:
            values = values_of(file)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if wrong := not_finite(tensors):
        raise ZeuxisError(
            f"'{path}' holds numbers in '{wrong}' that are not finite: restore it from a copy."
        )
    return tensors, values


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor in a file, by its header alone.

    Raises:
        ZeuxisError: The file is missing or damaged.
    """
    with sentences(path), safe_open(files.require_regular(path), "pt") as file:
        return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118


def about(path: Path) -> dict[str, Any]:
    """The JSON values in a file's header; errors of the format are the caller's."""
    with safe_open(files.require_regular(path), "pt") as file:
        return values_of(file)


@contextlib.contextmanager
def sentences(path: Path) -> Iterator[None]:
    """Turns errors of opening and reading a file into sentences."""
    try:
        yield
    except FileNotFoundError as error:
        raise ZeuxisError(
            f"'{path}' does not exist: this folder holds no such weights, train or copy them first."
        ) from error
    except (OSError, SafetensorError, ValueError, RuntimeError, MemoryError) as error:
        raise ZeuxisError(
            f"'{path}' is damaged or no safetensors file ({files.reason(error)}): restore it "
            "from a copy."
        ) from error


def values_of(file: Any) -> dict[str, Any]:
    """The JSON values beside the tensors of an open file."""
    values = files.parse_json((file.metadata() or {}).get("zeuxis", "{}"))
    if not isinstance(values, dict):
        raise ValueError("the values in its header are not a JSON object")
    values.pop("sha256", None)
    return values


def not_finite(tensors: dict[str, Tensor]) -> str:
    """The name of the first tensor with a number that is not finite, "" if there is none."""
    return next((name for name, t in tensors.items() if not is_finite(t)), "")


def is_finite(t: Tensor) -> bool:
    """Whether every number is finite. One that is not makes their sum not finite, and a sum takes a
    tenth of the time."""
    if not (t.is_floating_point() or t.is_complex()):
        return True
    if t.element_size() == 1:  # 8-bit numbers have no sums
        t = t.float()
    total = t.sum(dtype=torch.float32 if t.element_size() == 2 else None)
    return bool(torch.isfinite(total)) or bool(torch.isfinite(t).all())
