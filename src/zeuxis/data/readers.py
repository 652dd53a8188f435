"""What the readers of array files share, and SVHN's MATLAB files. No reader unpickles anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .images import Raw
from .matlab import read_arrays
from .parts import ALL, TEST, TRAIN, VALIDATION, Split, chosen, part_name, part_of
from .reading import first_line, shown
from .tables import fingerprint

IMAGE_NAMES = ("images", "image", "img", "imgs", "x", "X", "data")
LABEL_NAMES = ("labels", "label", "y", "Y", "subject", "fine_label", "target", "targets")


def left_out(parts: Mapping[str, Any], part: str) -> list[str]:
    """The sentence on a validation part that is left out, if there is one."""
    if VALIDATION in parts and part in (TRAIN, TEST, ALL):
        return ["Left out: the validation part."]
    return []


def nchw(x: np.ndarray, where: str) -> np.ndarray:
    """Brings images to uint8 (N, C, H, W) from any of the usual orders."""
    if x.dtype == bool:
        x = x.astype(np.uint8) * 255
    if x.dtype != np.uint8:
        raise DataError(
            f"The images of '{where}' are {x.dtype}, expected uint8 from 0 to 255: "
            "convert them first."
        )
    if 0 in x.shape[1:]:
        raise DataError(
            f"The images of '{where}' have shape {x.shape}, expected at least one pixel each."
        )
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] not in (1, 3):
        return x
    if x.ndim == 4 and x.shape[3] in (1, 3):
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    raise DataError(
        f"The images of '{where}' have shape {x.shape}, expected (N, H, W), (N, H, W, 1 "
        "or 3) or (N, 1 or 3, H, W)."
    )


def mat(path: Path, name: str, part: str = ALL, notes: tuple[str, ...] = ()) -> Raw:
    """Reads SVHN's cropped digits: X (32, 32, 3, N), and y with 10 for the digit 0."""
    try:
        arrays = read_arrays(path, ("X", "y"))
        if missing := [key for key in ("X", "y") if key not in arrays]:
            raise ValueError(f"it holds no array '{missing[0]}'")
    except (OSError, ValueError, MemoryError) as error:
        raise DataError(
            f"'{shown(path)}' cannot be read as SVHN's X and y ({first_line(error)}): "
            "fetch the file again."
        ) from error
    x, y = arrays["X"], arrays["y"].reshape(-1)
    if x.ndim != 4 or x.shape[2:] != (3, len(y)) or x.dtype != np.uint8:
        raise DataError(
            f"'{shown(path)}' has X of shape {x.shape} and {x.dtype}, expected uint8 "
            f"(32, 32, 3, {len(y)})."
        )
    if not np.isin(y, np.arange(11)).all():
        reach = f"from {y.min():g} to {y.max():g}"
        raise DataError(
            f"'{shown(path)}' has labels {reach}, expected whole numbers from 0 to 10 "
            "(10: the digit 0)."
        )
    x = np.ascontiguousarray(x.transpose(3, 2, 0, 1))
    return Raw(name, x, y.astype(np.int64) % 10, (), fingerprint([path]), part, notes)


def mat_folder(folder: Path, split: Split, name: str, classes: Sequence[str] = ()) -> Raw | None:
    """Reads SVHN's files, or others named after their part; None if there are none."""
    paths = sorted(path for path in folder.glob("*.mat") if path.is_file())
    parts: dict[str, Path] = {}
    for path in paths:
        parts.setdefault(part_of(path.stem) or path.name, path)
    if not any(part in parts for part in (TRAIN, TEST)):
        return mat(paths[0], name) if len(paths) == 1 else None
    part = chosen([p for p in parts if p in (TRAIN, TEST, VALIDATION)], split, f"'{shown(folder)}'")
    others = [path.name for path in paths if path not in (parts.get(TRAIN), parts.get(TEST))]
    notes = (f"Left out: {', '.join(map(shown, others))}.",) if others else ()
    return mat(parts[part], name, part_name(part, parts), notes)
