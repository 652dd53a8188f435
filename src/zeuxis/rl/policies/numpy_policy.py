r"""Policies as plain NumPy arrays, which worker processes act with.

A policy is a multilayer perceptron over standardized observations,

$$ z_0 = (x_{1:d} - m) \odot s, \qquad z_{i+1} = \phi(W_i z_i + b_i), \qquad y = W_L z_L + b_L , $$

with $z_0$ optionally clipped to $\pm c$. Its *head* says what y is:

- `gaussian_mean`: the mean of a Gaussian, of deviation $e^{\ell}$ where `log_std` $\ell$ is stored;
- `tanh_gaussian_mean`: the same, squashed by tanh and scaled to the bounds of the actions;
- `logits`: log-probabilities of discrete actions up to a constant;
- `q_values`: values of discrete actions.

`policy_file` reads and writes them.

Nothing here needs PyTorch, so that a worker starts in a fraction of a second and acts within a few
microseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import UsageError
from ..environments.task import Task

HEADS = ("gaussian_mean", "tanh_gaussian_mean", "logits", "q_values")
DISCRETE = ("logits", "q_values")


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
        rng = np.random.default_rng()
        draw = rng.gumbel if self.discrete else rng.standard_normal

        def choose(rows: np.ndarray) -> np.ndarray:
            noise = (None if deterministic else draw(size=self.actions) for _ in rows)
            return np.array([self.act(*pair) for pair in zip(rows, noise, strict=True)])

        return predict_rows(choose, observation, self.task), state

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


def predict_rows(
    choose: Callable[[np.ndarray], np.ndarray], observation: np.ndarray, task: Task | None
) -> np.ndarray:
    """Actions of one observation or of several, as the environment takes them.

    Arguments:
        choose: Maps rows of observations (n, entries) float32 to the network's actions, (n,)
            classes or (n, action).
        observation: (entries,) or (n, entries).
        task: Task to act in; None leaves the actions as they are.
    """
    actions = choose(np.atleast_2d(np.asarray(observation, np.float32)))
    if task is not None:
        actions = task.shaped(task.to_env(actions))
    return actions if np.ndim(observation) > 1 else np.asarray(actions[0])


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
