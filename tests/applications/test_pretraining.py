"""Pre-training: fair splits, no look at the test part, the same result again, and refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import tiny
from zeuxis.applications import pretraining as module
from zeuxis.applications.few_label_networks import OnFeatures, convolutional
from zeuxis.applications.fine_tuning import FineTuning, fine_tune, held_fifth
from zeuxis.applications.pretraining import (
    FINE_TUNED,
    METHODS,
    NETWORKS,
    PCA,
    PROBE,
    SCRATCH,
    Comparison,
    Outcome,
    classifiers,
    pretraining,
)
from zeuxis.capabilities import CanFeature, CanFineTune
from zeuxis.cli import main
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.data.labels import few_labels
from zeuxis.errors import DataError, MissingCapability, UsageError
from zeuxis.evaluation.linear_probe import fit_probe
from zeuxis.model import Model
from zeuxis.nn.trunk import in_parts
from zeuxis.registry import models
from zeuxis.visual.label_curves import plot_errors

QUICK = FineTuning(steps=4, batch=8, scratch_lr=(1e-3, 3e-3))
TUNABLE = [name for name, kind in models().items() if hasattr(kind, "trunk")]


def bars(n: int = 200, seed: int = 0, side: int = 28) -> Dataset:
    """Images of four classes: a bright bar in one of four places, and noise."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 60, (n, 1, side, side), dtype=torch.uint8, generator=generator)
    y = torch.arange(n) % 4
    for image, c in zip(x, y.tolist(), strict=True):
        image[0, 7 * c : 7 * c + 4] += 180
    return Dataset(Spec("bars", (1, side, side), 4), x, y)


@pytest.fixture
def model() -> Model:
    return tiny.model("vae").eval().requires_grad_(False)


def compare(model: Model, train: Dataset, test: Dataset, **more: object) -> Comparison:
    options: dict = {"labels": [8, 40], "splits": 2, "settings": QUICK, "quiet": True} | more
    return pretraining(model, train, test, **options)


def test_all_methods_learn_from_the_same_balanced_labels(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []

    def spy(data: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
        positions = torch.nonzero(data.labels >= 0)[:, 0]
        if len(positions) < len(data):
            seen.append(tuple(positions.tolist()))
        return data.batch(positions)

    used: dict[int, list[torch.Tensor]] = {}

    def probe(features: torch.Tensor, y: torch.Tensor, classes: int) -> object:
        used.setdefault(len(y), []).append(y)
        return fit(features, y, classes)

    def tune(trunk: object, start: object, x: torch.Tensor, y: torch.Tensor, *rest) -> object:
        used.setdefault(len(y), []).append(y)
        return fine_tune(trunk, start, x, y, *rest)

    fit = module.fit_probe
    monkeypatch.setattr(module, "labeled", spy)
    monkeypatch.setattr(module, "fit_probe", probe)
    monkeypatch.setattr(module, "fine_tune", tune)
    compare(model, bars(), bars(40, seed=1))
    assert [len(rows) for rows in seen] == [8, 40, 8, 40], "one choice a split and number"
    for n, found in used.items():
        assert len(found) == 2 * len(METHODS)
        for y in found:
            assert torch.bincount(y).tolist() == [n // 4] * 4
        assert all(torch.equal(y, found[0]) for y in found[:5])
    assert set(seen[0]) < set(seen[1]) and set(seen[0]) != set(seen[2])


@pytest.mark.slow
def test_test_labels_influence_no_choice_and_no_classifier(model: Model) -> None:
    train, test = bars(), bars(40, seed=1)
    assert test.y is not None
    wrong = replace(test, y=(test.y + 1) % 4)
    found, other = compare(model, train, test), compare(model, train, wrong)
    for n, methods in found.outcomes.items():
        for name, outcome in methods.items():
            assert outcome.choices == other.outcomes[n][name].choices
    # Every image counts as right for one of four labels at most.
    turned = [replace(test, y=(test.y + k) % 4) for k in range(4)]
    runs = [compare(model, train, data, labels=[8], splits=1) for data in turned]
    for name in METHODS:
        assert sum(run.outcomes[8][name].errors[0] for run in runs) == pytest.approx(300)


def test_test_images_influence_no_classifier(model: Model) -> None:
    x, other = bars(40, seed=1).all(), bars(40, seed=2).all()
    for n, found in classifiers(model, bars(), [8], 0, QUICK):
        for trained in found:
            first = trained.classify(x)
            trained.classify(other)
            assert torch.equal(trained.classify(x.clone()), first), (n, trained.method)


@pytest.mark.slow
def test_a_seed_repeats_the_comparison_and_another_does_not(model: Model) -> None:
    train, test = bars(), bars(100, seed=1)
    runs = [compare(model, train, test, labels=[8], seed=seed) for seed in (0, 0, 1)]
    errors = [[run.outcomes[8][name].errors for name in METHODS] for run in runs]
    assert errors[0] == errors[1] != errors[2]
    # The second split of seed 0 is the first of seed 1.
    assert [e[1] for e in errors[0]] == [e[0] for e in errors[2]]


def test_bars_are_learned(model: Model) -> None:
    found = compare(
        model, bars(), bars(100, seed=1), labels=[40], splits=1,
        settings=FineTuning(steps=40, batch=8, shift=0, scratch_lr=(3e-3,)),
    )  # fmt: skip
    for name in (PROBE, PCA, FINE_TUNED, SCRATCH):
        assert found.outcomes[40][name].mean < 5, name


def test_the_model_is_left_as_it_was(model: Model) -> None:
    before = {key: value.clone() for key, value in model.state_dict().items()}
    compare(model, bars(), bars(40, seed=1), labels=[8], splits=1)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_model_without_a_trunk_is_probed_only() -> None:
    plain = tiny.model("improved-gan", supervised=False).eval()
    if plain.can(CanFineTune):
        pytest.skip("every model can be fine-tuned")
    data = tiny.images(64)
    found = compare(plain, data, data, labels=[20], splits=1)
    assert set(found.outcomes[20]) == {PROBE, "random features", PCA}
    assert found.saved(20) is None and "fewer errors" not in found.as_dict()["20"]


def test_networks_on_features_and_pixels_are_compared_if_asked(model: Model) -> None:
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = compare(model, bars(), bars(40, seed=1), labels=[8], splits=1, networks=True)
    methods = found.outcomes[8]
    assert set(methods) == {*METHODS, *NETWORKS}
    assert all(methods[name].choices[0] in QUICK.scratch_lr for name in NETWORKS)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    again = compare(model, bars(), bars(40, seed=1), labels=[8], splits=1, networks=True)
    for name in NETWORKS:
        assert again.outcomes[8][name].errors == methods[name].errors


def halves(x: torch.Tensor) -> torch.Tensor:
    """Two features: how bright the upper and the lower half are."""
    return x.float().flatten(1).unflatten(1, (2, -1)).mean(2) / 255


def test_a_network_on_features_learns_what_no_probe_can() -> None:
    """The class says whether the two halves of an image differ."""
    generator = torch.Generator().manual_seed(0)
    lit = torch.randint(2, (80, 2), generator=generator)
    noise = torch.randint(60, (80, 1, 16, 16), generator=generator)
    x = (noise + 190 * lit.repeat_interleave(8, 1)[:, None, :, None]).byte()
    y = lit.sum(1) % 2
    features = halves(x)
    probe = fit_probe(features, y, 2)
    assert (probe.logits(features).argmax(1) != y).float().mean() > 0.2
    trunk = OnFeatures(halves, x, seed=0)
    start = fit_probe(in_parts(trunk, x), y, 2)
    tuned = fine_tune(trunk, start, x, y, FineTuning(steps=60, shift=0), 3e-3, 0, x)
    assert torch.equal(tuned(x).argmax(1), y)


def test_small_images_have_no_convolutional_network() -> None:
    with pytest.raises(UsageError, match="leave out --networks"):
        convolutional(Spec("small", (1, 6, 9)), 0)


@pytest.mark.parametrize("name", TUNABLE)
def test_a_trunk_gives_the_features_with_gradients(name: str) -> None:
    model = tiny.model(name).eval()
    x = tiny.data_for(name).batch_of(6)
    trunk = model.trunk()  # type: ignore[operator]
    torch.testing.assert_close(in_parts(trunk, x), model.features(x))  # type: ignore[operator]
    trunk(x).square().sum().backward()
    used = [p for p in trunk.parameters() if p.grad is not None and bool(p.grad.any())]
    own = {id(p) for p in model.parameters()}
    assert used and all(id(p) in own for p in used), "shared with the model"


@pytest.mark.parametrize("name", TUNABLE)
def test_fine_tuning_lowers_the_loss_and_gives_the_same_image_the_same_logits(name: str) -> None:
    model, data = tiny.model(name).eval(), tiny.data_for(name)
    x, y = data.batch_of(40), torch.arange(40) % 10
    settings = FineTuning(steps=30, batch=20, shift=0)
    trunk = model.trunk()  # type: ignore[operator]
    features = in_parts(trunk, x)
    probe = fit_probe(features, y, 10)
    tuned = fine_tune(trunk, probe, x, y, settings, 5e-3, 0, x)
    before, after = (F.cross_entropy(logits, y) for logits in (probe.logits(features), tuned(x)))
    assert after < 0.9 * before
    torch.testing.assert_close(tuned(x[:3]), tuned(x)[:3], atol=1e-4, rtol=1e-4)


def test_a_fifth_of_each_class_validates() -> None:
    y = torch.arange(60) % 3
    held = held_fifth(y)
    assert torch.bincount(y[held]).tolist() == [4, 4, 4]


@pytest.mark.parametrize("labels", [[2], [4], [9], [10], []])
def test_labels_that_cannot_be_split_evenly_are_refused(model: Model, labels: list[int]) -> None:
    with pytest.raises(UsageError, match="multiple of 4|at least one number"):
        compare(model, bars(), bars(), labels=labels)


def test_too_few_images_of_a_class(model: Model) -> None:
    with pytest.raises(DataError, match="has 50 labeled examples and 100 are asked for"):
        compare(model, bars(), bars(), labels=[400])


def test_data_without_labels(model: Model) -> None:
    plain = replace(bars(), y=None)
    for pair in ((plain, bars()), (bars(), plain)):
        with pytest.raises(DataError, match="needs labels, and 'bars' has none"):
            compare(model, *pair)


def test_a_model_without_features() -> None:
    assert not tiny.model("wgan-gp").can(CanFeature)
    with pytest.raises(MissingCapability, match="cannot describe examples by features; models"):
        compare(tiny.model("wgan-gp"), bars(), bars())


def test_a_model_that_has_seen_labels() -> None:
    with pytest.raises(UsageError, match="was trained with labels"):
        compare(tiny.model("classifier"), bars(), bars())


def test_fewer_labels_than_classes_on_the_command_line(
    capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    assert main(["pretrain", "mnist/vae", "--labels", "5"]) == 2
    assert "--labels has 5 for 10 classes: give a multiple of 10" in capsys.readouterr().err
    assert main(["pretrain", "mnist/classifier"]) == 2
    assert main(["pretrain", "mnist/vae", "--plot", str(tmp_path / "a.txt")]) == 2


def test_mean_and_deviation_and_the_share_saved() -> None:
    found = Comparison(
        {
            10: {
                FINE_TUNED: Outcome([2.0, 4.0]),
                PROBE: Outcome([5.0, 5.0]),
                SCRATCH: Outcome([6.0]),
            }
        },
        100,
    )
    figures = found.as_dict()["10"]
    assert figures[FINE_TUNED]["mean"] == 3 and figures[FINE_TUNED]["std"] == pytest.approx(2**0.5)
    assert figures["fewer errors"] == pytest.approx(50)


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_equal_errors_are_equal_plots(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib")
    errors = {"a": [[3.0, 4.0], [1.0, 2.0]], "b": [[5.0, 5.0], [4.0, 4.0]]}
    first = plot_errors([100, 600], errors, tmp_path / f"1.{ending}").read_bytes()
    assert first == plot_errors([100, 600], errors, tmp_path / f"2.{ending}").read_bytes()
    assert first != plot_errors([100, 900], errors, tmp_path / f"3.{ending}").read_bytes()


def test_splits_of_few_labels_are_within_those_of_more() -> None:
    rows = [
        set(torch.nonzero(few_labels(bars(), k, 3).labels >= 0)[:, 0].tolist()) for k in (2, 10)
    ]
    assert rows[0] < rows[1]
