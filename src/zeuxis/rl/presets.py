"""Settings for a task: the paper's on GAIL, and what was found to help since.

| task | iterations | least steps of one | one step kept of | cloning steps |
| --- | --- | --- | --- | --- |
| CartPole, MountainCar, Acrobot | 300 | 5,000 | 10, 5, 5 | 1,000 |
| Reacher | 200 | 50,000 | 1 | 10,000 |
| HalfCheetah, Hopper, Walker2d, Ant | 500 | 50,000 | 20 | 20,000 |
| Humanoid | 1,500 | 50,000 | 20 | 20,000 |

Reacher has the entropy weight 0.001, the others none. A task that is not in the table gets a million steps by 5,000, and every step of its
demonstrations.

Source: Ho and Ermon, "Generative Adversarial Imitation Learning", 2016, table 2 and section 6, and the pipelines of the released code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from .cloning import CloningConfig
from .gail import PAPER, REGION, modern
from .judges import GAILConfig
from .learner import Learning
from .trust_region import TrustRegion

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


def imitation(env: str, judge: str = "discriminator", preset: Preset = "paper") -> tuple[GAILConfig, Learning, TrustRegion]:
    """Settings for GAIL, FEM or GTAL in a task.

    Example:
        >>> config, learning, region = imitation("Hopper-v5")
        >>> config.every, learning.steps, learning.batch, region.fraction
        (20, 25000000, 50000, 0.1)
    """
    row = TABLE.get(base(env), Row(200, 5_000, 1, 20_000))
    config = GAILConfig(every=row.every, judge=judge)  # type: ignore[arg-type]
    learning = replace(PAPER, steps=row.iterations * row.batch, batch=row.batch, entropy=row.entropy)
    if preset == "modern":
        config, learning = modern(config, learning)
    return config, learning, REGION


def cloning(env: str) -> CloningConfig:
    """Settings for behavioural cloning in a task."""
    row = TABLE.get(base(env), Row(200, 5_000, 1, 20_000))
    return CloningConfig(every=row.every, steps=row.cloning, validate_every=max(50, row.cloning // 20))
