r"""Whole trajectories from many processes, the same whatever their number.

Each worker process owns an environment and a copy of the policy as NumPy arrays. Once an iteration
the weights are sent out; then the workers return whole trajectories, several at a time, with no
word between processes while an episode lasts. Vectors of environments that meet at every step are
slower here than a single one, since the meetings cost more than the steps.

Trajectory i of a run draws everything, the first state and the noise of the actions, from a seed
that is a function of the run's seed and of i, and an iteration takes the shortest beginning of the
row of trajectories that holds enough steps. So a run gives the same numbers with one worker and
with sixteen, and a resumed run needs no generator's state but the number of the next trajectory.
(An environment that remembers earlier episodes, or draws from other generators than the one that
`reset(seed=...)` sets, breaks this.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ...errors import UsageError
from ..environments.environment import Environment, maker
from ..environments.task import Task
from ..policies.numpy_policy import Actor
from .process import Worker, answered

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
        clock: Counts steps and resets, for whoever watches; see `process`.
    """

    def __init__(self, environment: Environment, seed: int, clock: Any = None) -> None:
        self.environment, self.task, self.seed = environment, environment.task, seed
        self.clock = [0, 0] if clock is None else clock
        self.seen: np.ndarray = np.empty(0)
        self.done: np.ndarray = np.empty(0)
        self.earned: np.ndarray = np.empty(0)
        self.grow()

    def grow(self) -> None:
        """Room for more steps: twice as many, and no more than an episode can have."""
        room, task = min(self.task.horizon, max(BLOCK, 2 * len(self.earned))), self.task
        seen: np.ndarray = np.empty((room + 1, task.observation), np.float32)
        earned: np.ndarray = np.empty(room, np.float32)
        done: np.ndarray = (
            np.empty(room, np.int64) if task.discrete else np.empty((room, task.action), np.float32)
        )
        if len(self.earned):
            for old, new in ((self.seen, seen), (self.done, done), (self.earned, earned)):
                new[: len(old)] = old
        self.seen, self.done, self.earned = seen, done, earned

    def roll(
        self, actor: Acts, index: int, stream: str = "train", deterministic: bool = False
    ) -> Trajectory:
        """The trajectory of this number."""
        source = np.random.SeedSequence([self.seed, STREAMS[stream], index])
        seed, noise = int(source.generate_state(1)[0]), np.random.Generator(np.random.PCG64(source))
        discrete, clock, environment = self.task.discrete, self.clock, self.environment
        block, terminated, t = None, False, 0
        with np.errstate(all="ignore"):
            clock[1] = 1
            self.seen[0] = environment.reset(seed)
            clock[1] = 0
            while t < self.task.horizon:
                if t == len(self.earned):
                    self.grow()
                if not deterministic:
                    if t % BLOCK == 0:
                        shape = (BLOCK, self.task.action)
                        block = (
                            noise.gumbel(size=shape)
                            if discrete
                            else noise.standard_normal(shape, np.float32)
                        )
                    assert block is not None
                    self.done[t] = actor.choose(self.seen[t], block[t % BLOCK])
                else:
                    self.done[t] = actor.choose(self.seen[t])
                self.seen[t + 1], self.earned[t], terminated, truncated = environment.step(
                    self.done[t]
                )
                t += 1
                clock[0] += 1
                if terminated or truncated:
                    break
        return Trajectory(
            self.seen[: t + 1].copy(), self.done[:t].copy(), self.earned[:t].copy(), terminated
        )


@dataclass(frozen=True)
class Job:
    """Trajectories that a worker is to make: numbers first to last - 1."""

    first: int
    last: int
    stream: str
    deterministic: bool


class Engine:
    """Collects trajectories, in this process or in several; use it in a `with` block, at whose end
    the workers are gone; they start when there is work.

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

    def __init__(
        self, source: str | Callable[[], Any], workers: int = 0, seed: int = 0, horizon: int = 0
    ) -> None:
        self.name, self.make = maker(source, horizon)
        environment = Environment(
            self.name, self.make, horizon
        )  # here too, so that mistakes are told before processes start
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
        self,
        actor: Acts,
        *,
        steps: int = 0,
        episodes: int = 0,
        first: int = 0,
        stream: str = "train",
        deterministic: bool = False,
    ) -> tuple[Rollouts, int]:
        """The shortest row of trajectories, from number `first` on, with at least so many steps and
        episodes; and its length.

        Raises:
            ZeuxisError: An environment failed, or a worker died.
        """
        actor.fit(self.task)
        if not deterministic and isinstance(actor, Actor) and not actor.stochastic:
            raise UsageError(
                "The policy has no deviation to draw actions with, only its best action: "
                "let it act deterministically."
            )
        found: list[Trajectory] = []
        if not self.count:
            self.roller = self.roller or Roller(
                Environment(self.name, self.make, self.horizon), self.seed
            )
            total = 0
            while total < steps or len(found) < episodes:
                found.append(self.roller.roll(actor, first + len(found), stream, deterministic))
                total += len(found[-1])
        else:
            found = self.share(actor, steps, episodes, first, stream, deterministic)
        self.mean = float(np.mean([len(t) for t in found]))
        return Rollouts.of(found), len(found)

    def share(
        self, actor: Acts, steps: int, episodes: int, first: int, stream: str, deterministic: bool
    ) -> list[Trajectory]:
        """The same by the workers: jobs are handed out while more steps are expected to be needed
        than are under way."""
        if not self.workers:
            self.workers = [
                Worker(self.name, self.make, self.seed, self.horizon) for _ in range(self.count)
            ]
        for worker in self.workers:
            worker.tell(actor)
        made: dict[int, Trajectory] = {}
        given, total, mean = 0, 0, self.mean
        busy: dict[Connection, list[int]] = {worker.link: [] for worker in self.workers}
        while True:
            for worker in sorted(self.workers, key=lambda w: len(busy[w.link])):
                missing = max((steps - total) / mean, episodes - len(made)) - (
                    given - len(made)
                )  # trajectories
                if missing > 0 and len(busy[worker.link]) < (2 if missing > self.count else 1):
                    few = max(1, min(round(1000 / mean), int(missing / (2 * self.count))))
                    worker.tell(Job(first + given, first + given + few, stream, deterministic))
                    busy[worker.link].append(few)
                    given += few
            for worker in answered([w for w in self.workers if busy[w.link]]):
                link = worker.link
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
