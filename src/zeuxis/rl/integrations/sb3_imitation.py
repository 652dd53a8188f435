r"""GAIL for the algorithms of other libraries: the discriminator's reward replaces the task's.

```python
from stable_baselines3 import PPO
from zeuxis.rl import GAIL, PolicyExperiment, read_demos
from zeuxis.rl.integrations.sb3_imitation import gail_callback

agent = GAIL(PolicyExperiment("Hopper-v5"), read_demos("hopper.npz"))
PPO("MlpPolicy", "Hopper-v5").learn(1_000_000, callback=gail_callback(agent))
```

The agent has the demonstrations, the discriminator and the sign of the reward; the policy is
Stable-Baselines3's.

`gail_callback` is for PPO, A2C and sb3-contrib's TRPO. At the end of a rollout it rewards all steps
at once by the current discriminator, as an iteration of GAIL does, computes advantages and returns
again, and then updates the discriminator on the rollout. Nothing learns from the task's reward,
which Stable-Baselines3 still prints. Where an episode was truncated, Stable-Baselines3 has added
the bootstrap value; it is kept.

`GAILRewardWrapper` wraps a Gymnasium environment and rewards each single step. It is for any
library, and for a trained discriminator.

Source: Ho and Ermon, "Generative Adversarial Imitation Learning", 2016. Departure: rewards for what
comes after an episode's end (absorbing states) need whole episodes, which rollouts of fixed length
are not; they are refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np

from ...errors import MissingExtra, UsageError
from ..imitation.gail import GAIL
from ..rollouts.trajectory import Rollouts
from .sb3_exploration import require_rollouts


def single_steps(observations: np.ndarray, actions: np.ndarray) -> Rollouts:
    """Steps as rollouts of episodes of one step; reward models read states and actions only."""
    observations, n = np.asarray(observations, np.float32), len(observations)
    ones, zeros = np.ones(n, np.int64), np.zeros(n, np.float32)
    return Rollouts(observations, actions, zeros, ones, observations, zeros.astype(bool))


def prepare(agent: GAIL) -> GAIL:
    """The agent with its reward model on the device, if it rewards single steps."""
    if agent.config.absorbing:
        raise UsageError(
            "Absorbing states need whole episodes, which another library's rollouts are not: take "
            "absorbing=False."
        )
    agent.reward_model.to(agent.device)
    return agent


class GAILRewardWrapper(gymnasium.Wrapper):
    """An environment with the discriminator's reward; `info["reward"]` has the environment's.

    Arguments:
        env: The environment.
        agent: Has the discriminator, which may be in training meanwhile.

    Raises:
        UsageError: The environment is another than the discriminator's, or the agent has absorbing
            states.
    """

    def __init__(self, env: Any, agent: GAIL) -> None:
        super().__init__(env)
        self.agent = prepare(agent)
        check_spaces(agent, env.observation_space, env.action_space)
        self.task = replace(agent.task, start=int(getattr(env.action_space, "start", 0)))
        self.last_observation = np.zeros(agent.task.observation, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        observation, info = self.env.reset(seed=seed, options=options)
        self.last_observation = np.array(observation, np.float32).ravel()
        return observation, info

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        actions = self.task.from_env(np.reshape(action, (1, -1)))
        steps = single_steps(self.last_observation[None], actions)
        imitation_reward = float(self.agent.rewards(steps)[0])
        self.last_observation = np.array(observation, np.float32).ravel()
        return observation, imitation_reward, terminated, truncated, {**info, "reward": reward}


def gail_callback(agent: GAIL, verbose: int = 0) -> Any:
    """Makes a callback for `learn(..., callback=gail_callback(agent))`.

    Arguments:
        agent: Has the demonstrations and the discriminator, which is trained; its policy is not.
        verbose: As in Stable-Baselines3.

    Raises:
        MissingExtra: Stable-Baselines3 is not installed.
        UsageError: The agent has absorbing states; when training starts: an algorithm without
            rollouts, or spaces of another task.
    """
    try:
        from stable_baselines3.common.callbacks import BaseCallback
    except ImportError as error:
        raise MissingExtra("stable-baselines3", "sb3", "This callback") from error
    prepare(agent)

    class GAILCallback(BaseCallback):
        """Rewards rollouts by the discriminator, then updates it."""

        def _init_callback(self) -> None:
            require_rollouts(self.model)
            check_spaces(agent, self.model.observation_space, self.model.action_space)
            self.normalizer = self.model.get_vec_normalize_env()

        def raw(self, normalized: Any) -> np.ndarray:
            """Observations as the environments returned them, (envs, entries)."""
            raw = normalized
            if self.normalizer is not None:
                raw = self.normalizer.get_original_obs()
            return np.array(raw, np.float32).reshape(len(raw), -1)

        def _on_rollout_start(self) -> None:
            self.observations: list[np.ndarray] = []
            self.task_rewards: list[np.ndarray] = []
            self.last = self.raw(self.model._last_obs)

        def _on_step(self) -> bool:
            self.observations.append(self.last)
            # Taken before Stable-Baselines3 adds bootstrap values.
            self.task_rewards.append(np.array(self.locals["rewards"], np.float32))
            self.last = self.raw(self.locals["new_obs"])
            return True

        def _on_rollout_end(self) -> None:
            buffer = self.model.rollout_buffer
            actions = buffer.actions.reshape(-1, buffer.actions.shape[-1])
            if agent.task.discrete:
                actions = actions[:, 0].astype(np.int64)
            else:
                actions = actions.astype(np.float32)
            steps = single_steps(np.concatenate(self.observations), actions)
            rewards = agent.rewards(steps)
            bootstrap = buffer.rewards - np.stack(self.task_rewards)
            buffer.rewards[:] = bootstrap + rewards.reshape(buffer.rewards.shape)
            buffer.compute_returns_and_advantage(
                last_values=self.locals["values"], dones=self.locals["dones"]
            )
            figures = agent.update_auxiliary(steps) | {"reward": float(rewards.mean())}
            agent.iteration += 1
            for name, value in figures.items():
                self.logger.record(f"gail/{name}", value)

    return GAILCallback(verbose)


def check_spaces(agent: GAIL, observation: Any, action: Any) -> None:
    """Refuses spaces of another task than the discriminator's."""
    task, discrete = agent.task, isinstance(action, gymnasium.spaces.Discrete)
    box = gymnasium.spaces.Box
    if not isinstance(observation, box) or not (discrete or isinstance(action, box)):
        raise UsageError(
            "A discriminator reads Box observations and Discrete or Box actions, got "
            f"{observation} and {action}."
        )
    entries = int(np.prod(observation.shape))
    size = int(action.n) if discrete else int(np.prod(action.shape))
    if (entries, size, discrete) != (task.observation, task.action, task.discrete):
        raise UsageError(
            f"The environment has {entries} observed numbers and actions {action}, the "
            f"discriminator is for '{task.name}' with {task.observation} and {task.action}: give "
            "an environment of that task."
        )
