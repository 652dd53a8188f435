r"""GAIL: a policy straight from demonstrations, without a reward and without first finding one.

Of all rewards under which the expert would be best, each regularized by a convex function, the
search for reward and policy together comes down to matching how often states and actions occur.
With the regularizer of the paper it is a game,

$$ \min_\pi \max_D \; \mathbb{E}_E[\log D(s, a)] + \mathbb{E}_\pi[\log(1 - D(s, a))] - \lambda H(\pi) , $$

in which a discriminator D tells the expert's pairs from the policy's and a policy learns, by steps
in a trust region, to pass for the expert. The discriminator's logit s becomes the policy's reward:
softplus(s), at least 0, wherever an episode that ends early has failed; -softplus(-s), at most 0,
where it has succeeded (MountainCar, Acrobot). This choice is information about the task beyond the
demonstrations; what was chosen is said, and `absorbing` takes the question away.

Order of an iteration, as in the code released with the paper: rollouts; rewards by the
discriminator as it is; the step of the policy; the statistics of its observations; one step of the
discriminator; the value function, on rewards by the new discriminator. (The paper's box moves the
discriminator first.) The discriminator takes one full-batch step, weak on purpose: told apart too
well, a policy learns nothing.

Source: Ho and Ermon, "Generative Adversarial Imitation Learning", 2016. Departures: the
discriminator sees actions as they were carried out, clipped, on both sides, and standardized inputs
are clipped at ten deviations; a cut episode is told from one that ended. Off by default: `cloned`
begins from behavioral cloning, which the paper's last section proposes, and `unseen`, which is not
the paper's, hides observed numbers such as a goal from the judge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ...checkpoints.run_folder import Run
from ...errors import UsageError
from ...model import Batch
from ...noise import Noise
from ...optim import factory as optimizers
from ..optimization.on_policy import Learner, OnPolicyConfig
from ..optimization.ppo import Proximal
from ..optimization.trust_region import TrustRegionConfig
from ..optimization.value_function import NetworkValue
from ..rollouts.collector import Rollouts
from .behavioral_cloning import BC, CloningConfig
from .demonstrations import Demonstrations
from .discriminator import Discriminator, GAILConfig, LinearJudge, Pairs, reward_of

PAPER = OnPolicyConfig(
    steps=25_000_000,
    batch=50_000,
    gamma=0.995,
    lam=0.97,
    hidden=(100, 100),
    value="natural",
    timed=True,
    normalize=True,
)  # appendix B of the paper and its code: 500 iterations of 50,000 pairs
REGION = TrustRegionConfig(fraction=0.1)
ENDS_WELL = ("MountainCar", "Acrobot")  # the paper's tasks in which the expert ends the episode


def check_config(c: GAILConfig) -> None:
    """Refuses settings that cannot work."""
    if c.judge != "discriminator" and (c.absorbing or c.penalty or c.reward == "logit"):
        raise UsageError(
            f"The linear rewards of {c.judge} have no absorbing states, gradient penalty "
            "or logits: leave these out."
        )


class GAIL(Learner):
    """Learns to act like an expert.

    Arguments:
        env: A Gymnasium id, or a function without arguments that makes an environment.
        demos: The expert's trajectories.
        config: Settings of the imitation.
        learning: Settings of the loop, by default the paper's.
        region: Settings of TRPO's steps.
        proximal: Settings of PPO's.
        run: Folder for saves and figures; None keeps nothing.
        quiet: Whether to print nothing.

    Example:
        >>> import pytest; _ = pytest.importorskip("gymnasium")
        >>> from zeuxis.rl.imitation.demonstrations import record
        >>> from zeuxis.rl.policies.numpy_policy import Actor
        >>> expert = Actor([np.array([[0, 0, -1, -1], [0, 0, 1, 1]])], [np.zeros(2)], np.zeros(4), np.ones(4), "logits")
        >>> demos = record(expert, "CartPole-v1", 1)
        >>> agent = GAIL("CartPole-v1", demos, learning=replace(PAPER, batch=300, workers=0), quiet=True).learn(600)
        >>> sorted(agent.figures)[:3]
        ['D', 'entropy', 'episodes']
    """

    name: ClassVar[str] = "gail"
    paper: ClassVar[str] = "Ho and Ermon: Generative Adversarial Imitation Learning, 2016"

    def __init__(
        self,
        env: str | Callable[[], Any],
        demos: Demonstrations,
        config: GAILConfig | None = None,
        learning: OnPolicyConfig | None = None,
        region: TrustRegionConfig | None = None,
        proximal: Proximal | None = None,
        run: Run | None = None,
        quiet: bool = False,
    ) -> None:
        self.config = config or GAILConfig()
        check_config(self.config)
        super().__init__(env, learning or PAPER, region or REGION, proximal, run, quiet)
        c, t = self.config, self.learning
        self.demos = demos.fit(self.task)
        observations, actions = self.demos.pairs(c.trajectories, c.every)
        self.sign, self.why = sign_for(c, self.task.name, self.demos)
        self.pairs = Pairs(self.task, c.absorbing, c.unseen)
        self.expert = self.pairs.rows(
            torch.from_numpy(observations), torch.from_numpy(self.task.from_env(actions))
        )
        self.judge = (
            Discriminator(c, self.pairs, t.seed)
            if c.judge == "discriminator"
            else LinearJudge(c.judge, self.pairs, self.sign)
        )
        r = self.demos.first(c.trajectories).rollouts if c.trajectories else self.demos.rollouts
        self.absorbed = round(
            float(((self.task.horizon - r.lengths) * r.terminated).sum()) / c.every
        )  # steps after the expert's ends
        self.parts["judge"] = self.judge
        if isinstance(self.judge, Discriminator):
            self.optimizers["judge"] = optimizers.make(self.judge.players()["discriminator"])
        seen = torch.from_numpy(observations)
        self.judge.seen.update(self.expert[:, : self.pairs.seen])
        self.policy.seen.update(seen)
        if isinstance(self.value, NetworkValue):
            self.value.seen.update(seen)

    def introduce(self) -> str:
        e, n = (
            self.expert,
            len(self.demos) if not self.config.trajectories else self.config.trajectories,
        )
        means = {
            "positive": "at least 0: going on pays",
            "negative": "at most 0: ending pays",
            "logit": "the logit itself, of either sign",
        }
        mean = float(self.demos.rollouts.returns[:n].mean())
        return (
            f"{len(e):,} pairs of {n} demonstrations (return {mean:.1f}) are imitated in "
            f"{self.task.name}. "
            f"Reward {means[self.sign]} ({self.why})."
        )

    def learn(self, steps: int | None = None) -> Learner:
        begun = self.iteration > 0 or (
            self.run is not None and self.run.path("state.safetensors").exists()
        )
        if self.config.cloned and not begun:
            self.clone()
        return super().learn(steps)

    def clone(self) -> None:
        """Gives the policy the network of a clone of the same pairs, and the deviation by which it
        misses those held out."""
        c, t = self.config, self.learning
        every = max(1, c.cloned // 20)
        config = CloningConfig(c.trajectories, c.every, c.cloned, hidden=t.hidden, activation=t.activation, validate_every=every,
                               horizon=t.horizon, seed=t.seed, threads=t.threads)  # fmt: skip
        clone = BC(self.env, self.demos, config, quiet=self.quiet).learn()
        self.policy.network.load_state_dict(clone.policy.network.state_dict())
        log_std = getattr(self.policy, "log_std", None)
        if (
            log_std is not None
            # a clone's own deviation is that on pairs it knows by heart: with it a policy would try
            # nothing
        ):
            with torch.no_grad():
                missed = clone.a[clone.held] - clone.policy(clone.x[clone.held])
                log_std.copy_(missed.square().mean(0).sqrt().clamp(1e-3, 1).log())

    def rows(self, rollouts: Rollouts) -> Tensor:
        """What the judge sees of rollouts."""
        device = self.machine.device
        return self.pairs.rows(
            torch.from_numpy(rollouts.observations).to(device),
            torch.from_numpy(rollouts.actions).to(device),
        )

    def rewards(self, rollouts: Rollouts) -> np.ndarray:
        rows = self.rows(rollouts)
        if isinstance(self.judge, LinearJudge):
            return self.judge.score(rows).cpu().numpy()
        found = reward_of(self.judge.score(rows), self.sign).cpu().numpy().astype(np.float64)
        if self.config.absorbing:
            after = reward_of(self.judge.score(self.pairs.absorbed(rows)), self.sign).item()
            ends, gamma = rollouts.starts + rollouts.lengths - 1, self.learning.gamma
            left = self.task.horizon - rollouts.lengths  # discounted from the last step on
            worth = left if gamma == 1 else gamma * (1 - gamma**left) / (1 - gamma)
            found[ends] += np.where(rollouts.terminated, after * worth, 0.0)
        return found

    def targets(self, rollouts: Rollouts, rewards: np.ndarray) -> np.ndarray:
        return self.rewards(rollouts)

    def also(self, rollouts: Rollouts) -> dict[str, float]:
        """The judge learns from this batch."""
        c, device = self.config, self.machine.device
        rows, expert = self.rows(rollouts), self.expert.to(device)
        generator = torch.Generator().manual_seed(
            (self.learning.seed + 7) * 1_000_003 + self.iteration
        )
        drawn = expert[torch.randint(len(expert), (len(rows),), generator=generator).to(device)]
        self.judge.seen.update(torch.cat([rows, drawn])[:, : self.pairs.seen])
        if isinstance(self.judge, LinearJudge):
            return self.judge.fit(rows, expert)
        ended = (
            int(((self.task.horizon - rollouts.lengths) * rollouts.terminated).sum())
            if c.absorbing
            else 0
        )
        # type: Any, dict[str, Tensor], int
        optimizer, logs, n = self.optimizers["judge"], {}, c.minibatch or len(rows)
        for i in range(c.updates):
            mine = rows if not (c.minibatch or ended) else self.some(rows, ended, n, generator)
            theirs = self.some(expert, self.absorbed if c.absorbing else 0, n, generator)
            y = torch.cat([torch.zeros(n), torch.ones(n)]).to(device)
            noise = Noise(
                self.learning.seed, self.iteration * c.updates + i, slice(0, n), n, device
            )
            batch = Batch(torch.cat([mine, theirs]), y, noise, self.steps)
            for _, loss in self.judge.play(batch):
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            logs = batch.logs
        return {name: value.item() for name, value in logs.items()}

    def some(self, rows: Tensor, absorbed: int, n: int, generator: torch.Generator) -> Tensor:
        """n rows drawn with replacement from these and from so many copies of the absorbing one."""
        chosen = torch.randint(len(rows) + absorbed, (n,), generator=generator).to(rows.device)
        return (
            torch.cat([rows, self.pairs.absorbed(rows)])[chosen.clamp_max(len(rows))]
            if absorbed
            else rows[chosen]
        )


def sign_for(c: GAILConfig, task: str, demos: Demonstrations) -> tuple[str, str]:
    """Which reward, and why."""
    if c.reward != "auto":
        return c.reward, "as asked for"
    if any(name in task for name in ENDS_WELL):
        return "negative", "the paper's choice for this task"
    ended = int(demos.rollouts.terminated.sum())
    if ended == len(demos):
        return (
            "negative",
            (
                f"all {ended} demonstrations end before the time limit; --gail.reward "
                "positive if that was their failing"
            ),
        )
    return "positive", f"{len(demos) - ended} of {len(demos)} demonstrations last to the time limit"


def modern(config: GAILConfig, learning: OnPolicyConfig) -> tuple[GAILConfig, OnPolicyConfig]:
    """What was found to help since: a gradient penalty, several small steps of the discriminator,
    and states after the end."""
    judged = replace(
        config,
        penalty=1.0,
        updates=5,
        minibatch=2_048,
        lr=3e-4,
        entropy=0.0,
        absorbing=config.judge == "discriminator",
    )
    return judged, replace(learning, batch=min(learning.batch, 4_000))
