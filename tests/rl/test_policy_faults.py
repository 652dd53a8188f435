"""What goes wrong while a policy acts or learns ends in one sentence that names the step, and no
good save is lost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("gymnasium")

import gymnasium
from gymnasium.spaces import Box, Discrete

import tiny_envs
import zeuxis.rl.rollouts.process as process
from zeuxis.checkpoints.run_folder import Run
from zeuxis.errors import DivergenceError, UsageError, ZeuxisError
from zeuxis.experiments.policy_training import PolicyTraining
from zeuxis.experiments.train_policy import build, load_demos, resume, start
from zeuxis.rl.environments.environment import Environment
from zeuxis.rl.environments.registration import named_by_file
from zeuxis.rl.exploration.information_gain import VIMEConfig
from zeuxis.rl.exploration.vime import VIME
from zeuxis.rl.imitation.behavioral_cloning import CloningConfig
from zeuxis.rl.imitation.demonstration_files import read_demos, write_demos
from zeuxis.rl.imitation.demonstrations import record
from zeuxis.rl.imitation.discriminator import GAILConfig
from zeuxis.rl.imitation.gail import GAIL
from zeuxis.rl.optimization.config import OnPolicyConfig, PolicyExperiment
from zeuxis.rl.optimization.on_policy import TRPO
from zeuxis.rl.policies.mlp import MLP
from zeuxis.rl.policies.numpy_policy import NumpyPolicy, linear_policy
from zeuxis.rl.policies.policy_file import load_policy, write_policy
from zeuxis.rl.rollouts.collector import Collector
from zeuxis.rl.rollouts.policy_evaluation import evaluate_policy
from zeuxis.rl.rollouts.rendering import render_episodes

SMALL = OnPolicyConfig(
    steps=200,
    batch=100,
    horizon=50,
    hidden=(8,),
    workers=0,
    threads=1,
    save_minutes=0.0,
    value_epochs=1,
)
BC_EXPERIMENT = PolicyExperiment(
    "CartPole-v1", config=CloningConfig(steps=5, hidden=(8,), threads=1)
)
POLICY = linear_policy(np.ones((2, 2)))


def one_sentence(error: BaseException) -> bool:
    text = str(error)
    return text.endswith((".", "?")) and "\n" not in text and len(text) > 30


STEP = [
    "nan",
    "infinite",
    "too large for float32",
    "none",
    "text",
    "shape",
    "reward nan",
    ("reward infinite"),
    ("reward too large"),
    "rewards",
    "no reward",
    "reward text",
    "four",
    "ends",
    "ended none",
    "cut text",
    *tiny_envs.RAISED,
]
RESET = ["reset alone", "reset nan", "reset three"]


@pytest.mark.parametrize("how", STEP + RESET)
def test_an_odd_environment_ends_in_a_sentence_that_names_the_step(how: str) -> None:
    wanted = (
        "failed at the reset of the episode" if how in RESET else "failed at step 7 of the episode"
    )
    acts: list[Callable[[], Any]] = [
        lambda: Collector(partial(tiny_envs.Odd, how), horizon=30).collect(POLICY, steps=60),
        lambda: TRPO(PolicyExperiment(partial(tiny_envs.Odd, how), SMALL), quiet=True).train(),
        lambda: evaluate_policy(POLICY, partial(tiny_envs.Odd, how), 2, horizon=30),
        lambda: record(POLICY, partial(tiny_envs.Odd, how), 2, horizon=30),
    ]
    for act in acts:
        with pytest.raises(ZeuxisError, match=wanted) as error:
            act()
        assert one_sentence(error.value)


@pytest.mark.parametrize("how", ["nan", "error", "exit", "rewards", "reset alone"])
def test_the_same_in_a_worker_and_in_a_film(how: str) -> None:
    wanted = "failed at the reset" if how in RESET else "failed at step 7"
    with (
        pytest.raises(ZeuxisError, match=wanted) as error,
        Collector(partial(tiny_envs.Odd, how), 1, horizon=30) as collector,
    ):
        collector.collect(POLICY, steps=60)
    assert one_sentence(error.value)

    gymnasium.register("Odd-v0", tiny_envs.Odd, max_episode_steps=20, kwargs={"how": how})
    try:
        with pytest.raises(ZeuxisError, match=wanted):
            list(render_episodes(POLICY, "Odd-v0", steps=30))
    finally:
        del gymnasium.registry["Odd-v0"]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [(tiny_envs.Interrupting, "KeyboardInterrupt"), (tiny_envs.Leaving, "ended with code 4")],
)
def test_a_worker_that_leaves_is_said(
    kind: type, sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with (
        pytest.raises(ZeuxisError, match=sentence) as error,
        Collector(kind, 1, horizon=9) as collector,
    ):
        collector.collect(POLICY, steps=60)
    assert one_sentence(error.value)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_an_environment_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "STEP_SECONDS", 0.5)
    began = time.monotonic()
    collector = Collector(partial(tiny_envs.Fails, "sleep"), 1, horizon=10)
    with (
        pytest.raises(ZeuxisError, match="has not answered for . s, in its step 3") as error,
        collector,
    ):
        collector.collect(POLICY, steps=100)
    assert one_sentence(error.value) and time.monotonic() - began < 20


@pytest.mark.slow
def test_a_slow_environment_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STEP_SECONDS", 0.1)
    with Collector(partial(tiny_envs.Slow, cut=3), 1, horizon=9) as collector:
        assert len(collector.collect(POLICY, episodes=2)[0]) == 6


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8, np.int64])
def test_observations_of_every_type_and_numpys_flags_are_taken(dtype: Any) -> None:
    class Typed(tiny_envs.Count):
        def __init__(self) -> None:
            super().__init__(cut=4)
            self.observation_space = Box(0, 100, (2,), dtype)

        def look(self) -> np.ndarray:
            return np.array([self.t, 7], dtype)

        def step(self, action: Any) -> Any:
            x, reward, ended, cut, about = super().step(action)
            forms = [reward, np.float32(reward), np.array(reward), np.array([reward])]
            return x, forms[self.t % 4], np.bool_(ended), np.array([cut]), about

    with Collector(Typed, horizon=9) as collector:
        result, _ = collector.collect(POLICY, episodes=1)
    assert result.observations[:, 0].tolist() == [0, 1, 2, 3] and result.rewards.tolist() == [
        1,
        2,
        3,
        4,
    ]
    assert result.observations.dtype == np.float32 and not result.terminated[0]


def test_a_class_outside_its_space_is_no_observation() -> None:
    class Wrong(tiny_envs.Count):
        def __init__(self) -> None:
            super().__init__(cut=4)
            self.observation_space = Discrete(3)

        def look(self) -> Any:
            return np.int64(self.t - 1)

    with pytest.raises(ZeuxisError, match="which is not in Discrete"):
        Environment("x", Wrong, 5).reset(0)


def test_long_limits_cost_nothing_until_they_are_reached() -> None:
    with Collector(partial(tiny_envs.Count, cut=1000), horizon=10**15) as collector:
        result, _ = collector.collect(POLICY, episodes=1)
    assert result.observations[:, 0].tolist() == list(range(1000)) and result.finals[0, 0] == 1000
    assert result.rewards.tolist() == list(range(1, 1001))


# numbers that are not finite


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demos(
        record(tiny_envs.right_expert(3), "CartPole-v1", 4, horizon=50),
        tmp_path_factory.mktemp("demos") / "d.npz",
    )


def raise_step_size(name: str, agent: Any) -> None:
    """Step sizes under which nothing stays finite."""
    if name == "value":
        agent.parts["regression"].adam.lr = 1e38
    elif name == "posterior":
        agent.curiosity.model.adam.lr = 1e38
    else:
        (optimizer,) = agent.optimizers.values()
        for key in (optimizer.defaults, *optimizer.param_groups):
            key["lr"] = 1e38


TRAININGS: dict[str, Callable[[str], PolicyTraining]] = {
    "bc": lambda d: PolicyTraining(
        "bc",
        PolicyExperiment("CartPole-v1", config=CloningConfig(steps=20, hidden=(8,), threads=1)),
        d,
    ),
    "value": lambda d: PolicyTraining("trpo", PolicyExperiment("CartPole-v1", SMALL)),
    "discriminator": lambda d: PolicyTraining(
        "gail", PolicyExperiment("CartPole-v1", SMALL, config=GAILConfig(hidden=(8,))), d
    ),
    "posterior": lambda d: PolicyTraining(
        "vime",
        PolicyExperiment(
            "CartPole-v1", SMALL, config=VIMEConfig(learning_starts=50, updates=5, minibatch=8)
        ),
    ),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", TRAININGS)
def test_what_diverges_says_so_and_keeps_the_last_good_save(
    name: str, demos: Path, tmp_path: Path
) -> None:
    run = start(TRAININGS[name](str(demos)), tmp_path).run
    good = {p.name: p.read_bytes() for p in run.folder.glob("*.safetensors")}
    agent = build(
        TRAININGS[name](str(demos)), run, load_demos(TRAININGS[name](str(demos))), quiet=True
    )
    raise_step_size(name, agent)
    with pytest.raises(
        DivergenceError, match="no longer finite.*the save of .* steps is kept"
    ) as error:
        agent.train(1000)
    assert one_sentence(error.value) and re.search("iteration|step", str(error.value))
    assert {p.name: p.read_bytes() for p in run.folder.glob("*.safetensors")} == good
    assert resume(run.folder, 300).steps >= 300, "and it goes on from there"


@pytest.mark.parametrize(
    "place",
    [
        "policy.network.layers.0.weight",
        "policy.obs_rms.mean",
        "value.network.layers.0.weight",
        "regression.adam.second",
        "optimizer.discriminator.0.exp_avg",
        "reward_model.network.layers.0.bias",
    ],
)
def test_no_number_of_a_save_may_be_other_than_finite(
    place: str, demos: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    run = Run(tmp_path / "run")
    agent = GAIL(
        PolicyExperiment("CartPole-v1", SMALL, config=GAILConfig(hidden=(8,))),
        read_demos(demos),
        run=run,
        quiet=True,
    ).train(100)
    good = {p.name: p.read_bytes() for p in run.folder.glob("*.safetensors")}
    state = agent.state()
    state[place].view(-1)[0] = float("nan")
    with pytest.raises(DivergenceError, match=re.escape(place)):
        agent.save()
    assert {p.name: p.read_bytes() for p in run.folder.glob("*.safetensors")} == good


def test_a_replay_with_other_than_finite_numbers_is_not_saved(tmp_path: Path) -> None:
    agent = VIME(
        PolicyExperiment(
            "CartPole-v1", SMALL, config=VIMEConfig(learning_starts=50, updates=5, minibatch=8)
        ),
        quiet=True,
    ).train(200)
    agent.curiosity.buffer.rows[3, 1] = float("inf")
    with pytest.raises(DivergenceError, match=r"curiosity.buffer.rows"):
        agent.train(100)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_policy_file_takes_and_gives_finite_numbers_only(value: float, tmp_path: Path) -> None:
    path = write_policy(POLICY, tmp_path / "policy.safetensors")
    before = path.read_bytes()
    broken = replace(POLICY, weights=[np.full((2, 2), value)])
    with pytest.raises(DivergenceError, match=r"layers.0.weight"):
        write_policy(broken, path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_the_policy_chooses_is_not_the_environments_fault() -> None:
    weights = [np.full((2, 2), 1e38), np.array([[1.0, -1.0]])]
    huge = NumpyPolicy(
        weights, [np.zeros(2), np.zeros(1)], np.zeros(2), np.full(2, 1e30), "gaussian_mean", "relu"
    )
    with pytest.raises(DivergenceError, match="The policy chose"):
        evaluate_policy(
            huge, partial(tiny_envs.Switch, continuous=True), 2, horizon=20, deterministic=True
        )


def test_networks_of_any_size_are_not_built() -> None:
    for hidden in ((10**6, 10**6), (2**40,), (30_000,) * 20):
        with pytest.raises(UsageError, match="at most 25,000,000"):
            MLP(4, hidden, 2)
    for bonus in ("information", "disagreement"):
        with pytest.raises(UsageError, match="at most 25,000,000"):
            VIME(
                PolicyExperiment(
                    "CartPole-v1", SMALL, config=VIMEConfig(hidden=(9_000, 9_000), bonus=bonus)
                ),
                quiet=True,
            )


# runs


def test_a_run_killed_before_its_first_save_does_not_double_its_log(tmp_path: Path) -> None:
    agent = start(PolicyTraining("trpo", PolicyExperiment("CartPole-v1", SMALL)), tmp_path)
    run = agent.run
    for name in ("state.safetensors", "policy.safetensors"):
        run.path(name).unlink()
    assert len(run.metrics()) >= 2
    resume(run.folder)
    seen = [line["steps"] for line in run.metrics()]
    assert seen == sorted(set(seen)) and len(seen) == agent.iteration


def test_a_refused_second_resume_changes_nothing(tmp_path: Path) -> None:
    run = start(PolicyTraining("trpo", PolicyExperiment("CartPole-v1", SMALL)), tmp_path).run
    before = {
        p.name: p.read_bytes() for p in run.folder.iterdir() if p.is_file() and p.name != ".lock"
    }
    with run.held(), pytest.raises(ZeuxisError, match="Another process"):
        resume(run.folder, 10_000)
    assert {
        p.name: p.read_bytes() for p in run.folder.iterdir() if p.is_file() and p.name != ".lock"
    } == before


def test_a_resume_that_is_refused_changes_nothing(demos: Path, tmp_path: Path) -> None:
    training = PolicyTraining(
        "bc",
        BC_EXPERIMENT,
        str(demos),
    )
    run = start(training, tmp_path / "runs").run
    before = {
        p.name: p.read_bytes() for p in run.folder.iterdir() if p.is_file() and p.name != ".lock"
    }
    other = write_demos(
        record(tiny_envs.right_expert(3), "CartPole-v1", 5, horizon=50), tmp_path / "other.npz"
    )
    for more, sentence in (
        ({"demos": str(other)}, "is not the file that this run began with"),
        ({"demos": str(tmp_path / "nowhere.npz")}, "give their place with --demos"),
        ({"env": "Acrobot-v1"}, "learns in 'CartPole-v1'"),
        ({"steps": 0}, "at least 1"),
    ):
        with pytest.raises(ZeuxisError, match=sentence) as error:
            resume(run.folder, **more)
        assert one_sentence(error.value)
    assert {
        p.name: p.read_bytes() for p in run.folder.iterdir() if p.is_file() and p.name != ".lock"
    } == before


def test_a_run_finds_its_demonstrations_from_anywhere_and_where_they_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_demos(record(tiny_envs.right_expert(3), "CartPole-v1", 4, horizon=50), tmp_path / "d.npz")
    monkeypatch.chdir(tmp_path)
    run = start(
        PolicyTraining(
            "bc",
            BC_EXPERIMENT,
            "d.npz",
        ),
        "runs",
    ).run
    folder = run.folder.absolute()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert resume(folder, 8).steps == 8
    (tmp_path / "d.npz").rename(tmp_path / "moved.npz")
    with pytest.raises(ZeuxisError, match="give their place with --demos"):
        resume(folder, 9)
    assert resume(folder, 9, demos="../moved.npz").steps == 9
    assert resume(folder, 10).steps == 10, "from now on there"


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": 5},
        {"algorithm": ["trpo"]},
        {"env": 5},
        {"env": None},
        {"demos": 7},
        {"training": 5},
        {"training": {"steps": "x"}},
        {"training": {"hidden": [10**6, 10**6]}},
        {"training": {"unheard": 1}},
        {"trust_region": None},
        {"learning": {}},
        {"preset": 5},
        {"env": "nowhere:Task-v0"},
    ],
    ids=str,
)
def test_a_damaged_config_gets_one_sentence(change: dict, tmp_path: Path) -> None:
    run = start(PolicyTraining("trpo", PolicyExperiment("CartPole-v1", SMALL)), tmp_path).run
    run.write_json("config.json", run.read_json("config.json") | change)
    with pytest.raises(ZeuxisError) as error:
        resume(run.folder, 300)
    assert one_sentence(error.value)


@pytest.mark.parametrize("missing", ["zeuxis", "model", "task", "expert", "machine", "bc"])
def test_a_run_goes_on_without_an_entry_that_it_can_do_without(
    missing: str, demos: Path, tmp_path: Path
) -> None:
    experiment = PolicyExperiment("CartPole-v1", config=CloningConfig(steps=5))
    run = start(PolicyTraining("bc", experiment, str(demos)), tmp_path).run
    about = run.read_json("config.json")
    del about[missing]
    run.write_json("config.json", about)
    resume(run.folder, 6, demos=str(demos))
    card = (run.folder / "README.md").read_text()
    assert ("with zeuxis (unknown version)" in card) == (missing == "zeuxis")
    assert run.read_json("config.json")["bc"]["steps"] == 6


@pytest.mark.parametrize(
    "about",
    [{"zeuxis": "0.1.0"}, {"zeuxis": "0.1.3", "bc": {"steps": 5}}, {"learning": {"steps": 5}}],
    ids=str,
)
def test_a_policy_of_version_0_1_gets_a_sentence(about: dict, tmp_path: Path) -> None:
    write_policy(POLICY, tmp_path / "policy.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"algorithm": "bc", "env": "x"} | about))
    for act in (load_policy, resume):
        with pytest.raises(ZeuxisError, match=r"was saved by zeuxis 0\.1") as error:
            act(tmp_path)
        assert one_sentence(error.value)


@pytest.mark.parametrize("text", ["", '{"zeuxis": "0.2.0"}', "{"])
def test_a_policy_acts_whatever_else_its_folder_says(text: str, tmp_path: Path) -> None:
    write_policy(POLICY, tmp_path / "policy.safetensors")
    if text:
        (tmp_path / "config.json").write_text(text)
    assert load_policy(tmp_path).actions == 2


@pytest.mark.parametrize(
    "about",
    [
        {"steps": -1},
        {"steps": 1e3},
        {"steps": None},
        {"steps": 2**63},
        {"steps": True},
        {"iteration": "1"},
        {"seconds": "x"},
        {"seconds": -1},
        {"trajectories": []},
        {"steps": 10**30},
    ],
    ids=str,
)
def test_a_save_with_odd_counts_gets_one_sentence(about: dict, tmp_path: Path) -> None:
    run = start(PolicyTraining("trpo", PolicyExperiment("CartPole-v1", SMALL)), tmp_path).run
    tensors, known = run.read_tensors("state.safetensors")
    run.write_tensors("state.safetensors", tensors, known | about)
    with pytest.raises(ZeuxisError, match="damaged") as error:
        resume(run.folder, 300)
    assert one_sentence(error.value)


def test_a_save_with_missing_or_further_tensors_is_refused(demos: Path, tmp_path: Path) -> None:
    run = start(PolicyTraining("bc", BC_EXPERIMENT, str(demos)), tmp_path).run
    tensors, about = run.read_tensors("state.safetensors")
    first = next(
        key for key in tensors if key.startswith("optimizer.policy.") and key.endswith("exp_avg")
    )
    changes: list[dict[str, torch.Tensor]] = [
        {k: v for k, v in tensors.items() if k != first},
        tensors | {"other": torch.zeros(1)},
        tensors | {first: torch.zeros(7)},
        tensors | {"newest.obs_rms.mean": torch.zeros(5)},
        tensors | {"count": torch.tensor(-3)},
    ]
    for changed in changes:
        run.write_tensors("state.safetensors", changed, about)
        with pytest.raises(ZeuxisError, match=r"damaged|restore it"):
            resume(run.folder, 300)


def test_a_closed_terminal_ends_no_worker_before_its_run(tmp_path: Path) -> None:
    """Workers have a separate session, so that what ends the terminal's processes does not end
    them first."""
    with Collector("CartPole-v1", 1) as collector:
        collector.collect(
            linear_policy(np.zeros((2, 4))),
            steps=10,
        )
        assert os.getsid(collector.workers[0].process.pid) != os.getsid(0)


# what a file must not do


def foreign_modules(place: Path) -> Path:
    """A folder with modules that leave a mark when they are imported."""
    mark = place / "mark"
    for name in (
        "pickle",
        "socket",
        "zeuxis",
        "numpy",
        "mmap",
        "evil",
        "safetensors",
        "cloudpickle",
        "gymnasium",
    ):
        (place / f"{name}.py").write_text(
            f"open({str(mark)!r}, 'a').write('{name} ')\nraise ImportError('x')\n"
        )
    return mark


RUN = (
    "import sys; sys.path = [p for p in sys.path if p]; import zeuxis.cli; "
    "sys.exit(zeuxis.cli.main(sys.argv[1:]))"
)


@pytest.mark.slow
def test_nothing_of_the_current_folder_is_imported(tmp_path: Path) -> None:
    mark = foreign_modules(tmp_path)
    argv = (
        "train trpo --env CartPole-v1 --training.steps 200 --training.batch 100 "
        "--training.workers 1 --training.hidden 8"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN, *argv.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not mark.exists()


def test_a_worker_looks_for_its_modules_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), str(tmp_path / "beside"), *sys.path])
    first, later = process.search_paths()
    assert str(tmp_path) not in first and "" not in first and str(tmp_path / "beside") in first
    assert later[-1] == str(tmp_path), (
        "only for what is nowhere else, such as the environment that the user named"
    )
    mark = foreign_modules(tmp_path)
    with Collector("CartPole-v1", 1, horizon=5) as collector:
        collector.collect(
            linear_policy(np.zeros((2, 4))),
            steps=10,
        )
    assert not mark.exists()


def test_a_file_names_no_module_to_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zeuxis.cli import main
    from zeuxis.rl.imitation.minari_format import known_task

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    mark = foreign_modules(tmp_path)
    policy = linear_policy(np.zeros((2, 4)))
    policy.metadata["env"] = "evil:CartPole-v1"
    run = start(
        PolicyTraining("trpo", PolicyExperiment("CartPole-v1", SMALL)), tmp_path / "runs"
    ).run
    run.write_json("config.json", run.read_json("config.json") | {"env": "evil:CartPole-v1"})
    write_policy(policy, tmp_path / "alone.safetensors")
    for argv in (
        f"evaluate {run.folder} --episodes 1 --workers 0",
        f"train --resume {run.folder}",
        f"play {run.folder}",
        f"demos record {run.folder}",
        "evaluate alone.safetensors --workers 0",
        "play alone.safetensors",
        "demos record alone.safetensors",
    ):
        assert main(argv.split()) == 2
        said = capsys.readouterr().err
        assert (
            "must not make zeuxis import the module 'evil'" in said
            and "give --env evil:CartPole-v1 yourself" in said
        )
    assert known_task("evil:CartPole-v1") is None, "of demonstrations that are written again"
    assert not mark.exists()
    assert main(f"evaluate {run.folder} --episodes 1 --workers 0 --env CartPole-v1".split()) == 0
    assert main(f"train --resume {run.folder} --env evil:CartPole-v1".split()) == 2
    assert mark.read_text() == "evil ", "the user named it"
    assert named_by_file("zeuxis.rl.environments.sparse:zeuxis/SparseMountainCar-v0", "x")
    with pytest.raises(UsageError, match="expected a name"):
        named_by_file(5, "x")


def test_evaluation_reads_no_path_that_a_config_names(
    demos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from zeuxis.cli import main

    training = PolicyTraining(
        "bc",
        BC_EXPERIMENT,
        str(demos),
    )
    run = start(training, tmp_path / "runs").run
    run.write_json("config.json", run.read_json("config.json") | {"demos": "/dev/zero"})
    assert main(f"evaluate {run.folder} --episodes 1 --workers 0 --horizon 50".split()) == 0
    assert f"expert {read_demos(demos).rollouts.returns.mean():.2f}" in capsys.readouterr().out
    with pytest.raises(ZeuxisError, match="was not made by you on this machine"):
        resume(run.folder, 9)
    with pytest.raises(ZeuxisError, match="There are no demonstrations at '/dev/zero'"):
        resume(run.folder, 9, demos="/dev/zero")
    assert resume(run.folder, 9, demos=str(demos)).steps == 9
    assert resume(run.folder, 10).steps == 10, "the user has named them"


def test_a_run_made_elsewhere_sends_nothing_to_a_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start(PolicyTraining("trpo", PolicyExperiment("CartPole-v1", SMALL)), tmp_path).run
    about = run.read_json("config.json")
    run.write_json("config.json", about | {"training": about["training"] | {"track": "wandb"}})
    assert resume(run.folder, 300).training.track == ""
    assert "Nothing is sent to wandb" in capsys.readouterr().err
