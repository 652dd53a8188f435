"""Records: what a measured figure needs beside it, written by the program that measured it.

A record is one JSON file under `results/`: command, seed, machine, wall time, the figures, and the paper's figure where there is
one. The tables in the documentation are made from these files, so a figure without its record does not exist.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..errors import ZeuxisError


def machine() -> str:
    """Processor or GPU, cores, and versions, in one line."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{gpu}{name}, {cores} cores, {platform.system()}, Python {platform.python_version()}, torch {torch.__version__}"


def command() -> str:
    """The command line that runs, as one would type it."""
    program = Path(sys.argv[0]).name
    return shlex.join([*(["zeuxis"] if program in ("zeuxis", "__main__.py") else ["python", program]), *sys.argv[1:]])


def write_record(
    path: str | Path, figures: dict[str, Any], *, seconds: float, seed: int | list[int], paper: str = "", note: str = "", **more: Any
) -> Path:
    """Writes one record.

    Arguments:
        path: The file, as in results/dcgan-mnist-seed0.json.
        figures: What was measured.
        seconds: Wall time of the measured work.
        seed: Its seed, or those of the runs compared.
        paper: The published figure, with its source.
        note: What is partial, smaller or otherwise to be known.
        more: Settings that the figure depends on.
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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps(record, indent=2, default=str) + "\n")
        partial.replace(path)
    except OSError as error:
        raise ZeuxisError(f"The record '{path}' could not be written ({error.strerror}): give a writable place.") from error
    return path
