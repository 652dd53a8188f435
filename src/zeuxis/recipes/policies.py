"""Settings for a task: the papers' on GAIL and on VIME, and what was found to help since.

| task | iterations | least steps of one | one step kept of | cloning steps |
| --- | --- | --- | --- | --- |
| CartPole, MountainCar, Acrobot | 300 | 5,000 | 10, 5, 5 | 1,000 |
| Reacher | 200 | 50,000 | 1 | 10,000 |
| HalfCheetah, Hopper, Walker2d, Ant | 500 | 50,000 | 20 | 20,000 |
| Humanoid | 1,500 | 50,000 | 20 | 20,000 |

Reacher has the entropy weight 0.001, the others none. A task that is not in the table gets a
million steps by 5,000, and every step of its demonstrations.

Source: Ho and Ermon, "Generative Adversarial Imitation Learning", 2016, table 2 and section 6, and
the pipelines of the released code.

VIME's tasks, by the code released with it and its authors' later one:

| task | steps | least steps of an iteration | policy | dynamics model | baseline of the paper's preset |
| --- | --- | --- | --- | --- | --- |
| MountainCar | 250,000 | 5,000 | 32 | 32 | network |
| CartPoleSwingup, DoublePendulum | 2,000,000 | 5,000 | 32 | 32 | network |
| HalfCheetah, Walker2d | 3,000,000 | 5,000 | 64, 32 | 64, 64 | linear |
| SwimmerGather | 50,000,000 | 50,000 | 64, 32 | 32 | linear |

Source: Houthooft et al., "VIME: Variational Information Maximizing Exploration", 2016.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ..rl.exploration.information_gain import CORRECTED, VIMEConfig
from ..rl.exploration.information_gain import PAPER as RELEASED
from ..rl.imitation.behavioral_cloning import CloningConfig
from ..rl.imitation.discriminator import GAILConfig
from ..rl.imitation.gail import PAPER, REGION, modern
from ..rl.optimization.on_policy import OnPolicyConfig
from ..rl.optimization.trust_region import TrustRegionConfig

Preset = Literal["paper", "modern"]


@dataclass(frozen=True)
class Row:
    """A task's line in the paper's table."""

    iterations: int
    batch: int
    every: int
    cloning: int
    entropy: float = 0.0


LOCOMOTION = Row(500, 50_000, 20, 20_000)
TABLE = {
    "CartPole": Row(300, 5_000, 10, 1_000),
    "MountainCar": Row(300, 5_000, 5, 1_000),
    "Acrobot": Row(300, 5_000, 5, 1_000),
    "Reacher": Row(200, 50_000, 1, 10_000, entropy=1e-3),
    **dict.fromkeys(("HalfCheetah", "Hopper", "Walker2d", "Ant"), LOCOMOTION),
    "Humanoid": Row(1_500, 50_000, 20, 20_000),
}


def base(env: str) -> str:
    """A task's name without namespace and version.

    Example:
        >>> base("Hopper-v5"), base("module:Hopper-v5"), base("ALE/Pong-v5")
        ('Hopper', 'Hopper', 'Pong')
    """
    return env.split(":")[-1].split("/")[-1].rsplit("-v", 1)[0]


def imitation(
    env: str, judge: str = "discriminator", preset: Preset = "paper"
) -> tuple[GAILConfig, OnPolicyConfig, TrustRegionConfig]:
    """Settings for GAIL, FEM or GTAL in a task.

    Example:
        >>> config, learning, region = imitation("Hopper-v5")
        >>> config.every, learning.steps, learning.batch, region.fraction
        (20, 25000000, 50000, 0.1)
    """
    row = TABLE.get(base(env), Row(200, 5_000, 1, 20_000))
    config = GAILConfig(every=row.every, judge=judge)  # type: ignore[arg-type]
    learning = replace(
        PAPER, steps=row.iterations * row.batch, batch=row.batch, entropy=row.entropy
    )
    if preset == "modern":
        config, learning = modern(config, learning)
    return config, learning, REGION


def cloning(env: str) -> CloningConfig:
    """Settings for behavioral cloning in a task."""
    row = TABLE.get(base(env), Row(200, 5_000, 1, 20_000))
    return CloningConfig(
        every=row.every, steps=row.cloning, validate_every=max(50, row.cloning // 20)
    )


@dataclass(frozen=True)
class Field:
    """A task's line in VIME's table."""

    steps: int
    policy: tuple[int, ...] = (32,)
    model: tuple[int, ...] = (32,)
    batch: int = 5_000
    pool: int = 100_000
    linear: bool = False


FIELDS = {
    "MountainCar": Field(250_000),
    "CartPoleSwingup": Field(2_000_000),
    "DoublePendulum": Field(2_000_000),
    **dict.fromkeys(("HalfCheetah", "Walker2d"), Field(3_000_000, (64, 32), (64, 64), linear=True)),
    "SwimmerGather": Field(50_000_000, (64, 32), (32,), 50_000, 1_000_000, linear=True),
}


def curiosity(
    env: str, preset: str = "corrected"
) -> tuple[VIMEConfig, OnPolicyConfig, TrustRegionConfig]:
    """Settings for VIME in a task, corrected or as the released code has them.

    Example:
        >>> config, learning, region = curiosity("zeuxis/SparseHalfCheetah-v0")
        >>> config.hidden, learning.steps, learning.hidden, region.delta
        ((64, 64), 3000000, (64, 32), 0.01)
    """
    field = next(
        (field for name, field in FIELDS.items() if name in base(env)),
        Field(1_000_000, (64, 64), (64, 64)),
    )
    gather = field.batch > 5_000  # trained by the released script, with its code's defaults
    learning = OnPolicyConfig(
        steps=field.steps,
        batch=field.batch,
        hidden=field.policy,
        gamma=0.99 if gather else 0.995,
        lam=1.0 if gather else 0.95,
    )
    config = replace(
        RELEASED if preset == "paper" else CORRECTED, hidden=field.model, pool=field.pool
    )
    if gather:
        config = replace(
            config, updates=10 * config.updates, lr=1e-4 if preset == "paper" else config.lr
        )
    if preset == "paper":
        learning = replace(learning, normalize=False, value="linear" if field.linear else "natural")
    return config, learning, TrustRegionConfig(damping=1e-5 if preset == "paper" else 0.1)
