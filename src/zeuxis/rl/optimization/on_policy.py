r"""The loop that all policies are learned by: act, judge what was done, move the policy, save;
counted in environment steps.

One iteration:

1. whole trajectories by the current policy, until there are enough steps;
2. their rewards: the environment's (TRPO, PPO), or those of a discriminator that knows the expert
   (GAIL);
3. advantages of these rewards, standardized over the batch. With an entropy weight $\lambda$ a
   sampled $-\lambda \log \pi(a|s)$ is added to each reward here, and not to the value function's
   targets;
4. one step of TRPO, or the passes of PPO;
5. the running statistics of the observations take the batch in. They change the policy outside the
   trust region, so the batch that is to judge a step never feels it;
6. whatever else learns (the discriminator), and the value function.

The order is that of the code released with GAIL (Ho and Ermon 2016).

Randomness is a function of the seed and of the numbers of iteration and trajectory. What going on
needs is in one file, so that a run that was killed ends bit for bit where an unbroken one ends,
with any number of workers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ...checkpoints.run_folder import Run
from ...device import setup_device
from ...errors import DivergenceError, ZeuxisError
from ...optim import factory as optimizers
from ...ranges import (
    BaseConfig,
    Count,
    CountOrNone,
    Duration,
    Few,
    Portion,
    Positive,
    Seed,
    Share,
    Size,
    Threads,
    Weight,
    Workers,
)
from ...training.interrupts import interrupts
from ...training.metrics_log import MetricsLog, Track, tracker
from ..policies.mlp import Activation
from ..policies.policy import policy_for
from ..rollouts.collector import Engine, Rollouts
from ..rollouts.envpool import Pool
from . import ppo, trpo
from .gae import advantages
from .numpy_adam import Regression
from .ppo import Proximal
from .saves import (
    DAMAGED,
    count,
    duration,
    negative,
    norms,
    not_finite,
    restore_optimizer,
    resume_or_rewind,
)
from .trust_region import TrustRegionConfig
from .value_function import Fit, LinearValue, NetworkValue


@dataclass(frozen=True)
class OnPolicyConfig(BaseConfig, flags="--training."):
    """How long a policy learns, from how much at a time, and with what networks."""

    steps: Count = 1_000_000
    """Length of the training (environment steps)."""
    minutes: Duration = 0.0
    """Minutes after which it ends wherever it is; 0 sets no such limit."""
    batch: Portion = 5_000
    """Least steps of an iteration; whole trajectories are taken until there are as many."""
    horizon: CountOrNone = 0
    """Longest episode (steps); 0 takes the task's own limit."""
    optimizer: Literal["trpo", "ppo"] = "trpo"
    """What moves the policy."""
    gamma: Share = 0.99
    """Discount of a reward for each step it lies ahead."""
    lam: Share = 0.97
    """How far advantages look beyond the value function: 0 one step, 1 to the end."""
    entropy: Weight = 0.0
    """Weight of the policy's entropy, added to the rewards (nats)."""
    hidden: tuple[Size, ...] = (64, 64)
    """Units of each hidden layer of policy and value function."""
    activation: Activation = "tanh"
    """Between the layers."""
    normalize: bool = True
    """Standardize observations by their running mean and deviation."""
    value: Fit = "adam"
    """Value function: a network fitted by Adam or by natural-gradient steps, or the linear one of
    rllab."""
    timed: bool = False
    """Whether the value network reads the time; episodes cut off by the time limit are then worth 0
    beyond it."""
    value_lr: Positive = 1e-3
    """Adam's step size for the value function."""
    value_epochs: Few = 10
    """Adam's passes over a batch."""
    value_batch: Portion = 256
    """Steps of the environment in each step of Adam."""
    engine: Literal["workers", "envpool"] = "workers"
    """Who steps environments: worker processes, each with one, or EnvPool, many in one process, for
    the tasks that it has."""
    workers: Workers = -1
    """Processes that act, or EnvPool's threads: -1 one for each core, 0 acts in the learning
    process. Results do not depend on it."""
    threads: Threads = 0
    """CPU threads of the learning process; 0 takes all cores."""
    device: str = "cpu"
    """Where the networks learn: cpu or cuda. Acting is always done on the CPU."""
    seed: Seed = 0
    """Fixes first weights, episodes and all noise."""
    log_every: Count = 1
    """Iterations between reports."""
    save_minutes: Duration = 2.0
    """Minutes between saves; the run is saved at the end as well."""
    track: Track = ""
    """Send figures to tensorboard, wandb or trackio as well."""


class Learner:
    """A policy under way. TRPO and PPO learn from the environment's reward; subclasses say where
    else a reward comes from.

    Arguments:
        env: A Gymnasium id, or a function without arguments that makes an environment.
        learning: Settings of the loop.
        region: Settings of TRPO's steps.
        proximal: Settings of PPO's.
        run: Folder for saves and figures; None keeps nothing.
        quiet: Whether to print nothing.
    """

    name: ClassVar[str] = ""
    paper: ClassVar[str] = ""

    def __init__(
        self,
        env: str | Callable[[], Any],
        learning: OnPolicyConfig | None = None,
        region: TrustRegionConfig | None = None,
        proximal: Proximal | None = None,
        run: Run | None = None,
        quiet: bool = False,
    ) -> None:
        self.learning, self.region, self.proximal = (
            learning or OnPolicyConfig(),
            region or TrustRegionConfig(),
            proximal or Proximal(),
        )
        t = self.learning
        self.env, self.run, self.quiet = env, run, quiet
        cores = (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
        self.engine = (Pool if t.engine == "envpool" else Engine)(
            env, cores if t.workers < 0 else t.workers, t.seed, t.horizon
        )
        self.task = self.engine.task
        self.machine = setup_device(t.device, "fp32", t.threads)
        self.policy = policy_for(self.task, t.hidden, t.activation, t.seed)
        self.policy.seen.frozen = not t.normalize
        size = self.task.observation
        self.value: NetworkValue | LinearValue = (
            LinearValue(size)
            if t.value == "linear"
            else NetworkValue(size, self.task.horizon, t.hidden, t.activation, t.timed, t.seed)
        )
        self.parts: dict[str, nn.Module] = {"policy": self.policy, "value": self.value}
        if isinstance(self.value, NetworkValue) and t.value == "adam":
            self.parts["regression"] = Regression(self.value.network, t.value_lr)
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        if t.optimizer == "ppo":
            self.optimizers["policy"] = torch.optim.Adam(
                self.policy.parameters(), self.proximal.lr, eps=1e-5, fused=True
            )
        self.steps = self.iteration = self.trajectories = 0
        self.seconds, self.stopped = 0.0, False
        self.figures: dict[str, float] = {}

    def rewards(self, rollouts: Rollouts) -> np.ndarray:
        """What each step is worth to the learner, (N,)."""
        return rollouts.rewards

    def targets(self, rollouts: Rollouts, rewards: np.ndarray) -> np.ndarray:
        """Rewards that the value function is fitted to, after `also` has learned."""
        return rewards

    def introduce(self) -> str:
        """What is to be known before the training begins."""
        return ""

    def also(self, rollouts: Rollouts) -> dict[str, float]:
        """Whatever learns beside the policy and its value function; figures of it."""
        return {}

    def learn(self, steps: int | None = None) -> Learner:
        """Goes on for so many environment steps, or to the planned end, from the run's last save if
        it has one.

        Raises:
            DivergenceError: A weight is no longer a finite number.
            ZeuxisError: The environment failed or a worker died; what was saved is kept.
        """
        t = self.learning
        for part in self.parts.values():
            part.to(self.machine.device)
        if self.run is not None and self.iteration == 0:
            resume_or_rewind(self.run, self.restore)
        total = t.steps if steps is None else self.steps + steps
        report = MetricsLog(
            self.run,
            total,
            self.quiet,
            tracker(t.track, self.run, vars(t)) if self.run and t.track else None,
            "steps",
        )
        began, saved = time.monotonic() - self.seconds, time.monotonic()
        with interrupts() as stop, self.engine, report.open(self.steps):
            if self.introduce():
                report.say(self.introduce())
            while (
                self.steps < total
                and not stop.is_set()
                and not (t.minutes and time.monotonic() - began > 60 * t.minutes)
            ):
                at = time.monotonic()
                found = self.iterate()
                self.check()
                self.seconds = time.monotonic() - began
                self.figures = found | {
                    "steps/s": found.pop("taken") / (time.monotonic() - at),
                    "seconds": self.seconds,
                }
                report.advance(self.steps)
                if self.iteration % t.log_every == 0 or self.steps >= total:
                    report.figures(self.figures, self.steps)
                if time.monotonic() - saved > 60 * t.save_minutes:
                    self.save()
                    saved = time.monotonic()
            self.stopped = stop.is_set() and self.steps < total
        self.save()
        return self

    def iterate(self) -> dict[str, float]:
        """One iteration; its figures."""
        t, device = self.learning, self.machine.device
        rollouts, episodes = self.engine.collect(
            self.policy.actor(), steps=t.batch, first=self.trajectories
        )
        generator = torch.Generator().manual_seed(t.seed * 1_000_003 + self.iteration)
        x, times = (
            torch.from_numpy(rollouts.observations).to(device),
            torch.from_numpy(rollouts.times).float().to(device),
        )
        actions = torch.from_numpy(rollouts.actions).to(device)

        rewards = self.rewards(rollouts)
        with torch.no_grad():
            outputs = self.policy(x)
            chances, surprise = (
                self.policy.log_prob(outputs, actions).cpu().numpy(),
                self.policy.entropy(outputs).mean().item(),
            )
        values, beyond = self.value.predict(x, times).cpu().numpy(), self.beyond(rollouts)
        self.require_finite(
            {
                "policy's outputs": outputs,
                "rewards": rewards,
                "values": values,
                "values beyond the ends": beyond,
            }
        )
        bonus = rewards - t.entropy * chances if t.entropy else rewards
        raw = advantages(bonus, values, beyond, rollouts.lengths, t.gamma, t.lam)
        gained = torch.from_numpy((raw - raw.mean()) / (raw.std() + 1e-8)).float().to(device)

        if t.optimizer == "ppo":
            moved = ppo.improve(
                self.policy, self.optimizers["policy"], x, actions, gained, self.proximal, generator
            )
        else:
            moved = trpo.improve(self.policy, x, actions, gained, self.region, generator)
        self.policy.seen.update(x)
        also = self.also(rollouts)
        if rewards is not rollouts.rewards:
            also = {"reward": float(rewards.mean())} | also
        rewards = self.targets(rollouts, rewards)
        worth = advantages(rewards, np.zeros(len(rewards)), beyond, rollouts.lengths, t.gamma, 1.0)
        explained = 1 - (worth - values).var() / max(1e-12, worth.var())
        self.fit_value(x, times, torch.from_numpy(worth).float().to(device), generator)

        self.steps, self.iteration, self.trajectories = (
            self.steps + len(rollouts),
            self.iteration + 1,
            self.trajectories + episodes,
        )
        found = {
            "return": float(rollouts.returns.mean()),
            "length": float(rollouts.lengths.mean()),
        } | moved
        found |= {"entropy": surprise, "explained": float(explained)} | also
        return found | {"episodes": float(episodes), "taken": float(len(rollouts))}

    def beyond(self, rollouts: Rollouts) -> np.ndarray:
        """V after each episode's last step: 0 where it ended by itself, or where a value function
        that reads the time knows the end."""
        device, lengths = self.machine.device, rollouts.lengths
        finals, times = (
            torch.from_numpy(rollouts.finals).to(device),
            torch.from_numpy(lengths).float().to(device),
        )
        values = self.value.predict(finals, times).cpu().numpy().astype(np.float64)
        known = rollouts.terminated | ((lengths >= self.task.horizon) & self.value.timed)
        return np.where(known, 0.0, values)

    def fit_value(
        self, x: Tensor, times: Tensor, worth: Tensor, generator: torch.Generator
    ) -> None:
        """Fits the value function to discounted returns."""
        t = self.learning
        adam = self.parts.get("regression")
        if isinstance(self.value, LinearValue):
            self.value.fit(x, times, worth)
        elif isinstance(adam, Regression):
            self.value.fit_adam(adam, x, times, worth, t.value_epochs, t.value_batch, generator)
        else:
            few = max(1, round(self.region.fraction * len(x)))
            rows = torch.randperm(len(x), generator=generator)[:few].to(x.device)
            self.value.fit_natural(
                x, times, worth, replace(self.region, delta=0.01, damping=0.1), rows
            )

    def state(self) -> dict[str, Tensor]:
        """Everything that going on needs, by name."""
        tensors = {
            f"{name}.{key}": v
            for name, part in self.parts.items()
            for key, v in part.state_dict().items()
        }
        for name, optimizer in self.optimizers.items():
            tensors |= optimizers.state(optimizer, f"optimizer.{name}")
        return tensors

    def check(self) -> None:
        """Refuses to go on with numbers that are not finite: weights and their norms, statistics,
        replay, moments of optimizers."""
        self.require_finite(self.state() | norms(self.parts))

    def require_finite(self, values: Mapping[str, Tensor | np.ndarray]) -> None:
        """Refuses values that are not finite, and names what, when, and the save that is kept.

        Raises:
            DivergenceError: Some are not.
        """
        if wrong := not_finite(values):
            saved = self.run.saved_images() if self.run is not None else 0
            kept = f"the save of {saved:,} steps is kept" if saved else "nothing was saved before"
            raise DivergenceError(
                f"'{wrong}' is no longer finite in iteration {self.iteration + 1:,}, at "
                f"{self.steps:,} steps; {kept}: lower the step "
                "sizes (--training.value-lr, --ppo.lr, --region.delta), or scale the rewards."
            )

    def save(self) -> None:
        """Writes everything that going on needs in one file, then the policy by itself."""
        self.check()
        if self.run is None:
            return
        about = {
            "steps": self.steps,
            "iteration": self.iteration,
            "trajectories": self.trajectories,
            "seconds": self.seconds,
        }
        self.run.write_tensors("state.safetensors", self.state(), about)
        self.policy.save(
            self.run.path("policy.safetensors"), algorithm=self.name, steps=str(self.steps)
        )

    def restore(self, run: Run) -> None:
        """Goes on exactly where the last save was made."""
        tensors, about = run.read_tensors("state.safetensors")
        path = run.path("state.safetensors")
        if wrong := not_finite(tensors) or negative(tensors):
            raise ZeuxisError(
                f"'{path}' has numbers in '{wrong}' that are not finite or no counts: "
                "restore it from a copy."
            )
        try:
            for name, part in self.parts.items():
                part.load_state_dict(
                    {k[len(name) + 1 :]: v for k, v in tensors.items() if k.startswith(name + ".")}
                )
            for name, optimizer in self.optimizers.items():
                restore_optimizer(optimizer, f"optimizer.{name}", tensors)
            if extra := sorted(tensors.keys() ^ self.state().keys()):
                raise KeyError(extra[0])
            self.steps, self.iteration, self.trajectories = (
                count(about, key) for key in ("steps", "iteration", "trajectories")
            )
            self.seconds = duration(about)
        except DAMAGED as error:
            raise ZeuxisError(
                f"'{path}' was saved with other settings, or is damaged: resume with "
                "those in config.json."
            ) from error
        run.rewind(self.steps)


class TRPO(Learner):
    """Learns a policy from the environment's reward, by steps in a trust region.

    Example:
        >>> import pytest; _ = pytest.importorskip("gymnasium")
        >>> agent = TRPO("CartPole-v1", OnPolicyConfig(batch=500, workers=0), quiet=True).learn(1000)
        >>> action, _ = agent.policy.predict(np.array([0.0, 0.0, 0.1, 0.0]), deterministic=True)
        >>> int(action) in (0, 1)
        True
    """

    name: ClassVar[str] = "trpo"
    paper: ClassVar[str] = "Schulman et al.: Trust Region Policy Optimization, 2015"


class PPO(Learner):
    """Learns a policy from the environment's reward, by clipped steps."""

    name: ClassVar[str] = "ppo"
    paper: ClassVar[str] = "Schulman et al.: Proximal Policy Optimization Algorithms, 2017"

    def __init__(
        self, env: str | Callable[[], Any], learning: OnPolicyConfig | None = None, **more: Any
    ) -> None:
        super().__init__(env, replace(learning or OnPolicyConfig(), optimizer="ppo"), **more)
