"""Information gain: the closed form against automatic differentiation, finite differences and exact
posteriors, and how gains behave."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from zeuxis.errors import UsageError
from zeuxis.rl.exploration import information_gain
from zeuxis.rl.exploration.bayesian_network import BNN, columns
from zeuxis.rl.exploration.ensemble import Ensemble
from zeuxis.rl.exploration.information_gain import InformationGain, VIMEConfig, check_vime
from zeuxis.rl.exploration.local_reparameterization import by_samples
from zeuxis.rl.exploration.released_code import (
    RELEASED,
    ReleasedBNN,
    ReleasedInformationGain,
)
from zeuxis.rl.exploration.relu_moments import rectified
from zeuxis.rl.exploration.replay_buffer import ReplayBuffer
from zeuxis.rl.optimization.numpy_mlp import adam
from zeuxis.rl.policies.running_stats import RunningMeanStd

HIDDEN = [(), (7,), (6, 5)]
GAINS = (InformationGain, ReleasedInformationGain)


def net_of(hidden: tuple[int, ...], kind: type[BNN] = BNN, **more: object) -> BNN:
    """A float64 network with generic weights."""
    net = kind(3, hidden, 2, noise=0.7, **more).double()  # type: ignore[arg-type]
    net.theta += 0.3 * torch.randn(
        net.theta.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    return net


def rows_of(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.standard_normal((n, 3)), rng.standard_normal((n, 2))


def layers(net: BNN, mu: Tensor, sigma: Tensor) -> list[tuple[Tensor, Tensor]]:
    result, start = [], 0
    for a, b in net.shapes:
        part = slice(start, start + a * b)
        result.append((mu[part].view(a, b), sigma[part].view(a, b)))
        start += a * b
    return result


def expected(
    net: BNN,
    mu: Tensor,
    sigma: Tensor,
    log_noise: Tensor,
    x: Tensor,
    y: Tensor,
    noise: list[Tensor] | None,
) -> Tensor:
    """Expected negative log-likelihood of one row but for a constant, by
    textbook moments, or with noise (units, S)."""
    a, spread = x, torch.zeros_like(x)
    h = x[:, None].expand(-1, len(noise[0][0])) if noise else x[:, None]
    for i, (w, s) in enumerate(layers(net, mu, sigma)):
        last = i == len(net.shapes) - 1
        if noise:
            m = w[:, :-1] @ h + w[:, -1:]
            z = m + (s[:, :-1].square() @ h.square() + s[:, -1:].square()).sqrt() * noise[i]
            h = z if last else z.relu()
            continue
        m = w[:, :-1] @ a + w[:, -1]
        v = (
            s[:, :-1].square() @ (a.square() + spread)
            + s[:, -1].square()
            + w[:, :-1].square() @ spread
        )
        if not last:
            t = m / v.sqrt()
            above, peak = torch.special.ndtr(t), torch.exp(-t.square() / 2) / math.sqrt(2 * math.pi)
            a = m * above + v.sqrt() * peak
            spread = (m.square() + v) * above + m * v.sqrt() * peak - a.square()
    error = (z - y[:, None]).square().mean(1) if noise else (m - y).square() + v
    return (0.5 * error * torch.exp(-2 * log_noise) + log_noise).sum()


def split(net: BNN) -> tuple[Tensor, Tensor, Tensor]:
    return net.theta.split([net.weights, net.weights, len(net.theta) - 2 * net.weights])


def drawn(net: BNN, n: int, seed: int) -> list[list[Tensor]]:
    """The noise that `fisher_quadratic_form` draws for n rows: by row and layer, (units, S)."""
    rng = np.random.default_rng(seed)
    by_layer = [rng.standard_normal((a, n, net.samples), np.float32) for a, _ in net.shapes]
    return [[torch.from_numpy(e[:, k].astype(np.float64)) for e in by_layer] for k in range(n)]


@pytest.mark.parametrize("expectation", ["moments", "samples"])
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_the_bonus_is_that_of_a_gradient_for_each_row(
    hidden: tuple[int, ...], expectation: str
) -> None:
    net = net_of(hidden, expectation=expectation, samples=3)
    x, y = rows_of(5)
    result = net.fisher_quadratic_form(
        columns(x), np.ascontiguousarray(y.T), np.random.default_rng(4)
    )
    noise = drawn(net, 5, 4) if expectation == "samples" else [None] * 5
    mu, rho, log_noise = split(net)
    for kind in (
        "softplus",
        "exp",
    ):  # the bonus does not depend on how deviations are parameterized
        sigma = torch.nn.functional.softplus(rho)
        raw = rho.clone() if kind == "softplus" else sigma.log()
        bend: Callable[[Tensor], Tensor] = (
            torch.nn.functional.softplus if kind == "softplus" else torch.exp
        )
        slope = torch.sigmoid(raw) if kind == "softplus" else sigma
        for k in range(5):
            m, r = mu.clone().requires_grad_(), raw.clone().requires_grad_()
            loss = expected(
                net, m, bend(r), log_noise, torch.tensor(x[k]), torch.tensor(y[k]), noise[k]
            )
            to_mu, to_raw = torch.autograd.grad(loss, [m, r])
            by_hand = (
                to_mu.square() * sigma.square()
                + to_raw.square() * sigma.square() / (2 * slope.square())
            ).sum()
            assert result[k] == pytest.approx(by_hand.item(), rel=1e-9)


@pytest.mark.parametrize("expectation", ["moments", "samples"])
def test_gradients_by_finite_differences(expectation: str) -> None:
    net = net_of((4, 3), expectation=expectation, samples=3)
    x, y = rows_of(1)
    noise = drawn(net, 1, 4)[0] if expectation == "samples" else None
    mu, rho, log_noise = split(net)
    loss = lambda m, r: expected(  # noqa: E731
        net,
        m,
        torch.nn.functional.softplus(r),
        log_noise,
        torch.tensor(x[0]),
        torch.tensor(y[0]),
        noise,
    ).item()
    total, h = 0.0, 1e-5
    sigma, slope = torch.nn.functional.softplus(rho), torch.sigmoid(rho)
    for i in range(net.weights):
        step = torch.zeros_like(mu)
        step[i] = h
        by_mu = (loss(mu + step, rho) - loss(mu - step, rho)) / (2 * h)
        by_rho = (loss(mu, rho + step) - loss(mu, rho - step)) / (2 * h)
        total += (by_mu**2 * sigma[i] ** 2 + by_rho**2 * sigma[i] ** 2 / (2 * slope[i] ** 2)).item()
    result = net.fisher_quadratic_form(
        columns(x), np.ascontiguousarray(y.T), np.random.default_rng(4)
    )
    assert result[0] == pytest.approx(total, rel=1e-6)


def kl(mu: Tensor, sigma: Tensor, old_mu: Tensor, old_sigma: Tensor) -> float:
    """KL[new || old] of independent Gaussians."""
    return (
        (
            ((mu - old_mu).square() + sigma.square()) / (2 * old_sigma.square())
            - 0.5
            + (old_sigma / sigma).log()
        )
        .sum()
        .item()
    )


@pytest.mark.parametrize("hidden", [(), (5,)], ids=str)
def test_the_closed_form_is_the_divergence_of_the_step_to_second_order(
    hidden: tuple[int, ...],
) -> None:
    """One step is taken, and the exact KL[after || before] is what was said, the better the shorter
    it is."""
    net = net_of(hidden)
    x, y = rows_of(1)
    said = (
        0.5
        * net.fisher_quadratic_form(
            columns(x), np.ascontiguousarray(y.T), np.random.default_rng(0)
        )[0]
    )
    mu, rho, log_noise = split(net)
    m, r = mu.clone().requires_grad_(), rho.clone().requires_grad_()
    loss = expected(
        net,
        m,
        torch.nn.functional.softplus(r),
        log_noise,
        torch.tensor(x[0]),
        torch.tensor(y[0]),
        None,
    )
    to_mu, to_rho = torch.autograd.grad(loss, [m, r])
    sigma, slope = torch.nn.functional.softplus(rho), torch.sigmoid(rho)
    errors = []
    for length in (1e-2, 1e-3):
        after = rho - length * to_rho * sigma.square() / (2 * slope.square())
        moved = kl(
            mu - length * to_mu * sigma.square(), torch.nn.functional.softplus(after), mu, sigma
        )
        errors.append(abs(moved / (length**2 * said) - 1))
    assert errors[0] < 0.1 and errors[1] < 0.2 * errors[0], errors


def test_a_linear_model_of_one_weight_gains_what_bayes_rule_says() -> None:
    """At input 0 a linear model is its bias alone, with a known posterior: at lambda = 1, from data
    that says little, the gains agree."""
    ratios = []
    for noise in (3.0, 30.0):
        net = BNN(1, (), 1, noise=noise).double()
        mu, sigma = net.theta[1].item(), math.log1p(math.exp(net.theta[3].item()))
        y = mu + 2.5 * noise
        said = (
            0.5
            * net.fisher_quadratic_form(
                np.array([[0.0], [1.0]]), np.array([[y]]), np.random.default_rng(0)
            )[0]
        )
        precision = 1 / sigma**2 + 1 / noise**2
        after = (mu / sigma**2 + y / noise**2) / precision
        exact = kl(*(torch.tensor(v) for v in (after, precision**-0.5, mu, sigma)))
        ratios.append(said / exact)
    assert ratios[0] == pytest.approx(1, abs=0.1) and ratios[1] == pytest.approx(1, abs=1e-3)


def test_moments_of_a_rectified_gaussian() -> None:
    m, v = np.array([[-9.0, -2.0, 0.0, 0.7, 40.0]]), np.array([[0.5, 1.0, 2.0, 0.1, 1e-4]])
    a, tau, q, above, density = rectified(m, v)
    z = m + np.sqrt(v) * np.linspace(-9, 9, 200_001)[:, None, None]
    density_of_z = np.exp(-0.5 * np.square((z - m) / np.sqrt(v)))
    density_of_z /= density_of_z.sum(0)
    mean = (density_of_z * z.clip(0)).sum(0)
    np.testing.assert_allclose(a[:1], mean, atol=1e-9)
    np.testing.assert_allclose(
        tau[:1], (density_of_z * np.square(z.clip(0) - mean)).sum(0), atol=1e-9
    )
    np.testing.assert_allclose(q, tau + np.square(a))
    np.testing.assert_allclose(above, (density_of_z * (z > 0)).sum(0), atol=1e-4)
    np.testing.assert_allclose(density[0, 2], 1 / math.sqrt(2 * math.pi * 2))
    assert a[1].tolist() == [1] * 5 and tau[1].tolist() == [0] * 5
    single = rectified(m.astype(np.float32), v.astype(np.float32))[1]
    np.testing.assert_allclose(
        single, tau, atol=2e-6, rtol=1e-3, err_msg="nothing cancels in float32 far above 0"
    )


@pytest.mark.parametrize(("hidden", "tolerance"), [((7,), 0.03), ((16, 16), 0.25)], ids=str)
def test_samples_tend_to_the_moments(hidden: tuple[int, ...], tolerance: float) -> None:
    """Exact with one hidden layer; with two, near."""
    by = {kind: net_of(hidden, expectation=kind, samples=4_000) for kind in ("moments", "samples")}
    for net in by.values():
        net.theta[net.weights : 2 * net.weights] -= 1
    x, y = rows_of(6)
    result = {
        kind: net.fisher_quadratic_form(
            columns(x), np.ascontiguousarray(y.T), np.random.default_rng(0)
        )
        for kind, net in by.items()
    }
    np.testing.assert_allclose(result["samples"], result["moments"], rtol=tolerance)


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("expectation", ["moments", "samples"])
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_the_gradient_is_that_of_the_bound(
    hidden: tuple[int, ...], expectation: str, learned: bool
) -> None:
    net = net_of(hidden, expectation=expectation, samples=3, learned=learned)
    x, y = rows_of(4)
    result = np.empty(len(net.theta))
    net.gradient(
        net.posterior(),
        columns(x),
        np.ascontiguousarray(y.T),
        np.random.default_rng(4),
        0.05,
        result,
    )
    noise = drawn(net, 4, 4) if expectation == "samples" else [None] * 4
    theta = net.theta.clone().requires_grad_()
    mu, rho, log_noise = theta.split([net.weights, net.weights, 2])
    sigma = torch.nn.functional.softplus(rho)
    divergence = (((mu**2 + sigma**2) / 0.25 - 1) / 2 + math.log(0.5) - sigma.log()).sum()
    fits = (
        sum(
            expected(net, mu, sigma, log_noise, torch.tensor(x[k]), torch.tensor(y[k]), noise[k])
            for k in range(4)
        )
        / 4
    )
    (by_hand,) = torch.autograd.grad(0.05 * divergence + fits, theta)
    by_hand[2 * net.weights :] *= learned
    np.testing.assert_allclose(result, by_hand.numpy(), rtol=1e-8, atol=1e-10)
    assert net.divergence() == pytest.approx(divergence.item())


def test_shared_noise_is_shared_by_the_rows_of_a_minibatch() -> None:
    x = np.repeat(rows_of(1)[0], 3, 0)
    for kind in (BNN, ReleasedBNN):
        net = net_of((7,), kind, expectation="samples")
        rng, shared = np.random.default_rng(0), kind.shared_noise
        error, _ = by_samples(net.posterior(), columns(x), np.zeros((2, 3)), rng, 10, shared)
        assert bool(np.ptp(error, 1).max() < 1e-12) == shared
    assert ReleasedBNN.shared_noise and not BNN.shared_noise


def test_the_released_codes_first_means_have_deviation_one() -> None:
    for kind, std in ((BNN, 0.1), (ReleasedBNN, 1.0)):
        net = kind(200, (200,), 1)
        first = net.posterior().mu[0]
        assert first[:, :-1].std() == pytest.approx(std, rel=0.05)
        assert bool(first[:, -1].any()) == (kind is ReleasedBNN)


def test_adam_is_adam() -> None:
    rng = np.random.default_rng(0)
    theta = rng.standard_normal(20)
    p = torch.nn.Parameter(torch.from_numpy(theta.copy()))
    optimizer = torch.optim.Adam([p], 1e-2)
    m, v, scratch = (np.zeros(20) for _ in range(3))
    for t in range(1, 6):
        g = rng.standard_normal(20) * 10.0 ** rng.integers(-6, 2, 20)
        p.grad = torch.from_numpy(g.copy())
        optimizer.step()
        adam(theta, g, m, v, scratch, t, 1e-2)
    np.testing.assert_allclose(theta, p.detach().numpy(), rtol=1e-12)


def test_an_ensemble_learns_by_the_gradient_of_each_members_error() -> None:
    net = Ensemble(3, (5, 4), 2, members=2).double()
    net.theta += 0.1 * torch.randn_like(net.theta)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 4, 6)), rng.standard_normal((2, 2, 6))
    x[:, -1] = 1
    result = np.empty(len(net.theta))
    net.gradient(x, y, result)
    theta = net.theta.clone().requires_grad_()
    h, start = torch.from_numpy(x), 0
    for i, shape in enumerate(net.shapes):
        w = theta[start : start + math.prod(shape)].view(shape)
        start += math.prod(shape)
        h = w @ h
        if i < 2:
            h = torch.cat([h.relu(), torch.ones(2, 1, 6, dtype=torch.float64)], 1)
    error = h - torch.from_numpy(y)
    log_sd = theta[start:]
    scale = (
        0.5 * (error.detach().square() * torch.exp(-2 * log_sd[:, None])).mean((0, 2)).sum()
        + log_sd.sum()
    )
    (by_hand,) = torch.autograd.grad(0.5 * error.square().sum() / 6 + scale, theta)
    np.testing.assert_allclose(result, by_hand.numpy(), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(
        net.error(x[0], y[0]), np.square(net.predict(x[0]).mean(0) - y[0]).mean(0)
    )
    assert (net.disagreement(x[0]) > 0).all()


def line(
    n: int, low: float, high: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Transitions of one number, moved by a sine of itself and an action that does nothing."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(low, high, (n, 1))
    return x, np.zeros((n, 1)), x + np.sin(2 * x) + 0.05 * rng.standard_normal((n, 1))


@pytest.mark.parametrize(
    ("kind", "preset"),
    [
        pytest.param(InformationGain, VIMEConfig(), id="corrected"),
        pytest.param(ReleasedInformationGain, RELEASED, id="paper", marks=pytest.mark.slow),
    ],
)
def test_curiosity_fades_where_one_has_been_and_stays_where_not(
    kind: type[InformationGain], preset: VIMEConfig
) -> None:
    curiosity = kind(1, 1, replace(preset, lr=5e-3, updates=400, learning_starts=100))
    here, there = line(400, -1, 1), line(100, 2.5, 3)
    assert not curiosity.ready and (curiosity.bonus(*here) == 0).all()
    levels, away = [], []
    for _ in range(8):
        curiosity.fit(*here)
        levels.append(float(np.median(curiosity.bonus(*line(400, -1, 1, 1)))))
        away.append(float(np.median(curiosity.bonus(*there))))
    assert levels[-1] < 0.5 * levels[0] and away[-1] > 10 * levels[-1]
    net, buffer = curiosity.model, curiosity.buffer
    assert isinstance(net, BNN)
    inside, outside = (
        net.predict(columns(buffer.inputs(x, 0 * x)))[1].mean()
        for x in (np.zeros((1, 1)), np.full((1, 1), 4.0))
    )
    assert outside > 1.2 * inside, "the posterior is less certain outside the data"


def test_the_likelihood_of_unseen_rows_rises_with_learning() -> None:
    curiosity, result = (
        InformationGain(1, 1, replace(VIMEConfig(), lr=5e-3, updates=300, learning_starts=100)),
        [],
    )
    for k in range(8):
        result.append(curiosity.fit(*line(300, -2, 2, k)))
    assert (
        "likelihood" not in result[0] and result[-1]["likelihood"] > result[1]["likelihood"] + 0.5
    )
    assert result[-1]["noise"] < 0.5 * result[0]["noise"] and result[-1]["transitions"] == 2_400


def test_gains_are_counted_in_recent_medians() -> None:
    curiosity = InformationGain(1, 1)
    rng, medians = np.random.default_rng(0), []
    gains = [rng.lognormal(-8, 1, 500) * 0.95**k for k in range(14)]
    assert curiosity.normalize(gains[0]) is gains[0], "no median is taken before the first fit"
    curiosity.fits += 1
    for k, batch in enumerate(gains):
        normalized = curiosity.normalize(batch)
        recent = np.mean([np.median(g) for g in gains[max(0, k - 9) : k + 1]])
        np.testing.assert_allclose(normalized, batch / recent)
        medians.append(np.median(normalized))
    assert min(medians) > 0.3 and max(medians) < 3
    for limit, largest in ((50.0, 50.0), (0.0, 1e6)):
        bounded = InformationGain(1, 1, VIMEConfig(limit=limit))
        bounded.fits += 1
        normalized = bounded.normalize(np.array([1e-6, 1e-6, 1e-6, 1.0]))
        assert normalized[3] == pytest.approx(largest), "one step far from all predictions"
    silent = InformationGain(1, 1)
    silent.fits += 1
    assert (silent.normalize(np.zeros(4)) == 0).all(), "gains of 0 are no division by 0"


def test_the_released_codes_gain_lacks_the_half(monkeypatch: pytest.MonkeyPatch) -> None:
    half, whole = (kind(1, 1, VIMEConfig(updates=5)) for kind in GAINS)
    half.fit(*line(600, -1, 1))
    whole.load_state_dict(half.state_dict())
    np.testing.assert_allclose(whole.bonus(*line(9, -1, 1)), 2 * half.bonus(*line(9, -1, 1)))
    monkeypatch.setattr(information_gain, "MAX_GAIN", 1e-9)
    assert half.bonus(*line(9, -1, 1)).max() == 1e-9


def test_the_priors_weight_is_that_of_the_bound_or_of_the_released_code() -> None:
    for kind, weight in zip(GAINS, (1 / 600, 1 / (5 * 10)), strict=True):
        curiosity = kind(1, 1, VIMEConfig(updates=1, minibatch=10))
        curiosity.fit(*line(600, -1, 1))
        assert curiosity.prior_weight() == pytest.approx(weight)


def test_a_full_buffer_forgets_the_oldest_and_its_statistics_forget_nothing() -> None:
    rng = np.random.default_rng(0)
    buffer, parts = ReplayBuffer(2, 1, 100), []
    for n in (30, 50, 15, 250, 7):
        part = (
            rng.standard_normal((n, 2)),
            rng.standard_normal((n, 1)),
            3 * rng.standard_normal((n, 2)),
        )
        buffer.add(*part)
        parts.append(part)
        obs, act, following = (np.concatenate(v) for v in zip(*parts, strict=True))
        everything = np.concatenate([obs, act, following], 1).astype(np.float32)
        kept = buffer.rows[: len(buffer)].numpy()
        assert len(buffer) == min(100, len(obs))
        assert {tuple(row) for row in kept} == {tuple(row) for row in everything[-100:]}
        np.testing.assert_allclose(buffer.target_rms.mean, (following - obs).mean(0), atol=1e-6)
        np.testing.assert_allclose(
            buffer.input_rms.std, np.concatenate([obs, act], 1).std(0), rtol=1e-4
        )
    x, y = buffer.sample(5_000, rng)
    wanted = RunningMeanStd(2)
    wanted.update(torch.from_numpy(following - obs))
    assert x.shape == (5_000, 3) and y.shape == (5_000, 2)
    assert abs(y).max() <= 10 and abs(x).max() <= 10
    still = ReplayBuffer(1, 1)
    still.add(np.ones((5, 1)), np.zeros((5, 1)), np.ones((5, 1)))
    assert still.targets(np.ones((1, 1)), np.full((1, 1), 2.0)) == 10, (
        "a number that never moved, and now does, is clipped"
    )


@pytest.mark.parametrize("bonus", ["information", "error", "disagreement"])
def test_all_state_is_in_the_state_dict(bonus: str) -> None:
    config = VIMEConfig(bonus=bonus, updates=5)  # type: ignore[arg-type]
    first = InformationGain(1, 1, config, seed=3)
    for k in range(2):
        first.fit(*line(600, -1, 1, k))
        first.normalize(first.bonus(*line(50, -1, 1, k)))
    second = InformationGain(1, 1, config, seed=4)
    second.seed = 3
    second.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    for one in (first, second):
        one.fit(*line(600, -1, 1, 7))
    gains = [one.bonus(*line(50, -2, 2, 8)) for one in (first, second)]
    assert np.array_equal(*gains) and gains[0].min() >= 0 and gains[0].max() > 0
    assert np.array_equal(first.normalize(gains[0]), second.normalize(gains[1]))


def test_discrete_actions_enter_one_hot() -> None:
    curiosity = InformationGain(1, 3, replace(VIMEConfig(), updates=5))
    obs, classes = line(600, -1, 1)[0], np.random.default_rng(0).integers(3, size=600)
    following = obs + classes[:, None]
    curiosity.fit(obs, classes, following)
    one_hot = np.eye(3)[classes]
    assert np.array_equal(
        curiosity.bonus(obs, classes, following), curiosity.bonus(obs, one_hot, following)
    )
    np.testing.assert_array_equal(curiosity.buffer.rows[:600, 1:4].numpy(), one_hot)


def test_what_cannot_be_rewarded_gets_a_sentence() -> None:
    curiosity = InformationGain(2, 3)
    x = np.zeros((4, 2))
    for arguments, sentence in (
        ((x, np.zeros((4, 2)), x), r"act has the shape \(4, 2\), expected \(4, 3\)"),
        ((x, np.full(4, 3), x), "Actions are from 3 to 3, expected classes from 0 to 2"),
        ((x, np.zeros((4, 3)), x[:3]), r"next_obs has the shape \(3, 2\)"),
        ((x * np.nan, np.zeros((4, 3)), x), "obs has numbers that are not finite"),
    ):
        with pytest.raises(UsageError, match=sentence):
            curiosity.bonus(*arguments)
    assert curiosity.bonus(x[:0], np.zeros((0, 3)), x[:0]).shape == (0,)
    for change, sentence in (
        ({"prior": 0.0}, "--vime.prior must be above 0"),
        ({"updates": 0}, "--vime.updates must be at least 1"),
        ({"hidden": (0,)}, "--vime.hidden must be a list of values, each at least 1"),
        ({"learning_starts": 10, "buffer_size": 5}, "raise --vime.buffer-size"),
        ({"axes": (1,)}, "--vime.axes takes two numbers"),
    ):
        with pytest.raises(UsageError, match=sentence):
            check_vime(replace(VIMEConfig(), **change))  # type: ignore[arg-type]
