"""The worker process: `python -P -m zeuxis.rl.rollouts.worker SOCKET CLOCK`.

`process.Worker` starts it.
"""

from __future__ import annotations

import mmap
import os
import pickle
import sys
import threading
from multiprocessing.connection import Connection

from ...errors import ZeuxisError
from ..environments.environment import Environment, reason
from ..policies.numpy_policy import NumpyPolicy
from .collector import EpisodeRunner
from .process import CLOCK_BYTES


def exit_with_parent() -> None:
    """Ends this process when its standard input closes, that is when the parent is gone."""
    while os.read(0, 1024):
        pass
    os._exit(1)


def load(link: Connection) -> tuple:
    """Receives name, maker, seed and horizon of the environment.

    The socket is private to the parent, so its pickle can be trusted.
    """
    sys.path[:], parcel = link.recv()
    return pickle.loads(parcel)


def serve(link: Connection, runner: EpisodeRunner) -> None:
    """Answers jobs with trajectories until the link closes."""
    policy = None
    while True:
        message = link.recv()
        if isinstance(message, NumpyPolicy):
            policy = message
            continue
        assert policy is not None
        job = message
        trajectories = [
            runner.run_episode(policy, i, job.stream, job.deterministic)
            for i in range(job.first, job.last)
        ]
        link.send((job, trajectories))


def main() -> None:
    threading.Thread(target=exit_with_parent, daemon=True).start()
    link = Connection(int(sys.argv[1]))
    clock = memoryview(mmap.mmap(int(sys.argv[2]), CLOCK_BYTES)).cast("q")
    name = ""
    try:
        try:
            name, make, seed, horizon = load(link)
        except (ImportError, AttributeError) as error:
            raise ZeuxisError(
                f"A worker process cannot find the environment ({error}): give "
                "--training.workers 0."
            ) from error
        serve(link, EpisodeRunner(Environment(name, make, horizon), seed, clock))
    except ZeuxisError as error:
        link.send(str(error))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except BaseException as error:  # third-party code may raise anything, KeyboardInterrupt too
        link.send(
            f"The environment '{name}' failed in a worker process ({reason(error)}): correct it "
            "first."
        )


if __name__ == "__main__":
    main()
