r"""VIME for the algorithms of Stable-Baselines3: a callback that adds the bonus to each rollout.

```python
from stable_baselines3 import PPO
from zeuxis.rl.integrations.sb3_exploration import vime_callback

PPO("MlpPolicy", "zeuxis/SparseMountainCar-v0").learn(250_000, callback=vime_callback())
```

It is for PPO, A2C and sb3-contrib's TRPO. At the end of a rollout it computes the bonus of all its
steps at once, adds it to the rewards in the buffer, and computes advantages and returns again, so
that the actions that led to something new get the credit. It needs Stable-Baselines3 2.0 or later:
`values` and `dones` in the callback's locals, and `terminal_observation` in `infos`.

The next state of a last step is that terminal observation; the environment itself returns the first
one of the next episode. Where an episode was truncated, Stable-Baselines3 has already added the
bootstrap value to the reward; it is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import MissingExtra, UsageError
from ..exploration.information_gain import InformationGain, VIMEConfig


def vime_callback(config: VIMEConfig | None = None, seed: int = 0, verbose: int = 0) -> Any:
    """Makes a callback for `learn(..., callback=vime_callback())`.

    Arguments:
        config: Settings of the bonus.
        seed: Seed of first weights and noise.
        verbose: As in Stable-Baselines3.

    Returns:
        The callback; its `curiosity` is the `InformationGain` in training.

    Raises:
        MissingExtra: Stable-Baselines3 is not installed.
        UsageError: When training starts: observations that are no vectors, or an algorithm without
            rollouts.
    """
    try:
        from stable_baselines3.common.callbacks import BaseCallback
    except ImportError as error:
        raise MissingExtra("stable-baselines3", "sb3", "This callback") from error
    c = config or VIMEConfig()

    class VIMECallback(BaseCallback):
        """Collects transitions, and adds their bonus to the rewards."""

        def _init_callback(self) -> None:
            self.curiosity, self.discrete = curiosity_for(
                self.model.observation_space, self.model.action_space, c, seed
            )
            require_rollouts(self.model)
            self.transitions: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

        def _on_rollout_start(self) -> None:
            self.transitions = []

        def _on_step(self) -> bool:
            step = self.locals
            next_obs = np.array(step["new_obs"], np.float32)
            for i, done in enumerate(step["dones"]):
                if done and step["infos"][i].get("terminal_observation") is not None:
                    next_obs[i] = step["infos"][i]["terminal_observation"]
            obs = np.array(self.model._last_obs, np.float32)
            self.transitions.append((obs, np.array(step["clipped_actions"]), next_obs))
            return True

        def _on_rollout_end(self) -> None:
            buffer = self.model.rollout_buffer
            steps, envs = buffer.rewards.shape
            obs, act, next_obs = (
                np.stack(part).reshape(steps * envs, -1)
                for part in zip(*self.transitions, strict=True)
            )
            if self.discrete:
                act = act[:, 0].astype(np.int64)
            gains = self.curiosity.bonus(obs, act, next_obs)
            bonus = c.eta * self.curiosity.normalize(gains)
            extrinsic = float(np.abs(buffer.rewards).sum())
            buffer.rewards += bonus.reshape(steps, envs).astype(buffer.rewards.dtype)
            buffer.compute_returns_and_advantage(
                last_values=self.locals["values"], dones=self.locals["dones"]
            )
            figures = self.curiosity.fit(obs, act, next_obs) | {
                "information": float(gains.mean()),
                "median": float(np.median(gains)),
                "bonus": float(bonus.mean()),
                "share": float(bonus.sum() / max(1e-300, extrinsic + bonus.sum())),
            }
            for name, value in figures.items():
                self.logger.record(f"vime/{name}", value)

    return VIMECallback(verbose)


def require_rollouts(model: Any) -> None:
    """Refuses algorithms without a rollout buffer."""
    if not hasattr(model, "rollout_buffer"):
        raise UsageError(
            f"{type(model).__name__} keeps no rollouts, whose rewards could be changed: take PPO, "
            "A2C or TRPO."
        )


def curiosity_for(
    observation: Any, action: Any, config: VIMEConfig, seed: int
) -> tuple[InformationGain, bool]:
    """The information gain for these spaces, and whether actions are discrete."""
    shape = getattr(observation, "shape", None)
    if not shape or not np.issubdtype(observation.dtype, np.floating) or config.bonus == "none":
        raise UsageError(
            "Curiosity needs observations that are a Box of floating-point numbers and a bonus, "
            f"got {observation} and '{config.bonus}': wrap the environment, or leave the callback "
            "out."
        )
    discrete = hasattr(action, "n") and hasattr(action, "start")
    box = getattr(action, "shape", None) and np.issubdtype(action.dtype, np.floating)
    if not discrete and not box:
        raise UsageError(
            "Curiosity knows actions that are Discrete or a Box of floating-point numbers, got "
            f"{action}."
        )
    width = int(action.n) if discrete else int(np.prod(action.shape))
    return InformationGain(int(np.prod(shape)), width, config, seed), discrete
