"""Labels of array files as class numbers from 0, and the names of the classes.

All parts of a data set get the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .reading import shown

MAX_CLASSES = 100_000  # a file with more does not hold classes


def class_numbers(
    labels: Mapping[str, Any], part: str, path: Path, names: Sequence[str] = ()
) -> tuple[np.ndarray | None, tuple[str, ...], list[str]]:
    """Numbers the labels of one part, consistently with the other parts.

    Arguments:
        labels: Labels of each part: integers from 0 or from 1 (-1: unlabeled), strings, or one-hot
            rows. (N, 1) is taken as (N,).
        part: The part to return.
        path: Their file, for error sentences.
        names: Names of the classes if the source has them; labels are then numbers from 0.

    Returns:
        Labels (N,) int64 or None, the names of the classes (empty for numbers from 0), and
        sentences on how labels were changed.

    Raises:
        DataError: The labels have none of these forms.

    Example:
        >>> labels = {"train": np.array([1, 3, 2]), "test": np.array([[3], [1]])}
        >>> numbers, names, notes = class_numbers(labels, "test", Path("a.npz"))
        >>> numbers.tolist(), names, notes
        ([2, 0], ('1', '2', '3'), ['The labels go from 1 to 3 and are the classes 0 to 2.'])
    """
    if labels.get(part) is None:
        return None, (), []
    flattened = {k: flat(v, path) for k, v in labels.items() if v is not None}
    if any(v.dtype.kind in "US" for v in flattened.values()):
        strings = {k: np.char.strip(v.astype(np.str_)) for k, v in flattened.items()}
        classes = sorted({str(s) for v in strings.values() for s in np.unique(v) if s})
        if len(classes) > MAX_CLASSES:
            raise DataError(
                f"The labels of '{shown(path)}' are {len(classes):,} different words, "
                "expected a class for each image."
            )
        place = {name: i for i, name in enumerate(classes)}
        numbers = np.array([place.get(str(s), -1) for s in strings[part]], np.int64)
        return numbers, tuple(classes), []
    used = np.unique(np.concatenate(list(flattened.values())))
    used = used[used >= 0]
    if not len(names) and len(used) > 1 and np.array_equal(used, np.arange(1, len(used) + 1)):
        numbers = np.where(flattened[part] > 0, flattened[part] - 1, -1)
        last = len(used)
        note = f"The labels go from 1 to {last} and are the classes 0 to {last - 1}."
        return numbers, tuple(map(str, used)), [note]
    return flattened[part], tuple(names), []


def flat(labels: Any, path: Path) -> np.ndarray:
    """Labels as (N,), int64 or strings."""
    x = np.asarray(labels)
    if x.dtype.kind == "O" and all(isinstance(v, str) or v is None for v in x.flat):
        x = np.array(["" if v is None else v for v in x.flat], np.str_).reshape(x.shape)
    where = f"The labels of '{shown(path)}'"
    if x.ndim == 2 and x.shape[1] > 1 and x.dtype.kind in "iubf" and np.isin(x, (0, 1)).all():
        x = x.argmax(1) if (x.sum(1) == 1).all() else x
    if x.ndim and x.size != len(x):
        raise DataError(
            f"{where} have shape {x.shape}, expected one label an image, (N,) or (N, 1)."
        )
    x = x.reshape(-1)
    if x.dtype.kind == "S":
        x = np.char.decode(x, "utf-8", "replace")
    if x.dtype.kind == "U":
        return x
    if x.dtype.kind not in "iub":
        raise DataError(f"{where} are {x.dtype}, expected whole numbers from 0 (-1: unlabeled).")
    if len(x) and not -1 <= int(x.min()) <= int(x.max()) < MAX_CLASSES:
        reach = f"from {x.min()} to {x.max()}"
        raise DataError(
            f"{where} go {reach}, expected whole numbers from 0 to {MAX_CLASSES - 1:,} "
            "(-1: unlabeled)."
        )
    return x.astype(np.int64)
