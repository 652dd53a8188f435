r"""Demonstrations: an expert's trajectories, recorded from any policy, inspected, and thinned out as imitation wants them.

A file holds plain arrays, as `.npz` (never unpickled) or `.safetensors`:

```
observations  (N, entries)       before each step, one episode after the other
actions       (N, a) or (N,)     as carried out, so clipped to their bounds; or classes
rewards       (N,)               only to be shown: imitation never sees them
lengths       (E,)               steps of each episode
finals        (E, entries)       the observation after each episode's last step
terminated    (E,)               whether it ended by itself
about         JSON               task, policy, seed, version
```

Files with the arrays `obs`, `act`, `next_obs`, `rew`, `terminal` and `episode_starts` are read as well, HDF5 files and Minari's folders by
`hdf5`, and episodes of Minari by `of_episodes`.

**Thinning.** An expert's consecutive steps say nearly the same, and with all of them plain cloning already does well. The paper keeps of
trajectory i the steps $k_i, k_i + f, k_i + 2f, \ldots$ with $k_i$ uniform in 0..f-1, the same $k_i$ in every run.

Source: Ho and Ermon, "Generative Adversarial Imitation Learning", 2016, section 6 and the code released with it.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..errors import DataError, UsageError
from .actor import Actor
from .envs import Task
from .rollout import Acts, Engine, Rollouts

NAMES = ("observations", "actions", "rewards", "lengths", "finals", "terminated")
FOREIGN = ("obs", "act", "next_obs", "rew", "terminal", "episode_starts")


@dataclass(frozen=True)
class Demonstrations:
    """Trajectories of an expert.

    Arguments:
        rollouts: Its steps, with actions as they were carried out.
        about: Where they come from.
        name: What sentences call them.

    Example:
        >>> import pytest; _ = pytest.importorskip("gymnasium")
        >>> actor = Actor([np.array([[0, 0, -1, -1], [0, 0, 1, 1]])], [np.zeros(2)], np.zeros(4), np.ones(4), "logits")
        >>> demos = record(actor, "CartPole-v1", 3, workers=0)
        >>> observations, actions = demos.pairs(trajectories=2, every=10)
        >>> observations.shape[1], len(observations) == len(actions)
        (4, True)
    """

    rollouts: Rollouts
    about: dict[str, Any] = field(default_factory=dict)
    name: str = "demonstrations"

    def __post_init__(self) -> None:
        r = self.rollouts
        n, e = len(r.observations), len(r.lengths)
        if n == 0 or e == 0:
            raise DataError(f"'{self.name}' holds no demonstrations: record some with zeuxis demos record.")
        if r.observations.ndim != 2 or r.finals.shape != (e, r.observations.shape[1]) or len(r.terminated) != e:
            raise DataError(
                f"'{self.name}' has observations of shape {r.observations.shape} and final ones of {r.finals.shape} for {e} episodes, "
                "expected (steps, entries) and (episodes, entries)."
            )
        if len(r.actions) != n or len(r.rewards) != n or r.actions.ndim > 2:
            raise DataError(f"'{self.name}' has {n} observations, {len(r.actions)} actions and {len(r.rewards)} rewards: these must agree.")
        if (r.lengths < 1).any() or int(r.lengths.sum()) != n:
            raise DataError(f"'{self.name}' has episodes of {int(r.lengths.sum())} steps together and {n} steps: these must agree.")
        for part in ("observations", "actions", "finals", "rewards"):
            if not np.isfinite(getattr(r, part)).all():
                raise DataError(f"'{self.name}' has {part} that are no finite numbers: record them again, or leave those episodes out.")

    def __len__(self) -> int:
        return len(self.rollouts.lengths)

    @property
    def discrete(self) -> bool:
        return self.rollouts.actions.ndim == 1

    def first(self, n: int) -> Demonstrations:
        """The first n trajectories."""
        if not 0 < n <= len(self):
            raise UsageError(f"'{self.name}' has {len(self)} trajectories and {n} were asked for: ask for fewer, or record more.")
        r, steps = self.rollouts, int(self.rollouts.lengths[:n].sum())
        kept = {part: getattr(r, part)[: steps if part in ("observations", "actions", "rewards") else n] for part in NAMES}
        return replace(self, rollouts=Rollouts(**kept))

    def pairs(self, trajectories: int = 0, every: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Observations and actions to imitate.

        Arguments:
            trajectories: Take the first so many; 0 takes all.
            every: Keep one step of so many.
            seed: Fixes where in each trajectory the kept steps begin.
        """
        if every < 1 or trajectories < 0:
            raise UsageError(f"--gail.every must be at least 1 and --gail.trajectories at least 0, got {every} and {trajectories}.")
        chosen = self.first(trajectories) if trajectories else self
        r = chosen.rollouts
        begin = np.random.RandomState(seed).randint(0, every, size=len(chosen))  # the generator of the released code
        times = r.times
        kept = (times - np.repeat(begin % r.lengths, r.lengths)) % every == 0
        return r.observations[kept], r.actions[kept]

    def fit(self, task: Task) -> Demonstrations:
        """These for a task: checked against it, with actions within their bounds."""
        r = self.rollouts
        if r.observations.shape[1] != task.observation:
            raise DataError(
                f"'{self.name}' has observations of {r.observations.shape[1]} numbers and '{task.name}' gives {task.observation}: "
                f"they were recorded in another task ({self.about.get('env', 'not said which')})."
            )
        size = "classes" if self.discrete else f"{r.actions.shape[1]} numbers"
        if self.discrete != task.discrete or (not self.discrete and r.actions.shape[1] != task.action):
            wanted = f"one of {task.action} actions" if task.discrete else f"{task.action} numbers"
            raise DataError(f"'{self.name}' has actions of {size} and '{task.name}' takes {wanted}: they were recorded in another task.")
        if task.discrete and (r.actions.min() < 0 or r.actions.max() >= task.action):
            found = f"{int(r.actions.min())} to {int(r.actions.max())}"
            raise DataError(f"'{self.name}' has actions {found}, expected 0 to {task.action - 1}, as '{task.name}' has.")
        actions = r.actions if task.discrete else np.clip(r.actions, task.low, task.high).astype(np.float32)
        # Some recorders call every end a terminal one; at the time limit it is a cut.
        return replace(self, rollouts=replace(r, actions=actions, terminated=r.terminated & (r.lengths < task.horizon)))

    @classmethod
    def of_episodes(cls, episodes: Iterable[Any], **about: Any) -> Demonstrations:
        """From Minari's episodes (`dataset.iterate_episodes()`), or anything with their attributes.

        Each has `observations` (T + 1, ...), `actions` (T, ...), `rewards` (T,) and `terminations` (T,).
        """
        parts = []
        for i, one in enumerate(episodes):
            seen, done = np.asarray(one.observations), np.asarray(one.actions)
            if seen.dtype == object or len(seen) != len(done) + 1:
                found = f"{len(seen)} observations for {len(done)} actions"
                raise DataError(f"Episode {i} has {found}, expected plain arrays and one observation more.")
            parts.append((seen.reshape(len(seen), -1), done, np.asarray(one.rewards), bool(np.asarray(one.terminations)[-1])))
        if not parts:
            raise DataError("There are no episodes to imitate: give at least one.")
        return cls(
            Rollouts(
                np.concatenate([p[0][:-1] for p in parts]).astype(np.float32),
                as_actions(np.concatenate([p[1] for p in parts])),
                np.concatenate([p[2] for p in parts]).astype(np.float32),
                np.array([len(p[1]) for p in parts]),
                np.stack([p[0][-1] for p in parts]).astype(np.float32),
                np.array([p[3] for p in parts]),
            ),
            about,
        )

    def save(self, path: str | Path) -> Path:
        """Writes a file, whole or not at all."""
        path = writable(path)
        if path.suffix not in (".npz", ".safetensors"):
            from .hdf5 import write  # it needs a package of its own

            return write(self, path)
        arrays = {name: np.ascontiguousarray(getattr(self.rollouts, name)) for name in NAMES}
        about, partial = json.dumps(self.about), path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".npz":
                np.savez_compressed(partial, **arrays, about=np.array(about))  # type: ignore[arg-type]
            else:
                save_file(arrays, partial, {"zeuxis": about})
                partial.chmod(0o644)
            partial.replace(path)
        except (OSError, SafetensorError) as error:
            partial.unlink(missing_ok=True)
            raise DataError(f"The demonstrations '{path}' could not be written ({error}): give a writable place with room.") from error
        return path


def writable(path: str | Path) -> Path:
    """A path whose ending says how it is to be written."""
    path = Path(path)
    if path.suffix not in (".npz", ".safetensors", ".hdf5", ".h5", ""):
        raise UsageError(
            f"Demonstrations are written as .npz, .safetensors, .hdf5 or, without an ending, as a folder in Minari's form, "
            f"not as '{path.name}': choose one of these."
        )
    return path


def as_actions(actions: np.ndarray) -> np.ndarray:
    """Classes (N,) as int64, boxes (N, a) as float32."""
    if actions.ndim == 1 and np.issubdtype(actions.dtype, np.integer):
        return actions.astype(np.int64)
    return actions.reshape(len(actions), int(np.prod(actions.shape[1:]))).astype(np.float32)


def read_demos(path: str | Path) -> Demonstrations:
    """Reads a file of demonstrations; every part is checked.

    Raises:
        DataError: It is missing, damaged, of another form, or holds numbers that are not finite.
    """
    path = Path(path)
    if path.is_dir() or path.suffix in (".hdf5", ".h5"):
        from .hdf5 import read  # it needs a package of its own

        return read(path)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "np") as file:
                arrays, told = {k: file.get_tensor(k) for k in file.keys()}, (file.metadata() or {}).get("zeuxis", "{}")  # noqa: SIM118
        else:
            with np.load(path, allow_pickle=False) as file:
                arrays = {k: file[k] for k in file.files}
            told = str(arrays.pop("about", "{}"))
        about = json.loads(told)
    except FileNotFoundError as error:
        raise DataError(f"There is no file of demonstrations '{path}': check the path, or make one with zeuxis demos record.") from error
    except (OSError, ValueError, EOFError, SafetensorError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"'{path}' cannot be read as plain arrays ({reason}): give .npz, .safetensors or .hdf5.") from error
    if all(name in arrays for name in FOREIGN):
        arrays = translated(arrays, path)
    missing = [name for name in NAMES if name not in arrays]
    if missing:
        raise DataError(f"'{path}' has no array '{missing[0]}': demonstrations have {', '.join(NAMES)}.")
    if any(not np.issubdtype(arrays[name].dtype, np.number) and arrays[name].dtype != bool for name in NAMES):
        raise DataError(f"'{path}' has arrays that are no numbers: demonstrations have {', '.join(NAMES)}.")
    rollouts = Rollouts(
        arrays["observations"].astype(np.float32),
        as_actions(arrays["actions"]) if arrays["actions"].ndim else np.zeros(0),
        arrays["rewards"].astype(np.float32).ravel(),
        arrays["lengths"].astype(np.int64).ravel(),
        arrays["finals"].astype(np.float32),
        arrays["terminated"].astype(bool).ravel(),
    )
    return Demonstrations(rollouts, about if isinstance(about, dict) else {}, str(path))


def translated(arrays: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Arrays of the other form under this one's names."""
    starts, n = np.sort(arrays["episode_starts"].astype(np.int64).ravel()), len(arrays["obs"])
    if len(starts) == 0 or n == 0 or starts[0] != 0 or starts[-1] >= n or len(arrays["next_obs"]) != n or len(arrays["terminal"]) != n:
        raise DataError(f"'{path}' has episodes that start at {starts[:3]}... and {n} steps, expected starts from 0 on within the steps.")
    ends = np.append(starts[1:], n) - 1
    return {
        "observations": arrays["obs"],
        "actions": arrays["act"],
        "rewards": arrays["rew"],
        "lengths": ends - starts + 1,
        "finals": arrays["next_obs"][ends],
        "terminated": arrays["terminal"][ends],
    }


@dataclass
class Foreign:
    """Another library's policy, by its `predict`."""

    policy: Any

    def fit(self, task: Task) -> Foreign:
        return self

    def choose(self, x: np.ndarray, noise: np.ndarray | None = None) -> Any:
        return self.policy.predict(x, deterministic=noise is None)[0]


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
    """Lets a policy act and keeps what it did.

    Arguments:
        policy: An `Actor`, a policy that learnt here, or anything with the `predict` of Stable-Baselines3 (then `workers` must be 0).
        env: A Gymnasium id or a function without arguments that makes an environment.
        episodes: Trajectories.
        deterministic: Whether it takes its likeliest action; the paper's experts draw theirs.
        seed: Fixes the episodes.
        workers: Processes that act; 0 acts here.
        horizon: Longest episode (steps); 0 takes the task's own limit.
        about: Further notes for the file.
    """
    if episodes < 1:
        raise UsageError(f"At least one episode is needed, got {episodes}: give --episodes 1 or more.")
    actor: Acts = policy.actor() if hasattr(policy, "actor") else policy if isinstance(policy, Acts) else Foreign(policy)
    if workers and not isinstance(actor, Actor):
        raise UsageError("A policy of another library acts in this process only: give workers=0.")
    with Engine(env, workers, seed, horizon) as engine:
        rollouts, _ = engine.collect(actor, episodes=episodes, stream="record", deterministic=deterministic)
        task = engine.task
    if not task.discrete:
        rollouts = replace(rollouts, actions=np.clip(rollouts.actions, task.low, task.high).astype(np.float32))
    told = {"env": task.name, "seed": seed, "deterministic": deterministic, "zeuxis": version("zeuxis"), **about}
    return Demonstrations(rollouts, told)
