r"""A policy as plain arrays: what a worker process acts with, and the file in which policies are shared.

A policy is a multilayer perceptron over standardised observations,

$$ z_0 = (x_{1:d} - m) \odot s, \qquad z_{i+1} = \phi(W_i z_i + b_i), \qquad y = W_L z_L + b_L , $$

with $z_0$ clipped to $\pm c$ where the file says so. Its *head* says what y is: the mean of a Gaussian over actions (`gaussian_mean`, of
deviation $e^{\ell}$ where `log_std` $\ell$ is stored), one squashed by tanh and scaled to the bounds of the actions
(`tanh_gaussian_mean`), log-probabilities of discrete actions up to a constant (`logits`), or their values (`q_values`).

The file is safetensors, no pickle: `layers.i.weight`, `layers.i.bias`, `obs_mean` m, `obs_scale` s, perhaps `log_std`; the metadata
hold `activation`, `head`, `obs_dim` d, `obs_clip` c or "None", `obs_layout` ("acrobot_angles" turns sines and cosines back into
angles; anything else reads the first d entries), `env`, and whatever else is to be told.

Nothing here needs PyTorch, so that a worker starts in a fraction of a second and acts in a few microseconds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..errors import UsageError, ZeuxisError

if TYPE_CHECKING:
    from .envs import Task

HEADS = ("gaussian_mean", "tanh_gaussian_mean", "logits", "q_values")
DISCRETE = ("logits", "q_values")


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
        clip: Largest standardised observation, None for none.
        log_std: Logarithm of the deviation of each action (a,), None for a policy that always takes its mean.
        layout: "first" entries of the observation, or "acrobot_angles".
        about: Where it comes from.

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

    def __post_init__(self) -> None:
        self.weights = [np.ascontiguousarray(w, np.float32) for w in self.weights]
        self.biases = [np.ascontiguousarray(b, np.float32) for b in self.biases]
        self.mean, self.scale = (np.asarray(v, np.float32) for v in (self.mean, self.scale))
        self.std = None if self.log_std is None else np.exp(self.log_std).astype(np.float32)
        self.buffers = [np.empty(len(b), np.float32) for b in self.biases]
        self.entry = np.empty(len(self.mean), np.float32)

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
            noise: Standard normal numbers (a,), or for discrete actions standard Gumbel numbers (classes,).
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
        self, observation: np.ndarray, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """Actions for one observation or a batch, in the form that Stable-Baselines3 gives; nothing is clipped."""
        rows = np.atleast_2d(np.asarray(observation, np.float32))
        draw = np.random.default_rng().gumbel if self.discrete else np.random.default_rng().standard_normal
        found = np.array([self.choose(x, None if deterministic else draw(size=self.actions)) for x in rows])
        return (found if np.ndim(observation) > 1 else np.asarray(found[0])), state

    def fit(self, task: Task) -> Actor:
        """Itself, ready for a task; an error says why it cannot act there."""
        needed = 6 if self.layout == "acrobot_angles" else len(self.mean)
        if task.observation < needed or (self.layout == "acrobot_angles" and len(self.mean) != 4):
            raise UsageError(
                f"The policy reads {needed} numbers of an observation and '{task.name}' gives {task.observation}: "
                f"take a policy for this task, or the task it is for ({self.about.get('env', 'not said')})."
            )
        if self.discrete != task.discrete or self.actions != task.action:
            kind = lambda discrete, n: f"one of {n} actions" if discrete else f"{n} numbers"  # noqa: E731
            raise UsageError(
                f"The policy gives {kind(self.discrete, self.actions)} and '{task.name}' takes {kind(task.discrete, task.action)}: "
                f"take a policy for this task, or the task it is for ({self.about.get('env', 'not said')})."
            )
        if not task.discrete:
            self.low, self.high = np.array(task.low, np.float32), np.array(task.high, np.float32)
        return self


def write_actor(actor: Actor, path: str | Path) -> Path:
    """Writes a policy file, whole or not at all.

    Example:
        >>> import tempfile
        >>> actor = Actor([np.eye(2)], [np.zeros(2)], np.zeros(2), np.ones(2), "logits", about={"env": "CartPole-v1"})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     read_actor(write_actor(actor, folder + "/policy.safetensors")).about["env"]
        'CartPole-v1'
    """
    path = Path(path)
    tensors = {f"layers.{i}.weight": w for i, w in enumerate(actor.weights)} | {f"layers.{i}.bias": b for i, b in enumerate(actor.biases)}
    tensors |= {"obs_mean": actor.mean, "obs_scale": actor.scale}
    if actor.log_std is not None:
        tensors["log_std"] = np.asarray(actor.log_std, np.float32)
    told = {"activation": actor.activation, "head": actor.head, "obs_dim": str(len(actor.mean)), "obs_clip": str(actor.clip)}
    told |= {"obs_layout": actor.layout} | {key: str(value) for key, value in actor.about.items()}
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial, told)
        partial.chmod(0o644)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise ZeuxisError(f"The policy '{path}' could not be written ({error}): give a writable place with room.") from error
    return path


def read_actor(path: str | Path) -> Actor:
    """Reads a policy file; every part is checked.

    Raises:
        ZeuxisError: The file is missing, damaged, or no policy.
    """
    try:
        with safe_open(path, "np") as file:
            about = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise ZeuxisError(f"There is no policy file '{path}': check the path.") from error
    except (OSError, SafetensorError) as error:
        raise ZeuxisError(f"'{path}' is damaged or no safetensors file ({error}): restore it from a copy.") from error
    depth = sum(key.endswith(".weight") for key in tensors)
    names = [f"layers.{i}.{part}" for i in range(depth) for part in ("weight", "bias")] + ["obs_mean", "obs_scale"]
    missing = [name for name in names if name not in tensors] if depth else ["layers.0.weight"]
    if missing:
        raise ZeuxisError(f"'{path}' is no policy of zeuxis, since it has no '{missing[0]}': give a policy file or a run of a policy.")
    head, activation, clip = (about.get(key, "") for key in ("head", "activation", "obs_clip"))
    if head not in HEADS or activation not in ("tanh", "relu"):
        raise ZeuxisError(
            f"'{path}' has the head '{head}' and the activation '{activation}', expected one of {', '.join(HEADS)} and tanh or relu."
        )
    weights, biases = ([tensors[f"layers.{i}.{part}"] for i in range(depth)] for part in ("weight", "bias"))
    sizes = [len(tensors["obs_mean"]), *(len(b) for b in biases)]
    fits = all(w.shape == (sizes[i + 1], sizes[i]) for i, w in enumerate(weights)) and tensors["obs_scale"].shape == (sizes[0],)
    if not fits or not all(np.isfinite(t).all() for t in tensors.values()):
        raise ZeuxisError(f"'{path}' has layers that do not fit together, or numbers that are not finite: restore it from a copy.")
    if "log_std" in tensors and tensors["log_std"].shape != (sizes[-1],):
        found = f"{tensors['log_std'].shape} deviations for {sizes[-1]} numbers of an action"
        raise ZeuxisError(f"'{path}' has {found}: restore it from a copy.")
    try:
        limit = None if clip in ("", "None") else float(clip)
    except ValueError as error:
        raise ZeuxisError(f"'{path}' has the obs_clip '{clip}', expected a number or None: restore it from a copy.") from error
    layout = "acrobot_angles" if about.get("obs_layout", "").startswith("acrobot_angles") else "first"
    about = {key: value for key, value in about.items() if key not in ("activation", "head", "obs_dim", "obs_clip")}
    return Actor(
        weights, biases, tensors["obs_mean"], tensors["obs_scale"], head, activation, limit, tensors.get("log_std"), layout, about
    )
