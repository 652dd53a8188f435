"""Programs that the studio starts: one training at a time, and the human test's server.

Each runs in a session of its own and so survives the page and the studio. A note in the folder of
runs says which training that is; it names the process and when it began, so that another process
that later gets the same number is not taken for it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import files
from ..checkpoints.run_folder import Run
from ..errors import UsageError, ZeuxisError

NOTE, LOG = ".studio-training.json", ".studio-training.log"
TAIL = 2_000  # bytes of the log that are shown
WAIT = 20.0  # seconds until a process has said its address


def beginning(pid: int) -> str:
    """When a process began, empty if there is none; "running" where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except OSError:
        return ""
    return "running"


class Training:
    """The training of a folder of runs.

    Arguments:
        folder: The folder of run folders.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.child: subprocess.Popen[bytes] | None = None

    def note(self) -> dict[str, Any]:
        """Which training was started last, empty for none."""
        try:
            return files.read_json(self.folder / NOTE)
        except ZeuxisError:
            return {}

    def running(self) -> bool:
        """Whether it runs."""
        if self.child is not None:
            self.child.poll()
        note = self.note()
        pid, began = note.get("pid"), note.get("began")
        return isinstance(pid, int) and bool(began) and beginning(pid) == began

    def start(self, *words: str) -> None:
        """Starts `zeuxis train` with these words.

        Raises:
            UsageError: Another training runs.
        """
        if self.running():
            raise UsageError("A training runs already: stop it first, or wait for its end.")
        self.folder.mkdir(parents=True, exist_ok=True)
        before = sorted(path.name for path in self.folder.iterdir())
        with open(self.folder / LOG, "wb") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-u", "-m", "zeuxis", "train", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        note = {
            "pid": self.child.pid,
            "began": beginning(self.child.pid),
            "words": list(words),
            "before": before,
        }
        files.write(self.folder / NOTE, json.dumps(note))

    def stop(self) -> None:
        """Asks it to save and to end, as Ctrl-C does."""
        if not self.running():
            raise UsageError("No training runs.")
        os.kill(self.note()["pid"], signal.SIGTERM)

    def run(self) -> Run | None:
        """The run folder of the training, None before it has one."""
        note = self.note()
        words = note.get("words") or []
        if "--resume" in words:
            place = self.folder / Path(words[words.index("--resume") + 1]).name
            return Run(place) if (place / "config.json").is_file() else None
        new = [
            path.parent
            for path in sorted(self.folder.glob("*/config.json"))
            if path.parent.name not in note.get("before", [])
        ]
        return Run(new[-1]) if note and new else None

    def said(self) -> str:
        """The end of what it printed."""
        try:
            with open(self.folder / LOG, "rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - TAIL))
                return log.read().decode(errors="replace").replace("\r", "\n")
        except OSError:
            return ""


class TestProcess:
    """The human test's server as a process that ends with the studio."""

    __test__ = False  # no class of tests, whatever pytest makes of its name

    def __init__(self) -> None:
        self.child: subprocess.Popen[str] | None = None

    def start(self, words: Sequence[str], log: Path) -> str:
        """Starts `zeuxis human serve` on a free port; returns its address.

        Raises:
            ZeuxisError: It ended; with its sentence.
        """
        self.stop()
        with open(log, "w") as file:
            self.child = subprocess.Popen(
                [sys.executable, "-u", "-m", "zeuxis", "human", "serve", *words, "--port", "0"],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
            )
        began = time.monotonic()
        while time.monotonic() < began + 30 * WAIT:  # drawing 5,000 images may take minutes
            text = log.read_text(errors="replace")
            for line in text.splitlines():
                if line.startswith("Open http"):
                    return line.split()[1]
            if self.child.poll() is not None:
                last = text.strip().splitlines()[-1:] or ["it said nothing"]
                raise ZeuxisError(last[0].removeprefix("zeuxis: "))
            time.sleep(0.2)
        self.stop()
        raise ZeuxisError("The images were not drawn in time: choose a smaller pool.")

    def stop(self) -> None:
        """Ends it; its answers are kept."""
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()
            self.child.wait(timeout=WAIT)
        self.child = None
