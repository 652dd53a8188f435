"""The loop: the ends of episodes, that it learns what is known, that a seed repeats, and that a
resumed run is exact."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("gymnasium")

import tiny_envs
from zeuxis.checkpoints.run_folder import Run
from zeuxis.errors import DivergenceError, UsageError, ZeuxisError
from zeuxis.rl.optimization.config import OnPolicyConfig, PolicyExperiment
from zeuxis.rl.optimization.on_policy import TRPO
from zeuxis.rl.optimization.trust_region import TrustRegionConfig


def training(**changes: object) -> OnPolicyConfig:
    defaults = {"batch": 500, "workers": 0, "threads": 1, "hidden": (16,)}
    return OnPolicyConfig(**(defaults | changes))  # type: ignore[arg-type]


class Flat(tiny_envs.Count):
    """A reward of one in a state that never changes."""

    def look(self) -> np.ndarray:
        return np.zeros(2, np.float32)

    def step(self, action):
        x, _, *rest = super().step(action)
        return (x, 1.0, *rest)


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("value", ["adam", "natural"])
def test_a_truncation_is_no_termination(value: str, timed: bool) -> None:
    """A reward of one a step for ever, seen through a window of five steps, is worth 1 / (1 -
    gamma), unless the time is known."""
    t = training(
        batch=40,
        horizon=5,
        gamma=0.5,
        hidden=(8,),
        value=value,
        timed=timed,
        value_lr=1e-2,
        value_epochs=20,
        normalize=False,
    )
    agent = TRPO(PolicyExperiment(partial(Flat, 0), t), quiet=True).train(800)
    first = agent.value.predict(torch.zeros(1, 2), torch.zeros(1)).item()
    finite = (1 - 0.5**5) / 0.5
    assert first == pytest.approx(finite if timed else 2.0, abs=0.04)
    agent = TRPO(PolicyExperiment(partial(Flat, 5), t), quiet=True).train(800)
    first = agent.value.predict(torch.zeros(1, 2), torch.zeros(1)).item()
    assert first == pytest.approx(finite, abs=0.04) if timed else first < 1.97


def test_an_arm_and_a_number_are_found() -> None:
    t = training(batch=250, horizon=25, gamma=0.0)
    arms = TRPO(PolicyExperiment(partial(tiny_envs.Bandit, 4), t), quiet=True).train(3_000)
    assert int(arms.policy.predict(np.ones(1), deterministic=True)[0]) == 3
    number = TRPO(PolicyExperiment(tiny_envs.Bandit, t), quiet=True).train(6_000)
    assert number.policy.predict(np.ones((1, 1)), deterministic=True)[0].item() == pytest.approx(
        0.5, abs=0.2
    )
    assert number.figures["entropy"] < 1.2, (
        "the deviation, 1 at first and of entropy 1.42, shrinks too"
    )


def test_trpo_balances_a_pole() -> None:
    agent = TRPO(
        PolicyExperiment("CartPole-v1", training(batch=2000, hidden=(32, 32))), quiet=True
    ).train(20_000)
    assert agent.figures["return"] > 475


@pytest.mark.slow
def test_trpo_swings_a_pendulum_up() -> None:
    t = training(batch=2000, hidden=(64, 64), gamma=0.9)
    agent = TRPO(
        PolicyExperiment("Pendulum-v1", t, TrustRegionConfig(delta=0.02)), quiet=True
    ).train(80_000)
    assert agent.figures["return"] > -350, "a random policy has -1200, a published expert -193"


def weights(agent: TRPO) -> torch.Tensor:
    return torch.cat(
        [v.double().flatten() for part in agent.parts.values() for v in part.state_dict().values()]
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"value": "natural", "timed": True, "entropy": 0.01},
        {"value": "linear"},
    ],
    ids=str,
)
def test_a_seed_repeats_and_a_resumed_run_ends_where_an_unbroken_one_does(
    changes: dict, tmp_path: Path
) -> None:
    def agent(folder: str, seed: int = 0) -> TRPO:
        (tmp_path / folder).mkdir(exist_ok=True)
        region = TrustRegionConfig(fraction=0.3)
        return TRPO(
            PolicyExperiment(
                "CartPole-v1", training(steps=1200, batch=300, seed=seed, **changes), region
            ),
            run=Run(tmp_path / folder),
            quiet=True,
        )

    whole = agent("whole").train()
    broken = agent("broken").train(500)
    assert broken.steps < whole.steps
    again = agent("broken").train()
    assert again.steps == whole.steps
    assert torch.equal(weights(whole), weights(again))
    assert not torch.equal(weights(whole), weights(agent("other", 1).train()))
    clocks = ("steps/s", "seconds")
    one, two = (
        [{k: v for k, v in line.items() if k not in clocks} for line in Run(tmp_path / f).metrics()]
        for f in ("whole", "broken")
    )
    assert one == two
    assert Run(tmp_path / "whole").saved_images() == whole.steps
    files = {p.name for p in (tmp_path / "whole").iterdir()}
    assert {"state.safetensors", "policy.safetensors", "metrics.jsonl"} <= files
    with pytest.raises(ZeuxisError, match="other settings"):
        TRPO(
            PolicyExperiment("CartPole-v1", training(hidden=(8,), **changes)),
            run=Run(tmp_path / "whole"),
            quiet=True,
        ).train(10)


@pytest.mark.slow
def test_the_entropy_bonus_keeps_a_policy_undecided() -> None:
    entropy = []
    for weight in (0.0, 1.0):
        t = training(batch=250, horizon=25, gamma=0.0, entropy=weight)
        entropy.append(
            TRPO(PolicyExperiment(partial(tiny_envs.Bandit, 4), t), quiet=True)
            .train(4_000)
            .figures["entropy"]
        )
    assert entropy[0] < 1.15 < 1.25 < entropy[1]


@pytest.mark.parametrize(
    ("changes", "region", "sentence"),
    [
        ({"steps": 0}, {}, "--training.steps must be at least 1"),
        ({"gamma": 1.5}, {}, "--training.gamma must be from 0 to 1"),
        ({"workers": -2}, {}, "--training.workers must be at least -1"),
        ({"hidden": (0,)}, {}, "--training.hidden must be a list of values, each at least 1"),
        ({}, {"delta": 0.0}, "--trust-region.delta must be above 0"),
        ({}, {"fraction": 0.0}, "--trust-region.fraction must be above 0 and at most 1"),
        ({}, {"backtracks": 0}, "--trust-region.backtracks must be at least 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict, region: dict, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        TRPO(
            PolicyExperiment("CartPole-v1", training(**changes), TrustRegionConfig(**region)),
            quiet=True,
        )


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    agent = TRPO(PolicyExperiment("CartPole-v1", training()), run=Run(tmp_path), quiet=True).train(
        500
    )
    before = (tmp_path / "state.safetensors").read_bytes()
    with torch.no_grad():
        agent.policy.network.layers[0].bias[0] = float("inf")
    with pytest.raises(DivergenceError, match="no longer finite"):
        agent.save()
    assert (tmp_path / "state.safetensors").read_bytes() == before
