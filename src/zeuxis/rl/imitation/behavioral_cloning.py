r"""Behavioral cloning: a policy by maximum likelihood of the expert's actions.

$$ \min_\theta \; \mathbb{E}_{(s, a) \sim E}[-\log \pi_\theta(a | s)] $$

It needs no environment, and is good with many demonstrations. With few, small errors lead to states
that the expert never saw, where nothing was learned. 70 % of the pairs train and 30 % validate; the
snapshot with the best validation is kept, by squared error of the mean action, or by likelihood
where actions are discrete.

Source: Pomerleau, "ALVINN", 1989; settings and selection of the code released with Ho and Ermon,
"Generative Adversarial Imitation Learning", 2016.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from ...checkpoints.run_folder import Run
from ...data.dataset import Spec
from ...device import setup_device
from ...errors import UsageError
from ...model import Batch, Model, Player
from ...noise import Noise
from ...ranges import (
    BatchSize,
    Count,
    CountOrNone,
    Positive,
    Range,
    Seed,
    Size,
)
from ...training.turns import take_turns
from ..environments.environment import task_of
from ..optimization.config import PolicyConfig, PolicyExperiment
from ..optimization.policy_trainer import PolicyTrainer
from ..policies.policy import Policy, make_policy
from .demonstrations import Demonstrations


@dataclass(frozen=True)
class CloningConfig(PolicyConfig, flags="--bc."):
    """Settings of behavioral cloning; the defaults are those of GAIL's baseline."""

    trajectories: CountOrNone = 0
    """Demonstrations to imitate; 0 takes all."""
    every: Count = 1
    """Keep one step in this many of each demonstration."""
    steps: Count = 20_000
    """Steps of Adam."""
    batch: BatchSize = 128
    """Pairs in each step, sampled with replacement."""
    lr: Positive = 1e-3
    """Step size."""
    hidden: tuple[Size, ...] = (100, 100)
    """Units of each hidden layer."""
    hold_out: Annotated[float, Range(0, 1, above=True, below=True)] = 0.3
    """Fraction of the pairs that validates."""
    validate_every: Count = 1_000
    """Steps between validations."""
    seed: Seed = 0
    """Seed of first weights, split and order."""


class BehavioralCloning(Model):
    """A policy as a model of pairs: its loss is -log pi(a|s).

    Arguments:
        config: Settings.
        policy: Policy to train.
    """

    Config: ClassVar[type] = CloningConfig
    paper: ClassVar[str] = "Pomerleau: ALVINN, 1989; as the baseline of Ho and Ermon 2016"

    def __init__(self, config: CloningConfig, policy: Policy) -> None:
        super().__init__(config, Spec(policy.task.name, (policy.task.observation,)))
        self.policy = policy

    def players(self) -> dict[str, Player]:
        return {"policy": Player(self.policy, self.config.lr)}

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        """One step on observations x and actions y."""
        assert batch.y is not None
        yield "policy", -self.policy.log_prob(self.policy(batch.x), batch.y).mean()


class BC(PolicyTrainer):
    """Clones an expert.

    Arguments:
        experiment: Environment, of which only the spaces are used, and a `CloningConfig`.
        demos: The expert's trajectories.
        run: Folder for saves and figures; None keeps nothing.
        quiet: Whether to print nothing.
    """

    name: ClassVar[str] = "bc"
    paper: ClassVar[str] = BehavioralCloning.paper
    advice: ClassVar[str] = "lower --bc.lr"

    def __init__(
        self,
        experiment: PolicyExperiment,
        demos: Demonstrations,
        run: Run | None = None,
        quiet: bool = False,
    ) -> None:
        c = experiment.config or CloningConfig()
        assert isinstance(c, CloningConfig)
        super().__init__(c, c.steps, c.validate_every, run, quiet)
        self.config = c
        setup_device("cpu", "fp32", c.threads)
        self.task = task_of(experiment.env, c.horizon)
        observations, actions = demos.bind(self.task).pairs(c.trajectories, c.every)
        if len(observations) < 2:
            raise UsageError(
                f"Cloning needs at least 2 pairs and {len(observations)} are left of "
                f"'{demos.name}': lower --bc.every."
            )
        self.observations = torch.from_numpy(observations)
        self.actions = torch.from_numpy(self.task.from_env(actions))
        n = len(self.observations)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(c.seed))
        held_out = min(n - 1, max(1, round(c.hold_out * n)))
        self.held_out, self.kept = order[:held_out], order[held_out:]
        newest = make_policy(self.task, c.hidden, c.activation, c.seed)
        newest.obs_rms.update(self.observations)
        newest.obs_rms.freeze()
        self.model, self.best = BehavioralCloning(c, newest), copy.deepcopy(newest)
        self.parts = {"newest": newest, "best": self.best}
        # Not fused, as in the records: fused Adam rounds differently.
        self.optimizers = {"policy": torch.optim.Adam(newest.parameters(), c.lr)}
        self.loss, self.score = torch.zeros(()), float("-inf")

    @property
    def policy(self) -> Policy:
        """The snapshot with the best validation."""
        return self.best

    def describe(self) -> str:
        if self.steps:
            return ""
        return f"{len(self.kept):,} pairs are cloned, {len(self.held_out):,} validate."

    def iterate(self) -> dict[str, float]:
        """Makes one step of Adam; returns figures where a validation is due."""
        c = self.config
        generator = torch.Generator().manual_seed(c.seed * 1_000_003 + self.steps)
        rows = self.kept[torch.randint(len(self.kept), (c.batch,), generator=generator)]
        noise = Noise(c.seed, self.steps, slice(0, c.batch), c.batch)
        batch = Batch(self.observations[rows], self.actions[rows], noise, self.steps)
        take_turns(self.model, [batch], self.optimizers, on_loss=self.check_loss)
        self.steps += 1
        self.iteration += 1
        if self.steps % c.validate_every == 0 or self.steps == self.end:
            return self.validate()
        return {}

    def check_loss(self, player: str, loss: Tensor) -> None:
        """Checks a loss before its gradient is taken."""
        self.check_finite({"loss": loss})
        self.loss = loss

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Scores the held-out pairs, and keeps the snapshot if it is the best so far."""
        newest, actions = self.model.policy, self.actions[self.held_out]
        outputs = newest(self.observations[self.held_out])
        log_prob = newest.log_prob(outputs, actions).mean().item()
        error = (outputs - actions).square().sum(1) if not self.task.discrete else None
        score = log_prob if error is None else -error.mean().item()
        if score > self.score:
            self.score = score
            self.best.load_state_dict(newest.state_dict())
        return {
            "loss": self.loss.item(),
            "held-out loss": -log_prob,
            "score": score,
            "best": self.score,
        }

    def counters(self) -> dict[str, Any]:
        return super().counters() | {"score": repr(self.score)}

    def load_counters(self, metadata: dict[str, Any]) -> None:
        super().load_counters(metadata)
        self.score = float(metadata["score"])
