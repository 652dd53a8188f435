"""The process in which an environment lives: `python -m zeuxis.rl.worker SOCKET`, started by the rollout engine."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from multiprocessing.connection import Connection

from ..errors import ZeuxisError
from .actor import Actor
from .envs import Environment
from .rollout import Roller


def until_the_end() -> None:
    """Ends this process when the one that started it is gone, however it went."""
    while os.read(0, 1024):
        pass
    os._exit(1)


def main() -> None:
    threading.Thread(target=until_the_end, daemon=True).start()
    link = Connection(int(sys.argv[1]))
    try:
        try:
            name, make, seed, horizon = pickle.loads(link.recv())  # from the parent process, by a socket that nobody else has
        except (ImportError, AttributeError) as error:
            raise ZeuxisError(f"A worker process cannot find the environment ({error}): give --training.workers 0.") from error
        roller, actor = Roller(Environment(name, make, horizon), seed), None
        while True:
            job = link.recv()
            if isinstance(job, Actor):
                actor = job
                continue
            assert actor is not None
            numbers = range(job.first, job.last)
            link.send((job, [roller.roll(actor, i, job.stream, job.deterministic) for i in numbers]))
    except ZeuxisError as error:
        link.send(str(error))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass


if __name__ == "__main__":
    main()
