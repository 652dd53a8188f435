"""metrics.jsonl: one line of figures for each report of a training, appended as it goes.

A process may be killed within a line, and a folder may come from elsewhere. A line that is cut
short or otherwise damaged costs that line only, and a link or pipe in the file's place is refused.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import files
from ..errors import ZeuxisError


def append(path: Path, figures: dict[str, Any]) -> None:
    """Appends one line to a file, which is made if need be.

    Raises:
        OSError: The file cannot be written to.
        ZeuxisError: It is no regular file.
    """
    descriptor = os.open(
        path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666
    )
    with open(descriptor, "a", encoding="utf-8") as file:
        files.require_regular(path, os.fstat(descriptor))
        file.write(json.dumps(figures) + "\n")


def lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each whole line of a file, as text and as numbers by name."""
    try:
        with open(files.require_regular(path), encoding="utf-8", errors="replace") as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    values = files.parse_json(line)
                    figures = (
                        {k: v for k, v in values.items() if is_number(v)}
                        if isinstance(values, dict)
                        else {}
                    )
                    when = figures.get("images", figures.get("steps", math.nan))
                    if not math.isnan(when) and line.endswith("\n"):
                        yield line, figures
    except (OSError, ZeuxisError):
        return  # no figures yet, or not a file: no reason to lose the run


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number that a float can hold; NaN is one, as a figure may be
    undefined."""
    try:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and not math.isinf(float(value))
        )
    except OverflowError:
        return False


def moment(figures: dict[str, Any]) -> int:
    """When figures were taken: images seen, or environment steps; 0 where that is not said."""
    value = figures.get("images", figures.get("steps", 0))
    return int(value) if is_number(value) and not math.isnan(value) else 0
