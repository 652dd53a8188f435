"""Demonstrations and policy files: thinning, every form of file, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("gymnasium")

import tiny_envs
from tiny_envs import BOX, CHOICE, demos_of, switch_expert
from zeuxis.errors import DataError, UsageError, ZeuxisError
from zeuxis.rl.environments.task import Task
from zeuxis.rl.imitation.demonstration_files import read_demos, write_demos
from zeuxis.rl.imitation.demonstrations import Demonstrations, record
from zeuxis.rl.policies.numpy_policy import NumpyPolicy
from zeuxis.rl.policies.policy import make_policy
from zeuxis.rl.policies.policy_file import load_policy, read_policy, write_policy
from zeuxis.rl.rollouts.policy_evaluation import evaluate_policy


def test_thinning_is_the_papers() -> None:
    demos = demos_of(100, lengths=(40, 5, 55))
    begin = np.random.RandomState(0).randint(0, 20, 3)
    assert begin.tolist() == [12, 15, 0]
    observations, actions = demos.pairs(every=20)
    rows = [
        12,
        32,
        40,
        45,
        65,
        85,
    ]  # an offset past the end of a short one starts again from its length's remainder
    assert np.array_equal(observations, demos.rollouts.observations[rows])
    assert np.array_equal(actions, demos.rollouts.actions[rows])
    assert np.array_equal(demos.pairs(2, 20)[0], demos.rollouts.observations[rows[:3]]), (
        "the same offsets for fewer trajectories"
    )
    assert len(demos.pairs()[0]) == 100


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_demonstrations_go_through_files(suffix: str, tmp_path: Path) -> None:
    demos = record(switch_expert(False), tiny_envs.Switch, 3, horizon=20, policy="planted")
    again = read_demos(write_demos(demos, tmp_path / f"demos.{suffix}"))
    for a, b in zip(vars(demos.rollouts).values(), vars(again.rollouts).values(), strict=True):
        assert np.array_equal(a, b) and a.dtype == b.dtype
    assert (
        again.about == demos.about
        and again.about["policy"] == "planted"
        and again.about["env"] == "Switch"
    )
    assert len(again.first(2)) == 2
    assert not list(tmp_path.glob(".*"))


def test_episodes_of_minari_are_taken() -> None:
    episodes = [
        SimpleNamespace(
            observations=np.ones((n + 1, 3)),
            actions=np.zeros((n, 2)),
            rewards=np.ones(n),
            terminations=np.arange(n) == n - 1,
        )
        for n in (3, 5)
    ]
    demos = Demonstrations.of_episodes(iter(episodes), dataset="mujoco/hopper/expert-v0")
    assert (
        demos.rollouts.lengths.tolist() == [3, 5]
        and demos.rollouts.terminated.all()
        and demos.rollouts.actions.shape == (8, 2)
    )
    with pytest.raises(DataError, match="no episodes"):
        Demonstrations.of_episodes([])
    episodes[0].observations = np.ones((3, 3))
    with pytest.raises(DataError, match="3 observations for 3 actions"):
        Demonstrations.of_episodes(episodes)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("demos")
    good = vars(demos_of().rollouts)
    changes = {
        "empty": {
            "observations": np.zeros((0, 3)),
            "actions": np.zeros((0, 2)),
            "rewards": np.zeros(0),
            "lengths": np.zeros(0),
            "finals": np.zeros((0, 3)),
            "terminated": np.zeros(0),
        },
        "nan": {"actions": np.full((6, 2), np.nan)},
        "infinite": {"observations": np.full((6, 3), np.inf)},
        "lengths": {"lengths": np.array([2, 3])},
        "short": {"actions": np.zeros((5, 2))},
        "pictures": {"observations": np.zeros((6, 3, 3))},
        "strings": {"actions": np.array(["left"] * 6)},
    }
    np.savez(at / "good.npz", **good)
    for name, change in changes.items():
        np.savez(at / f"{name}.npz", **{**good, **change})
    np.savez(at / "missing.npz", observations=np.zeros((3, 2)))
    np.savez(at / "objects.npz", **{**good, "actions": np.array([{"a": 1}] * 6, dtype=object)})
    (at / "cut.npz").write_bytes((at / "good.npz").read_bytes()[:300])
    (at / "text.npz").write_text("hello")
    (at / "text.safetensors").write_text("hello")
    n = 6
    other = {
        "obs": np.zeros((n, 3)),
        "next_obs": np.ones((n, 3)),
        "act": np.zeros((n, 2)),
        "rew": np.zeros(n),
        "terminal": np.arange(n) % 3 == 2,
    }
    np.savez(at / "other.npz", **other, episode_starts=np.array([0, 3]))
    np.savez(at / "starts.npz", **other, episode_starts=np.array([1, 9]))
    return at


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere.npz", "no file of demonstrations"),
        ("empty.npz", "holds no demonstrations"),
        ("nan.npz", "actions that are no finite numbers"),
        ("infinite.npz", "observations that are no finite numbers"),
        ("lengths.npz", "must agree"),
        ("short.npz", "6 observations, 5 actions"),
        ("pictures.npz", "expected (steps, entries)"),
        ("strings.npz", "no numbers"),
        ("missing.npz", "no array 'actions'"),
        ("objects.npz", "cannot be read as plain arrays"),
        ("cut.npz", "cannot be read as plain arrays"),
        ("text.npz", "cannot be read as plain arrays"),
        ("text.safetensors", "cannot be read as plain arrays"),
        ("starts.npz", "expected starts from 0 on"),
    ],
)
def test_bad_files_get_one_sentence(name: str, sentence: str, files: Path) -> None:
    with pytest.raises(DataError) as error:
        read_demos(files / name)
    assert sentence in str(error.value)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


def test_files_of_the_other_form_are_read(files: Path) -> None:
    demos = read_demos(files / "other.npz")
    assert demos.rollouts.lengths.tolist() == [3, 3] and demos.rollouts.terminated.tolist() == [
        True,
        True,
    ]
    assert demos.rollouts.finals.tolist() == [[1, 1, 1]] * 2


@pytest.mark.parametrize(
    ("demos", "sentence"),
    [
        (demos_of(entries=4), "observations of 4 numbers"),
        (demos_of(actions=np.zeros((6, 3), np.float32)), "actions of 3 numbers"),
        (demos_of(actions=np.zeros(6, np.int64)), "actions of classes"),
    ],
)
def test_demonstrations_of_another_task_are_refused(demos: Demonstrations, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        demos.bind(BOX)


def test_demonstrations_are_fitted_to_the_task() -> None:
    with pytest.raises(DataError, match="actions 0 to 5, expected 0 to 1"):
        demos_of(actions=np.arange(6)).bind(CHOICE)
    wild = demos_of(actions=np.full((6, 2), 7.0, np.float32), lengths=(6,))
    wild = replace(wild, rollouts=replace(wild.rollouts, terminated=np.array([True])))
    assert wild.bind(BOX).rollouts.actions.max() == 1
    assert wild.bind(BOX).rollouts.terminated.tolist() == [True]
    assert wild.bind(replace(BOX, horizon=6)).rollouts.terminated.tolist() == [False], (
        "an end at the time limit is a cut"
    )
    with pytest.raises(UsageError, match="has 2 trajectories and 3 were asked for"):
        demos_of().first(3)
    with pytest.raises(UsageError, match="at least 1"):
        demos_of().pairs(every=0)


def test_policies_of_other_libraries_act_by_their_predict() -> None:
    class External:
        def predict(self, x: np.ndarray, deterministic: bool = False) -> tuple[np.ndarray, None]:
            return np.array(int(x[1] > 0.5)), None

    assert (
        evaluate_policy(External(), tiny_envs.Switch, 3, horizon=20).returns.tolist() == [20.0] * 3
    )
    assert (
        record(External(), tiny_envs.Switch, 2, horizon=20).rollouts.returns.tolist() == [20.0] * 2
    )
    with pytest.raises(ZeuxisError, match="workers=0"):
        record(External(), tiny_envs.Switch, 2, horizon=20, workers=2)


@pytest.mark.parametrize("discrete", [False, True])
def test_a_policys_arrays_act_as_its_network_does(discrete: bool, tmp_path: Path) -> None:
    task = CHOICE if discrete else BOX
    policy = make_policy(task, (16, 8))
    for p in policy.parameters():
        torch.nn.init.normal_(p)
    policy.obs_rms.update(5 + 3 * torch.randn(100, 3))
    x = np.concatenate(
        [5 + 3 * np.random.default_rng(0).standard_normal((20, 3)), [[1e3, 0, 0]]]
    ).astype(np.float32)
    again = read_policy(policy.save(tmp_path / "policy.safetensors", algorithm="trpo"))
    assert again.metadata == {"env": "x", "algorithm": "trpo", "obs_layout": "first"}
    assert load_policy(tmp_path).stochastic
    with torch.no_grad():
        y = policy(torch.from_numpy(x)).numpy()
    for numpy_policy in (policy.to_numpy(), again):
        np.testing.assert_allclose(
            np.stack([numpy_policy.forward(row).copy() for row in x]), y, atol=1e-4, rtol=1e-5
        )
    wanted = y.argmax(1) if discrete else y.clip(-1, 1)
    np.testing.assert_allclose(again.predict(x)[0], wanted, atol=1e-4, rtol=1e-5)
    assert again.predict(x[0])[0].shape == (() if discrete else (2,))
    drawn = policy.predict(np.repeat(x[:1], 4000, 0))[0]
    if discrete:
        probabilities = torch.from_numpy(y[0]).softmax(0).numpy()
        assert np.abs(np.bincount(drawn, minlength=2) / 4000 - probabilities).max() < 0.04
    else:
        assert drawn.min() >= -1 and drawn.max() <= 1 and drawn.std() > 0


def test_heads_and_layouts() -> None:
    squashed = NumpyPolicy(
        [np.eye(2)], [np.zeros(2)], np.zeros(2), np.ones(2), "tanh_gaussian_mean"
    ).bind(Task("x", 2, 2, False, 5, (-1, 0), (3, 1)))
    assert squashed.act(np.array([0, 100], np.float32)).tolist() == [1, 1]
    assert squashed.act(np.array([-100, 0], np.float32)).tolist() == [-1, 0.5]
    angles = NumpyPolicy(
        [np.eye(4)[:3]], [np.zeros(3)], np.zeros(4), np.ones(4), "logits", layout="acrobot_angles"
    )
    result = angles.bind(Task("Acrobot", 6, 3, True, 5)).forward(
        np.array([np.cos(2), np.sin(2), np.cos(-1), np.sin(-1), 7, 8], np.float32)
    )
    np.testing.assert_allclose(result, [2, -1, 7], rtol=1e-6)
    relu = NumpyPolicy(
        [-np.eye(2), np.eye(2)],
        [np.zeros(2)] * 2,
        np.ones(2),
        2 * np.ones(2),
        "q_values",
        "relu",
        clip=1.5,
    )
    assert relu.forward(np.array([0.9, -9], np.float32)).tolist() == pytest.approx([0.2, 1.5])
    assert not relu.stochastic


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("layer", {"layers.0.weight": None}, "has no 'layers.0.weight'"),
        ("sizes", {"layers.1.weight": np.zeros((2, 5), np.float32)}, "do not fit together"),
        ("scale", {"obs_scale": np.zeros(2, np.float32)}, "do not fit together"),
        ("finite", {"layers.0.bias": np.full(4, np.inf, np.float32)}, "not finite"),
        ("deviations", {"log_std": np.zeros(5, np.float32)}, "deviations"),
        ("head", {"head": "softmax"}, "the head 'softmax'"),
        ("clip", {"obs_clip": "ten"}, "the obs_clip 'ten'"),
    ],
)
def test_bad_policy_files_get_one_sentence(
    name: str, change: dict, sentence: str, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, safe_open, save_file

    numpy_policy = NumpyPolicy(
        [np.zeros((4, 3)), np.zeros((2, 4))],
        [np.zeros(4), np.zeros(2)],
        np.zeros(3),
        np.ones(3),
        "logits",
    )
    path = write_policy(numpy_policy, tmp_path / "policy.safetensors")
    with safe_open(path, "np") as file:
        metadata = {k: v for k, v in file.metadata().items() if k != "sha256"}
    tensors = load_file(path) | {k: v for k, v in change.items() if isinstance(v, np.ndarray)}
    save_file(
        {k: v for k, v in tensors.items() if k not in change or change[k] is not None},
        path,
        metadata | {k: v for k, v in change.items() if isinstance(v, str)},
    )
    with pytest.raises(ZeuxisError) as error:
        read_policy(path)
    assert (
        sentence in str(error.value)
        and str(error.value).endswith(".")
        and "\n" not in str(error.value)
    )


def test_policies_of_other_tasks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ZeuxisError, match="no policy file"):
        read_policy(tmp_path / "nowhere.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ZeuxisError, match="damaged"):
        read_policy(tmp_path / "text.safetensors")
    with pytest.raises(UsageError, match="reads 2 numbers"):
        switch_expert(False).bind(Task("x", 1, 2, True, 5))
    with pytest.raises(UsageError, match="takes 1 numbers"):
        switch_expert(False).bind(Task("x", 2, 1, False, 5, (-1.0,), (1.0,)))


@pytest.mark.parametrize(
    "name",
    [
        "gail_acrobot",
        "gail_cartpole",
        "sb3_dqn_mountaincar",
        "sb3_trpo_pendulum",
        "sb3_trpo_mountaincarcontinuous",
    ],
)
def test_published_experts_act_as_well_as_was_measured(name: str, shared: Path) -> None:
    import json

    about = next(
        e for e in json.loads((shared / "experts/index.json").read_text()) if name in e["file"]
    )
    result = evaluate_policy(read_policy(shared / "experts" / about["file"]), about["env"], 10)
    assert result.returns.mean() == pytest.approx(
        about["eval"]["mean"], abs=2 * about["eval"]["std"] + 3
    )


def test_published_trajectories_are_read(shared: Path) -> None:
    hopper = read_demos(shared / "experts/trajectories/Hopper-v4.npz")
    assert hopper.rollouts.lengths.tolist() == [
        1000,
        1000,
    ] and hopper.rollouts.returns.mean() == pytest.approx(3718, abs=1)
    cartpole = read_demos(shared / "experts/trajectories/CartPole-v1.npz")
    assert (
        len(cartpole) == 20
        and cartpole.discrete
        and cartpole.rollouts.returns.mean() == pytest.approx(467, abs=1)
    )
    assert len(hopper.pairs(every=20)[0]) == 100
