r"""Policies as plain NumPy arrays: what worker processes act with, and the policy file.

A policy is a multilayer perceptron over standardized observations,

$$ z_0 = (x_{1:d} - m) \odot s, \qquad z_{i+1} = \phi(W_i z_i + b_i), \qquad y = W_L z_L + b_L , $$

with $z_0$ clipped to $\pm c$ where the file says so. Its *head* says what y is:

- `gaussian_mean`: the mean of a Gaussian, of deviation $e^{\ell}$ where `log_std` $\ell$ is stored;
- `tanh_gaussian_mean`: the same, squashed by tanh and scaled to the bounds of the actions;
- `logits`: log-probabilities of discrete actions up to a constant;
- `q_values`: values of discrete actions.

The file is safetensors (no pickle) with the tensors `layers.i.weight`, `layers.i.bias`, `obs_mean`
m, `obs_scale` s and optionally `log_std`. Its metadata hold `activation`, `head`, `obs_dim` d,
`obs_clip` c or "None", `obs_layout` ("acrobot_angles" converts sines and cosines back to angles;
anything else reads the first d entries), `env`, `task` (bounds, shape, dtype and first class of an
action, as JSON) and free notes.

Nothing here needs PyTorch, so that a worker starts in a fraction of a second and acts within a few
microseconds.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ... import files
from ...checkpoints.serialization import from_json, to_json
from ...errors import DivergenceError, UsageError, ZeuxisError
from ..environments.task import Task

HEADS = ("gaussian_mean", "tanh_gaussian_mean", "logits", "q_values")
DISCRETE = ("logits", "q_values")
MAX_LOG_STD = 80.0  # larger deviations overflow float32
MAX_BOUND = 1e30  # larger bounds of actions overflow float32


@dataclass
class NumpyPolicy:
    """A policy that acts on one observation at a time.

    Arguments:
        weights: Weight matrices (out, in), first layer first.
        biases: Bias vectors (out,).
        mean: Subtracted from an observation (d,).
        scale: Factor of the difference (d,).
        head: Meaning of the last layer's outputs.
        activation: "tanh" or "relu".
        clip: Largest absolute value of a standardized observation, None for no limit.
        log_std: Log-deviation of each action (a,), None for a policy that always takes its mean.
        layout: "first" entries of the observation, or "acrobot_angles".
        metadata: Notes on its origin.
        task: Task to act in. Without one `predict` numbers actions from 0 and clips nothing.

    Example:
        >>> policy = linear_policy(np.eye(2))
        >>> int(policy.act(np.array([0.0, 1.0], np.float32)))
        1
    """

    weights: list[np.ndarray]
    biases: list[np.ndarray]
    mean: np.ndarray
    scale: np.ndarray
    head: str
    activation: str = "tanh"
    clip: float | None = None
    log_std: np.ndarray | None = None
    layout: str = "first"
    metadata: dict[str, str] = field(default_factory=dict)
    task: Task | None = None

    def __post_init__(self) -> None:
        self.weights = [np.ascontiguousarray(w, np.float32) for w in self.weights]
        self.biases = [np.ascontiguousarray(b, np.float32) for b in self.biases]
        self.mean, self.scale = (np.asarray(v, np.float32) for v in (self.mean, self.scale))
        self.std = None if self.log_std is None else np.exp(self.log_std).astype(np.float32)
        self.buffers = [np.empty(len(b), np.float32) for b in self.biases]
        self.standardized = np.empty(len(self.mean), np.float32)
        self.set_bounds()

    def set_bounds(self) -> None:
        """Takes the bounds of actions from the task, float32."""
        bounds = ((), ()) if self.task is None else (self.task.low, self.task.high)
        self.low, self.high = (np.array(bound, np.float32) for bound in bounds)

    @property
    def discrete(self) -> bool:
        return self.head in DISCRETE

    @property
    def stochastic(self) -> bool:
        """Whether it has a distribution to sample actions from."""
        return self.head == "logits" or self.std is not None

    @property
    def actions(self) -> int:
        """Numbers of an action, or classes of a discrete one."""
        return len(self.biases[-1])

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Outputs for one observation; the next call overwrites the returned array."""
        if self.layout == "acrobot_angles":
            x = np.array([np.arctan2(x[1], x[0]), np.arctan2(x[3], x[2]), x[4], x[5]], np.float32)
        h = self.standardized
        np.subtract(x[: len(h)], self.mean, h)
        np.multiply(h, self.scale, h)
        if self.clip is not None:
            np.minimum(np.maximum(h, -self.clip, out=h), self.clip, out=h)
        last = len(self.buffers) - 1
        for i, (w, b, out) in enumerate(zip(self.weights, self.biases, self.buffers, strict=True)):
            np.dot(w, h, out)
            np.add(out, b, out)
            if i < last:
                np.tanh(out, out) if self.activation == "tanh" else np.maximum(out, 0, out=out)
            h = out
        return h

    def act(self, x: np.ndarray, noise: np.ndarray | None = None) -> Any:
        """Chooses an action for one observation: the mode without noise, a sample with it.

        Arguments:
            x: Observation (entries,).
            noise: Standard normal noise (a,), or standard Gumbel noise (classes,) for discrete
                actions.
        """
        y = self.forward(x)
        if self.discrete:
            return int(np.argmax(y if noise is None else y + noise))
        if noise is not None:
            assert self.std is not None
            return y + self.std * noise
        if self.head == "tanh_gaussian_mean":
            return self.low + (np.tanh(y) + 1) * (0.5 * (self.high - self.low))
        return y.copy()

    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Predicts actions with the interface of Stable-Baselines3.

        Arguments:
            observation: (entries,) or (n, entries).
            state: Returned as it is; these policies have no memory.
            episode_start: Not used.
            deterministic: Whether to return the mode instead of a sample.

        Returns:
            Actions as the environment takes them, and `state`.
        """
        rows = np.atleast_2d(np.asarray(observation, np.float32))
        rng = np.random.default_rng()
        draw = rng.gumbel if self.discrete else rng.standard_normal
        actions = np.array(
            [self.act(x, None if deterministic else draw(size=self.actions)) for x in rows]
        )
        if self.task is not None:
            actions = self.task.shaped(self.task.to_env(actions))
        return (actions if np.ndim(observation) > 1 else np.asarray(actions[0])), state

    def bind(self, task: Task) -> NumpyPolicy:
        """Prepares the policy for a task.

        Raises:
            UsageError: The policy is for other observations or actions.
        """
        angles = self.layout == "acrobot_angles"
        entries = 6 if angles else len(self.mean)
        origin = self.metadata.get("env", "not said")
        if task.observation < entries or (angles and len(self.mean) != 4):
            raise UsageError(
                f"The policy reads {entries} numbers of an observation and '{task.name}' gives "
                f"{task.observation}: take a policy for this task, or the task it is for "
                f"({origin})."
            )
        if self.discrete != task.discrete or self.actions != task.action:
            offered, expected = (
                f"one of {n} actions" if discrete else f"{n} numbers"
                for discrete, n in ((self.discrete, self.actions), (task.discrete, task.action))
            )
            raise UsageError(
                f"The policy gives {offered} and '{task.name}' takes {expected}: take a policy for "
                f"this task, or the task it is for ({origin})."
            )
        self.task = task
        self.set_bounds()
        return self


def linear_policy(
    matrix: np.ndarray,
    bias: np.ndarray | None = None,
    log_std: np.ndarray | None = None,
    head: str = "logits",
) -> NumpyPolicy:
    """A policy without hidden layers or standardization.

    Arguments:
        matrix: Weights (actions, entries).
        bias: Bias (actions,), by default 0.
        log_std: Log-deviations of a Gaussian (actions,).
        head: Meaning of the outputs.

    Example:
        >>> linear_policy(np.eye(3)).predict(np.array([0.0, 2.0, 1.0]))[0]
        array(1)
    """
    actions, entries = matrix.shape
    bias = np.zeros(actions) if bias is None else bias
    return NumpyPolicy([matrix], [bias], np.zeros(entries), np.ones(entries), head, log_std=log_std)


def random_policy(task: Task) -> NumpyPolicy:
    """The policy before training: a unit Gaussian around 0, or uniform over discrete actions."""
    zeros = np.zeros((task.action, task.observation))
    if task.discrete:
        return linear_policy(zeros)
    return linear_policy(zeros, log_std=np.zeros(task.action), head="gaussian_mean")


def write_policy(policy: NumpyPolicy, path: str | Path) -> Path:
    """Writes a policy file with a checksum, completely or not at all.

    Raises:
        DivergenceError: A weight is not finite; an existing file is kept.
        ZeuxisError: The file cannot be written.

    Example:
        >>> import tempfile
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
            tensors = {k: file.get_tensor(k) for k in file.keys() if is_policy_tensor(k)}  # noqa: SIM118
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
