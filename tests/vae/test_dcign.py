"""DC-IGN: clamping, the gradients in its place, groups packed into a step, and a toy it solves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from helpers import tiny
from zeuxis.applications.traverse import traversal_sheet
from zeuxis.checkpoints.weights import build
from zeuxis.data import load_data
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.data.face_groups import INTRINSIC
from zeuxis.data.facts import Facts
from zeuxis.distributed import World
from zeuxis.distributions.elementwise import normal_kl
from zeuxis.errors import UsageError
from zeuxis.evaluation.disentanglement import spearman
from zeuxis.model import Batch
from zeuxis.noise import Noise
from zeuxis.recipes import recipes
from zeuxis.training.config import TrainingConfig, check_config
from zeuxis.training.loop import Trainer, fit
from zeuxis.vae.clamping import active_units, clamped, invariance
from zeuxis.vae.dcign import DCIGN, DCIGNConfig
from zeuxis.vae.dcign_nets import networks

GROUP, LATENT = 4, 6


class Given(Noise):
    """Noise whose normal numbers are known."""

    def __init__(self, numbers: Tensor) -> None:
        super().__init__(0, 0, slice(0, len(numbers)), len(numbers))
        self.numbers = numbers

    def normal(self, *shape: int) -> Tensor:
        assert self.numbers.shape[1:] == shape
        return self.numbers


def model(**changes: object) -> DCIGN:
    """A small model in float64."""
    built = tiny.model("dcign", **changes)
    assert isinstance(built, DCIGN)
    return built.double()


def batch(kinds: list[int], order: list[int] | None = None) -> Batch:
    """Random images in groups of these kinds, with their noise; optionally reordered."""
    generator = torch.Generator().manual_seed(3)
    n = GROUP * len(kinds)
    x = torch.randint(0, 256, (n, 1, 28, 28), generator=generator)
    noise = torch.randn(n, LATENT, generator=generator, dtype=torch.float64)
    y = torch.tensor(kinds).repeat_interleave(GROUP)
    rows = torch.arange(n) if order is None else torch.tensor(order)
    return Batch(x.double()[rows], y[rows], Given(noise[rows]))


def loss_of(m: DCIGN, b: Batch) -> Tensor:
    """The loss of the only turn."""
    ((player, loss),) = list(double_play(m, b))
    assert player == "model"
    return loss


def double_play(m: DCIGN, b: Batch) -> list[tuple[str, Tensor]]:
    """A step in float64, though play turns pixels to float32."""
    before = torch.Tensor.float
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign, assignment]
    try:
        return list(m.play(b))
    finally:
        torch.Tensor.float = before  # type: ignore[method-assign]


def output_gradients(m: DCIGN, b: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Means of the posterior, and the gradients of means and log variances, in groups."""
    kept: dict[str, Tensor] = {}
    hooks = []
    for name in ("mean", "log_variance"):
        head = getattr(m, name)

        def keep(_: object, __: object, out: Tensor, name: str = name) -> None:
            out.retain_grad()
            kept[name] = out

        hooks.append(head.register_forward_hook(keep))
    loss_of(m, b).backward()
    for hook in hooks:
        hook.remove()
    mean, log_variance = kept["mean"], kept["log_variance"]
    assert mean.grad is not None and log_variance.grad is not None
    return tuple(  # type: ignore[return-value]
        t.detach().unflatten(0, (-1, GROUP)) for t in (mean, mean.grad, log_variance.grad)
    )


def test_clamped_units_get_the_replaced_gradient_and_active_ones_keep_theirs() -> None:
    m, b, strength = model(invariance=0.01), batch([1]), 0.01
    mean, gradient, of_log_variance = output_gradients(m, b)
    off = mean - mean.mean(1, keepdim=True)
    clamped_units = [0, 2, 3, 4, 5]
    torch.testing.assert_close(
        gradient[..., clamped_units], strength * off[..., clamped_units] / GROUP
    )
    # The gradient of the active unit, from the definition of the bound.
    with torch.no_grad():
        mu, log_variance = m.parameters_of(b.x / 255)
    one, other = (t[:, 1].clone().requires_grad_() for t in (mu, log_variance))
    whole_mu, whole_log_variance = (t.mean(0).expand(GROUP, -1).clone() for t in (mu, log_variance))
    whole_mu[:, 1], whole_log_variance[:, 1] = one, other
    z = whole_mu + (whole_log_variance / 2).exp() * b.noise.normal(LATENT)
    bound = m.log_likelihood(b.x / 255, m.outputs(z)).sum() - normal_kl(one, other / 2).sum()
    (-bound / GROUP).backward()
    assert one.grad is not None and other.grad is not None and one.grad.abs().min() > 0
    torch.testing.assert_close(gradient[0, :, 1], one.grad)
    torch.testing.assert_close(of_log_variance[0, :, 1], other.grad)


def test_without_invariance_clamped_units_get_no_gradient() -> None:
    _, gradient, of_log_variance = output_gradients(model(invariance=0.0), batch([2, 0]))
    assert gradient[0, :, :2].abs().max() == 0 == of_log_variance[0, :, :2].abs().max()
    assert gradient[0, :, 2:].abs().min() > 0
    assert gradient[1, :, 1:].abs().max() == 0
    assert gradient[1, :, 0].abs().min() > 0


def test_an_intrinsic_group_clamps_the_units_of_factors() -> None:
    active = active_units(torch.tensor([0, 1, 2]), 2, LATENT)[:, 0]
    assert active.int().tolist() == [[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1]]
    values = torch.randn(1, GROUP, LATENT)
    out = clamped(values, active[2].view(1, 1, -1), "mean")
    assert torch.equal(out[..., 2:], values[..., 2:])
    assert torch.allclose(out[..., :2], values[..., :2].mean(1, keepdim=True).expand(-1, GROUP, -1))


@pytest.mark.parametrize("clamp", ["mean", "first"])
def test_the_order_of_a_group_matters_only_where_the_first_image_is_the_clamp(clamp: str) -> None:
    m, order = model(clamp=clamp), [2, 0, 3, 1]
    seen: list[Tensor] = []
    m.decoder.register_forward_hook(lambda _, inputs, out: seen.append(out.detach()))
    loss_of(m, batch([1]))
    loss_of(m, batch([1], order))
    same = torch.allclose(seen[1], seen[0][order], rtol=0, atol=1e-12)
    assert same == (clamp == "mean")


def test_the_decoder_sees_one_value_a_group_in_units_that_do_not_move() -> None:
    m, b = model(), batch([0, 2])
    b.noise.numbers = torch.zeros_like(b.noise.numbers)  # type: ignore[attr-defined]
    seen: list[Tensor] = []
    m.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    loss_of(m, b)
    spread = seen[0].unflatten(0, (-1, GROUP)).std(1)
    assert (spread > 1e-12).tolist() == [[True] + 5 * [False], 2 * [False] + 4 * [True]]


def test_a_step_of_several_groups_has_the_mean_gradient_of_its_groups() -> None:
    kinds = [0, 2, 1]
    m, whole = model(mirror=0.5), batch(kinds)
    loss_of(m, whole).backward()
    together = [p.grad.clone() for p in m.parameters() if p.grad is not None]
    m.zero_grad()
    for i in range(len(kinds)):
        rows = list(range(i * GROUP, (i + 1) * GROUP))
        (loss_of(m, batch(kinds, rows)) / len(kinds)).backward()
    for p, gradient in zip(m.parameters(), together, strict=True):
        torch.testing.assert_close(p.grad, gradient)


def test_the_penalty_has_the_gradient_that_the_paper_states() -> None:
    values = torch.randn(2, GROUP, LATENT, dtype=torch.float64, requires_grad=True)
    active = active_units(torch.tensor([0, 2]), 2, LATENT)
    invariance(values, active, 0.01).sum().backward()
    expected = 0.01 * (values - values.mean(1, keepdim=True)).masked_fill(active, 0)
    torch.testing.assert_close(values.grad, expected.detach())


def toy(groups: int) -> Dataset:
    """Images that are linear in two numbers, in groups in which one of them moves."""
    generator = torch.Generator().manual_seed(0)
    kinds = torch.arange(groups) % 2
    ab = torch.rand(groups, 1, 2, generator=generator).repeat(1, 10, 1)
    moving = torch.rand(groups, 10, generator=generator)
    ab[torch.arange(groups)[:, None], torch.arange(10), kinds[:, None]] = moving
    patterns = torch.rand(2, 8 * 8, generator=generator)
    x = (ab.flatten(0, 1) @ patterns / 2 * 255).round().byte().view(-1, 1, 8, 8)
    facts = Facts(group=10, factors=ab.flatten(0, 1), factor_names=("a", "b"))
    return Dataset(
        Spec("toy", (1, 8, 8), 3, ("a", "b", INTRINSIC)),
        x,
        kinds.repeat_interleave(10),
        facts=facts,
    )


@pytest.mark.slow
def test_two_factors_of_linear_images_get_a_unit_each() -> None:
    data = toy(400)
    config = DCIGNConfig(
        ("a", "b"), 10, (), "strided", (8,), 32, 4, "gaussian", 0.02, lr=1e-2, least_rate=0.0
    )
    training = TrainingConfig(
        images=500 * 40, batch=40, average=0, film=0, log_every=10**9, threads=1, precision="fp32"
    )
    result = fit(build("dcign", config, data.spec, 0), data, training=training, quiet=True)
    z = torch.cat(result.model.infer(data.all()), 1)
    assert data.facts.factors is not None
    table = spearman(z, data.facts.factors).abs()
    assert table.diagonal().min() > 0.99
    assert table.fill_diagonal_(0).max() < 0.3


def test_units_have_the_names_of_factors() -> None:
    m = tiny.model("dcign").eval()
    x = tiny.data_for("dcign").all()[:5]
    assert [code.name for code in m.codes()] == ["one", "two"]
    assert torch.equal(torch.cat(m.infer(x), 1), m.encode(x)[:, :2])
    assert traversal_sheet(m, m.codes()[1], rows=2, columns=3).width > 0
    unknown = tiny.model("dcign", posterior="adaptive")
    assert len(unknown.codes()) == LATENT and unknown.codes()[0].name == "unit 1"


@pytest.mark.parametrize("posterior", ["mean", "product", "adaptive"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_shared_posteriors_train(posterior: str, likelihood: str) -> None:
    m = tiny.model("dcign", posterior=posterior, likelihood=likelihood, mirror=1.0, odd=("one",))
    result = fit(m, tiny.data_for("dcign"), training=tiny.training(), quiet=True)
    assert all(p.isfinite().all() for p in result.model.parameters())


def test_the_divergence_of_shared_units_is_charged_once_a_group() -> None:
    """With a decoder that sees nothing, the loss of a group is its posteriors' divergence."""
    m, b = model(posterior="mean"), batch([1])
    for p in m.decoder.parameters():
        torch.nn.init.zeros_(p)
    blind = m.log_likelihood(b.x / 255, torch.zeros_like(b.x)).sum()
    mu, log_variance = (t.detach() for t in m.parameters_of(b.x / 255))
    group = normal_kl(mu.mean(0), log_variance.exp().mean(0).log() / 2)
    own = normal_kl(mu, log_variance / 2)[:, 1].sum()
    expected = (own + group.sum() - group[1] - blind) / GROUP
    torch.testing.assert_close(loss_of(m, b).detach(), expected)


def test_a_collapsed_posterior_is_refused() -> None:
    m, b = model(), batch([1, 2])
    b.images = 50_000
    with pytest.raises(UsageError, match="After 50,000 images the latent has 0.00 nats, fewer"):
        loss_of(m, b)
    b.images = 51_000
    loss_of(m, b)
    b.images = 50_000
    loss_of(model(least_rate=0.0), b)


def test_the_papers_networks_lead_from_150_pixels_to_15_and_back() -> None:
    encoder, decoder = networks((1, 150, 150), (96, 64, 32), 1, 200, paper=True)
    assert encoder.maps == (32, 15, 15) and encoder.features == 7200
    small = networks((1, 150, 150), (2, 2, 2), 1, 3, paper=True)
    out = small[1](torch.randn(1, 3))
    assert out.shape == (1, 1, 150, 150)
    assert small[0](out).shape == (1, 2 * 15 * 15)
    assert [block.kernel_size for block in decoder.blocks] == [(7, 7)] * 4  # type: ignore[union-attr]


@pytest.mark.parametrize("side", [16, 28, 33, 64])
def test_strided_networks_lead_back_to_any_side(side: int) -> None:
    encoder, decoder = networks((2, side, side), (3, 4), 8, 5, paper=False)
    x = torch.randn(3, 2, side, side)
    assert encoder(x).shape == (3, 8)
    assert decoder(torch.randn(3, 5)).shape == x.shape


def test_faces_are_arranged_in_groups_for_a_training() -> None:
    config = DCIGNConfig(
        ("azimuth", "smile"), 5, (1, 1, 2), "strided", (4,), 8, 4, likelihood="gaussian"
    )
    faces = load_data("faces", limit=200, size=16)
    m = build("dcign", config, faces.spec, 0)
    trainer = Trainer(m, faces, training=tiny.training(batch=20), quiet=True)
    assert trainer.data.spec.class_names == ("azimuth", "smile", INTRINSIC)
    trainer.one_step()
    with pytest.raises(UsageError, match="multiple of 5"):
        Trainer(m, faces, training=tiny.training(batch=16), quiet=True)
    with pytest.raises(UsageError, match="'mnist' has no groups"):
        Trainer(m, load_data("mnist", limit=20), training=tiny.training(batch=20), quiet=True)


@pytest.mark.parametrize("name", [name for name in recipes() if name.startswith("dcign/")])
def test_recipes_fit_their_data(name: str) -> None:
    recipe = recipes()[name]
    faces = load_data(recipe.data, limit=400, size=recipe.size)
    with torch.device("meta"):
        m = DCIGN(recipe.config, faces.spec)
    check_config(recipe.training, m.arrange(faces), World())


def test_batches_without_groups_are_refused() -> None:
    m, b = model(), batch([1, 2])
    with pytest.raises(UsageError, match="groups of 4 images with labels .* without labels"):
        loss_of(m, replace(b, y=None))
    assert b.y is not None
    for y in (b.y.roll(1), b.y + 2, b.y - 2):
        with pytest.raises(UsageError, match="The labels of a group of 4 images"):
            loss_of(m, replace(b, y=y))


@pytest.mark.parametrize(
    ("changes", "side", "sentence"),
    [
        ({"factors": ()}, 28, "no place for 0 factors"),
        ({"latent_dim": 2}, 28, "no place for 2 factors"),
        ({"ratio": (1.0, 2.0)}, 28, "2 numbers for 2 factors"),
        ({"channels": (4,) * 5}, 28, "halve images of 28 pixels 5 times"),
        ({"architecture": "paper", "channels": (4, 4, 4)}, 28, "150 pixels"),
        ({"posterior": "adaptive", "group": 5}, 28, "Pairs of images"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict, side: int, sentence: str) -> None:
    config = replace(DCIGN.tiny()[0], **changes)
    with pytest.raises(UsageError, match=sentence):
        DCIGN(config, Spec("tiny", (1, side, side)))
