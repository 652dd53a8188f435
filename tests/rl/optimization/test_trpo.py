"""Trust regions: the closed forms against automatic differentiation, the bound, the ends of
episodes, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("gymnasium")

from zeuxis.rl.environments.task import Task
from zeuxis.rl.optimization import trpo
from zeuxis.rl.optimization.gae import advantages
from zeuxis.rl.optimization.numpy_mlp import Regression
from zeuxis.rl.optimization.trust_region import (
    TrustRegionConfig,
    conjugate_gradients,
    natural_gradient_step,
)
from zeuxis.rl.optimization.value_function import LinearValue, NetworkValue
from zeuxis.rl.policies.mlp import MLP, load_parameters, parameters_to_vector
from zeuxis.rl.policies.policy import GaussianPolicy, Policy, make_policy
from zeuxis.rl.policies.running_stats import RunningMeanStd


def some_policy(
    discrete: bool, activation: str = "tanh", hidden: tuple[int, ...] = (5, 4)
) -> Policy:
    """A policy with random weights in float64."""
    task = Task(
        "x",
        3,
        2 if not discrete else 4,
        discrete,
        10,
        () if discrete else (-1.0, -1.0),
        () if discrete else (1.0, 1.0),
    )
    policy = make_policy(task, hidden, activation).double()  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(1)
    load_parameters(
        policy,
        0.5
        * torch.randn(len(parameters_to_vector(policy)), generator=generator, dtype=torch.float64),
    )
    return policy


def some_actions(policy: Policy, n: int) -> torch.Tensor:
    return (
        torch.randint(policy.task.action, (n,))
        if policy.task.discrete
        else torch.randn(n, policy.task.action, dtype=torch.float64)
    )


def with_weights(policy: Policy, vector: torch.Tensor) -> dict[str, torch.Tensor]:
    parts = vector.split([p.numel() for p in policy.parameters()])
    return {
        name: part.view_as(p)
        for (name, p), part in zip(policy.named_parameters(), parts, strict=True)
    }


class Divergence(torch.nn.Module):
    """The mean KL from a fixed distribution, as a function of the weights."""

    def __init__(self, policy: Policy, x: torch.Tensor) -> None:
        super().__init__()
        self.policy, self.x = policy, x
        with torch.no_grad():
            self.distribution = policy.distribution(policy(x))

    def forward(self, vector: torch.Tensor) -> torch.Tensor:
        weights = with_weights(self.policy, vector)
        y = torch.func.functional_call(self.policy, weights, (self.x,))
        if isinstance(self.policy, GaussianPolicy):
            kept, self.policy.log_std = self.policy.log_std, None  # type: ignore[assignment]
            del self.policy._parameters["log_std"]
            object.__setattr__(self.policy, "log_std", weights["log_std"])
            divergence = self.policy.kl(self.distribution, y).mean()
            object.__delattr__(self.policy, "log_std")
            self.policy.log_std = kept
            return divergence
        return self.policy.kl(self.distribution, y).mean()


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("discrete", [False, True])
def test_products_with_the_fisher_matrix_are_those_of_the_explicit_one(
    discrete: bool, activation: str
) -> None:
    policy, x = some_policy(discrete, activation), torch.randn(7, 3, dtype=torch.float64)
    explicit = torch.autograd.functional.hessian(
        Divergence(policy, x), parameters_to_vector(policy)
    )
    product = trpo.Fisher(policy, policy.network.trace(policy.standardize(x)))
    result = torch.stack([product(row) for row in torch.eye(len(explicit), dtype=torch.float64)])
    torch.testing.assert_close(result, explicit, atol=1e-10, rtol=1e-8)
    assert torch.linalg.eigvalsh(result).min() > -1e-10


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_networks_derivatives_are_those_of_automatic_differentiation(activation: str) -> None:
    net = MLP(3, (6, 5), 2, activation).double()  # type: ignore[arg-type]
    load_parameters(net, torch.randn(len(parameters_to_vector(net)), dtype=torch.float64))
    x, v, g = (
        torch.randn(*shape, dtype=torch.float64)
        for shape in ((9, 3), (len(parameters_to_vector(net)),), (9, 2))
    )
    weights = dict(net.named_parameters())
    parts = v.split([w.numel() for w in weights.values()])
    moved = {name: part.view_as(w) for (name, w), part in zip(weights.items(), parts, strict=True)}
    run = lambda w: torch.func.functional_call(net, w, (x,))  # noqa: E731
    y, along = torch.func.jvp(run, (weights,), (moved,))
    trace = net.trace(x)
    torch.testing.assert_close(trace.outputs, y)
    torch.testing.assert_close(net.jvp(trace, v), along)
    back = torch.autograd.grad((net(x) * g).sum(), list(net.parameters()))
    torch.testing.assert_close(net.vjp(trace, g), torch.cat([b.flatten() for b in back]))


@pytest.mark.parametrize("discrete", [False, True])
def test_the_policy_gradient_is_that_of_finite_differences(discrete: bool) -> None:
    policy, x = some_policy(discrete), torch.randn(30, 3, dtype=torch.float64)
    actions, standardized = some_actions(policy, 30), torch.randn(30, dtype=torch.float64)
    trace = policy.network.trace(x)
    outputs = trace.outputs.clone().requires_grad_()
    now = policy.log_prob(outputs, actions)
    before = now.detach()
    gradient = trpo.gradient_of(
        policy, trace, (torch.exp(now - before) * standardized).mean(), outputs
    )
    start = parameters_to_vector(policy)

    def gain(vector: torch.Tensor) -> float:
        load_parameters(policy, vector)
        with torch.no_grad():
            return (
                (torch.exp(policy.log_prob(policy(x), actions) - before) * standardized)
                .mean()
                .item()
            )

    eye = 1e-6 * torch.eye(len(start), dtype=torch.float64)
    numeric = torch.tensor(
        [(gain(start + e) - gain(start - e)) / 2e-6 for e in eye], dtype=torch.float64
    )
    torch.testing.assert_close(gradient, numeric, atol=1e-7, rtol=1e-5)


def test_on_a_bandit_the_sampled_gradient_is_that_of_the_expected_reward() -> None:
    """All arms, each weighted by its chance, instead of samples: then the surrogate's gradient is
    exact."""
    policy = some_policy(True)
    x, returns = (
        torch.ones(4, 3, dtype=torch.float64),
        torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64),
    )
    trace = policy.network.trace(x)
    outputs = trace.outputs.clone().requires_grad_()
    now = policy.log_prob(outputs, torch.arange(4))
    probabilities = now.detach().exp()
    gradient = trpo.gradient_of(
        policy, trace, (torch.exp(now - now.detach()) * probabilities * returns).sum(), outputs
    )
    expected = (policy(x[:1]).softmax(1)[0] * returns).sum()
    exact = torch.cat(
        [g.flatten() for g in torch.autograd.grad(expected, list(policy.parameters()))]
    )
    torch.testing.assert_close(gradient, exact)


def test_conjugate_gradients_solve_a_system() -> None:
    half = torch.randn(50, 50, dtype=torch.float64)
    a, b = (
        half @ half.T / 50 + torch.eye(50, dtype=torch.float64),
        torch.randn(50, dtype=torch.float64),
    )
    x = conjugate_gradients(lambda v: a @ v, b, 50, 1e-24)
    torch.testing.assert_close(a @ x, b, atol=1e-8, rtol=0)
    assert conjugate_gradients(lambda v: a @ v, torch.zeros_like(b)).abs().max() == 0


@pytest.mark.parametrize("discrete", [False, True])
def test_a_step_gains_and_stays_within_the_bound(discrete: bool) -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        policy = some_policy(discrete, hidden=(16,)).float()
        x, actions = torch.randn(500, 3), some_actions(policy, 500)
        actions = actions if discrete else actions.float()
        standardized = torch.randn(500)
        with torch.no_grad():
            y = policy(x)
            distribution, before = policy.distribution(y), policy.log_prob(y, actions)
        for region in (
            TrustRegionConfig(),
            TrustRegionConfig(delta=0.5, damping=1e-5, accept=0),
            TrustRegionConfig(delta=1e-4, fraction=0.1),
        ):
            start = parameters_to_vector(policy)
            result = trpo.update(
                policy, x, actions, standardized, region, torch.Generator().manual_seed(seed)
            )
            with torch.no_grad():
                y = policy(x)
                divergence = policy.kl(distribution, y).mean().item()
                gain = (
                    ((torch.exp(policy.log_prob(y, actions) - before) - 1) * standardized)
                    .mean()
                    .item()
                )
            assert result["step"] > 0
            assert 0 < divergence <= region.delta * (1 + 1e-3)
            assert divergence == pytest.approx(result["kl"], rel=1e-4, abs=1e-7)
            assert gain > 0 and gain == pytest.approx(result["gain"], rel=1e-5, abs=1e-5)
            load_parameters(policy, start)


def test_the_full_step_is_the_quadratic_models() -> None:
    """A linear gain under a quadratic divergence: the step ends exactly on the edge, in the
    direction of the natural gradient."""
    layer = torch.nn.Linear(3, 1, bias=False).double()
    start, g = parameters_to_vector(layer), torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
    f = torch.diag(torch.tensor([1.0, 4.0, 0.5], dtype=torch.float64))

    def evaluate() -> tuple[float, float]:
        moved = parameters_to_vector(layer) - start
        return (g @ moved).item(), (0.5 * moved @ f @ moved).item() * (1 - 1e-12)

    result = natural_gradient_step(
        layer, g, lambda v: f @ v, evaluate, TrustRegionConfig(damping=0.0)
    )
    assert result["step"] == 1 and result["kl"] == pytest.approx(0.01)
    natural = torch.linalg.solve(f, g)
    torch.testing.assert_close(
        (parameters_to_vector(layer) - start) / (parameters_to_vector(layer) - start).norm(),
        natural / natural.norm(),
    )


@pytest.mark.parametrize(
    "outcome", [(-1.0, 0.0), (1.0, 1.0), (float("nan"), 0.0), (1.0, float("nan"))]
)
def test_a_search_that_fails_takes_no_step(outcome: tuple[float, float]) -> None:
    policy = some_policy(False).float()
    before = [p.clone() for p in policy.parameters()]
    result = natural_gradient_step(
        policy,
        torch.randn(len(parameters_to_vector(policy))),
        lambda v: v,
        lambda: outcome,
        TrustRegionConfig(),
    )
    assert result == {"gain": 0, "kl": 0, "step": 0}
    assert all(torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True))
    for gradient in (
        torch.zeros(len(parameters_to_vector(policy))),
        torch.full((len(parameters_to_vector(policy)),), torch.nan),
    ):
        assert (
            natural_gradient_step(
                policy, gradient, lambda v: v, lambda: (1.0, 0.0), TrustRegionConfig()
            )["step"]
            == 0
        )


def by_hand(
    rewards: list[float], values: list[float], beyond: float, gamma: float, lam: float
) -> list[float]:
    after = [*values[1:], beyond]
    delta = [r + gamma * w - v for r, v, w in zip(rewards, values, after, strict=True)]
    return [
        sum((gamma * lam) ** (k - t) * delta[k] for k in range(t, len(delta)))
        for t in range(len(delta))
    ]


@pytest.mark.parametrize(("gamma", "lam"), [(0.9, 0.8), (1.0, 1.0), (0.5, 0.0)])
def test_advantages_are_those_worked_out_by_hand_with_ends_and_cuts_mixed(
    gamma: float, lam: float
) -> None:
    lengths, beyond = np.array([3, 1, 5, 2]), np.array([0.0, 2.5, -1.0, 0.0])
    rng = np.random.default_rng(0)
    rewards, values = rng.standard_normal(11), rng.standard_normal(11)
    result = advantages(rewards, values, beyond, lengths, gamma, lam)
    hand, start = [], 0
    for n, last in zip(lengths, beyond, strict=True):
        hand += by_hand(
            list(rewards[start : start + n]), list(values[start : start + n]), last, gamma, lam
        )
        start += n
    np.testing.assert_allclose(result, hand, atol=1e-12)
    # three numbers by pencil: r = 1, 2; V = 0.5, 1; beyond 4, gamma 0.5, lambda 0.5
    np.testing.assert_allclose(
        advantages(
            np.array([1.0, 2.0]), np.array([0.5, 1.0]), np.array([4.0]), np.array([2]), 0.5, 0.5
        ),
        [1 + 0.25 * 3, 3.0],
    )


def test_running_statistics_are_exact_and_can_be_frozen() -> None:
    x = torch.randn(1000, 3) * torch.tensor([1.0, 1e-3, 100.0]) + torch.tensor([0.0, 5.0, 1e4])
    seen = RunningMeanStd(3, clip=2.0)
    assert torch.equal(seen.standardize(x), x)
    for part in x.split([1, 99, 400, 500]):
        seen.update(part)
    torch.testing.assert_close(seen.mean, x.double().mean(0))
    torch.testing.assert_close(seen.std, x.double().std(0, unbiased=False) + 1e-6)
    assert seen.standardize(x).abs().max() == 2
    mean, scale = seen.arrays()
    np.testing.assert_allclose(
        ((x.numpy() - mean) * scale).clip(-2, 2), seen.standardize(x).numpy(), atol=1e-3
    )
    seen.freeze()
    seen.update(x + 100)
    torch.testing.assert_close(seen.mean, x.double().mean(0))


def test_the_linear_baseline_solves_its_regression() -> None:
    x, times = torch.randn(400, 2), torch.arange(400).float() % 50
    targets = 3 * x[:, 0] - x[:, 1] ** 2 + 0.5 * (times / 100) ** 2 + 2
    value = LinearValue(2)
    assert value.predict(x, times).abs().max() == 0
    value.fit(x, times, targets)
    torch.testing.assert_close(value.predict(x, times), targets, atol=1e-3, rtol=0)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_passes_of_adam_over_the_value_function_are_those_of_automatic_differentiation(
    activation: str,
) -> None:
    x, times, returns = (
        torch.randn(50, 3, dtype=torch.float64),
        torch.arange(50).double(),
        torch.randn(50, dtype=torch.float64),
    )
    ours, reference = (
        NetworkValue(3, 50, (6, 5), activation, timed=True).double() for _ in range(2)
    )  # type: ignore[arg-type]
    regression, shuffles = Regression(ours.network, 0.01), torch.Generator().manual_seed(0)
    first = parameters_to_vector(ours)
    ours.fit_adam(regression, x, times, returns, 3, 16, shuffles)
    assert (parameters_to_vector(ours) - first).abs().max() > 1e-3 and int(
        regression.adam.count
    ) == 12
    inputs, wanted = reference.prepare(x, times, returns)
    optimizer, generator = (
        torch.optim.Adam(reference.parameters(), 0.01),
        torch.Generator().manual_seed(0),
    )
    for _ in range(3):
        for rows in torch.randperm(50, generator=generator).split(16):
            optimizer.zero_grad()
            (reference.network(inputs[rows]) - wanted[rows]).square().mean().backward()
            optimizer.step()
    assert (parameters_to_vector(ours) - parameters_to_vector(reference)).abs().max() < 1e-10


def test_one_natural_step_of_the_value_function_lowers_the_error_within_its_region() -> None:
    x, times = torch.randn(500, 2), torch.zeros(500)
    targets = 10 + 5 * torch.sin(2 * x[:, 0])
    value = NetworkValue(2, 10)
    errors = []
    for _ in range(30):
        start = value.predict(x, times)
        result = value.fit_natural(
            x, times, targets, TrustRegionConfig(fraction=0.5), torch.arange(250)
        )
        assert result["kl"] <= 0.01 * (1 + 1e-3)
        errors.append((value.predict(x, times) - targets).square().mean().item())
        assert (value.predict(x, times) - start).abs().max() > 0
    assert errors[-1] < 0.3 * errors[0]
