"""Reads and writes files of demonstrations.

A file holds plain arrays, as `.npz` (never unpickled) or `.safetensors`:

```
observations  (N, entries)     before each step, one episode after the other
actions       (N, a) or (N,)   as the environment took them, within their bounds; or classes
rewards       (N,)             shown only: imitation never sees them
lengths       (E,)             steps of each episode
finals        (E, entries)     observation after each episode's last step
terminated    (E,)             whether each episode terminated
about         JSON             task, policy, seed, version
```

Files with the arrays `obs`, `act`, `next_obs`, `rew`, `terminal` and `episode_starts` (indices of
first steps, or a mask over all steps) are read as well; so are HDF5 files and Minari's folders, by
`minari_format`. Classes may have the shape (N, 1). Episodes without steps are left out, and `about`
says how many.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from ... import files
from ...errors import DataError, UsageError
from ..rollouts.trajectory import Rollouts
from .arrays import numeric, read_arrays
from .demonstrations import ARRAYS, Demonstrations, as_actions
from .minari_format import read_minari, write_minari

TRANSITION_ARRAYS = ("obs", "act", "next_obs", "rew", "terminal", "episode_starts")


def read_demos(path: str | Path) -> Demonstrations:
    """Reads a file of demonstrations and checks every part.

    Raises:
        DataError: It is missing, damaged, of another form, or holds numbers that are not finite.
    """
    path = Path(path)
    if path.is_dir() or path.suffix in (".hdf5", ".h5"):
        return read_minari(path)
    arrays, about = read_arrays(path, {*ARRAYS, *TRANSITION_ARRAYS})
    if all(n in arrays for n in TRANSITION_ARRAYS) and not all(n in arrays for n in ARRAYS):
        arrays = from_transitions(arrays, path)
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise DataError(
            f"'{path}' has no array '{missing[0]}': demonstrations have {', '.join(ARRAYS)}."
        )
    if not numeric(arrays, ARRAYS):
        raise DataError(
            f"'{path}' has arrays that are no numbers: demonstrations have {', '.join(ARRAYS)}."
        )
    lengths = arrays["lengths"].ravel()
    if not (np.abs(lengths) < 2**53).all() or not (lengths == np.round(lengths)).all():
        raise DataError(
            f"'{path}' has lengths of episodes that are no whole numbers of steps: record them "
            "again."
        )
    with np.errstate(over="ignore"):  # numbers too large for float32 are refused as not finite
        rollouts = Rollouts(
            arrays["observations"].astype(np.float32, copy=False),
            as_actions(arrays["actions"]) if arrays["actions"].ndim else np.zeros(0),
            arrays["rewards"].astype(np.float32).ravel(),
            lengths.astype(np.int64),
            arrays["finals"].astype(np.float32, copy=False),
            arrays["terminated"].astype(bool).ravel(),
        )
    return Demonstrations(rollouts, about, str(path))


def write_demos(demos: Demonstrations, path: str | Path) -> Path:
    """Writes a file of demonstrations, completely or not at all.

    Arguments:
        demos: Demonstrations.
        path: A name that ends in .npz, .safetensors or .hdf5, or a new folder that Minari reads.

    Example:
        >>> import tempfile
        >>> steps, ends = np.zeros((2, 3), np.float32), np.zeros((1, 3), np.float32)
        >>> rollouts = Rollouts(steps, steps, steps[:, 0], np.array([2]), ends, np.array([True]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     len(read_demos(write_demos(Demonstrations(rollouts), folder + "/demos.npz")))
        1
    """
    path = check_ending(path)
    if path.suffix not in (".npz", ".safetensors"):
        return write_minari(demos, path)
    arrays = {name: np.ascontiguousarray(getattr(demos.rollouts, name)) for name in ARRAYS}
    about = json.dumps(demos.about)

    def content(partial: Path) -> None:
        if path.suffix == ".npz":
            np.savez_compressed(partial, **arrays, about=np.array(about))  # type: ignore[arg-type]
        else:
            save_file(arrays, partial, {"zeuxis": about})

    try:
        return files.write(path, content)
    except files.WriteError as error:
        raise DataError(
            f"The demonstrations '{path}' could not be written ({error.reason}): give a writable "
            "place with room."
        ) from error


def check_ending(path: str | Path) -> Path:
    """Checks that the ending of a path is one that can be written."""
    path = Path(path)
    if path.suffix not in (".npz", ".safetensors", ".hdf5", ".h5", ""):
        raise UsageError(
            "Demonstrations are written as .npz, .safetensors, .hdf5 or, without an ending, as a "
            f"folder in Minari's form, not as '{path.name}': choose one of these."
        )
    return path


def from_transitions(arrays: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Converts arrays of transitions to `ARRAYS`."""
    names = TRANSITION_ARRAYS
    if not numeric(arrays, names) or any(arrays[name].ndim < 1 for name in names):
        raise DataError(
            f"'{path}' has arrays that are no rows of numbers: it needs {', '.join(names)}."
        )
    n, terminal = len(arrays["obs"]), arrays["terminal"].ravel()
    starts = first_steps(arrays["episode_starts"].ravel(), n)
    inside = len(starts) > 0 and starts[0] == 0 and starts[-1] < n
    if not inside or len(arrays["next_obs"]) != n or len(terminal) != n:
        shown = f"{starts[:3].tolist()}" + ("..." if len(starts) > 3 else "")
        raise DataError(
            f"'{path}' has episodes that start at {shown} and {n} steps, "
            f"{len(arrays['next_obs'])} next observations and {len(terminal)} marks of ends, "
            "expected starts from 0 on within the steps, or a mask that is true at the first."
        )
    ends = np.append(starts[1:], n) - 1
    return {
        "observations": arrays["obs"],
        "actions": arrays["act"],
        "rewards": arrays["rew"],
        "lengths": ends - starts + 1,
        "finals": arrays["next_obs"][ends],
        "terminated": terminal[ends],
    }


def first_steps(starts: np.ndarray, n: int) -> np.ndarray:
    """Sorted indices of the first steps of episodes.

    Arguments:
        starts: The indices, or a mask over n steps.
        n: Number of steps.

    Returns:
        The indices; none where `starts` is neither.
    """
    none = np.zeros(0, np.int64)
    whole = starts[np.abs(starts) < 2**53].astype(np.int64)
    if len(whole) != len(starts) or not (whole == starts).all():
        return none
    indices = np.unique(whole)
    binary = len(whole) == n and set(indices.tolist()) <= {0, 1}
    if starts.dtype == bool or (binary and whole.tolist() != list(range(n))):
        return np.flatnonzero(whole) if len(whole) == n else none
    return indices
