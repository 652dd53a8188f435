"""Curious policies: rewards and successors at the ends of episodes, going on bit for bit, a task
that is silent, and the callback."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("gymnasium")

import gymnasium
from gymnasium.spaces import Box, Discrete
from PIL import Image

import tiny_envs
import tiny_sb3
from zeuxis.checkpoints.run_folder import Run
from zeuxis.cli import main
from zeuxis.errors import MissingExtra, UsageError
from zeuxis.recipes.policies import policy_experiment
from zeuxis.rl.exploration.information_gain import InformationGain, VIMEConfig
from zeuxis.rl.exploration.released_code import RELEASED, ReleasedVIME
from zeuxis.rl.exploration.state_coverage import MAX_POINTS, StateCoverage
from zeuxis.rl.exploration.vime import VIME
from zeuxis.rl.integrations.sb3_exploration import vime_callback
from zeuxis.rl.optimization.config import OnPolicyConfig, PolicyExperiment
from zeuxis.rl.policies.policy_file import load_policy
from zeuxis.rl.rollouts.trajectory import Rollouts

QUICK = VIMEConfig(updates=20, learning_starts=50)
QUICK_RELEASED = replace(RELEASED, updates=10, learning_starts=50)


class Far(gymnasium.Env):
    """A number that moves by at most 0.1 a step; the only reward is at 2.5, which random actions do
    not reach in 40 steps."""

    def __init__(self) -> None:
        self.observation_space, self.action_space = (
            Box(-np.inf, np.inf, (1,), np.float32),
            Box(-1, 1, (1,), np.float32),
        )

    def look(self) -> np.ndarray:
        return np.array([self.at], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.at, self.t = 0.0, 0
        return self.look(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.at, self.t = max(-0.3, self.at + 0.1 * float(action[0])), self.t + 1
        won = self.at >= 2.5
        return self.look(), float(won), won, self.t == 40, {}


def training(**changes: object) -> OnPolicyConfig:
    defaults = {
        "batch": 800,
        "horizon": 40,
        "workers": 0,
        "threads": 1,
        "hidden": (16,),
        "gamma": 0.99,
        "lam": 0.95,
    }
    return OnPolicyConfig(**(defaults | changes))  # type: ignore[arg-type]


def agent_of(
    config: VIMEConfig = QUICK, env: Any = Far, kind: type[VIME] = VIME, **changes: object
) -> VIME:
    return kind(PolicyExperiment(env, training(**changes), config=config), quiet=True)


@pytest.mark.slow
def test_curiosity_finds_what_random_actions_do_not() -> None:
    result = {}
    for bonus in ("none", "information"):
        agent = agent_of(VIMEConfig(bonus=bonus, updates=100), seed=2)  # type: ignore[arg-type]
        result[bonus] = [agent.train(1).figures["return"] for _ in range(13)]
        assert agent.figures["cells"] == len(agent.coverage.cells)
    assert max(result["none"]) == 0
    assert max(result["information"][:2]) == 0 and result["information"][-1] > 0.8, result[
        "information"
    ]


@pytest.mark.parametrize("kind", [VIME, ReleasedVIME])
def test_a_batch_is_rewarded_by_the_posterior_before_it(kind: type[VIME]) -> None:
    agent = agent_of(replace(QUICK, eta=0.5), kind=kind, batch=200)
    first = agent.train(1).figures
    assert (
        first["information"] == first["bonus"] == first["share"] == 0 and "likelihood" not in first
    )
    assert int(agent.curiosity.batches) == 0 and int(agent.curiosity.fits) == 1
    rollouts, _ = agent.collector.collect(
        agent.policy.to_numpy(), steps=200, first=agent.trajectories
    )
    obs, act, following = agent.transitions(rollouts)
    assert abs(act).max() <= 1 < abs(rollouts.actions).max(), "clipped, as taken"
    gains = agent.gains(rollouts)
    if kind is VIME:
        assert np.array_equal(gains, agent.curiosity.bonus(obs, act, following))
    rewards = agent.rewards(rollouts)
    np.testing.assert_allclose(rewards - rollouts.rewards, 0.5 * gains / np.median(gains))
    value_rewards = agent.value_rewards(rollouts, rewards)
    assert np.array_equal(value_rewards, rewards if kind is VIME else rollouts.rewards)
    again = agent.train(1).figures
    assert (
        again["information"] == pytest.approx(gains.mean())
        and again["share"] > 0.99
        and np.isfinite(again["likelihood"])
    )


def ends() -> Rollouts:
    """Two episodes, one terminated and one truncated."""
    obs = np.arange(5, dtype=np.float32)[:, None]
    finals = np.array([[30.0], [50.0]], np.float32)
    return Rollouts(
        obs,
        np.zeros((5, 1), np.float32),
        np.zeros(5),
        np.array([3, 2]),
        finals,
        np.array([True, False]),
    )


def test_next_states_are_true_but_in_the_released_code() -> None:
    agent = agent_of(replace(QUICK, learning_starts=1))
    agent.update_auxiliary(ends())
    rows = agent.curiosity.buffer.rows[:5].numpy()
    np.testing.assert_array_equal(rows[:, [0, 2]], [[0, 1], [1, 2], [2, 30], [3, 4], [4, 50]])
    agent = agent_of(replace(QUICK, learning_starts=1), kind=ReleasedVIME)
    agent.update_auxiliary(ends())
    rows = agent.curiosity.buffer.rows[:4].numpy()
    np.testing.assert_array_equal(rows[:, [0, 2]], [[0, 1], [1, 2], [2, 3], [3, 4]])
    rewards = agent.rewards(ends())
    assert rewards[2] == rewards[1] > 0 and rewards[4] == rewards[3]


@pytest.mark.parametrize(
    "env",
    [Far, partial(tiny_envs.Corridor, 6), tiny_envs.Nested],
    ids=["box", "discrete", "nested"],
)
@pytest.mark.parametrize(
    ("kind", "config"),
    [(VIME, QUICK), (ReleasedVIME, QUICK_RELEASED)],
    ids=["corrected", "paper"],
)
def test_every_kind_of_task(env: Any, kind: type[VIME], config: VIMEConfig) -> None:
    figures = agent_of(config, env, kind, batch=100).train(250).figures
    assert (
        figures["information"] > 0
        and figures["bonus"] > 0
        and np.isfinite(list(figures.values())).all()
    )


@pytest.mark.parametrize("bonus", ["information", "disagreement", "none"])
def test_a_resumed_run_ends_where_an_unbroken_one_does(bonus: str, tmp_path: Path) -> None:
    config: Any = replace(QUICK, bonus=bonus, buffer_size=300)  # type: ignore[arg-type]
    t = training(batch=200, steps=800)
    whole = VIME(
        PolicyExperiment(Far, t, config=config), run=Run.create(tmp_path, "whole"), quiet=True
    ).train()
    run = Run.create(tmp_path, "broken")
    VIME(PolicyExperiment(Far, replace(t, steps=400), config=config), run=run, quiet=True).train()
    rest = VIME(PolicyExperiment(Far, t, config=config), run=Run(run.folder), quiet=True).train()
    assert rest.steps == whole.steps == 800
    for name, part in whole.parts.items():
        for key, value in part.state_dict().items():
            assert torch.equal(value, rest.parts[name].state_dict()[key]), f"{name}.{key}"
    lines = [
        [
            {k: v for k, v in line.items() if k not in ("seconds", "steps/s")}
            for line in r.run.metrics()
        ]
        for r in (whole, rest)
    ]
    assert lines[0] == lines[1]
    assert Image.open(rest.run.path("visited.png")).size == (360, 386)


def test_workers_change_nothing() -> None:
    result = []
    for workers in (0, 2):
        agent = VIME(
            PolicyExperiment(
                "tiny_envs:Drawn-v0", training(batch=200, workers=workers, horizon=0), config=QUICK
            ),
            quiet=True,
        ).train(600)
        result.append({k: v for k, v in agent.figures.items() if k not in ("seconds", "steps/s")})
    assert result[0] == result[1]


def test_first_actions_reach_half_their_range() -> None:
    make = partial(tiny_envs.Strange, action=Box(np.float32([-10, 0]), np.float32([10, 1])))
    log_std = agent_of(env=make).policy.log_std
    np.testing.assert_allclose(log_std.detach().exp(), [10, 0.5], rtol=1e-6)


def test_cells_are_counted_once() -> None:
    coverage = StateCoverage(2)
    grid = np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0)), -1).reshape(-1, 2)
    coverage.add(grid)
    side = grid.std(0)[0] / 2
    expected = len({tuple(np.floor((x - grid.mean(0)) / side)) for x in grid})
    assert coverage.count == expected
    coverage.add(grid[::-1])
    assert coverage.count == expected
    coverage.add(grid + 100)
    assert coverage.count > expected
    many = StateCoverage(1)
    for k in range(5):
        many.add(np.arange(k * 50_000, (k + 1) * 50_000)[:, None])
    stride = int(many.stride)
    assert len(many.points) <= MAX_POINTS and many.points[:, 0].tolist() == list(
        range(0, 250_000, stride)
    ), "evenly over the whole time"
    high = StateCoverage(40)
    high.add(np.random.default_rng(0).standard_normal((500, 40)))
    assert 50 < high.count <= 500 and not high.axes
    with pytest.raises(UsageError, match="--vime.axes 0 1"):
        high.plot(1, 1)
    with pytest.raises(UsageError, match="has the numbers 0 to 1"):
        StateCoverage(2, (0, 2))


def test_the_first_visit_colors_a_point() -> None:
    coverage = StateCoverage(2)
    coverage.add(np.concatenate([np.zeros((50, 2)), np.ones((50, 2)), np.zeros((50, 2))]))
    pixels = np.asarray(coverage.plot(10, 10))[:360].reshape(-1, 3)
    bright = np.unique(pixels[pixels.max(1) > 100], axis=0)
    assert len(bright) == 2 and any((bright == (38, 62, 160)).all(1)), (
        "the corner seen at first and again at last is of the first color"
    )


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the package, so that the callback is tested where it is not installed."""
    for name in (
        "stable_baselines3",
        "stable_baselines3.common",
        "stable_baselines3.common.callbacks",
    ):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    callbacks: Any = sys.modules["stable_baselines3.common.callbacks"]
    callbacks.BaseCallback = tiny_sb3.BaseCallback


@pytest.mark.parametrize("make", [partial(tiny_envs.Corridor, 3, 5), Far], ids=["discrete", "box"])
def test_the_callback_pays_for_true_transitions(make: Any, fake: None) -> None:
    model, callback = (
        tiny_sb3.OnPolicy(make, envs=2, steps=100),
        vime_callback(replace(QUICK, eta=2.0)),
    )
    callback.init_callback(model)
    model.collect(callback)
    before = model.rollout_buffer.rewards.copy()
    assert set(np.unique(before)) <= {-1.0, 0.0, 1.0} and model.figures["vime/bonus"] == 0, (
        "nothing is paid in the first rollout"
    )
    twin = InformationGain(
        callback.curiosity.obs_dim, callback.curiosity.act_dim, replace(QUICK, eta=2.0)
    )
    twin.load_state_dict(
        {name: value.clone() for name, value in callback.curiosity.state_dict().items()}
    )
    model.collect(callback)
    obs, act, following = (np.stack([np.asarray(step[i]) for step in model.true]) for i in range(3))
    bonus = 2.0 * twin.normalize(twin.bonus(obs, act, following)).reshape(100, 2)
    buffer = model.rollout_buffer
    task = -1.0 if isinstance(model.action_space, Discrete) else 0.0
    np.testing.assert_allclose(buffer.rewards, task + bonus, rtol=1e-5)
    buffer.compute_returns_and_advantage(np.full(2, 0.3), model.starts)
    again = buffer.advantages.copy()
    np.testing.assert_array_equal(again, buffer.returns - buffer.values)
    rows = callback.curiosity.buffer.rows[200:400].numpy()
    np.testing.assert_array_equal(rows[:, : obs.shape[1]], obs)
    np.testing.assert_array_equal(rows[:, -obs.shape[1] :], following)
    assert model.figures["vime/share"] > 0.5 and np.isfinite(model.figures["vime/likelihood"])


def test_the_callback_credits_novelty_to_what_led_there(fake: None) -> None:
    """Advantages are computed again from the paid rewards, not paid themselves."""
    model, callback = tiny_sb3.OnPolicy(Far, envs=1, steps=60), vime_callback(QUICK)
    callback.init_callback(model)
    for _ in range(2):
        model.collect(callback)
    buffer, expected = model.rollout_buffer, 0.3 * (1 - model.starts)
    for t in range(59, -1, -1):
        expected = buffer.rewards[t] + 0.9 * expected
        assert buffer.returns[t] == pytest.approx(expected, rel=1e-5)
        expected = expected * (1 - buffer.starts[t])


def test_the_callback_refuses_unsupported_tasks_and_algorithms(fake: None) -> None:
    for make in (tiny_envs.pictures, tiny_envs.many, tiny_envs.whole):
        with pytest.raises(UsageError, match="Curiosity"):
            vime_callback().init_callback(tiny_sb3.OnPolicy(make, envs=1, steps=1))
    model = tiny_sb3.OnPolicy(Far, envs=1, steps=1)
    del model.rollout_buffer
    with pytest.raises(UsageError, match="keeps no rollouts"):
        vime_callback().init_callback(model)


def test_without_the_package_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3.common.callbacks", None)
    with pytest.raises(MissingExtra, match=r"pip install 'zeuxis\[sb3\]'"):
        vime_callback()


def test_the_callback_in_the_package_itself() -> None:
    """PPO of Stable-Baselines3, where it is installed: what is paid in its buffer, and that it
    learns from it."""
    sb3 = pytest.importorskip("stable_baselines3")
    callback = vime_callback(replace(QUICK, eta=1.0))
    model = sb3.PPO(
        "MlpPolicy",
        gymnasium.wrappers.TimeLimit(Far(), 40),
        n_steps=120,
        batch_size=60,
        device="cpu",
        seed=0,
    )
    model.train(360, callback=callback)
    buffer, pool = model.rollout_buffer, callback.curiosity.buffer
    assert len(pool) == 360 and buffer.rewards[:, 0].min() > 0, "every step is paid"
    rows = pool.rows[:360].numpy()
    assert abs(rows[:, 2] - np.maximum(-0.3, rows[:, 0] + 0.1 * rows[:, 1])).max() < 1e-5, (
        "no pair crosses the end of an episode"
    )
    np.testing.assert_allclose(
        buffer.returns, buffer.advantages + buffer.values, rtol=1e-5, atol=1e-5
    )


def test_settings_of_the_papers_tasks() -> None:
    car = policy_experiment("vime", "zeuxis/SparseMountainCar-v0")
    t, region = car.training, car.trust_region
    assert t is not None and region is not None and car.config == VIMEConfig()
    assert (t.steps, t.batch, t.hidden, t.gamma, t.lam) == (250_000, 5_000, (32,), 0.995, 0.95)
    assert region.delta == 0.01
    car = policy_experiment("vime", "zeuxis/SparseMountainCar-v0", "paper")
    assert car.config == RELEASED and car.training is not None and car.trust_region is not None
    assert (car.training.value, car.training.normalize) == ("natural", False)
    assert car.trust_region.damping == 1e-5
    cheetah: Any = policy_experiment("vime", "zeuxis/SparseHalfCheetah-v0", "paper")
    assert cheetah.config.hidden == (64, 64) and cheetah.training.hidden == (64, 32)
    assert cheetah.training.value == "linear" and cheetah.training.steps == 3_000_000
    gather: Any = policy_experiment("vime", "zeuxis/SwimmerGather-v0", "paper")
    assert (gather.config.updates, gather.config.lr) == (5_000, 1e-4)
    assert gather.config.buffer_size == 1_000_000
    assert (gather.training.batch, gather.training.lam) == (50_000, 1.0)
    steps = {"InvertedDoublePendulum-v5": 2_000_000, "Hopper-v5": 1_000_000}
    for env, expected in steps.items():
        other: Any = policy_experiment("vime", env)
        assert other.training.steps == expected


SMALL = (
    "--training.workers 0 --training.threads 1 --training.batch 100 "
    "--training.hidden 8 --vime.learning-starts 50 --vime.updates 5"
)
TASK = "--env tiny_envs:Drawn-v0"


def test_a_whole_visit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def run(argv: str) -> str:
        assert main(argv.split()) == 0, capsys.readouterr().err
        said = capsys.readouterr()
        return said.out + said.err

    said = run(f"train vime {TASK} {SMALL} --training.steps 300 --vime.eta 0.01")
    assert "Bonus in tiny_envs:Drawn-v0: information gain" in said and "300 of 300 steps" in said
    folder = tmp_path / "runs" / "0001-vime-tiny_envs-Drawn-v0-seed0"
    assert {p.name for p in folder.iterdir()} >= {
        "config.json",
        "state.safetensors",
        "policy.safetensors",
        "visited.png",
        "film.webp",
    }
    assert Image.open(folder / "film.webp").n_frames == 3
    lines = Run(folder).metrics()
    assert lines[0]["information"] == 0 < lines[1]["information"] and lines[2]["bonus"] > 0
    assert load_policy(folder).metadata["algorithm"] == "vime"
    assert "400 of 400 steps" in run(f"train --resume {folder} --images 400")
    run(f"evaluate {folder} --episodes 4 --workers 0 --record record.json")
    assert "zeuxis train vime --env tiny_envs:Drawn-v0" in (tmp_path / "record.json").read_text()
    assert "--vime.eta=0.01" in (tmp_path / "record.json").read_text()
    assert "6 pictures" in run(f"play {folder} --every 4 --steps 21")
    said = run(
        f"train vime {TASK} {SMALL} --preset paper --vime.bonus error --training.steps "
        "100 --dry-run"
    )
    assert '"expectation": "samples"' in said and '"bonus": "error"' in said
    run(f"train vime {TASK} {SMALL} --preset paper --training.steps 100")
    folder = tmp_path / "runs" / "0002-vime-tiny_envs-Drawn-v0-seed0"
    assert Run(folder).read_json("config.json")["preset"] == "paper"
    run(f"evaluate {folder} --episodes 1 --workers 0 --record paper.json")
    assert "--preset paper" in (tmp_path / "paper.json").read_text()
    assert "200 of 200 steps" in run(f"train --resume {folder} --images 200")


@pytest.mark.parametrize(
    ("argv", "code", "sentence"),
    [
        (f"train vime {TASK} --preset modern", 2, "expected corrected or paper"),
        (f"train vime {TASK} --vime.updates 0", 2, "--vime.updates must be"),
        (f"train vime {TASK} --vime.axes 0 7", 2, "an observation has the numbers 0 to 1"),
        (f"train vime {TASK} --vime.bonus joy", 2, "joy"),
        ("train vime", 2, "--env"),
        (f"train trpo {TASK} --vime.eta 1", 2, "vime.eta"),
    ],
)
def test_bad_input_gets_one_sentence(
    argv: str, code: int, sentence: str, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        result = main(argv.split())
    except SystemExit as exit:  # tyro's own refusals of options
        result = exit.code
    said = capsys.readouterr()
    assert (
        result == code
        and sentence in " ".join((said.err + said.out).split())
        and "Traceback" not in said.err
    )
    assert not list(tmp_path.iterdir()), "a run folder for nothing"
