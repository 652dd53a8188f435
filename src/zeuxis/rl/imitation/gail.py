r"""GAIL: a policy straight from demonstrations, without recovering a reward first.

Of all rewards under which the expert would be best, each regularized by a convex function, the
search for reward and policy together comes down to matching the occupancy of states and actions.
With the paper's regularizer it is a game,

$$ \min_\pi \max_D \; \mathbb{E}_E[\log D(s, a)] + \mathbb{E}_\pi[\log(1 - D(s, a))]
   - \lambda H(\pi) , $$

in which a discriminator D separates the expert's pairs from the policy's, and the policy learns by
steps in a trust region to look like the expert. The discriminator's logit s becomes the policy's
reward: softplus(s), at least 0, where an episode that ends early has failed; -softplus(-s), at most
0, where it has succeeded (MountainCar, Acrobot). This choice is information about the task beyond
the demonstrations. The training prints what was chosen; `absorbing` makes the choice unnecessary.

Order of an iteration, as in the released code: rollouts; rewards by the current discriminator;
update of the policy; statistics of its observations; update of the discriminator; value function,
on rewards by the new discriminator. (The paper's algorithm box updates the discriminator first.)
The discriminator takes one full-batch step, weak on purpose: where it separates the two too well,
a policy learns nothing.

Source: Ho and Ermon, "Generative Adversarial Imitation Learning", 2016. Departures: the
discriminator sees clipped actions on both sides, standardized inputs are clipped at ten deviations,
and truncated episodes are distinguished from terminated ones. Off by default: `bc_steps` starts
from behavioral cloning, as the paper's last section proposes, and `hidden_dims`, which is not the
paper's, hides observed numbers such as a goal from the discriminator.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ...checkpoints.run_folder import Run
from ...errors import UsageError
from ...model import Batch
from ...noise import Noise
from ...optim import factory
from ...training.turns import take_turns
from ..optimization.config import OnPolicyConfig, PolicyExperiment
from ..optimization.on_policy import OnPolicyTrainer
from ..optimization.trust_region import TrustRegionConfig
from ..optimization.value_function import NetworkValue
from ..policies.policy import GaussianPolicy
from ..rollouts.trajectory import Rollouts
from .apprenticeship import LinearReward
from .behavioral_cloning import BC, CloningConfig
from .demonstrations import Demonstrations
from .discriminator import Discriminator, GAILConfig, StateActionEncoder, reward_of

# Appendix B of the paper and its code: 500 iterations of 50,000 pairs.
PAPER_TRAINING = OnPolicyConfig(
    steps=25_000_000,
    batch=50_000,
    gamma=0.995,
    lam=0.97,
    hidden=(100, 100),
    value="natural",
    timed=True,
    normalize=True,
)
PAPER_TRUST_REGION = TrustRegionConfig(fraction=0.1)
ENDED_BY_EXPERT = ("MountainCar", "Acrobot")  # the paper's tasks where the expert ends the episode
REWARD_MEANING = {
    "positive": "at least 0: going on pays",
    "negative": "at most 0: ending pays",
    "logit": "the logit itself, of either sign",
}


class GAIL(OnPolicyTrainer):
    """Trains a policy to act like an expert.

    Arguments:
        experiment: Environment, settings (by default the paper's), and a `GAILConfig`.
        demos: The expert's trajectories.
        run: Folder for saves and figures; None keeps nothing.
        quiet: Whether to print nothing.

    Example:
        >>> import pytest
        >>> _ = pytest.importorskip("gymnasium")
        >>> from zeuxis.rl.imitation.demonstrations import record
        >>> from zeuxis.rl.policies.numpy_policy import linear_policy
        >>> expert = linear_policy(np.array([[0, 0, -1, -1], [0, 0, 1, 1]]))
        >>> demos = record(expert, "CartPole-v1", 1)
        >>> training = replace(PAPER_TRAINING, batch=300, workers=0)
        >>> agent = GAIL(PolicyExperiment("CartPole-v1", training), demos, quiet=True).train(600)
        >>> sorted(agent.figures)[:3]
        ['D', 'entropy', 'episodes']
    """

    name: ClassVar[str] = "gail"
    paper: ClassVar[str] = "Ho and Ermon: Generative Adversarial Imitation Learning, 2016"
    default_training: ClassVar[OnPolicyConfig] = PAPER_TRAINING
    default_trust_region: ClassVar[TrustRegionConfig] = PAPER_TRUST_REGION

    def __init__(
        self,
        experiment: PolicyExperiment,
        demos: Demonstrations,
        run: Run | None = None,
        quiet: bool = False,
    ) -> None:
        c = experiment.config or GAILConfig()
        assert isinstance(c, GAILConfig)
        check_config(c)
        super().__init__(experiment, run, quiet)
        self.config = c
        self.demos = demos.bind(self.task)
        observations, actions = self.demos.pairs(c.trajectories, c.every)
        self.sign, self.sign_reason = sign_for(c, self.task.name, self.demos)
        self.encoder = StateActionEncoder(self.task, c.absorbing, c.hidden_dims)
        x = torch.from_numpy(observations)
        self.expert = self.encoder.rows(x, torch.from_numpy(self.task.from_env(actions)))
        self.reward_model: Discriminator | LinearReward
        if c.reward_model == "discriminator":
            self.reward_model = Discriminator(c, self.encoder, self.training.seed)
            players = self.reward_model.players()
            self.optimizers = {name: factory.make(player) for name, player in players.items()}
        else:
            self.reward_model = LinearReward(c.reward_model, self.encoder, self.sign)
        self.parts["reward_model"] = self.reward_model
        self.absorbing_steps = self.count_absorbing_steps()
        self.reward_model.input_rms.update(self.expert[:, : self.encoder.standardized])
        self.policy.obs_rms.update(x)
        if isinstance(self.value, NetworkValue):
            self.value.obs_rms.update(x)

    def count_absorbing_steps(self) -> int:
        """Absorbing steps after the ends of the expert's episodes, subsampled as its pairs are."""
        c = self.config
        demos = self.demos.first(c.trajectories) if c.trajectories else self.demos
        r = demos.rollouts
        return round(float(((self.task.horizon - r.lengths) * r.terminated).sum()) / c.every)

    def describe(self) -> str:
        n = self.config.trajectories or len(self.demos)
        mean = float(self.demos.rollouts.returns[:n].mean())
        return (
            f"{len(self.expert):,} pairs of {n} demonstrations (return {mean:.1f}) are imitated "
            f"in {self.task.name}. Reward {REWARD_MEANING[self.sign]} ({self.sign_reason})."
        )

    def train(self, steps: int | None = None) -> GAIL:
        saved = self.run is not None and self.run.path("state.safetensors").exists()
        if self.config.bc_steps and not self.iteration and not saved:
            self.start_from_cloning()
        return super().train(steps)

    def start_from_cloning(self) -> None:
        """Starts from a clone's network, with the deviation of its errors on held-out pairs.

        The clone's own deviation is that on pairs it has memorized: too small to explore with.
        """
        c, t = self.config, self.training
        config = CloningConfig(
            trajectories=c.trajectories,
            every=c.every,
            steps=c.bc_steps,
            hidden=t.hidden,
            activation=t.activation,
            validate_every=max(1, c.bc_steps // 20),
            horizon=t.horizon,
            seed=t.seed,
            threads=t.threads,
        )
        clone = BC(PolicyExperiment(self.env, config=config), self.demos, quiet=self.quiet).train()
        policy = self.policy
        policy.network.load_state_dict(clone.policy.network.state_dict())
        if isinstance(policy, GaussianPolicy):
            with torch.no_grad():
                predicted = clone.policy(clone.observations[clone.held_out])
                error = clone.actions[clone.held_out] - predicted
                policy.log_std.copy_(error.square().mean(0).sqrt().clamp(1e-3, 1).log())

    def rows(self, rollouts: Rollouts) -> Tensor:
        """Rows of rollouts for the reward model."""
        return self.encoder.rows(self.tensor(rollouts.observations), self.tensor(rollouts.actions))

    def rewards(self, rollouts: Rollouts) -> np.ndarray:
        rows = self.rows(rollouts)
        if isinstance(self.reward_model, LinearReward):
            return self.reward_model.score(rows).cpu().numpy()
        rewards = reward_of(self.reward_model.score(rows), self.sign).cpu().numpy()
        rewards = rewards.astype(np.float64)
        if self.config.absorbing:
            ends = rollouts.starts + rollouts.lengths - 1
            rewards[ends] += self.absorbing_rewards(rollouts, rows)
        return rewards

    def absorbing_rewards(self, rollouts: Rollouts, rows: Tensor) -> np.ndarray:
        """Discounted rewards of the absorbing steps after each episode's end, (E,)."""
        assert isinstance(self.reward_model, Discriminator)
        score = self.reward_model.score(self.encoder.absorbing_row(rows))
        reward = reward_of(score, self.sign).item()
        gamma, left = self.training.gamma, self.task.horizon - rollouts.lengths
        weight = left if gamma == 1 else gamma * (1 - gamma**left) / (1 - gamma)
        return np.where(rollouts.terminated, reward * weight, 0.0)

    def value_rewards(self, rollouts: Rollouts, rewards: np.ndarray) -> np.ndarray:
        """Rewards by the updated reward model."""
        return self.rewards(rollouts)

    def update_auxiliary(self, rollouts: Rollouts) -> dict[str, float]:
        """Updates the reward model."""
        c, rows, expert = self.config, self.rows(rollouts), self.expert.to(self.device)
        generator = torch.Generator().manual_seed(
            (self.training.seed + 7) * 1_000_003 + self.iteration
        )
        index = torch.randint(len(expert), (len(rows),), generator=generator).to(self.device)
        both = torch.cat([rows, expert[index]])
        self.reward_model.input_rms.update(both[:, : self.encoder.standardized])
        if isinstance(self.reward_model, LinearReward):
            return self.reward_model.fit(rows, expert)
        absorbing, absorbing_expert = 0, 0
        if c.absorbing:
            left = (self.task.horizon - rollouts.lengths) * rollouts.terminated
            absorbing, absorbing_expert = int(left.sum()), self.absorbing_steps
        n, logs = c.minibatch or len(rows), {}
        for i in range(c.updates):
            policy_rows = rows
            if c.minibatch or absorbing:
                policy_rows = self.sample(rows, absorbing, n, generator)
            expert_rows = self.sample(expert, absorbing_expert, n, generator)
            x = torch.cat([policy_rows, expert_rows])
            y = torch.cat([torch.zeros(n), torch.ones(n)]).to(self.device)
            step = self.iteration * c.updates + i
            noise = Noise(self.training.seed, step, slice(0, n), n, self.device)
            batch = Batch(x, y, noise, self.steps)
            take_turns(self.reward_model, [batch], self.optimizers)
            logs = batch.logs
        return {name: value.item() for name, value in logs.items()}

    def sample(self, rows: Tensor, absorbing: int, n: int, generator: torch.Generator) -> Tensor:
        """Samples n rows with replacement.

        Arguments:
            rows: Rows to sample from.
            absorbing: Number of copies of the absorbing row that are added to them.
            n: Size of the sample.
            generator: Source of randomness.
        """
        index = torch.randint(len(rows) + absorbing, (n,), generator=generator).to(rows.device)
        if not absorbing:
            return rows[index]
        with_absorbing = torch.cat([rows, self.encoder.absorbing_row(rows)])
        return with_absorbing[index.clamp_max(len(rows))]


def check_config(c: GAILConfig) -> None:
    """Refuses settings that exclude each other."""
    if c.reward_model != "discriminator" and (c.absorbing or c.penalty or c.reward == "logit"):
        raise UsageError(
            f"The linear rewards of {c.reward_model} have no absorbing states, gradient penalty "
            "or logits: leave these out."
        )


def sign_for(c: GAILConfig, task: str, demos: Demonstrations) -> tuple[str, str]:
    """Chooses the reward; returns it with the reason."""
    if c.reward != "auto":
        return c.reward, "as asked for"
    if any(name in task for name in ENDED_BY_EXPERT):
        return "negative", "the paper's choice for this task"
    ended = int(demos.rollouts.terminated.sum())
    if ended == len(demos):
        return (
            "negative",
            f"all {ended} demonstrations end before the time limit; --gail.reward positive if "
            "that was their failing",
        )
    return "positive", f"{len(demos) - ended} of {len(demos)} demonstrations last to the time limit"


def modern(config: GAILConfig, training: OnPolicyConfig) -> tuple[GAILConfig, OnPolicyConfig]:
    """Applies improvements since the paper.

    They are a gradient penalty, several small updates of the discriminator, and absorbing states.
    """
    config = replace(
        config,
        penalty=1.0,
        updates=5,
        minibatch=2_048,
        lr=3e-4,
        entropy=0.0,
        absorbing=config.reward_model == "discriminator",
    )
    return config, replace(training, batch=min(training.batch, 4_000))
