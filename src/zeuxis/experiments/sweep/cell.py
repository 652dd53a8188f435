"""One training of a sweep as a process: begun, resumed or left alone, by what its folder holds.

```
OUT/NAME/0001-.../   the run folder     OUT/NAME/log.txt    what the training printed
OUT/NAME/cell.json   its command        OUT/NAME/done.json  that it ended, and when
```

Every way to run a sweep calls `run_cell`, on whatever machine. The training is a process of its
caller, with one thread: a crash of PyTorch ends one training and not the sweep. Where the caller
is killed, the training notices the closed pipe, saves and ends, so nobody trains in the folder
when the training is begun again elsewhere.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ... import files
from ...checkpoints.run_folder import STATE, Run
from ...errors import UsageError, ZeuxisError
from .grid import Cell

DONE, COMMAND, LOG = "done.json", "cell.json", "log.txt"
LINES = 5  # of a failed training's output
LOCK_SECONDS = 60.0  # for a training whose caller was killed to save
PROGRAM = (
    "from zeuxis.caller import end_with_caller; end_with_caller(); "
    "from zeuxis.cli import run; run()"
)


@dataclass(frozen=True)
class Outcome:
    """How a training of a sweep ended.

    Arguments:
        code: Exit code, 0 for one that reached its end.
        lines: The last lines that it printed.
    """

    code: int
    lines: tuple[str, ...] = ()


def run_cell(
    argv: Sequence[str],
    folder: str,
    imports: Sequence[str] = (),
    seconds: float = 0.0,
    cwd: str | None = None,
) -> tuple[int, tuple[str, ...]]:
    """Trains until the end of the training, from its last save if it has one.

    Arguments:
        argv: The command line after `zeuxis`.
        folder: Where its run folder goes.
        imports: Modules with models of the user's.
        seconds: How long it may take; 0 sets no limit. It is then stopped, with a save.
        cwd: Folder to which paths in `argv` are relative, by default this process's.

    Returns:
        Exit code and last lines: plain values, which any cluster can carry.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    if is_done(place):
        return 0, ()
    run = run_of(place)
    words = list(argv) if run is None else ["train", "--resume", str(run)]
    if run is None:
        words += ["--out", folder]
    elif not wait_until_free(run):
        return 1, (f"Another process is training in '{run}'.",)
    for module in imports:
        words += ["--import", module]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with open(place / LOG, "ab") as log:
        start, began = log.tell(), time.time()
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words],
            stdin=subprocess.PIPE,  # closed when this process ends, however it ends
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=cwd,
        )
        try:
            code = child.wait(seconds or None)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGTERM)
            code = child.wait() or 1
    lines = last_lines(place / LOG, start)
    if code == 0 and not reached_end(place):
        return 130, (*lines, "It was stopped and has saved.")
    if code == 0:
        about = {"argv": list(argv), "seconds": round(time.time() - began, 1)}
        files.write(place / DONE, json.dumps(about) + "\n")
    return code, lines


def run_of(place: Path) -> Run | None:
    """The run folder of a training that has a save, the newest first."""
    for path in sorted(place.glob("*/config.json"), reverse=True):
        if path.with_name(STATE).is_file():
            return Run(path.parent)
    return None


def is_done(place: Path) -> bool:
    """Whether a training reached its end, and its folder is still there."""
    return (place / DONE).is_file() and run_of(place) is not None


def reached_end(place: Path) -> bool:
    """Whether the last save is that of the planned end."""
    run = run_of(place)
    return run is not None and run.saved_images() >= planned(run)


def planned(run: Run) -> int:
    """Length of a training in images, or steps of a policy, by its config.json."""
    about = run.read_config()
    part = about.get("bc") if about.get("algorithm") == "bc" else about.get("training")
    part = part if isinstance(part, dict) else {}
    return int(part.get("images") or part.get("steps") or 0)


def wait_until_free(run: Run) -> bool:
    """Waits for another process to leave a run folder; whether it did."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            with run.held():
                return True
        except ZeuxisError:
            if time.monotonic() > end:
                return False
        time.sleep(0.5)


def last_lines(path: Path, start: int = 0) -> tuple[str, ...]:
    """The last lines of a log, from a position in it on."""
    with open(path, "rb") as file:
        file.seek(max(start, os.fstat(file.fileno()).st_size - 8_000))
        text = file.read().decode("utf-8", "replace")
    return tuple(line[:300] for line in text.splitlines() if line.strip())[-LINES:]


def claim(cell: Cell, place: Path) -> None:
    """Notes the command of a training in its folder.

    Raises:
        UsageError: The folder has the training of another command.
    """
    path = place / COMMAND
    if path.exists():
        before = files.read_json(path).get("argv")
        if before != list(cell.argv):
            shown = " ".join(map(str, before)) if isinstance(before, list) else str(before)
            raise UsageError(
                f"'{place}' holds the training of another command (zeuxis {shown[:200]}): give "
                "another folder with --out."
            )
        return
    files.write(path, json.dumps({"argv": list(cell.argv)}) + "\n")
