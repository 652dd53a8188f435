"""DRAW: filters by loops and by hand, its bound by quadrature, and windows that move."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tiny
from zeuxis.capabilities import (
    CanDecode,
    CanEncode,
    CanPropose,
    HasELBO,
    HasPixelLikelihood,
    HasSteps,
)
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.errors import UsageError
from zeuxis.model import Batch
from zeuxis.noise import Noise
from zeuxis.training.loop import fit
from zeuxis.vae import draw_attention as attention
from zeuxis.vae.draw import DRAW, DRAWConfig
from zeuxis.vae.draw_state import moments


def small(shape: tuple[int, ...] = (1, 8, 8), **changes: object) -> DRAW:
    """A model of a few units in float64, whose windows and canvas are not those of the start."""
    torch.manual_seed(0)
    config = {"glimpses": 3, "hidden_dim": 6, "latent_dim": 2, "read": 3, "write": 3, **changes}
    model = DRAW(DRAWConfig(**config), Spec("tiny", shape)).double().eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for p in (
            model.heads.weight,
            model.heads.bias,
            model.to_posterior.weight,
            model.first_canvas,
        ):
            p.add_(0.3 * torch.randn_like(p))
        model.to_posterior.bias.add_(0.7 * torch.randn_like(model.to_posterior.bias))
    return model


def digits(n: int, shape: tuple[int, ...] = (1, 8, 8), seed: int = 1) -> Tensor:
    """Random binary images."""
    generator = torch.Generator().manual_seed(seed)
    return 255 * torch.randint(0, 2, (n, *shape), dtype=torch.uint8, generator=generator)


def numbers(n: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.5 * torch.randn(n, 5, generator=generator, dtype=torch.float64)


def test_it_has_the_capabilities_of_a_vae_but_no_posterior_of_independent_gaussians() -> None:
    model = small()
    for capability in (HasELBO, CanEncode, CanDecode, HasPixelLikelihood, HasSteps):
        assert model.can(capability)
    assert not model.can(CanPropose)


# Filters


@pytest.mark.parametrize(("grid", "height", "width"), [(2, 8, 8), (3, 7, 7), (4, 5, 9)])
def test_filters_are_the_papers_formula(grid: int, height: int, width: int) -> None:
    """Equations 19 to 26 by loops, pixels and filters counted from 1."""
    five = numbers()
    window = attention.filters(five, grid, height, width)
    for n, (x, y, log_variance, log_stride, log_gamma) in enumerate(five.tolist()):
        stride = (max(height, width) - 1) / (grid - 1) * math.exp(log_stride)
        for bank, center, size in (
            (window.x, (width + 1) / 2 * (x + 1), width),
            (window.y, (height + 1) / 2 * (y + 1), height),
        ):
            for i in range(1, grid + 1):
                mean = center + (i - grid / 2 - 0.5) * stride
                row = [
                    math.exp(-((a - mean) ** 2) / (2 * math.exp(log_variance)))
                    for a in range(1, size + 1)
                ]
                expected = torch.tensor(row, dtype=torch.float64) / sum(row)
                torch.testing.assert_close(bank[n, i - 1], expected)
        assert window.gamma[n].item() == pytest.approx(math.exp(log_gamma))
    for bank in (window.x, window.y):
        torch.testing.assert_close(bank.sum(2), torch.ones_like(bank[:, :, 0]))


def test_zeros_are_a_grid_over_the_whole_image_that_is_symmetric() -> None:
    window = attention.filters(torch.zeros(1, 5), 5, 28, 28)
    assert window.center.flatten().tolist() == [14.5, 14.5]
    assert window.stride.item() == 27 / 4
    torch.testing.assert_close(window.x.flip(1, 2), window.x)
    odd = attention.filters(torch.zeros(1, 5), 3, 7, 7)
    assert odd.x[0, 1].argmax().item() == 3 and odd.center[0].item() == 4


def test_sharp_filters_one_pixel_from_each_other_read_the_image_itself() -> None:
    x = torch.rand(2, 6, 3, 6)
    sharp = torch.tensor([0, 0, -10, 0, 0.0]).expand(2, 5)
    window = attention.filters(sharp, 6, 6, 6)
    torch.testing.assert_close(attention.read(x, window), x)
    torch.testing.assert_close(attention.write(x, window), x)


def test_one_sharp_number_of_a_patch_lands_on_one_pixel() -> None:
    """And a center of (gX, gY) is a column and a row."""
    patch = torch.zeros(1, 3, 1, 3)
    patch[0, 0, 0, 2] = 1.0
    # A grid of stride 2 around column 5 and row 4, so the filters are at columns 3, 5, 7.
    five = torch.tensor([[5 / 5 - 1, 4 / 5 - 1, -10, math.log(2 / 4), math.log(2)]])
    written = attention.write(patch, attention.filters(five, 3, 9, 9))
    assert written.argmax().item() == 1 * 9 + 6  # row 2 and column 7, counted from 1
    assert written.sum().item() == pytest.approx(0.5) == written.max().item()


def test_reading_and_writing_are_adjoint_but_for_the_intensity() -> None:
    """<write(w), x> = <w, read(x)> / gamma^2."""
    window = attention.filters(numbers(), 3, 5, 9)
    x, patch = torch.randn(4, 5, 2, 9).double(), torch.randn(4, 3, 2, 3).double()
    there = (attention.write(patch, window) * x).sum([1, 2, 3])
    back = (patch * attention.read(x, window)).sum([1, 2, 3])
    torch.testing.assert_close(there, back / window.gamma.flatten().square())


def test_gradients_of_all_five_numbers_are_those_of_finite_differences() -> None:
    five, x = numbers().requires_grad_(), torch.randn(4, 5, 2, 9).double()
    patch = torch.randn(4, 3, 2, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda t: attention.read(x, attention.filters(t, 3, 5, 9)), five
    )
    assert torch.autograd.gradcheck(
        lambda t, w: attention.write(w, attention.filters(t, 3, 5, 9)), (five, patch)
    )


@pytest.mark.parametrize("value", [1e3, -1e3, 1e6, -1e6])
@pytest.mark.parametrize("place", range(5))
def test_windows_far_outside_and_of_any_scale_are_finite(place: int, value: float) -> None:
    five = torch.zeros(1, 5)
    five[0, place] = value
    five.requires_grad_()
    window = attention.filters(five, 3, 8, 8)
    seen = attention.read(torch.rand(1, 8, 1, 8), window)
    painted = attention.write(torch.rand(1, 3, 1, 3), window)
    (seen.sum() + painted.sum()).backward()
    for tensor in (window.x, window.y, seen, painted, five.grad):
        assert tensor is not None and tensor.isfinite().all()
    assert torch.allclose(window.x.sum(2), torch.ones(1, 3))


@pytest.mark.parametrize("flag", ["read", "write"])
def test_a_grid_of_one_filter_is_refused(flag: str) -> None:
    with pytest.raises(UsageError, match=f"--model.{flag} is 1"):
        DRAW(DRAWConfig(**{flag: 1}), Spec("tiny", (1, 8, 8)))  # type: ignore[arg-type]


def test_examples_that_are_no_images_are_refused() -> None:
    with pytest.raises(UsageError, match="DRAW makes images"):
        DRAW(DRAWConfig(), Spec("points", (2,)))


# The bound


@pytest.mark.parametrize("learned", [False, True])
def test_the_bound_is_likelihood_minus_divergence_of_each_step(learned: bool) -> None:
    """Against torch.distributions, step by step, in the order of the paper's equations."""
    model, x = small(learned_prior=learned), digits(4)
    elbo = model.elbo(x, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).double()
    image = (x / 255).double().transpose(1, 2)
    state, encoder = model.start(4), model.encoder.start(4)
    rates = []
    for t, eps in enumerate(noise.split(2, 1)):
        window = attention.filters(state.outputs.read, 3, 8, 8)
        error = image - state.canvas.sigmoid()
        seen = attention.read(torch.cat([image, error], 2), window).flatten(1)
        encoder = model.encoder(torch.cat([seen, state.decoder.h], 1), encoder)
        mean, log_std = model.to_posterior(encoder.h).chunk(2, 1)
        q = torch.distributions.Normal(mean, log_std.exp())
        p = torch.distributions.Normal(torch.zeros(4, 2).double(), torch.ones(4, 2).double())
        if learned:
            given = model.heads(state.decoder.h)[:, 5:9]
            p = torch.distributions.Normal(given[:, :2], given[:, 2:].exp())
        rates.append(torch.distributions.kl_divergence(q, p).sum(1))
        assert (rates[-1] >= 0).all()
        state, _ = model.stroke(mean + log_std.exp() * eps, state)
        assert t == 0 or not torch.equal(eps, noise[:, :2])
    log_p = torch.distributions.Bernoulli(logits=state.canvas).log_prob(image)
    torch.testing.assert_close(elbo.rate, torch.stack(rates, 1))
    torch.testing.assert_close(elbo.distortion, -log_p.sum([1, 2, 3]))


def test_every_step_has_its_own_noise() -> None:
    model = small(glimpses=4)
    seen = list(model.glimpses(torch.zeros(2, 8, 1, 8).double(), model.prior(2)))
    drawn = model.by_step(model.prior(2, seed=3))
    assert not torch.equal(drawn[:, 0], drawn[:, 1]) and len(seen) == 4
    x = torch.zeros(1, 8, 1, 8).double()
    eps = model.prior(1).requires_grad_()
    last = list(model.glimpses(x, eps))[-1].canvas.square().sum()
    (slope,) = torch.autograd.grad(last, eps)
    assert (slope != 0).all(), "a step's noise does not count"


@pytest.mark.parametrize(("learned", "steps"), [(False, 1), (True, 1), (False, 3)])
def test_the_expected_rates_are_the_means_of_the_sampled_ones(learned: bool, steps: int) -> None:
    """That of the first step is the same for all paths, later ones are given the path so far."""
    model = small(learned_prior=learned, glimpses=steps)
    x, eps = model.observed(digits(1)), model.prior(20_000, seed=0)[None]
    with torch.no_grad():
        exact, sampled = (model.terms(x, eps, expected=e)[1][0] for e in (True, False))
    assert exact[:, 0].std() < 1e-12 < sampled[:, 0].std()
    error = ((exact.var(0) + sampled.var(0)) / 20_000).sqrt()
    assert ((exact.mean(0) - sampled.mean(0)).abs() < 4 * error).all()
    assert (error < 0.03 * exact.mean(0)).all()


def log_evidence(model: DRAW, x: Tensor, nodes: int = 40) -> Tensor:
    """log p(x) of a model with two steps of one latent, by Gauss-Hermite quadrature."""
    at, weight = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(nodes))
    z = torch.cartesian_prod(at, at)
    log_w = (weight / math.sqrt(2 * math.pi)).log()
    log_w = torch.cartesian_prod(log_w, log_w).sum(1)
    with torch.no_grad():
        canvas = model.last_canvas(z)
        rows = model.observed(x).transpose(1, 2)[:, None]
        log_p = model.log_likelihood(rows, canvas[None]).sum([2, 3, 4])
    return torch.logsumexp(log_p + log_w, 1)


@pytest.mark.parametrize("learned", [False, True])
def test_bounds_rise_to_the_evidence(learned: bool) -> None:
    model = small(
        (1, 2, 2), glimpses=2, latent_dim=1, read=2, write=2, hidden_dim=4, learned_prior=learned
    )
    with torch.no_grad():  # a posterior wider than the true one keeps the weights small
        model.to_posterior.bias.copy_(torch.tensor([0.2, 0.1]))
    bits = torch.cartesian_prod(*[torch.tensor([0, 255])] * 4).byte().view(16, 1, 2, 2)
    exact = log_evidence(model, bits)
    assert exact.exp().sum().item() == pytest.approx(1, abs=1e-6), "all images together"
    weights = model.log_weights(bits, 4_000, generator=torch.Generator().manual_seed(0))

    def iwae(k: int) -> float:
        return (weights.unflatten(1, (-1, k)).logsumexp(2) - math.log(k)).mean().item()

    bounds = [iwae(k) for k in (1, 5, 50, 4_000)]
    assert bounds == sorted(bounds)
    assert bounds[-1] == pytest.approx(exact.mean().item(), abs=0.02)
    many = bits.repeat(1_000, 1, 1, 1)
    elbo = model.elbo(many, generator=torch.Generator().manual_seed(1)).nats.view(1_000, 16)
    error = (elbo.var(0) / 1_000 + weights.var(1) / 4_000).sqrt()
    assert (elbo.mean(0) <= exact + 4 * error).all()
    assert ((elbo.mean(0) - weights.mean(1)).abs() < 4 * error).all()


def test_one_step_without_attention_is_a_vae_with_lstm_cells() -> None:
    """The same loss as a VAE of torch's cells with the same weights."""
    torch.manual_seed(0)
    config = DRAWConfig(glimpses=1, hidden_dim=7, latent_dim=3, read=0, write=0)
    model = DRAW(config, Spec("tiny", (1, 6, 6)))
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    encoder, decoder = nn.LSTMCell(72 + 7, 7), nn.LSTMCell(3, 7)
    for cell, own in ((encoder, model.encoder), (decoder, model.decoder)):
        with torch.no_grad():
            cell.weight_ih.copy_(own.gates.weight[:, :-7])
            cell.weight_hh.copy_(own.gates.weight[:, -7:])
            cell.bias_ih.copy_(own.gates.bias)
            cell.bias_hh.zero_()
    x, eps = torch.rand(5, 1, 6, 6).round(), torch.randn(5, 3)

    def first(own: nn.Module) -> tuple[Tensor, Tensor]:
        h, c = own.first[:, None].expand(-1, 5, -1)
        return h, c

    start = model.first_canvas.transpose(0, 1).expand(5, -1, -1, -1)
    h_dec = first(model.decoder)[0]
    seen = torch.stack([x, x - start.sigmoid()], 3).flatten(1)
    h, _ = encoder(torch.cat([seen, h_dec], 1), first(model.encoder))
    mean, log_std = model.to_posterior(h).chunk(2, 1)
    h, _ = decoder(mean + log_std.exp() * eps, first(model.decoder))
    logits = start + model.heads(h).view(5, 1, 6, 6)
    distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum([1, 2, 3])
    rate = 0.5 * (mean.square() + (2 * log_std).exp() - 2 * log_std - 1).sum(1)
    found = model.terms(x, eps[:, None], expected=True)
    torch.testing.assert_close(found[0][:, 0], distortion, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(found[1][:, 0, 0], rate, rtol=1e-6, atol=1e-5)


# Generation


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("grids", [(3, 3), (0, 0), (0, 3)])
def test_the_decoder_alone_paints_what_it_painted_in_training(
    grids: tuple[int, int], learned: bool
) -> None:
    model = small(read=grids[0], write=grids[1], learned_prior=learned)
    x, eps = model.observed(digits(3)).transpose(1, 2), model.prior(3, seed=0)
    found = list(model.glimpses(x, eps))
    latents = []
    for glimpse, e in zip(found, model.by_step(eps).unbind(1), strict=True):
        mean, log_std = moments(glimpse.posterior)
        prior = moments(glimpse.prior)
        latents.append((mean + log_std.exp() * e - prior[0]) * (-prior[1]).exp())
    for glimpse, (canvas, _) in zip(found, model.strokes(torch.cat(latents, 1)), strict=True):
        torch.testing.assert_close(canvas, glimpse.canvas)


def test_encoding_takes_each_posterior_at_its_center() -> None:
    model, x = small(learned_prior=True), digits(3)
    found = model.look_closely(model.unit(x))
    torch.testing.assert_close(model.last_canvas(model.encode(x)), found[-1].canvas)
    assert torch.allclose(model.encode(x[:1]), model.encode(x)[:1])


def test_the_last_canvas_is_the_sample_and_the_reconstruction() -> None:
    model, x = small(), digits(3)
    assert torch.equal(model.sample_steps(3, seed=4).canvases[:, -1], model.sample(3, seed=4))
    found = model.reconstruct_steps(x)
    assert torch.equal(found.canvases[:, -1], model.decode(model.encode(x)))
    assert found.canvases.shape == (3, 3, 1, 8, 8) and set(found.windows) == {"read", "write"}
    assert set(model.sample_steps(2).windows) == {"write"}
    assert not small(read=0, write=0).reconstruct_steps(x).windows


def test_a_window_is_outlined_through_the_centers_of_its_outer_filters() -> None:
    """A grid over all of 28 pixels goes from the middle of the first to the middle of the last."""
    filters = attention.filters(torch.zeros(2, 5), 5, 28, 28)
    window = attention.outline([filters] * 3)
    assert window.box.shape == (2, 3, 4) and window.blur.shape == (2, 3)
    assert window.box[0, 0].tolist() == [0.5, 0.5, 27.5, 27.5] and window.blur[0, 0] == 1


def test_gradients_reach_latents_through_all_steps() -> None:
    model = small()
    z = model.prior(2).requires_grad_()
    model.render(z).sum().backward()
    assert z.grad is not None and (z.grad != 0).all()
    x = 255 * torch.rand(2, 1, 8, 8).double()
    log_p = model.pixel_log_prob(x, z)
    mean = model.render(z) / 255
    expected = (x / 255) * mean.log() + (1 - x / 255) * (1 - mean).log()
    torch.testing.assert_close(log_p, expected)
    torch.testing.assert_close(model.pixel_variance(255 * mean, z), 255**2 * mean * (1 - mean))


# Likelihoods, precision, training


def batch(x: Tensor) -> Batch:
    return Batch(x, None, Noise(0, 0, slice(0, len(x)), len(x)))


def test_gray_pixels_are_drawn_and_those_of_a_static_set_are_not() -> None:
    model, gray = small(), torch.full((400, 1, 8, 8), 64, dtype=torch.uint8)
    drawn = model.observed(gray, batch(gray).noise)
    assert set(drawn.unique().tolist()) == {0, 1}
    assert drawn.mean().item() == pytest.approx(64 / 255, abs=0.01)
    x = digits(9)
    assert torch.equal(model.observed(x, batch(x).noise), x.double() / 255)
    with pytest.raises(UsageError, match="binarize them first"):
        model.elbo(gray)


def test_color_has_the_cross_entropy_of_its_values() -> None:
    model = small((3, 8, 8))
    assert model.levels == 256
    x = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    z = model.prior(1, seed=0)
    canvas = model.last_canvas(z)
    value = model.log_likelihood(model.observed(x).transpose(1, 2), canvas).transpose(1, 2)
    logits = canvas.transpose(1, 2).expand(2, -1, -1, -1)
    torch.testing.assert_close(
        -value, F.binary_cross_entropy_with_logits(logits, x / 255.0, reduction="none").double()
    )


def test_masses_of_the_logistic_add_up() -> None:
    model = small((3, 2, 2), likelihood="logistic", read=2, write=2)
    levels = torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)
    canvas = model.last_canvas(model.prior(1, seed=0))
    masses = model.log_likelihood(model.observed(levels).transpose(1, 2), canvas).exp().sum(0)
    torch.testing.assert_close(masses, torch.ones_like(masses))
    z = model.prior(1, seed=0)
    variance = model.pixel_variance(model.render(z), z)
    torch.testing.assert_close(
        variance.sqrt() / 256, math.exp(-2) * math.pi / 3**0.5 + 0 * variance
    )


def test_windows_and_canvas_stay_in_float32_under_autocast() -> None:
    model = small().float()
    x = digits(4)
    exact = model.elbo(x, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        glimpses = model.look_closely(model.unit(x))
        rough = model.elbo(x, generator=torch.Generator().manual_seed(0))
    for glimpse in glimpses:
        assert glimpse.read is not None and glimpse.written is not None
        kinds = {t.dtype for t in (*glimpse.read, *glimpse.written, glimpse.canvas, glimpse.h)}
        assert kinds == {torch.float32}
    assert rough.nats.dtype == torch.float32
    torch.testing.assert_close(rough.nats, exact.nats, rtol=0.01, atol=0.3)
    products = {model.encoder.gates(torch.ones(1, 6 + 18 + 6)).dtype}
    with torch.autocast("cpu", torch.bfloat16):
        products.add(model.encoder.gates(torch.ones(1, 6 + 18 + 6)).dtype)
    assert products == {torch.float32, torch.bfloat16}, "products take the precision of autocast"


def squares(n: int = 256) -> Dataset:
    """White squares of 4 pixels anywhere on 12 x 12."""
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(n, 1, 12, 12, dtype=torch.uint8)
    for image, (i, j) in zip(x, torch.randint(0, 9, (n, 2), generator=generator), strict=True):
        image[0, i : i + 4, j : j + 4] = 255
    return Dataset(Spec("squares", (1, 12, 12)), x)


@pytest.mark.slow
def test_it_learns_to_move_its_windows() -> None:
    """In a short training the bound becomes far better, and windows follow the square."""
    data = squares()
    torch.manual_seed(0)
    config = DRAWConfig(glimpses=4, hidden_dim=32, latent_dim=4, read=3, write=4, lr=5e-3)
    model = DRAW(config, data.spec)
    training = tiny.training(images=20_000, batch=64, average=500, clip=10.0, schedule="linear")
    model = fit(model, data, training=training, quiet=True).model
    assert isinstance(model, DRAW)
    x = data.all()
    elbo = model.elbo(x, generator=torch.Generator().manual_seed(0))
    assert elbo.nats.mean() > -30, "-47 is the mean image alone, -99.8 the start"
    assert elbo.rate.mean(0).min() > 0.1, "a step's latent is ignored"
    written = model.reconstruct_steps(x).windows["write"].box  # (n, steps, 4)
    assert written.std(0).max() > 1, "windows are the same for all images"
    where = x[:, 0].float().flatten(1).argmax(1)
    center = torch.stack([where % 12, where // 12], 1) + 2.0
    middle = (written[..., :2] + written[..., 2:]) / 2  # (n, steps, 2)
    found = torch.corrcoef(torch.cat([center, middle.flatten(1)], 1).T)[:2, 2:].abs()
    assert (found.max(1).values > 0.7).all()
