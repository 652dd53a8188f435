"""Where the trainings of a sweep run: processes of this machine, Slurm's jobs, Ray's tasks.

Each is a `Place`: it takes a call of `run_cell` and says later how it ended. Queues, placement and
lost machines are left to submitit and Ray.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from ...errors import MissingExtra, UsageError, ZeuxisError
from ...ranges import BaseConfig, Duration, Range
from .cell import Outcome, run_cell

On = Literal["local", "slurm", "ray"]
LOST = 3  # times that Ray begins a training again whose machine was lost


@runtime_checkable
class Place(Protocol):
    """Runs trainings.

    Attributes:
        at_once: How many to submit before the first has ended; 0 sets no limit.
    """

    at_once: int

    def submit(self, argv: Sequence[str], folder: Path, imports: Sequence[str]) -> Any:
        """Begins a training; the value stands for it."""
        ...

    def outcome(self, job: Any) -> Outcome | None:
        """How a training ended, None while it waits or runs."""
        ...

    def close(self) -> None:
        """Ends what still runs."""
        ...


@dataclass(frozen=True)
class SlurmConfig(BaseConfig, flags="--slurm."):
    """What each training asks of Slurm."""

    partition: str = ""
    """Partition; by default the cluster's."""
    minutes: Duration = 240.0
    """Longest time of a training. One that needs more is saved and begun again, as --retries
    allows."""
    cpus: Annotated[int, Range(1, 1024)] = 1
    """Cores of a training."""
    gpus: Annotated[int, Range(0, 64)] = 0
    """GPUs of a training."""
    memory: Annotated[float, Range(0, 10_000)] = 0.0
    """Memory of a training (GB); 0 leaves it to the cluster."""
    cluster: Literal["slurm", "local"] = "slurm"
    """local runs submitit's jobs on this machine, to try a sweep out."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Processes:
    """Processes of this machine.

    Arguments:
        jobs: How many at once; 0 takes one a core.
    """

    def __init__(self, jobs: int = 0) -> None:
        self.at_once = jobs or cores()
        self.pool = ThreadPoolExecutor(self.at_once)  # each thread waits for one process

    def submit(self, argv: Sequence[str], folder: Path, imports: Sequence[str]) -> Any:
        return self.pool.submit(run_cell, argv, str(folder), imports)

    def outcome(self, job: Future) -> Outcome | None:
        return Outcome(*job.result()) if job.done() else None

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)


class Slurm:
    """Jobs of Slurm, by submitit.

    Arguments:
        config: What each job asks for.
        folder: Where submitit keeps its scripts and logs.
        jobs: How many at once; 0 leaves it to the cluster.

    Raises:
        MissingExtra: submitit is not installed.
        UsageError: There is no Slurm here.
    """

    def __init__(self, config: SlurmConfig, folder: Path, jobs: int = 0) -> None:
        try:
            import submitit
        except ImportError as error:
            raise MissingExtra("submitit", "slurm", "A sweep on Slurm") from error
        self.config, self.at_once = config, jobs or (cores() if config.cluster == "local" else 0)
        try:
            self.executor = submitit.AutoExecutor(folder / "slurm", cluster=config.cluster)
        except RuntimeError as error:
            raise UsageError(
                "There is no Slurm on this machine (no command srun): start the sweep where jobs "
                "are submitted, or try it with --slurm.cluster local."
            ) from error
        asked: dict[str, Any] = {"timeout_min": max(1, round(config.minutes))}
        asked |= {"cpus_per_task": config.cpus, "gpus_per_node": config.gpus}
        if config.memory:
            asked["mem_gb"] = config.memory
        if config.partition and config.cluster == "slurm":
            asked["slurm_partition"] = config.partition
        self.executor.update_parameters(**asked)

    def submit(self, argv: Sequence[str], folder: Path, imports: Sequence[str]) -> Any:
        seconds = max(30.0, 60 * self.config.minutes - 60)  # it saves before Slurm ends it
        return self.executor.submit(
            run_cell, list(argv), str(folder), list(imports), seconds, os.getcwd()
        )

    def outcome(self, job: Any) -> Outcome | None:
        if not job.done():
            return None
        try:
            return Outcome(*job.result())
        except Exception as error:  # the job ended without a result: killed, or its machine lost
            return Outcome(1, (f"The job {job.job_id} gave no result: {first_line(error)}",))

    def close(self) -> None:
        """Jobs go on without this process; the same command takes them up again."""


class Ray:
    """Tasks of Ray, on the cluster that RAY_ADDRESS names, else on this machine.

    Ray begins a task of a lost machine again on another one, where it goes on from its last save.

    Arguments:
        jobs: How many at once; 0 leaves it to the cluster.

    Raises:
        MissingExtra: Ray is not installed.
        ZeuxisError: The cluster cannot be reached.
    """

    def __init__(self, jobs: int = 0) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingExtra("ray", "ray", "A sweep on Ray") from error
        self.ray, self.at_once = ray, jobs
        address = os.environ.get("RAY_ADDRESS") or "local"
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:
            raise ZeuxisError(
                f"The Ray cluster at RAY_ADDRESS={address} cannot be reached ({first_line(error)})"
                ": start it with ray start --head, or unset RAY_ADDRESS."
            ) from error
        self.task: Any = ray.remote(num_cpus=1, max_retries=LOST)(run_cell)

    def submit(self, argv: Sequence[str], folder: Path, imports: Sequence[str]) -> Any:
        return self.task.remote(list(argv), str(folder), list(imports), 0.0, os.getcwd())

    def outcome(self, job: Any) -> Outcome | None:
        if not self.ray.wait([job], timeout=0)[0]:
            return None
        try:
            return Outcome(*self.ray.get(job))
        except Exception as error:  # the task was lost more often than Ray retries it
            return Outcome(1, (f"Ray lost the task: {first_line(error)}",))

    def close(self) -> None:
        self.ray.shutdown()


def first_line(error: BaseException) -> str:
    """The start of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def place_named(on: On, jobs: int, slurm: SlurmConfig, folder: Path) -> Place:
    """The place of this name."""
    if on == "slurm":
        return Slurm(slurm, folder, jobs)
    return Ray(jobs) if on == "ray" else Processes(jobs)
