"""Which run a group of processes goes on with after torchrun has restarted it.

`torchrun --max-restarts 3` starts all processes of a group again when one of them ends. The same
command line would then begin a new run. So the first start notes the run's folder under torchrun's
own id, and a restarted group resumes it from its last save.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from ..checkpoints.run_folder import STATE, Run
from ..distributed import World, broadcast_text
from ..files import write

NONE = "/"  # no name of a folder


def marker(out: str | Path) -> Path | None:
    """The file that names the run of this group; None without torchrun."""
    group = os.environ.get("TORCHELASTIC_RUN_ID")
    if group is None:
        return None
    return Path(out) / f".torchrun-{re.sub('[^A-Za-z0-9_-]', '_', group)[:80]}"


def note_run(out: str | Path, run: Run) -> None:
    """Notes the run that this group has begun."""
    if (path := marker(out)) is not None:
        write(path, run.folder.name)


def run_to_resume(out: str | Path, world: World) -> Path | None:
    """The run that a restarted group goes on with, if it has a save; the same in every process.

    Arguments:
        out: The folder of the runs.
        world: This process among the others.
    """
    path, folder = marker(out), ""
    if path is not None and world.is_main:
        if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
            with contextlib.suppress(OSError):  # of an earlier group with the same id
                path.unlink()
        elif path.is_file():
            name = Path(path.read_text()[:200]).name  # a folder inside `out`, whatever it says
            folder = name if (Path(out) / name / STATE).is_file() else ""
    if world.size > 1:
        folder = broadcast_text(folder or NONE).removeprefix(NONE)
    return Path(out) / folder if folder else None
