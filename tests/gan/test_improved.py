"""Improved GAN: each technique against its formula, and the game as a whole."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import tiny
from zeuxis.checkpoints.run_folder import Run
from zeuxis.checkpoints.weights import build
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.errors import UsageError
from zeuxis.gan.improved import ImprovedGAN, ImprovedGANConfig
from zeuxis.gan.improved_nets import ConvDiscriminator, ConvGenerator, DenseDiscriminator, Jitter
from zeuxis.model import Batch
from zeuxis.nn.data_dependent_init import data_dependent_init
from zeuxis.nn.historical_averaging import HistoricalAverage
from zeuxis.nn.minibatch_discrimination import MinibatchDiscrimination
from zeuxis.nn.virtual_batch_norm import VirtualBatchNorm
from zeuxis.nn.weight_norm import WeightNorm
from zeuxis.noise import Noise
from zeuxis.training.loop import fit


def test_classes_and_realness_are_those_of_k_plus_1_classes() -> None:
    """The generated class needs no unit: with its logit at 0, what is left of K + 1 probabilities
    are D and p(y | x, real)."""
    model, batch = tiny.model("improved-gan").eval(), tiny.batch("improved-gan")
    with torch.no_grad():
        logits = model.discriminator(model.scale(batch.x))[1]
    whole = torch.cat([logits, torch.zeros(16, 1)], 1).softmax(1)
    given_real = whole[:, :10] / whole[:, :10].sum(1, keepdim=True)
    torch.testing.assert_close(model.classify(batch.x), given_real)
    model.discriminator.noise = (0.0, 0.0)
    next(model.play(batch))
    torch.testing.assert_close(batch.logs["D(x)"], whole[:, :10].sum(1).mean())


def test_noise_from_the_store_is_normal_and_splits_over_processes() -> None:
    source = lambda rows, step=0: Noise(3, step, rows, 400)  # noqa: E731
    h = torch.zeros(400, 250)
    drawn = Jitter(source(slice(0, 400))).add(h, 2.0) / 2
    several = torch.stack([Jitter(source(slice(0, 400), step)).add(h, 1.0) for step in range(20)])
    assert (
        several.mean().abs() < 5e-3 and (several.var() - 1).abs() < 1e-2
    )  # standard errors 7e-4 and 1e-3, were all numbers distinct
    assert ((several**4).mean() - 3).abs() < 5e-2 and (
        several.abs() > 1.959964
    ).float().mean().item() == pytest.approx(0.05, abs=2e-3)
    assert not torch.equal(several[0], several[1])
    across = (drawn.T @ drawn / len(drawn)).fill_diagonal_(0)
    assert across.abs().max() < 6 / len(drawn) ** 0.5, "columns are uncorrelated"

    shared = source(slice(0, 400))
    whole = Jitter(shared, shared).add(torch.zeros(800, 250), 1.0)
    one, two = source(slice(0, 200)), source(slice(200, 400))
    parts = [
        Jitter(one, one).add(torch.zeros(400, 250), 1.0),
        Jitter(two, two).add(torch.zeros(400, 250), 1.0),
    ]
    torch.testing.assert_close(whole[:200], parts[0][:200], rtol=0, atol=0)
    torch.testing.assert_close(whole[200:400], parts[1][:200], rtol=0, atol=0)
    torch.testing.assert_close(whole[400:600], parts[0][200:], rtol=0, atol=0)
    torch.testing.assert_close(whole[600:], parts[1][200:], rtol=0, atol=0)
    assert not torch.equal(whole[:400], whole[400:])


def loss_by_hand(model: ImprovedGAN, batch: Batch) -> torch.Tensor:
    """The discriminator's loss as K + 1 classes with a last logit of 0, noise switched off."""
    x, y = batch.more("labeled", 16)

    def whole(h):
        return torch.cat([model.discriminator(h)[1], torch.zeros(len(h), 1)], 1).log_softmax(1)

    z = Noise(0, 0, slice(0, 16), 16).uniform(model.config.latent_dim)
    labeled, real, fake = (
        whole(model.scale(x)),
        whole(model.scale(batch.x)),
        whole(model.generator(z)),
    )
    c = model.config
    on_real = labeled[:, :10] - labeled[:, :10].logsumexp(1, keepdim=True)
    game = -c.unlabeled * 0.5 * (real[:, :10].logsumexp(1).mean() + fake[:, 10].mean())
    return F.nll_loss(on_real, y) + game


@pytest.mark.parametrize("changes", [{}, {"unlabeled": 0.4}], ids=str)
def test_the_discriminators_loss_is_that_of_k_plus_1_classes(changes: dict) -> None:
    model = tiny.model("improved-gan", **changes).train()
    model.discriminator.noise = (0.0, 0.0)
    model.discriminator.last.length.data.mul_(5)
    with torch.no_grad():
        expected = loss_by_hand(model, tiny.batch("improved-gan"))
    assert next(model.play(tiny.batch("improved-gan")))[1].item() == pytest.approx(
        expected.item(), abs=1e-6
    )


@pytest.mark.parametrize("kind", ["saturating", "non-saturating"])
def test_the_generators_adversarial_losses_are_those_of_its_images_probabilities(kind: str) -> None:
    model, made = tiny.model("improved-gan", generator=kind).train(), []
    model.discriminator.noise = (0.0, 0.0)
    model.generator.register_forward_hook(lambda module, given, out: made.append(out.detach()))
    *_, (player, loss) = model.play(tiny.batch("improved-gan"))
    with torch.no_grad():
        logits = torch.cat([model.discriminator(made[-1])[1], torch.zeros(16, 1)], 1)
    real = logits.softmax(1)[:, :10].sum(1)
    expected = (1 - real).log().mean() if kind == "saturating" else -real.log().mean()
    assert player == "generator" and loss.item() == pytest.approx(expected.item(), abs=1e-5)


def test_both_players_losses_have_the_distance_from_their_past() -> None:
    """All weights moved by 0.1 lie 0.05 from the mean of both: 0.0025 for each of them."""
    found = {}
    for weight in (0.0, 0.5):
        model = tiny.model("improved-gan", history=weight, generator="saturating").train()
        for images in (0, 16):
            batch = tiny.batch("improved-gan")
            batch.images = images
            found[weight] = dict(model.play(batch))
            for p in model.parameters():
                p.data += 0.1 * (images == 0)
    for player, module in model.players().items():
        count = sum(p.numel() for p in module.module.parameters())
        difference = found[0.5][player] - found[0.0][player]
        assert difference.item() == pytest.approx(0.5 * 0.0025 * count, rel=1e-3)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_generator_takes_its_steps_after_the_discriminators_one(steps: int) -> None:
    model = tiny.model(
        "improved-gan", generator="saturating", generator_steps=steps, generator_lr=5e-4
    ).train()
    turns = [player for player, _ in model.play(tiny.batch("improved-gan"))]
    assert turns == ["discriminator"] + ["generator"] * steps
    assert model.players()["generator"].lr == 5e-4 and model.players()["discriminator"].lr == 3e-3


@pytest.mark.parametrize(
    "kind", [nn.Linear(6, 4), nn.Conv2d(6, 4, 3, 2, 1), nn.ConvTranspose2d(6, 4, 5, 2, 2, 1)]
)
def test_the_first_pass_gives_mean_zero_and_the_deviation_asked_for(kind: nn.Module) -> None:
    for start in (1.0, 0.1):
        layer = WeightNorm(kind, start=start)
        layer.layer.bias.data.fill_(3.0)
        layer.length.fill_(7.0)  # what was there before does not count
        x = (
            torch.randn(300, 6) * 5 + 2
            if isinstance(kind, nn.Linear)
            else torch.randn(40, 6, 8, 8) * 5 + 2
        )
        with data_dependent_init(layer):
            layer(x)
        y = layer(x)
        std, mean = torch.std_mean(y, [0, *range(2, y.ndim)], correction=0)
        torch.testing.assert_close(mean, torch.zeros(4), atol=1e-5, rtol=0)
        torch.testing.assert_close(std, torch.full((4,), start), atol=1e-4, rtol=1e-3)


def test_normalized_weights_have_the_length_of_their_gain() -> None:
    for kind, axes in (
        (nn.Linear(6, 4), [1]),
        (nn.Conv2d(6, 4, 3), [1, 2, 3]),
        (nn.ConvTranspose2d(6, 4, 3), [0, 2, 3]),
    ):
        layer = WeightNorm(kind, gain=True)
        layer.length.data.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
        torch.testing.assert_close(
            layer.weight().square().sum(axes).sqrt(), layer.length.data, rtol=1e-3, atol=1e-3
        )


def test_a_unit_without_variance_keeps_its_length() -> None:
    layer = WeightNorm(nn.Linear(3, 2))
    with data_dependent_init(layer):
        layer(torch.ones(10, 3))
    assert torch.isfinite(layer(torch.randn(4, 3))).all()
    assert torch.equal(layer.length, torch.ones(2))


def test_every_hidden_layer_starts_normalized() -> None:
    data = tiny.images(500)
    model = build("improved-gan", ImprovedGANConfig(width=32, generator_width=16), data.spec)
    assert isinstance(model, ImprovedGAN)
    seen: list[torch.Tensor] = []
    model.initialize_from_data(data, 0)
    for layer in model.discriminator.layers():
        layer.register_forward_hook(lambda module, given, out: seen.append(out.detach()))
    rows = torch.randperm(500, generator=torch.Generator().manual_seed(0))[:500]
    noise = Noise(0, -1, slice(0, 500), 500)
    model.discriminator(model.scale(data.batch(rows)[0]), Jitter(noise))
    assert len(seen) == 6
    for out in seen:
        std, mean = torch.std_mean(out, 0, correction=0)
        assert mean.abs().max() < 0.01
        assert (std - 1).abs().max() < 0.01


def test_minibatch_discrimination_is_its_formula() -> None:
    layer = MinibatchDiscrimination(6, kernels=4, dimensions=3).double()
    nn.init.normal_(layer.scale)
    nn.init.normal_(layer.bias)
    f = torch.randn(5, 6, dtype=torch.float64)
    tensor = layer.theta * layer.scale.exp() / layer.theta.norm(dim=0)
    m = torch.einsum("na,abc->nbc", f, tensor)
    o = torch.stack(
        [
            sum(torch.exp(-(m[i] - m[j]).abs().sum(1)) for j in range(5) if j != i) + layer.bias
            for i in range(5)
        ]
    )
    out = layer(f)
    assert out.shape == (5, 10)
    torch.testing.assert_close(
        out, torch.cat([f, o], 1), rtol=1e-5, atol=1e-5
    )  # distances are taken in float32
    assert torch.allclose(
        MinibatchDiscrimination(6, 4, 3)(torch.ones(7, 6))[:, 6:], torch.full((7, 4), 6.0)
    )


def test_minibatch_discrimination_has_the_gradient_of_its_formula() -> None:
    layer, f = (
        MinibatchDiscrimination(5, kernels=3, dimensions=2),
        torch.randn(6, 5, requires_grad=True),
    )
    weights = torch.randn(6, 8)

    def plain(x: torch.Tensor) -> torch.Tensor:
        m = torch.einsum(
            "na,abc->nbc", x, layer.theta * layer.scale.exp() / layer.theta.norm(dim=0)
        )
        o = torch.exp(-(m[:, None] - m[None]).abs().sum(3)).sum(1) - 1 + layer.bias
        return torch.cat([x, o], 1)

    moved = (f, layer.theta, layer.scale, layer.bias)
    mine = torch.autograd.grad((layer(f) * weights).sum(), moved)
    theirs = torch.autograd.grad((plain(f) * weights).sum(), moved)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_minibatch_discrimination_starts_from_data() -> None:
    layer, f = MinibatchDiscrimination(6, kernels=4, dimensions=3), torch.randn(50, 6) * 100
    assert layer(f)[:, 6:].abs().max() < 1e-3  # far away: no neighbor counts
    with data_dependent_init(layer):
        layer(f)
    distance = layer.distances(f)
    torch.testing.assert_close(
        distance.sort(2).values[:, :, 1].mean(1), torch.full((4,), 2.0), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(layer(f)[:, 6:].mean(0), torch.zeros(4), atol=1e-4, rtol=0)


def test_minibatch_discrimination_that_follows_real_examples_does_not_go_blind() -> None:
    layer, f = MinibatchDiscrimination(6, kernels=4, dimensions=3, follow=0.5), torch.randn(50, 6)
    with data_dependent_init(layer):
        layer(f)
    far = f.mul(1000).requires_grad_()
    once = layer(far)[:, 6:]
    assert not torch.autograd.grad(once.sum(), far)[0].any()  # every closeness is 0 to the last bit
    for _ in range(40):
        layer.per_sub_batch(torch.cat([far, far * 3]), [50, 50])
    distance = layer.distances(far) / layer.unit[:, None, None]
    torch.testing.assert_close(
        distance.sort(2).values[:, :, 1].mean(1), torch.full((4,), 2.0), rtol=1e-4, atol=1e-4
    )
    assert torch.autograd.grad(layer(far)[:, 6:].sum(), far)[0].abs().sum() > 0
    kept = layer.unit.clone()
    layer(far * 5)  # by themselves, examples are measured and not followed
    assert torch.equal(layer.unit, kept)
    assert (
        "unit" not in MinibatchDiscrimination(6).state_dict()
    )  # weights saved without it still load


def test_shrinking_its_features_brings_a_layer_that_follows_nothing() -> None:
    layer = MinibatchDiscrimination(6, kernels=4, dimensions=3, follow=0.5)
    f = torch.randn(40, 6).requires_grad_()
    close = layer.per_sub_batch(f, [20, 20])[:, 6:]
    torch.testing.assert_close(layer.per_sub_batch(f / 100, [20, 20])[:, 6:], close)
    slope = torch.autograd.grad((close * torch.randn_like(close)).sum(), [f, layer.scale])
    assert slope[0].abs().max() > 1e-3
    assert (slope[0] * f).sum().abs() < 1e-5 and slope[1].sum(1).abs().max() < 1e-5


def test_the_first_of_several_parts_is_followed() -> None:
    net = ConvDiscriminator((1, 28, 28), (4, 8), 10, minibatch=3, follow=0.5)
    x = torch.rand(8, 1, 28, 28)
    net(x)
    assert net.minibatch is not None and torch.equal(net.minibatch.unit, torch.ones(3))
    net(x, parts=[4, 4])
    real = net.minibatch.half_nearest(net.minibatch.distances(net(x[:4])[0]))
    torch.testing.assert_close(net.minibatch.unit, 0.5 + 0.5 * real)


def test_images_are_classified_among_as_many_as_in_training() -> None:
    x = tiny.images(30).all()
    for labeled, size in ((6, 6), (0, 100)):
        model = tiny.model("improved-gan", minibatch=5, labeled=labeled).eval()
        seen: list[int] = []
        model.discriminator.minibatch.register_forward_hook(
            lambda module, given, out, seen=seen: seen.append(len(given[0]))
        )
        p = model.classify(x)
        assert set(seen) == {size} and len(p) == 30
        torch.testing.assert_close(p[:6], model.classify(x[torch.arange(size) % 30])[:6])


def test_virtual_batch_norm_looks_at_no_companion() -> None:
    norm, reference, x = (
        VirtualBatchNorm(3, 8),
        torch.randn(8, 3, 5, 5) * 3 + 1,
        torch.randn(6, 3, 5, 5),
    )
    together = norm(torch.cat([reference, x]))
    for i in range(6):
        torch.testing.assert_close(norm(torch.cat([reference, x[i : i + 1]]))[8], together[8 + i])
    std, mean = torch.std_mean(together[:8], [0, 2, 3], correction=0)
    torch.testing.assert_close(mean, norm.bias, atol=1e-5, rtol=0)
    torch.testing.assert_close(std, norm.gain, atol=1e-4, rtol=1e-4)


def test_virtual_batch_norm_is_its_formula() -> None:
    norm, r, x = VirtualBatchNorm(2, 4), torch.randn(4, 2), torch.randn(1, 2)
    m = x / 5 + 4 / 5 * r.mean(0)
    q = x.square() / 5 + 4 / 5 * r.square().mean(0)
    expected = norm.gain * (x - m) / (1e-5 + q - m.square()).sqrt() + norm.bias
    torch.testing.assert_close(norm(torch.cat([r, x]))[4:], expected)
    y = norm(torch.cat([r.requires_grad_(), x]))[4:].sum()
    assert (
        torch.autograd.grad(y, r)[0].abs().min() > 0
    )  # the reference's statistics carry gradients


def orbit(weight: float, steps: int = 2000) -> float:
    """Distance from the equilibrium (1, 1) of the paper's toy game after simultaneous gradient
    descent with historical averaging."""
    players = {name: nn.Linear(1, 1, bias=False) for name in "xy"}
    players["x"].weight.data.fill_(1.5)
    players["y"].weight.data.fill_(1.5)
    histories = {name: HistoricalAverage(player) for name, player in players.items()}
    for step in range(steps):
        x, y = players["x"].weight.squeeze(), players["y"].weight.squeeze()
        value = (torch.where(x < 0, x, x.square()) - 1) * (y - 1)
        gradients = {}
        for name, sign in (("x", 1), ("y", -1)):
            loss = sign * value + weight * histories[name].distance(players[name], step)
            gradients[name] = torch.autograd.grad(loss, players[name].weight, retain_graph=True)[0]
        with torch.no_grad():
            for name, player in players.items():
                player.weight -= 0.02 * gradients[name]
    return sum((player.weight.item() - 1) ** 2 for player in players.values()) ** 0.5


@pytest.mark.slow
def test_historical_averaging_ends_the_orbit() -> None:
    assert orbit(0.0) > 0.4
    assert orbit(1.0) < 0.15


def test_the_history_is_the_mean_of_the_past() -> None:
    player = nn.Linear(3, 2)
    history, seen = HistoricalAverage(player), []
    for step in range(5):
        nn.init.normal_(player.weight)
        seen.append(player.weight.detach().clone())
        distance = history.distance(player, step)
        assert history.distance(player, step).item() == distance.item(), (
            "the same step must not count twice"
        )
        torch.testing.assert_close(
            distance, (player.weight - torch.stack(seen).mean(0)).square().sum()
        )
    assert int(history.steps) == 5


class Table(nn.Module):
    """A discriminator of images that are all black or all white: a logit for each of the two
    kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(2))

    def forward(self, x: torch.Tensor, *_: object) -> tuple[torch.Tensor, torch.Tensor]:
        kind = (x.flatten(1)[:, 0] > 0.5).long()
        return x.flatten(1), self.logits[kind][:, None]


@pytest.mark.parametrize("alpha", [1.0, 0.75])
def test_smoothing_is_one_sided(alpha: float) -> None:
    """The game's best discriminator is alpha p_data / (p_data + p_model): only the target of real
    images is below 1."""
    model = tiny.model(
        "improved-gan", supervised=False, smoothing=alpha, generator="non-saturating"
    )
    real, fake = torch.tensor([0.7, 0.3]), torch.tensor([0.2, 0.8])
    kinds = torch.tensor([0] * 7 + [1] * 3), torch.tensor([0] * 2 + [1] * 8)
    images, generated = (kind.float()[:, None, None, None].expand(-1, 1, 28, 28) for kind in kinds)
    model.discriminator = Table()
    model.generator.forward = lambda z: generated
    optimizer = torch.optim.LBFGS([model.discriminator.logits], max_iter=200)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = next(model.play(Batch((images * 255).byte(), None, Noise(0, 0, slice(0, 10), 10))))[
            1
        ]
        loss.backward()
        return loss

    optimizer.step(closure)
    best = model.discriminator.logits.detach().sigmoid()
    torch.testing.assert_close(best, alpha * real / (real + fake), atol=1e-3, rtol=0)


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("kind", ["squared", "absolute"])
def test_feature_matching_compares_means(kind: str, reuse: bool) -> None:
    model = tiny.model("improved-gan", generator=kind, reuse=reuse).train()
    model.discriminator.noise = (0.0, 0.0)
    batch, seen = tiny.batch("improved-gan"), []
    model.generator.register_forward_hook(lambda module, given, out: seen.append(out.detach()))
    play = model.play(batch)
    next(play)
    _, loss = next(play)
    real = batch.x if reuse else batch.more("any", 16)[0]
    with torch.no_grad():
        difference = model.discriminator(seen[-1])[0].mean(0) - model.discriminator(
            model.scale(real)
        )[0].mean(0)
    expected = (difference.square() if kind == "squared" else difference.abs()).mean()
    torch.testing.assert_close(loss.detach(), expected)
    assert len(seen) == (1 if reuse else 2)
    assert torch.equal(batch.logs["feature distance"], loss.detach())


def test_more_draws_labeled_examples_only() -> None:
    data = tiny.few(64, labeled=8)
    model = build("improved-gan", ImprovedGANConfig(**tiny.config("improved-gan")), data.spec)
    seen = []

    class Watching(ImprovedGAN):
        def labeled(self, batch: Batch, n: int) -> tuple[torch.Tensor, torch.Tensor]:
            x, y = super().labeled(batch, n)
            seen.append(y)
            return x, y

    model.__class__ = Watching
    fit(model, data, training=tiny.training(images=64), quiet=True)
    y = torch.cat(seen)
    assert (y >= 0).all()
    assert y.bincount(minlength=10)[:8].min() >= 6, (
        "64 draws from 8 labeled images show each 8 times"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"generator": "saturating", "minibatch": 5, "generator_steps": 3},
        {"generator": "non-saturating", "supervised": False, "smoothing": 0.75},
        {"virtual": 8},
        {"history": 0.1},
        {"labeled": 4, "optimizer": "adam"},
        {"reuse": True},
        {"reuse": True, "generator": "saturating", "generator_steps": 2},
        {"architecture": "conv", "width": 4, "generator_width": 8},
        {
            "architecture": "conv",
            "width": 4,
            "generator_width": 8,
            "virtual": 4,
            "minibatch": 3,
            "generator": "saturating",
        },
    ],
    ids=lambda changes: " ".join(changes),
)
def test_every_switch_trains_samples_and_reloads(changes: dict, tmp_path) -> None:
    model = tiny.model("improved-gan", **changes)
    before = [p.detach().clone() for p in model.parameters()]
    fit(model, tiny.data_for("improved-gan"), training=tiny.training(images=48), quiet=True)
    assert sum(
        not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)
    ) == len(before)
    model.eval().update_statistics()
    assert model.sample(3).shape == (3, 1, 28, 28)
    if model.config.supervised:
        p = model.classify(tiny.images(30).all())
        torch.testing.assert_close(p.sum(1), torch.ones(30))
    else:
        with pytest.raises(UsageError, match="without labels"):
            model.classify(tiny.images(3).all())


def test_without_the_unlabeled_only_the_classifier_learns(tmp_path) -> None:
    model = tiny.model("improved-gan", unlabeled=0.0)
    turns = list(model.play(tiny.batch("improved-gan")))
    assert [player for player, _ in turns] == ["discriminator"]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    fit(model, tiny.data_for("improved-gan"), training=tiny.training(images=48), quiet=True)
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) == name.startswith("generator"), name

    run = lambda name: Run.create(tmp_path, name)  # noqa: E731
    data, whole, halves = tiny.data_for("improved-gan"), run("whole"), run("halves")
    short = tiny.training(
        images=32, average=0
    )  # an average's half-life follows the length of the run
    long = tiny.training(images=64, average=0)
    one = fit(tiny.model("improved-gan", unlabeled=0.0), data, whole, long, quiet=True)
    fit(tiny.model("improved-gan", unlabeled=0.0), data, halves, short, quiet=True)
    two = fit(tiny.model("improved-gan", unlabeled=0.0), data, halves, long, quiet=True)
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, two.model.state_dict()[name]), name


def test_full_sizes_are_the_papers() -> None:
    def weights(layout: str, shape: tuple[int, ...], **changes: object) -> dict[str, int]:
        with torch.device("meta"):
            model = ImprovedGAN(
                ImprovedGANConfig(architecture=layout, **changes), Spec("x", shape, 10)
            )
        return {
            name: sum(p.numel() for p in player.module.parameters())
            for name, player in model.players().items()
        }

    rounded = lambda counts: {name: round(n / 1e6, 2) for name, n in counts.items()}  # noqa: E731
    assert rounded(weights("dense", (1, 28, 28))) == {"discriminator": 1.54, "generator": 0.69}
    assert rounded(weights("conv", (3, 32, 32))) == {"discriminator": 1.41, "generator": 4.93}
    assert rounded(weights("conv", (3, 32, 32), minibatch=100)) == {
        "discriminator": 1.5,
        "generator": 4.93,
    }
    assert rounded(weights("conv", (3, 32, 32), width=64)) == {
        "discriminator": 0.63,
        "generator": 4.93,
    }


def test_shapes_on_the_way_are_the_papers() -> None:
    seen = []
    net = ConvDiscriminator((3, 32, 32), (6, 12), 10)
    for layer in net.layers():
        layer.register_forward_hook(lambda module, given, out: seen.append(tuple(out.shape[1:])))
    net(torch.zeros(2, 3, 32, 32))
    assert seen == [(6, 32, 32)] * 2 + [(6, 16, 16)] + [(12, 16, 16)] * 2 + [(12, 8, 8)] + [
        (12, 6, 6)
    ] * 3 + [(10,)]
    assert ConvGenerator(5, 16, (1, 28, 28))(torch.rand(2, 5)).shape == (2, 1, 28, 28)
    assert ConvGenerator(5, 16, (3, 32, 32))(torch.rand(2, 5)).shape == (2, 3, 32, 32)
    assert DenseDiscriminator(784, (8, 4, 2, 2, 2), 10)(torch.zeros(3, 1, 28, 28))[0].shape == (
        3,
        2,
    )


def test_minibatch_discrimination_compares_within_parts_of_a_batch() -> None:
    net = DenseDiscriminator(784, (8, 4, 4, 4, 4), 10, minibatch=3)
    a, b = torch.rand(5, 1, 28, 28), torch.rand(7, 1, 28, 28)
    separate = torch.cat([net(a)[1], net(b)[1]])
    torch.testing.assert_close(net(torch.cat([a, b]), parts=[5, 7])[1], separate)
    assert not torch.allclose(net(torch.cat([a, b]))[1], separate)


def test_flat_examples_can_be_classified() -> None:
    x = torch.randint(0, 256, (40, 1, 1, 13), dtype=torch.uint8)
    data = Dataset(Spec("table", (1, 1, 13), 3), x, torch.arange(40) % 3)
    model = build("improved-gan", ImprovedGANConfig(width=8, generator_width=8), data.spec)
    fit(model, data, training=tiny.training(images=32), quiet=True)
    assert model.classify(x).shape == (40, 3)


@pytest.mark.parametrize(
    ("changes", "spec", "sentence"),
    [
        ({"architecture": "conv"}, Spec("x", (1, 20, 20), 10), "28 or 32 pixels"),
        ({}, Spec("x", (1, 28, 28)), "no labels"),
        ({"smoothing": 0.3}, Spec("x", (1, 28, 28), 10), "above 0.5"),
        ({"latent_dim": 0}, Spec("x", (1, 28, 28), 10), "latent-dim must be at least 1"),
        ({"width": 2}, Spec("x", (1, 28, 28), 10), "at least 4"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict, spec: Spec, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        ImprovedGAN(ImprovedGANConfig(**changes), spec)


def test_data_without_labels_say_so() -> None:
    data = tiny.few(32, labeled=0)
    model = build("improved-gan", ImprovedGANConfig(**tiny.config("improved-gan")), data.spec)
    with pytest.raises(UsageError, match="no labeled example"):
        fit(model, data, training=tiny.training(images=16), quiet=True)
