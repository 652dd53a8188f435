"""Trajectories: what is in them, that they do not depend on the number of workers, and what happens
when something dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")

import tiny_envs
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.rl.environments.environment import task_of
from zeuxis.rl.environments.task import Task
from zeuxis.rl.policies.numpy_policy import NumpyPolicy, linear_policy
from zeuxis.rl.rollouts.collector import Collector
from zeuxis.rl.rollouts.trajectory import Rollouts, Trajectory

HELPERS = str(Path(__file__).parents[2] / "helpers")


def planted_policy(
    entries: int = 2, actions: int = 2, discrete: bool = True, log_std: float = 0.0
) -> NumpyPolicy:
    weights = np.random.default_rng(0).standard_normal((actions, entries))
    if discrete:
        return linear_policy(weights)
    return linear_policy(weights, log_std=np.full(actions, log_std), head="gaussian_mean")


def same(a: Rollouts, b: Rollouts) -> bool:
    return all(
        np.array_equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
    )


@pytest.mark.parametrize(
    ("ends", "cut", "terminated"), [(3, 0, True), (0, 3, False), (0, 0, False), (3, 3, True)]
)
def test_the_final_observation_is_true_and_termination_differs_from_truncation(
    ends: int, cut: int, terminated: bool
) -> None:
    with Collector(
        partial(tiny_envs.Count, ends, cut), horizon=3 if not (ends or cut) else 50
    ) as collector:
        result, episodes = collector.collect(planted_policy(), steps=5)
    assert episodes == 2
    assert result.lengths.tolist() == [3, 3]
    assert result.terminated.tolist() == [terminated] * 2
    assert result.observations[:, 0].tolist() == [0, 1, 2, 0, 1, 2]
    assert result.finals[:, 0].tolist() == [3, 3]
    assert result.next_observations[:, 0].tolist() == [1, 2, 3, 1, 2, 3]
    assert result.next_observations[2, 1] == result.observations[0, 1] != result.observations[3, 1]
    assert result.times.tolist() == [0, 1, 2, 0, 1, 2]
    assert result.returns.tolist() == [6, 6]


def test_trajectories_do_not_depend_on_the_number_of_workers() -> None:
    result = []
    for workers in (0, 1, 2):
        with Collector("CartPole-v1", workers, seed=3) as collector:
            one = collector.collect(planted_policy(4), steps=700)
            two = collector.collect(planted_policy(4), steps=300, first=one[1])
            three = collector.collect(
                planted_policy(4), episodes=3, stream="evaluate", deterministic=True
            )
            result.append((one, two, three))
    for other in result[1:]:
        for (a, n), (b, m) in zip(result[0], other, strict=True):
            assert n == m
            assert same(a, b)
    (one, n), (two, _), (three, k) = result[0]
    assert len(one) >= 700 > len(one) - one.lengths[-1], "no trajectory more than needed"
    assert k == 3 == len(three.lengths)
    assert not np.array_equal(one.observations[0], two.observations[0])
    with Collector("CartPole-v1", seed=4) as collector:
        assert not same(collector.collect(planted_policy(4), steps=700)[0], one)


def test_noise_follows_the_policys_distribution() -> None:
    with Collector(partial(tiny_envs.Bandit, 3), horizon=25) as collector:
        result, _ = collector.collect(planted_policy(1, 3), steps=4000)
    weights = planted_policy(1, 3).weights[0][:, 0]
    probabilities = np.exp(weights) / np.exp(weights).sum()
    assert np.abs(np.bincount(result.actions) / 4000 - probabilities).max() < 0.03
    with Collector(tiny_envs.Bandit, horizon=25) as collector:
        result, _ = collector.collect(planted_policy(1, 1, False, np.log(0.3)), steps=4000)
    assert abs(result.actions.mean() - planted_policy(1, 1).weights[0].item()) < 0.02
    assert abs(result.actions.std() - 0.3) < 0.02


def test_the_environment_sees_clipped_actions_and_the_learner_what_was_chosen() -> None:
    environment = tiny_envs.Count(
        cut=8,
        actions=gymnasium.spaces.Box(-0.5, np.array([[1.0, 0.1]], np.float32), dtype=np.float32),
    )
    with Collector(lambda: environment, horizon=8) as collector:
        assert collector.task == Task(
            "<lambda>", 2, 2, False, 8, (-0.5, -0.5), (1.0, np.float32(0.1).item()), shape=(1, 2)
        )
        result, _ = collector.collect(planted_policy(2, 2, False, 1.0), episodes=1)
    assert result.actions.shape == (8, 2)
    assert np.abs(result.actions).max() > 1
    taken = np.stack(environment.taken)
    assert taken.shape == (8, 1, 2)
    assert np.array_equal(
        taken[:, 0],
        np.clip(result.actions, [-0.5, -0.5], [1.0, np.float32(0.1)]).astype(np.float32),
    )


def test_spaces_of_other_kinds() -> None:
    with Collector(tiny_envs.Nested, horizon=4) as collector:
        result, _ = collector.collect(planted_policy(7), episodes=1)
    assert result.observations[1].tolist() == [0.5] * 4 + [0, 1, 0]
    environment = tiny_envs.Count(cut=4, actions=gymnasium.spaces.Discrete(2, start=5))
    with Collector(lambda: environment, horizon=4) as collector:
        result, _ = collector.collect(planted_policy(), episodes=1)
    assert environment.taken == (result.actions + 5).tolist()


def test_registered_tasks_and_functions_reach_other_processes() -> None:
    gymnasium.register("Counting-v0", tiny_envs.Count, max_episode_steps=6)
    try:
        bonus = 0.0

        class Closed(tiny_envs.Count):
            def step(self, action):
                x, reward, *rest = super().step(action)
                return (x, reward + bonus, *rest)

        for source, length in (
            ("Counting-v0", 6),
            (lambda: Closed(cut=4), 4),
            (partial(tiny_envs.Count, ends=2), 2),
        ):
            results = []
            for workers in (0, 1):
                with Collector(
                    source, workers, horizon=0 if isinstance(source, str) else 9
                ) as collector:
                    results.append(collector.collect(planted_policy(), steps=20)[0])
            assert same(*results)
            assert results[0].lengths[0] == length
        assert task_of("Counting-v0", 3).horizon == 3
    finally:
        del gymnasium.registry["Counting-v0"]


BAD: list[tuple[object, int, str]] = [
    ("Hoper-v5", 0, "There is no task 'Hoper-v5'"),
    ("nowhere:Task-v0", 0, "There is no task 'nowhere:Task-v0'"),
    (tiny_envs.Count, 0, "have no time limit"),
    (tiny_envs.pictures, 5, "not pictures"),
    (tiny_envs.unbounded, 5, "leave ClipAction out"),
    (tiny_envs.many, 5, "expected Discrete or a Box"),
    (tiny_envs.whole, 5, "expected Discrete or a Box"),
    (lambda: 3, 5, "makes a int, expected a gymnasium.Env"),
    (lambda: 1 / 0, 5, "could not be made (ZeroDivisionError"),
]


@pytest.mark.parametrize(("source", "horizon", "sentence"), BAD, ids=[case[2] for case in BAD])
def test_environments_that_cannot_be_learned_are_refused(
    source: Callable, horizon: int, sentence: str
) -> None:
    with pytest.raises(UsageError) as error:
        Collector(source, 0, 0, horizon)
    assert sentence in str(error.value)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("how", "sentence"),
    [("raise", "ValueError: the leg broke"), ("nan", "finite"), ("shape", "3 numbers")],
)
def test_an_environment_that_fails_ends_the_run_with_a_sentence(
    workers: int, how: str, sentence: str
) -> None:
    with (
        pytest.raises(ZeuxisError, match=sentence) as error,
        Collector(partial(tiny_envs.Fails, how), workers, horizon=10) as collector,
    ):
        collector.collect(planted_policy(), steps=100)
    assert "failed at step" in str(error.value) and "\n" not in str(error.value)
    assert all(not alive(w.process.pid) for w in collector.workers)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return (
        Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
        if Path(f"/proc/{pid}/stat").exists()
        else True
    )


def gone(pids: list[int], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(map(alive, pids)):
        time.sleep(0.05)
    return not any(map(alive, pids))


def test_a_worker_that_dies_ends_the_run_with_a_sentence() -> None:
    with (
        pytest.raises(ZeuxisError, match="killed by signal 9"),
        Collector(partial(tiny_envs.Fails, "kill"), 2, horizon=10) as collector,
    ):
        collector.collect(planted_policy(), steps=100)
    with Collector(partial(tiny_envs.Fails, "sleep"), 2, horizon=10) as collector:
        pids: list[int] = []

        def kill() -> None:
            while len(collector.workers) < 2:
                time.sleep(0.01)
            time.sleep(0.3)
            pids.extend(w.process.pid for w in collector.workers)
            os.kill(pids[1], signal.SIGKILL)

        threading.Thread(target=kill).start()
        with pytest.raises(ZeuxisError, match="killed by signal 9"):
            collector.collect(planted_policy(), steps=100)
    assert gone(pids)


SCRIPT = """
import sys, threading, time
sys.path.insert(0, sys.argv[1])
from functools import partial
import numpy as np
import tiny_envs
from zeuxis.rl.policies.numpy_policy import linear_policy
from zeuxis.rl.rollouts.collector import Collector
collector = Collector(partial(tiny_envs.Fails, "sleep"), 2, horizon=10)
def show():
    while len(collector.workers) < 2:
        time.sleep(0.01)
    print(*(w.process.pid for w in collector.workers), flush=True)
threading.Thread(target=show).start()
collector.collect(linear_policy(np.zeros((2, 2))), steps=100)
"""


def test_no_worker_outlives_a_killed_run() -> None:
    argv = [sys.executable, "-c", SCRIPT, HELPERS]
    parent = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    time.sleep(0.5)
    assert all(map(alive, pids))
    parent.kill()
    parent.wait()
    assert gone(pids)


def test_rollouts_join_trajectories_in_order() -> None:
    parts = [
        Trajectory(
            np.full((n + 1, 1), n, np.float32), np.arange(n), np.ones(n, np.float32), bool(n % 2)
        )
        for n in (2, 1, 3)
    ]
    result = Rollouts.of(parts)
    assert result.starts.tolist() == [0, 2, 3]
    assert result.terminated.tolist() == [False, True, True]
    assert result.returns.tolist() == [2, 1, 3]
    assert len(result) == 6
