"""AIR: its bound term by term, two gradients of the number of objects, and what it says of
images."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import tiny
from zeuxis.capabilities import HasObjects, HasSteps
from zeuxis.checkpoints.weights import build
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.distributions.elementwise import normal
from zeuxis.errors import UsageError
from zeuxis.model import Batch
from zeuxis.noise import Noise
from zeuxis.training.loop import fit
from zeuxis.vae.air import AIR, AIRConfig
from zeuxis.vae.air_counts import (
    Terms,
    at_least,
    enumerated,
    explored,
    log_counts,
    nvil,
    squared_errors,
)

SIDE = 6


def air(side: int = SIDE, **changes: object) -> AIR:
    """A model of small images; its networks are not at their first values, where steps agree."""
    config = AIRConfig(
        **{
            "steps": 2,
            "window": 4,
            "latent_dim": 2,
            "hidden_dim": 5,
            "layer_dim": 4,
            "presence_bias": 0.3,
            **changes,
        }
    )
    model = build("air", config, Spec("small", (1, side, side)), 0)
    assert isinstance(model, AIR)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.networks.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return model.eval()


def images(n: int = 4, side: int = SIDE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (n, 1, side, side), dtype=torch.uint8, generator=generator)


def test_the_bound_is_that_of_torch_distributions() -> None:
    model, x = air(), images()
    elbo = model.elbo(x, generator=torch.Generator().manual_seed(0))
    eps = torch.randn(4, 2, 5, generator=torch.Generator().manual_seed(0))
    pixels = x.float() / 255
    inferred = model.networks(pixels, eps)
    posterior = torch.distributions.Normal(inferred.mean, inferred.log_std.exp())
    prior = torch.distributions.Normal(0.0, 1.0)
    kl = torch.distributions.kl_divergence(posterior, prior).sum(2)
    further = torch.sigmoid(inferred.logits)
    drawings = model.networks.objects(inferred.z)
    distortion, number = torch.zeros(4), torch.zeros(4)
    rates = torch.zeros(4, 2)
    for n in range(3):
        q = further[:, :n].prod(1) * (1 - further[:, n] if n < 2 else 1)
        noise = torch.distributions.Normal(drawings[:, :n].sum(1), 0.3)
        distortion -= q * noise.log_prob(pixels).flatten(1).sum(1)
        number += q * (q.log() - model.log_prior[n])
        rates[:, :n] += q[:, None] * kl[:, :n]
    torch.testing.assert_close(elbo.distortion, distortion)
    torch.testing.assert_close(elbo.rate, torch.cat([number[:, None], rates], 1))


def test_without_objects_nothing_but_their_number_is_paid() -> None:
    model, x = air(), images()
    with torch.no_grad():
        model.networks.heads[2].weight[0] = 0
        model.networks.heads[2].bias[0] = -60.0
    elbo = model.elbo(x)
    empty = normal(x.float() / 255, 0.0, math.log(0.3)).flatten(1).sum(1)
    torch.testing.assert_close(-elbo.distortion, empty)
    torch.testing.assert_close(elbo.rate[:, 0], -model.log_prior[0].expand(4))
    assert elbo.rate[:, 1:].max() < 1e-20
    assert torch.isnan(model.objects(x).boxes).all() and not model.encode(x).any()


def test_an_empty_image_without_objects_has_the_greatest_likelihood() -> None:
    model = air()
    inferred = model.infer(images())
    nats = model.log_likelihoods(torch.zeros(4, 1, SIDE, SIDE), inferred.z)
    best = -(SIDE**2) * math.log(0.3 * math.sqrt(2 * math.pi))
    torch.testing.assert_close(nats[:, 0], torch.full((4,), best))
    assert (nats[:, 1:] < best).all()


def gradient(model: AIR, loss: torch.Tensor) -> torch.Tensor:
    parameters = list(model.networks.parameters())
    return nn.utils.parameters_to_vector(torch.autograd.grad(loss, parameters)).detach()


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_exploration_changes_the_weights_of_terms_and_not_what_q_learns(share: float) -> None:
    generator, log_prior = torch.Generator().manual_seed(3), torch.tensor([0.6, 0.3, 0.1]).log()
    log_likelihood, logits, kl = (
        torch.randn(4, k, generator=generator).requires_grad_() for k in (3, 2, 2)
    )
    terms = Terms(log_likelihood, logits, kl)
    leaves = [log_likelihood, logits, kl]
    distortion, rate = enumerated(terms, log_prior)
    bound = torch.autograd.grad((distortion + rate.sum(1)).sum(), leaves)
    found = torch.autograd.grad(explored(terms, log_prior, share).sum(), leaves)
    torch.testing.assert_close(found[1], bound[1])
    w = (1 - share) * log_counts(logits).exp() + share / 3
    torch.testing.assert_close(found[0], -w.detach())
    torch.testing.assert_close(found[2], at_least(w).detach())
    if not share:
        torch.testing.assert_close(found, bound)


def test_exploration_fades_over_a_fraction_of_the_training() -> None:
    model = air(explore=0.5)
    assert [model.share(progress) for progress in (0.0, 0.25, 0.5, 1.0)] == [1.0, 0.5, 0.0, 0.0]
    assert air(explore=0.0).share(0.0) == 0.0
    x = images(8)

    def loss(progress: float) -> float:
        batch = Batch(x, None, Noise(0, 0, slice(0, 8), 8), progress=progress)
        return next(iter(model.play(batch)))[1].item()

    assert loss(0.5) == loss(1.0) != loss(0.0)


def test_squared_errors_are_those_of_sums_of_objects() -> None:
    x, objects = torch.rand(3, 1, 40), torch.rand(3, 2, 40)
    sums = torch.stack([0 * x[:, 0], objects[:, 0], objects.sum(1)], 1)
    torch.testing.assert_close(squared_errors(x, objects), (x - sums).square().sum(2))


@pytest.mark.parametrize("kind", ["no baseline", "baseline"])
def test_nvil_estimates_the_enumerated_gradient(kind: str) -> None:
    """Both see the same latents, so that they differ by the draw of n alone; a t-test of random
    projections."""
    model, log_prior = air(), torch.tensor([0.6, 0.3, 0.1]).log()
    x, generator = images(1).float() / 255, torch.Generator().manual_seed(3)
    batches, each = 60, 500
    eps = torch.randn(1, 2, 5, generator=generator)
    terms = model.terms(x, model.networks(x, eps))
    distortion, rate = enumerated(terms, log_prior)
    exact = gradient(model, (distortion + rate.sum(1)).mean())
    level = -(distortion + rate.sum(1)).item() if kind == "baseline" else 0.0
    differences = []
    for _ in range(batches):
        one = model.terms(x, model.networks(x, eps))
        many = Terms(*(t.expand(each, -1) for t in (one.log_likelihood, one.logits, one.kl)))
        u = torch.rand(each, 2, generator=generator)
        loss = nvil(many, log_prior, u, torch.full((each, 2), level))[0].mean()
        differences.append(gradient(model, loss) - exact)
    table = torch.stack(differences)
    directions = torch.randn(table.shape[1], 20, generator=generator)
    projected = table @ directions
    t = projected.mean(0) / (projected.std(0) / math.sqrt(batches))
    assert t.abs().max() < 4
    assert projected.std(0).min() > 0


def test_a_baseline_lowers_the_variance() -> None:
    model, log_prior = air(), torch.tensor([0.6, 0.3, 0.1]).log()
    x = images(1).float() / 255
    eps = torch.randn(1, 2, 5, generator=torch.Generator().manual_seed(3))
    distortion, rate = enumerated(model.terms(x, model.networks(x, eps)), log_prior)

    def variance(level: float) -> float:
        generator, table = torch.Generator().manual_seed(4), []
        for _ in range(60):
            terms = model.terms(x, model.networks(x, eps))
            u = torch.rand(1, 2, generator=generator)
            loss = nvil(terms, log_prior, u, torch.full((1, 2), level))[0].mean()
            table.append(gradient(model, loss))
        return torch.stack(table).var(0).sum().item()

    assert variance(-(distortion + rate.sum(1)).item()) < 0.5 * variance(0.0)


def test_returns_leave_out_what_was_decided_before() -> None:
    """Two steps by hand: log p = (log 1/2, log 1/4, log 1/4) and q = 1/2 at each step."""
    terms = Terms(
        torch.tensor([[1.0, 2.0, 4.0]] * 3), torch.zeros(3, 2), torch.tensor([[0.1, 0.2]] * 3)
    )
    log_prior = torch.tensor([0.5, 0.25, 0.25]).log()
    u = torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.1, 0.1]])
    loss, returns, made = nvil(terms, log_prior, u, torch.zeros(3, 2))
    assert made.tolist() == [[True, False], [True, True], [True, True]]
    # All conditional prior probabilities are 1/2 as well, so that only likelihood and KL are left.
    torch.testing.assert_close(returns[made], torch.tensor([1.0, 1.9, 2.0, 3.7, 3.8]))
    half = math.log(0.5)
    scores = torch.tensor([half * 1.0, half * (1.9 + 2.0), half * (3.7 + 3.8)])
    torch.testing.assert_close(loss, -(torch.tensor([1.0, 1.9, 3.7]) + scores))


def turns(model: AIR) -> dict[str, torch.Tensor]:
    x = images(8)
    return dict(model.play(Batch(x, None, Noise(0, 0, slice(0, 8), 8))))


def test_with_nvil_each_player_has_its_own_gradient() -> None:
    model = air(gradient="nvil", explore=0.0)
    assert set(model.players()) == {"model", "baseline"}
    losses = turns(model)
    assert model.baseline is not None
    losses["baseline"].backward()
    assert all(p.grad is None for p in model.networks.parameters())
    assert all(p.grad is not None and p.grad.any() for p in model.baseline.parameters())
    before = [p.grad.clone() for p in model.baseline.parameters() if p.grad is not None]
    losses["model"].backward()
    for p, old in zip(model.baseline.parameters(), before, strict=True):
        assert torch.equal(p.grad, old)
    assert all(p.grad is not None and p.grad.any() for p in model.networks.parameters())


def test_the_baseline_sees_only_what_lies_before_a_step() -> None:
    model = air(gradient="nvil", explore=0.0, steps=3)
    assert model.baseline is not None
    x, z = torch.rand(2, 1, SIDE, SIDE), torch.randn(2, 3, 5)
    first = model.baseline(x, z)
    for t in range(3):
        changed = z.clone()
        changed[:, t] += 1
        moved = (model.baseline(x, changed) != first).any(0).tolist()
        assert moved == [i > t for i in range(3)]


def test_the_prior_is_annealed_by_images() -> None:
    model = air(first_presence=0.9, last_presence=0.5, anneal=100)
    assert model.log_odds(0) == pytest.approx(math.log(9))
    assert model.log_odds(50) == pytest.approx(math.log(3))
    assert model.log_odds(100) == model.log_odds(10**9) == pytest.approx(0)
    assert air(anneal=0).log_odds(0) == pytest.approx(math.log(1e-5), rel=1e-3)


def test_after_a_training_the_prior_is_the_mean_posterior_which_has_the_best_bound() -> None:
    model, x = air(), images(200)
    model.update_statistics(x)
    q = log_counts(model.infer(x).logits).exp()
    torch.testing.assert_close(model.log_prior.exp(), (q.sum(0) + 1) / 203)

    def bound() -> float:
        return -model.elbo(x, generator=torch.Generator().manual_seed(0)).rate[:, 0].mean().item()

    best = bound()
    for n in range(3):
        other = air()
        other.log_prior = (q.mean(0) + 0.1 * torch.eye(3)[n]).log().log_softmax(0)
        model.log_prior.copy_(other.log_prior)
        assert bound() < best
    before = model.log_prior.clone()
    model.update_statistics(x[:0])
    assert torch.equal(model.log_prior, before)


def test_importance_weights_tighten_the_bound_to_the_likelihood() -> None:
    """Against an estimate from the prior; q is made wide, since weights of a narrow one have heavy
    tails."""
    model, x = air(std=1.0), images(2)
    with torch.no_grad():
        model.networks.heads[2].bias[4:] = 0.1
        model.networks.encoder[2].bias[2:] = 0.1
    generator = torch.Generator().manual_seed(0)
    log_w = model.log_weights(x, 20_000, generator=generator)
    nats = log_w.logsumexp(1) - math.log(20_000)
    z = torch.randn(20_000, 2, 5, generator=generator)
    likelihoods = torch.cat(
        [model.log_likelihoods(x[i : i + 1].float() / 255, z) for i in range(2)]
    ).view(2, -1, 3)
    expected = (likelihoods + model.log_prior).logsumexp(2).logsumexp(1) - math.log(20_000)
    torch.testing.assert_close(nats, expected, atol=0.1, rtol=0)
    parts = [log_w.view(2, -1, k).logsumexp(2).mean(1) - math.log(k) for k in (1, 10, 100)]
    elbo = torch.stack([model.elbo(x, generator=generator).nats for _ in range(300)]).mean(0)
    for low, high in zip([elbo, *parts], [*parts, nats], strict=True):
        assert (low < high + 0.02).all()


def test_numbers_drawn_from_q_have_its_frequencies() -> None:
    model, x = air(), images(1)
    found = model.objects(
        x.expand(4_000, -1, -1, -1), sampled=True, generator=torch.Generator().manual_seed(0)
    )
    frequencies = torch.bincount(found.counts, minlength=3) / 4_000
    torch.testing.assert_close(frequencies, found.probabilities.mean(0), atol=0.03, rtol=0)
    there = found.boxes.isfinite().all(2).sum(1)
    assert torch.equal(there, found.counts)


def test_codes_hold_presence_place_and_appearance() -> None:
    model, x = air(), images(5)
    codes, found = model.encode(x), model.objects(x)
    assert codes.shape == (5, 2 * (1 + 3 + 2))
    assert torch.equal(codes[:, :2].sum(1).long(), found.counts)
    inferred = model.infer(x)
    expected = torch.stack(
        [
            model.networks.objects(z[:n][None]).sum(1)[0]
            for z, n in zip(inferred.z, found.counts, strict=True)
        ]
    )
    torch.testing.assert_close(
        model.decode(codes).float(), (255 * expected).round().clamp(max=255).detach()
    )
    assert model.features(x).shape == codes.shape
    prior = model.prior(2_000, generator=torch.Generator().manual_seed(0))
    frequencies = torch.bincount(prior[:, :2].sum(1).long(), minlength=3) / 2_000
    torch.testing.assert_close(frequencies, model.log_prior.exp(), atol=0.04, rtol=0)
    assert model.can(HasObjects) and not model.normal_prior


def test_steps_show_object_after_object_in_the_window_it_was_seen_in() -> None:
    model, x = air(), images(6)
    found, steps = model.objects(x), model.reconstruct_steps(x)
    assert steps.canvases.shape == (6, 2, 1, SIDE, SIDE)
    assert torch.equal(steps.canvases[:, -1], model.decode(model.encode(x)))
    inferred = model.infer(x)
    for i, n in enumerate(found.counts.tolist()):
        boxes = steps.windows["read"].box[i]
        assert boxes.isfinite().all(1).tolist() == [t < n for t in range(2)]
        drawings = model.networks.objects(inferred.z[i : i + 1])[0]
        for t in range(n):
            left, top, right, bottom = boxes[t].tolist()
            line = torch.arange(SIDE) + 0.5
            # Half a pixel of a patch reaches beyond its window.
            far = (right - left) / 8 + 1e-4
            across, down = (
                (line > a - far) & (line < b + far) for a, b in ((left, right), (top, bottom))
            )
            outside = ~(down[:, None] & across)
            assert not (drawings[t, 0] * outside).any() and drawings[t].any()
    sampled = model.sample_steps(5, seed=3)
    assert torch.equal(sampled.canvases[:, -1], model.sample(5, seed=3))
    assert set(sampled.windows) == {"write"} and model.can(HasSteps)


def blobs(n: int, seed: int) -> tuple[Dataset, torch.Tensor]:
    """Canvases of 12x12 with no, one or two blobs at any places that keep a distance."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(3, (n,), generator=generator)
    places = 2 + 7 * torch.rand(n, 50, 2, 2, generator=generator)
    far = (places[:, :, 0] - places[:, :, 1]).norm(dim=2) > 5.5
    places = places[torch.arange(n), far.to(torch.uint8).argmax(1)]  # (n, 2, 2)
    offsets = torch.arange(12.0) - places[..., None]
    bells = torch.exp(-offsets.square() / (2 * 1.3**2))
    x = bells[:, :, 0, :, None] * bells[:, :, 1, None]
    x = (x * (torch.arange(2) < counts[:, None])[..., None, None]).sum(1, keepdim=True)
    return Dataset(Spec("blobs", (1, 12, 12)), (255 * x.clamp(max=1)).byte()), counts


@pytest.mark.slow
def test_it_learns_to_count_and_locate() -> None:
    """Without labels; a third step is there and not used."""
    data, _ = blobs(4_000, 0)
    unseen, counts = blobs(300, 1)
    images = 50_000
    config = AIRConfig(
        steps=3,
        window=6,
        latent_dim=2,
        hidden_dim=48,
        layer_dim=32,
        scale=0.45,
        scale_std=0.1,
        last_presence=1e-3,
        lr=3e-3,
    )
    training = tiny.training(images=images, batch=50, average=100, schedule="linear")
    model = fit(build("air", config, data.spec, 0), data, training=training, quiet=True).model
    assert isinstance(model, AIR)
    found = model.objects(unseen.all())
    assert (found.counts == counts).float().mean() > 0.95
    prior = torch.tensor([1 / 3, 1 / 3, 1 / 3, 0.0])
    torch.testing.assert_close(model.log_prior.exp(), prior, atol=0.05, rtol=0)
    mean = unseen.all()[:, 0].double()
    one = counts == 1
    centers = found.boxes[one, 0].view(-1, 2, 2).mean(1)
    line = torch.arange(12.0, dtype=torch.float64) + 0.5
    across = (mean.sum(1) @ line / mean.sum((1, 2)))[one]
    assert (centers[:, 0] - across).abs().nanmean() < 1


@pytest.mark.parametrize(
    ("changes", "shape", "sentence"),
    [
        ({}, (2,), "AIR finds objects in images"),
        ({"steps": 0}, (1, 4, 4), "--model.steps must be"),
        ({"gradient": "nvil"}, (1, 4, 4), "set --model.explore 0"),
        ({"last_presence": 0.0}, (1, 4, 4), "--model.last-presence must be"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict, shape: tuple, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        AIR(AIRConfig(**changes), Spec("x", shape))


def test_color_and_oblong_images() -> None:
    config = AIRConfig(steps=2, window=4, latent_dim=2, hidden_dim=5, layer_dim=4)
    model = AIR(config, Spec("wide", (3, 5, 9))).eval()
    x = model.sample(3, seed=0)
    assert x.shape == (3, 3, 5, 9) and model.elbo(x).nats.isfinite().all()
    assert fit(model, Dataset(model.spec, x), training=tiny.training(images=16), quiet=True)
