r"""Policies: networks whose outputs are the parameters of a distribution over actions.

A box of actions has a Gaussian: the network gives its mean, and each number has a standard
deviation $\sigma$ that does not depend on the state. The Gaussian is not squashed; the environment
clips. Discrete actions have a categorical distribution over logits. Both have what a trust region
needs: log-probabilities, KL divergences (nats), and the Fisher information M of their outputs,

$$ M_\text{Gauss} = \mathrm{diag}(1 / \sigma^2) \text{ for the mean}, \; 2 I \text{ for }
   \log \sigma; \qquad M_\text{categorical} = \mathrm{diag}(p) - p\, p^\top . $$

Observations are standardized by a running mean and deviation, which are saved with the policy.
They change the policy outside of any trust region, so they are updated between the policy's
updates, never within one.

Sources: Schulman et al., "Trust Region Policy Optimization", 2015, appendix C. Networks are those
of the code released with GAIL (Ho and Ermon 2016) and of rllab: tanh layers, a last layer of
weights 0, and $\log \sigma = 0$ at first.
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
from .numpy_policy import NumpyPolicy, predict_rows
from .policy_file import write_policy
from .running_stats import RunningMeanStd


class Policy(nn.Module):
    """Base class of trainable policies.

    Arguments:
        task: Task to act in.
        hidden: Units of each hidden layer.
        activation: Activation between the layers.
        seed: Seed of the first weights.
        clip: Largest absolute value of a standardized observation.

    Example:
        >>> policy = make_policy(Task("x", 3, 2, False, 10, (-1.0, -1.0), (1.0, 1.0)))
        >>> policy.predict(np.zeros(3, np.float32), deterministic=True)[0]
        array([0., 0.], dtype=float32)
    """

    head = ""  # meaning of the outputs, as in `numpy_policy`

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
        generator = torch.Generator().manual_seed(seed)
        self.network = MLP(task.observation, hidden, task.action, activation, generator)
        self.obs_rms = RunningMeanStd(task.observation, clip=clip)
        self.generator = np.random.default_rng(seed)

    def standardize(self, x: Float[Tensor, "n entries"]) -> Float[Tensor, "n entries"]:
        return self.obs_rms.standardize(x)

    def forward(self, x: Float[Tensor, "n entries"]) -> Float[Tensor, "n outputs"]:
        return self.network(self.standardize(x))

    def log_prob(self, outputs: Tensor, actions: Tensor) -> Float[Tensor, " n"]:
        """Log-probability of the actions (nats)."""
        raise NotImplementedError

    def distribution(self, outputs: Tensor) -> Tensor:
        """Parameters of the distribution, detached; `kl` compares later ones with them."""
        raise NotImplementedError

    def kl(self, old: Tensor, outputs: Tensor) -> Float[Tensor, " n"]:
        """KL[old distribution || current distribution] (nats)."""
        raise NotImplementedError

    def entropy(self, outputs: Tensor) -> Float[Tensor, " n"]:
        """Entropy of the distribution (nats)."""
        raise NotImplementedError

    def fisher_product(self, outputs: Tensor, tangent: Tensor) -> Tensor:
        """M times a change of the outputs, row by row."""
        raise NotImplementedError

    def log_std_fisher_product(self, n: int, direction: Tensor) -> Tensor:
        """The same for the parameters beside the network's, summed over n rows."""
        return direction.new_zeros(0)

    def to_numpy(self) -> NumpyPolicy:
        """Copies the policy to plain arrays, which workers act with."""
        layers = [(layer.weight, layer.bias) for layer in self.network.layers]
        weights, biases = (
            [p.detach().cpu().numpy().copy() for p in part] for part in zip(*layers, strict=True)
        )
        mean, scale = self.obs_rms.arrays()
        log_std = getattr(self, "log_std", None)
        policy = NumpyPolicy(
            weights,
            biases,
            mean,
            scale,
            self.head,
            self.network.activation,
            clip=self.obs_rms.clip if self.obs_rms.count > 0 else None,
            log_std=None if log_std is None else log_std.detach().cpu().numpy().copy(),
            metadata={"env": self.task.name},
        )
        return policy.bind(self.task)

    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Predicts actions as `NumpyPolicy.predict`, samples by default."""

        def choose(rows: np.ndarray) -> np.ndarray:
            x = torch.from_numpy(rows).to(next(self.parameters()).device)
            with torch.no_grad():
                outputs = self(x).cpu().numpy()
            return self.choose(outputs, deterministic)

        return predict_rows(choose, observation, self.task), state

    def choose(self, outputs: np.ndarray, deterministic: bool) -> np.ndarray:
        """Actions of a network, the mode or a sample, from its outputs."""
        raise NotImplementedError

    def save(self, path: str | Path, **metadata: str) -> Path:
        """Writes the policy file, which any program with NumPy can act with."""
        policy = self.to_numpy()
        policy.metadata |= {key: str(value) for key, value in metadata.items()}
        return write_policy(policy, path)


class GaussianPolicy(Policy):
    """A Gaussian over a box of actions."""

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

    def distribution(self, outputs: Tensor) -> Tensor:
        return torch.cat([outputs, self.log_std.expand_as(outputs)], 1).detach().clone()

    def kl(self, old: Tensor, outputs: Tensor) -> Float[Tensor, " n"]:
        mean, log_std = old.chunk(2, 1)
        return normal_kl(mean, log_std, outputs, self.log_std).sum(1)

    def entropy(self, outputs: Tensor) -> Float[Tensor, " n"]:
        return (self.log_std.sum() + len(self.log_std) * (HALF_LOG_TAU + 0.5)).expand(len(outputs))

    def fisher_product(self, outputs: Tensor, tangent: Tensor) -> Tensor:
        return tangent * torch.exp(-2 * self.log_std.detach())

    def log_std_fisher_product(self, n: int, direction: Tensor) -> Tensor:
        return 2 * n * direction

    def choose(self, outputs: np.ndarray, deterministic: bool) -> np.ndarray:
        if deterministic:
            return outputs
        std = np.exp(self.log_std.detach().cpu().numpy())
        return outputs + std * self.generator.standard_normal(outputs.shape, np.float32)


class CategoricalPolicy(Policy):
    """A categorical distribution over discrete actions."""

    head = "logits"

    def log_prob(self, outputs: Tensor, actions: Tensor) -> Float[Tensor, " n"]:
        return outputs.log_softmax(1).gather(1, actions[:, None])[:, 0]

    def distribution(self, outputs: Tensor) -> Tensor:
        return outputs.log_softmax(1).detach()

    def kl(self, old: Tensor, outputs: Tensor) -> Float[Tensor, " n"]:
        return (old.exp() * (old - outputs.log_softmax(1))).sum(1)

    def entropy(self, outputs: Tensor) -> Float[Tensor, " n"]:
        log_probs = outputs.log_softmax(1)
        return -(log_probs.exp() * log_probs).sum(1)

    def fisher_product(self, outputs: Tensor, tangent: Tensor) -> Tensor:
        p = outputs.softmax(1)
        return p * (tangent - (p * tangent).sum(1, keepdim=True))

    def choose(self, outputs: np.ndarray, deterministic: bool) -> np.ndarray:
        noise = 0.0 if deterministic else self.generator.gumbel(size=outputs.shape)
        return (outputs + noise).argmax(1)


def make_policy(
    task: Task, hidden: Sequence[int] = (64, 64), activation: Activation = "tanh", seed: int = 0
) -> Policy:
    """Makes a new policy for the task's kind of actions."""
    return (CategoricalPolicy if task.discrete else GaussianPolicy)(task, hidden, activation, seed)
