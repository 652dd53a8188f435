"""Verdicts: each hypothesis holds, fails or stays open as its intervals ask."""

from __future__ import annotations

import math
from typing import Any

import pytest

from columns import column, noisy
from zeuxis.applications.comparison.advice import advice
from zeuxis.applications.comparison.hypotheses import hypotheses
from zeuxis.applications.comparison.results import Column
from zeuxis.applications.comparison.verdicts import Verdict, outcome


def spectrum(value: float) -> dict[str, Any]:
    """A ratio of the spectral share, with the interval of a bootstrap."""
    part = noisy(value)
    return {"mean": {"spectrum": lambda seed: [part(seed), part(seed) - 0.02, part(seed) + 0.02]}}


def as_the_article_says(seeds: int = 5) -> list[Column]:
    """Columns for which every sentence is right."""
    losses = {"failed": "", "losses": {"model": [5.0 - 0.05 * i for i in range(60)]}}
    falls = {"failed": "", "courses": lambda seed: [[1, 9.0], [2, 2.0], [3, 4.0 + 0.1 * seed]]}
    steady = {"failed": "", "courses": [[1, 9.0], [2, 4.0]]}
    quality = lambda frechet, precision, recall, spread=0.01: {  # noqa: E731
        "frechet": noisy(frechet, spread), "precision": noisy(precision),
        "recall": noisy(recall), "coverage": noisy(recall),
        "histogram": {"entropy": 2.2, "most": 2.3},
    }  # fmt: skip
    size = {"sampling": 1_000_000, "bytes": 4_000_000, "data bytes": 40_000_000}
    seconds = lambda value: {"seconds": {"64": noisy(value)}, "passes": 1}  # noqa: E731
    nats = lambda mean: {  # noqa: E731
        "pixels": "binary", "kind": "exact",
        "nats": lambda seed: [noisy(mean, 0.001)(seed) + 5 * (i % 3) for i in range(30)],
    }  # fmt: skip
    gan = column(
        "GAN", seeds, size=size, quality=quality(4, 0.9, 0.5, 0.4), sharpness=spectrum(1.0),
        training=falls, cost=seconds(0.002),
        annealed={"binary": {"nats": [-120.0 + 5 * (i % 3) for i in range(20)], "width": 0.01}},
    )  # fmt: skip
    codes = {
        "source": "its own encoder", "length": 32,
        "accuracy": [[100, noisy(0.8), 0.8], [1000, noisy(0.9), 0.9]],
        "baseline": [[100, 0.6, 0.6], [1000, 0.8, 0.8]],
    }  # fmt: skip
    vae = column(
        "VAE", seeds, size=size, quality=quality(9, 0.7, 0.7), sharpness=spectrum(0.6),
        training=steady, cost=seconds(0.002), likelihood=nats(-95) | {"active": 20, "units": 32},
        codes={key: listed(value) for key, value in codes.items()},
    )  # fmt: skip
    ar = column(
        "autoregressive", seeds, size=size, quality=quality(3, 0.8, 0.8, 0.001),
        sharpness=spectrum(1.2), training=steady | losses, cost=seconds(0.02),
        likelihood=nats(-80),
    )  # fmt: skip
    return [gan, vae, ar]


def listed(value: Any) -> Any:
    """Rows whose entries may be callables as one callable."""
    if not isinstance(value, list):
        return value
    return lambda seed: [[v(seed) if callable(v) else v for v in row] for row in value]


def changed(columns: list[Column], family: str, measure: str, **figures: Any) -> list[Column]:
    """The columns with other figures in one of them."""
    found = []
    for one in columns:
        runs = one.runs
        if one.family == family:
            runs = tuple(
                run | {measure: {"figures": run[measure]["figures"] | figures}} for run in runs
            )
        found.append(Column(**{**vars(one), "runs": runs}))
    return found


def by_number(verdicts: list[Verdict]) -> dict[str, Verdict]:
    return {verdict.number: verdict for verdict in verdicts}


def test_every_sentence_holds_where_the_figures_are_as_it_says() -> None:
    for verdict in hypotheses(as_the_article_says()):
        assert verdict.outcome == "holds", (verdict.number, verdict.evidence)


@pytest.mark.parametrize(
    ("number", "family", "measure", "figures"),
    [
        ("H1", "VAE", "sharpness", {"mean": {"spectrum": [1.2, 1.19, 1.21]}}),
        ("H2", "GAN", "quality", {"precision": 0.6}),
        ("H3", "GAN", "training", {"courses": [[1, 4.0]]}),
        ("H4", "autoregressive", "training", {"losses": {"model": [1.0] * 30 + [9.0] * 30}}),
        ("H5", "VAE", "likelihood", {"nats": [-70.0 + 5 * (i % 3) for i in range(30)]}),
        ("H6", "autoregressive", "cost", {"seconds": {"64": 0.001}}),
        ("H8", "VAE", "codes", {"baseline": [[100, 0.95, 0.9]]}),
        ("H9", "GAN", "size", {"bytes": 39_000_000}),
        ("H10", "GAN", "quality", {"recall": 0.9, "coverage": 0.9}),
    ],
)
def test_a_figure_on_the_other_side_refutes(
    number: str, family: str, measure: str, figures: dict[str, Any]
) -> None:
    columns = changed(as_the_article_says(), family, measure, **figures)
    if number == "H3":  # the others fall back more than the GAN
        worse = {"courses": [[1, 1.0], [2, 3.0]]}
        columns = changed(columns, "VAE", "training", **worse)
    verdict = by_number(hypotheses(columns))[number]
    assert verdict.outcome == "does not hold", verdict.evidence


def test_a_model_with_a_code_refutes_that_it_has_none() -> None:
    columns = as_the_article_says()
    able = Column(**{**vars(columns[2]), "capabilities": ("sample", "encode")})
    assert by_number(hypotheses([*columns[:2], able]))["H7"].outcome == "does not hold"


def test_few_seeds_and_missing_columns_leave_it_open() -> None:
    one = by_number(hypotheses(as_the_article_says(seeds=1)))
    assert {n for n, v in one.items() if v.outcome == "undecided"} >= {"H2", "H3", "H4", "H10"}
    assert "needs 5 seeds" in one["H3"].evidence
    assert one["H1"].outcome == "holds", "a bootstrap over images stands in for seeds"
    alone = hypotheses(as_the_article_says()[:1])
    assert [v.outcome for v in alone if v.number != "H9"] == ["undecided"] * 9
    assert all(v.outcome in ("undecided", "holds") for v in hypotheses([]))


def test_a_failed_run_is_no_stable_training() -> None:
    columns = as_the_article_says()
    broken = {"training": {"figures": {"failed": "nan", "courses": [], "losses": {}}}}
    runs = (*columns[2].runs[:4], broken)
    unstable = Column(**{**vars(columns[2]), "runs": runs})
    verdict = by_number(hypotheses([*columns[:2], unstable]))["H4"]
    assert verdict.outcome == "does not hold" and "0.2 (0.00505 to 0.716)" in verdict.evidence


def test_a_bound_is_not_held_against_the_model_that_has_it() -> None:
    """A VAE whose annealed likelihood is far above its bound may be above the exact model."""
    columns = as_the_article_says()
    annealed = {"binary": {"nats": [-70.0 + 5 * (i % 3) for i in range(20)], "gap": 0.1}}
    runs = tuple(run | {"annealed": {"figures": annealed}} for run in columns[1].runs)
    columns[1] = Column(**{**vars(columns[1]), "runs": runs})
    assert by_number(hypotheses(columns))["H5"].outcome == "does not hold"


def test_densities_become_bounds_on_probabilities_of_levels() -> None:
    figures = {"nats": [600.0], "dimensions": 784}
    gan = column("GAN", 1, annealed={"256 levels": figures, "binary": {"nats": [-120.0]}})
    assert gan.annealed("256 levels") == [600 - 784 * math.log(256)]
    assert gan.nats("binary") == ("AIS", [[-120.0]])


def test_outcomes_of_claims() -> None:
    assert outcome([True, None]) == "undecided" and outcome([]) == "undecided"
    assert outcome([None, False, True]) == "does not hold"


def test_advice_names_the_best_and_what_equals_it() -> None:
    lines = {line.wanted: line for line in advice(as_the_article_says())}
    assert lines["single samples that look real"].take == ("GAN",)
    assert set(lines["many samples in little time"].take) == {"GAN", "VAE"}
    assert lines["likelihoods, compression, surprise"].take == ("autoregressive",)
    assert "GAN" not in lines["likelihoods, compression, surprise"].why, "it has no likelihood"
    assert "codes that mean something" not in lines, "one model is no choice"
    single = {line.wanted: line for line in advice(as_the_article_says(seeds=1))}
    assert len(single["single samples that look real"].take) == 3
    assert single["many samples in little time"].take == ("GAN", "VAE")
    assert single["likelihoods, compression, surprise"].take == ("autoregressive",)
    assert advice([]) == []
