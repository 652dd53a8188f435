r"""GAIL's discriminator: it distinguishes the policy's states and actions from the expert's.

It gives one logit s for each pair of state and action, trained to be high on the expert and low on
the policy:

$$ L = \mathbb{E}_\pi[\mathrm{softplus}(s)] + \mathbb{E}_E[\mathrm{softplus}(-s)]
   - \eta\,(\mathbb{E}_\pi[H(s)] + \mathbb{E}_E[H(s)]) , $$

with H the entropy of a Bernoulli variable of logit s. (The paper writes D for the probability of
being the *policy's*, and minimizes the cost log D; here as in the code released with it the expert
is 1. The entropy term, $\eta = 0.001$, is in the code but not in the paper.) Inputs are state and
action, standardized together. For discrete actions the input is the state alone, with one logit for
each action, and the logit of the action taken counts.

An absorbing state can stand for all steps after an episode's end, in the expert's and in the
policy's pairs, so that ending early is rewarded like everything else instead of with 0 by
definition.

Sources: Ho and Ermon, "Generative Adversarial Imitation Learning", 2016; Kostrikov et al.,
"Discriminator-Actor-Critic", 2019, for absorbing states and the gradient penalty (Gulrajani et al.
2017).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ...data.dataset import Spec
from ...errors import UsageError
from ...model import Batch, Model, Player
from ...ranges import (
    BaseConfig,
    BatchSizeOrNone,
    Count,
    CountOrNone,
    Positive,
    Size,
    SmallCount,
    Weight,
)
from ..environments.task import Task
from ..policies.mlp import MLP, Activation
from ..policies.running_stats import RunningMeanStd

Reward = Literal["auto", "positive", "negative", "logit"]


@dataclass(frozen=True)
class GAILConfig(BaseConfig, flags="--gail."):
    """Settings of imitation; the defaults are the paper's and those of its released code."""

    trajectories: CountOrNone = 0
    """Demonstrations to imitate; 0 takes all."""
    every: Count = 1
    """Keep one step in this many of each demonstration."""
    reward: Reward = "auto"
    """Reward from the logit s: softplus(s), at least 0; -softplus(-s), at most 0; or s itself. auto
    takes one of the first two by the task."""
    reward_model: Literal["discriminator", "fem", "gtal"] = "discriminator"
    """What rewards the policy: a discriminator, or linear features."""
    hidden: tuple[Size, ...] = (100, 100)
    """Units of each hidden layer of the discriminator."""
    activation: Activation = "tanh"
    """Activation between its layers."""
    lr: Positive = 0.01
    """Step size of Adam for the discriminator."""
    entropy: Weight = 0.001
    """Weight of the entropy of its predictions."""
    updates: SmallCount = 1
    """Updates of the discriminator per iteration."""
    minibatch: BatchSizeOrNone = 0
    """Pairs of each side in an update; 0 takes all of the policy's, and as many of the expert's,
    sampled with replacement."""
    penalty: Weight = 0.0
    """Weight of a gradient penalty, which holds the norm of the gradient at 1 between the expert's
    pairs and the policy's."""
    absorbing: bool = False
    """Reward what comes after an episode's end through an absorbing state."""
    hidden_dims: tuple[CountOrNone, ...] = ()
    """Observed numbers, counted from 0, that the discriminator does not see, such as a goal. With
    few demonstrations it memorizes their goals and gives no useful reward for others."""
    bc_steps: CountOrNone = 0
    """Steps of behavioral cloning before imitation, as the paper's last section proposes; 0 starts
    from random weights."""


class StateActionEncoder:
    """Encodes states and actions as the rows that a reward model sees.

    Arguments:
        task: Task of the pairs.
        absorbing: Whether a last column marks the absorbing state.
        hidden_dims: Observed numbers that are 0 in every row.

    Attributes:
        size: Columns of a row.
        standardized: Columns, the first ones, to standardize.

    Raises:
        UsageError: `hidden_dims` are not numbers of the observation, or all of them.
    """

    def __init__(
        self, task: Task, absorbing: bool = False, hidden_dims: tuple[int, ...] = ()
    ) -> None:
        if any(not 0 <= i < task.observation for i in hidden_dims):
            raise UsageError(
                f"--gail.hidden-dims names numbers from 0 to {task.observation - 1} of "
                f"{task.name}, got {list(hidden_dims)}."
            )
        if len(set(hidden_dims)) == task.observation:
            raise UsageError(
                f"--gail.hidden-dims hides all {task.observation} numbers of {task.name} from the "
                "discriminator: leave it some."
            )
        self.task, self.absorbing, self.hidden_dims = task, absorbing, list(hidden_dims)
        self.standardized = task.observation + (0 if task.discrete else task.action)
        self.size = task.observation + task.action + absorbing

    def rows(
        self, observations: Float[Tensor, "n entries"], actions: Tensor
    ) -> Float[Tensor, "n columns"]:
        """State and action side by side: boxes clipped to their bounds, classes one-hot."""
        if self.task.discrete:
            encoded = F.one_hot(actions, self.task.action).to(observations.dtype)
        else:
            low, high = (
                torch.tensor(bound, dtype=actions.dtype, device=actions.device)
                for bound in (self.task.low, self.task.high)
            )
            encoded = torch.minimum(torch.maximum(actions, low), high)
        if self.hidden_dims:
            observations = observations.clone()
            observations[:, self.hidden_dims] = 0
        not_absorbing = observations.new_zeros(len(observations), int(self.absorbing))
        return torch.cat([observations, encoded, not_absorbing], 1)

    def absorbing_row(self, like: Tensor) -> Float[Tensor, "1 columns"]:
        """The row of the absorbing state."""
        row = like.new_zeros(1, self.size)
        row[0, -1] = 1
        return row


class Discriminator(Model):
    """Distinguishes the expert's pairs from the policy's.

    Arguments:
        config: Settings.
        encoder: Makes the rows.
        seed: Seed of the first weights.

    Example:
        >>> encoder = StateActionEncoder(Task("x", 3, 2, False, 10, (-1.0, -1.0), (1.0, 1.0)))
        >>> discriminator = Discriminator(GAILConfig(), encoder)
        >>> discriminator.score(encoder.rows(torch.zeros(4, 3), torch.zeros(4, 2)))
        tensor([0., 0., 0., 0.])
    """

    Config: ClassVar[type] = GAILConfig
    paper: ClassVar[str] = "Ho and Ermon: Generative Adversarial Imitation Learning, 2016"

    def __init__(self, config: GAILConfig, encoder: StateActionEncoder, seed: int = 0) -> None:
        super().__init__(config, Spec(encoder.task.name, (encoder.size,)))
        self.encoder, task = encoder, encoder.task
        self.classes = task.action + encoder.absorbing if task.discrete else 0
        inputs = task.observation if task.discrete else encoder.size
        generator = torch.Generator().manual_seed(seed + 2)
        self.network = MLP(inputs, config.hidden, self.classes or 1, config.activation, generator)
        self.input_rms = RunningMeanStd(encoder.standardized, clip=10.0)

    def players(self) -> dict[str, Player]:
        return {"discriminator": Player(self.network, self.config.lr)}

    def inputs(self, rows: Float[Tensor, "n columns"]) -> Float[Tensor, "n columns"]:
        """Standardizes state and action; the absorbing state is at their mean."""
        k = self.encoder.standardized
        z = self.input_rms.standardize(rows[:, :k])
        if self.encoder.absorbing:
            z = z * (1 - rows[:, -1:])
        return torch.cat([z, rows[:, k:]], 1)

    def forward(self, z: Float[Tensor, "n columns"]) -> Float[Tensor, " n"]:
        """Logits of standardized rows."""
        if not self.classes:
            return self.network(z)[:, 0]
        k = self.encoder.standardized
        return (self.network(z[:, :k]) * z[:, k:]).sum(1)

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        """One update.

        Arguments:
            batch: Rows x, with label y = 1 for the expert's and 0 for the policy's.
        """
        assert batch.y is not None
        c, z = self.config, self.inputs(batch.x)
        s = self(z)
        policy, expert = s[batch.y == 0], s[batch.y == 1]
        loss = F.softplus(policy).mean() + F.softplus(-expert).mean()
        batch.logs |= {
            "D": loss.detach(),
            "policy seen": (policy < 0).float().mean(),
            "expert seen": (expert > 0).float().mean(),
        }
        loss = loss - c.entropy * (entropy_of(policy).mean() + entropy_of(expert).mean())
        if c.penalty:
            n = min(len(policy), len(expert))
            u = batch.noise.uniform(1)[:n]
            between = u * z[batch.y == 1][:n] + (1 - u) * z[batch.y == 0][:n]
            loss = loss + c.penalty * self.gradient_penalty(between)
        yield "discriminator", loss

    def gradient_penalty(self, z: Float[Tensor, "n columns"]) -> Tensor:
        """Mean squared distance of the gradient's norm from 1."""
        z = z.detach().requires_grad_()
        gradient = torch.autograd.grad(self(z).sum(), z, create_graph=True)[0]
        return (gradient.norm(dim=1) - 1).square().mean()

    @torch.no_grad()
    def score(self, rows: Float[Tensor, "n columns"]) -> Float[Tensor, " n"]:
        """Logits of raw rows, high where they look like the expert's."""
        return self(self.inputs(rows))


def entropy_of(s: Tensor) -> Tensor:
    """Entropy of Bernoulli variables of logits s (nats)."""
    return F.softplus(s) - s * torch.sigmoid(s)


def reward_of(s: Float[Tensor, " n"], kind: str) -> Float[Tensor, " n"]:
    """Converts logits to rewards, without the overflow of log(1 - D).

    Example:
        >>> s = torch.tensor([-100.0, 0.0, 100.0])
        >>> [round(r, 4) for r in reward_of(s, "positive").tolist()]
        [0.0, 0.6931, 100.0]
        >>> [round(r, 4) for r in reward_of(s, "negative").tolist()]
        [-100.0, -0.6931, -0.0]
    """
    if kind == "positive":
        return F.softplus(s)
    return -F.softplus(-s) if kind == "negative" else s
