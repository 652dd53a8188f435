r"""The policy file: a policy that any program with NumPy can act with.

It is safetensors (no pickle) with the tensors `layers.i.weight`, `layers.i.bias`, `obs_mean` m,
`obs_scale` s and optionally `log_std`, as in `numpy_policy`. Its metadata hold `activation`,
`head`, `obs_dim` d, `obs_clip` c or "None", `obs_layout` ("acrobot_angles" converts sines and
cosines back to angles; anything else reads the first d entries), `env`, `task` (bounds, shape,
dtype and first class of an action, as JSON) and free notes.
"""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ... import files
from ...checkpoints.serialization import from_json, to_json
from ...checkpoints.versions import require_readable
from ...errors import DivergenceError, ZeuxisError
from ..environments.task import Task
from .numpy_policy import DISCRETE, HEADS, NumpyPolicy

MAX_LOG_STD = 80.0  # larger deviations overflow float32
MAX_BOUND = 1e30  # larger bounds of actions overflow float32


def write_policy(policy: NumpyPolicy, path: str | Path) -> Path:
    """Writes a policy file with a checksum, completely or not at all.

    Raises:
        DivergenceError: A weight is not finite; an existing file is kept.
        ZeuxisError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> from zeuxis.rl.policies.numpy_policy import linear_policy
        >>> policy = linear_policy(np.eye(2))
        >>> policy.metadata["env"] = "CartPole-v1"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     read_policy(write_policy(policy, folder + "/policy.safetensors")).metadata["env"]
        'CartPole-v1'
    """
    path = Path(path)
    tensors = {f"layers.{i}.weight": w for i, w in enumerate(policy.weights)}
    tensors |= {f"layers.{i}.bias": b for i, b in enumerate(policy.biases)}
    tensors |= {"obs_mean": policy.mean, "obs_scale": policy.scale}
    if policy.log_std is not None:
        tensors["log_std"] = np.asarray(policy.log_std, np.float32)
    wrong = next((name for name, t in tensors.items() if not np.isfinite(t).all()), "")
    if wrong:
        raise DivergenceError(
            f"The policy's '{wrong}' has numbers that are not finite, so '{path}' was not "
            "written: lower the step sizes."
        )
    metadata = {
        "activation": policy.activation,
        "head": policy.head,
        "obs_dim": str(len(policy.mean)),
        "obs_clip": str(policy.clip),
        "obs_layout": policy.layout,
    }
    metadata |= {key: str(value) for key, value in policy.metadata.items()}
    if policy.task is not None:
        metadata["task"] = json.dumps(to_json(policy.task))
    metadata["sha256"] = files.UNSEALED

    def content(partial: Path) -> None:
        save_file(tensors, partial, metadata)
        files.seal(partial)

    try:
        return files.write(path, content)
    except files.WriteError as error:
        raise ZeuxisError(
            f"The policy '{path}' could not be written ({error.reason}): give a writable place "
            "with room."
        ) from error


def read_policy(path: str | Path) -> NumpyPolicy:
    """Reads a policy file and checks every part.

    Raises:
        ZeuxisError: The file is missing, damaged, or not a policy.
    """
    tensors, metadata = read_tensors(path)
    depth = sum(key.startswith("layers.") and key.endswith(".weight") for key in tensors)
    names = [f"layers.{i}.{part}" for i in range(depth) for part in ("weight", "bias")]
    names += ["obs_mean", "obs_scale"]
    missing = [name for name in names if name not in tensors] if depth else ["layers.0.weight"]
    if missing:
        raise ZeuxisError(
            f"'{path}' is no policy of zeuxis, since it has no '{missing[0]}': give a policy file "
            "or a run of a policy."
        )
    head, activation, clip = (metadata.get(key, "") for key in ("head", "activation", "obs_clip"))
    if head not in HEADS or activation not in ("tanh", "relu"):
        raise ZeuxisError(
            f"'{path}' has the head '{head}' and the activation '{activation}', expected one of "
            f"{', '.join(HEADS)} and tanh or relu."
        )
    check_tensors(tensors, depth, path)
    angles = metadata.get("obs_layout", "").startswith("acrobot_angles")
    weights, biases = (
        [tensors[f"layers.{i}.{part}"] for i in range(depth)] for part in ("weight", "bias")
    )
    task = read_task(metadata.pop("task", ""), head in DISCRETE, len(biases[-1]), path)
    stored = ("activation", "head", "obs_dim", "obs_clip", "sha256")
    return NumpyPolicy(
        weights,
        biases,
        tensors["obs_mean"],
        tensors["obs_scale"],
        head,
        activation,
        read_clip(clip, path),
        tensors.get("log_std"),
        "acrobot_angles" if angles else "first",
        {key: value for key, value in metadata.items() if key not in stored},
        task,
    )


def read_tensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and metadata of a policy file; tensors of other names are not read."""
    try:
        files.check_seal(files.require_regular(path))
        with safe_open(path, "np") as file:
            metadata = dict(file.metadata() or {})
            names = filter(is_policy_tensor, file.keys())
            tensors = {name: file.get_tensor(name) for name in names}
    except FileNotFoundError as error:
        raise ZeuxisError(f"There is no policy file '{path}': check the path.") from error
    # `safe_open` raises the last three for dtypes that NumPy does not have.
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError, KeyError) as error:
        line = " ".join(str(error).split())
        raise ZeuxisError(
            f"'{path}' is damaged or no safetensors file ({line}): restore it from a copy."
        ) from error
    return tensors, metadata


def is_policy_tensor(key: str) -> bool:
    """Whether a policy has a tensor of this name."""
    return key in ("obs_mean", "obs_scale", "log_std") or key.startswith("layers.")


def read_clip(text: str, path: str | Path) -> float | None:
    """Parses `obs_clip`."""
    try:
        clip = None if text in ("", "None") else float(text)
        if clip is not None and not 0 < clip < float("inf"):
            raise ValueError("not above 0")
    except ValueError as error:
        raise ZeuxisError(
            f"'{path}' has the obs_clip '{text}', expected a number above 0 or None: restore it "
            "from a copy."
        ) from error
    return clip


def check_tensors(tensors: dict[str, np.ndarray], depth: int, path: str | Path) -> None:
    """Refuses layers that do not fit together, and numbers that are not finite as float32."""
    not_float = next((key for key, t in tensors.items() if t.dtype.kind != "f"), "")
    if not_float:
        raise ZeuxisError(
            f"'{path}' has '{not_float}' of type {tensors[not_float].dtype}, expected "
            "floating-point numbers: restore it from a copy."
        )
    weights, biases = (
        [tensors[f"layers.{i}.{part}"] for i in range(depth)] for part in ("weight", "bias")
    )
    mean = tensors["obs_mean"]
    flat = all(v.ndim == 1 and v.size for v in (mean, *biases))
    fits = flat and tensors["obs_scale"].shape == mean.shape
    sizes = [len(mean), *(len(b) for b in biases)] if fits else []
    fits = fits and all(w.shape == (sizes[i + 1], sizes[i]) for i, w in enumerate(weights))
    with np.errstate(over="ignore"):
        finite = fits and all(
            np.isfinite(t.astype(np.float32, copy=False)).all() for t in tensors.values()
        )
    if not finite:
        raise ZeuxisError(
            f"'{path}' has layers that do not fit together, or numbers that are not finite: "
            "restore it from a copy."
        )
    if "log_std" not in tensors:
        return
    if tensors["log_std"].shape != (sizes[-1],):
        shape = tensors["log_std"].shape
        raise ZeuxisError(
            f"'{path}' has {shape} deviations for {sizes[-1]} numbers of an action: restore it "
            "from a copy."
        )
    if tensors["log_std"].max() > MAX_LOG_STD:
        raise ZeuxisError(f"'{path}' has deviations that are not finite: restore it from a copy.")


def read_task(text: str, discrete: bool, actions: int, path: str | Path) -> Task | None:
    """Parses the task of a policy file; None for files without one."""
    if not text:
        return None
    where = f"The task of '{path}'"
    try:
        task = from_json(Task, json.loads(text), where)
    except (ValueError, RecursionError, TypeError) as error:
        raise ZeuxisError(f"{where} cannot be read ({error}): restore it from a copy.") from error
    bounds = zip(task.low, task.high, strict=False)
    finite = all(-MAX_BOUND < low <= high < MAX_BOUND for low, high in bounds)
    sized = (len(task.low), len(task.high)) == ((0, 0) if discrete else (actions, actions))
    shaped = task.shape is None or (
        math.prod(task.shape) == actions and min(task.shape, default=1) > 0
    )
    typed = task.dtype in ("float16", "float32", "float64") and abs(task.start) < 2**62
    same = task.discrete == discrete and task.action == actions
    if not (same and finite and sized and shaped and typed):
        raise ZeuxisError(f"{where} does not fit its layers: restore it from a copy.")
    return task


def load_policy(path: str | Path) -> NumpyPolicy:
    """Loads a policy to act with, from a policy file or the folder of a run.

    Raises:
        ZeuxisError: The file is missing, damaged or not a policy, or zeuxis 0.1 saved the folder.
    """
    path = Path(path)
    if not path.is_dir():
        return read_policy(path)
    about: dict[str, Any] = {}
    with contextlib.suppress(ZeuxisError):  # the policy needs nothing of it to act
        about = files.read_json(path / "config.json")
    require_readable(about, path)
    return read_policy(path / "policy.safetensors")
