r"""Collects whole trajectories with several processes, the same whatever their number.

Each worker process owns an environment and a copy of the policy as NumPy arrays. Once an iteration
the weights are sent out; then the workers return whole trajectories, several at a time, without
communication while an episode lasts. Vectors of environments that synchronize at every step are
slower here than a single environment, since synchronizing costs more than stepping.

Trajectory i of a run draws its first state and the noise of its actions from a seed that depends
only on the run's seed and on i. An iteration takes the shortest prefix of the trajectories that
holds enough steps. So a run gives the same numbers with one worker and with sixteen, and a resumed
run needs no generator's state but the index of the next trajectory. (An environment that remembers
earlier episodes, or that draws from generators other than the one that `reset(seed=...)` sets,
breaks this.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import UsageError
from ..environments.environment import Environment
from ..environments.registration import maker
from ..policies.numpy_policy import NumpyPolicy
from .external_policy import ActingPolicy
from .process import Worker, wait_for_answers
from .trajectory import Rollouts, Trajectory

BLOCK = 256  # steps whose noise is drawn at once
STREAMS = {"train": 0, "evaluate": 1, "record": 2}
CHUNK = 1000  # a job has about this many steps


class EpisodeRunner:
    """Runs episodes in one environment.

    Arguments:
        environment: Environment to act in.
        seed: Seed of the run.
        clock: Counts steps, and is 1 at index 1 during a reset; `process` watches it.
    """

    def __init__(self, environment: Environment, seed: int, clock: Any = None) -> None:
        self.environment, self.task, self.seed = environment, environment.task, seed
        self.clock = [0, 0] if clock is None else clock
        self.observations: np.ndarray = np.empty(0)
        self.actions: np.ndarray = np.empty(0)
        self.rewards: np.ndarray = np.empty(0)
        self.grow()

    def grow(self) -> None:
        """Doubles the room for steps, up to the longest episode."""
        task, old = self.task, (self.observations, self.actions, self.rewards)
        room = min(task.horizon, max(BLOCK, 2 * len(self.rewards)))
        self.observations = np.empty((room + 1, task.observation), np.float32)
        self.rewards = np.empty(room, np.float32)
        if task.discrete:
            self.actions = np.empty(room, np.int64)
        else:
            self.actions = np.empty((room, task.action), np.float32)
        if len(old[2]):
            for before, now in zip(
                old, (self.observations, self.actions, self.rewards), strict=True
            ):
                now[: len(before)] = before

    def run_episode(
        self, policy: ActingPolicy, index: int, stream: str = "train", deterministic: bool = False
    ) -> Trajectory:
        """Runs the episode of this index.

        Arguments:
            policy: Policy that acts.
            index: Index of the trajectory in its stream.
            stream: Key of `STREAMS`; streams have different seeds.
            deterministic: Whether the policy takes its mode instead of a sample.
        """
        source = np.random.SeedSequence([self.seed, STREAMS[stream], index])
        seed, rng = int(source.generate_state(1)[0]), np.random.Generator(np.random.PCG64(source))
        clock, environment, shape = self.clock, self.environment, (BLOCK, self.task.action)
        noise, terminated, t = None, False, 0
        with np.errstate(all="ignore"):
            clock[1] = 1
            self.observations[0] = environment.reset(seed)
            clock[1] = 0
            while t < self.task.horizon:
                if t == len(self.rewards):
                    self.grow()
                if not deterministic:
                    if t % BLOCK == 0:
                        noise = (
                            rng.gumbel(size=shape)
                            if self.task.discrete
                            else rng.standard_normal(shape, np.float32)
                        )
                    assert noise is not None
                    self.actions[t] = policy.act(self.observations[t], noise[t % BLOCK])
                else:
                    self.actions[t] = policy.act(self.observations[t])
                x, self.rewards[t], terminated, truncated = environment.step(self.actions[t])
                self.observations[t + 1] = x
                t += 1
                clock[0] += 1
                if terminated or truncated:
                    break
        return Trajectory(
            self.observations[: t + 1].copy(),
            self.actions[:t].copy(),
            self.rewards[:t].copy(),
            terminated,
        )


@dataclass(frozen=True)
class Job:
    """Trajectories that a worker is to make, from index `first` up to `last` - 1."""

    first: int
    last: int
    stream: str
    deterministic: bool


class Collector:
    """Collects trajectories, in this process or in several.

    Use it in a `with` block, which ends the workers; they start with the first work.

    Arguments:
        source: A Gymnasium id, or a function without arguments that makes an environment.
        workers: Worker processes; 0 acts in this process.
        seed: Seed of all trajectories.
        horizon: Longest episode (steps); 0 takes the task's limit.

    Example:
        >>> import pytest
        >>> _ = pytest.importorskip("gymnasium")
        >>> from zeuxis.rl.policies.numpy_policy import linear_policy
        >>> policy = linear_policy(np.zeros((2, 4)))
        >>> with Collector("CartPole-v1", workers=0) as collector:
        ...     rollouts, trajectories = collector.collect(policy, steps=100)
        >>> len(rollouts) >= 100, trajectories == len(rollouts.lengths)
        (True, True)
    """

    def __init__(
        self, source: str | Callable[[], Any], workers: int = 0, seed: int = 0, horizon: int = 0
    ) -> None:
        self.name, self.make = maker(source, horizon)
        # Made here too, so that mistakes are reported before processes start.
        environment = Environment(self.name, self.make, horizon)
        environment.close()
        self.task, self.seed, self.horizon, self.count = environment.task, seed, horizon, workers
        self.mean_length = float(self.task.horizon)
        self.runner: EpisodeRunner | None = None
        self.workers: list[Worker] = []

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the workers."""
        for worker in self.workers:
            worker.terminate()
        self.workers = []
        if self.runner is not None:
            self.runner.environment.close()
            self.runner = None

    def collect(
        self,
        policy: ActingPolicy,
        *,
        steps: int = 0,
        episodes: int = 0,
        first: int = 0,
        stream: str = "train",
        deterministic: bool = False,
    ) -> tuple[Rollouts, int]:
        """Collects the shortest sequence of trajectories with enough steps and episodes.

        Arguments:
            policy: Policy that acts.
            steps: Least number of steps.
            episodes: Least number of episodes.
            first: Index of the first trajectory.
            stream: Key of `STREAMS`.
            deterministic: Whether the policy takes its mode instead of a sample.

        Returns:
            The rollouts and their number of trajectories.

        Raises:
            ZeuxisError: An environment failed, or a worker died.
        """
        policy.bind(self.task)
        if not deterministic and isinstance(policy, NumpyPolicy) and not policy.stochastic:
            raise UsageError(
                "The policy has no deviation to draw actions with, only its best action: let it "
                "act deterministically."
            )
        if self.count:
            made = self.collect_in_workers(policy, steps, episodes, first, stream, deterministic)
        else:
            made = self.collect_here(policy, steps, episodes, first, stream, deterministic)
        self.mean_length = float(np.mean([len(t) for t in made]))
        return Rollouts.of(made), len(made)

    def collect_here(
        self,
        policy: ActingPolicy,
        steps: int,
        episodes: int,
        first: int,
        stream: str,
        deterministic: bool,
    ) -> list[Trajectory]:
        """`collect` in this process."""
        if self.runner is None:
            environment = Environment(self.name, self.make, self.horizon)
            self.runner = EpisodeRunner(environment, self.seed)
        made: list[Trajectory] = []
        total = 0
        while total < steps or len(made) < episodes:
            made.append(self.runner.run_episode(policy, first + len(made), stream, deterministic))
            total += len(made[-1])
        return made

    def collect_in_workers(
        self,
        policy: ActingPolicy,
        steps: int,
        episodes: int,
        first: int,
        stream: str,
        deterministic: bool,
    ) -> list[Trajectory]:
        """`collect` by the workers: they get jobs until those under way should be enough."""
        if not self.workers:
            arguments = (self.name, self.make, self.seed, self.horizon)
            self.workers = [Worker(*arguments) for _ in range(self.count)]
        for worker in self.workers:
            worker.send(policy)
        made: dict[int, Trajectory] = {}
        assigned, total, mean = 0, 0, self.mean_length
        pending = {worker.link: 0 for worker in self.workers}  # jobs of each worker
        while True:
            for worker in sorted(self.workers, key=lambda w: pending[w.link]):
                missing = max((steps - total) / mean, episodes - len(made))  # trajectories
                missing -= assigned - len(made)
                # A second job keeps a worker busy while its first answer travels.
                if missing > 0 and pending[worker.link] < (2 if missing > self.count else 1):
                    n = max(1, min(round(CHUNK / mean), int(missing / (2 * self.count))))
                    start = first + assigned
                    worker.send(Job(start, start + n, stream, deterministic))
                    pending[worker.link] += 1
                    assigned += n
            for worker in wait_for_answers([w for w in self.workers if pending[w.link]]):
                job, trajectories = worker.recv()
                pending[worker.link] -= 1
                made |= {job.first - first + i: t for i, t in enumerate(trajectories)}
                total += sum(len(t) for t in trajectories)
            mean = total / len(made)
            if not any(pending.values()) and total >= steps and len(made) >= episodes:
                break
        kept: list[Trajectory] = []
        total = 0
        while total < steps or len(kept) < episodes:
            kept.append(made[len(kept)])
            total += len(kept[-1])
        return kept
