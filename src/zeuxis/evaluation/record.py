"""Records: measured figures with everything needed to measure them again.

A record is one JSON file, `results/MODEL/DATA/WHAT-seedN.json`. It holds the figures; `command`,
`seed`, `seconds` and `machine` of the measurement; the published figure where there is one; and
under `training` the same for the run that was measured, or for each of several runs.
`docs/figures.py` copies the numbers of the documentation from these files, and a test compares
them.
"""

from __future__ import annotations

import datetime
import json
import math
import re
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import files
from ..errors import UsageError
from ..machine import machine


def command() -> str:
    """The command line of this process, as one would type it."""
    program = Path(sys.argv[0]).name
    return shlex.join(
        [
            *(["zeuxis"] if program in ("zeuxis", "__main__.py") else ["python", program]),
            *sys.argv[1:],
        ]
    )


def record_path(path: str | Path, training: dict[str, Any] | list[dict[str, Any]] | None) -> Path:
    """The file of a record: `path` if it names a JSON file, else a file inside the folder `path`.

    The name inside a folder is `MODEL/DATA/COMMAND-seedN.json`, after the run that was measured and
    the command that measured it. Several runs leave the seed out.

    Arguments:
        path: A file that ends in .json, or a folder such as results.
        training: Where the measured model comes from (`commands.provenance`).

    Example:
        >>> record_path("results/vae/mnist/bound.json", None).as_posix()
        'results/vae/mnist/bound.json'
    """
    path = Path(path)
    if path.suffix == ".json":
        return path
    runs = training if isinstance(training, list) else [training]
    run = runs[0] or {}
    if not (run.get("model") and run.get("data")):
        raise UsageError(
            f"The record's name cannot be derived: name the file, as in --record {path}/NAME.json."
        )
    data = re.sub(r"[^\w.-]+", "-", Path(run["data"]).name)
    what = sys.argv[1] if len(sys.argv) > 1 else "record"
    seed = f"-seed{run['seed']}" if len(runs) == 1 and run.get("seed") is not None else ""
    return path / run["model"] / data / f"{what}{seed}.json"


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
        path: The file, or a folder in which the name is derived (`record_path`).
        figures: What was measured.
        seconds: Wall time of the measurement; that of the training belongs to `training`.
        seed: Seed of the measurement.
        paper: The published figure, with its source.
        note: What a reader must know: a shorter training, a smaller network, a departure.
        more: Settings that the figure depends on; `training` says where the model comes from
            (`commands.provenance`).

    A number that is not finite is written as null, since JSON has no NaN.
    """
    path = record_path(path, more.get("training"))
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
    """Replaces every number that is not finite by None.

    Example:
        >>> finite({"share": float("nan"), "runs": [1, float("inf")]})
        {'share': None, 'runs': [1, None]}
    """
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
