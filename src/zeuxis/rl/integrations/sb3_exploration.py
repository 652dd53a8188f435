r"""Curiosity for learners of Stable-Baselines3: a callback that pays the bonus at the end of each
rollout.

```python
from stable_baselines3 import PPO
from zeuxis.rl.integrations.sb3_exploration import curious

PPO("MlpPolicy", "zeuxis/SparseMountainCar-v0").learn(250_000, callback=curious())
```

For PPO, A2C and sb3-contrib's TRPO, whose rollouts it waits for: the bonus of all their steps is
found at once, added to the rewards in the buffer, and advantages and returns are computed again, so
that novelty is credited to the actions that led there. What it needs from Stable-Baselines3 is
there since 2.0: the rollout's `values` and `dones` in the callback's locals, and
`terminal_observation` in `infos`.

The successor of a last step is that terminal observation, not the first of the next episode, which
is what the environment returns then. Where an episode was cut off Stable-Baselines3 has already
added the value of what lies beyond to the reward; this is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import MissingExtra, UsageError
from ..exploration.information_gain import InformationGain, VIMEConfig


def curious(config: VIMEConfig | None = None, seed: int = 0, verbose: int = 0) -> Any:
    """A callback for `learn(..., callback=curious())`; its `curiosity` is the `InformationGain`
    that learns.

    Arguments:
        config: Settings of the bonus; `critic` and `ends` have no meaning here, the total reward
            and true successors are taken.
        seed: Fixes first weights and all noise.
        verbose: As Stable-Baselines3 has it.

    Raises:
        MissingExtra: Stable-Baselines3 is not installed.
        UsageError: When training starts, for spaces that are no vectors, or an algorithm without
            rollouts.
    """
    try:
        from stable_baselines3.common.callbacks import BaseCallback
    except ImportError as error:
        raise MissingExtra("stable-baselines3", "sb3", "This callback") from error
    chosen = config or VIMEConfig()

    class Curious(BaseCallback):
        """Collects transitions, and pays for them."""

        def _init_callback(self) -> None:
            self.curiosity, self.discrete = for_spaces(
                self.model.observation_space, self.model.action_space, chosen, seed
            )
            if not hasattr(self.model, "rollout_buffer"):
                raise UsageError(
                    f"{type(self.model).__name__} keeps no rollouts, whose rewards could "
                    "be changed: take PPO, A2C or TRPO."
                )
            self.seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
            self.eta = chosen.eta

        def _on_rollout_start(self) -> None:
            self.seen = []

        def _on_step(self) -> bool:
            here = self.locals
            following = np.array(here["new_obs"], np.float32)
            for i, done in enumerate(here["dones"]):
                if done and here["infos"][i].get("terminal_observation") is not None:
                    following[i] = here["infos"][i]["terminal_observation"]
            taken = np.array(here["clipped_actions"])
            before = np.array(self.model._last_obs, np.float32)
            self.seen.append((before, taken, following))
            return True

        def _on_rollout_end(self) -> None:
            buffer = self.model.rollout_buffer
            steps, envs = buffer.rewards.shape
            obs, act, following = (
                np.stack(part).reshape(steps * envs, -1) for part in zip(*self.seen, strict=True)
            )
            if self.discrete:
                act = act[:, 0].astype(np.int64)
            gains = self.curiosity.bonus(obs, act, following)
            bonus = self.eta * self.curiosity.normalize(gains)
            self.eta *= chosen.discount
            extrinsic = float(np.abs(buffer.rewards).sum())
            buffer.rewards += bonus.reshape(steps, envs).astype(buffer.rewards.dtype)
            buffer.compute_returns_and_advantage(
                last_values=self.locals["values"], dones=self.locals["dones"]
            )
            figures = self.curiosity.fit(obs, act, following)
            figures |= {
                "information": float(gains.mean()),
                "median": float(np.median(gains)),
                "bonus": float(bonus.mean()),
            }
            figures["share"] = float(bonus.sum() / max(1e-300, extrinsic + bonus.sum()))
            for name, value in figures.items():
                self.logger.record(f"vime/{name}", value)

    return Curious(verbose)


def for_spaces(
    observation: Any, action: Any, config: VIMEConfig, seed: int
) -> tuple[InformationGain, bool]:
    """The belief for these spaces, and whether actions are discrete."""
    shape = getattr(observation, "shape", None)
    if not shape or not np.issubdtype(observation.dtype, np.floating) or config.bonus == "none":
        raise UsageError(
            "Curiosity needs observations that are a Box of floating-point numbers and "
            f"a bonus, got {observation} and "
            f"'{config.bonus}': wrap the environment, or leave the callback out."
        )
    discrete = hasattr(action, "n") and hasattr(action, "start")
    if not discrete and not (
        getattr(action, "shape", None) and np.issubdtype(action.dtype, np.floating)
    ):
        raise UsageError(
            "Curiosity knows actions that are Discrete or a Box of floating-point "
            f"numbers, got {action}."
        )
    width = int(action.n) if discrete else int(np.prod(action.shape))
    return InformationGain(int(np.prod(shape)), width, config, seed), discrete
