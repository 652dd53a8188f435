"""The scikit-learn estimator: scikit-learn's own checks, and what they do not ask."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from zeuxis import FewLabelClassifier


def missing(estimator: FewLabelClassifier) -> dict[str, str]:
    """Checks that cannot hold."""
    return {
        "check_classifiers_classes": "one of its classes is -1, which stands for an unknown label",
        "check_do_not_raise_errors_in_init_or_set_params": (
            "these tests check annotations as the program runs; it is checked below without"
        ),
    }


@parametrize_with_checks(
    [FewLabelClassifier(steps=20, width=16, random_state=0)], expected_failed_checks=missing
)
def test_the_checks_of_scikit_learn(estimator: FewLabelClassifier, check: Callable) -> None:
    if "check_classifiers_train" in str(check):  # which asks for accuracy
        estimator.set_params(steps=250)
    check(estimator)


@pytest.mark.slow
def test_the_check_of_classes_holds_with_another_mark_for_unknown_labels() -> None:
    from sklearn.utils.estimator_checks import check_classifiers_classes

    check_classifiers_classes(
        "FewLabelClassifier", FewLabelClassifier(steps=150, width=16, unlabeled=-99, random_state=0)
    )


@pytest.mark.slow
def test_any_argument_can_be_stored() -> None:
    program = """
from sklearn.utils.estimator_checks import check_do_not_raise_errors_in_init_or_set_params as check
from zeuxis import FewLabelClassifier
check("FewLabelClassifier", FewLabelClassifier())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def clusters(labels: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two clusters, rows of which have a label, and the truth."""
    truth = np.repeat(["left", "right"], 150)
    X = np.random.default_rng(0).normal(size=(300, 2)) + np.where(truth == "left", 0, 4)[:, None]
    y = np.full(300, "", dtype="<U5")
    y[:labels], y[150 : 150 + labels] = "left", "right"
    return X, y, truth


@pytest.mark.slow
def test_labels_may_be_words_and_unknown_ones_are_not_a_class() -> None:
    X, y, truth = clusters()
    found = FewLabelClassifier(members=2, steps=250, width=24, unlabeled="", random_state=0).fit(
        X, y
    )
    assert found.classes_.tolist() == ["left", "right"]
    assert len(found.models_) == 2
    assert found.score(X, truth) > 0.95
    assert found.models_[0].sample(5).shape == (5, 1, 1, 2)
    parts = [clone(found).set_params(members=1).fit(X, y), found]
    assert not np.array_equal(*[part.predict_proba(X) for part in parts])


def test_images_are_taken_as_bytes_or_as_numbers_between_0_and_1() -> None:
    x = np.random.default_rng(1).integers(0, 256, (40, 3 * 32 * 32)).astype(np.uint8)
    y = np.arange(40) % 3 - 1
    kind = FewLabelClassifier(steps=2, batch=10, width=8, shape=(3, 32, 32), random_state=0)
    whole = kind.fit(x, y)
    assert whole.models_[0].spec.shape == (3, 32, 32)
    expected = whole.predict_proba(x)
    assert whole.models_[0].sample(2).dtype == torch.uint8
    np.testing.assert_array_equal(
        whole.to_bytes(x.astype(float)).numpy(), whole.to_bytes(x).numpy()
    )
    np.testing.assert_allclose(clone(kind).fit(x / 255, y).predict_proba(x / 255), expected)
    with pytest.raises(ValueError, match="expected bytes"):
        clone(kind).fit(x * 3.0 - 5, y)
    with pytest.raises(ValueError, match="expected 3072"):
        clone(kind).fit(x[:, :50], y)


def test_it_stands_in_a_pipeline() -> None:
    X, _, truth = clusters()
    pipeline = make_pipeline(
        QuantileTransformer(n_quantiles=50), FewLabelClassifier(steps=60, width=24, random_state=0)
    )
    assert cross_val_score(pipeline, X, truth, cv=2).mean() > 0.9


@pytest.mark.parametrize("wrong", [{"members": 0}, {"steps": 0}, {"batch": 0}])
def test_counts_must_be_positive(wrong: dict[str, int]) -> None:
    X, y, _ = clusters()
    with pytest.raises(ValueError, match="at least 1"):
        FewLabelClassifier(unlabeled="", **wrong).fit(X, y)


@pytest.mark.slow
def test_without_scikit_learn_a_sentence_says_what_to_install_and_all_else_works() -> None:
    program = """
import sys
sys.modules["sklearn"] = None
from zeuxis import *
import zeuxis
try:
    zeuxis.FewLabelClassifier
except zeuxis.ZeuxisError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert "pip install 'zeuxis[sklearn]'" in done.stdout, done.stderr


@pytest.mark.parametrize("seen", ["unit", "bytes", "integers", "wide"])
def test_the_form_of_fit_holds_later(seen: str) -> None:
    rng = np.random.default_rng(0)
    unit = np.round(rng.random((40, 64)) * 255) / 255
    whole = np.rint(unit * 255)
    forms = {
        "unit": unit.astype(np.float32),
        "bytes": whole.astype(np.uint8),
        "integers": whole.astype(np.int64),
        "wide": whole,
    }
    model = FewLabelClassifier(steps=3, width=8, batch=20, shape=(1, 8, 8), random_state=0).fit(
        forms[seen], np.arange(40) % 2
    )
    own, refused = model.predict_proba(forms[seen]), set()
    for name, other in forms.items():
        try:
            np.testing.assert_allclose(model.predict_proba(other), own, atol=1e-6)
        except ValueError:
            refused.add(name)
    assert refused == ({"bytes", "integers", "wide"} if seen == "unit" else {"unit"})


@pytest.mark.parametrize("kind", ["object", "list", "strings"])
def test_names_with_an_unknown_among_them(kind: str) -> None:
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(0, 1, (20, 3)), rng.normal(4, 1, (20, 3))]
    names = ["cat"] * 3 + [-1] * 17 + ["dog"] * 3 + [-1] * 17
    model = FewLabelClassifier(steps=3, width=8, batch=20, random_state=0)
    if kind == "strings":
        with pytest.raises(ValueError, match="give a list or an array of dtype object"):
            model.fit(X, np.array([str(n) for n in names]))
        return
    model.fit(X, np.array(names, dtype=object) if kind == "object" else names)
    assert list(model.classes_) == ["cat", "dog"] and set(model.predict(X)) <= {"cat", "dog"}
