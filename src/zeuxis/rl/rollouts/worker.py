"""The process in which an environment lives: `python -P -m zeuxis.rl.rollouts.worker SOCKET CLOCK`,
started by `process.Worker`."""

from __future__ import annotations

import mmap
import os
import pickle
import sys
import threading
from multiprocessing.connection import Connection

from ...errors import ZeuxisError
from ..environments.environment import Environment, reason
from ..policies.numpy_policy import Actor
from .collector import Roller
from .process import CLOCK


def until_the_end() -> None:
    """Ends this process when the one that started it is gone, however it went."""
    while os.read(0, 1024):
        pass
    os._exit(1)


def load(link: Connection) -> tuple:
    """What the parent process sent by a socket that nobody else has: name, maker, seed and horizon
    of the environment."""
    sys.path[:], parcel = link.recv()
    return pickle.loads(parcel)


def main() -> None:
    threading.Thread(target=until_the_end, daemon=True).start()
    link = Connection(int(sys.argv[1]))
    clock = memoryview(mmap.mmap(int(sys.argv[2]), CLOCK)).cast("q")
    name = ""
    try:
        try:
            name, make, seed, horizon = load(link)
        except (ImportError, AttributeError) as error:
            raise ZeuxisError(
                f"A worker process cannot find the environment ({error}): give "
                "--training.workers 0."
            ) from error
        roller, actor = Roller(Environment(name, make, horizon), seed, clock), None
        while True:
            job = link.recv()
            if isinstance(job, Actor):
                actor = job
                continue
            assert actor is not None
            numbers = range(job.first, job.last)
            link.send(
                (job, [roller.roll(actor, i, job.stream, job.deterministic) for i in numbers])
            )
    except ZeuxisError as error:
        link.send(str(error))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except BaseException as error:  # a stranger's code may raise anything, KeyboardInterrupt too
        link.send(
            f"The environment '{name}' failed in a worker process ({reason(error)}): "
            "correct it first."
        )


if __name__ == "__main__":
    main()
