r"""Whole trajectories from many processes, the same whatever their number.

Each worker process owns an environment and a copy of the policy as NumPy arrays. Once an iteration the weights are sent out; then the
workers return whole trajectories, several at a time, with no word between processes while an episode lasts. Vectors of environments
that meet at every step are slower here than a single one, since the meetings cost more than the steps.

Trajectory i of a run draws everything, the first state and the noise of the actions, from a seed that is a function of the run's seed
and of i, and an iteration takes the shortest beginning of the row of trajectories that holds enough steps. So a run gives the same
numbers with one worker and with sixteen, and a resumed run needs no generator's state but the number of the next trajectory. (An
environment that remembers earlier episodes, or draws from other generators than the one that `reset(seed=...)` sets, breaks this.)
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..errors import UsageError, ZeuxisError
from .actor import Actor
from .envs import Environment, Task, broken, maker

BLOCK = 256  # steps whose noise is drawn at once
STREAMS = {"train": 0, "evaluate": 1, "record": 2}


@runtime_checkable
class Acts(Protocol):
    """What can act: an `Actor`, or in this process anything with its two methods."""

    def fit(self, task: Task) -> Any: ...

    def choose(self, x: np.ndarray, noise: np.ndarray | None = None) -> Any: ...


@dataclass(frozen=True)
class Trajectory:
    """One episode.

    Arguments:
        observations: Every observation with the final one, (T + 1, entries).
        actions: What the policy chose, not clipped, (T, a), or classes (T,).
        rewards: The environment's, (T,).
        terminated: Whether it ended by itself; if not, it was cut off.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool

    def __len__(self) -> int:
        return len(self.rewards)


@dataclass(frozen=True)
class Rollouts:
    """Trajectories one after the other: N steps of E episodes.

    Arguments:
        observations: Before each step, (N, entries).
        actions: (N, a), or classes (N,).
        rewards: The environment's, (N,).
        lengths: Steps of each episode, (E,).
        finals: The true observation after each episode's last step, (E, entries).
        terminated: Whether each episode ended by itself, (E,).
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    lengths: np.ndarray
    finals: np.ndarray
    terminated: np.ndarray

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory]) -> Rollouts:
        """Joins trajectories."""
        return cls(
            np.concatenate([t.observations[:-1] for t in trajectories]),
            np.concatenate([t.actions for t in trajectories]),
            np.concatenate([t.rewards for t in trajectories]),
            np.array([len(t) for t in trajectories]),
            np.stack([t.observations[-1] for t in trajectories]),
            np.array([t.terminated for t in trajectories]),
        )

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def starts(self) -> np.ndarray:
        """Number of each episode's first step, (E,)."""
        return np.cumsum(self.lengths) - self.lengths

    @property
    def times(self) -> np.ndarray:
        """Steps since the episode's beginning, (N,)."""
        return np.arange(len(self)) - np.repeat(self.starts, self.lengths)

    @property
    def returns(self) -> np.ndarray:
        """Sum of each episode's rewards, (E,)."""
        return np.add.reduceat(self.rewards, self.starts)

    @property
    def next_observations(self) -> np.ndarray:
        """After each step, (N, entries); true at the ends of episodes too."""
        following = np.roll(self.observations, -1, 0)
        following[self.starts + self.lengths - 1] = self.finals
        return following


class Roller:
    """Acts in one environment.

    Arguments:
        environment: Where.
        seed: The run's seed.
    """

    def __init__(self, environment: Environment, seed: int) -> None:
        self.environment, self.task, self.seed = environment, environment.task, seed
        self.seen = np.empty((self.task.horizon + 1, self.task.observation), np.float32)
        done = (self.task.horizon,) if self.task.discrete else (self.task.horizon, self.task.action)
        self.done, self.earned = np.empty(done, np.int64 if self.task.discrete else np.float32), np.empty(self.task.horizon, np.float32)

    def roll(self, actor: Acts, index: int, stream: str = "train", deterministic: bool = False) -> Trajectory:
        """The trajectory of this number."""
        source = np.random.SeedSequence([self.seed, STREAMS[stream], index])
        seed, noise = int(source.generate_state(1)[0]), np.random.Generator(np.random.PCG64(source))
        seen, done, earned = self.seen, self.done, self.earned
        block, terminated, t = None, False, 0
        with np.errstate(all="ignore"):
            try:
                seen[0] = self.environment.reset(seed)
                while t < self.task.horizon:
                    if not deterministic:
                        if t % BLOCK == 0:
                            shape = (BLOCK, self.task.action)
                            block = noise.gumbel(size=shape) if self.task.discrete else noise.standard_normal(shape, np.float32)
                        assert block is not None
                        done[t] = actor.choose(seen[t], block[t % BLOCK])
                    else:
                        done[t] = actor.choose(seen[t])
                    seen[t + 1], earned[t], terminated, truncated = self.environment.step(
                        int(done[t]) if self.task.discrete else done[t]
                    )
                    t += 1
                    if terminated or truncated:
                        break
                if not (np.isfinite(seen[: t + 1]).all() and np.isfinite(earned[:t]).all()):
                    raise ValueError("an observation or a reward is no finite number")
            except Exception as error:  # whatever a stranger's code may raise
                raise broken(self.task, error, t, seed) from error
        return Trajectory(seen[: t + 1].copy(), done[:t].copy(), earned[:t].copy(), terminated)


@dataclass(frozen=True)
class Job:
    """Trajectories that a worker is to make: numbers first to last - 1."""

    first: int
    last: int
    stream: str
    deterministic: bool


class Engine:
    """Collects trajectories, in this process or in several; use it in a `with` block, at whose end the workers are
    gone; they start when there is work.

    Arguments:
        source: A Gymnasium id or a function without arguments that makes an environment.
        workers: Processes; 0 acts in this one.
        seed: Fixes every trajectory.
        horizon: Longest episode (steps); 0 takes the task's own limit.

    Example:
        >>> import pytest; _ = pytest.importorskip("gymnasium")
        >>> with Engine("CartPole-v1", workers=0) as engine:
        ...     actor = Actor([np.zeros((2, 4))], [np.zeros(2)], np.zeros(4), np.ones(4), "logits")
        ...     rollouts, trajectories = engine.collect(actor, steps=100)
        >>> len(rollouts) >= 100, trajectories == len(rollouts.lengths)
        (True, True)
    """

    def __init__(self, source: str | Callable[[], Any], workers: int = 0, seed: int = 0, horizon: int = 0) -> None:
        self.name, self.make = maker(source, horizon)
        environment = Environment(self.name, self.make, horizon)  # here too, so that mistakes are told before processes start
        environment.close()
        self.task, self.seed, self.horizon, self.count = environment.task, seed, horizon, workers
        self.mean, self.roller = float(self.task.horizon), None  # type: tuple[float, Roller | None]
        self.workers: list[Worker] = []

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the workers."""
        for worker in self.workers:
            worker.end()
        self.workers = []
        if self.roller is not None:
            self.roller.environment.close()
            self.roller = None

    def collect(
        self, actor: Acts, *, steps: int = 0, episodes: int = 0, first: int = 0, stream: str = "train", deterministic: bool = False
    ) -> tuple[Rollouts, int]:
        """The shortest row of trajectories, from number `first` on, with at least so many steps and episodes; and its length.

        Raises:
            ZeuxisError: An environment failed, or a worker died.
        """
        actor.fit(self.task)
        if not deterministic and isinstance(actor, Actor) and not actor.stochastic:
            raise UsageError("The policy has no deviation to draw actions with, only its best action: let it act deterministically.")
        found: list[Trajectory] = []
        if not self.count:
            self.roller = self.roller or Roller(Environment(self.name, self.make, self.horizon), self.seed)
            total = 0
            while total < steps or len(found) < episodes:
                found.append(self.roller.roll(actor, first + len(found), stream, deterministic))
                total += len(found[-1])
        else:
            found = self.share(actor, steps, episodes, first, stream, deterministic)
        self.mean = float(np.mean([len(t) for t in found]))
        return Rollouts.of(found), len(found)

    def share(self, actor: Acts, steps: int, episodes: int, first: int, stream: str, deterministic: bool) -> list[Trajectory]:
        """The same by the workers: jobs are handed out while more steps are expected to be needed than are under way."""
        if not self.workers:
            self.workers = [Worker(self.name, self.make, self.seed, self.horizon) for _ in range(self.count)]
        for worker in self.workers:
            worker.tell(actor)
        made: dict[int, Trajectory] = {}
        given, total, mean = 0, 0, self.mean
        busy: dict[Connection, list[int]] = {worker.link: [] for worker in self.workers}
        while True:
            for worker in sorted(self.workers, key=lambda w: len(busy[w.link])):
                missing = max((steps - total) / mean, episodes - len(made)) - (given - len(made))  # trajectories
                if missing > 0 and len(busy[worker.link]) < (2 if missing > self.count else 1):
                    few = max(1, min(round(1000 / mean), int(missing / (2 * self.count))))
                    worker.tell(Job(first + given, first + given + few, stream, deterministic))
                    busy[worker.link].append(few)
                    given += few
            ready: list[Any] = list(wait([link for link, jobs in busy.items() if jobs]))
            for link in ready:
                worker = next(w for w in self.workers if w.link is link)
                job, trajectories = worker.hear()
                busy[link].pop(0)
                made |= {job.first - first + i: t for i, t in enumerate(trajectories)}
                total += sum(len(t) for t in trajectories)
            mean = total / len(made)
            if not any(busy.values()) and total >= steps and len(made) >= episodes:
                break
        found: list[Trajectory] = []
        kept = 0
        while kept < steps or len(found) < episodes:
            found.append(made[len(found)])
            kept += len(found[-1])
        return found


class Worker:
    """A process that acts: told a policy or a job, it answers a job with trajectories.

    It ends when its standard input does, which happens however this process ends, so that none is left behind.
    """

    def __init__(self, name: str, make: Callable[[], Any], seed: int, horizon: int) -> None:
        import cloudpickle  # comes with Gymnasium; functions and classes defined in a script travel by value

        try:
            parcel = cloudpickle.dumps((name, make, seed, horizon))
        except Exception as error:  # whatever a stranger's object may raise
            reason = " ".join(str(error).split()).rstrip(".")
            raise UsageError(f"The environment '{name}' cannot go to another process ({reason}): give --training.workers 0.") from error
        ours, theirs = socket.socketpair()
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        words = [sys.executable, "-m", "zeuxis.rl.worker", str(theirs.fileno())]
        path = os.pathsep.join(p for p in sys.path if p)
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            env=os.environ | threads | {"PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for the process that saves
        )
        theirs.close()
        self.link, self.name = Connection(ours.detach()), name
        self.tell(parcel)

    def tell(self, what: Any) -> None:
        """Sends a policy or a job."""
        try:
            self.link.send(what)
        except OSError:
            self.mourn()

    def hear(self) -> tuple[Job, list[Trajectory]]:
        """The answer to the oldest job."""
        try:
            answer = self.link.recv()
        except (EOFError, OSError):
            self.mourn()
        if isinstance(answer, str):
            raise ZeuxisError(answer)
        return answer

    def mourn(self) -> None:
        """Says that the process is gone."""
        code = self.process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        raise ZeuxisError(
            f"A worker of '{self.name}' {how}: if memory ran out, use fewer --training.workers; the run goes on from its last save."
        )

    def end(self) -> None:
        """Ends the process and waits for it."""
        self.link.close()
        self.process.kill()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()
