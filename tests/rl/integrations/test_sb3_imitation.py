"""A discriminator for learners of other libraries: what it pays, where that lands in their buffers,
and that they imitate by it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

gymnasium = pytest.importorskip("gymnasium")

from tiny_envs import Count
from zeuxis.errors import UsageError
from zeuxis.rl.imitation.demonstrations import Demonstrations, record
from zeuxis.rl.imitation.discriminator import GAILConfig, reward_of
from zeuxis.rl.imitation.gail import GAIL, PAPER_TRAINING
from zeuxis.rl.integrations.sb3_imitation import GAILRewardWrapper, gail_callback, single_steps
from zeuxis.rl.optimization.config import PolicyExperiment
from zeuxis.rl.policies.numpy_policy import linear_policy

QUICK = replace(PAPER_TRAINING, workers=0, threads=1, batch=300, horizon=20)


class Side(gymnasium.Env):
    """Observes a coin in {-1, 1}, thrown at each step; rewards for anything but what the expert
    does."""

    observation_space = gymnasium.spaces.Box(-2, 2, (1,), np.float32)

    def __init__(self, discrete: bool = True, first: int = 0) -> None:
        self.first = first
        self.action_space = (
            gymnasium.spaces.Discrete(2, start=first)
            if discrete
            else gymnasium.spaces.Box(-1, 1, (1,), np.float32)
        )

    def throw(self) -> np.ndarray:
        self.coin = float(self.np_random.choice([-1.0, 1.0]))
        return np.array([self.coin], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return self.throw(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        right = (
            action - self.first
            if isinstance(self.action_space, gymnasium.spaces.Discrete)
            else action[0] > 0
        )
        wrong = float(right != (self.coin > 0))
        return self.throw(), 10.0 * wrong, False, False, {}


def side(discrete: bool = True, first: int = 0) -> Any:
    return gymnasium.wrappers.TimeLimit(Side(discrete, first), 20)


def made(discrete: bool = True, **config: Any) -> GAIL:
    if discrete:
        expert = linear_policy(np.array([[-1.0], [1.0]]))
    else:
        expert = linear_policy(np.array([[1.0]]), head="gaussian_mean")
    demos: Demonstrations = record(expert, lambda: side(discrete), 10, horizon=20)
    return GAIL(
        PolicyExperiment(
            lambda: side(discrete), QUICK, config=GAILConfig(reward="logit", **config)
        ),
        demos,
        quiet=True,
    )


@pytest.mark.parametrize("discrete", [True, False])
def test_a_wrapped_environment_rewards_state_and_action(discrete: bool) -> None:
    agent = made(discrete)
    with torch.no_grad():
        for p in agent.reward_model.parameters():
            p.normal_(0, 0.5, generator=torch.Generator().manual_seed(0))
    task = GAILRewardWrapper(side(discrete, 3), agent)
    task.action_space.seed(0)
    seen, _ = task.reset(seed=0)
    for _ in range(20):
        action = task.action_space.sample()
        following, reward, ended, cut, info = task.step(action)
        taken = torch.tensor([action - 3]) if discrete else torch.from_numpy(action)[None]
        expected = reward_of(
            agent.reward_model.score(agent.encoder.rows(torch.from_numpy(seen)[None], taken)),
            "logit",
        ).item()
        assert reward == pytest.approx(expected, abs=1e-6) and info["reward"] in (0.0, 10.0)
        seen = following
    assert cut and not ended


def test_other_tasks_and_absorbing_states_are_refused() -> None:
    with pytest.raises(UsageError, match="give an environment of that task"):
        GAILRewardWrapper(side(False), made(True))
    with pytest.raises(UsageError, match="give an environment of that task"):
        GAILRewardWrapper(gymnasium.wrappers.TimeLimit(Count(), 5), made(True))
    with pytest.raises(UsageError, match="absorbing=False"):
        GAILRewardWrapper(side(), made(absorbing=True))


def test_single_steps_are_rewarded_as_in_rollouts() -> None:
    agent = made()
    r = agent.demos.rollouts
    assert np.array_equal(agent.rewards(r), agent.rewards(single_steps(r.observations, r.actions)))


@pytest.mark.parametrize(("discrete", "normalized"), [(True, False), (False, True)])
def test_ppo_of_stable_baselines3_imitates(discrete: bool, normalized: bool) -> None:
    sb3 = pytest.importorskip("stable_baselines3", minversion="2.9")
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    torch.manual_seed(0)
    agent = made(discrete, updates=10)
    environments: Any = DummyVecEnv([lambda: side(discrete)] * 2)
    environments = VecNormalize(environments) if normalized else environments
    model = sb3.PPO(
        "MlpPolicy",
        environments,
        n_steps=128,
        batch_size=128,
        n_epochs=8,
        learning_rate=5e-3,
        device="cpu",
        seed=0,
    )
    callback = gail_callback(agent)
    kept: dict[str, Any] = {}
    end = callback._on_rollout_end

    def spy() -> None:
        buffer = model.rollout_buffer
        kept.update(
            paid=np.stack(callback.task_rewards),
            stored=buffer.rewards.copy(),
            states=np.concatenate(callback.observations),
        )
        taken = buffer.actions.reshape(256, -1)
        rows = single_steps(kept["states"], taken[:, 0].astype(np.int64) if discrete else taken)
        kept["imitation"] = agent.rewards(rows).reshape(128, 2)
        end()
        kept["now"] = buffer.rewards.copy()
        np.testing.assert_allclose(
            buffer.returns, buffer.advantages + buffer.values, rtol=1e-5, atol=1e-5
        )

    callback._on_rollout_end = spy
    model.learn(256 * 12, callback=callback)
    assert set(np.unique(kept["states"])) == {-1.0, 1.0}, (
        "the discriminator sees what the environment showed"
    )
    bootstrap = kept["stored"] - kept["paid"]
    cuts = np.abs(bootstrap[:, 0]) > 0
    assert 5 <= cuts.sum() <= 7, "the value beyond a cut, at each twentieth step, is kept"
    np.testing.assert_allclose(kept["now"], kept["imitation"] + bootstrap, rtol=1e-4, atol=1e-5)
    assert agent.iteration == 12
    environments = model.get_vec_normalize_env()
    for coin in (-1.0, 1.0):
        seen = np.array([[coin]], np.float32)
        action = model.predict(
            environments.normalize_obs(seen) if normalized else seen, deterministic=True
        )[0][0]
        assert (action if discrete else action[0] > 0) == (coin > 0), (
            "it acts as the expert, which the task does not reward"
        )


def test_the_callback_refuses_what_it_cannot_reward() -> None:
    sb3 = pytest.importorskip("stable_baselines3", minversion="2.9")
    with pytest.raises(UsageError, match="keeps no rollouts"):
        sb3.DQN("MlpPolicy", gymnasium.make("CartPole-v1")).learn(1, callback=gail_callback(made()))
    with pytest.raises(UsageError, match="give an environment of that task"):
        sb3.PPO("MlpPolicy", gymnasium.make("CartPole-v1"), n_steps=8, batch_size=8).learn(
            8, callback=gail_callback(made())
        )
