"""Settings of a policy's training, and the experiment that joins them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...ranges import (
    BaseConfig,
    BatchSize,
    Count,
    CountOrNone,
    Duration,
    Fraction,
    Positive,
    Seed,
    Size,
    SmallCount,
    Threads,
    Weight,
    Workers,
)
from ...training.metrics_log import Track
from ..policies.mlp import Activation
from .trust_region import TrustRegionConfig
from .value_function import Fit


@dataclass(frozen=True)
class PolicyConfig(BaseConfig):
    """Settings that every training of a policy has: its length, network, seed and saves."""

    steps: Count = 1_000_000
    """Length of the training (environment steps)."""
    minutes: Duration = 0.0
    """Minutes after which the training ends; 0 sets no limit."""
    horizon: CountOrNone = 0
    """Longest episode (steps); 0 takes the task's limit."""
    hidden: tuple[Size, ...] = (64, 64)
    """Units of each hidden layer."""
    activation: Activation = "tanh"
    """Activation between the layers."""
    seed: Seed = 0
    """Seed of first weights, episodes and noise."""
    threads: Threads = 0
    """CPU threads of the training process; 0 takes all cores."""
    save_minutes: Duration = 2.0
    """Minutes between saves; the run is saved at the end as well."""
    track: Track = ""
    """Send figures to tensorboard, wandb or trackio as well."""


@dataclass(frozen=True)
class OnPolicyConfig(PolicyConfig, flags="--training."):
    """Length, batches and networks of an on-policy training."""

    batch: BatchSize = 5_000
    """Least steps of an iteration; it takes whole trajectories until there are as many."""
    gamma: Fraction = 0.99
    """Discount per step."""
    lam: Fraction = 0.97
    """Lambda of generalized advantage estimation: 0 looks one step ahead, 1 to the end."""
    entropy: Weight = 0.0
    """Weight of the policy's entropy, added to the rewards (nats)."""
    hidden: tuple[Size, ...] = (64, 64)
    """Units of each hidden layer of policy and value function."""
    normalize: bool = True
    """Standardize observations by their running mean and deviation."""
    value: Fit = "adam"
    """Value function: a network fitted by Adam or by natural-gradient steps, or rllab's linear
    baseline."""
    timed: bool = False
    """Whether the value network reads the time; truncated episodes then have value 0 beyond the
    time limit."""
    value_lr: Positive = 1e-3
    """Step size of Adam for the value function."""
    value_epochs: SmallCount = 10
    """Passes of Adam over a batch."""
    value_batch: BatchSize = 256
    """Environment steps in each step of Adam."""
    workers: Workers = -1
    """Worker processes: -1 takes one for each core, 0 acts in this process. Results do not depend
    on it."""
    device: str = "cpu"
    """Device of the networks' updates: cpu or cuda. Policies always act on the CPU."""
    log_every: Count = 1
    """Iterations between reports."""


@dataclass(frozen=True)
class PolicyExperiment:
    """What to train in which environment, for every algorithm.

    Arguments:
        env: A Gymnasium id, or a function without arguments that makes an environment.
        training: Settings of the loop; None takes the algorithm's defaults.
        trust_region: Settings of TRPO's updates; None takes the algorithm's defaults.
        config: Settings of the algorithm itself: `GAILConfig`, `VIMEConfig` or `CloningConfig`;
            None takes its defaults. TRPO has none.
    """

    env: str | Callable[[], Any]
    training: OnPolicyConfig | None = None
    trust_region: TrustRegionConfig | None = None
    config: BaseConfig | None = None


def cpu_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
