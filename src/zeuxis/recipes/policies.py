"""Settings of policies by task: those of the papers on GAIL and VIME, and improvements since.

GAIL, FEM, GTAL and behavioral cloning:

| task | iterations | least steps of one | one step kept of | cloning steps |
| --- | --- | --- | --- | --- |
| CartPole, MountainCar, Acrobot | 300 | 5,000 | 10, 5, 5 | 1,000 |
| Reacher | 200 | 50,000 | 1 | 10,000 |
| HalfCheetah, Hopper, Walker2d, Ant | 500 | 50,000 | 20 | 20,000 |
| Humanoid | 1,500 | 50,000 | 20 | 20,000 |

Reacher has the entropy weight 0.001, the others none. Other tasks get a million steps by 5,000, and
every step of their demonstrations.

Source: Ho and Ermon, "Generative Adversarial Imitation Learning", 2016, table 2 and section 6, and
the pipelines of the released code.

VIME, by the code released with it and its authors' later one:

| task | steps | least steps of an iteration | policy | dynamics model | baseline of `paper` |
| --- | --- | --- | --- | --- | --- |
| MountainCar | 250,000 | 5,000 | 32 | 32 | network |
| CartPoleSwingup, DoublePendulum | 2,000,000 | 5,000 | 32 | 32 | network |
| HalfCheetah, Walker2d | 3,000,000 | 5,000 | 64, 32 | 64, 64 | linear |
| SwimmerGather | 50,000,000 | 50,000 | 64, 32 | 32 | linear |

Source: Houthooft et al., "VIME: Variational Information Maximizing Exploration", 2016.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..rl.exploration.information_gain import VIMEConfig
from ..rl.exploration.released_code import RELEASED
from ..rl.imitation.behavioral_cloning import CloningConfig
from ..rl.imitation.discriminator import GAILConfig
from ..rl.imitation.gail import PAPER_TRAINING, PAPER_TRUST_REGION, modern
from ..rl.optimization.config import OnPolicyConfig, PolicyExperiment
from ..rl.optimization.trust_region import TrustRegionConfig

IMITATION_PRESETS = {
    "paper": "the settings of Ho and Ermon for the task",
    "modern": "gradient penalty, several updates of the discriminator, absorbing states",
}
# Presets of each algorithm by name, with a note; the first is the default.
PRESETS: dict[str, dict[str, str]] = {
    "gail": IMITATION_PRESETS,
    "fem": IMITATION_PRESETS,
    "gtal": IMITATION_PRESETS,
    "vime": {
        "corrected": "the lower bound as the theory has it",
        "paper": "as the code released with the paper, its oddities included",
    },
}


@dataclass(frozen=True)
class ImitationTask:
    """A task's row in the table of GAIL."""

    iterations: int
    batch: int
    every: int
    bc_steps: int
    entropy: float = 0.0


LOCOMOTION = ImitationTask(500, 50_000, 20, 20_000)
IMITATION_TASKS = {
    "CartPole": ImitationTask(300, 5_000, 10, 1_000),
    "MountainCar": ImitationTask(300, 5_000, 5, 1_000),
    "Acrobot": ImitationTask(300, 5_000, 5, 1_000),
    "Reacher": ImitationTask(200, 50_000, 1, 10_000, entropy=1e-3),
    **dict.fromkeys(("HalfCheetah", "Hopper", "Walker2d", "Ant"), LOCOMOTION),
    "Humanoid": ImitationTask(1_500, 50_000, 20, 20_000),
}
OTHER_IMITATION = ImitationTask(200, 5_000, 1, 20_000)


@dataclass(frozen=True)
class ExplorationTask:
    """A task's row in the table of VIME."""

    steps: int
    policy: tuple[int, ...] = (32,)
    model: tuple[int, ...] = (32,)
    batch: int = 5_000
    buffer_size: int = 100_000
    linear: bool = False


RUNNER = ExplorationTask(3_000_000, (64, 32), (64, 64), linear=True)
EXPLORATION_TASKS = {
    "MountainCar": ExplorationTask(250_000),
    "CartPoleSwingup": ExplorationTask(2_000_000),
    "DoublePendulum": ExplorationTask(2_000_000),
    **dict.fromkeys(("HalfCheetah", "Walker2d"), RUNNER),
    "SwimmerGather": ExplorationTask(50_000_000, (64, 32), (32,), 50_000, 1_000_000, linear=True),
}
OTHER_EXPLORATION = ExplorationTask(1_000_000, (64, 64), (64, 64))


def policy_experiment(algorithm: str, env: str, preset: str = "") -> PolicyExperiment:
    """The settings of an algorithm for a task.

    Arguments:
        algorithm: "trpo", "gail", "fem", "gtal", "bc" or "vime".
        env: A Gymnasium id.
        preset: Key of `PRESETS[algorithm]`; "" takes the first.

    Example:
        >>> gail = policy_experiment("gail", "Hopper-v5")
        >>> gail.config.every, gail.training.steps, gail.training.batch, gail.trust_region.fraction
        (20, 25000000, 50000, 0.1)
        >>> vime = policy_experiment("vime", "zeuxis/SparseHalfCheetah-v0")
        >>> vime.config.hidden, vime.training.steps, vime.training.hidden, vime.trust_region.delta
        ((64, 64), 3000000, (64, 32), 0.01)
    """
    if algorithm in ("gail", "fem", "gtal"):
        return imitation(env, algorithm, preset or "paper")
    if algorithm == "vime":
        return exploration(env, preset or "corrected")
    if algorithm == "bc":
        return PolicyExperiment(env, config=cloning(env))
    return PolicyExperiment(env, OnPolicyConfig(), TrustRegionConfig())


def base_name(env: str) -> str:
    """A task's name without namespace and version.

    Example:
        >>> base_name("Hopper-v5"), base_name("module:Hopper-v5"), base_name("ALE/Pong-v5")
        ('Hopper', 'Hopper', 'Pong')
    """
    return env.split(":")[-1].split("/")[-1].rsplit("-v", 1)[0]


def imitation(env: str, algorithm: str, preset: str) -> PolicyExperiment:
    """Settings of GAIL, FEM or GTAL."""
    row = IMITATION_TASKS.get(base_name(env), OTHER_IMITATION)
    reward_model: Any = "discriminator" if algorithm == "gail" else algorithm
    config = GAILConfig(every=row.every, reward_model=reward_model)
    steps = row.iterations * row.batch
    training = replace(PAPER_TRAINING, steps=steps, batch=row.batch, entropy=row.entropy)
    if preset == "modern":
        config, training = modern(config, training)
    return PolicyExperiment(env, training, PAPER_TRUST_REGION, config)


def cloning(env: str) -> CloningConfig:
    """Settings of behavioral cloning."""
    row = IMITATION_TASKS.get(base_name(env), OTHER_IMITATION)
    validate_every = max(50, row.bc_steps // 20)
    return CloningConfig(every=row.every, steps=row.bc_steps, validate_every=validate_every)


def exploration(env: str, preset: str) -> PolicyExperiment:
    """Settings of VIME."""
    rows = (row for name, row in EXPLORATION_TASKS.items() if name in base_name(env))
    row, paper = next(rows, OTHER_EXPLORATION), preset == "paper"
    gather = row.batch > 5_000  # trained by the released script, with its code's defaults
    training = OnPolicyConfig(
        steps=row.steps,
        batch=row.batch,
        hidden=row.policy,
        gamma=0.99 if gather else 0.995,
        lam=1.0 if gather else 0.95,
    )
    config = RELEASED if paper else VIMEConfig()
    config = replace(config, hidden=row.model, buffer_size=row.buffer_size)
    if gather:
        lr = 1e-4 if paper else config.lr
        config = replace(config, updates=10 * config.updates, lr=lr)
    if paper:
        value: Any = "linear" if row.linear else "natural"
        training = replace(training, normalize=False, value=value)
    trust_region = TrustRegionConfig(damping=1e-5 if paper else 0.1)
    return PolicyExperiment(env, training, trust_region, config)
