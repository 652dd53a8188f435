r"""Demonstrations: an expert's trajectories, recorded from any policy, checked and subsampled.

**Subsampling.** Consecutive steps of an expert are nearly the same, and with all of them behavioral
cloning already does well. The paper keeps the steps $k_i, k_i + f, k_i + 2f, \ldots$ of trajectory
i, with $k_i$ uniform in 0..f-1, the same $k_i$ in every run.

`demonstration_files` reads and writes them.

Source: Ho and Ermon, "Generative Adversarial Imitation Learning", 2016, section 6 and the code
released with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

import numpy as np

from ...errors import DataError, UsageError
from ..environments.task import Task
from ..policies.numpy_policy import NumpyPolicy
from ..rollouts.collector import Collector
from ..rollouts.external_policy import as_acting
from ..rollouts.trajectory import Rollouts

STEP_ARRAYS = ("observations", "actions", "rewards")
EPISODE_ARRAYS = ("lengths", "finals", "terminated")
ARRAYS = STEP_ARRAYS + EPISODE_ARRAYS
EPISODE_PARTS = ("observations", "actions", "rewards", "terminations")  # Minari's names


@dataclass(frozen=True)
class Demonstrations:
    """Trajectories of an expert.

    Arguments:
        rollouts: Its steps, with actions as the environment took them.
        about: Notes on their origin.
        name: Name in messages.

    Raises:
        DataError: Shapes do not agree, or a number is not finite.

    Example:
        >>> import pytest
        >>> _ = pytest.importorskip("gymnasium")
        >>> from zeuxis.rl.policies.numpy_policy import linear_policy
        >>> expert = linear_policy(np.array([[0, 0, -1, -1], [0, 0, 1, 1]]))
        >>> demos = record(expert, "CartPole-v1", 3)
        >>> observations, actions = demos.pairs(trajectories=2, every=10)
        >>> observations.shape[1], len(observations) == len(actions)
        (4, True)
    """

    rollouts: Rollouts
    about: dict[str, Any] = field(default_factory=dict)
    name: str = "demonstrations"

    def __post_init__(self) -> None:
        self.check_shapes()
        r = self.rollouts
        for part in ("observations", "actions", "finals", "rewards"):
            if not np.isfinite(getattr(r, part)).all():
                raise DataError(
                    f"'{self.name}' has {part} that are no finite numbers: record them again, or "
                    "leave those episodes out."
                )
        empty = r.lengths == 0
        if empty.any():
            kept = {part: getattr(r, part)[~empty] for part in EPISODE_ARRAYS}
            about = self.about | {"episodes without steps left out": int(empty.sum())}
            object.__setattr__(self, "rollouts", replace(r, **kept))
            object.__setattr__(self, "about", about)

    def check_shapes(self) -> None:
        """Checks that the arrays fit together."""
        r = self.rollouts
        if any(np.ndim(getattr(r, part)) < 1 for part in ARRAYS):
            raise DataError(
                f"'{self.name}' has an array without dimensions: demonstrations have "
                f"{', '.join(ARRAYS)}, each of steps or episodes."
            )
        n, e = len(r.observations), len(r.lengths)
        if n == 0 or e == 0:
            raise DataError(
                f"'{self.name}' holds no demonstrations: record some with zeuxis demos record."
            )
        if r.observations.ndim != 2 or r.finals.shape != (e, r.observations.shape[1]):
            raise DataError(
                f"'{self.name}' has observations of shape {r.observations.shape} and final ones "
                f"of {r.finals.shape} for {e} episodes, expected (steps, entries) and (episodes, "
                "entries)."
            )
        if r.terminated.shape != (e,):
            raise DataError(
                f"'{self.name}' says of {len(r.terminated)} ends whether they were terminal, "
                f"expected one for each of {e} episodes."
            )
        if len(r.actions) != n or len(r.rewards) != n or r.actions.ndim > 2 or 0 in r.actions.shape:
            raise DataError(
                f"'{self.name}' has {n} observations, {len(r.actions)} actions and "
                f"{len(r.rewards)} rewards: these must agree."
            )
        if (r.lengths < 0).any() or (r.lengths > n).any() or int(r.lengths.sum()) != n:
            total = sum(map(int, r.lengths))
            raise DataError(
                f"'{self.name}' has episodes of {total} steps together and {n} steps: these must "
                "agree."
            )

    def __len__(self) -> int:
        return len(self.rollouts.lengths)

    @property
    def discrete(self) -> bool:
        """Whether actions look like classes: one whole number a step."""
        a = self.rollouts.actions
        return a.dtype.kind in "iu" and (a.ndim == 1 or a.shape[1] == 1)

    def first(self, n: int) -> Demonstrations:
        """The first n trajectories."""
        if not 0 < n <= len(self):
            raise UsageError(
                f"'{self.name}' has {len(self)} trajectories and {n} were asked for: ask for "
                "fewer, or record more."
            )
        r, steps = self.rollouts, int(self.rollouts.lengths[:n].sum())
        kept = {part: getattr(r, part)[:steps] for part in STEP_ARRAYS}
        kept |= {part: getattr(r, part)[:n] for part in EPISODE_ARRAYS}
        return replace(self, rollouts=Rollouts(**kept))

    def pairs(
        self, trajectories: int = 0, every: int = 1, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Observations and actions to imitate.

        Arguments:
            trajectories: Number of trajectories, the first ones; 0 takes all.
            every: Keep one step in this many.
            seed: Seed of the first step that is kept of each trajectory.
        """
        if every < 1 or trajectories < 0:
            raise UsageError(
                "--gail.every must be at least 1 and --gail.trajectories at least 0, got "
                f"{every} and {trajectories}."
            )
        chosen = self.first(trajectories) if trajectories else self
        r = chosen.rollouts
        # The generator of the released code.
        offsets = np.random.RandomState(seed).randint(0, every, size=len(chosen))
        kept = (r.times - np.repeat(offsets % r.lengths, r.lengths)) % every == 0
        return r.observations[kept], r.actions[kept]

    def bind(self, task: Task) -> Demonstrations:
        """Checks these against a task, and converts actions to its form.

        Raises:
            DataError: They were recorded in another task.
        """
        r = self.rollouts
        if r.observations.shape[1] != task.observation:
            raise DataError(
                f"'{self.name}' has observations of {r.observations.shape[1]} numbers and "
                f"'{task.name}' gives {task.observation}: they were recorded in another task "
                f"({self.about.get('env', 'not said which')})."
            )
        try:
            actions = task.check_actions(r.actions)
        except ValueError as error:
            raise DataError(
                f"'{self.name}' has {error}: they were recorded in another task."
            ) from error
        # Some recorders call every end a terminal one; at the time limit it is a truncation.
        terminated = r.terminated & (r.lengths < task.horizon)
        return replace(self, rollouts=replace(r, actions=actions, terminated=terminated))

    @classmethod
    def of_episodes(cls, episodes: Iterable[Any], **about: Any) -> Demonstrations:
        """Joins Minari's episodes (`dataset.iterate_episodes()`).

        Arguments:
            episodes: Objects with `observations` (T + 1, ...), `actions` (T, ...), `rewards` (T,)
                and `terminations` (T,).
            about: Notes on their origin.
        """
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, bool]] = []
        for i, episode in enumerate(episodes):
            observations, actions, rewards, terminations = episode_arrays(episode, i)
            same = not parts or (
                observations.shape[1:] == parts[0][0].shape[1:]
                and actions.shape[1:] == parts[0][1].shape[1:]
            )
            if not same:
                raise DataError(
                    f"Episode {i} has observations or actions of other sizes than the first: they "
                    "are of several tasks."
                )
            terminated = len(terminations) > 0 and bool(terminations[-1].any())
            parts.append((observations, actions, rewards.ravel(), terminated))
        if not any(len(actions) for _, actions, _, _ in parts):
            raise DataError("There are no episodes to imitate: give at least one.")
        rollouts = Rollouts(
            np.concatenate([x[:-1] for x, _, _, _ in parts]).astype(np.float32),
            as_actions(np.concatenate([actions for _, actions, _, _ in parts])),
            np.concatenate([rewards for _, _, rewards, _ in parts]).astype(np.float32),
            np.array([len(actions) for _, actions, _, _ in parts]),
            np.stack([x[-1] for x, _, _, _ in parts]).astype(np.float32),
            np.array([terminated for _, _, _, terminated in parts]),
        )
        return cls(rollouts, about)


def episode_arrays(episode: Any, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The arrays of one episode, observations flat, with their lengths checked."""
    arrays = [np.asarray(getattr(episode, part, None)) for part in EPISODE_PARTS]
    for part, array in zip(EPISODE_PARTS, arrays, strict=True):
        if array.ndim < 1 or array.dtype.kind not in "fiub":
            raise DataError(
                f"Episode {i} has {part} that are no plain array of numbers: episodes have "
                f"{', '.join(EPISODE_PARTS)}."
            )
    observations, actions, rewards, terminations = arrays
    if len(observations) != len(actions) + 1 or len({len(a) for a in arrays[1:]}) != 1:
        raise DataError(
            f"Episode {i} has {len(observations)} observations for {len(actions)} actions, "
            f"{len(rewards)} rewards and {len(terminations)} terminations, expected one "
            "observation more and the same of the rest: these must agree."
        )
    return observations.reshape(len(observations), -1), actions, rewards, terminations


def as_actions(actions: np.ndarray) -> np.ndarray:
    """Converts whole numbers to int64, others to float32 or float64.

    The shape is (N,) for whole numbers of one dimension, else (N, a); the task decides later what
    they mean.
    """
    whole = actions.dtype.kind in "iub"
    dtype = np.int64 if whole else np.float64 if actions.dtype == np.float64 else np.float32
    if actions.ndim == 1 and whole:
        return actions.astype(dtype)
    rows = actions.reshape(len(actions), int(np.prod(actions.shape[1:])))
    with np.errstate(over="ignore"):
        return rows.astype(dtype, copy=False)


def record(
    policy: Any,
    env: str | Callable[[], Any],
    episodes: int,
    /,
    *,
    deterministic: bool = True,
    seed: int = 0,
    workers: int = 0,
    horizon: int = 0,
    **about: Any,
) -> Demonstrations:
    """Records the trajectories of a policy.

    Arguments:
        policy: A policy of zeuxis, or anything with the `predict` of Stable-Baselines3 (then
            `workers` must be 0).
        env: A Gymnasium id, or a function without arguments that makes an environment.
        episodes: Number of trajectories.
        deterministic: Whether the policy takes its mode; the paper's experts take samples.
        seed: Seed of the episodes.
        workers: Worker processes; 0 acts in this process.
        horizon: Longest episode (steps); 0 takes the task's limit.
        about: Further notes for the file.
    """
    if episodes < 1:
        raise UsageError(
            f"At least one episode is needed, got {episodes}: give --episodes 1 or more."
        )
    acting = as_acting(policy)
    if workers and not isinstance(acting, NumpyPolicy):
        raise UsageError("A policy of another library acts in this process only: give workers=0.")
    with Collector(env, workers, seed, horizon) as collector:
        rollouts, _ = collector.collect(
            acting, episodes=episodes, stream="record", deterministic=deterministic
        )
    task = collector.task
    rollouts = replace(rollouts, actions=task.to_env(rollouts.actions))
    notes = {"env": task.name, "seed": seed, "deterministic": deterministic}
    return Demonstrations(rollouts, notes | {"zeuxis": version("zeuxis"), **about})
