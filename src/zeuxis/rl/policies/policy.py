r"""Policies: a network's outputs as the law of an action.

A box of actions has a Gaussian with the network's mean and a deviation $\sigma$ of its own for each
number, the same in every state; it is not squashed, the environment clips. Discrete actions have a
categorical law by logits. For each law this file has what a trust region needs: log-probabilities,
divergences (nats), and its Fisher information M as a function of the outputs,

$$ M_\text{Gauss} = \mathrm{diag}(1 / \sigma^2) \text{ for the mean}, \; 2 I \text{ for } \log \sigma; \qquad
   M_\text{categorical} = \mathrm{diag}(p) - p\, p^\top . $$

Observations are standardized by a running mean and deviation, which can be frozen and which are
saved with the policy. They change the policy outside of any trust region, so they are updated
between updates, never within one.

Sources: Schulman et al., "Trust Region Policy Optimization", 2015, appendix C; the layouts of the
code released with GAIL (Ho and Ermon 2016) and of rllab: tanh layers, the last layer's weights 0,
$\log \sigma = 0$ at first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...distributions.elementwise import HALF_LOG_TAU, normal, normal_kl
from ..environments.task import Task
from .mlp import MLP, Activation
from .numpy_policy import Actor, read_actor, write_actor
from .running_stats import Running


class Policy(nn.Module):
    """A policy that learns.

    Arguments:
        task: What it acts in.
        hidden: Units of each hidden layer.
        activation: Between them.
        seed: Fixes the first weights.
        clip: Largest standardized observation (deviations).

    Example:
        >>> policy = policy_for(Task("x", 3, 2, False, 10, (-1.0, -1.0), (1.0, 1.0)))
        >>> policy.predict(np.zeros(3, np.float32), deterministic=True)[0]
        array([0., 0.], dtype=float32)
    """

    head = ""

    def __init__(
        self,
        task: Task,
        hidden: Sequence[int] = (64, 64),
        activation: Activation = "tanh",
        seed: int = 0,
        clip: float = 10.0,
    ) -> None:
        super().__init__()
        self.task = task
        self.network = MLP(
            task.observation, hidden, task.action, activation, torch.Generator().manual_seed(seed)
        )
        self.seen = Running(task.observation, clip=clip)
        self.generator = np.random.default_rng(seed)

    def standardize(self, x: Float[Tensor, "n entries"]) -> Float[Tensor, "n entries"]:
        return self.seen.standardize(x)

    def forward(self, x: Float[Tensor, "n entries"]) -> Float[Tensor, "n outputs"]:
        return self.network(self.standardize(x))

    def log_prob(self, outputs: Tensor, actions: Tensor) -> Float[Tensor, " n"]:
        """Of the actions (nats)."""
        raise NotImplementedError

    def law(self, outputs: Tensor) -> Tensor:
        """The numbers that fix the law, detached from the weights: what `kl` compares with
        later."""
        raise NotImplementedError

    def kl(self, law: Tensor, outputs: Tensor) -> Float[Tensor, " n"]:
        """KL[an earlier law || the law now] (nats)."""
        raise NotImplementedError

    def entropy(self, outputs: Tensor) -> Float[Tensor, " n"]:
        """Of the law (nats)."""
        raise NotImplementedError

    def metric(self, outputs: Tensor, moved: Tensor) -> Tensor:
        """The Fisher information of the outputs times a change of them, row by row."""
        raise NotImplementedError

    def own_metric(self, n: int, direction: Tensor) -> Tensor:
        """The same, summed over n rows, for parameters beside the network's."""
        return direction.new_zeros(0)

    def actor(self) -> Actor:
        """The policy as plain arrays, as it is now."""
        layers = [(layer.weight, layer.bias) for layer in self.network.layers]
        weights, biases = (
            [p.detach().cpu().numpy().copy() for p in part] for part in zip(*layers, strict=True)
        )
        mean, scale = self.seen.arrays()
        clip = self.seen.clip if self.seen.count > 0 else None
        log_std = getattr(self, "log_std", None)
        std = None if log_std is None else log_std.detach().cpu().numpy().copy()
        about = {"env": self.task.name}
        return Actor(
            weights, biases, mean, scale, self.head, self.network.activation, clip, std, about=about
        ).fit(self.task)

    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Actions for one observation or a batch, as the environment takes them, in the form that
        Stable-Baselines3 gives.

        Arguments:
            observation: (entries,) or (n, entries).
            state: Passed through; these policies have no memory.
            episode_start: Not needed.
            deterministic: Whether to take the likeliest action instead of drawing one.
        """
        x = np.asarray(observation, np.float32)
        rows = torch.from_numpy(np.atleast_2d(x)).to(next(self.parameters()).device)
        with torch.no_grad():
            y = self(rows).cpu().numpy()
        if self.task.discrete:
            y = (y if deterministic else y + self.generator.gumbel(size=y.shape)).argmax(1)
        elif not deterministic:
            log_std = self.log_std
            assert isinstance(log_std, Tensor)
            y = y + np.exp(log_std.detach().cpu().numpy()) * self.generator.standard_normal(
                y.shape, np.float32
            )
        chosen = self.task.shaped(self.task.to_env(y))
        return (chosen if x.ndim > 1 else np.asarray(chosen[0])), state

    def save(self, path: str | Path, **about: str) -> Path:
        """Writes the policy file, which any NumPy program can act with."""
        actor = self.actor()
        actor.about |= {key: str(value) for key, value in about.items()}
        return write_actor(actor, path)


class GaussianPolicy(Policy):
    """Actions in a box."""

    head = "gaussian_mean"

    def __init__(
        self,
        task: Task,
        hidden: Sequence[int] = (64, 64),
        activation: Activation = "tanh",
        seed: int = 0,
        clip: float = 10.0,
    ) -> None:
        super().__init__(task, hidden, activation, seed, clip)
        self.log_std = nn.Parameter(torch.zeros(task.action))

    def log_prob(self, outputs: Tensor, actions: Tensor) -> Float[Tensor, " n"]:
        return normal(actions, outputs, self.log_std).sum(1)

    def law(self, outputs: Tensor) -> Tensor:
        return torch.cat([outputs, self.log_std.expand_as(outputs)], 1).detach().clone()

    def kl(self, law: Tensor, outputs: Tensor) -> Float[Tensor, " n"]:
        mean, log_std = law.chunk(2, 1)
        return normal_kl(mean, log_std, outputs, self.log_std).sum(1)

    def entropy(self, outputs: Tensor) -> Float[Tensor, " n"]:
        return (self.log_std.sum() + len(self.log_std) * (HALF_LOG_TAU + 0.5)).expand(len(outputs))

    def metric(self, outputs: Tensor, moved: Tensor) -> Tensor:
        return moved * torch.exp(-2 * self.log_std.detach())

    def own_metric(self, n: int, direction: Tensor) -> Tensor:
        return 2 * n * direction


class CategoricalPolicy(Policy):
    """One of several actions."""

    head = "logits"

    def log_prob(self, outputs: Tensor, actions: Tensor) -> Float[Tensor, " n"]:
        return outputs.log_softmax(1).gather(1, actions[:, None])[:, 0]

    def law(self, outputs: Tensor) -> Tensor:
        return outputs.log_softmax(1).detach()

    def kl(self, law: Tensor, outputs: Tensor) -> Float[Tensor, " n"]:
        return (law.exp() * (law - outputs.log_softmax(1))).sum(1)

    def entropy(self, outputs: Tensor) -> Float[Tensor, " n"]:
        law = outputs.log_softmax(1)
        return -(law.exp() * law).sum(1)

    def metric(self, outputs: Tensor, moved: Tensor) -> Tensor:
        p = outputs.softmax(1)
        return p * (moved - (p * moved).sum(1, keepdim=True))


def policy_for(
    task: Task, hidden: Sequence[int] = (64, 64), activation: Activation = "tanh", seed: int = 0
) -> Policy:
    """A new policy for the task's kind of actions."""
    return (CategoricalPolicy if task.discrete else GaussianPolicy)(task, hidden, activation, seed)


def load_policy(path: str | Path) -> Actor:
    """A policy to act with, from a policy file or the folder of a run."""
    path = Path(path)
    return read_actor(path / "policy.safetensors" if path.is_dir() else path)
