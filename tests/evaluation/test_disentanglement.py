"""Measures of what codes mean: closed forms, comparison with brute force, and the report of a small
model whose codes are known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats
from torch import Tensor

import tiny
from zeuxis.capabilities import Code
from zeuxis.checkpoints.weights import save
from zeuxis.cli import main
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.data.facts import Facts
from zeuxis.errors import DataError, MissingCapability, UsageError
from zeuxis.evaluation import (
    cluster_matching as clusters,
)
from zeuxis.evaluation import (
    disentanglement as codes,
)
from zeuxis.evaluation import (
    disentanglement_report as code_report,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Assignment and errors


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 5), more=st.integers(0, 2), seed=st.integers(0, 10**6))
def test_one_to_one_matching_is_the_best_of_all(rows: int, more: int, seed: int) -> None:
    counts = torch.randint(6, (rows, rows + more), generator=generator(seed))  # with many ties
    classes = clusters.match_clusters(counts, "one-to-one")
    assert len(set(classes.tolist())) == rows
    best = max(
        sum(int(counts[i, j]) for i, j in enumerate(p))
        for p in permutations(range(rows + more), rows)
    )
    assert int(counts[torch.arange(rows), classes].sum()) == best


def test_more_clusters_than_classes_cannot_be_matched_one_to_one() -> None:
    with pytest.raises(UsageError, match="3 clusters cannot"):
        clusters.match_clusters(torch.zeros(3, 2, dtype=torch.int64), "one-to-one")


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_names_of_categories_do_not_matter(seed: int) -> None:
    labels = torch.randint(7, (200,), generator=generator(seed))
    names = torch.randperm(7, generator=generator(seed + 1))
    perfect = clusters.match(names[labels], labels, 7, 7)
    assert perfect.one_to_one == 0 == perfect.majority
    noisy = torch.where(torch.rand(200, generator=generator(seed)) < 0.3, 0, labels)
    plain, renamed = clusters.match(noisy, labels, 7, 7), clusters.match(names[noisy], labels, 7, 7)
    assert plain.one_to_one == pytest.approx(
        renamed.one_to_one
    ) and plain.majority == pytest.approx(renamed.majority)
    assert plain.majority <= plain.one_to_one


def test_two_categories_of_one_class_cost_only_the_one_to_one_error() -> None:
    assigned, labels = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0, 0, 0, 1, 1, 2])
    found = clusters.match(assigned, labels, 3, 3)
    assert found.majority == pytest.approx(1 / 6)
    assert found.one_to_one == pytest.approx(
        2 / 6
    )  # category 1 takes class 2, which it never meets
    assert found.confusion == ((2, 0, 0), (1, 0, 0), (0, 2, 1))


def test_fewer_and_more_categories_than_classes() -> None:
    labels = torch.arange(4).repeat(5)
    few = clusters.match(labels // 2, labels, 2, 4)
    assert few.one_to_one == few.majority == 0.5
    many = clusters.match(labels + 4 * (torch.arange(20) % 2), labels, 8, 4)
    assert many.one_to_one is None and many.majority == 0


def test_a_map_fixed_on_other_examples_is_kept() -> None:
    labels = torch.tensor([0, 1, 0, 1])
    fixed = clusters.confusion(labels, labels, 3, 2)
    swapped = clusters.match(1 - labels, labels, 3, 2, fixed)
    assert swapped.majority == 1 and clusters.match(1 - labels, labels, 3, 2).majority == 0
    assert clusters.match_clusters(fixed, "majority").tolist() == [0, 1, -1]
    assert (
        clusters.error_rate(torch.tensor([0, 1, -1]), torch.tensor([2, 2]), torch.tensor([0, 1]))
        == 1
    )


def test_numbers_outside_the_table_are_refused() -> None:
    with pytest.raises(UsageError, match="cluster 3 among 3"):
        clusters.confusion(torch.tensor([0, 3]), torch.tensor([0, 0]), 3, 2)
    with pytest.raises(UsageError, match="label -1 among 2"):
        clusters.confusion(torch.tensor([0, 1]), torch.tensor([0, -1]), 3, 2)
    with pytest.raises(UsageError, match="no example"):
        clusters.confusion(
            torch.tensor([], dtype=torch.int64), torch.tensor([], dtype=torch.int64), 3, 2
        )


# Ranks


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), kinds=st.integers(1, 12))
def test_rank_correlation_with_ties_agrees_with_scipy(seed: int, kinds: int) -> None:
    a = torch.randint(kinds, (30, 2), generator=generator(seed)).float()
    b = torch.randn(30, 3, generator=generator(seed + 1)).round(decimals=1)
    found = codes.spearman(a, b)
    for i in range(2):
        for j in range(3):
            constant = bool((a[:, i] == a[0, i]).all())
            expected = (
                0.0 if constant else stats.spearmanr(a[:, i].numpy(), b[:, j].numpy()).statistic
            )
            assert found[i, j].item() == pytest.approx(expected, abs=1e-9)


def test_rank_correlation_ignores_any_rising_map() -> None:
    x, y = torch.randn(100, 1, generator=generator(1)), torch.randn(100, 1, generator=generator(2))
    assert codes.spearman(x.exp(), y**3).item() == pytest.approx(
        codes.spearman(x, y).item(), abs=1e-12
    )
    assert codes.spearman(x, -x).item() == pytest.approx(-1)


# Information


def test_information_has_its_closed_forms() -> None:
    a = torch.arange(8).repeat(4)
    assert codes.mutual_information(a, a) == pytest.approx(math.log(8))
    assert codes.mutual_information(a, a // 2) == pytest.approx(math.log(4))
    assert codes.mutual_information(a // 2, a % 2) == pytest.approx(0, abs=1e-12)
    assert codes.normalized_mutual_information(a, (3 * a + 1) % 8) == pytest.approx(1)
    assert (
        codes.normalized_mutual_information(a, torch.zeros_like(a))
        == 0
        == codes.normalized_mutual_information(0 * a, 0 * a)
    )


def test_normalized_information_agrees_with_scikit_learn() -> None:
    cluster = pytest.importorskip("sklearn.metrics.cluster")
    a, b = torch.randint(5, (2, 300), generator=generator(4))
    b = torch.where(torch.rand(300, generator=generator(5)) < 0.5, a, b)
    assert codes.normalized_mutual_information(a, b) == pytest.approx(
        cluster.normalized_mutual_info_score(a, b)
    )


def test_bins_are_equally_wide_and_few_values_keep_their_own() -> None:
    x = torch.linspace(0, 10, 101)[:, None]
    found = codes.discretize(x, 10)[:, 0]
    assert found.min() == 0 and found.max() == 9 and bool((found.diff() >= 0).all())
    assert found.bincount().tolist()[:9] == pytest.approx(
        [10] * 9, abs=1
    )  # an edge may fall either way by rounding
    assert codes.discretize(torch.tensor([[5.0], [-1.0], [5.0], [99.0]]))[:, 0].tolist() == [
        1,
        0,
        1,
        2,
    ]


# Disentanglement


def shuffled_codes(v: Tensor, bend: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
    return bend(v[:, torch.arange(v.shape[1]).roll(1)])


@pytest.mark.parametrize(
    "bend", [lambda x: x, torch.exp, lambda x: -3 * x + 1], ids=["straight", "bent", "turned round"]
)
def test_perfect_codes_score_near_one(bend: Callable[[Tensor], Tensor]) -> None:
    v = torch.rand(4000, 4, generator=generator(0))
    z = shuffled_codes(v, bend)
    assert codes.mutual_information_gap(z, v) > (
        0.85 if bend is not torch.exp else 0.75
    )  # bins of a bent code cut elsewhere
    found = codes.dci(z, v)
    assert (
        found.disentanglement > 0.97 and found.completeness > 0.97 and found.informativeness > 0.97
    )


@pytest.mark.parametrize("seed", range(5))
def test_independent_codes_score_near_zero(seed: int) -> None:
    v, z = (
        torch.rand(2000, 4, generator=generator(seed)),
        torch.rand(2000, 3, generator=generator(100 + seed)),
    )
    assert codes.mutual_information_gap(z, v) < 0.02 and codes.spearman(z, v).abs().max() < 0.1
    assert codes.dci(z, v) == codes.DCI(0.0, 0.0, 0.0)


def test_turned_codes_are_informative_and_entangled() -> None:
    v = torch.randn(4000, 2, generator=generator(0))
    z = v @ torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    found = codes.dci(z, v)
    assert (
        found.disentanglement < 0.05 and found.completeness < 0.05 and found.informativeness > 0.9
    )
    assert codes.mutual_information_gap(z, v) < 0.05


def test_a_factor_spread_over_two_codes_is_disentangled_but_not_complete() -> None:
    v = torch.rand(4000, 2, generator=generator(0))
    first, second = (
        v[:, 0] + torch.rand(4000, generator=generator(1)),
        v[:, 0] + torch.rand(4000, generator=generator(2)),
    )
    found = codes.dci(torch.stack([first, second, v[:, 1]], 1), v)
    assert found.disentanglement > 0.9 and found.completeness < 0.8


def test_a_category_counts_whatever_its_order() -> None:
    kinds = torch.randint(5, (4000,), generator=generator(0))
    other = torch.rand(4000, generator=generator(1))
    worth = torch.tensor([2.0, -1.0, 5.0, 0.0, -4.0])[kinds]
    found = codes.dci(torch.stack([kinds.float(), other], 1), torch.stack([worth, other], 1))
    assert (
        found.disentanglement > 0.95 and found.completeness > 0.95 and found.informativeness > 0.95
    )


def test_codes_that_tell_nothing_at_all_score_zero() -> None:
    still = torch.ones(50, 2)
    v = torch.rand(50, 2, generator=generator(0))
    assert codes.dci(still, v) == codes.DCI(0.0, 0.0, 0.0)
    assert codes.dci(v, still).informativeness == 0
    assert codes.mutual_information_gap(still, v) == 0 == codes.mutual_information_gap(v, still)


def test_the_expansion_of_a_code_is_orthonormal() -> None:
    bent = codes.basis(torch.rand(2000, generator=generator(0)) ** 3)
    assert torch.allclose(bent.T @ bent / 2000, torch.eye(3).double(), atol=0.01)
    few = codes.basis(torch.arange(4).repeat(10).float())
    assert torch.allclose(few.mean(0), torch.zeros(4).double(), atol=1e-12)
    assert torch.allclose(few.T @ few / 40, torch.eye(4).double() - 0.25)


def test_the_lasso_meets_its_optimality_conditions() -> None:
    x = torch.randn(200, 6, generator=generator(0)).double()
    x[:, 5] = x[:, 0] + 0.1 * x[:, 5]  # nearly the same as another
    y = x[:, 0] - 0.5 * x[:, 1] + 0.1 * torch.randn(200, generator=generator(1)).double()
    w = codes.lasso(x, y, 0.05, sweeps=2000)
    gradient = x.T @ (y - x @ w) / 200
    assert torch.allclose(gradient[w != 0], 0.05 * w[w != 0].sign(), atol=1e-5)
    assert bool((gradient.abs() <= 0.05 + 1e-5).all()) and bool((w[2:5] == 0).all())


def test_tables_that_cannot_be_compared() -> None:
    with pytest.raises(UsageError, match="0 latents"):
        codes.mutual_information_gap(torch.zeros(9, 0), torch.zeros(9, 1))
    with pytest.raises(UsageError, match="got 1 and 2"):
        codes.dci(torch.rand(9, 1), torch.rand(9, 2))


# Slant and width


def bars(lean: Tensor, half: Tensor, side: int = 21) -> Tensor:
    """Images of upright bars sheared by `lean` pixels a row and 2 half + 1 pixels wide."""
    rows, columns = torch.arange(side) - side // 2, torch.arange(side) - side // 2
    away = (columns - lean[:, None, None] * rows[:, None]).abs()
    light = (half[:, None, None] + 0.5 - away + 0.5).clamp(0, 1)
    return (255 * light * (rows[:, None].abs() < 6)).round().byte()[:, None]


def test_slant_is_the_shear_and_width_grows_with_the_bar() -> None:
    lean = torch.tensor([-0.5, 0.0, 0.5, 0.0])
    half = torch.tensor([1.0, 1.0, 1.0, 3.0])
    found = codes.slant_and_width(bars(lean, half))
    assert found[:, 0].tolist() == pytest.approx(lean.tolist(), abs=0.01)
    assert found[1, 1].item() == pytest.approx(math.sqrt(2 / 3), abs=0.01)  # uniform on -1, 0, 1
    assert found[3, 1].item() == pytest.approx(2, abs=0.01)  # uniform on -3 .. 3
    assert found[0, 1].item() == pytest.approx(
        found[1, 1].item(), abs=0.1
    )  # leaning does not make it wider
    assert codes.slant_and_width(torch.zeros(1, 3, 5, 5, dtype=torch.uint8)).tolist() == [[0, 0]]


def test_correlations_within_classes_are_not_moved_by_the_classes() -> None:
    groups = torch.arange(2).repeat_interleave(50)
    x = torch.rand(100, 1, generator=generator(0))
    assert codes.mean_abs_spearman(x, x - 10 * groups[:, None], groups).item() == pytest.approx(1)
    assert codes.spearman(x, x - 10 * groups[:, None]).item() < 0.9
    assert codes.mean_abs_spearman(x[:2], x[:2], groups[:2]).item() == 0


# The report


class Bars:
    """Knows its codes perfectly: a category that turns light into dark places, slant and width."""

    name = "bars"

    def __init__(self, wrong: int = 0, continuous: bool = True) -> None:
        self.spec, self.wrong, self.continuous = Spec("bars", (1, 21, 21), 2), wrong, continuous

    def codes(self) -> tuple[Code, ...]:
        category = Code("category", "categorical", 1, 2)
        return (
            (category, Code("lean", "continuous", 3), Code("half", "continuous", 4))
            if self.continuous
            else (category,)
        )

    def prior(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        kind = torch.eye(2)[torch.randint(2, (n,), generator=generator)]
        return torch.cat(
            [
                torch.rand(n, 1, generator=generator),
                kind,
                2 * torch.rand(n, 2, generator=generator) - 1,
            ],
            1,
        )

    def decode(self, z: Tensor) -> Tensor:
        x = bars(0.5 * z[:, 3], 2 + z[:, 4])
        x[:, 0, 0, 0] = 10 * z[:, 1].byte()  # a mark that tells the category
        return x

    def infer(self, x: Tensor) -> list[Tensor]:
        kind = (x[:, 0, 0, 0] > 0).long()
        kind[: self.wrong] = 1 - kind[: self.wrong]
        slant, width = codes.slant_and_width(x).float().split(1, 1)
        return (
            [torch.eye(2)[1 - kind], slant, -width] if self.continuous else [torch.eye(2)[1 - kind]]
        )


def drawn_data(model: Bars, n: int = 400, **facts: Any) -> tuple[Dataset, Tensor]:
    z = model.prior(n, generator=generator(7))
    return Dataset(
        model.spec, model.decode(z), z[:, 1].long(), facts=Facts(**facts)
    ), z  # labels are the other way round


def test_the_report_of_labeled_images() -> None:
    model = Bars()
    data, _ = drawn_data(model)
    report = code_report.describe_codes(
        model, data, fit=data, generated=500, batch=90, split="test"
    )
    assert report.matches["category"].one_to_one == 0 and report.nmi == {
        "category": pytest.approx(1)
    }
    assert (
        report.mapped == 400 and report.images == 400 and report.drawn == 500 and report.gap is None
    )
    assert (
        report.correlations["lean"]["slant"] > 0.99 and report.correlations["half"]["width"] > 0.99
    )
    assert report.own["lean"]["slant"] > 0.99 and report.own["lean"]["width"] < 0.3
    assert report.own["half"]["slant"] < 0.3 < 0.98 < report.own["half"]["width"]
    assert report.information == {"category": pytest.approx(math.log(2))}
    assert json.loads(json.dumps(report.as_dict()))["matches"]["category"]["majority"] == 0


def test_the_information_on_a_category_is_what_its_reader_can_tell() -> None:
    model = Bars()
    data, z = drawn_data(model)
    sure = model.infer

    def doubtful(x: Tensor) -> list[Tensor]:
        kind, *rest = sure(x)
        return [0.75 * kind + 0.25 * (1 - kind), *rest]

    model.infer = doubtful  # type: ignore[method-assign]
    expected = {"category": pytest.approx(math.log(2) + math.log(0.75))}
    assert code_report.describe_codes(model, data, generated=130, batch=50).information == expected
    report = code_report.describe_codes(model, data, z[:, 2:5], generated=50)
    assert report.information == expected and report.drawn == 50, "with known factors as well"
    assert code_report.describe_codes(model, data, generated=0).information == {}


def test_the_report_counts_wrong_readings_and_skips_images_without_a_label() -> None:
    model = Bars(wrong=10)
    data, _ = drawn_data(model)
    assert data.y is not None
    assert code_report.describe_codes(model, data, generated=0, batch=400).matches[
        "category"
    ].one_to_one == pytest.approx(10 / 400)
    few = Dataset(data.spec, data.x, torch.where(torch.arange(400) < 100, data.y, -1))
    assert code_report.describe_codes(model, few, generated=0, batch=400).matches[
        "category"
    ].one_to_one == pytest.approx(10 / 100)


def test_the_report_of_known_factors() -> None:
    model = Bars()
    data, z = drawn_data(model, 2000)
    report = code_report.describe_codes(model, data, z[:, 2:5], ("kind", "slant", "size"))
    assert (
        report.correlations["lean"]["slant"] > 0.99 and report.correlations["half"]["size"] < -0.98
    )
    assert report.gap is not None and report.gap > 0.8 and report.own == {}
    assert (
        report.dci is not None
        and report.dci.informativeness > 0.9
        and report.dci.disentanglement > 0.9
    )


def test_the_report_takes_the_factors_that_a_data_set_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Bars()
    data, z = drawn_data(model, factors=torch.zeros(0), factor_names=("slant", "size"))
    monkeypatch.setattr(code_report, "factors_of", lambda data: z[:, 3:5])
    assert list(code_report.describe_codes(model, data).correlations["lean"]) == ["slant", "size"]
    with pytest.raises(DataError, match="400 images and 3 rows"):
        code_report.describe_codes(model, data, z[:3, 3:5])


def test_the_report_of_a_model_without_continuous_codes_or_labels() -> None:
    model = Bars(continuous=False)
    data, _ = drawn_data(model)
    found = code_report.describe_codes(model, data)
    assert found.correlations == {} == found.own and found.matches["category"].majority == 0
    bare = code_report.describe_codes(
        Bars(), Dataset(Spec("bare", (1, 21, 21)), data.x), generated=0
    )
    assert bare.matches == {} and bare.correlations["lean"]["slant"] > 0.99


def test_the_table_shows_every_code_and_its_protocol() -> None:
    model = Bars()
    data, z = drawn_data(model)
    console = Console(width=160, record=True, file=open("/dev/null", "w"))
    console.print(code_report.describe_codes(model, data, generated=50, split="test").table())
    console.print(code_report.describe_codes(model, data, z[:, 2:5]).table())
    text = " ".join(console.export_text().split())
    for part in (
        "400 test images",
        "one-to-one",
        "0.00%",
        "majority",
        "generated",
        "matched on the same images",
        "information gap",
        "factor 3",
    ):
        assert part in text


def test_what_cannot_be_described() -> None:
    data, _ = drawn_data(Bars())
    with pytest.raises(MissingCapability, match="cannot report on its latent codes"):
        code_report.describe_codes(tiny.model("dcgan"), data)
    with pytest.raises(UsageError, match="shape"):
        code_report.describe_codes(Bars(), tiny.images())
    with pytest.raises(DataError, match="No image"):
        code_report.describe_codes(Bars(), Dataset(data.spec, data.x, torch.full((400,), -1)))
    broken = Bars()
    broken.infer = lambda x: [
        torch.eye(2)[torch.zeros(len(x)).long()],
        torch.full((len(x), 1), math.nan),
        torch.zeros(len(x), 1),
    ]  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="diverged"):
        code_report.describe_codes(broken, data)


def test_the_command_writes_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(tiny.model("infogan"), tmp_path / "model", data={"data": "mnist"})
    assert (
        main(
            (
                f"codes {folder} --n 200 --fit 100 --generated 100 "
                f"--record {tmp_path / 'codes.json'}"
            ).split()
        )
        == 0
    )
    record = json.loads((tmp_path / "codes.json").read_text())
    found = record["figures"]
    assert (
        found["images"] == 200
        and found["mapped"] == 100
        and 0 < found["matches"]["category"]["one_to_one"] <= 1
    )
    assert set(found["correlations"]) == {"continuous 1", "continuous 2"} == set(found["own"])
    assert main(["codes", str(folder), "--split", "both"]) == 2
    assert main(["codes", str(folder), "--n", "-1"]) == 2
    assert main(["codes", "mnist/dcgan"]) != 0
    assert "cannot report on its latent codes" in capsys.readouterr().err
