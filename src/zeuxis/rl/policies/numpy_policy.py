r"""A policy as plain arrays: what a worker process acts with, and the file in which policies are
shared.

A policy is a multilayer perceptron over standardized observations,

$$ z_0 = (x_{1:d} - m) \odot s, \qquad z_{i+1} = \phi(W_i z_i + b_i), \qquad y = W_L z_L + b_L , $$

with $z_0$ clipped to $\pm c$ where the file says so. Its *head* says what y is: the mean of a
Gaussian over actions (`gaussian_mean`, of deviation $e^{\ell}$ where `log_std` $\ell$ is stored),
one squashed by tanh and scaled to the bounds of the actions (`tanh_gaussian_mean`),
log-probabilities of discrete actions up to a constant (`logits`), or their values (`q_values`).

The file is safetensors, no pickle: `layers.i.weight`, `layers.i.bias`, `obs_mean` m, `obs_scale` s,
perhaps `log_std`; the metadata hold `activation`, `head`, `obs_dim` d, `obs_clip` c or "None",
`obs_layout` ("acrobot_angles" turns sines and cosines back into angles; anything else reads the
first d entries), `env`, `task` (what the environment takes, as JSON: bounds, shape, type and the
first class of an action), and whatever else is to be known.

Nothing here needs PyTorch, so that a worker starts in a fraction of a second and acts in a few
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
LARGEST_LOG, LARGEST_BOUND = (
    80.0,
    1e30,
)  # of a deviation's logarithm, and of an action: float32 can hold no more of what they make


@dataclass
class Actor:
    """A policy that acts on one observation at a time.

    Arguments:
        weights: Matrices (out, in), first layer first.
        biases: Their vectors (out,).
        mean: What is subtracted from an observation (d,).
        scale: What the difference is multiplied by (d,).
        head: What the last layer's numbers are.
        activation: "tanh" or "relu".
        clip: Largest standardized observation, None for none.
        log_std: Logarithm of the deviation of each action (a,), None for a policy that always takes
            its mean.
        layout: "first" entries of the observation, or "acrobot_angles".
        about: Where it comes from.
        low: Least value of each number of an action, known from the task.
        high: Greatest value of each.
        task: What it acts in, None where that is not known: `predict` then numbers actions from 0,
            and clips nothing.

    Example:
        >>> actor = Actor([np.eye(2, dtype=np.float32)], [np.zeros(2, np.float32)], np.zeros(2), np.ones(2), "logits")
        >>> int(actor.choose(np.array([0.0, 1.0], np.float32)))
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
    about: dict[str, str] = field(default_factory=dict)
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    task: Task | None = None

    def __post_init__(self) -> None:
        self.weights = [np.ascontiguousarray(w, np.float32) for w in self.weights]
        self.biases = [np.ascontiguousarray(b, np.float32) for b in self.biases]
        self.mean, self.scale = (np.asarray(v, np.float32) for v in (self.mean, self.scale))
        self.std = None if self.log_std is None else np.exp(self.log_std).astype(np.float32)
        self.buffers = [np.empty(len(b), np.float32) for b in self.biases]
        self.entry = np.empty(len(self.mean), np.float32)
        if self.task is not None and not self.discrete:
            self.low, self.high = self.ends(self.task)

    @staticmethod
    def ends(task: Task) -> tuple[np.ndarray, np.ndarray]:
        """The bounds of actions, float32."""
        return np.array(task.low, np.float32), np.array(task.high, np.float32)

    @property
    def discrete(self) -> bool:
        return self.head in DISCRETE

    @property
    def stochastic(self) -> bool:
        """Whether it has a law to draw actions from."""
        return self.head == "logits" or self.std is not None

    @property
    def actions(self) -> int:
        """Numbers of an action, or classes of a discrete one."""
        return len(self.biases[-1])

    def forward(self, x: np.ndarray) -> np.ndarray:
        """What the last layer says of one observation; the array is used again at the next call."""
        if self.layout == "acrobot_angles":
            x = np.array([np.arctan2(x[1], x[0]), np.arctan2(x[3], x[2]), x[4], x[5]], np.float32)
        h = self.entry
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

    def choose(self, x: np.ndarray, noise: np.ndarray | None = None) -> Any:
        """An action for one observation: the likeliest without noise, a draw with it.

        Arguments:
            x: The observation (entries,).
            noise: Standard normal numbers (a,), or for discrete actions standard Gumbel numbers
                (classes,).
        """
        y = self.forward(x)
        if self.discrete:
            return int(np.argmax(y if noise is None else y + noise))
        if noise is not None:
            assert self.std is not None
            return y + self.std * noise
        if self.head == "tanh_gaussian_mean":
            assert self.low is not None and self.high is not None
            return self.low + (np.tanh(y) + 1) * (0.5 * (self.high - self.low))
        return y.copy()

    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Actions for one observation or a batch, as the environment takes them, in the form that
        Stable-Baselines3 gives.

        Arguments:
            observation: (entries,) or (n, entries).
            state: Passed through; these policies have no memory.
            episode_start: Not needed.
            deterministic: Whether to take the likeliest action instead of drawing one.
        """
        rows = np.atleast_2d(np.asarray(observation, np.float32))
        draw = (
            np.random.default_rng().gumbel
            if self.discrete
            else np.random.default_rng().standard_normal
        )
        found = np.array(
            [self.choose(x, None if deterministic else draw(size=self.actions)) for x in rows]
        )
        if self.task is not None:
            found = self.task.shaped(self.task.to_env(found))
        return (found if np.ndim(observation) > 1 else np.asarray(found[0])), state

    def fit(self, task: Task) -> Actor:
        """Itself, ready for a task; an error says why it cannot act there."""
        needed = 6 if self.layout == "acrobot_angles" else len(self.mean)
        if task.observation < needed or (self.layout == "acrobot_angles" and len(self.mean) != 4):
            raise UsageError(
                f"The policy reads {needed} numbers of an observation and '{task.name}' "
                f"gives {task.observation}: "
                "take a policy for this task, or the task it is for "
                f"({self.about.get('env', 'not said')})."
            )
        if self.discrete != task.discrete or self.actions != task.action:
            kind = lambda discrete, n: f"one of {n} actions" if discrete else f"{n} numbers"  # noqa: E731
            raise UsageError(
                f"The policy gives {kind(self.discrete, self.actions)} and '{task.name}' "
                f"takes {kind(task.discrete, task.action)}: "
                "take a policy for this task, or the task it is for "
                f"({self.about.get('env', 'not said')})."
            )
        self.task = task
        if not task.discrete:
            self.low, self.high = self.ends(task)
        return self


def write_actor(actor: Actor, path: str | Path) -> Path:
    """Writes a policy file with a checksum, whole or not at all.

    Raises:
        DivergenceError: A weight is no finite number; a file of this name is kept as it was.
        ZeuxisError: There is no place or no room.

    Example:
        >>> import tempfile
        >>> actor = Actor([np.eye(2)], [np.zeros(2)], np.zeros(2), np.ones(2), "logits", about={"env": "CartPole-v1"})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     read_actor(write_actor(actor, folder + "/policy.safetensors")).about["env"]
        'CartPole-v1'
    """
    path = Path(path)
    tensors = {f"layers.{i}.weight": w for i, w in enumerate(actor.weights)} | {
        f"layers.{i}.bias": b for i, b in enumerate(actor.biases)
    }
    tensors |= {"obs_mean": actor.mean, "obs_scale": actor.scale}
    if actor.log_std is not None:
        tensors["log_std"] = np.asarray(actor.log_std, np.float32)
    wrong = next((name for name, t in tensors.items() if not np.isfinite(t).all()), "")
    if wrong:
        raise DivergenceError(
            f"The policy's '{wrong}' has numbers that are not finite, so '{path}' was "
            "not written: lower the step sizes."
        )
    notes = {
        "activation": actor.activation,
        "head": actor.head,
        "obs_dim": str(len(actor.mean)),
        "obs_clip": str(actor.clip),
    }
    notes |= {"obs_layout": actor.layout} | {key: str(value) for key, value in actor.about.items()}
    if actor.task is not None:
        notes["task"] = json.dumps(to_json(actor.task))
    notes["sha256"] = files.UNSEALED

    def content(partial: Path) -> None:
        save_file(tensors, partial, notes)
        files.seal(partial)

    try:
        return files.write(path, content)
    except files.WriteError as error:
        raise ZeuxisError(
            f"The policy '{path}' could not be written ({error.reason}): give a writable "
            "place with room."
        ) from error


def read_actor(path: str | Path) -> Actor:
    """Reads a policy file; every part is checked.

    Raises:
        ZeuxisError: The file is missing, damaged, or no policy.
    """
    try:
        files.check_seal(files.require_regular(path))
        with safe_open(path, "np") as file:
            about = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys() if known(key)}  # noqa: SIM118
    except FileNotFoundError as error:
        raise ZeuxisError(f"There is no policy file '{path}': check the path.") from error
    except (
        OSError,
        SafetensorError,
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
    ) as error:  # the last of types NumPy does not have
        line = " ".join(str(error).split())
        raise ZeuxisError(
            f"'{path}' is damaged or no safetensors file ({line}): restore it from a copy."
        ) from error
    depth = sum(key.startswith("layers.") and key.endswith(".weight") for key in tensors)
    names = [f"layers.{i}.{part}" for i in range(depth) for part in ("weight", "bias")] + [
        "obs_mean",
        "obs_scale",
    ]
    missing = [name for name in names if name not in tensors] if depth else ["layers.0.weight"]
    if missing:
        raise ZeuxisError(
            f"'{path}' is no policy of zeuxis, since it has no '{missing[0]}': give a "
            "policy file or a run of a policy."
        )
    head, activation, clip = (about.get(key, "") for key in ("head", "activation", "obs_clip"))
    if head not in HEADS or activation not in ("tanh", "relu"):
        raise ZeuxisError(
            f"'{path}' has the head '{head}' and the activation '{activation}', expected "
            f"one of {', '.join(HEADS)} and tanh or relu."
        )
    checked(tensors, depth, path)
    try:
        limit = None if clip in ("", "None") else float(clip)
        if limit is not None and not 0 < limit < float("inf"):
            raise ValueError("not above 0")
    except ValueError as error:
        raise ZeuxisError(
            f"'{path}' has the obs_clip '{clip}', expected a number above 0 or None: "
            "restore it from a copy."
        ) from error
    layout = (
        "acrobot_angles" if about.get("obs_layout", "").startswith("acrobot_angles") else "first"
    )
    weights, biases = (
        [tensors[f"layers.{i}.{part}"] for i in range(depth)] for part in ("weight", "bias")
    )
    task = read_task(about.pop("task", ""), head in DISCRETE, len(biases[-1]), path)
    about = {
        key: value
        for key, value in about.items()
        if key not in ("activation", "head", "obs_dim", "obs_clip", "sha256")
    }
    log_std, mean, scale = tensors.get("log_std"), tensors["obs_mean"], tensors["obs_scale"]
    return Actor(
        weights, biases, mean, scale, head, activation, limit, log_std, layout, about, task=task
    )


def known(key: str) -> bool:
    """Whether a policy has a tensor of this name; others are not read."""
    return key in ("obs_mean", "obs_scale", "log_std") or key.startswith("layers.")


def checked(tensors: dict[str, np.ndarray], depth: int, path: str | Path) -> None:
    """Refuses layers that do not fit together, and numbers that are not finite, as float32 has
    them."""
    strange = next((key for key, t in tensors.items() if t.dtype.kind != "f"), "")
    if strange:
        raise ZeuxisError(
            f"'{path}' has '{strange}' of type {tensors[strange].dtype}, expected "
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
            f"'{path}' has layers that do not fit together, or numbers that are not "
            "finite: restore it from a copy."
        )
    if "log_std" in tensors and tensors["log_std"].shape != (sizes[-1],):
        found = f"{tensors['log_std'].shape} deviations for {sizes[-1]} numbers of an action"
        raise ZeuxisError(f"'{path}' has {found}: restore it from a copy.")
    if "log_std" in tensors and tensors["log_std"].max() > LARGEST_LOG:
        raise ZeuxisError(f"'{path}' has deviations that are not finite: restore it from a copy.")


def read_task(text: str, discrete: bool, actions: int, path: str | Path) -> Task | None:
    """The task that a policy file describes; None for files that do not."""
    if not text:
        return None
    where = f"The task of '{path}'"
    try:
        task = from_json(Task, json.loads(text), where)
    except (ValueError, RecursionError, TypeError) as error:
        raise ZeuxisError(f"{where} cannot be read ({error}): restore it from a copy.") from error
    finite = all(
        -LARGEST_BOUND < low <= high < LARGEST_BOUND
        for low, high in zip(task.low, task.high, strict=False)
    )
    sized = (len(task.low), len(task.high)) == ((0, 0) if discrete else (actions, actions))
    shaped = task.shape is None or (
        math.prod(task.shape) == actions and min(task.shape, default=1) > 0
    )
    typed = task.dtype in ("float16", "float32", "float64") and abs(task.start) < 2**62
    if (
        task.discrete != discrete
        or task.action != actions
        or not (finite and sized and shaped and typed)
    ):
        raise ZeuxisError(f"{where} does not fit its layers: restore it from a copy.")
    return task
