"""Data sets of the Hugging Face Hub, by the `datasets` library, which stores them on this machine.

Images stay encoded until they are needed. A part is found whatever its name there ("validation",
"Training"), and the labels are the column of class labels, or one of a usual name.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, MissingExtra
from .built_in import BUILT_IN
from .classes import class_numbers
from .images import Raw
from .parts import Split, chosen, part_name, part_of
from .readers import LABEL_NAMES
from .reading import contents, first_line


class HubImages:
    """Encoded images of a data set from the Hub, which memory-maps its files."""

    def __init__(self, rows: object, column: str, name: str) -> None:
        self.rows, self.column, self.name = rows, column, name

    def __len__(self) -> int:
        return len(self.rows)  # type: ignore[arg-type]

    def read(self, i: int) -> bytes:
        try:
            value = self.rows[i][self.column]  # type: ignore[index]
            return value["bytes"] if value["bytes"] is not None else contents(value["path"])
        except (OSError, TypeError, ValueError) as error:
            raise DataError(
                f"The image {self.where(i)} cannot be read ({first_line(error)}): leave "
                "the row out."
            ) from error

    def where(self, i: int) -> str:
        return f"in row {i} of '{self.name}'"


def from_hub(identity: str, split: Split, configuration: str | None, name: str) -> Raw:
    """Opens a data set of the Hub with the `datasets` library; images stay encoded."""
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("datasets", "data", f"Reading '{name}' from the Hub") from error
    forms = "parquet, IDX, .mat, .npz or image files"
    local = f"--data {name}=FOLDER with {forms}" if name in BUILT_IN else f"--data PATH of {forms}"
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.ERROR)  # it would print every retry
    try:
        rows, part = hub_part(identity, configuration, split)
    except Exception as error:
        reason = first_line(error)
        raise DataError(
            f"'{identity}' could not be had from the Hub ({reason}): connect, or give a "
            f"copy as {local}."
        ) from error
    finally:
        log.setLevel(level)
    image = next((c for c, f in rows.features.items() if isinstance(f, datasets.Image)), None)
    if image is None:
        raise DataError(
            f"'{identity}' has the columns {', '.join(rows.features)} and none of them "
            "holds images."
        )
    label = next((c for c, f in rows.features.items() if isinstance(f, datasets.ClassLabel)), None)
    names = rows.features[label].names if label else ()
    numbers = np.asarray(rows[label], np.int64) if label else None
    notes: list[str] = []
    others = [c for c in LABEL_NAMES if c in rows.features and c != image]
    if label is None and others:
        column = others[0]
        try:
            labels = {part: np.asarray(rows[column])}
            numbers, names, notes = class_numbers(labels, part, Path(identity))
        except DataError as error:
            notes = [f"Left out: the column '{column}'. {error}"]
    encoded = HubImages(rows.cast_column(image, datasets.Image(decode=False)), image, identity)
    return Raw(name, encoded, numbers, names, str(rows._fingerprint), part, notes)


def hub_part(identity: str, configuration: str | None, split: Split) -> tuple[Any, str]:
    """The rows of a part, whatever its name on the Hub, and the part."""
    import datasets

    try:
        rows = datasets.load_dataset(identity, configuration, split=split)
        known = list(getattr(rows.info, "splits", None) or ("train", "test"))
    except ValueError as error:
        if "Unknown split" not in str(error):
            raise
        known = datasets.get_dataset_split_names(identity, configuration)
        names = {part: name for name in reversed(known) if (part := part_of(name))}
        part = chosen(names, split, f"'{identity}'")
        rows = datasets.load_dataset(identity, configuration, split=names[part])
    parts = {part for name in known if (part := part_of(name))}
    return rows, part_name(chosen(parts or {split}, split, f"'{identity}'"), parts)
