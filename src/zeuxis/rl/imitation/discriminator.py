r"""Who tells an imitator from the expert: a discriminator (GAIL), or linear features
(apprenticeship learning).

**Discriminator.** One logit s for each pair of state and action, trained to be high on the expert
and low on the policy:

$$ L = \mathbb{E}_\pi[\mathrm{softplus}(s)] + \mathbb{E}_E[\mathrm{softplus}(-s)] - \eta\,(\mathbb{E}_\pi[H(s)] + \mathbb{E}_E[H(s)]) , $$

H the entropy of a coin of logit s. (The paper writes D for the chance of being the *policy's*, and
minimizes the cost log D; here as in the code released with it the expert is 1. The entropy term,
$\eta = 0.001$, is in the code and not in the paper.) Inputs are state and action, standardized
together; for discrete actions the state alone, with one logit for each action, of which the one
taken counts.

**FEM** and **GTAL** reward linearly in features $\phi = [z_o, z_a, (0.01 z_o)^2, (0.01 z_a)^2, 1]$
of the standardized pair. With $\Delta = \mathbb{E}_E[\phi] - \mathbb{E}_\pi[\phi]$ feature matching
takes $w = \Delta / \|\Delta\|_2$, and the game-theoretic variant puts all weight on the one feature
of $[\phi, -\phi]$ that the policy lacks most.

A state that nothing leaves, *absorbing*, can stand for all steps after an episode's end, in the
expert's and in the policy's pairs, so that ending early is judged like everything else instead of
being worth 0 by definition.

Sources: Ho and Ermon, "Generative Adversarial Imitation Learning", 2016; Abbeel and Ng 2004, Syed
and Schapire 2007 in the form of Ho, Gupta and Ermon, "Model-Free Imitation Learning with Policy
Optimization", 2016; Kostrikov et al., "Discriminator-Actor-Critic", 2019, for absorbing states and
the gradient penalty (Gulrajani et al. 2017).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...data.dataset import Spec
from ...errors import UsageError
from ...model import Batch, Model, Player
from ...ranges import BaseConfig, Count, CountOrNone, Few, PortionOrNone, Positive, Size, Weight
from ..environments.task import Task
from ..policies.mlp import MLP, Activation
from ..policies.running_stats import Running

Reward = Literal["auto", "positive", "negative", "logit"]


@dataclass(frozen=True)
class GAILConfig(BaseConfig, flags="--gail."):
    """Settings of an imitator; the defaults are the paper's and those of the code released with
    it."""

    trajectories: CountOrNone = 0
    """Demonstrations to imitate; 0 takes all there are."""
    every: Count = 1
    """Keep one step of so many of each demonstration."""
    reward: Reward = "auto"
    """softplus(s), at least 0; -softplus(-s), at most 0; or the logit s itself. auto takes one of
    the first two by the task."""
    judge: Literal["discriminator", "fem", "gtal"] = "discriminator"
    """Who tells policy and expert apart."""
    hidden: tuple[Size, ...] = (100, 100)
    """Units of each hidden layer of the discriminator."""
    activation: Activation = "tanh"
    """Between its layers."""
    lr: Positive = 0.01
    """Adam's step size for the discriminator."""
    entropy: Weight = 0.001
    """Weight of the entropy of its verdicts."""
    updates: Few = 1
    """Steps of the discriminator an iteration."""
    minibatch: PortionOrNone = 0
    """Pairs of each side in such a step; 0 takes all of the policy's, and as many of the expert's,
    drawn with replacement."""
    penalty: Weight = 0.0
    """Weight of a penalty that holds the norm of its gradient at 1 between the expert's pairs and
    the policy's."""
    absorbing: bool = False
    """Judge what comes after an episode's end as a state of its own."""
    unseen: tuple[CountOrNone, ...] = ()
    """Observed numbers, counted from 0, that no judge sees: what tells one demonstration from
    another and not how well is acted, such as a goal. With few demonstrations a judge knows theirs
    by heart and the reward says nothing elsewhere."""
    cloned: CountOrNone = 0
    """Steps of Adam by which the policy is first cloned from the same pairs, as the paper's last
    section proposes; 0 begins untaught."""


class Pairs:
    """How states and actions become the rows that a judge sees.

    Arguments:
        task: Whose.
        absorbing: Whether a column tells the state after the end.
        unseen: Observed numbers that are 0 in every row.
    """

    def __init__(self, task: Task, absorbing: bool = False, unseen: tuple[int, ...] = ()) -> None:
        if any(not 0 <= i < task.observation for i in unseen):
            raise UsageError(
                f"--gail.unseen names numbers from 0 to {task.observation - 1} of "
                f"{task.name}, got {list(unseen)}."
            )
        if len(set(unseen)) == task.observation:
            raise UsageError(
                f"--gail.unseen hides all {task.observation} numbers of {task.name} from "
                "the judge: leave it some."
            )
        self.task, self.absorbing, self.unseen = task, absorbing, list(unseen)
        self.seen = task.observation + (
            0 if task.discrete else task.action
        )  # columns that are standardized
        self.size = task.observation + task.action + absorbing

    def rows(
        self, observations: Float[Tensor, "n entries"], actions: Tensor
    ) -> Float[Tensor, "n columns"]:
        """State and action side by side: boxes clipped to their bounds, classes as one-hot, and a 0
        for not being absorbed."""
        if self.task.discrete:
            taken = F.one_hot(actions, self.task.action).to(observations.dtype)
        else:
            low, high = (
                torch.tensor(bound, dtype=actions.dtype, device=actions.device)
                for bound in (self.task.low, self.task.high)
            )
            taken = torch.minimum(torch.maximum(actions, low), high)
        if self.unseen:
            observations = observations.clone()
            observations[:, self.unseen] = 0
        last = observations.new_zeros(len(observations), int(self.absorbing))
        return torch.cat([observations, taken, last], 1)

    def absorbed(self, like: Tensor) -> Float[Tensor, "1 columns"]:
        """The row of the state that nothing leaves."""
        row = like.new_zeros(1, self.size)
        row[0, -1] = 1
        return row


class Discriminator(Model):
    """Tells the expert's pairs from the policy's.

    Example:
        >>> pairs = Pairs(Task("x", 3, 2, False, 10, (-1.0, -1.0), (1.0, 1.0)))
        >>> judge = Discriminator(GAILConfig(), pairs)
        >>> judge.score(pairs.rows(torch.zeros(4, 3), torch.zeros(4, 2)))
        tensor([0., 0., 0., 0.])
    """

    Config: ClassVar[type] = GAILConfig
    paper: ClassVar[str] = "Ho and Ermon: Generative Adversarial Imitation Learning, 2016"

    def __init__(self, config: GAILConfig, pairs: Pairs, seed: int = 0) -> None:
        super().__init__(config, Spec(pairs.task.name, (pairs.size,)))
        self.pairs, task = pairs, pairs.task
        self.classes = task.action + pairs.absorbing if task.discrete else 0
        inputs = task.observation if task.discrete else pairs.size
        generator = torch.Generator().manual_seed(seed + 2)
        self.network = MLP(inputs, config.hidden, self.classes or 1, config.activation, generator)
        self.seen = Running(pairs.seen, clip=10.0)

    def players(self) -> dict[str, Player]:
        return {"discriminator": Player(self.network, self.config.lr)}

    def inputs(self, rows: Float[Tensor, "n columns"]) -> Float[Tensor, "n columns"]:
        """Rows with state and action standardized; the absorbing state is at their mean."""
        k = self.pairs.seen
        z = self.seen.standardize(rows[:, :k])
        if self.pairs.absorbing:
            z = z * (1 - rows[:, -1:])
        return torch.cat([z, rows[:, k:]], 1)

    def forward(self, z: Float[Tensor, "n columns"]) -> Float[Tensor, " n"]:
        """Logits of standardized rows."""
        if not self.classes:
            return self.network(z)[:, 0]
        k = self.pairs.seen
        return (self.network(z[:, :k]) * z[:, k:]).sum(1)

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        """One step on rows x, of which those with label 1 are the expert's and those with label 0
        the policy's."""
        assert batch.y is not None
        c, z = self.config, self.inputs(batch.x)
        s = self(z)
        policy, expert = s[batch.y == 0], s[batch.y == 1]
        loss = F.softplus(policy).mean() + F.softplus(-expert).mean()
        entropy = lambda s: F.softplus(s) - s * torch.sigmoid(s)  # noqa: E731
        batch.logs |= {
            "D": loss.detach(),
            "policy seen": (policy < 0).float().mean(),
            "expert seen": (expert > 0).float().mean(),
        }
        loss = loss - c.entropy * (entropy(policy).mean() + entropy(expert).mean())
        if c.penalty:
            n = min(len(policy), len(expert))
            u = batch.noise.uniform(1)[:n]
            between = (
                (u * z[batch.y == 1][:n] + (1 - u) * z[batch.y == 0][:n]).detach().requires_grad_()
            )
            slope = torch.autograd.grad(self(between).sum(), between, create_graph=True)[0]
            loss = loss + c.penalty * (slope.norm(dim=1) - 1).square().mean()
        yield "discriminator", loss

    @torch.no_grad()
    def score(self, rows: Float[Tensor, "n columns"]) -> Float[Tensor, " n"]:
        """Logits of raw rows: high where they look like the expert's."""
        return self(self.inputs(rows))


def reward_of(s: Float[Tensor, " n"], kind: str) -> Float[Tensor, " n"]:
    """A reward from logits, without the overflow that log(1 - D) has.

    Example:
        >>> s = torch.tensor([-100.0, 0.0, 100.0])
        >>> [[round(r, 4) for r in reward_of(s, kind).tolist()] for kind in ("positive", "negative")]
        [[0.0, 0.6931, 100.0], [-100.0, -0.6931, -0.0]]
    """
    return {"positive": F.softplus, "negative": lambda s: -F.softplus(-s), "logit": lambda s: s}[
        kind
    ](s)


class LinearJudge(nn.Module):
    """Rewards linearly in features, by what the policy lacks.

    Arguments:
        kind: "fem" or "gtal".
        pairs: How rows are made.
        sign: "positive" shifts rewards to at least 0, anything else to at most 0.
    """

    weights: Tensor
    bound: Tensor

    def __init__(self, kind: str, pairs: Pairs, sign: str) -> None:
        super().__init__()
        self.kind, self.pairs, self.sign = kind, pairs, sign
        self.seen = Running(pairs.seen, clip=10.0)
        size = pairs.seen * 2 * (pairs.task.action if pairs.task.discrete else 1) + 1
        self.register_buffer(
            "weights", torch.zeros(2 * size if kind == "gtal" else size, dtype=torch.float64)
        )
        self.register_buffer("bound", torch.zeros((), dtype=torch.float64))

    def features(self, rows: Float[Tensor, "n columns"]) -> Float[Tensor, "n features"]:
        """Of raw rows, float64; for discrete actions a block of its own for each."""
        k = self.pairs.seen
        z = self.seen.standardize(rows[:, :k]).double()
        f = torch.cat([z, (0.01 * z).square()], 1)
        if self.pairs.task.discrete:
            f = (rows[:, k:].double()[:, :, None] * f[:, None]).flatten(1)
        f = torch.cat([f, torch.ones_like(f[:, :1])], 1)
        return torch.cat([f, -f], 1) if self.kind == "gtal" else f

    @torch.no_grad()
    def score(self, rows: Float[Tensor, "n columns"]) -> Float[Tensor, " n"]:
        """Rewards, shifted by the greatest shift that was ever needed to keep their sign."""
        raw = self.features(rows) @ self.weights / len(self.weights)
        self.bound.copy_(
            torch.minimum(self.bound, raw.min())
            if self.sign == "positive"
            else torch.maximum(self.bound, raw.max())
        )
        return (raw - self.bound).to(rows.dtype)

    @torch.no_grad()
    def fit(
        self, policy: Float[Tensor, "n columns"], expert: Float[Tensor, "m columns"]
    ) -> dict[str, float]:
        """Takes the weights that tell the two apart best."""
        lack = self.features(expert).mean(0) - self.features(policy).mean(0)
        if self.kind == "fem":
            self.weights.copy_(lack / lack.norm().clamp_min(1e-12))
        else:
            self.weights.zero_()
            self.weights[lack.argmax()] = 1
        return {"lack": lack.norm().item()}
