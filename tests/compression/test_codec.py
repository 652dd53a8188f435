"""The lossless codec: integers, tiles, range coding and bits-back coding."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import tiny
from codec import InMemoryImages, chain, noise, vae
from zeuxis.autoregressive.pixelcnn import PixelCNN, PixelCNNConfig
from zeuxis.autoregressive.sampling import to_pixels
from zeuxis.capabilities import CanAutoregress, CanBitsBack, CanLogProb, has
from zeuxis.compression.bits_back import BitsBack
from zeuxis.compression.codec import coder_for, compress, decompress
from zeuxis.compression.entropy_coding import (
    PRECISION,
    categorical,
    frequencies,
    integer_weights,
    prepare,
    reproducible,
)
from zeuxis.compression.image_sources import DatasetImages
from zeuxis.compression.range_coding import RangeCoder
from zeuxis.compression.tiles import cut, join, tile_count
from zeuxis.data.binarized import binarized
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.distributions.elementwise import discretized_logistic, logistic_log_probs
from zeuxis.errors import MissingCapability, UsageError, ZeuxisError
from zeuxis.registry import models
from zeuxis.training.loop import fit
from zeuxis.vae.iaf import IAFVAE, IAFConfig
from zeuxis.vae.vae import VAE, VAEConfig

constriction = pytest.importorskip("constriction").stream
QUIET = settings(deadline=None, max_examples=20)


# --- integers


@QUIET
@given(
    st.sampled_from([2, 3, 17, 256, 1024]),
    st.integers(0, 2**31),
    st.floats(0.0, 80.0),
    st.booleans(),
)
def test_frequencies_are_whole_positive_and_sum_to_the_precision(
    levels: int, seed: int, scale: float, impossible: bool
) -> None:
    log_p = (
        scale
        * torch.randn(
            50, levels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
    ).log_softmax(1)
    if impossible:
        log_p[:, 1:][:, ::2] = -torch.inf
        log_p = log_p.log_softmax(1)
    f = frequencies(log_p)
    assert f.dtype == torch.int64
    assert (f.sum(1) == 2**PRECISION).all()
    assert (f >= 1).all()
    p = log_p.exp()
    cost = (p * (p.clamp(min=1e-300).log2() - f.double().log2() + PRECISION)).sum(
        1
    )  # bits a number
    assert (cost > -1e-12).all()
    assert cost.max() < 3e-6 + 3 * levels / 2**PRECISION
    assert torch.equal(f, torch.cat([frequencies(row[None]) for row in log_p]))


@pytest.mark.parametrize(
    "log_p", [[-1e30, 0.0], [0.0, -torch.inf], [1e-7, -80.0], [-3000.0, -3000.0]]
)
def test_extreme_distributions(log_p: list[float]) -> None:
    f = frequencies(torch.tensor([log_p]))[0]
    assert f.sum() == 2**PRECISION
    assert f.min() >= 1
    assert (f[0] > f[1]) == (log_p[0] > log_p[1])


def test_a_difference_of_rounding_leaves_frequencies_as_they_are() -> None:
    log_p = torch.randn(2000, 16, dtype=torch.float64).log_softmax(1)
    assert torch.equal(frequencies(log_p), frequencies(log_p * (1 + 1e-14)))


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ZeuxisError, match="no numbers"):
        frequencies(torch.tensor([[0.0, torch.nan]]))


@pytest.mark.parametrize("levels", [2, 3, 256, 1024])
def test_the_coder_takes_exactly_these_integers(levels: int) -> None:
    """Against asymmetric numeral systems in Python's own integers: state s, symbol of frequency f
    from c on, 24 bits, words of 32."""
    log_p = (4 * torch.randn(300, levels)).log_softmax(1)
    f, symbols = frequencies(log_p).numpy(), torch.multinomial(log_p.exp(), 1)[:, 0].int().numpy()
    symbols[:20] = levels - 1
    coder = constriction.stack.AnsCoder()
    coder.encode_reverse(symbols, categorical(), integer_weights(log_p))
    state, words, starts = 0, [], f.cumsum(1) - f
    for i in reversed(range(len(f))):
        c, size = int(starts[i, symbols[i]]), int(f[i, symbols[i]])
        if state >= size << 40:
            words.append(state & 0xFFFFFFFF)
            state >>= 32
        state = (state // size << PRECISION) + state % size + c
    while state:
        words.append(state & 0xFFFFFFFF)
        state >>= 32
    assert coder.get_compressed().tolist() == words
    assert np.array_equal(coder.decode(categorical(), integer_weights(log_p)), symbols)


@pytest.mark.parametrize("open_edges", [True, False])
def test_the_distributions_of_all_pixels_at_once_are_those_of_each(open_edges: bool) -> None:
    mean = torch.rand(50, 1, dtype=torch.float64) * 1.4 - 0.2
    log_scale = torch.tensor([-9.0, -6.0, -3.0, 0.0, 2.0], dtype=torch.float64).expand(50, 5)
    distributions = logistic_log_probs(mean.expand(50, 5), log_scale, open_edges)
    each = discretized_logistic(
        torch.arange(256.0, dtype=torch.float64), mean[..., None], log_scale[..., None], open_edges
    )
    assert torch.allclose(distributions, each, rtol=1e-13, atol=1e-13)


# --- tiles


@QUIET
@given(
    st.sampled_from([1, 3]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([(1, 4, 4), (3, 4, 4), (1, 2, 5), (3, 7, 1)]),
)
def test_tiles_join_to_the_image(
    channels: int, height: int, width: int, tile: tuple[int, int, int]
) -> None:
    x = noise(channels, height, width)
    tiles = cut(x, tile)
    assert tiles.shape == (tile_count(tuple(x.shape), tile), *tile)
    assert torch.equal(join(tiles, tuple(x.shape)), x)
    assert set(tiles.unique().tolist()) == set(x.unique().tolist()), "padding repeats what is there"


def test_color_for_a_gray_model_is_three_gray_images_and_gray_for_a_color_model_one() -> None:
    x = noise(3, 4, 4)
    assert torch.equal(cut(x, (1, 4, 4))[:, 0], x)
    assert torch.equal(cut(x[:1], (3, 4, 4))[0], x[:1].expand(3, 4, 4))
    with pytest.raises(UsageError, match="1 or 3 channels"):
        cut(noise(2, 4, 4), (1, 4, 4))


# --- both coders

MODELS = {
    "chain": lambda: chain(),
    "color chain": lambda: chain((3, 3, 4)),
    "binary chain": lambda: chain(levels=2, sharpness=8.0),
    "four levels": lambda: chain(levels=4),
    "pixelcnn": lambda: PixelCNN(
        PixelCNNConfig(channels=6, layers=1, first_kernel=3, head_channels=6),
        Spec("toy", (3, 4, 4)),
    ).eval(),
    "gated pixelcnn": lambda: PixelCNN(
        PixelCNNConfig(architecture="gated", channels=4, layers=1, first_kernel=3),
        Spec("toy", (1, 5, 4)),
    ).eval(),
    "vae": lambda: vae(),
    "gray vae": lambda: vae(binary=False),
    "color vae": lambda: vae((3, 4, 4), binary=False, open_edges=False),
    "convolutional vae": lambda: vae((1, 8, 8), architecture="conv", channels=(4,)),
    "diagonal iaf": lambda: IAFVAE(
        IAFConfig(channels=(4,), hidden_dim=8, latent_dim=2, width=4, posterior="diagonal"),
        Spec("toy", (1, 8, 8)),
    ).eval(),
}


@pytest.mark.parametrize("name", MODELS)
@settings(deadline=None, max_examples=3)
@given(data=st.data())
def test_any_images_come_back_to_the_last_bit(
    name: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    model = MODELS[name]()
    sides = st.integers(1, 8)
    shapes = data.draw(
        st.lists(st.tuples(st.sampled_from([1, 3]), sides, sides), min_size=1, max_size=3)
    )
    images = [
        noise(*shape, seed=data.draw(st.integers(0, 99)), levels=model.levels) for shape in shapes
    ]
    path = tmp_path_factory.mktemp("zx") / "images.zx"
    precision = data.draw(st.sampled_from(["double", "single"]))
    report = compress(
        model,
        InMemoryImages(images),
        path,
        tiles=data.draw(st.integers(1, 20)),
        precision=precision,
        check=True,
    )
    back = list(decompress(path, model))
    assert [name for name, _ in back] == [f"folder/{i}.png" for i in range(len(images))]
    assert all(torch.equal(x, y) for x, (_, y) in zip(images, back, strict=True))
    assert report.size == path.stat().st_size
    assert report.numbers == sum(x.numel() for x in images)
    assert sum(report.chains) == sum(tile_count(tuple(x.shape), model.spec.shape) for x in images)


@pytest.mark.parametrize(
    ("levels", "sharpness"), [(2, 0.0), (2, 6.0), (4, 2.0), (256, 0.0), (256, 4.0)]
)
def test_a_range_code_is_as_long_as_the_images_are_unlikely(levels: int, sharpness: float) -> None:
    model = chain((1, 6, 6), levels, sharpness=sharpness)
    x = torch.zeros(40, 36, dtype=torch.int64)
    generator = torch.Generator().manual_seed(3)
    distributions, before = model.logits.softmax(1), torch.full((40,), levels)
    for i in range(36):
        before = x[:, i] = torch.multinomial(
            distributions[before].detach(), 1, generator=generator
        )[:, 0]
    images = to_pixels(x.view(40, 1, 6, 6), levels)
    nats = -model.conditionals(images).gather(4, x.view(40, 1, 6, 6, 1)).sum().item()
    with reproducible():
        coder = RangeCoder(model, "double")
        coded = coder.encode(images, coder.lanes_for(40), lambda more: None)
    assert coded.nats == pytest.approx(nats, rel=1e-5)
    assert abs(8 * len(coded.payload) - nats / math.log(2)) < 0.01 * nats / math.log(2) + 64


@pytest.fixture(scope="module")
def trained() -> tuple[VAE, Tensor]:
    """A VAE trained on bars in noise, and images of their kind."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(4000, 1, 8, 8, generator=generator) < 0.05
    rows, columns = torch.randint(6, (2, 4000), generator=generator)
    for i in range(4000):
        x[i, 0, rows[i] : rows[i] + 2] = True
        x[i, 0, :, columns[i] : columns[i] + 2] = True
    data = Dataset(Spec("bars", (1, 8, 8)), 255 * x.byte())
    torch.manual_seed(0)
    model = VAE(VAEConfig(architecture="dense", hidden_dim=64, latent_dim=6, lr=4e-3), data.spec)
    result = fit(model, data, training=tiny.training(images=10_000, batch=100), quiet=True)
    assert isinstance(result.model, VAE)
    return result.model.eval(), 255 * x[:200].byte()


class Remembering:
    """Makes stacks and keeps them."""

    def __init__(self) -> None:
        self.stacks: list = []

    def AnsCoder(self, words: np.ndarray) -> object:
        self.stacks.append(constriction.stack.AnsCoder(words))
        return self.stacks[-1]


def test_bits_back_costs_the_bound_and_leaves_the_initial_bits_as_they_were(
    trained: tuple[VAE, Tensor],
) -> None:
    model, x = trained
    bound = (
        -sum(
            model.elbo(x, generator=torch.Generator().manual_seed(i)).nats.sum().item()
            for i in range(20)
        )
        / 20
        / math.log(2)
    )
    with reproducible():
        coder = BitsBack(model, "double")
        coder.stack = Remembering()
        for lanes in (1, 4):
            coded = coder.encode(x, lanes, lambda more: None)
            net = 8 * len(coded.payload) - coded.initial
            assert net == pytest.approx(bound, rel=0.02)
            assert 0 < coded.initial <= 24 * lanes * 6 + 64 + 8 * 32
            assert torch.equal(coder.decode(coded, len(x), lambda more: None), x)
            assert np.array_equal(coder.stack.stacks[-1].get_compressed(), coder.initial(lanes))


def test_initial_bits_weigh_less_in_longer_chains(trained: tuple[VAE, Tensor]) -> None:
    model, x = trained
    with reproducible():
        coder = BitsBack(model, "double")
        rates = [
            8 * len(coder.encode(x[:n], 1, lambda more: None).payload) / n for n in (1, 10, 100)
        ]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 1.5 * rates[-1]


def test_bins_have_equal_prior_mass_and_cost_what_continuous_codes_do(
    trained: tuple[VAE, Tensor],
) -> None:
    model, x = trained
    coder = BitsBack(model, "double")
    masses = torch.special.ndtr(coder.edges).diff()
    assert torch.allclose(masses, torch.full_like(masses, 1 / len(masses)), rtol=1e-9)
    assert ((coder.edges[:-1] < coder.centers) & (coder.centers < coder.edges[1:])).all()
    assert torch.allclose(coder.centers, -coder.centers.flip(0), atol=1e-12)
    # What a code costs beyond the prior, summed over all bins, against the divergence of the two
    # Gaussians.
    with reproducible():
        distribution = torch.from_numpy(coder.posterior(x[:50])).double().add(1) / 2**PRECISION
        mean, log_std = coder.model.posterior(x[:50])
    discrete = (distribution * (distribution.log() + math.log(len(masses)))).sum().item()
    continuous = (0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std).sum().item()
    assert discrete == pytest.approx(continuous, rel=0.005)
    assert (distribution @ coder.centers - mean.flatten()).abs().mean() < 0.005


@pytest.mark.parametrize("name", tiny.NAMES)
def test_every_model_with_the_capability_is_a_codec(name: str) -> None:
    kind = models()[name]
    if not has(kind, CanAutoregress) and not has(kind, CanBitsBack):
        pytest.skip("tells no distributions to code with")
    if name == "char-rnn":
        pytest.skip("knows text")
    changes = {"posterior": "diagonal"} if name == "iaf-vae" else {}
    model = kind(kind.Config(**tiny.config(name), **changes), Spec("toy", (1, 8, 8))).eval()
    x = noise(3, 1, 8, 8, levels=model.levels)
    for precision in ("double", "single"):
        with reproducible():
            coder = coder_for(model, precision)
            coded = coder.encode(x, 2, lambda more: None)
            assert torch.equal(coder.decode(coded, 3, lambda more: None), x)
        if isinstance(model, CanLogProb) and coder.kind == "range":
            assert coded.nats == pytest.approx(-model.log_prob(x).nats.sum().item(), rel=1e-4)


def test_the_posterior_of_a_flow_and_other_models_are_refused() -> None:
    flow = IAFVAE(
        IAFConfig(channels=(4,), hidden_dim=8, latent_dim=2, width=4), Spec("toy", (1, 8, 8))
    ).eval()
    with pytest.raises(MissingCapability, match="--model.posterior diagonal"):
        coder_for(flow, "double")
    with pytest.raises(MissingCapability, match="cannot compress; models that can: .*vae"):
        coder_for(tiny.model("dcgan").eval(), "double")
    knowing = PixelCNN(
        PixelCNNConfig(architecture="gated", channels=4, layers=1, conditional=True),
        Spec("toy", (1, 5, 5), 10),
    ).eval()
    with pytest.raises(UsageError, match="conditional"):
        coder_for(knowing, "double")
    with pytest.raises(UsageError, match="no gray or RGB images"):
        coder_for(chain((2, 4, 4)), "double")


def test_pixels_a_model_does_not_know_are_refused(tmp_path: Path) -> None:
    for model, sentence in ((vae(), "add --binarize"), (chain(levels=4), "4 levels of brightness")):
        with pytest.raises(UsageError, match=sentence):
            compress(model, InMemoryImages([noise(1, 4, 4)]), tmp_path / "x.zx")
    assert not list(tmp_path.iterdir())


def test_drawn_digits_are_those_that_likelihoods_are_measured_on() -> None:
    x = noise(20, 1, 4, 4)
    rows = DatasetImages(Dataset(Spec("toy", (1, 4, 4)), x), "toy-", seed=5)
    assert torch.equal(
        torch.stack([rows.read(i) for i in range(20)]), binarized(x, torch.arange(20), 5)
    )
    assert rows.name(3) == "toy-03.png"


def test_settings_of_torch_are_given_back() -> None:
    before = (
        torch.get_num_threads(),
        torch.backends.mkldnn.matmul.fp32_precision,
        torch.is_grad_enabled(),
    )
    with pytest.raises(ValueError, match="x"), reproducible():
        raise ValueError(f"x {torch.get_num_threads() == 1} {torch.is_grad_enabled()}")
    with reproducible():
        assert torch.get_num_threads() == 1
        assert not torch.is_grad_enabled()
    assert before == (
        torch.get_num_threads(),
        torch.backends.mkldnn.matmul.fp32_precision,
        torch.is_grad_enabled(),
    )


THREADS = """
import hashlib, torch
from zeuxis.compression.entropy_coding import reproducible, prepare
from zeuxis.compression.codec import coder_for
from zeuxis.autoregressive.pixelcnn import PixelCNN, PixelCNNConfig
from zeuxis.data.dataset import Spec
from zeuxis.vae.vae import VAE, VAEConfig
torch.manual_seed(0)
spec = Spec("toy", (1, 28, 28))
small = VAEConfig(architecture="dense", hidden_dim=300, latent_dim=24)
models = [VAE(small, spec)]
models += [PixelCNN(PixelCNNConfig(channels=16, layers=1), Spec("toy", (1, 8, 8)))]
free = models[0].double().decoder(torch.randn(8, 24, dtype=torch.float64)).detach()
print(torch.get_num_threads(), hashlib.sha1(free.numpy().tobytes()).hexdigest())
models[0].float()
for model in models:
    x = 255 * (torch.rand(8, *model.spec.shape) < 0.3).byte()
    for precision in ("double", "single"):
        with reproducible():
            coded = coder_for(model.eval(), precision).encode(x, 8, lambda more: None)
            print(hashlib.sha1(coded.payload).hexdigest())
"""


@pytest.mark.slow
def test_one_thread_and_two_write_the_same_bits() -> None:
    said = [
        subprocess.run(
            [sys.executable, "-c", THREADS],
            env=os.environ | {"OMP_NUM_THREADS": n, "MKL_NUM_THREADS": n},
            capture_output=True,
            text=True,
        )
        for n in "12"
    ]
    assert all(done.returncode == 0 for done in said), said[0].stderr + said[1].stderr
    one, two = (done.stdout.splitlines() for done in said)
    assert (one[0][0], two[0][0]) == ("1", "2")
    assert len(one) == 5
    assert one[1:] == two[1:]


def test_the_coding_copy_forgets_the_layout_of_training() -> None:
    model = tiny.model("vae")
    model.to_channels_last()

    def strides(m):
        return {
            p.stride()
            for p in m.parameters()
            if p.ndim == 4 and p.shape[1] > 1 and p[0, 0].numel() > 1
        }

    assert any(s[1] == 1 for s in strides(model))
    assert not any(s[1] == 1 for s in strides(prepare(model, "double")))
