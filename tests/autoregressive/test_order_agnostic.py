"""Order-agnostic model: who sees whom, tiny spaces, completion of any mask, orders of training."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import causal
import tiny
from zeuxis.autoregressive.order_agnostic import (
    OrderAgnostic,
    OrderAgnosticConfig,
    random_masks,
)
from zeuxis.autoregressive.sampling import in_order, to_levels
from zeuxis.capabilities import CanComplete, CanFeature, CanLogProb, CanSample
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.errors import UsageError
from zeuxis.noise import Noise
from zeuxis.training.loop import fit


def make(
    shape: tuple[int, int, int], levels: int, steps: int, scale: float = 0.3, **changes: object
) -> OrderAgnostic:
    """A model with random weights in float64, in eval mode."""
    torch.manual_seed(0)
    settings = {"channels": (6, 8), "blocks": 1, "mixtures": 3, "patch": 1, **changes}
    config = OrderAgnosticConfig(levels=levels, steps=steps, **settings)  # type: ignore[arg-type]
    model = OrderAgnostic(config, Spec("tiny", shape))
    for p in model.parameters():
        torch.nn.init.normal_(p, 0.0, scale)
    return model.double().eval().requires_grad_(False)


def counts(x: Tensor, levels: int) -> Tensor:
    """How often each image of a tiny space occurs, in the order of `causal.all_images`."""
    flat = to_levels(x.flatten(1), levels)
    powers = levels ** torch.arange(flat.shape[1] - 1, -1, -1)
    return torch.bincount((flat * powers).sum(1), minlength=levels ** flat.shape[1])


@pytest.mark.parametrize("levels", [2, 7])
@pytest.mark.parametrize("patch", [1, 2])
def test_predictions_of_hidden_values_do_not_depend_on_them(levels: int, patch: int) -> None:
    model = make((2, 5, 6), levels, 4, patch=patch)
    v = torch.randint(levels, (8, 2, 5, 6)).double().requires_grad_()
    seen = torch.rand(8, 2, 5, 6) < 0.5
    out = model.network(*model.inputs(v, seen))[:, :, :5, :6]
    (gradient,) = torch.autograd.grad((out * torch.randn_like(out)).sum(), v)
    assert (gradient[~seen] == 0).all()
    assert (gradient[seen] != 0).double().mean() > 0.9, "seen ones count"


@pytest.mark.parametrize(
    ("shape", "levels", "steps"), [((1, 2, 2), 2, 4), ((1, 2, 2), 5, 2), ((2, 2, 1), 3, 1)]
)
def test_probabilities_of_a_tiny_space_add_up_to_one(shape: tuple, levels: int, steps: int) -> None:
    model, images = make(shape, levels, steps), causal.all_images(shape, levels)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        p = model.log_prob(images, generator=generator).nats.exp()
        assert p.sum().item() == pytest.approx(1, abs=1e-9)
        assert p.std() > 0.01 * p.mean(), "a uniform distribution shows little"
    assert not model.log_prob(images).exact
    seen = torch.zeros(shape[1:]).flatten()
    seen[0] = 1
    given = model.log_prob(images, seen.view(shape[1:])).nats.exp()
    kinds = images.flatten(1).view(len(images), shape[0], -1)[:, :, 0].unique(dim=0)
    assert given.sum().item() == pytest.approx(len(kinds), abs=1e-9)


@pytest.mark.parametrize(("levels", "steps"), [(2, 4), (3, 2)])
def test_samples_follow_the_mean_over_orders(levels: int, steps: int) -> None:
    model, images = make((1, 2, 2), levels, steps), causal.all_images((1, 2, 2), levels)
    each = [
        model.log_prob(images, generator=torch.Generator().manual_seed(seed)).nats.exp()
        for seed in range(80)
    ]
    p, n = torch.stack(each).mean(0), 8000
    found = counts(model.sample(n, generator=torch.Generator().manual_seed(0)), levels)
    # The mean over 80 orders has an error as well.
    error = torch.stack(each).std(0) / 80**0.5
    bound = 4.5 * ((n * p * (1 - p)).sqrt() + n * error) + 1
    assert ((found - n * p).abs() < bound).all()


@pytest.mark.slow
@pytest.mark.parametrize("levels", [2, 3])
def test_all_hidden_is_a_sample_and_all_seen_the_image(levels: int) -> None:
    model = make((1, 2, 2), levels, 4)
    x = torch.randint(0, 256, (6000, 1, 2, 2), dtype=torch.uint8)
    assert torch.equal(model.complete(x, torch.ones(2, 2), n=2), x.expand(2, -1, -1, -1, -1))
    seed = torch.Generator().manual_seed
    done = counts(model.complete(x, torch.zeros(2, 2), generator=seed(1))[0], levels)
    drawn = counts(model.sample(6000, generator=seed(2)), levels)
    both = (done + drawn).double()
    statistic = ((done - drawn).square() / both.clamp(min=1)).sum().item()
    degrees = int((both > 0).sum()) - 1
    assert statistic < degrees + 4.5 * math.sqrt(2 * degrees)


def test_completions_follow_the_conditional() -> None:
    """With as many steps as hidden values, drawn in either order."""
    model, n = make((1, 2, 2), 2, 2), 8000
    mask, images = torch.tensor([[1, 0], [0, 1]]), causal.all_images((1, 2, 2), 2)
    x = torch.full((n, 1, 2, 2), 255, dtype=torch.uint8)
    fits = (images[:, 0][:, mask > 0] == 255).all(1)
    orders = [
        model.log_prob(images, mask, generator=torch.Generator().manual_seed(s)).nats.exp()
        for s in range(16)
    ]
    distinct = torch.stack(orders).unique(dim=0)
    assert len(distinct) == 2
    p = torch.where(fits, distinct.mean(0), 0.0)
    found = counts(model.complete(x, mask, generator=torch.Generator().manual_seed(0))[0], 2)
    assert p.sum().item() == pytest.approx(1)
    assert ((found - n * p).abs() < 4.5 * (n * p * (1 - p)).sqrt() + 1).all()


def test_the_expected_image_is_the_mean_of_single_values() -> None:
    model = make((1, 3, 3), 6, 9)  # 51 gray levels from one to the next
    x = torch.randint(0, 256, (2, 1, 3, 3), dtype=torch.uint8)
    mask = torch.ones(3, 3)
    mask[1, 1] = 0
    done = model.complete(x, mask, n=4000, generator=torch.Generator().manual_seed(0)).double()
    error = done.std(0) / 4000**0.5
    assert ((done.mean(0) - model.expected(x, mask)).abs() <= 4.5 * error + 0.2).all()


def test_a_completion_does_not_depend_on_hidden_values_and_keeps_seen_ones() -> None:
    model = tiny.model("order-agnostic").eval()
    x = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)
    mask = torch.rand(5, 1, 8, 8) < 0.5
    other = torch.where(mask, x, 255 - x)
    first, second = (
        model.complete(one, mask, n=2, generator=torch.Generator().manual_seed(0))
        for one in (x, other)
    )
    assert torch.equal(first, second)
    assert torch.equal(torch.where(mask, first, 0), torch.where(mask, x, 0).expand_as(first))
    assert torch.equal(model.expected(x, mask), model.expected(other, mask))


@pytest.mark.parametrize("regions", [0.0, 1.0])
def test_positions_are_uniform_and_regions_are_whole(regions: float) -> None:
    n, shape = 4096, (1, 6, 6)
    seen = random_masks(Noise(0, 0, slice(0, n), n), shape, regions)
    positions = torch.bincount(seen.flatten(1).sum(1), minlength=36)
    assert len(positions) == 36, "at least one value is hidden"
    assert ((positions - n / 36).abs() < 3).all(), "stratified"
    assert ((seen.double().mean((0, 1)) - 0.486).abs() < 0.06).all(), "no place is preferred"
    # Pairs of neighbors: as often alike as single values say, or more often in a region.
    alike = (seen[..., 1:] == seen[..., :-1]).double().mean().item()
    assert (alike > 0.75) if regions else alike == pytest.approx(2 / 3, abs=0.02)


def test_masks_of_processes_are_parts_of_the_whole() -> None:
    whole = random_masks(Noise(1, 5, slice(0, 8), 8), (3, 4, 4), 0.5)
    parts = [random_masks(Noise(1, 5, slice(i, i + 4), 8), (3, 4, 4), 0.5) for i in (0, 4)]
    assert torch.equal(whole, torch.cat(parts))


def test_the_loss_is_the_papers() -> None:
    """D / (D - t + 1) times the negative log-likelihoods of all hidden values."""
    model, batch = tiny.model("order-agnostic"), tiny.batch("order-agnostic", 4)
    _, loss = next(model.play(batch))
    noise = tiny.batch("order-agnostic", 4).noise
    seen = random_masks(noise, (1, 8, 8), model.config.regions)
    v = to_levels(batch.x, 256)
    log_p = model.log_likelihood(v, model.outputs(v, seen))
    t = seen.flatten(1).sum(1) + 1
    sums = (log_p * ~seen).flatten(1).sum(1)
    assert loss.item() == pytest.approx(-(64 / (64 - t + 1) * sums).mean().item(), rel=1e-5)


class Wild(torch.nn.Module):
    """Gives sensible numbers for hidden values and logistics of infinite scale for seen ones."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return (self.scale * (0.1 + 1000 * x[:, 1:])).expand(-1, 6, -1, -1)


def test_numbers_for_seen_values_cannot_spoil_the_loss() -> None:
    model, batch = tiny.model("order-agnostic"), tiny.batch("order-agnostic", 8)
    model.network = Wild()
    _, loss = next(model.play(batch))
    loss.backward()
    assert loss.isfinite()
    assert model.network.scale.grad.isfinite()


@pytest.mark.slow
def test_it_learns_a_distribution_of_known_entropy() -> None:
    """Images that are all black or all white: log 2 nats, and any value tells all others."""
    x = (torch.arange(128) % 2 * 255).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 6, 6)
    data = Dataset(Spec("flat", (1, 6, 6)), x.contiguous())
    config = OrderAgnosticConfig(channels=(8, 8), blocks=1, levels=2, steps=36, lr=1e-2)
    model = OrderAgnostic(config, data.spec)
    training = tiny.training(images=6400, batch=32, average=100)
    model = fit(model, data, training=training, quiet=True).model
    assert isinstance(model, OrderAgnostic)
    assert -model.log_prob(x[:2]).nats.mean().item() == pytest.approx(0.69, abs=0.15)
    drawn = in_order(model.sample(64, generator=torch.Generator().manual_seed(0)))
    assert (drawn == drawn[:, :1]).double().mean() > 0.97


def test_capabilities_and_refusals() -> None:
    model = tiny.model("order-agnostic").eval()
    for capability in (CanComplete, CanFeature, CanLogProb, CanSample):
        assert model.can(capability)
    x = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    assert model.features(x).shape == (3, 8)
    assert model.complete(x[:0], torch.ones(8, 8), n=2).shape == (2, 0, 1, 8, 8)
    with pytest.raises(UsageError, match="at least one number"):
        OrderAgnostic(OrderAgnosticConfig(channels=()), Spec("tiny", (1, 8, 8)))
    with pytest.raises(UsageError, match="got n=0"):
        model.complete(x, torch.ones(8, 8), n=0)
    with pytest.raises(UsageError, match="mask has shape"):
        model.complete(x, torch.ones(3, 3))
    with pytest.raises(UsageError, match="binarize"):
        tiny.model("order-agnostic", levels=2).log_prob(x + 7)
