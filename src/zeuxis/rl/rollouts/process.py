r"""The parent's side of a worker process, in which an environment lives.

A worker starts so that no file of the current folder can become one of its modules: with `-P`, and
a search path without that folder. Only after all modules of Python and zeuxis are loaded does it
take over this process's search path, the current folder last, since the user's environment may be
there.

Parent and worker share a *clock*, two integers in memory: the steps taken so far, and whether the
environment is being made or reset. A worker whose clock stands still is not waited for forever:
resets may take `RESET_SECONDS`, and a step `STEP_SECONDS` or twenty times as long as steps before
it, whichever is more.
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
from typing import Any, NoReturn

from ...errors import UsageError, ZeuxisError
from ..environments.registration import one_line

STEP_SECONDS, RESET_SECONDS = 5.0, 180.0  # without a sign of life
POLL_SECONDS = 0.25  # between looks at the clock
CLOCK_BYTES = 16  # two integers
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def search_paths() -> tuple[list[str], list[str]]:
    """Search paths of a worker: at its start without the current folder, and later with it."""
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:  # the current folder was deleted
        here = ""
    entries = [
        os.path.abspath(p) if here else p for p in sys.path if os.path.isabs(p) or (p and here)
    ]
    elsewhere = [p for p in entries if os.path.realpath(p) != here]
    package = str(Path(__file__).resolve().parents[3])
    start = [*elsewhere, *([] if package in elsewhere else [package])]
    return start, elsewhere + [p for p in entries if p not in elsewhere]


class Worker:
    """A process that acts: it takes policies and jobs, and answers jobs with trajectories.

    It ends when its standard input closes, which happens however this process ends, so that no
    worker is left behind.

    Arguments:
        name: Name of the task in messages.
        make: Makes the environment.
        seed: Seed of the run.
        horizon: Longest episode (steps); 0 takes the task's limit.

    Raises:
        UsageError: The environment cannot be sent to another process.
    """

    def __init__(self, name: str, make: Callable[[], Any], seed: int, horizon: int) -> None:
        # Comes with Gymnasium; it sends functions and classes of a script by value.
        import cloudpickle

        try:
            parcel = cloudpickle.dumps((name, make, seed, horizon))
        except Exception as error:  # pickling third-party objects may raise anything
            raise UsageError(
                f"The environment '{name}' cannot go to another process ({one_line(error)}): give "
                "--training.workers 0."
            ) from error
        start_path, later_path = search_paths()
        parent, child = socket.socketpair()
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
        environment |= {"PYTHONPATH": os.pathsep.join(start_path), "PYTHONSAFEPATH": "1"}
        with tempfile.TemporaryFile() as shared:
            shared.truncate(CLOCK_BYTES)
            self.clock = memoryview(mmap.mmap(shared.fileno(), CLOCK_BYTES)).cast("q")
            self.clock[1] = 1
            fds = [child.fileno(), shared.fileno()]
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "zeuxis.rl.rollouts.worker", *map(str, fds)],
                stdin=subprocess.PIPE,
                pass_fds=fds,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the parent, which saves
            )
        child.close()
        self.link, self.name = Connection(parent.detach()), name
        self.last_clock, self.idle, self.first_step_at = (0, 1), 0.0, 0.0
        self.send((later_path, parcel))

    def send(self, message: Any) -> None:
        """Sends a policy or a job."""
        self.idle = 0.0
        try:
            self.link.send(message)
        except OSError:
            self.raise_worker_died()

    def recv(self) -> Any:
        """Receives the answer to the oldest job."""
        try:
            answer = self.link.recv()
        except (EOFError, OSError):
            self.raise_worker_died()
        if isinstance(answer, str):
            raise ZeuxisError(answer)
        return answer

    def raise_worker_died(self) -> NoReturn:
        """Raises the error for a worker that is gone."""
        code = self.process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        raise ZeuxisError(
            f"A worker of '{self.name}' {how}: if memory ran out, use fewer --training.workers; "
            "the run goes on from its last save."
        )

    def check_alive(self, seconds: float) -> None:
        """Looks at the clock after a number of seconds of waiting.

        Raises:
            ZeuxisError: The clock has stood still for too long.
        """
        steps, resetting = self.clock[0], self.clock[1]
        if (steps, resetting) != self.last_clock:
            self.first_step_at = self.first_step_at or time.monotonic() - seconds
            self.last_clock, self.idle = (steps, resetting), 0.0
            return
        # Bounded by the polling interval: a machine that slept has not waited.
        self.idle += min(seconds, 2 * POLL_SECONDS)
        usual = RESET_SECONDS
        if steps:
            usual = (time.monotonic() - self.idle - self.first_step_at) / steps
        patience = max(STEP_SECONDS, min(RESET_SECONDS, 20 * usual))
        if resetting:
            patience = RESET_SECONDS
        if self.idle > patience:
            activity = "being made or reset" if resetting else f"its step {steps + 1}"
            raise ZeuxisError(
                f"The environment '{self.name}' has not answered for {self.idle:.0f} s, in "
                f"{activity} in a worker process: correct it, or give --training.workers 0 to "
                "wait for it as long as it takes."
            )

    def terminate(self) -> None:
        """Ends the process and waits for it."""
        self.link.close()
        self.process.kill()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()


def wait_for_answers(workers: Sequence[Worker]) -> list[Worker]:
    """Waits until at least one of the workers has answered.

    Raises:
        ZeuxisError: An environment does not answer.
    """
    while True:
        began = time.monotonic()
        ready: list[Any] = list(wait([w.link for w in workers], POLL_SECONDS))
        answered = [w for w in workers if w.link in ready]
        for worker in workers:
            if worker in answered:
                worker.idle = 0.0
            else:
                worker.check_alive(time.monotonic() - began)
        if answered:
            return answered
