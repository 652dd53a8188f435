"""Flow matching against a Gaussian, whose velocity field is known in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import tiny
from zeuxis.data.dataset import Spec
from zeuxis.errors import UsageError
from zeuxis.flow.flow_matching import FlowMatching, FlowMatchingConfig, to_pixels, to_range
from zeuxis.flow.ode import integrate, uniform_grid
from zeuxis.model import Batch
from zeuxis.nn.unet import time_features
from zeuxis.noise import Noise

SPEC = Spec("gaussian", (1, 4, 4), 3)
MEAN, STD = 0.2, 0.25


class Gaussian(FlowMatching):
    """The exact field of images with independent pixels from N(MEAN, STD^2)."""

    def velocity(self, x: Tensor, t: float | Tensor, y: Tensor | None = None) -> Tensor:
        t = torch.as_tensor(t, dtype=x.dtype).reshape(-1, 1, 1, 1)
        variance = t**2 * STD**2 + (1 - t) ** 2
        return MEAN + (t * STD**2 - (1 - t)) / variance * (x - t * MEAN)


def gaussian(**changes: object) -> Gaussian:
    config = FlowMatchingConfig(channels=(4,), blocks=1, patch=1, **changes)
    return Gaussian(config, SPEC).eval()


def flow(**changes: object) -> FlowMatching:
    model = tiny.model("flow-matching", **changes)
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():  # a field that starts near zero would hide what it depends on
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
def test_the_error_of_a_solver_falls_with_its_order(solver: str, order: int) -> None:
    def error(steps: int) -> float:
        x, grid = torch.ones(1, dtype=torch.float64), uniform_grid(0.0, 1.0, steps)
        return abs(integrate(lambda x, t: t * x, x, grid, solver).item() - math.exp(0.5))

    assert math.log2(error(200) / error(400)) == pytest.approx(order, abs=0.1)


def test_heun_takes_two_evaluations_a_step_but_one_at_the_end() -> None:
    times: list[float] = []

    def field(x: Tensor, t: float) -> Tensor:
        times.append(t)
        return x

    integrate(field, torch.ones(1), uniform_grid(0.0, 1.0, 5), "heun")
    assert len(times) == 9 and max(times) == 0.8


def test_the_exact_field_gives_the_gaussian() -> None:
    model = gaussian(steps=50)
    x = to_range(model.sample(4_000, generator=torch.Generator().manual_seed(0)))
    assert x.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert x.std().item() == pytest.approx(STD, abs=0.01)


def test_log_density_is_the_gaussians() -> None:
    generator = torch.Generator().manual_seed(1)
    x = MEAN + STD * torch.randn(20, *SPEC.shape, generator=generator)
    signs = torch.randint(2, (20, 2, *SPEC.shape), generator=generator) * 2.0 - 1
    exact = torch.distributions.Normal(MEAN, STD).log_prob(x).flatten(1).sum(1)
    estimates = gaussian().log_density(x, signs, steps=64)
    torch.testing.assert_close(estimates, exact[:, None].expand(-1, 2), atol=0.05, rtol=0)


def test_bits_are_those_of_dequantized_pixels() -> None:
    model = gaussian()
    x = model.sample(400, generator=torch.Generator().manual_seed(2))
    edges = torch.arange(257) / 128 - 1
    masses = torch.distributions.Normal(MEAN, STD).cdf(edges).diff().log()
    exact = masses[x.long()].flatten(1).sum(1)
    inside = ((x > 0) & (x < 255)).flatten(1).all(1)  # the first and last bin are open in x
    bound = model.log_prob(x[inside], steps=64).nats
    assert (bound - exact[inside]).mean().item() == pytest.approx(0.0, abs=0.05)


def test_probes_give_a_standard_error_that_falls() -> None:
    model = flow()
    x = tiny.images(4).x
    few, many = (model.log_prob(x, steps=2, probes=k) for k in (2, 64))
    assert few.error is not None and many.error is not None and not few.exact
    assert many.error.mean() < few.error.mean()
    single = model.log_prob(x, steps=2)
    assert single.error is None
    assert ((single.nats - many.nats).abs() < 40 * many.error + 1e-3).all()


def test_a_likelihood_is_a_function_of_the_image_alone() -> None:
    model, x = flow(), tiny.images(70).x
    together = model.log_prob(x, steps=1).nats
    torch.testing.assert_close(model.log_prob(x[66:], steps=1).nats, together[66:])


def test_encoding_and_decoding_are_inverse() -> None:
    model = gaussian(steps=64)
    x = model.sample(8, generator=torch.Generator().manual_seed(3))
    z = model.encode(x)
    assert z.std().item() == pytest.approx(1.0, abs=0.15)
    assert (model.decode(z).float() - x.float()).abs().max() <= 2


def test_the_loss_of_the_exact_field_is_the_variance_that_is_left() -> None:
    r"""$E\lVert v - (x_1 - x_0) \rVert^2$ at the exact field is the variance of the velocity given
    the point, here at uniform times."""
    model = gaussian(times="uniform")
    n = 20_000
    noise = Noise(0, 0, slice(0, n), n)
    generator = torch.Generator().manual_seed(5)
    pixels = to_pixels(MEAN + STD * torch.randn(n, *SPEC.shape, generator=generator))
    model.net.forward = lambda x, t, y=None: model.velocity(x, t)
    ((_, loss),) = list(model.play(Batch(pixels, None, noise)))
    t = torch.linspace(0, 1, 1001)
    left = STD**2 / (t**2 * STD**2 + (1 - t) ** 2)
    assert loss.item() == pytest.approx(left.mean().item(), rel=0.02)


def test_optimal_pairs_are_a_permutation_and_nearer() -> None:
    model = flow(coupling="optimal")
    generator = torch.Generator().manual_seed(4)
    x0, x1 = torch.randn(2, 32, 1, 28, 28, generator=generator)
    paired = model.paired(x0, x1)
    assert sorted(paired[:, 0, 0, 0].tolist()) == sorted(x0[:, 0, 0, 0].tolist())
    assert (paired - x1).square().sum() < (x0 - x1).square().sum()
    assert flow().paired(x0, x1) is x0


def test_mirrored_training_sees_both_sides_alike() -> None:
    """The left half is white; with mirroring it is the right half of every other image."""
    x = torch.zeros(512, 1, 28, 28, dtype=torch.uint8)
    x[..., :14] = 255
    config = FlowMatchingConfig(channels=(8, 8), blocks=1, mirror=True)
    model = FlowMatching(config, Spec("tiny", (1, 28, 28)))
    seen = []

    def record(x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        seen.append(x)
        return torch.zeros_like(x)

    model.net.forward = record
    list(model.play(Batch(x, None, Noise(0, 0, slice(0, 512), 512))))
    left = (seen[0][..., :14].mean((1, 2, 3)) > seen[0][..., 14:].mean((1, 2, 3))).double()
    assert left.mean().item() == pytest.approx(0.5, abs=0.1)


def test_guidance_extrapolates_from_no_class_to_the_class() -> None:
    x = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(7))
    y = torch.tensor([0, 4, 9])
    free, plain, strong = (
        model.velocity(x, 0.5, y if w is not None else None)
        for w in (None, 1.0, 3.0)
        for model in [flow(conditional=True, guidance=w or 1.0)]
    )
    assert not torch.allclose(free, plain)
    torch.testing.assert_close(strong, free + 3 * (plain - free), atol=1e-4, rtol=1e-3)


def test_labels_of_minus_one_are_no_label() -> None:
    model, x = flow(conditional=True), torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(
        model.velocity(x, 0.3, torch.tensor([-1, -1])), model.velocity(x, 0.3), rtol=0, atol=0
    )


def test_training_hides_the_stated_share_of_labels() -> None:
    model = flow(conditional=True, drop_labels=0.25)
    shown: list[Tensor] = []
    model.net.forward = lambda x, t, y=None: shown.append(y) or 0 * x
    noise = Noise(0, 0, slice(0, 2_000), 2_000)
    list(model.play(Batch(torch.zeros(2_000, 1, 28, 28), torch.ones(2_000).long(), noise)))
    assert (shown[0] == -1).float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_the_field_depends_on_time_and_attention_on_far_pixels() -> None:
    model = flow(channels=(8, 8, 8), blocks=1, patch=1, attention=(2,))
    x = torch.randn(1, 1, 28, 28, requires_grad=True)
    assert not torch.allclose(model.velocity(x, 0.2), model.velocity(x, 0.8))
    model.velocity(x, 0.5)[0, 0, 0, 0].backward()
    assert x.grad is not None and x.grad[0, 0, 27, 27] != 0


def test_features_of_close_times_differ() -> None:
    t = torch.tensor([0.5, 0.51])
    a, b = time_features(t)
    assert (a - b).abs().max() > 0.1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"channels": (4, 4, 4, 4)}, "multiples of 16"),
        ({"attention": (5,)}, "levels are 0 to 1"),
        ({"channels": ()}, "levels"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        tiny.model("flow-matching", **changes)


def test_a_conditional_field_needs_labels() -> None:
    spec = Spec("plain", (1, 28, 28), 0)
    with pytest.raises(UsageError, match="has none"):
        FlowMatching(FlowMatchingConfig(channels=(4, 4), conditional=True), spec)
