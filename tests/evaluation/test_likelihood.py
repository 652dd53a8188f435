"""Likelihoods: a linear Gaussian model with known log p, draws that depend on nothing but their
seed, memory, errors and protocol."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tiny
from zeuxis.capabilities import ELBO, CanLogProb, HasELBO, LogProb
from zeuxis.checkpoints.weights import save
from zeuxis.cli import main
from zeuxis.data import load_data
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.data.facts import Facts
from zeuxis.data.inexact import listed
from zeuxis.distributions.elementwise import normal
from zeuxis.errors import DataError, DivergenceError, MissingCapability, UsageError
from zeuxis.evaluation.likelihood import BLOCK, block_generator, importance_weighted, likelihood
from zeuxis.evaluation.likelihood_report import figure
from zeuxis.experiments.validation import validation_of
from zeuxis.model import Model

SPEC = Spec("small", (1, 3, 4))


def small(n: int = 200) -> Dataset:
    return Dataset(
        SPEC,
        torch.randint(
            0, 256, (n, 1, 3, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
        ),
    )


class Linear(Model):
    """z ~ N(0, I), x ~ N(W z, s^2) with pixels as fractions; q is the true posterior, moved and
    widened."""

    name = "linear"

    def __init__(self, moved: float = 0.0, widened: float = 1.0) -> None:
        super().__init__(None, SPEC)
        self.w = torch.randn(12, 2, generator=torch.Generator().manual_seed(0)).double() * 0.5
        self.s, self.moved, self.calls = 0.3, moved, []
        precision = torch.eye(2).double() + self.w.T @ self.w / self.s**2
        self.read = torch.linalg.solve(precision, self.w.T) / self.s**2
        self.spread = torch.linalg.cholesky(torch.linalg.inv(precision)) * widened

    def log_p(self, x: Tensor) -> Tensor:
        distribution = torch.distributions.MultivariateNormal(
            torch.zeros(12).double(), self.w @ self.w.T + self.s**2 * torch.eye(12).double()
        )
        return distribution.log_prob(x.flatten(1).double() / 255)

    def parts(self, x: Tensor, k: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        self.calls.append(len(x) * k)
        v = x.flatten(1).double() / 255
        eps = torch.randn(len(x), k, 2, dtype=torch.float64, generator=generator)
        z = (v @ self.read.T + self.moved)[:, None] + eps @ self.spread.T
        log_q = normal(eps, 0.0, 0.0) - self.spread.diag().log()
        distortion = -normal(v[:, None], z @ self.w.T, math.log(self.s)).sum(2)
        return distortion, log_q - normal(z, 0.0, 0.0)

    def elbo(self, x: Tensor, *, generator: torch.Generator | None = None) -> ELBO:
        assert not self.training, "evaluated in training mode"
        distortion, rate = self.parts(x, 1, generator)
        return ELBO(distortion[:, 0], rate[:, 0])

    def log_weights(self, x: Tensor, k: int, *, generator: torch.Generator | None = None) -> Tensor:
        distortion, rate = self.parts(x, k, generator)
        return -(distortion + rate.sum(2))

    def encode(self, x: Tensor) -> Tensor:
        return x.flatten(1).double() / 255 @ self.read.T


class Exact(Model):
    """log p(x) as a given function."""

    name = "exact"

    def __init__(self, log_p: object, spec: Spec = SPEC) -> None:
        super().__init__(None, spec)
        self.log_p, self.sizes = log_p, []

    def log_prob(self, x: Tensor) -> LogProb:
        self.sizes.append(len(x))
        return LogProb(self.log_p(x))


def sharpened(model: Linear, data: Dataset, k: int) -> Tensor:
    """The bound by k codes of every image."""
    return torch.stack(
        [importance_weighted(model, x[None], k, 0, row)[0] for row, x in enumerate(data.all())]
    )


def test_with_the_true_posterior_every_bound_is_log_p() -> None:
    data, model = small(60), Linear()
    found, known = likelihood(model, data, k=40), figure(model.log_p(data.all()))
    for bound in (found.nats, found.weighted):
        assert bound.mean == pytest.approx(known.mean, abs=1e-9)
        assert bound.error == pytest.approx(known.error, abs=1e-9)
    assert found.effective == pytest.approx(40)
    assert not found.exact
    assert found.nats.mean == pytest.approx(-(found.distortion.mean + found.rate.mean))


def test_the_bound_lies_below_log_p_and_rises_to_it_with_more_codes() -> None:
    data, model = small(80), Linear(moved=0.3, widened=1.6)
    known = model.log_p(data.all())
    elbo, paired = (
        likelihood(model, data, k=0).nats,
        [sharpened(model, data, k) for k in (1, 8, 64, 512)],
    )
    assert elbo.mean < known.mean() - 0.3
    assert abs(elbo.mean - paired[0].mean()) < 4 * elbo.error, (
        "one code is the ELBO, drawn another way"
    )
    gains = [more - fewer for fewer, more in pairwise(paired)]
    for gain in gains[:2]:
        assert gain.mean() > 2 * gain.std() / len(gain) ** 0.5
    gap = known - paired[-1]
    assert (
        abs(gap.mean().item()) < 4 * gap.std() / len(gap) ** 0.5 < 0.2 < (known - paired[0]).mean()
    )
    assert likelihood(model, data, k=64).weighted.mean == pytest.approx(
        paired[2].mean().item(), abs=1e-12
    )


def test_blocks_add_up_to_the_formula() -> None:
    model, x = Linear(moved=0.5), small(3).all()[2:]
    k = 2 * BLOCK + 5
    sizes = (BLOCK, BLOCK, 5)
    log_w = torch.cat(
        [
            model.log_weights(x, size, generator=block_generator(4, 17, b + 1))[0]
            for b, size in enumerate(sizes)
        ]
    )
    bound, effective = importance_weighted(model, x, k, 4, 17)
    w = log_w.exp()
    assert bound.item() == pytest.approx(w.mean().log().item(), abs=1e-12)
    assert effective.item() == pytest.approx((w.sum() ** 2 / w.square().sum()).item(), rel=1e-12)
    assert w.unique().numel() == k


def test_no_two_blocks_share_their_draws() -> None:
    seen = {
        torch.rand((), generator=block_generator(seed, row, block)).item()
        for seed in range(3)
        for row in range(40)
        for block in range(40)
    }
    assert len(seen) > 4790, "of 4,800 numbers of 24 bits"


@pytest.mark.parametrize("name", ["vae", "linear"])
def test_a_figure_depends_on_neither_batch_nor_order_nor_company(name: str) -> None:
    model = Linear(moved=0.3) if name == "linear" else tiny.model("vae").eval()
    data = small(5) if name == "linear" else tiny.images(5)
    whole, halves = (likelihood(model, data, k=70, batch=batch, seed=2) for batch in (5, 2))
    assert whole == halves
    alone = [likelihood(model, data.take(torch.tensor([row, 0])), k=70, seed=2) for row in range(5)]
    first = likelihood(model, data.take(torch.tensor([0, 0])), k=70, seed=2)
    for key in ("nats", "weighted", "distortion", "rate"):
        mean = sum(2 * getattr(one, key).mean - getattr(first, key).mean for one in alone) / 5
        assert mean == pytest.approx(getattr(whole, key).mean, abs=1e-6)
    assert likelihood(
        model, data.take(torch.randperm(5)), k=70, seed=2
    ).weighted.mean == pytest.approx(whole.weighted.mean, abs=1e-9)
    assert likelihood(model, data, k=70, seed=3).weighted.mean != whole.weighted.mean


def test_the_global_generator_and_the_models_mode_stay_as_they_were() -> None:
    model = tiny.model("vae").train()
    before = torch.random.get_rng_state()
    in_training = likelihood(model, tiny.images(4), k=4)
    assert model.training
    assert torch.equal(before, torch.random.get_rng_state())
    assert likelihood(model.eval(), tiny.images(4), k=4) == in_training


def test_many_codes_take_no_more_memory_than_one_block() -> None:
    linear = Linear()
    likelihood(linear, small(3), k=1000)
    assert max(linear.calls) == BLOCK


def test_no_more_images_than_a_batch_are_evaluated_at_once() -> None:
    model = Exact(lambda x: x.double().sum((1, 2, 3)) * -1e-3)
    whole, parts = likelihood(model, small(10)), likelihood(model, small(10), batch=3)
    assert max(model.sizes[1:3]) == 10 and model.sizes[3:] == [3, 3, 3, 1]
    assert parts.nats.mean == pytest.approx(whole.nats.mean, rel=1e-12)


def test_the_standard_error_is_the_deviation_of_the_mean() -> None:
    samples = torch.distributions.Gamma(2.0, 1.0).sample((2000, 50)).double()
    found = [figure(row) for row in samples]
    spread = torch.tensor([f.mean for f in found]).std().item()
    assert sum(f.error for f in found) / 2000 == pytest.approx(spread, rel=0.06)
    assert spread == pytest.approx((2 / 50) ** 0.5, rel=0.06)
    whole = likelihood(Exact(lambda x: x.double().sum((1, 2, 3))), small(400))
    values = small(400).all().double().sum((1, 2, 3))
    assert whole.nats == figure(values)
    part = likelihood(Exact(lambda x: x.double().sum((1, 2, 3))), small(400), n=100, seed=1)
    assert part.images == 100 and part.total == 400
    assert part.nats.error == pytest.approx(2 * whole.nats.error, rel=0.25)
    assert abs(part.nats.mean - whole.nats.mean) < 3 * part.nats.error


def test_a_uniform_model_of_8_bits_costs_8_bits() -> None:
    found = likelihood(Exact(lambda x: torch.full((len(x),), -12 * math.log(256))), small(20))
    assert found.exact
    assert found.as_dict()["log p(x), exact"]["bits/dim"] == pytest.approx(8, abs=1e-6)
    assert found.weighted is found.rate is found.active is None
    assert found.k == 0 and found.as_dict()["protocol"]["binarization"] == "none"


def test_a_pixel_model_of_known_entropy_costs_its_entropy() -> None:
    p = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64)
    x = torch.multinomial(p, 12_000, replacement=True).byte().view(1000, 1, 3, 4)
    found = likelihood(Exact(lambda x: p.log()[x.long()].sum((1, 2, 3))), Dataset(SPEC, x))
    error = found.bits(found.nats.error)
    assert abs(found.as_dict()["log p(x), exact"]["bits/dim"] - 1.75) < 4 * error < 0.1


def test_units_are_active_where_the_posterior_mean_varies() -> None:
    class Units(Linear):
        def encode(self, x: Tensor) -> Tensor:
            on = x[:, 0, 0, 0].double() / 255
            return torch.stack([0.25 * on, 0.15 * on, 3 + 0 * on, -2 * on], 1).view(-1, 2, 2)

    x = small(100).all()
    x[:, 0, 0, 0] = 255 * (torch.arange(100) % 2)
    found = likelihood(Units(), Dataset(SPEC, x), k=0)  # variances .0158, .0057, 0 and 1.01
    assert (found.active, found.units) == (2, 4)
    assert found.weighted is found.effective is None


def test_a_low_effective_sample_size_gives_a_warning() -> None:
    class Lottery(Linear):
        def log_weights(
            self, x: Tensor, k: int, *, generator: torch.Generator | None = None
        ) -> Tensor:
            return 1000 * torch.arange(k) * (x[:, 0, 0, :1].double() / 255)

    for black, effective in ((1, 1), (2, 20)):
        x = small(3).all()
        x[:, 0, 0, 0] = 255 * (torch.arange(3) >= black)
        found = likelihood(Lottery(), Dataset(SPEC, x), k=20)
        assert found.effective == pytest.approx(effective)
        assert ("Warning: below 2" in " ".join(found.notes())) == (effective < 2)


def test_pixels_are_binarized_by_the_protocol_of_the_report() -> None:
    gray, static = (load_data(name, split="test", limit=12) for name in ("mnist", "mnist-static"))
    model = tiny.model("vae").eval()

    def evaluate(data: Dataset, **changes: object) -> Likelihood:
        return likelihood(model, data, k=3, split="test", **changes)

    first, again, other = (evaluate(gray, seed=seed) for seed in (0, 0, 1))
    assert (first.binarization, first.binarization_seed) == ("dynamic", 0)
    assert first == again != other
    once, given = evaluate(gray, binarize="static"), evaluate(static)
    assert (once.binarization, given.binarization) == ("static", "static")
    assert once.nats == given.nats != first.nats
    assert once.nats != evaluate(gray, binarize="static", seed=1).nats, "other codes"
    plain = Dataset(Spec("own", (1, 28, 28)), static.all())
    assert (evaluate(plain).binarization, evaluate(plain).binarization_seed) == ("none", None)
    assert evaluate(plain).nats == given.nats
    with pytest.raises(UsageError, match="binarize"):
        evaluate(gray, binarize="none")
    part = evaluate(gray, n=5)
    assert part.images == 5 and part.binarization == "dynamic"
    text = " ".join(first.notes())
    assert "dynamic binarization, seed 0" in text and "lower bound" in text and "IWAE-3" in text
    assert "not the files of Larochelle" in " ".join(given.notes())


ESTIMATED = {"flow-matching", "order-agnostic"}  # bounds without latents


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name == "flow-matching" else [])
        for name in tiny.NAMES
    ],
)
def test_likelihoods_of_every_model_are_independent_of_the_batch(name: str) -> None:
    model = tiny.model(name).eval()
    if not isinstance(model, HasELBO | CanLogProb):
        pytest.skip("tells no likelihood")
    data = tiny.data_for(name)
    if len(data.spec.shape) != 3:
        with pytest.raises(UsageError, match="only images can be evaluated"):
            likelihood(model, data, k=5)
        return
    together, alone = (
        likelihood(model, data.take(torch.tensor(rows)), k=5, seed=3)
        for rows in ([4, 2, 9], [2, 9])
    )
    assert together.exact is not (isinstance(model, HasELBO) or name in ESTIMATED)
    assert together.nats.mean < 0 < together.nats.error
    assert together == likelihood(model, data.take(torch.tensor([4, 2, 9])), k=5, seed=3)
    last = likelihood(model, data.take(torch.tensor([4, 4])), k=5, seed=3)
    assert (2 * alone.nats.mean + last.nats.mean) / 3 == pytest.approx(together.nats.mean, rel=1e-5)
    if together.weighted is not None:
        assert (2 * alone.weighted.mean + last.weighted.mean) / 3 == pytest.approx(
            together.weighted.mean, rel=1e-5
        )
        assert -together.nats.mean == pytest.approx(
            together.distortion.mean + together.rate.mean, rel=1e-6
        )


def test_a_held_out_figure_of_a_binary_model_is_the_same_each_time() -> None:
    model, held = tiny.model("vae").eval(), load_data("mnist", limit=40)
    reported = validation_of(model, held)
    assert reported(model) == reported(model)
    assert reported(model)["nats"] == pytest.approx(
        likelihood(model, held, k=0).nats.mean, rel=0.05
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"k": -1}, "0 or more latents"),
        ({"n": 1}, "at least 2 images"),
        ({"n": -5}, "at least 2 images"),
        ({"seed": -1}, "a seed from 0 on"),
        ({"batch": 0}, "a batch from 1 on"),
        ({"binarize": "dynamic"}, "likelihoods of 256 levels: leave out --binarize"),
        ({"data": tiny.images(4)}, "expects images of"),
        ({"data": small(1)}, "need at least 2"),
    ],
)
def test_invalid_arguments_are_refused(changes: dict, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        likelihood(Linear(), **({"data": small(4)} | changes))


def test_models_without_a_likelihood_and_diverged_ones_are_refused() -> None:
    with pytest.raises(
        MissingCapability, match="cannot evaluate likelihoods; models that can: .*vae"
    ):
        likelihood(tiny.model("dcgan"), tiny.images(4))
    broken = Exact(lambda x: torch.where(x[:, 0, 0, 0] == x[0, 0, 0, 0], 0.0, math.nan))
    with pytest.raises(DivergenceError, match="image 1 of 'small' is not finite"):
        likelihood(broken, small(5))


def test_the_command_prints_and_records(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(tiny.model("vae"), tmp_path / "vae")
    record = tmp_path / "record.json"
    plot = tmp_path / "rates.svg"
    words = f"likelihood {folder} --data mnist --n 8 --k 40 --seed 1 --record {record}"
    assert main([*words.split(), "--paper", "-84.08", "--plot", str(plot)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "IWAE-40" in said
        and "dynamic binarization, seed 1" in said
        and "as they were saved" in said
    )
    kept = json.loads(record.read_text())
    assert (kept["paper"], kept["seed"]) == ("-84.08", 1)
    about = kept["figures"]["protocol"]
    assert (about["images"], about["total"], about["k"], about["binarization"], about["split"]) == (
        8,
        10_000,
        40,
        "dynamic",
        "test",
    )
    assert kept["figures"]["IWAE-40"]["nats"] >= kept["figures"]["ELBO"]["nats"] - 5
    assert kept["figures"]["units"] == 3
    rates = kept["figures"]["rate of each group"]
    assert len(rates) == 3 and sum(rates) == pytest.approx(kept["figures"]["rate"]["nats"])
    assert "rate of each group of latents" in plot.read_text()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("likelihood {0}/vae --data mnist --split half", 2, "expected test or train"),
        ("likelihood {0}/vae --data mnist --n 1", 2, "at least 2 images"),
        ("likelihood {0}/vae --data mnist --k -3", 2, "--k must be at least 0"),
        ("likelihood {0}/vae --data mnist --batch 0", 2, "--batch must be at least 1"),
        ("likelihood {0}/vae --data mnist --plot rates.png", 2, "the name of an .svg file"),
        ("likelihood mnist/pixelcnn --n 2 --plot rates.svg", 2, "leave out --plot"),
        ("likelihood {0}/vae --data mnist --binarize none", 2, "binarize them first"),
        ("likelihood {0}/vae --data mnist --binarize twice", 2, "twice"),
        ("likelihood {0}/vae --data mnist-statc", 1, "did you mean mnist-static?"),
        ("likelihood {0}/dcgan --data mnist", 1, "cannot evaluate likelihoods"),
        ("likelihood {0}/nowhere", 2, "neither a folder nor a model"),
        ("likelihood {0}/vae --data mnist --weights ema.safetensors", 1, "does not exist"),
    ],
)
def test_wrong_input_to_the_command_gets_one_sentence(
    words: str, code: int, sentence: str, tmp_path, capsys
) -> None:
    for name in ("vae", "dcgan"):
        save(tiny.model(name), tmp_path / name)
    try:
        found = main(words.format(tmp_path).split())
    except SystemExit as exit:
        found = exit.code
    said = capsys.readouterr()
    assert found == code, said.err
    assert sentence in " ".join((said.err + said.out).split())
    assert "Traceback" not in said.err


def test_images_that_the_data_mark_as_inexact_are_left_out() -> None:
    data = Dataset(SPEC, small(10).all(), facts=Facts(inexact=(2, 7)))
    reported = torch.arange(10.0)
    model = Exact(
        lambda x: -reported[(x[:, None] == data.all()[None]).flatten(2).all(2).int().argmax(1)]
    )
    found = likelihood(model, data)
    assert (found.images, found.excluded, found.total) == (8, 2, 10)
    assert found.nats.mean == pytest.approx(-(45 - 9) / 8)
    assert found.as_dict()["protocol"]["excluded"] == 2
    assert "Left out: 2 images" in " ".join(found.notes())
    half = likelihood(model, data.take(torch.tensor([7, 6, 5, 4])), exclude=[6])
    assert half.nats.mean == pytest.approx(-4.5)
    assert likelihood(model, data, n=3).images == 3
    with pytest.raises(UsageError, match="All but 1 of the 3 images are left out"):
        likelihood(model, data.take(torch.tensor([1, 2, 7])))


def test_a_list_of_images_to_leave_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_text("# bad scans\n3\n\n 0 \n")
    assert listed(path, 4) == [3, 0]
    for text, sentence in (
        ("4\n", "Line 1 .* is '4', expected .* from 0 to 3"),
        ("1\n-1\n", "Line 2"),
        ("1.5", "Line 1"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=sentence):
            listed(path, 4)
    with pytest.raises(DataError, match="cannot be read"):
        listed(tmp_path / "none.txt", 4)
