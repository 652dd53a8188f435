r"""A process in which an environment lives, seen from the one that learns.

It is started so that no file of the current folder can become one of its modules: `-P`, and a
search path without that folder. Only when all of Python's and zeuxis' own modules are loaded does
it take over this process' search path, the current folder last, since the environment that the user
named may be there.

The two share a *clock*, two numbers in memory: steps carried out so far, and whether the
environment is being made or reset. A process whose clock stands still is not waited for without
end. Resets may take `RESET` seconds, and a step `STEP` seconds, or twenty times as long as the
steps before took, whichever is more.
"""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from ...errors import UsageError, ZeuxisError

STEP, RESET = 5.0, 180.0  # seconds without a sign of life
GLANCE = 0.25  # seconds from look to look at the clock
CLOCK = 16  # bytes: two integers


def search_paths() -> tuple[list[str], list[str]]:
    """Where a worker finds modules: at its start, without the current folder; and once it has
    loaded its own."""
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:  # it was deleted
        here = ""
    entries = [
        os.path.abspath(p) if here else p for p in sys.path if os.path.isabs(p) or (p and here)
    ]
    elsewhere = [p for p in entries if os.path.realpath(p) != here]
    package = str(Path(__file__).resolve().parents[2])
    return [*elsewhere, *([] if package in elsewhere else [package])], elsewhere + [
        p for p in entries if p not in elsewhere
    ]


class Worker:
    """A process that acts: sent a policy or a job, it answers a job with trajectories.

    It ends when its standard input does, which happens however this process ends, so that none is
    left behind.
    """

    def __init__(self, name: str, make: Callable[[], Any], seed: int, horizon: int) -> None:
        # comes with Gymnasium; functions and classes defined in a script travel by value
        import cloudpickle

        try:
            parcel = cloudpickle.dumps((name, make, seed, horizon))
        except Exception as error:  # whatever a stranger's object may raise
            reason = " ".join(str(error).split()).rstrip(".")
            raise UsageError(
                f"The environment '{name}' cannot go to another process ({reason}): give "
                "--training.workers 0."
            ) from error
        first, later = search_paths()
        ours, theirs = socket.socketpair()
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        with tempfile.TemporaryFile() as shared:
            shared.truncate(CLOCK)
            self.clock = memoryview(mmap.mmap(shared.fileno(), CLOCK)).cast("q")
            self.clock[1] = 1
            fds = [theirs.fileno(), shared.fileno()]
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "zeuxis.rl.rollouts.worker", *map(str, fds)],
                stdin=subprocess.PIPE,
                pass_fds=fds,
                env=os.environ
                | threads
                | {"PYTHONPATH": os.pathsep.join(first), "PYTHONSAFEPATH": "1"},
                start_new_session=True,  # Ctrl-C is for the process that saves
            )
        theirs.close()
        self.link, self.name = Connection(ours.detach()), name
        self.known, self.idle, self.began = (0, 1), 0.0, 0.0
        self.tell((later, parcel))

    def tell(self, what: Any) -> None:
        """Sends a policy or a job."""
        self.idle = 0.0
        try:
            self.link.send(what)
        except OSError:
            self.lost()

    def hear(self) -> Any:
        """The answer to the oldest job."""
        try:
            answer = self.link.recv()
        except (EOFError, OSError):
            self.lost()
        if isinstance(answer, str):
            raise ZeuxisError(answer)
        return answer

    def lost(self) -> None:
        """Says that the process is gone."""
        code = self.process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        raise ZeuxisError(
            f"A worker of '{self.name}' {how}: if memory ran out, use fewer "
            "--training.workers; the run goes on from its last save."
        )

    def watch(self, seconds: float) -> None:
        """Looks at the clock after so many seconds of waiting.

        Raises:
            ZeuxisError: It has stood still for too long.
        """
        steps, resets = self.clock[0], self.clock[1]
        if (steps, resets) != self.known:
            self.began = self.began or time.monotonic() - seconds
            self.known, self.idle = (steps, resets), 0.0
            return
        # Not by time of day: a machine or a process that slept has not waited.
        self.idle += min(seconds, 2 * GLANCE)
        usual = (time.monotonic() - self.idle - self.began) / steps if steps else RESET
        patience = RESET if resets else max(STEP, min(RESET, 20 * usual))
        if self.idle > patience:
            what = "being made or reset" if resets else f"its step {steps + 1}"
            raise ZeuxisError(
                f"The environment '{self.name}' has not answered for {self.idle:.0f} s, "
                f"in {what} in a worker process: "
                "correct it, or give --training.workers 0 to wait for it as long as it takes."
            )

    def end(self) -> None:
        """Ends the process and waits for it."""
        self.link.close()
        self.process.kill()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()


def answered(workers: Sequence[Worker]) -> list[Worker]:
    """Waits until some of these have answered.

    Raises:
        ZeuxisError: An environment does not answer.
    """
    while True:
        began = time.monotonic()
        ready: list[Any] = list(wait([w.link for w in workers], GLANCE))
        found = [w for w in workers if w.link in ready]
        for worker in workers:
            if worker in found:
                worker.idle = 0.0
            else:
                worker.watch(time.monotonic() - began)
        if found:
            return found
