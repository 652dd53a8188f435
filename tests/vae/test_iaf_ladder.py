"""The IAF-VAEs: size of the published model, accounts of every posterior against autograd, free
bits, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tiny
from zeuxis.data.dataset import Spec
from zeuxis.errors import UsageError
from zeuxis.nn.data_dependent_init import data_dependent_init
from zeuxis.nn.weight_norm import WeightNorm
from zeuxis.training.loop import fit
from zeuxis.vae.iaf import IAFVAE, IAFConfig
from zeuxis.vae.iaf_ladder import Ladder, LadderConfig

NORMAL = torch.distributions.Normal(0.0, 1.0)
VARIANTS = [
    {"posterior": "factorized"},
    {"posterior": "linear"},
    {"posterior": "iaf", "layers": 2},
    {"posterior": "iaf", "steps": 2},
    {"posterior": "iaf", "scaled": False},
    {"inference": "bottom-up"},
    {"inference": "bottom-up", "posterior": "factorized"},
]


def small(side: int = 8, **changes: object) -> Ladder:
    """A ladder of two layers in float64 with nothing at zero."""
    torch.manual_seed(0)
    config = {"blocks": (1, 1), "channels": 4, "latent_dim": 2, "layers": 1, **changes}
    model = Ladder(LadderConfig(**config), Spec("tiny", (3, side, side))).double().eval()
    for p in model.parameters():
        p.data += 0.3 * torch.randn_like(p)
    return model


def test_the_published_model_has_the_published_number_of_weights() -> None:
    model = Ladder(LadderConfig(), Spec("cifar10", (3, 32, 32)))
    assert sum(p.numel() for p in model.parameters()) == 41_557_927
    assert model.shapes == [(32, 16, 16)] * 20


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_the_rate_is_the_change_of_density_from_posterior_to_prior(changes: dict) -> None:
    """Standardized by their priors, the codes are a map of the noise; its Jacobian gives log q -
    log p without the model's own account."""
    model = small(**changes)
    x = torch.randint(
        0, 256, (1, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    eps = model.prior(1, generator=torch.Generator().manual_seed(2))

    def codes(e: Tensor) -> Tensor:
        h, found = model.start(1), []
        for layer, left, part in zip(
            model.column()[::-1], model.bottom_up(x), model.parts(e[None]), strict=True
        ):
            h, _, seen = layer.top_down(h, part, left)
            found.append(seen.flatten())
        return torch.cat(found)

    jacobian = torch.autograd.functional.jacobian(codes, eps[0])
    expected = (
        NORMAL.log_prob(eps).sum()
        - torch.linalg.slogdet(jacobian)[1]
        - NORMAL.log_prob(codes(eps[0])).sum()
    )
    _, rate = model.terms(x, model.bottom_up(x), model.parts(eps), expected=False)
    assert rate.shape == (1, 4)
    assert rate.sum().item() == pytest.approx(expected.item(), abs=1e-8)


@pytest.mark.parametrize("steps", [1, 2])
def test_every_second_step_runs_in_the_opposite_order(steps: int) -> None:
    """Codes of one layer by their own noise: positions from the last to the first, maps from the
    first to the last, or both ways."""
    model = small(steps=steps, side=4)
    layer, x = model.column()[-1], torch.randint(0, 256, (1, 3, 4, 4), dtype=torch.uint8)
    left = model.bottom_up(x)[0]
    size = torch.Size(model.shapes[0]).numel()

    def code(eps: Tensor) -> Tensor:
        return layer.top_down(model.start(1), eps.view(1, *model.shapes[0]), left)[2].flatten()

    index = torch.arange(size).view(model.shapes[0])
    order = index.flatten(1).flip(1).T.flatten()
    jacobian = torch.autograd.functional.jacobian(code, torch.randn(size).double())[order][:, order]
    later = jacobian.triu(1)
    assert (later != 0).any() == (steps == 2)
    assert (jacobian.tril(-1) != 0).any() and (jacobian.diagonal() != 0).all()


@pytest.mark.parametrize("inference", ["bidirectional", "bottom-up"])
def test_statistics_of_the_top_down_pass_count_in_bidirectional_inference_alone(
    inference: str,
) -> None:
    model = small(inference=inference)
    layer, z = model.column()[-1], model.config.latent_dim
    x, eps = (
        torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8),
        torch.randn(1, *model.shapes[0]).double(),
    )
    found = []
    for more in (0.0, 0.5):

        def changed(_: nn.Module, given: tuple, out: Tensor, more: float = more) -> Tensor:
            return torch.cat([out[:, : 2 * z], out[:, 2 * z : 4 * z] + more, out[:, 4 * z :]], 1)

        handle = layer.down_first.register_forward_hook(changed)
        found.append(layer.top_down(model.start(1), eps, model.bottom_up(x)[0])[2])
        handle.remove()
    assert torch.equal(*found) == (inference == "bottom-up")


def test_residual_branches_are_a_tenth_of_what_their_last_convolution_gives() -> None:
    model = small(blocks=(2,))
    layer, branches = model.column()[0], []
    for last in (layer.up_last, layer.down_last):
        last.register_forward_hook(lambda _, given, out: branches.append(out))
    h = torch.randn(1, 4, 4, 4).double()
    up, left = layer.bottom_up(h)
    down, *_ = layer.top_down(h, torch.randn(1, *model.shapes[1]).double(), left)
    for state, branch in zip((up, down), branches, strict=True):
        torch.testing.assert_close(state - h, 0.1 * branch)


@pytest.mark.parametrize("posterior", ["iaf", "linear", "diagonal"])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_digits_rate_is_the_change_of_density(posterior: str, layers: int) -> None:
    torch.manual_seed(0)
    config = IAFConfig(
        channels=(4,),
        hidden_dim=9,
        latent_dim=5,
        width=12,
        depth=3,
        layers=layers,
        posterior=posterior,
    )  # type: ignore[arg-type]
    model = IAFVAE(config, Spec("tiny", (1, 8, 8))).double()
    h, eps = torch.randn(1, 9).double(), torch.randn(5).double()
    z, rate = model.infer(h, eps[None, None], expected=False)
    jacobian = torch.autograd.functional.jacobian(
        lambda e: model.infer(h, e[None, None], expected=False)[0][0, 0], eps
    )
    expected = (
        NORMAL.log_prob(eps).sum() - torch.linalg.slogdet(jacobian)[1] - NORMAL.log_prob(z).sum()
    )
    assert rate.sum().item() == pytest.approx(expected.item(), abs=1e-9)
    assert (jacobian.abs() > 0).all() == (
        posterior == "iaf"
    )  # with the order reversed, every number depends on every other


def test_expected_and_sampled_rates_of_a_factorized_posterior_agree() -> None:
    model = small(posterior="factorized")
    x = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8).expand(1000, -1, -1, -1)
    found, eps = (
        model.bottom_up(x),
        model.parts(model.prior(1000, generator=torch.Generator().manual_seed(0))),
    )
    exact, drawn = (model.terms(x, found, eps, expected=e)[1].detach() for e in (True, False))
    upper = slice(0, 2)  # below, the exact rate is given what was drawn above
    assert torch.allclose(exact[:, upper].mean(0), drawn[:, upper].mean(0), rtol=0.1, atol=0.1)


def test_codes_of_the_prior_are_what_decoding_takes_and_encoding_gives() -> None:
    model = small(posterior="factorized")
    x = model.sample(3, generator=torch.Generator().manual_seed(0))
    z = model.encode(x)
    assert z.shape == model.prior(3).shape
    assert torch.equal(model.decode(z), model.decode(z))
    assert torch.equal(model.encode(x[:1]), z[:1])
    assert model.decode(z[:0]).shape == (0, 3, 8, 8)


def test_free_bits_stop_the_gradient_of_what_is_nearly_free_and_no_figure() -> None:
    def play(free: float) -> tuple[Tensor, dict[str, Tensor], list[Tensor | None]]:
        model = tiny.model("iaf-ladder", free_bits=free, posterior="factorized", blocks=(1,))
        batch = tiny.batch("iaf-ladder")
        turns: Iterator[tuple[str, Tensor]] = model.play(batch)
        _, loss = next(turns)
        loss.backward()
        layer = model.layers[0]  # type: ignore[index]
        return loss.detach(), batch.logs, [p.grad for p in layer.up_first.parameters()]

    (free, logs, still), (plain, logs_plain, pulled) = play(1e6), play(0.0)
    assert torch.equal(
        logs["bits/dim"], logs_plain["bits/dim"]
    )  # the bound is logged without the clamp
    assert plain.item() == pytest.approx((logs["distortion"] + logs["rate"]).item(), rel=1e-5)
    assert free.item() == pytest.approx((logs["distortion"] + 2 * 1e6).item(), rel=1e-5)
    rates = [
        sum(
            (a - b).abs().sum()
            for a, b in zip(still, other, strict=True)
            if a is not None and b is not None
        )
        for other in (play(1e7)[2], pulled)
    ]
    assert rates[0] == 0 < rates[1], "what is free pulls nowhere, what costs does"


def test_free_bits_are_counted_on_the_mean_over_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map that costs nothing for one image and twice the free bits for the other costs exactly
    those."""
    rate = torch.tensor([[0.0, 0.1, 2.0], [1.0, 0.2, 4.0]])
    monkeypatch.setattr(Ladder, "terms", lambda *_, **__: (torch.ones(2), rate))
    _, loss = next(tiny.model("iaf-ladder", free_bits=0.5).play(tiny.batch("iaf-ladder", 2)))
    assert loss.item() == pytest.approx(1 + 0.5 + 0.5 + 3)


def test_layers_start_with_the_deviation_they_are_meant_to() -> None:
    model = Ladder(LadderConfig(blocks=(2,), channels=8, latent_dim=2), Spec("tiny", (3, 16, 16)))
    seen: dict[str, Tensor] = {}
    names = {id(m): name for name, m in model.named_modules()}

    def note(module: nn.Module, _: tuple, out: Tensor) -> None:
        seen[names[id(module)]] = out

    handles = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, WeightNorm)]
    x = torch.randint(
        0, 256, (32, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    with data_dependent_init(model):
        model.terms(x, model.bottom_up(x), model.parts(model.prior(32)), expected=False)
    for handle in handles:
        handle.remove()
    # The uppermost block's first layer sees the same zeros everywhere and keeps its length; all
    # later ones are set.
    for name, out in seen.items():
        std, mean = torch.std_mean(out, [0, 2, 3])
        wanted = 0.0 if name == "layers.1.down_first" else 1.0 if ".steps." in name else 0.1
        blind = std < 1e-6  # the first map's shift sees nothing before it at the start
        assert torch.allclose(
            std[~blind], torch.full_like(std[~blind], wanted), rtol=0.02, atol=1e-3
        ), name
        assert mean.abs().max() < 0.02, name


@pytest.mark.parametrize("name", ["iaf-ladder", "iaf-vae"])
def test_a_few_steps_raise_the_bound(name: str) -> None:
    model, data = tiny.model(name), tiny.images(32)
    x = 255 * (data.all() > 127).byte()

    def bound(model: Any) -> float:
        return model.elbo(x, generator=torch.Generator().manual_seed(0)).nats.mean().item()

    start = bound(model)
    ended = bound(fit(model, data, training=tiny.training(images=320), quiet=True).model)
    assert math.isfinite(ended)
    assert ended > start


@pytest.mark.parametrize(
    ("changes", "shape", "sentence"),
    [
        ({"blocks": (1, 1, 1, 1)}, (1, 28, 28), "whose side 16 divides"),
        ({"channels": 5, "latent_dim": 2}, (1, 28, 28), "multiple of --model.latent-dim"),
        ({"blocks": ()}, (1, 28, 28), "at least one number"),
        ({"steps": 0}, (1, 28, 28), "--model.steps must be from 1"),
        ({}, (2,), "square images"),
    ],
)
def test_a_ladder_that_cannot_work_is_refused(
    changes: dict, shape: tuple[int, ...], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        Ladder(LadderConfig(**changes), Spec("tiny", shape))


@pytest.mark.parametrize("changes", [{"depth": 0}, {"width": 0}, {"layers": 0}])
def test_a_flow_that_cannot_work_is_refused(changes: dict) -> None:
    with pytest.raises(UsageError, match="must be (from|at least) 1"):
        IAFVAE(IAFConfig(**changes), Spec("tiny", (1, 28, 28)))
