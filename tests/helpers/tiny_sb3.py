"""As much of Stable-Baselines3's interface as a callback meets: its base class, and an on-policy
learner's way of collecting rollouts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np


class BaseCallback:
    def __init__(self, verbose: int = 0) -> None:
        self.verbose, self.locals = verbose, {}  # type: tuple[int, dict[str, Any]]

    def init_callback(self, model: Any) -> None:
        self.model, self.logger = model, model.logger
        self._init_callback()


class Buffer:
    """Rewards, values and starts (steps, envs), and their advantages with lambda = 1."""

    def __init__(self, steps: int, envs: int, gamma: float) -> None:
        self.rewards, self.values, self.starts = (
            np.zeros((steps, envs), np.float32) for _ in range(3)
        )
        self.gamma = gamma

    def compute_returns_and_advantage(self, last_values: np.ndarray, dones: np.ndarray) -> None:
        self.returns = np.zeros_like(self.rewards)
        following, alive = last_values, 1.0 - dones
        for t in range(len(self.rewards) - 1, -1, -1):
            self.returns[t] = self.rewards[t] + self.gamma * following * alive
            following, alive = self.returns[t], 1.0 - self.starts[t]
        self.advantages = self.returns - self.values


class OnPolicy:
    """Acts at random in copies of an environment that reset by themselves, as its vectors do."""

    def __init__(self, make: Any, envs: int, steps: int, seed: int = 0) -> None:
        self.envs, self.steps, self.rng = (
            [make() for _ in range(envs)],
            steps,
            np.random.default_rng(seed),
        )
        self.observation_space, self.action_space = (
            self.envs[0].observation_space,
            self.envs[0].action_space,
        )
        self.rollout_buffer, self.logger = (
            Buffer(steps, envs, 0.9),
            SimpleNamespace(record=self.record),
        )
        self.figures: dict[str, float] = {}
        self._last_obs = np.stack([env.reset(seed=seed + i)[0] for i, env in enumerate(self.envs)])
        self.starts = np.ones(envs)
        self.true: list[tuple[np.ndarray, Any, np.ndarray]] = []  # what really happened

    def record(self, name: str, value: float) -> None:
        self.figures[name] = value

    def act(self) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(self.action_space, gymnasium.spaces.Discrete):
            actions = self.rng.integers(self.action_space.n, size=len(self.envs))
            return actions, actions
        actions = 2 * self.rng.standard_normal((len(self.envs), *self.action_space.shape)).astype(
            np.float32
        )
        return actions, np.clip(actions, self.action_space.low, self.action_space.high)

    def collect(self, callback: Any) -> None:
        self.true = []
        callback._on_rollout_start()
        buffer = self.rollout_buffer
        for t in range(self.steps):
            actions, clipped_actions = self.act()
            new_obs, rewards, dones, infos = [], [], [], []
            for i, env in enumerate(self.envs):
                x, reward, ended, cut, _ = env.step(clipped_actions[i])
                self.true.append((self._last_obs[i].copy(), clipped_actions[i], x.copy()))
                info = (
                    {"terminal_observation": x, "TimeLimit.truncated": cut and not ended}
                    if ended or cut
                    else {}
                )
                new_obs.append(env.reset()[0] if info else x)
                rewards.append(reward)
                dones.append(bool(info))
                infos.append(info)
            new_obs, dones = np.stack(new_obs), np.array(dones)
            callback.locals |= {
                "new_obs": new_obs,
                "dones": dones,
                "infos": infos,
                "actions": actions,
                "clipped_actions": clipped_actions,
            }
            assert callback._on_step()
            buffer.rewards[t], buffer.values[t], buffer.starts[t] = rewards, 0.1, self.starts
            self._last_obs, self.starts = new_obs, dones.astype(np.float64)
        values = np.full(len(self.envs), 0.3)
        buffer.compute_returns_and_advantage(values, dones)
        callback.locals |= {"values": values, "dones": dones}
        callback._on_rollout_end()
