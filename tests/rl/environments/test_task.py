"""Actions of an environment and of a network: the first class, bounds in the box's own type,
shapes, wherever actions appear."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("gymnasium")

from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Tuple

import tiny_envs
from zeuxis.errors import DataError, UsageError, ZeuxisError
from zeuxis.rl.environments.task import Task
from zeuxis.rl.exploration.information_gain import VIMEConfig
from zeuxis.rl.exploration.vime import VIME
from zeuxis.rl.imitation.behavioral_cloning import BC, CloningConfig
from zeuxis.rl.imitation.demonstration_files import read_demos, write_demos
from zeuxis.rl.imitation.demonstrations import Demonstrations, record
from zeuxis.rl.imitation.discriminator import GAILConfig
from zeuxis.rl.imitation.gail import GAIL
from zeuxis.rl.optimization.config import OnPolicyConfig, PolicyExperiment
from zeuxis.rl.optimization.on_policy import TRPO
from zeuxis.rl.policies.policy_file import load_policy, read_policy
from zeuxis.rl.rollouts.collector import Collector
from zeuxis.rl.rollouts.policy_evaluation import evaluate_policy

QUICK = OnPolicyConfig(batch=40, hidden=(4,), workers=0, threads=1, horizon=20, value_epochs=1)


class Strict(tiny_envs.Switch):
    """Takes actions of its space only, and keeps them; state s is answered by the s-th action, or
    by the s-th bound."""

    def __init__(self, actions: Any) -> None:
        super().__init__()
        self.action_space = actions
        self.taken: list[Any] = []

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        space = self.action_space
        assert space.contains(action if isinstance(space, Box) else np.int64(action)), action
        self.taken.append(action)
        if isinstance(space, Discrete):
            return super().step(int(action) - int(space.start))
        return super().step(np.zeros(1))


def five() -> Strict:
    return Strict(Discrete(2, start=5))


BOXES = {
    "float64": Box(-0.1, 0.1, (2,), np.float64),
    "float32": Box(-0.1, 0.1, (2,), np.float32),
    "float16": Box(-0.1, 0.1, (2,), np.float16),
    "different": Box(np.array([-0.3, 2.0]), np.array([0.1, 2.7]), dtype=np.float64),
    "one": Box(0.1, 0.7, (), np.float64),
    "matrix": Box(-0.1, 0.3, (1, 2), np.float64),
}


@pytest.mark.parametrize("name", BOXES)
def test_boxes_are_clipped_in_their_own_type_and_shape(name: str, tmp_path: Path) -> None:
    space = BOXES[name]
    env = partial(Strict, space)
    agent = TRPO(PolicyExperiment(env, QUICK), quiet=True).train(40)
    x = np.eye(2, dtype=np.float32)
    loaded = read_policy(agent.policy.save(tmp_path / "policy.safetensors"))
    assert loaded.task == agent.task
    for policy in (agent.policy, agent.policy.to_numpy(), loaded):
        for deterministic in (False, True):
            many, _ = policy.predict(x, deterministic=deterministic)
            one, _ = policy.predict(x[0], deterministic=deterministic)
            assert many.shape == (2, *space.shape) and all(space.contains(a) for a in many)
            assert space.contains(one), "one observation, one action"
    demos = record(agent.policy, env, 2, horizon=20, deterministic=False)
    again = read_demos(write_demos(demos, tmp_path / "demos.npz"))
    for kept in (demos, again):
        rows = kept.rollouts.actions.reshape(-1, *space.shape).astype(space.dtype)
        assert all(space.contains(a) for a in rows) and len({a.tobytes() for a in rows}) > 1
    clone = BC(
        PolicyExperiment(env, config=CloningConfig(steps=3, hidden=(4,), horizon=20, threads=1)),
        again,
        quiet=True,
    ).train()
    assert all(space.contains(a) for a in clone.policy.predict(x)[0])
    if name in ("float32", "float16"):
        return
    GAIL(PolicyExperiment(env, QUICK, config=GAILConfig(hidden=(4,))), again, quiet=True).train(40)
    VIME(
        PolicyExperiment(env, QUICK, config=VIMEConfig(learning_starts=10, updates=2, minibatch=4)),
        quiet=True,
    ).train(80)


def test_the_first_class_is_heeded_wherever_actions_appear(tmp_path: Path) -> None:
    x = np.eye(2, dtype=np.float32)
    agent = TRPO(PolicyExperiment(five, QUICK), quiet=True).train(80)
    policies = [
        agent.policy,
        agent.policy.to_numpy(),
        read_policy(agent.policy.save(tmp_path / "policy.safetensors")),
        load_policy(tmp_path),
    ]
    for policy in policies:
        assert set(np.unique([policy.predict(x, deterministic=False)[0] for _ in range(50)])) == {
            5,
            6,
        }
        assert int(policy.predict(x[0], deterministic=True)[0]) in (5, 6)

    expert = tiny_envs.switch_expert(False)
    assert evaluate_policy(expert, five, 2, horizon=20).returns.tolist() == [20, 20]
    demos = record(expert, five, 3, horizon=20)
    assert (
        set(demos.rollouts.actions.tolist()) == {5, 6}
        and demos.rollouts.returns.tolist() == [20] * 3
    )
    again = read_demos(write_demos(demos, tmp_path / "demos.npz"))
    assert np.array_equal(again.bind(agent.task).rollouts.actions, demos.rollouts.actions), (
        "of the environment, as recorded"
    )
    assert np.array_equal(
        again.bind(agent.task).bind(agent.task).rollouts.actions, demos.rollouts.actions
    ), "however often"

    c = CloningConfig(steps=300, hidden=(8,), lr=2e-2, validate_every=100, horizon=20, threads=1)
    clone = BC(PolicyExperiment(five, config=c), again, quiet=True).train()
    assert clone.policy.predict(x, deterministic=True)[0].tolist() == [5, 6]
    assert evaluate_policy(clone.policy, five, 2, horizon=20).returns.tolist() == [20, 20]

    imitator = GAIL(
        PolicyExperiment(five, QUICK, config=GAILConfig(hidden=(4,), bc_steps=300)),
        again,
        quiet=True,
    )
    assert torch.equal(imitator.expert[:, :2], imitator.expert[:, 2:]), (
        "state s is answered by class s"
    )
    assert imitator.train(40).policy.predict(x, deterministic=True)[0].tolist() == [5, 6]
    curious = VIME(
        PolicyExperiment(
            five, QUICK, config=VIMEConfig(learning_starts=10, updates=2, minibatch=4)
        ),
        quiet=True,
    ).train(80)
    assert np.isfinite(curious.curiosity.buffer.rows.numpy()).all()


def test_a_policy_of_another_library_gives_actions_of_the_environment() -> None:
    class Stranger:
        def __init__(self, shape: tuple[int, ...], first: int = 5) -> None:
            self.shape, self.first = shape, first

        def predict(self, x: np.ndarray, deterministic: bool = False) -> tuple[np.ndarray, None]:
            return np.full(self.shape, self.first + int(x[1] > 0.5)), None

    for shape in ((), (1,)):
        assert evaluate_policy(Stranger(shape), five, 2, horizon=20).returns.tolist() == [20, 20]
        assert set(record(Stranger(shape), five, 2, horizon=20).rollouts.actions.tolist()) == {5, 6}
    with pytest.raises(ZeuxisError, match=r"gave actions \d to \d, expected 5 to 6"):
        evaluate_policy(Stranger((), 0), five, 2, horizon=20)


@pytest.mark.parametrize(
    ("actions", "sentence"),
    [
        (np.arange(6) % 2, "actions 0 to 1, expected 5 to 6"),
        (np.full(6, 7), "actions 7 to 7, expected 5 to 6"),
        (np.eye(2)[np.arange(6) % 2], "actions of 2 numbers and 'x' takes one of 2 actions"),
        (5 + np.arange(6) / 10, "actions of fractions"),
        (np.full(6, 2**63, np.uint64), "expected 5 to 6"),
    ],
)
def test_foreign_classes_of_another_numbering_are_refused(
    actions: np.ndarray, sentence: str
) -> None:
    demos = tiny_envs.demos_of(
        actions=actions.astype(np.float64) if actions.dtype == np.uint64 else actions
    )
    with pytest.raises(DataError) as error:
        demos.bind(Task("x", 3, 2, True, 10, start=5))
    assert sentence in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("form", [(6,), (6, 1)])
@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.float32, np.float64, bool])
def test_classes_of_every_type_and_form_are_taken(
    form: tuple[int, ...], dtype: Any, tmp_path: Path
) -> None:
    taken, task = np.arange(6) % 2, Task("x", 3, 2, True, 10)
    arrays = vars(tiny_envs.demos_of().rollouts) | {"actions": taken.astype(dtype).reshape(form)}
    np.savez(tmp_path / "d.npz", **arrays)
    demos = read_demos(tmp_path / "d.npz")
    fitted = demos.bind(task).rollouts.actions
    assert fitted.tolist() == taken.tolist() and fitted.dtype == np.int64
    assert task.from_env(demos.rollouts.actions).tolist() == taken.tolist()


def test_whole_numbers_are_a_box_where_the_task_has_one(tmp_path: Path) -> None:
    arrays = vars(tiny_envs.demos_of().rollouts) | {
        "actions": np.array([[-2], [-1], [0], [1], [2], [0]])
    }
    np.savez(tmp_path / "d.npz", **arrays)
    fitted = (
        read_demos(tmp_path / "d.npz")
        .bind(Task("x", 3, 1, False, 10, (-1.0,), (1.0,)))
        .rollouts.actions
    )
    assert fitted.tolist() == [[-1], [-1], [0], [1], [1], [0]] and fitted.dtype == np.float32


@pytest.mark.parametrize(
    ("starts", "lengths"),
    [
        (np.array([0, 3]), [3, 5]),
        (np.array([3, 0]), [3, 5]),
        (np.array([1, 0, 0, 1, 0, 0, 0, 0], bool), [3, 5]),
        (np.array([1, 0, 0, 1, 0, 0, 0, 0]), [3, 5]),
        (np.array([1.0, 0, 0, 1, 0, 0, 0, 0]), [3, 5]),
        (np.arange(8), [1] * 8),
        (np.ones(8, bool), [1] * 8),
        (np.array([0]), [8]),
        (np.array([[0], [3]]), [3, 5]),
    ],
    ids=str,
)
def test_starts_of_episodes_are_numbers_or_a_mask(
    starts: np.ndarray, lengths: list[int], tmp_path: Path
) -> None:
    np.savez(tmp_path / "d.npz", **transitions(), episode_starts=starts)
    assert read_demos(tmp_path / "d.npz").rollouts.lengths.tolist() == lengths


def transitions(n: int = 8) -> dict[str, np.ndarray]:
    seen = np.random.default_rng(0).standard_normal((n + 1, 4)).astype(np.float32)
    return {
        "obs": seen[:-1],
        "next_obs": seen[1:],
        "act": np.zeros(n, int),
        "rew": np.ones(n),
        "terminal": np.zeros(n, bool),
    }


@pytest.mark.parametrize(
    "starts",
    [
        np.zeros(8, bool),
        np.arange(8) == 1,
        np.array([True, False]),
        np.array([0, 8]),
        np.array([0.5]),
        np.array([-1, 0]),
        np.array([np.nan]),
        np.array([0, 2**62]),
        np.zeros(0),
        np.array([2.0**80]),
    ],
    ids=str,
)
def test_starts_that_are_neither_are_refused(starts: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", **transitions(), episode_starts=starts)
    with pytest.raises(DataError, match="expected starts from 0 on within the steps, or a mask"):
        read_demos(tmp_path / "d.npz")


def test_episodes_without_steps_are_left_out_and_counted(tmp_path: Path) -> None:
    arrays = vars(tiny_envs.demos_of(lengths=(2, 1, 3)).rollouts) | {"lengths": np.array([2, 0, 4])}
    np.savez(tmp_path / "d.npz", **arrays)
    demos = read_demos(tmp_path / "d.npz")
    assert (
        demos.rollouts.lengths.tolist() == [2, 4]
        and demos.about["episodes without steps left out"] == 1
    )
    assert np.array_equal(demos.rollouts.finals, arrays["finals"][[0, 2]])
    assert demos.rollouts.returns.tolist() == [2, 4] and len(demos.first(1).rollouts) == 2
    with pytest.raises(DataError, match="whether they were terminal"):
        Demonstrations(replace(demos.rollouts, terminated=np.ones(6, bool)))


REFUSED = {
    "several": MultiDiscrete([2, 3]),
    "binary": MultiBinary(3),
    "tuple": Tuple((Discrete(2), Box(0, 1, (1,)))),
    "half bounded": Box(np.array([0.0, -np.inf]), np.array([1.0, 1.0]), dtype=np.float64),
    "as good as unbounded": Box(-1e300, 1e300, (2,), np.float64),
    "whole": Box(0, 5, (2,), np.int64),
    "nothing": Box(0, 1, (0,), np.float32),
    "too many": Discrete(10**9),
}


@pytest.mark.parametrize("name", REFUSED)
def test_actions_that_cannot_be_learned_are_refused(name: str) -> None:
    with pytest.raises(UsageError) as error:
        Collector(lambda: tiny_envs.Strange(action=REFUSED[name]), horizon=5)
    assert (
        "Actions of" in str(error.value)
        and "\n" not in str(error.value)
        and str(error.value).endswith(".")
    )
