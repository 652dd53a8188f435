"""Rollouts by EnvPool: which trajectories are kept, with what ends, the same again, and what is
refused; with a stand-in and for real."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")

from zeuxis.errors import MissingExtra, UsageError, ZeuxisError
from zeuxis.experiments.train_policy import Wish, resume, start
from zeuxis.rl.optimization.on_policy import TRPO, OnPolicyConfig
from zeuxis.rl.policies.numpy_policy import Actor, read_actor
from zeuxis.rl.rollouts.collector import Rollouts
from zeuxis.rl.rollouts.envpool import Pool, act


class Worlds:
    """Behaves as EnvPool's: worlds observe [seed, episode, t, 0], last as many steps as their
    number says, and are reset when asked to."""

    lengths = (3, 50, 7, 20)
    broken = False

    def __init__(self, num_envs: int, seed: list[int], max_episode_steps: int) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float64)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.seed, self.limit = seed, max_episode_steps
        self.episode, self.t = [-1] * num_envs, [0] * num_envs
        self.living: set[int] = set()

    def look(self, at: Any) -> np.ndarray:
        return np.array(
            [[self.seed[i], self.episode[i], np.nan if self.broken else self.t[i], 0] for i in at],
            np.float64,
        )

    def reset(self, at: Any) -> Any:
        for i in at:
            assert i not in self.living, "an episode is not left before its end"
            self.living.add(int(i))
            self.episode[i], self.t[i] = self.episode[i] + 1, 0
        return self.look(at), {}

    def step(self, actions: np.ndarray, at: Any) -> Any:
        assert len(actions) == len(at) and set(at.tolist()) <= self.living
        for i in at:
            self.t[i] += 1
        ends = np.array([self.t[i] == self.lengths[i % 4] for i in at])
        cuts = np.array([self.t[i] >= self.limit for i in at])
        self.living -= {int(i) for i, over in zip(at, ends | cuts, strict=True) if over}
        return self.look(at), np.array([float(self.t[i]) for i in at]), ends, cuts, {}


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    made: list[Any] = []

    def make(
        name: str,
        env_type: str,
        num_envs: int,
        num_threads: int,
        seed: list[int],
        max_episode_steps: int,
    ) -> Worlds:
        assert env_type == "gymnasium" and len(seed) == num_envs and 1 <= num_threads <= num_envs
        made.append(Worlds(num_envs, seed, max_episode_steps))
        return made[-1]

    monkeypatch.setitem(
        sys.modules,
        "envpool",
        SimpleNamespace(make=make, list_all_envs=lambda: ["CartPole-v1", "Acrobot-v1"]),
    )
    return made


def actor(entries: int = 4, actions: int = 2, head: str = "logits", **more: Any) -> Actor:
    chance = np.random.default_rng(0)
    sizes = [(8, entries), (actions, 8)]
    return Actor([chance.standard_normal(s) for s in sizes], [chance.standard_normal(s[0]) for s in sizes], chance.random(entries),
                 chance.random(entries), head, **more)  # fmt: skip


def same(a: Rollouts, b: Rollouts) -> bool:
    return all(
        np.array_equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
    )


def test_trajectories_are_kept_in_the_order_of_their_beginnings(standin: list[Any]) -> None:
    pool = Pool("CartPole-v1", threads=2, seed=3, horizon=20, worlds=4)
    found, count = pool.collect(actor(), steps=100)
    assert len(found) >= 100 > len(found) - found.lengths[-1] and count == len(found.lengths)
    assert found.lengths[:4].tolist() == [3, 20, 7, 20], (
        "those of long episodes are not passed over"
    )
    assert found.terminated[:4].tolist() == [True, False, True, True], "a cut is told from an end"
    for begin, length, final in zip(found.starts, found.lengths, found.finals, strict=True):
        assert (
            found.observations[begin : begin + length, 2].tolist() == list(range(length))
            and final[2] == length
        )
        assert len({*found.observations[begin : begin + length, 1], final[1]}) == 1, (
            "the final observation is the episode's own"
        )
    assert found.returns.tolist() == [n * (n + 1) / 2 for n in found.lengths]
    assert len(set(found.observations[:, 0])) == 4, "worlds differ"
    assert sum(w.episode[i] + 1 for w in standin[-1:] for i in range(4)) <= count + 3, (
        "few episodes are begun in vain"
    )
    four, n = pool.collect(actor(), episodes=4)
    assert n == 4 and four.lengths.tolist() == [3, 20, 7, 20]


def test_the_same_seed_gives_the_same_and_another_number_another(standin: list[Any]) -> None:
    one, _ = Pool("CartPole-v1", 1, seed=3, horizon=20, worlds=4).collect(
        actor(), steps=60, first=5
    )
    pool = Pool("CartPole-v1", 4, seed=3, horizon=20, worlds=4)
    pool.collect(actor(), steps=60)
    assert same(one, pool.collect(actor(), steps=60, first=5)[0]), (
        "whatever was collected before, with any number of threads"
    )
    assert not same(one, pool.collect(actor(), steps=60, first=6)[0])
    assert not same(
        one,
        Pool("CartPole-v1", 1, seed=4, horizon=20, worlds=4).collect(actor(), steps=60, first=5)[0],
    )
    likeliest, _ = pool.collect(actor(), episodes=2, deterministic=True)
    assert likeliest.actions.tolist() == [actor().choose(x) for x in likeliest.observations]


def test_many_actions_at_once_are_so_many_single_ones() -> None:
    chance = np.random.default_rng(1)
    x = chance.standard_normal((9, 4)).astype(np.float32)
    makers: list[Any] = [
        (actor(), chance.gumbel(size=(9, 2))),
        (
            actor(head="gaussian_mean", log_std=np.array([-1.0, 0.5]), activation="relu", clip=0.3),
            chance.standard_normal((9, 2)),
        ),
        (
            actor(
                head="tanh_gaussian_mean",
                low=np.array([-2, 0], np.float32),
                high=np.array([2, 3], np.float32),
            ),
            None,
        ),
        (replace(actor(4), layout="acrobot_angles"), None),
    ]
    for policy, noise in makers:
        for drawn in (noise, None):
            rows = np.pad(x, ((0, 0), (0, 2))) if policy.layout == "acrobot_angles" else x
            singly = [
                np.array(policy.choose(row, None if drawn is None else drawn[i]))
                for i, row in enumerate(rows)
            ]
            np.testing.assert_allclose(act(policy, rows, drawn), singly, rtol=1e-5, atol=1e-6)


def test_a_policy_learns_in_it_and_goes_on_exactly(standin: list[Any], tmp_path: Path) -> None:
    config = OnPolicyConfig(
        steps=240,
        batch=60,
        hidden=(4,),
        engine="envpool",
        workers=1,
        threads=1,
        horizon=20,
        value_epochs=1,
    )
    found = []
    for steps in (240, 120):
        start(
            Wish("trpo", "CartPole-v1", learning=replace(config, steps=steps)),
            tmp_path / str(steps),
        )
        (run,) = (tmp_path / str(steps)).iterdir()
        found.append(read_actor((resume(run, 240) and run) / "policy.safetensors").weights)
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
    assert not np.array_equal(
        found[0][0], TRPO("CartPole-v1", config, quiet=True).policy.actor().weights[0]
    )


def test_what_it_cannot_do_is_said(standin: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for source in ("Pendulum-v1", lambda: gymnasium.make("CartPole-v1")):
        with pytest.raises(UsageError, match="take --training.engine workers"):
            Pool(source)
    with pytest.raises(UsageError, match="observes"):
        Pool("Acrobot-v1")
    with pytest.raises(UsageError, match="no deviation"):
        Pool("CartPole-v1").collect(actor(head="q_values"), steps=1)
    monkeypatch.setattr(Worlds, "broken", True)
    with pytest.raises(ZeuxisError, match="no finite number"):
        Pool("CartPole-v1").collect(actor(), steps=1)
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(MissingExtra, match=r"zeuxis\[envpool\]"):
        Pool("CartPole-v1")


def test_the_package_itself() -> None:
    """Ends, cuts and mechanics as Gymnasium has them, where EnvPool is installed."""
    pytest.importorskip("envpool")
    found, count = Pool("CartPole-v1", 1, seed=1, worlds=4).collect(actor(), steps=300)
    assert same(
        found, Pool("CartPole-v1", 2, seed=1, worlds=4).collect(actor(), steps=300)[0]
    ) and count == len(found.lengths)
    assert (found.returns == found.lengths).all()
    out = (np.abs(found.finals[:, 0]) > 2.4) | (np.abs(found.finals[:, 2]) > 12 * np.pi / 180)
    assert np.array_equal(out, found.terminated)
    world: Any = gymnasium.make("CartPole-v1").unwrapped
    world.reset(seed=0)
    for x, action, following in zip(
        found.observations, found.actions, found.next_observations, strict=True
    ):
        world.state, world.steps_beyond_terminated = tuple(x.astype(np.float64)), None
        assert np.allclose(world.step(int(action))[0], following, atol=1e-5)
    cut, _ = Pool("HalfCheetah-v5", 1, horizon=12, worlds=3).collect(
        actor(17, 6, "gaussian_mean", log_std=np.zeros(6)), episodes=4
    )
    assert (
        cut.lengths.tolist() == [12] * 4
        and not cut.terminated.any()
        and np.abs(cut.actions).max() > 1
    )
    trained = TRPO(
        "CartPole-v1",
        OnPolicyConfig(batch=500, engine="envpool", workers=1, threads=1, hidden=(16,), seed=1),
        quiet=True,
    ).learn(6_000)
    assert trained.figures["return"] > 40
