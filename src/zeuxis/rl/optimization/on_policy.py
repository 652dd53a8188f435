r"""On-policy training of a policy: collect trajectories, estimate advantages, update, save.

One iteration:

1. Collect whole trajectories with the current policy until there are enough steps.
2. Compute their rewards: the environment's (TRPO), those of a discriminator that knows the expert
   (GAIL), or with a bonus for what was learned about the environment (VIME).
3. Estimate the advantages of these rewards, standardized over the batch. With an entropy weight
   $\lambda$ each reward gets a sampled $-\lambda \log \pi(a|s)$ here, but not in the value
   function's targets.
4. Update the policy by one step of TRPO.
5. Update the running statistics of the observations. They change the policy outside of the trust
   region, so the batch that measures the update must not see the change.
6. Update whatever else is trained (the discriminator), then the value function.

The order is that of the code released with GAIL (Ho and Ermon 2016).

All randomness is a function of the seed and of the indices of iteration and trajectory. A run that
was killed and resumed ends bit for bit where an uninterrupted one ends, with any number of workers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from ...checkpoints.run_folder import Run
from ...device import setup_device
from ...training.session import require_count
from ..policies.policy import Policy, make_policy
from ..rollouts.collector import Collector
from ..rollouts.trajectory import Rollouts
from . import trpo
from .config import OnPolicyConfig, PolicyExperiment, cpu_cores
from .gae import advantages
from .numpy_mlp import Regression
from .policy_trainer import PolicyTrainer
from .trust_region import TrustRegionConfig
from .value_function import LinearValue, NetworkValue

T = TypeVar("T", bound="OnPolicyTrainer")


class OnPolicyTrainer(PolicyTrainer):
    """Trains a policy on its own trajectories; subclasses choose the rewards.

    Arguments:
        experiment: Environment and settings.
        run: Folder for saves and figures; None keeps nothing.
        quiet: Whether to print nothing.
    """

    advice: ClassVar[str] = (
        "lower the step sizes (--training.value-lr, --trust-region.delta), or scale the rewards"
    )
    default_training: ClassVar[OnPolicyConfig] = OnPolicyConfig()
    default_trust_region: ClassVar[TrustRegionConfig] = TrustRegionConfig()

    def __init__(
        self, experiment: PolicyExperiment, run: Run | None = None, quiet: bool = False
    ) -> None:
        t = self.training = experiment.training or self.default_training
        super().__init__(t, t.steps, t.log_every, run, quiet)
        self.env = experiment.env
        self.trust_region = experiment.trust_region or self.default_trust_region
        workers = cpu_cores() if t.workers < 0 else t.workers
        self.collector = Collector(self.env, workers, t.seed, t.horizon)
        self.task = self.collector.task
        self.device = setup_device(t.device, "fp32", t.threads).device
        policy = make_policy(self.task, t.hidden, t.activation, t.seed)
        policy.obs_rms.frozen = not t.normalize
        self.value = make_value(self.task.observation, self.task.horizon, t)
        self.parts = {"policy": policy, "value": self.value}
        if t.value == "adam":
            assert isinstance(self.value, NetworkValue)
            self.parts["regression"] = Regression(self.value.network, t.value_lr)
        self.trajectories = 0

    @property
    def policy(self) -> Policy:
        policy = self.parts["policy"]
        assert isinstance(policy, Policy)
        return policy

    def rewards(self, rollouts: Rollouts) -> np.ndarray:
        """Rewards that the policy maximizes, (N,)."""
        return rollouts.rewards

    def value_rewards(self, rollouts: Rollouts, rewards: np.ndarray) -> np.ndarray:
        """Rewards whose returns the value function predicts, after `update_auxiliary`, (N,)."""
        return rewards

    def update_auxiliary(self, rollouts: Rollouts) -> dict[str, float]:
        """Updates whatever is trained beside policy and value function; returns its figures."""
        return {}

    def train(self: T, steps: int | None = None) -> T:
        for part in self.parts.values():
            part.to(self.device)
        with self.collector:
            return super().train(steps)

    def iterate(self) -> dict[str, float]:
        """Makes one iteration and returns its figures."""
        t, policy = self.training, self.policy
        rollouts, episodes = self.collector.collect(
            policy.to_numpy(), steps=t.batch, first=self.trajectories
        )
        generator = torch.Generator().manual_seed(t.seed * 1_000_003 + self.iteration)
        x, actions = self.tensor(rollouts.observations), self.tensor(rollouts.actions)
        times = self.tensor(rollouts.times).float()

        rewards = self.rewards(rollouts)
        with torch.no_grad():
            outputs = policy(x)
            log_probs = policy.log_prob(outputs, actions).cpu().numpy()
            entropy = policy.entropy(outputs).mean().item()
        values = self.value.predict(x, times).cpu().numpy()
        bootstrap_values = self.bootstrap_values(rollouts)
        self.check_finite(
            {
                "policy's outputs": outputs,
                "rewards": rewards,
                "values": values,
                "values beyond the ends": bootstrap_values,
            }
        )
        with_entropy = rewards - t.entropy * log_probs if t.entropy else rewards
        raw = advantages(with_entropy, values, bootstrap_values, rollouts.lengths, t.gamma, t.lam)
        standardized = self.tensor((raw - raw.mean()) / (raw.std() + 1e-8)).float()
        update = trpo.update(policy, x, actions, standardized, self.trust_region, generator)

        policy.obs_rms.update(x)
        auxiliary = self.update_auxiliary(rollouts)
        if rewards is not rollouts.rewards:
            auxiliary = {"reward": float(rewards.mean())} | auxiliary
        value_rewards = self.value_rewards(rollouts, rewards)
        zeros = np.zeros(len(rollouts))
        returns = advantages(value_rewards, zeros, bootstrap_values, rollouts.lengths, t.gamma, 1.0)
        explained = 1 - (returns - values).var() / max(1e-12, returns.var())
        self.fit_value(x, times, self.tensor(returns).float(), generator)

        self.steps += len(rollouts)
        self.iteration += 1
        self.trajectories += episodes
        self.check_finite(self.state() | self.norms())
        return {
            "return": float(rollouts.returns.mean()),
            "length": float(rollouts.lengths.mean()),
            **update,
            "entropy": entropy,
            "explained": float(explained),
            **auxiliary,
            "episodes": float(episodes),
        }

    def tensor(self, array: np.ndarray) -> Tensor:
        """The array on the training's device."""
        return torch.from_numpy(array).to(self.device)

    def bootstrap_values(self, rollouts: Rollouts) -> np.ndarray:
        """V after each episode's last step, (E,).

        It is 0 where the episode terminated, or where a value function that reads the time knows
        the time limit.
        """
        lengths = rollouts.lengths
        values = self.value.predict(self.tensor(rollouts.finals), self.tensor(lengths).float())
        known = rollouts.terminated | ((lengths >= self.task.horizon) & self.value.timed)
        return np.where(known, 0.0, values.cpu().numpy().astype(np.float64))

    def fit_value(
        self, x: Tensor, times: Tensor, returns: Tensor, generator: torch.Generator
    ) -> None:
        """Fits the value function to discounted returns."""
        t, regression = self.training, self.parts.get("regression")
        if isinstance(self.value, LinearValue):
            self.value.fit(x, times, returns)
        elif isinstance(regression, Regression):
            self.value.fit_adam(
                regression, x, times, returns, t.value_epochs, t.value_batch, generator
            )
        else:
            n = max(1, round(self.trust_region.fraction * len(x)))
            rows = torch.randperm(len(x), generator=generator)[:n].to(x.device)
            config = replace(self.trust_region, delta=0.01, damping=0.1)
            self.value.fit_natural(x, times, returns, config, rows)

    def counters(self) -> dict[str, Any]:
        return super().counters() | {"trajectories": self.trajectories}

    def load_counters(self, metadata: dict[str, Any]) -> None:
        super().load_counters(metadata)
        self.trajectories = require_count(metadata, "trajectories")


def make_value(entries: int, horizon: int, config: OnPolicyConfig) -> NetworkValue | LinearValue:
    """Makes the value function that the settings ask for.

    Arguments:
        entries: Numbers of an observation.
        horizon: Longest episode (steps).
        config: Settings of the training.
    """
    c = config
    if c.value == "linear":
        return LinearValue(entries)
    return NetworkValue(entries, horizon, c.hidden, c.activation, c.timed, c.seed)


class TRPO(OnPolicyTrainer):
    """Trains a policy on the environment's rewards, by steps within a trust region.

    Example:
        >>> import pytest
        >>> _ = pytest.importorskip("gymnasium")
        >>> config = OnPolicyConfig(batch=500, workers=0)
        >>> agent = TRPO(PolicyExperiment("CartPole-v1", config), quiet=True).train(1000)
        >>> action, _ = agent.policy.predict(np.array([0.0, 0.0, 0.1, 0.0]), deterministic=True)
        >>> int(action) in (0, 1)
        True
    """

    name: ClassVar[str] = "trpo"
    paper: ClassVar[str] = "Schulman et al.: Trust Region Policy Optimization, 2015"
