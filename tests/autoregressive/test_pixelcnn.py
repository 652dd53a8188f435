"""PixelCNN, plain and gated: who sees whom, tiny spaces, the cached scan, completion."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import causal
import tiny
from zeuxis.autoregressive.pixelcnn import PixelCNN, PixelCNNConfig
from zeuxis.autoregressive.sampling import in_order
from zeuxis.capabilities import CanAutoregress, CanComplete, CanLogProb
from zeuxis.checkpoints.weights import build
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.errors import UsageError
from zeuxis.nn.masked import colors_of, masked
from zeuxis.nn.toeplitz_conv import convolved, spans
from zeuxis.noise import Noise
from zeuxis.recipes import recipes
from zeuxis.registry import models
from zeuxis.training.loop import fit

SMALL = {"channels": 7, "layers": 2, "head_channels": 8}
BROAD = {
    "channels": 17,
    "layers": 2,
    "head_channels": 16,
}  # enough units that no color's are all off


def paper_sees(shape: tuple[int, int, int], first: int, kernel: int, layers: int) -> Tensor:
    """Who sees whom by the paper's rules for square kernels, followed number by number through the
    layers."""
    channels, height, width = shape
    places = [(r, c, k) for r in range(height) for c in range(width) for k in range(channels)]

    def layer(side: int, kind: str) -> Tensor:
        half, sees = side // 2, torch.zeros(len(places), len(places))
        for i, (r, c, k) in enumerate(places):
            for j, (s, d, m) in enumerate(places):
                if abs(r - s) > half or abs(c - d) > half:
                    continue
                here = (r, c) == (s, d) and (m < k if kind == "A" else m <= k)
                sees[i, j] = s < r or (s == r and d < c) or here
        return sees

    reach = layer(first, "A")
    for _ in range(layers):
        reach = reach + (layer(kernel, "B") @ layer(1, "B") @ reach > 0).float()
    return reach > 0


@pytest.mark.parametrize("kind", ["A", "B"])
def test_masks_are_the_papers(kind: str) -> None:
    conv = masked(6, 7, 5, kind, colors=3)
    assert conv.mask is not None
    assert conv.mask.shape == (7, 6, 3, 5)
    assert conv.mask[:, :, :2].all(), "rows above are seen"
    assert conv.mask[:, :, 2, :2].all(), "the left is seen"
    assert not conv.mask[:, :, 2, 3:].any(), "the right is not"
    for o, color in enumerate(colors_of(7, 3).tolist()):
        expected = [float(i < color if kind == "A" else i <= color) for i in (0, 0, 1, 1, 2, 2)]
        assert conv.mask[o, :, 2, 2].tolist() == expected


@pytest.mark.parametrize("channels", [1, 3])
def test_the_plain_network_sees_what_the_papers_masks_let_it_see(channels: int) -> None:
    model = causal.make("pixelcnn", (channels, 5, 6), first_kernel=5, levels=4, **BROAD)
    expected = paper_sees((channels, 5, 6), 5, 3, 2)
    assert torch.equal(causal.influence(model.network, (channels, 5, 6), channels), expected)
    assert not (expected & ~causal.earlier(len(expected))).any()
    assert (causal.earlier(len(expected)) & ~expected).any(), (
        "the blind spot that the gated network is without"
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_a_first_kernel_as_large_as_the_image_leaves_no_blind_spot(channels: int) -> None:
    model = causal.make("pixelcnn", (channels, 4, 6), first_kernel=11, levels=4, **BROAD)
    seen = causal.influence(model.network, (channels, 4, 6), channels)
    assert torch.equal(seen, causal.earlier(len(seen)))


@pytest.mark.parametrize(
    ("channels", "shape", "kernel"),
    [
        (1, (6, 5), 11),
        (1, (3, 7), 7),
        (3, (5, 4), 7),
        (2, (5, 9), 21),
        (1, (1, 4), 5),
        (1, (7, 2), 7),
    ],
)
def test_kernels_with_more_taps_than_the_image_has_places_are_the_convolution(
    channels: int, shape: tuple[int, int], kernel: int
) -> None:
    torch.manual_seed(0)
    conv = masked(channels, 6, kernel, "A", channels).double()
    x = torch.randn(3, channels, *shape, dtype=torch.float64, requires_grad=True)

    def plain() -> Tensor:
        weight, bias = conv.weights()
        return F.conv2d(F.pad(x, (conv.left, conv.right, conv.above, 0)), weight, bias)

    weight, bias = conv.weights()
    assert spans(*shape, (weight.shape[2], weight.shape[3]))
    mixed = torch.randn_like(plain())
    for fast in (conv(x), convolved(x, weight, bias, conv.left)):
        assert torch.allclose(fast, plain(), atol=1e-12)
        wanted = [x, *conv.parameters()]
        for got, expected in zip(
            torch.autograd.grad((fast * mixed).sum(), wanted),
            torch.autograd.grad((plain() * mixed).sum(), wanted),
            strict=True,
        ):
            assert torch.allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kernel", [3, 5])
def test_the_gated_network_sees_everything_before_and_nothing_after(
    channels: int, kernel: int
) -> None:
    model = causal.make(
        "pixelcnn", (channels, 5, 5), architecture="gated", kernel=kernel, levels=4, **BROAD
    )
    seen = causal.influence(model.network, (channels, 5, 5), channels)
    assert torch.equal(seen, causal.earlier(len(seen)))


VARIANTS = [
    ((1, 5, 6), 0, {}),
    ((3, 4, 5), 0, {"levels": 5}),
    ((1, 5, 4), 0, {"architecture": "gated"}),
    ((3, 4, 3), 0, {"architecture": "gated", "kernel": 5, "levels": 4}),
    ((2, 4, 4), 3, {"architecture": "gated", "conditional": True, "levels": 3}),
]


@pytest.mark.parametrize(("shape", "classes", "changes"), VARIANTS)
def test_a_scan_gives_the_conditionals_and_the_likelihood_is_their_sum(
    shape: tuple, classes: int, changes: dict
) -> None:
    causal.check_autoregress(causal.make("pixelcnn", shape, classes, **SMALL, **changes))


@pytest.mark.parametrize(("shape", "classes", "changes"), VARIANTS)
def test_the_cached_sampler_gives_the_naive_ones_images(
    shape: tuple, classes: int, changes: dict
) -> None:
    causal.check_sampler(causal.make("pixelcnn", shape, classes, **SMALL, **changes))


def test_the_cached_sampler_gives_the_naive_ones_digits_in_float32() -> None:
    model = build(
        "pixelcnn", PixelCNNConfig(channels=16, layers=3), Spec("tiny", (1, 12, 12))
    ).eval()
    assert isinstance(model, PixelCNN)
    causal.check_sampler(model, n=8)


@pytest.mark.parametrize("network", ["plain", "gated"])
@pytest.mark.parametrize(
    ("shape", "levels"), [((1, 2, 2), 2), ((1, 2, 2), 3), ((3, 1, 2), 3), ((2, 2, 2), 2)]
)
def test_probabilities_of_a_tiny_space_add_up_to_one(
    network: str, shape: tuple, levels: int
) -> None:
    model = causal.make("pixelcnn", shape, architecture=network, levels=levels, **SMALL)
    p = model.log_prob(causal.all_images(shape, levels)).nats.exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-10)
    assert p.std() > 0.01 * p.mean(), "a uniform distribution shows little"


@pytest.mark.parametrize("network", ["plain", "gated"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_scan_costs_the_operations_of_one_pass(network: str, channels: int) -> None:
    """More only by the mask's zeros within a row, and by a first kernel that reaches outside the
    image."""
    model = causal.make(
        "pixelcnn",
        (channels, 7, 7),
        architecture=network,
        channels=24,
        layers=2,
        head_channels=24,
        levels=2,
    )
    x = causal.random_images(model, 4)
    once = causal.operations(lambda: model.log_prob(x))
    assert 0.5 < causal.operations(lambda: causal.walk(model, 4)) / once < 1.2


def test_a_mixture_of_classes_is_the_likelihood_without_a_class() -> None:
    model = causal.make("pixelcnn", (1, 2, 2), 3, architecture="gated", conditional=True, **SMALL)
    x = causal.all_images((1, 2, 2), 2)
    each = torch.stack([model.log_prob(x, torch.full((16,), k)).nats.exp() for k in range(3)])
    assert torch.allclose(each.sum(1), torch.ones(3, dtype=torch.float64))
    assert (each[0] - each[1]).abs().max() > 0.001, "classes matter"
    torch.testing.assert_close(model.log_prob(x).nats.exp(), each.mean(0))


def test_unlabeled_images_train_a_conditional_model_too() -> None:
    x = torch.randint(0, 2, (64, 1, 6, 6), dtype=torch.uint8) * 255
    data = Dataset(Spec("some", (1, 6, 6), 2), x, torch.arange(64) % 3 - 1)
    model = build(
        "pixelcnn", PixelCNNConfig(architecture="gated", conditional=True, **SMALL), data.spec
    )
    fit(model, data, training=tiny.training(images=32), quiet=True)
    assert model.sample(4).shape == (4, 1, 6, 6)


def test_samples_follow_the_distribution() -> None:
    model = causal.make("pixelcnn", (1, 2, 2), **SMALL)
    x = model.sample(8000, generator=torch.Generator().manual_seed(0))
    p = model.log_prob(causal.all_images((1, 2, 2), 2)).nats.exp()
    codes = (in_order(x) // 255 * torch.tensor([8, 4, 2, 1])).sum(1)
    counts = torch.bincount(codes, minlength=16)
    assert ((counts - 8000 * p).abs() < 4.5 * (8000 * p * (1 - p)).sqrt() + 1).all()


def test_temperature_sharpens() -> None:
    model = causal.make("pixelcnn", (1, 4, 4), **SMALL)
    nats = [
        model.log_prob(
            model.sample(400, temperature=t, generator=torch.Generator().manual_seed(0))
        ).nats.mean()
        for t in (0.3, 1.0, 3.0)
    ]
    assert nats[0] > nats[1] > nats[2]


@pytest.mark.parametrize(
    ("mask", "tries"), [([0, 0, 1, 1], 1), ([1, 0, 1, 0], 48), ([1, 1, 1, 0], 48)]
)
def test_completions_follow_the_exact_conditional(mask: list[int], tries: int) -> None:
    """Of four binary pixels: exactly for a given beginning, in the limit of many tries for any
    other mask."""
    model, n = causal.make("pixelcnn", (1, 2, 2), seed=3, **SMALL), 1500
    hidden = torch.tensor(mask).bool().view(2, 2)
    x = torch.full((n, 1, 2, 2), 255, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    done = model.complete(x[:500], ~hidden, n=3, generator=generator, tries=tries).flatten(0, 1)
    assert (done[:, :, ~hidden] == 255).all()
    every = causal.all_images((1, 2, 2), 2)
    fits = (every[:, 0][:, ~hidden] == 255).all(1)
    p = torch.where(fits, model.log_prob(every).nats.exp(), 0.0)
    p = p / p.sum()
    counts = torch.bincount(
        (in_order(done) // 255 * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16
    )
    assert ((counts - n * p).abs() < 4.5 * (n * p * (1 - p)).sqrt() + 1).all()


def test_completion_keeps_what_is_given_and_fills_the_rest() -> None:
    model = causal.make("pixelcnn", (3, 4, 4), levels=4, **SMALL)
    x = causal.random_images(model, 5)
    for mask in (
        torch.rand(4, 4) < 0.5,
        torch.rand(3, 4, 4) < 0.5,
        torch.rand(5, 3, 4, 4) < 0.5,
        torch.zeros(4, 4),
    ):
        seen = mask.bool().expand(5, 3, 4, 4)
        for done in model.complete(x, mask, n=2, generator=torch.Generator().manual_seed(1)):
            assert torch.equal(done[seen], x[seen])
            assert not torch.equal(done[~seen], x[~seen])
    assert torch.equal(model.complete(x, torch.ones(4, 4))[0], x)
    (drawn,) = model.complete(x, torch.zeros(4, 4), generator=torch.Generator().manual_seed(2))
    assert torch.equal(drawn, model.sample(5, generator=torch.Generator().manual_seed(2)))


def test_it_learns_a_distribution_of_known_entropy() -> None:
    """Images that are all black or all white: log 2 nats, all of them at the first pixel."""
    kind = torch.arange(128) % 2
    x = (kind * 255).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 6, 6).contiguous()
    data = Dataset(Spec("flat", (1, 6, 6)), x)
    for network in ("plain", "gated"):
        model = build(
            "pixelcnn",
            PixelCNNConfig(architecture=network, channels=8, layers=1, head_channels=8, lr=1e-2),
            data.spec,
        )
        model = fit(
            model, data, training=tiny.training(images=3200, batch=32, average=100), quiet=True
        ).model
        assert isinstance(model, PixelCNN)
        assert -model.log_prob(x).nats.mean().item() == pytest.approx(0.6931, abs=0.04)
        drawn = in_order(model.sample(64, generator=torch.Generator().manual_seed(0)))
        assert (drawn == drawn[:, :1]).float().mean() > 0.99


def test_full_sizes() -> None:
    def weights(shape: tuple, **changes: object) -> float:
        with torch.device("meta"):
            model = PixelCNN(PixelCNNConfig(**changes), Spec("x", shape))
        return round(sum(p.numel() for p in model.parameters()) / 1e6, 2)

    # 15 blocks of 2 x 256 x 128 + 6 x 128^2 weights and heads of 1,024: 4.6 million with the first
    # layer and biases.
    assert weights((3, 32, 32)) == 4.59
    assert weights((1, 28, 28)) == 2.48


def test_capabilities() -> None:
    model = tiny.model("pixelcnn")
    assert isinstance(model, CanAutoregress)
    assert isinstance(model, CanComplete)
    assert isinstance(model, CanLogProb)
    assert model.levels == 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"first_kernel": 4}, "odd"),
        ({"kernel": 1}, "must be from 3"),
        ({"levels": 1}, "from 2 to 256"),
        ({"channels": 0}, "--model.channels must be at least 1"),
        ({"conditional": True}, "add --model.architecture gated"),
        ({"conditional": True, "architecture": "gated"}, "has none"),
    ],
)
def test_settings_that_cannot_work(changes: dict, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        PixelCNN(
            PixelCNNConfig(**changes),
            Spec("tiny", (1, 5, 5), 0 if "architecture" in changes else 3),
        )


def test_images_that_do_not_fit() -> None:
    model = causal.make("pixelcnn", (1, 4, 4), **SMALL)
    x = torch.full((2, 1, 4, 4), 100, dtype=torch.uint8)
    with pytest.raises(UsageError, match="binarize them"):
        model.log_prob(x)
    with pytest.raises(UsageError, match="mask has shape"):
        model.complete(x * 0, torch.ones(3, 3))
    with pytest.raises(UsageError, match="above 0"):
        model.sample(1, temperature=0.0)
    with pytest.raises(UsageError, match="one try are needed"):
        model.complete(x * 0, torch.ones(4, 4), tries=0)
    with pytest.raises(UsageError, match="shape \\(2,\\)"):
        PixelCNN(PixelCNNConfig(), Spec("ring", (2,)))
    conditional = causal.make(
        "pixelcnn", (1, 4, 4), 3, architecture="gated", conditional=True, **SMALL
    )
    with pytest.raises(UsageError, match="give y"):
        next(conditional.autoregress(2))
    with pytest.raises(UsageError, match="from 0 to 2"):
        conditional.log_prob(x * 0, torch.tensor([0, 3]))


@pytest.mark.slow
def test_every_recipe_builds_and_states_a_source_for_its_target() -> None:
    found = {
        name: recipe
        for name, recipe in recipes().items()
        if recipe.model in ("pixelcnn", "pixelcnnpp", "pixelrnn")
    }
    targets = " ".join(recipe.target for recipe in found.values())
    for figure in (
        "81.30",
        "80.54",
        "80.75",
        "79.20",
        "3.14",
        "3.03",
        "3.07",
        "3.00",
        "2.92",
        "2.94",
    ):
        assert figure in targets
    for name, recipe in found.items():
        assert bool(recipe.source) == bool(recipe.target), name
        shape = (3, 32, 32) if recipe.data == "cifar10" else (1, 28, 28)
        with torch.device("meta"):
            models()[recipe.model](recipe.config, Spec("x", shape, 10))  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["pixelcnn", "pixelrnn"])
def test_binary_models_sample_pixels_again_with_brightness_as_probability(name: str) -> None:
    model = tiny.model(name)
    gray = torch.full((400, 1, 8, 8), 64, dtype=torch.uint8)
    drawn, again = (
        model.observed(gray, Noise(0, step, slice(0, 400), 400)).float() for step in (0, 400)
    )
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert drawn.mean().item() == pytest.approx(64 / 255, abs=0.015)
    assert (drawn != again).float().mean().item() == pytest.approx(
        2 * 64 / 255 * (1 - 64 / 255), abs=0.02
    )
    for rest in (
        (1, 2, 3),
        (0,),
    ):  # within an image, and of a place over the images: 64 and 400 draws
        variance = drawn.var(rest).mean().item()
        assert variance == pytest.approx(64 / 255 * (1 - 64 / 255), abs=0.02)
    still = 255 * torch.randint(0, 2, (5, 1, 8, 8), dtype=torch.uint8)
    assert torch.equal(model.observed(still, Noise(0, 0, slice(0, 5), 5)), (still > 0).long())


def test_the_loss_is_nats_an_image_and_the_log_bits_a_number() -> None:
    model, batch = tiny.model("pixelcnn"), tiny.batch("pixelcnn")
    batch.x = 255 * (batch.x > 127).to(torch.uint8)
    _, loss = next(model.play(batch))
    nats = -model.log_prob(batch.x).nats.mean().item()
    assert loss.item() == pytest.approx(nats, rel=1e-5)
    assert batch.logs["bits/dim"].item() == pytest.approx(nats / (64 * 0.693147), rel=1e-5)
