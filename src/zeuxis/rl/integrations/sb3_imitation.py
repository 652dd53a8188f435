r"""Imitation for learners of other libraries: a discriminator's verdict in the place of the task's
reward.

```python
from stable_baselines3 import PPO
from zeuxis.rl import GAIL, read_demos
from zeuxis.rl.integrations.sb3_imitation import imitating

agent = GAIL("Hopper-v5", read_demos("hopper.npz"))                       # demonstrations, discriminator, sign of the reward
PPO("MlpPolicy", "Hopper-v5").learn(1_000_000, callback=imitating(agent))  # the policy is Stable-Baselines3's
```

`imitating` is a callback for PPO, A2C and sb3-contrib's TRPO: at a rollout's end all its steps are
judged at once, as GAIL's iteration has it, first by the discriminator as it is; advantages and
returns are computed again; then the discriminator learns from the rollout. The task's own reward,
which Stable-Baselines3 goes on to print, is never learned from. Where an episode was cut off,
Stable-Baselines3 has added the value of what lies beyond; this is kept.

`Judged` is a wrapper of a Gymnasium environment whose reward is the verdict on each single step,
for any library, and for a discriminator that has learned already.

Source: Ho and Ermon, "Generative Adversarial Imitation Learning", 2016. Departure: a verdict on
what comes after an episode's end (absorbing states) needs whole episodes, which rollouts of fixed
length are not; it is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np

from ...errors import MissingExtra, UsageError
from ..imitation.gail import GAIL
from ..rollouts.collector import Rollouts


def steps(observations: np.ndarray, actions: np.ndarray) -> Rollouts:
    """Single steps as a judge takes them: each an episode, of which it reads state and action
    only."""
    n = len(observations)
    ones, zeros = np.ones(n, np.int64), np.zeros(n, np.float32)
    return Rollouts(
        np.asarray(observations, np.float32),
        actions,
        zeros,
        ones,
        np.asarray(observations, np.float32),
        zeros.astype(bool),
    )


def ready(agent: GAIL) -> GAIL:
    """The agent, if its verdicts are on single steps."""
    if agent.config.absorbing:
        raise UsageError(
            "Absorbing states need whole episodes, which another library's rollouts are "
            "not: take absorbing=False."
        )
    agent.judge.to(agent.machine.device)
    return agent


class Judged(gymnasium.Wrapper):
    """An environment whose reward is the discriminator's.

    Arguments:
        env: The environment.
        agent: Whose discriminator; it may go on learning meanwhile.

    Raises:
        UsageError: The environment is another than the discriminator's, or absorbing states are
            judged.
    """

    def __init__(self, env: Any, agent: GAIL) -> None:
        super().__init__(env)
        self.agent = ready(agent)
        fits(agent, env.observation_space, env.action_space)
        self.task = replace(agent.task, start=int(getattr(env.action_space, "start", 0)))
        self.before = np.zeros(agent.task.observation, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """As the environment has it."""
        seen, told = self.env.reset(seed=seed, options=options)
        self.before = np.array(seen, np.float32).ravel()
        return seen, told

    def step(self, action: Any) -> Any:
        """As the environment has it, with the verdict for a reward; `info["reward"]` keeps the
        environment's own."""
        seen, reward, ended, cut, told = self.env.step(action)
        taken = self.task.from_env(np.reshape(action, (1, -1)))
        verdict = float(self.agent.rewards(steps(self.before[None], taken))[0])
        self.before = np.array(seen, np.float32).ravel()
        return seen, verdict, ended, cut, {**told, "reward": reward}


def imitating(agent: GAIL, verbose: int = 0) -> Any:
    """A callback for `learn(..., callback=imitating(agent))`.

    Arguments:
        agent: Has the demonstrations and the discriminator, which learns; its own policy does not.
        verbose: As Stable-Baselines3 has it.

    Raises:
        MissingExtra: Stable-Baselines3 is not installed.
        UsageError: Absorbing states are judged; when training starts: an algorithm without
            rollouts, or spaces of another task.
    """
    try:
        from stable_baselines3.common.callbacks import BaseCallback
    except ImportError as error:
        raise MissingExtra("stable-baselines3", "sb3", "This callback") from error
    ready(agent)

    class Imitating(BaseCallback):
        """Judges rollouts, and lets the judge learn."""

        def _init_callback(self) -> None:
            if not hasattr(self.model, "rollout_buffer"):
                raise UsageError(
                    f"{type(self.model).__name__} keeps no rollouts, whose rewards could "
                    "be changed: take PPO, A2C or TRPO."
                )
            fits(agent, self.model.observation_space, self.model.action_space)
            self.normalizer = self.model.get_vec_normalize_env()

        def seen(self) -> np.ndarray:
            """What the environments showed last, as they showed it."""
            shown = (
                self.normalizer.get_original_obs()
                if self.normalizer is not None
                else self.model._last_obs
            )
            return np.array(shown, np.float32).reshape(len(shown), -1)

        def _on_rollout_start(self) -> None:
            self.states: list[np.ndarray] = []
            self.paid: list[np.ndarray] = []
            self.now = self.seen()

        def _on_step(self) -> bool:
            self.states.append(self.now)
            self.paid.append(
                np.array(self.locals["rewards"], np.float32)
            )  # before the value beyond a cut is added
            shown = (
                self.normalizer.get_original_obs()
                if self.normalizer is not None
                else self.locals["new_obs"]
            )
            self.now = np.array(shown, np.float32).reshape(len(shown), -1)
            return True

        def _on_rollout_end(self) -> None:
            buffer, task = self.model.rollout_buffer, agent.task
            taken = buffer.actions.reshape(-1, buffer.actions.shape[-1])
            rows = steps(
                np.concatenate(self.states),
                taken[:, 0].astype(np.int64) if task.discrete else taken.astype(np.float32),
            )
            verdicts = agent.rewards(rows)
            beyond = buffer.rewards - np.stack(self.paid)
            buffer.rewards[:] = beyond + verdicts.reshape(buffer.rewards.shape)
            buffer.compute_returns_and_advantage(
                last_values=self.locals["values"], dones=self.locals["dones"]
            )
            figures = agent.also(rows) | {"reward": float(verdicts.mean())}
            agent.iteration += 1
            for name, value in figures.items():
                self.logger.record(f"gail/{name}", value)

    return Imitating(verbose)


def fits(agent: GAIL, observation: Any, action: Any) -> None:
    """Refuses spaces of another task than the discriminator's."""
    task, discrete = agent.task, isinstance(action, gymnasium.spaces.Discrete)
    if not isinstance(observation, gymnasium.spaces.Box) or not (
        discrete or isinstance(action, gymnasium.spaces.Box)
    ):
        raise UsageError(
            "A discriminator reads Box observations and Discrete or Box actions, got "
            f"{observation} and {action}."
        )
    size = int(action.n) if discrete else int(np.prod(action.shape))
    found = (int(np.prod(observation.shape)), size, discrete)
    if found != (task.observation, task.action, task.discrete):
        raise UsageError(
            f"The environment has {found[0]} observed numbers and actions {action}, the "
            f"discriminator is for '{task.name}' with "
            f"{task.observation} and {task.action}: give an environment of that task."
        )
