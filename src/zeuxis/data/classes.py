"""Labels of array files as class numbers from 0, the same for every part of a set, and the names of
the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .reading import shown

CLASSES = 100_000  # more cannot be classes; a model would be built for each


def class_numbers(
    labels: Mapping[str, Any], part: str, path: Path, names: Sequence[str] = ()
) -> tuple[np.ndarray | None, tuple[str, ...], list[str]]:
    """The labels of one part, numbered with those of the others in sight.

    Arguments:
        labels: What each part has: whole numbers from 0 or from 1 (-1: unlabeled), words, or one
            column a class with a single 1 in each row. (N, 1) is taken as (N,).
        part: The one wanted.
        path: Where they come from.
        names: Names of the classes where the source has them; labels are then numbers from 0.

    Returns:
        int64 (N,), the names of the classes (empty where numbers from 0 say it all), and sentences
        on what was made of them.

    Raises:
        DataError: They are none of this.

    Example:
        >>> numbers, names, notes = class_numbers({"train": np.array([1, 3, 2]), "test": np.array([[3], [1]])}, "test", Path("a.npz"))
        >>> numbers.tolist(), names, notes
        ([2, 0], ('1', '2', '3'), ['The labels go from 1 to 3 and are the classes 0 to 2.'])
    """
    if labels.get(part) is None:
        return None, (), []
    found = {k: flat(v, path) for k, v in labels.items() if v is not None}
    if any(v.dtype.kind in "US" for v in found.values()):
        words = {k: np.char.strip(v.astype(np.str_)) for k, v in found.items()}
        classes = sorted({str(w) for v in words.values() for w in np.unique(v) if w})
        if len(classes) > CLASSES:
            raise DataError(
                f"The labels of '{shown(path)}' are {len(classes):,} different words, "
                "expected a class for each image."
            )
        place = {word: i for i, word in enumerate(classes)}
        return np.array([place.get(str(w), -1) for w in words[part]], np.int64), tuple(classes), []
    used = np.unique(np.concatenate(list(found.values())))
    used = used[used >= 0]
    if not len(names) and len(used) > 1 and np.array_equal(used, np.arange(1, len(used) + 1)):
        numbers = np.where(found[part] > 0, found[part] - 1, -1)
        last = len(used)
        return (
            numbers,
            tuple(map(str, used)),
            [f"The labels go from 1 to {last} and are the classes 0 to {last - 1}."],
        )
    return found[part], tuple(names), []


def flat(labels: Any, path: Path) -> np.ndarray:
    """Labels as (N,), int64 or words."""
    x = np.asarray(labels)
    if x.dtype.kind == "O" and all(isinstance(v, str) or v is None for v in x.flat):
        x = np.array(["" if v is None else v for v in x.flat], np.str_).reshape(x.shape)
    where = f"The labels of '{shown(path)}'"
    if (
        x.ndim == 2
        and x.shape[1] > 1
        and x.dtype.kind in "iubf"
        and np.isin(x, (0, 1)).all()
        and (x.sum(1) == 1).all()
    ):
        x = x.argmax(1)
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
    if len(x) and not -1 <= int(x.min()) <= int(x.max()) < CLASSES:
        reach = f"from {x.min()} to {x.max()}"
        raise DataError(
            f"{where} go {reach}, expected whole numbers from 0 to {CLASSES - 1:,} (-1: unlabeled)."
        )
    return x.astype(np.int64)
