"""Imitation: signs and limits of its rewards, what the discriminators see, that planted experts are
recovered, and what demonstrations may be."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

pytest.importorskip("gymnasium")

import tiny_envs
from tiny_envs import BOX, CHOICE, demos_of, right_expert, switch_expert
from zeuxis.checkpoints.run_folder import Run
from zeuxis.errors import UsageError
from zeuxis.model import Batch
from zeuxis.noise import Noise
from zeuxis.rl.environments.task import Task
from zeuxis.rl.imitation.apprenticeship import LinearReward
from zeuxis.rl.imitation.behavioral_cloning import BC, CloningConfig
from zeuxis.rl.imitation.demonstrations import Demonstrations, record
from zeuxis.rl.imitation.discriminator import (
    Discriminator,
    GAILConfig,
    StateActionEncoder,
    reward_of,
)
from zeuxis.rl.imitation.gail import GAIL, PAPER_TRAINING, PAPER_TRUST_REGION, modern, sign_for
from zeuxis.rl.optimization.config import PolicyExperiment
from zeuxis.rl.policies.numpy_policy import random_policy
from zeuxis.rl.rollouts.policy_evaluation import evaluate_policy
from zeuxis.rl.rollouts.trajectory import Rollouts

QUICK = replace(PAPER_TRAINING, steps=3_000, batch=200, hidden=(16,), workers=0, threads=1)


def test_rewards_have_the_papers_signs_and_limits() -> None:
    s = torch.linspace(-200, 200, 4001)
    positive, negative = reward_of(s, "positive"), reward_of(s, "negative")
    assert positive.isfinite().all() and negative.isfinite().all()
    assert (positive >= 0).all() and (negative <= 0).all()
    assert (positive.diff() >= 0).all() and (negative.diff() >= 0).all(), (
        "what looks more like the expert is worth more"
    )
    torch.testing.assert_close(
        positive - negative, torch.where(s > 0, s, -s) + 2 * torch.nn.functional.softplus(-s.abs())
    )
    d = torch.sigmoid(s.double()[1990:2011])
    torch.testing.assert_close(
        positive.double()[1990:2011], -torch.log(1 - d), atol=1e-6, rtol=1e-6
    )
    torch.testing.assert_close(negative.double()[1990:2011], torch.log(d), atol=1e-6, rtol=1e-6)
    assert torch.equal(reward_of(s, "logit"), s)


@pytest.mark.parametrize(
    ("task", "ended", "reward", "sign"),
    [
        ("Hopper-v5", 0, "auto", "positive"),
        ("Hopper-v5", 1, "auto", "positive"),
        ("Hopper-v5", 2, "auto", "negative"),
        ("MountainCar-v0", 0, "auto", "negative"),
        ("Acrobot-v1", 2, "auto", "negative"),
        ("Acrobot-v1", 2, "positive", "positive"),
        ("Hopper-v5", 0, "logit", "logit"),
    ],
)
def test_the_sign_is_chosen_by_the_task_and_said(
    task: str, ended: int, reward: str, sign: str
) -> None:
    demos = demos_of()
    demos = replace(demos, rollouts=replace(demos.rollouts, terminated=np.arange(2) < ended))
    result, why = sign_for(GAILConfig(reward=reward), task, demos)  # type: ignore[arg-type]
    assert result == sign and why


@pytest.mark.parametrize("absorbing", [False, True])
@pytest.mark.parametrize("task", [BOX, CHOICE], ids=["box", "choice"])
def test_a_discriminator_sees_clipped_actions(task: Task, absorbing: bool) -> None:
    encoder = StateActionEncoder(task, absorbing)
    seen = torch.randn(4, 3)
    rows = encoder.rows(
        seen,
        torch.tensor([0, 1, 1, 0])
        if task.discrete
        else torch.tensor([[3.0, 0.5], [-2, 0], [0, 0], [1, 1]]),
    )
    assert rows.shape == (4, encoder.size)
    assert torch.equal(rows[:, :3], seen)
    taken = (
        [[1, 0], [0, 1], [0, 1], [1, 0]] if task.discrete else [[1, 0.5], [-1, 0], [0, 0], [1, 1]]
    )
    assert rows[:, 3:5].tolist() == taken
    discriminator = Discriminator(GAILConfig(hidden=(8,), absorbing=absorbing), encoder)
    discriminator.input_rms.update(10 + 5 * torch.randn(50, encoder.standardized))
    for p in discriminator.network.parameters():
        torch.nn.init.normal_(p)
    before = discriminator.score(rows)
    assert before.shape == (4,)
    if task.discrete:  # the logit of the action taken
        z = discriminator.input_rms.standardize(seen)
        torch.testing.assert_close(
            before, discriminator.network(z)[torch.arange(4), rows[:, 3:5].argmax(1)]
        )
    if absorbing:
        gone = encoder.absorbing_row(rows)
        other = gone.clone()
        assert gone[0, -1] == 1 and rows[:, -1].abs().sum() == 0
        other[0, :3] += 100
        torch.testing.assert_close(
            discriminator.score(gone),
            discriminator.score(other),
            msg="where an episode ended does not matter to its absorbing state",
        )


@pytest.mark.parametrize("kind", ["discriminator", "fem", "gtal"])
@pytest.mark.parametrize("task", [BOX, CHOICE], ids=["box", "choice"])
def test_hidden_dims_change_no_score(task: Task, kind: str) -> None:
    encoder = StateActionEncoder(task, hidden_dims=(0, 2))
    taken = torch.tensor([0, 1, 1, 0]) if task.discrete else torch.randn(4, 2)
    seen, other = torch.randn(4, 3), torch.randn(4, 3)
    expert, kept = (
        encoder.rows(
            torch.randn(50, 3),
            torch.zeros(50, dtype=torch.int64) if task.discrete else torch.randn(50, 2),
        ),
        seen.clone(),
    )
    discriminator = (
        Discriminator(GAILConfig(hidden=(8,)), encoder)
        if kind == "discriminator"
        else LinearReward(kind, encoder, "logit")
    )
    discriminator.input_rms.update(expert[:, : encoder.standardized])
    if isinstance(discriminator, LinearReward):
        discriminator.fit(encoder.rows(seen, taken), expert)
    else:
        for p in discriminator.network.parameters():
            torch.nn.init.normal_(p)
    hidden = torch.stack([other[:, 0], seen[:, 1], other[:, 2]], 1)
    before = discriminator.score(encoder.rows(seen, taken))
    assert before.isfinite().all() and torch.equal(
        discriminator.score(encoder.rows(hidden, taken)), before
    )
    assert not torch.equal(discriminator.score(encoder.rows(other, taken)), before), (
        "the one in the middle counts"
    )
    assert torch.equal(seen, kept), "the policy still sees all"


@pytest.mark.parametrize(
    ("unseen", "sentence"),
    [((3,), "from 0 to 2"), ((-1,), "from 0 to 2|each at least 0"), ((0, 1, 2), "leave it some")],
)
def test_hiding_what_is_not_there_or_everything_is_refused(
    unseen: tuple[int, ...], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        StateActionEncoder(BOX, hidden_dims=unseen)


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("task", [BOX, CHOICE], ids=["box", "choice"])
def test_the_discriminators_loss_is_the_papers_and_reaches_all_of_it(
    task: Task, penalty: float
) -> None:
    encoder = StateActionEncoder(task)
    discriminator = Discriminator(GAILConfig(hidden=(8,), penalty=penalty), encoder)
    torch.nn.init.normal_(discriminator.network.layers[-1].weight)

    def draw() -> Tensor:
        return torch.randint(2, (5,)) if task.discrete else torch.randn(5, 2).clamp(-1, 1)

    x = torch.cat(
        [encoder.rows(torch.randn(5, 3), draw()), encoder.rows(torch.randn(5, 3), draw())]
    )
    batch = Batch(x, torch.tensor([0.0] * 5 + [1.0] * 5), Noise(0, 0, slice(0, 5), 5))
    ((player, loss),) = discriminator.play(batch)
    assert player == "discriminator" and set(discriminator.players()) == {"discriminator"}
    d = torch.sigmoid(discriminator(discriminator.inputs(x)).double())
    entropy = -(d * d.log() + (1 - d) * (1 - d).log())
    by_hand = (
        -(1 - d[:5]).log().mean()
        - d[5:].log().mean()
        - 0.001 * (entropy[:5].mean() + entropy[5:].mean())
    )
    if penalty:
        assert loss > by_hand
    else:
        torch.testing.assert_close(loss.double(), by_hand, atol=1e-5, rtol=1e-5)
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in discriminator.parameters())


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0])
def test_the_gradient_penalty_holds_the_norm_at_one(scale: float) -> None:
    """Of a linear discriminator s = w z the gradient is w everywhere, so the penalty is (|w| -
    1)^2, 0 for |w| = 1 alone."""
    encoder, loss = StateActionEncoder(BOX), []
    w = torch.tensor([[3.0, 0.0, -4.0, 0.0, 0.0]]) / 5 * scale
    rows = torch.cat(
        [
            encoder.rows(torch.randn(6, 3), torch.rand(6, 2)),
            encoder.rows(torch.randn(6, 3), torch.rand(6, 2)),
        ]
    )
    batch = Batch(rows, torch.tensor([0.0] * 6 + [1.0] * 6), Noise(0, 0, slice(0, 6), 6))
    for penalty in (0.0, 2.0):
        discriminator = Discriminator(GAILConfig(hidden=(), penalty=penalty), encoder)
        with torch.no_grad():
            discriminator.network.layers[0].weight.copy_(w)
        loss.append(next(discriminator.play(batch))[1])
    assert (loss[1] - loss[0]).item() == pytest.approx(2 * (scale - 1) ** 2, abs=1e-5)


def test_the_gradient_penalty_looks_between_the_expert_and_the_policy() -> None:
    """s = relu(z - 1) has slope 1 beyond 1 and 0 before it, which shows where the norm is taken."""
    task = tiny_envs.Task("x", 1, 1, False, 10, (-1.0,), (1.0,))
    encoder = StateActionEncoder(task)

    def penalty(policy: float, expert: float) -> float:
        discriminator = Discriminator(
            GAILConfig(hidden=(1,), activation="relu", penalty=1.0, entropy=0.0), encoder
        )
        with torch.no_grad():
            for p, value in zip(
                discriminator.network.parameters(),
                ([[1.0, 0.0]], [-1.0], [[1.0]], [0.0]),
                strict=True,
            ):
                p.copy_(torch.tensor(value))
        n = 4000
        x = torch.cat([torch.full((n, 1), policy), torch.full((n, 1), expert)])
        rows, y = encoder.rows(x, torch.zeros(2 * n, 1)), torch.cat([torch.zeros(n), torch.ones(n)])
        loss = next(discriminator.play(Batch(rows, y, Noise(0, 0, slice(0, n), n))))[1]
        s = (x - 1).relu()[:, 0]
        return (loss - F.softplus(s[:n]).mean() - F.softplus(-s[n:]).mean()).item()

    assert penalty(2.0, 3.0) == pytest.approx(0, abs=1e-5)
    assert penalty(-1.0, 0.5) == pytest.approx(1, abs=1e-5)
    assert penalty(0.0, 4.0) == pytest.approx(1 / 4, abs=0.03), (
        "uniformly on the way: a quarter of it lies before 1"
    )


@pytest.mark.parametrize(("every", "steps"), [(1, 52), (2, 26), (4, 13)])
def test_steps_after_the_experts_ends_are_thinned_as_the_others_are(every: int, steps: int) -> None:
    demos = record(right_expert(), tiny_envs.Corridor, 2, horizon=30)
    assert demos.rollouts.lengths.tolist() == [4, 4] and demos.rollouts.terminated.all()
    agent = GAIL(
        PolicyExperiment(
            tiny_envs.Corridor,
            replace(QUICK, horizon=30),
            config=GAILConfig(every=every, absorbing=True, hidden=(4,)),
        ),
        demos,
        quiet=True,
    )
    assert agent.absorbing_steps == steps and len(agent.expert) == 8 // every


@pytest.mark.parametrize("task", [BOX, CHOICE], ids=["box", "choice"])
@pytest.mark.parametrize("sign", ["positive", "negative"])
@pytest.mark.parametrize("kind", ["fem", "gtal"])
def test_linear_rewards_pay_for_what_the_policy_lacks(kind: str, sign: str, task: Task) -> None:
    encoder = StateActionEncoder(task)
    reward_model = LinearReward(kind, encoder, sign)
    make = lambda mean: encoder.rows(  # noqa: E731
        torch.randn(200, 3) + torch.tensor(mean),
        torch.ones(200, dtype=torch.int64) if task.discrete else torch.zeros(200, 2),
    )
    policy, expert = make([0.0, 0.0, 0.0]), make([0.0, 0.0, 2.0])
    reward_model.input_rms.update(torch.cat([policy, expert])[:, : encoder.standardized])
    assert reward_model.score(policy).abs().max() == 0, "before it has seen anything"
    reward_model.fit(policy, expert)
    w = reward_model.weights
    assert w.norm() == pytest.approx(1)
    if kind == "gtal":
        assert (w != 0).sum() == 1
    score = torch.cat([reward_model.score(policy), reward_model.score(expert)])
    assert (score >= 0).all() if sign == "positive" else (score <= 0).all()
    assert score[200:].mean() > score[:200].mean()
    corner = encoder.rows(
        torch.tensor([[0.0, 0.0, 5.0], [0.0, 0.0, -5.0]]),
        torch.ones(2, dtype=torch.int64) if task.discrete else torch.zeros(2, 2),
    )
    high, low = reward_model.score(corner)
    assert high > low


def test_absorbing_states_pay_for_what_comes_after_the_end() -> None:
    demos = record(right_expert(), tiny_envs.Corridor, 2, horizon=30)
    for gamma in (0.9, 1.0):
        agent = GAIL(
            PolicyExperiment(
                tiny_envs.Corridor,
                replace(QUICK, gamma=gamma, horizon=30),
                config=GAILConfig(absorbing=True, reward="positive"),
            ),
            demos,
            quiet=True,
        )
        assert agent.absorbing_steps == 2 * 26
        rollouts, _ = agent.collector.collect(agent.policy.to_numpy(), episodes=6)
        plain = GAIL(
            PolicyExperiment(
                tiny_envs.Corridor,
                replace(QUICK, gamma=gamma, horizon=30),
                config=GAILConfig(reward="positive"),
            ),
            demos,
            quiet=True,
        )
        extra = agent.rewards(rollouts) - plain.rewards(rollouts)
        ends = rollouts.starts + rollouts.lengths - 1
        wanted = [
            np.log(2) * sum(gamma**k for k in range(1, 30 - n + 1)) * ended
            for n, ended in zip(rollouts.lengths, rollouts.terminated, strict=True)
        ]
        np.testing.assert_allclose(extra[ends], wanted, atol=1e-5)
        assert np.delete(extra, ends) == pytest.approx(0, abs=1e-6)
        assert rollouts.terminated.any()


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("discriminator", ["discriminator", "gtal"])
def test_a_planted_expert_is_recovered_without_its_reward(
    discriminator: str, continuous: bool
) -> None:
    env = partial(tiny_envs.Switch, continuous=continuous)
    demos = record(switch_expert(continuous), env, 3, horizon=20)
    assert demos.rollouts.returns.tolist() == [20.0] * 3
    if discriminator == "gtal" and continuous:
        pytest.skip(
            "linear features of state and action cannot say which action belongs to which state"
        )
    t = replace(QUICK, horizon=20, gamma=0.5)
    agent = GAIL(
        PolicyExperiment(
            env,
            t,
            PAPER_TRUST_REGION,
            GAILConfig(reward_model=discriminator, hidden=(16,), updates=4, lr=0.02),
        ),
        demos,
        quiet=True,
    )  # type: ignore[arg-type]
    before = evaluate_policy(agent.policy, env, 10, horizon=20).returns.mean()
    agent.train(5_000)
    after = evaluate_policy(agent.policy, env, 10, horizon=20).returns.mean()
    assert before < 13 and after > 16


def test_an_expert_that_ends_its_episodes_is_followed_to_the_end() -> None:
    demos = record(right_expert(), tiny_envs.Corridor, 3, horizon=30)
    agent = GAIL(
        PolicyExperiment(
            tiny_envs.Corridor, replace(QUICK, horizon=30), config=GAILConfig(hidden=(16,))
        ),
        demos,
        quiet=True,
    )
    assert agent.sign == "negative"
    agent.train(5_000)
    assert (
        evaluate_policy(agent.policy, tiny_envs.Corridor, 5, horizon=30).returns.tolist()
        == [-4.0] * 5
    )


@pytest.mark.slow
def test_absorbing_states_make_the_sign_of_the_reward_no_matter() -> None:
    """A reward that is never negative pays for going on, and the policy never ends; unless what
    comes after is rewarded as well."""
    demos = record(right_expert(), tiny_envs.Corridor, 3, horizon=30)
    config, t = modern(GAILConfig(hidden=(16,), reward="positive"), replace(QUICK, horizon=30))
    config = replace(config, minibatch=64, lr=3e-3)
    lengths = []
    for absorbing in (True, False):
        agent = GAIL(
            PolicyExperiment(tiny_envs.Corridor, t, config=replace(config, absorbing=absorbing)),
            demos,
            quiet=True,
        )
        lengths.append(agent.train(8_000).figures["length"])
    assert lengths[0] < 4.5 and lengths[1] > 25


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"penalty": 1.0, "updates": 2, "minibatch": 50, "absorbing": True},
        {"reward_model": "fem"},
        {"bc_steps": 40},
    ],
    ids=str,
)
def test_a_resumed_imitation_is_exact(changes: dict, tmp_path: Path) -> None:
    demos = record(right_expert(), tiny_envs.Corridor, 2, horizon=30)

    def agent(folder: str) -> GAIL:
        (tmp_path / folder).mkdir(exist_ok=True)
        t = replace(QUICK, horizon=30, steps=900)
        return GAIL(
            PolicyExperiment(tiny_envs.Corridor, t, config=GAILConfig(hidden=(8,), **changes)),
            demos,
            run=Run(tmp_path / folder),
            quiet=True,
        )

    whole = agent("whole").train()
    agent("broken").train(400)
    again = agent("broken").train()
    states = [
        {f"{n}.{k}": v for n, part in a.parts.items() for k, v in part.state_dict().items()}
        for a in (whole, again)
    ]
    assert whole.steps == again.steps and all(
        torch.equal(v, states[1][k]) for k, v in states[0].items()
    )


@pytest.mark.parametrize("continuous", [False, True])
def test_cloning_recovers_the_expert_and_goes_on_exactly(continuous: bool, tmp_path: Path) -> None:
    env = partial(tiny_envs.Switch, continuous=continuous)
    demos = record(switch_expert(continuous), env, 2, horizon=20)
    c = CloningConfig(steps=200, validate_every=50, hidden=(8,), lr=2e-2, horizon=20, threads=1)

    def clone(folder: str) -> BC:
        (tmp_path / folder).mkdir(exist_ok=True)
        return BC(PolicyExperiment(env, config=c), demos, run=Run(tmp_path / folder), quiet=True)

    whole = clone("whole").train()
    assert evaluate_policy(whole.policy, env, 5, horizon=20).returns.mean() > 19
    clone("broken").train(90)
    again = clone("broken").train()
    assert again.steps == 200
    newest = [agent.model.policy.state_dict().values() for agent in (whole, again)]
    assert all(torch.equal(a, b) for a, b in zip(*newest, strict=True))


@pytest.mark.parametrize("continuous", [False, True])
def test_imitation_can_begin_with_a_clone(continuous: bool) -> None:
    """After the first iteration, which a trust region keeps near the clone, the policy is all but
    the expert; without cloning it is not."""
    env = partial(tiny_envs.Switch, continuous=continuous)
    demos = record(switch_expert(continuous), env, 2, horizon=20)
    result = []
    for bc_steps in (0, 300):
        agent = GAIL(
            PolicyExperiment(
                env, replace(QUICK, horizon=20), config=GAILConfig(hidden=(8,), bc_steps=bc_steps)
            ),
            demos,
            quiet=True,
        ).train(200)
        result.append(evaluate_policy(agent.policy, env, 10, horizon=20).returns.mean())
    assert result[0] < 13 and result[1] > 18


def test_an_imitator_begins_with_the_deviation_that_its_clone_shows_on_other_pairs() -> None:
    """Random actions of deviation 0.4: a clone memorizes its pairs and misses others by 0.4."""
    rng = np.random.default_rng(0)
    actions = (0.4 * rng.standard_normal((400, 1))).astype(np.float32)
    seen, ends = rng.standard_normal((400, 2)).astype(np.float32), np.zeros((1, 2), np.float32)
    demos = Demonstrations(
        Rollouts(seen, actions, np.zeros(400, np.float32), np.array([400]), ends, np.array([False]))
    )
    t = replace(QUICK, horizon=400)
    agent = GAIL(
        PolicyExperiment(
            partial(tiny_envs.Switch, 400, True), t, config=GAILConfig(hidden=(8,), bc_steps=100)
        ),
        demos,
        quiet=True,
    )
    agent.start_from_cloning()
    assert 0.3 < agent.policy.log_std.exp().item() < 0.6  # type: ignore[operator]


def test_cloning_keeps_the_snapshot_that_validates_best() -> None:
    """Random actions can only be memorized: the best snapshot is an early one."""
    rng = np.random.default_rng(0)
    n = 60
    demos = Demonstrations(
        Rollouts(
            rng.standard_normal((n, 2)).astype(np.float32),
            rng.uniform(-1, 1, (n, 1)).astype(np.float32),
            np.zeros(n, np.float32),
            np.array([n]),
            np.zeros((1, 2), np.float32),
            np.array([False]),
        )
    )
    agent = BC(
        PolicyExperiment(
            partial(tiny_envs.Switch, 60, True),
            config=CloningConfig(
                steps=300, validate_every=30, hidden=(32,), lr=3e-2, horizon=60, threads=1
            ),
        ),
        demos,
        quiet=True,
    )
    agent.train()
    assert agent.figures["score"] < agent.figures["best"]
    with torch.no_grad():
        error = agent.policy(agent.observations[agent.held_out]) - agent.actions[agent.held_out]
    assert -error.square().sum(1).mean().item() == pytest.approx(agent.figures["best"], rel=1e-5)


def test_settings_that_cannot_work_are_refused() -> None:
    demos = record(right_expert(), tiny_envs.Corridor, 1, horizon=30)
    for changes, sentence in (
        ({"lr": 0.0}, "--gail.lr must be above 0"),
        ({"bc_steps": -1}, "--gail.bc-steps must be at least 0"),
        ({"reward_model": "fem", "absorbing": True}, "leave these out"),
    ):
        with pytest.raises(UsageError, match=sentence):
            GAIL(
                PolicyExperiment(
                    tiny_envs.Corridor, replace(QUICK, horizon=30), config=GAILConfig(**changes)
                ),
                demos,
                quiet=True,
            )
    with pytest.raises(UsageError, match="--bc.hold-out must be above 0 and below 1"):
        BC(
            PolicyExperiment(tiny_envs.Corridor, config=CloningConfig(hold_out=1.0, horizon=30)),
            demos,
            quiet=True,
        )
    with pytest.raises(UsageError, match="no deviation to draw"):
        record(
            switch_expert(True),
            partial(tiny_envs.Switch, continuous=True),
            1,
            deterministic=False,
            horizon=20,
        )
    with pytest.raises(UsageError, match="At least one episode"):
        record(right_expert(), tiny_envs.Corridor, 0, horizon=30)


def test_chance_is_the_policy_before_it_learns() -> None:
    result = evaluate_policy(
        random_policy(Task("Switch", 2, 2, True, 20)),
        tiny_envs.Switch,
        200,
        deterministic=False,
        horizon=20,
    )
    assert result.returns.mean() == pytest.approx(10, abs=0.5)
    assert result.as_dict()["episodes"] == 200 and "± " in str(result)
