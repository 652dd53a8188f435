r"""Demonstrations: an expert's trajectories, recorded from any policy, inspected, and thinned out
as imitation wants them.

A file holds plain arrays, as `.npz` (never unpickled) or `.safetensors`:

```
observations  (N, entries)       before each step, one episode after the other
actions       (N, a) or (N,)     as the environment took them: within their bounds; or classes, from its first one on
rewards       (N,)               only to be shown: imitation never sees them
lengths       (E,)               steps of each episode
finals        (E, entries)       the observation after each episode's last step
terminated    (E,)               whether it ended by itself
about         JSON               task, policy, seed, version
```

Files with the arrays `obs`, `act`, `next_obs`, `rew`, `terminal` and `episode_starts` (numbers of
first steps, or a mask over all steps) are read as well, HDF5 files and Minari's folders by `hdf5`,
and episodes of Minari by `of_episodes`. Classes may be (N, 1) too. Episodes of no steps are left
out, and `about` says how many.

**Thinning.** An expert's consecutive steps say nearly the same, and with all of them plain cloning
already does well. The paper keeps of trajectory i the steps $k_i, k_i + f, k_i + 2f, \ldots$ with
$k_i$ uniform in 0..f-1, the same $k_i$ in every run.

Source: Ho and Ermon, "Generative Adversarial Imitation Learning", 2016, section 6 and the code
released with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from ... import files
from ...errors import DataError, UsageError, ZeuxisError
from ..environments.task import Task
from ..policies.numpy_policy import Actor
from ..rollouts.collector import Acts, Engine, Rollouts
from .arrays import numeric, read_arrays

NAMES = ("observations", "actions", "rewards", "lengths", "finals", "terminated")
PARTS = ("observations", "actions", "rewards", "terminations")  # of an episode, with Minari's names
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
        if any(np.ndim(getattr(r, part)) < 1 for part in NAMES):
            raise DataError(
                f"'{self.name}' has an array without dimensions: demonstrations have "
                f"{', '.join(NAMES)}, each of steps or episodes."
            )
        n, e = len(r.observations), len(r.lengths)
        if n == 0 or e == 0:
            raise DataError(
                f"'{self.name}' holds no demonstrations: record some with zeuxis demos record."
            )
        if r.observations.ndim != 2 or r.finals.shape != (e, r.observations.shape[1]):
            raise DataError(
                f"'{self.name}' has observations of shape {r.observations.shape} and "
                f"final ones of {r.finals.shape} for {e} episodes, "
                "expected (steps, entries) and (episodes, entries)."
            )
        if r.terminated.shape != (e,):
            raise DataError(
                f"'{self.name}' says of {len(r.terminated)} ends whether they were "
                f"terminal, expected one for each of {e} episodes."
            )
        if len(r.actions) != n or len(r.rewards) != n or r.actions.ndim > 2 or 0 in r.actions.shape:
            raise DataError(
                f"'{self.name}' has {n} observations, {len(r.actions)} actions and "
                f"{len(r.rewards)} rewards: these must agree."
            )
        if (r.lengths < 0).any() or (r.lengths > n).any() or int(r.lengths.sum()) != n:
            total = sum(map(int, r.lengths))
            raise DataError(
                f"'{self.name}' has episodes of {total} steps together and {n} steps: "
                "these must agree."
            )
        for part in ("observations", "actions", "finals", "rewards"):
            if not np.isfinite(getattr(r, part)).all():
                raise DataError(
                    f"'{self.name}' has {part} that are no finite numbers: record them "
                    "again, or leave those episodes out."
                )
        if (empty := r.lengths == 0).any():
            kept = {part: getattr(r, part)[~empty] for part in ("lengths", "finals", "terminated")}
            object.__setattr__(self, "rollouts", replace(r, **kept))
            object.__setattr__(
                self, "about", self.about | {"episodes without steps left out": int(empty.sum())}
            )

    def __len__(self) -> int:
        return len(self.rollouts.lengths)

    @property
    def discrete(self) -> bool:
        """Whether actions look like classes: whole numbers, one a step."""
        a = self.rollouts.actions
        return a.dtype.kind in "iu" and (a.ndim == 1 or a.shape[1] == 1)

    def first(self, n: int) -> Demonstrations:
        """The first n trajectories."""
        if not 0 < n <= len(self):
            raise UsageError(
                f"'{self.name}' has {len(self)} trajectories and {n} were asked for: ask "
                "for fewer, or record more."
            )
        r, steps = self.rollouts, int(self.rollouts.lengths[:n].sum())
        kept = {
            part: getattr(r, part)[: steps if part in ("observations", "actions", "rewards") else n]
            for part in NAMES
        }
        return replace(self, rollouts=Rollouts(**kept))

    def pairs(
        self, trajectories: int = 0, every: int = 1, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Observations and actions to imitate.

        Arguments:
            trajectories: Take the first so many; 0 takes all.
            every: Keep one step of so many.
            seed: Fixes where in each trajectory the kept steps begin.
        """
        if every < 1 or trajectories < 0:
            raise UsageError(
                "--gail.every must be at least 1 and --gail.trajectories at least 0, "
                f"got {every} and {trajectories}."
            )
        chosen = self.first(trajectories) if trajectories else self
        r = chosen.rollouts
        begin = np.random.RandomState(seed).randint(
            0, every, size=len(chosen)
        )  # the generator of the released code
        times = r.times
        kept = (times - np.repeat(begin % r.lengths, r.lengths)) % every == 0
        return r.observations[kept], r.actions[kept]

    def fit(self, task: Task) -> Demonstrations:
        """These for a task: checked against it, with actions as it takes them."""
        r = self.rollouts
        if r.observations.shape[1] != task.observation:
            raise DataError(
                f"'{self.name}' has observations of {r.observations.shape[1]} numbers "
                f"and '{task.name}' gives {task.observation}: "
                f"they were recorded in another task ({self.about.get('env', 'not said which')})."
            )
        try:
            actions = task.taken(r.actions)
        except ValueError as error:
            raise DataError(
                f"'{self.name}' has {error}: they were recorded in another task."
            ) from error
        # Some recorders call every end a terminal one; at the time limit it is a cut.
        return replace(
            self,
            rollouts=replace(
                r, actions=actions, terminated=r.terminated & (r.lengths < task.horizon)
            ),
        )

    @classmethod
    def of_episodes(cls, episodes: Iterable[Any], **about: Any) -> Demonstrations:
        """From Minari's episodes (`dataset.iterate_episodes()`), or anything with their attributes.

        Each has `observations` (T + 1, ...), `actions` (T, ...), `rewards` (T,) and `terminations`
        (T,).
        """
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, bool]] = []
        for i, one in enumerate(episodes):
            seen, done, paid, ends = (np.asarray(getattr(one, part, None)) for part in PARTS)
            for part, array in zip(PARTS, (seen, done, paid, ends), strict=True):
                if array.ndim < 1 or array.dtype.kind not in "fiub":
                    raise DataError(
                        f"Episode {i} has {part} that are no plain array of numbers: "
                        f"episodes have {', '.join(PARTS)}."
                    )
            if len(seen) != len(done) + 1 or not len(done) == len(paid) == len(ends):
                found = (
                    f"{len(seen)} observations for {len(done)} actions, {len(paid)} "
                    f"rewards and {len(ends)} terminations"
                )
                raise DataError(
                    f"Episode {i} has {found}, expected one observation more and the "
                    "same of the rest: these must agree."
                )
            seen = seen.reshape(len(seen), -1)
            if parts and (
                seen.shape[1:] != parts[0][0].shape[1:] or done.shape[1:] != parts[0][1].shape[1:]
            ):
                raise DataError(
                    f"Episode {i} has observations or actions of other sizes than the "
                    "first: they are of several tasks."
                )
            parts.append((seen, done, paid.ravel(), len(ends) > 0 and bool(ends[-1].any())))
        if not any(len(p[1]) for p in parts):
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
            from .minari_format import write  # it needs a package of its own

            return write(self, path)
        arrays = {name: np.ascontiguousarray(getattr(self.rollouts, name)) for name in NAMES}
        about = json.dumps(self.about)

        def content(partial: Path) -> None:
            if path.suffix == ".npz":
                np.savez_compressed(partial, **arrays, about=np.array(about))  # type: ignore[arg-type]
            else:
                save_file(arrays, partial, {"zeuxis": about})

        try:
            return files.write(path, content)
        except files.WriteError as error:
            reason = f"'{path}' could not be written ({error.reason})"
            raise DataError(
                f"The demonstrations {reason}: give a writable place with room."
            ) from error


def writable(path: str | Path) -> Path:
    """A path whose ending says how it is to be written."""
    path = Path(path)
    if path.suffix not in (".npz", ".safetensors", ".hdf5", ".h5", ""):
        raise UsageError(
            "Demonstrations are written as .npz, .safetensors, .hdf5 or, without an "
            "ending, as a folder in Minari's form, "
            f"not as '{path.name}': choose one of these."
        )
    return path


def as_actions(actions: np.ndarray) -> np.ndarray:
    """Whole numbers as int64, others as float32 or float64, (N,) if they are classes and (N, a) if
    they are not; the task decides."""
    whole = actions.dtype.kind in "iub"
    kind = np.int64 if whole else np.float64 if actions.dtype == np.float64 else np.float32
    if actions.ndim == 1 and whole:
        return actions.astype(kind)
    with np.errstate(over="ignore"):
        return actions.reshape(len(actions), int(np.prod(actions.shape[1:]))).astype(
            kind, copy=False
        )


def read_demos(path: str | Path) -> Demonstrations:
    """Reads a file of demonstrations; every part is checked.

    Raises:
        DataError: It is missing, damaged, of another form, or holds numbers that are not finite.
    """
    path = Path(path)
    if path.is_dir() or path.suffix in (".hdf5", ".h5"):
        from .minari_format import read  # it needs a package of its own

        return read(path)
    arrays, about = read_arrays(path, {*NAMES, *FOREIGN})
    if all(name in arrays for name in FOREIGN) and not all(name in arrays for name in NAMES):
        arrays = translated(arrays, path)
    missing = [name for name in NAMES if name not in arrays]
    if missing:
        raise DataError(
            f"'{path}' has no array '{missing[0]}': demonstrations have {', '.join(NAMES)}."
        )
    if not numeric(arrays, NAMES):
        raise DataError(
            f"'{path}' has arrays that are no numbers: demonstrations have {', '.join(NAMES)}."
        )
    lengths = arrays["lengths"].ravel()
    if not (np.abs(lengths) < 2**53).all() or not (lengths == np.round(lengths)).all():
        raise DataError(
            f"'{path}' has lengths of episodes that are no whole numbers of steps: "
            "record them again."
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused as not finite
        rollouts = Rollouts(
            arrays["observations"].astype(np.float32, copy=False),
            as_actions(arrays["actions"]) if arrays["actions"].ndim else np.zeros(0),
            arrays["rewards"].astype(np.float32).ravel(),
            lengths.astype(np.int64),
            arrays["finals"].astype(np.float32, copy=False),
            arrays["terminated"].astype(bool).ravel(),
        )
    return Demonstrations(rollouts, about, str(path))


def translated(arrays: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Arrays of the other form under this one's names."""
    if not numeric(arrays, FOREIGN) or any(arrays[name].ndim < 1 for name in FOREIGN):
        raise DataError(
            f"'{path}' has arrays that are no rows of numbers: it needs {', '.join(FOREIGN)}."
        )
    n, ended = len(arrays["obs"]), arrays["terminal"].ravel()
    starts = first_steps(arrays["episode_starts"].ravel(), n)
    if (
        not len(starts)
        or starts[0] != 0
        or starts[-1] >= n
        or len(arrays["next_obs"]) != n
        or len(ended) != n
    ):
        raise DataError(
            f"'{path}' has episodes that start at {shortened(starts)} and {n} steps, "
            f"{len(arrays['next_obs'])} next observations and "
            f"{len(ended)} marks of ends, expected starts from 0 on within the steps, or "
            "a mask that is true at the first."
        )
    ends = np.append(starts[1:], n) - 1
    return {
        "observations": arrays["obs"],
        "actions": arrays["act"],
        "rewards": arrays["rew"],
        "lengths": ends - starts + 1,
        "finals": arrays["next_obs"][ends],
        "terminated": ended[ends],
    }


def first_steps(starts: np.ndarray, n: int) -> np.ndarray:
    """Numbers of the first steps of episodes, each once, from such numbers or from a mask over n
    steps; none where they are neither."""
    whole = starts[np.abs(starts) < 2**53].astype(np.int64)
    if len(whole) != len(starts) or not (whole == starts).all():
        return np.zeros(0, np.int64)
    found = np.unique(whole)
    if starts.dtype == bool or (
        len(whole) == n and set(found.tolist()) <= {0, 1} and whole.tolist() != list(range(n))
    ):
        return np.flatnonzero(whole) if len(whole) == n else np.zeros(0, np.int64)
    return found


def shortened(starts: np.ndarray) -> str:
    """The first of several numbers."""
    return f"{starts[:3].tolist()}" + ("..." if len(starts) > 3 else "")


class Foreign:
    """Another library's policy, by its `predict`, which gives actions as the environment takes
    them."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.task: Task | None = None

    def fit(self, task: Task) -> Foreign:
        self.task = task
        return self

    def choose(self, x: np.ndarray, noise: np.ndarray | None = None) -> Any:
        assert self.task is not None
        found = np.asarray(self.policy.predict(x, deterministic=noise is None)[0])
        try:
            return self.task.from_env(found.reshape(1, -1))[0]
        except ValueError as error:
            raise ZeuxisError(f"The policy gave {error}: take a policy for this task.") from error


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
        policy: An `Actor`, a policy that learned here, or anything with the `predict` of
            Stable-Baselines3 (then `workers` must be 0).
        env: A Gymnasium id or a function without arguments that makes an environment.
        episodes: Trajectories.
        deterministic: Whether it takes its likeliest action; the paper's experts draw theirs.
        seed: Fixes the episodes.
        workers: Processes that act; 0 acts here.
        horizon: Longest episode (steps); 0 takes the task's own limit.
        about: Further notes for the file.
    """
    if episodes < 1:
        raise UsageError(
            f"At least one episode is needed, got {episodes}: give --episodes 1 or more."
        )
    actor: Acts = (
        policy.actor()
        if hasattr(policy, "actor")
        else policy
        if isinstance(policy, Acts)
        else Foreign(policy)
    )
    if workers and not isinstance(actor, Actor):
        raise UsageError("A policy of another library acts in this process only: give workers=0.")
    with Engine(env, workers, seed, horizon) as engine:
        rollouts, _ = engine.collect(
            actor, episodes=episodes, stream="record", deterministic=deterministic
        )
        task = engine.task
    rollouts = replace(rollouts, actions=task.to_env(rollouts.actions))
    told = {
        "env": task.name,
        "seed": seed,
        "deterministic": deterministic,
        "zeuxis": version("zeuxis"),
        **about,
    }
    return Demonstrations(rollouts, told)
