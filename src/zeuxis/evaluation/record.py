"""Records: what a measured figure needs beside it, written by the program that measured it.

A record is one JSON file under `results/`: the figures; `command`, `seed`, `seconds` and `machine`
of the measurement; the paper's figure where there is one; and under `training` the same of the run
that was measured, or of each run where there are several. The numbers in the documentation are
written by `docs/figures.py` from these files, and a test holds them to it.
"""

from __future__ import annotations

import datetime
import json
import math
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import files
from ..machine import machine


def command() -> str:
    """The command line that runs, as one would type it."""
    program = Path(sys.argv[0]).name
    return shlex.join(
        [
            *(["zeuxis"] if program in ("zeuxis", "__main__.py") else ["python", program]),
            *sys.argv[1:],
        ]
    )


def write_record(
    path: str | Path,
    figures: dict[str, Any],
    *,
    seconds: float,
    seed: int | list[int],
    paper: str = "",
    note: str = "",
    **more: Any,
) -> Path:
    """Writes one record.

    Arguments:
        path: The file, as in results/dcgan-mnist-seed0.json.
        figures: What was measured.
        seconds: Wall time of the measurement; that of the training belongs to `training`.
        seed: Seed of the measurement.
        paper: The published figure, with its source.
        note: What is partial, smaller or otherwise to be known.
        more: Settings that the figure depends on; `training` says where the model comes from
            (`commands.provenance`).

    A number that is not finite is written as null, since JSON has no NaN.
    """
    path = Path(path)
    record = {
        "command": command(),
        "figures": figures,
        "paper": paper,
        "note": note,
        "seed": seed,
        "seconds": round(seconds, 1),
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
        "zeuxis": version("zeuxis"),
        **more,
    }
    return files.write(path, json.dumps(finite(record), indent=2, default=str) + "\n")


def finite(value: Any) -> Any:
    """The same values with None for every number that is not finite.

    Example:
        >>> finite({"share": float("nan"), "runs": [1, float("inf")]})
        {'share': None, 'runs': [1, None]}
    """
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
