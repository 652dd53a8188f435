r"""Rollouts by EnvPool: all worlds of one process stepped together in C++, for machines with many
cores and few tasks.

`--training.engine envpool` takes it in the place of worker processes, for the tasks that EnvPool
has, Gymnasium's classic and MuJoCo ones among them, not a user's own (`envpool.list_all_envs()`).
The policy acts on all worlds in one product of matrices. A world is one of EnvPool's own, whose
mechanics are Gymnasium's but whose first states are drawn differently, so numbers differ from those
of the workers.

Trajectories are numbered in the order in which they begin, and an iteration keeps the shortest
beginning of that row that holds enough steps: were those kept that end first, short episodes would
be seen too often. An episode is begun only while those under way are not expected to suffice. The
worlds are made anew for each iteration, with seeds that are a function of the run's seed and of the
number of the first trajectory, so that a resumed run goes on exactly. Results depend on the number
of worlds, not on that of threads.

Source: Weng et al., "EnvPool: A Highly Parallel Reinforcement Learning Environment Execution
Engine", 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import MissingExtra, UsageError
from ..environments.environment import Environment, broken, maker
from ..policies.numpy_policy import Actor
from .collector import STREAMS, Acts, Rollouts, Trajectory

WORLDS = 16


def envpool() -> Any:
    """The package, or a sentence that says how to get it."""
    try:
        import envpool
    except ImportError as error:
        raise MissingExtra("envpool", "envpool", "--training.engine envpool") from error
    return envpool


class Episode:
    """A trajectory under way."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []
        self.done: list[Any] = []
        self.earned: list[float] = []
        self.terminated = self.over = False

    def __len__(self) -> int:
        return len(self.earned)

    def take(self, seen: Any, done: Any, earned: Any, ended: bool, cut: bool) -> None:
        """One step."""
        self.seen.append(np.asarray(seen, np.float32).ravel())
        self.done.append(done)
        self.earned.append(float(earned))
        self.terminated, self.over = ended, ended or cut

    def trajectory(self) -> Trajectory:
        """As the rollouts have it."""
        return Trajectory(
            np.stack(self.seen),
            np.stack(self.done),
            np.array(self.earned, np.float32),
            self.terminated,
        )


def act(actor: Actor, x: np.ndarray, noise: np.ndarray | None = None) -> np.ndarray:
    """Actions for many observations at once, as `Actor.choose` has them for one.

    Arguments:
        actor: The policy, ready for the task.
        x: Observations (n, entries).
        noise: Standard normal numbers (n, a), or for discrete actions standard Gumbel numbers (n,
            classes); None takes the likeliest.
    """
    if actor.layout != "first":
        return np.stack(
            [
                np.asarray(actor.choose(row, None if noise is None else noise[i]))
                for i, row in enumerate(x)
            ]
        )
    h = (x[:, : len(actor.mean)] - actor.mean) * actor.scale
    h = h if actor.clip is None else np.clip(h, -actor.clip, actor.clip)
    last = len(actor.weights) - 1
    for i, (w, b) in enumerate(zip(actor.weights, actor.biases, strict=True)):
        h = h @ w.T + b
        if i < last:
            h = np.tanh(h) if actor.activation == "tanh" else np.maximum(h, 0)
    if actor.discrete:
        return np.argmax(h if noise is None else h + noise, 1).astype(np.int64)
    if noise is not None:
        assert actor.std is not None
        return (h + actor.std * noise).astype(np.float32)
    if actor.head == "tanh_gaussian_mean":
        assert actor.low is not None and actor.high is not None
        return (actor.low + (np.tanh(h) + 1) * (0.5 * (actor.high - actor.low))).astype(np.float32)
    return h.astype(np.float32)


class Pool:
    """Collects trajectories as `rollout.Engine` does.

    Arguments:
        source: A task that both Gymnasium and EnvPool know by this id.
        threads: Threads that step worlds; 0 takes one.
        seed: Fixes every trajectory.
        horizon: Longest episode (steps); 0 takes the task's own limit.
        worlds: How many are stepped together.

    Raises:
        MissingExtra: EnvPool is not installed.
        UsageError: It has no such task, or another one of this name.
    """

    def __init__(
        self,
        source: str | Callable[[], Any],
        threads: int = 0,
        seed: int = 0,
        horizon: int = 0,
        worlds: int = WORLDS,
    ) -> None:
        package = envpool()
        name, make = maker(source, horizon)
        if not isinstance(source, str) or source not in package.list_all_envs():
            raise UsageError(
                f"EnvPool has no task '{name}': take --training.engine workers, which "
                "knows every task."
            )
        environment = Environment(name, make, horizon)
        environment.close()
        self.name, self.task, self.seed, self.threads, self.count = (
            source,
            environment.task,
            seed,
            max(1, threads),
            worlds,
        )
        one = self.worlds(0, 1)
        shape, discrete = one.observation_space.shape, hasattr(one.action_space, "n")
        if int(np.prod(shape)) != self.task.observation or discrete != self.task.discrete:
            raise UsageError(
                f"EnvPool's '{name}' observes {shape} and Gymnasium's "
                f"{self.task.observation} numbers: take --training.engine workers."
            )

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is kept between iterations."""

    def worlds(self, seed: int, count: int) -> Any:
        """New worlds."""
        seeds = np.random.SeedSequence([self.seed, seed]).generate_state(count) >> 1
        return envpool().make(
            self.name,
            env_type="gymnasium",
            num_envs=count,
            num_threads=min(self.threads, count),
            seed=seeds.astype(int).tolist(),
            max_episode_steps=self.task.horizon,
        )

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
        """The shortest row of trajectories, in the order of their beginnings, with at least so many
        steps and episodes; and its length.

        Raises:
            ZeuxisError: A world gave numbers that are not finite.
        """
        actor.fit(self.task)
        if not isinstance(actor, Actor):
            raise UsageError(
                "EnvPool's worlds are acted in by policies of zeuxis only: take "
                "--training.engine workers."
            )
        if not deterministic and not actor.stochastic:
            raise UsageError(
                "The policy has no deviation to draw actions with, only its best action: "
                "let it act deterministically."
            )
        source = [self.seed, STREAMS[stream], first]
        noise = np.random.Generator(np.random.PCG64(np.random.SeedSequence(source)))
        worlds = self.worlds(STREAMS[stream] + len(STREAMS) * first, self.count)
        row: list[Episode] = []  # in the order of their beginnings
        free, busy = list(range(self.count)), {}  # type: list[int], dict[int, Episode]
        while True:
            begun = []
            while free and self.more(row, steps, episodes):
                begun.append(free.pop(0))
                row.append(Episode())
                busy[begun[-1]] = row[-1]
            if begun:
                seen, _ = worlds.reset(np.array(begun, np.int32))
                self.check(seen, np.zeros(len(begun)), [busy[world] for world in begun])
                for world, x in zip(begun, seen, strict=True):
                    busy[world].seen.append(np.asarray(x, np.float32).ravel())
            if not busy:
                break
            at = sorted(busy)
            x = np.stack([busy[world].seen[-1] for world in at])
            drawn = None if deterministic else self.draw(noise, len(at))
            chosen = act(actor, x, drawn)
            following, rewards, ended, cut, _ = worlds.step(
                self.carried(chosen, worlds.action_space.dtype), np.array(at, np.int32)
            )
            self.check(following, rewards, [busy[world] for world in at])
            for i, world in enumerate(at):
                episode = busy[world]
                episode.take(
                    following[i],
                    chosen[i],
                    rewards[i],
                    bool(ended[i]),
                    bool(cut[i]) or len(episode) + 1 >= self.task.horizon,
                )
                if episode.over:
                    del busy[world]
                    free = sorted([*free, world])
        found: list[Trajectory] = []
        while sum(map(len, found)) < steps or len(found) < episodes:
            found.append(row[len(found)].trajectory())
        return Rollouts.of(found), len(found)

    def check(self, observations: Any, rewards: np.ndarray, episodes: list[Episode]) -> None:
        """Refuses numbers that are not finite, and names the step."""
        if np.isfinite(observations).all() and np.isfinite(rewards).all():
            return
        good = np.isfinite(np.reshape(observations, (len(episodes), -1))).all(1) & np.isfinite(
            rewards
        )
        episode = episodes[int(np.flatnonzero(~good)[0])]
        step = len(episode) + 1 if episode.seen else 0
        raise broken(
            self.task, ValueError("an observation or a reward is no finite number"), step, self.seed
        )

    def more(self, row: list[Episode], steps: int, episodes: int) -> bool:
        """Whether another episode is to begin: while those begun are not expected to suffice."""
        done = [len(episode) for episode in row if episode.over]
        mean = sum(done) / len(done) if done else float(self.task.horizon)
        expected = sum(
            len(episode) if episode.over else max(mean, len(episode) + 1) for episode in row
        )
        return len(row) < episodes or expected < steps

    def draw(self, noise: np.random.Generator, n: int) -> np.ndarray:
        """Noise for n actions."""
        shape = (n, self.task.action)
        return (
            noise.gumbel(size=shape)
            if self.task.discrete
            else noise.standard_normal(shape, np.float32)
        )

    def carried(self, chosen: np.ndarray, dtype: Any) -> np.ndarray:
        """Actions as they are carried out."""
        return self.task.to_env(chosen).astype(dtype)
