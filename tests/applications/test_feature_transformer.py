"""The scikit-learn transformer: scikit-learn's checks that any data can pass, and the others on
images."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks as checks

import tiny
import zeuxis
from zeuxis import ZeuxisFeatures
from zeuxis.errors import MissingCapability, UsageError

WITHOUT_DATA = (
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_fit_score_takes_y",
)


def pixels(n: int = 12) -> np.ndarray:
    return tiny.images(n).all().flatten(1).numpy()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(zeuxis.save(tiny.model("vae"), tmp_path / "vae"))


@pytest.mark.parametrize("name", WITHOUT_DATA)
def test_checks_that_any_data_can_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "check_fit_score_takes_y":  # its data have three columns
        monkeypatch.setattr(
            checks, "_enforce_estimator_tags_X", lambda estimator, X: pixels(len(X))
        )
    check: Callable = getattr(checks, name)
    check("ZeuxisFeatures", ZeuxisFeatures())


def test_features_are_those_of_the_model_in_any_form_of_pixels(folder: str) -> None:
    x = tiny.images(12).all()
    expected = zeuxis.load(folder).features(x).numpy()
    for X in (pixels(), pixels().astype(float), pixels() / 255, (pixels() / 255).tolist()):
        found = ZeuxisFeatures(folder).fit(X)
        np.testing.assert_allclose(found.transform(X), expected, atol=1e-5)
        np.testing.assert_array_equal(found.fit_transform(X), found.transform(X))
    assert found.n_features_in_ == 784
    assert found.get_feature_names_out()[1] == "zeuxisfeatures1"
    assert len(found.get_feature_names_out()) == expected.shape[1]


def test_a_pickle_holds_a_name_and_no_weights(folder: str) -> None:
    found = ZeuxisFeatures(folder).fit(pixels())
    packed = pickle.dumps(found)
    assert len(packed) < 1_000
    np.testing.assert_array_equal(
        pickle.loads(packed).transform(pixels()), found.transform(pixels())
    )
    copy = clone(found)
    assert copy.model == folder and not hasattr(copy, "unit_")


def test_a_model_can_be_given_itself_and_another_set_later(folder: str) -> None:
    model = zeuxis.load(folder)
    given = ZeuxisFeatures(model).fit(pixels())
    named = ZeuxisFeatures(folder).fit(pixels())
    np.testing.assert_array_equal(given.transform(pixels()), named.transform(pixels()))
    before = named.transform(pixels()).shape[1]
    named.set_params(model=tiny.model("dcgan").eval()).fit(pixels())
    assert named.transform(pixels()).shape[1] != before


def test_it_stands_in_a_pipeline() -> None:
    x, y = zeuxis.load_data("mnist", split="test").batch(torch.arange(300))
    X = x.flatten(1).numpy()
    pipeline = make_pipeline(ZeuxisFeatures("mnist/vae"), LogisticRegression(max_iter=300))
    assert pipeline.fit(X[:200], y[:200]).score(X[200:], y[200:]) > 0.75


def test_rows_that_are_no_images(folder: str) -> None:
    with pytest.raises(NotFittedError):
        ZeuxisFeatures(folder).transform(pixels())
    with pytest.raises(ValueError, match="X has 3 columns, expected the 784 pixels"):
        ZeuxisFeatures(folder).fit(pixels()[:, :3])
    with pytest.raises(ValueError, match="from -1.0 to 1.0, expected pixels from 0 to 255"):
        ZeuxisFeatures(folder).fit(np.where(np.arange(784) % 2, 1.0, -1.0)[None])
    found = ZeuxisFeatures(folder).fit(pixels() / 255)
    with pytest.raises(ValueError, match="expected pixels from 0 to 1 as in fit"):
        found.transform(pixels())
    with pytest.raises(ValueError, match="784 features"):
        found.transform(pixels()[:, :700] / 255)
    with pytest.raises(ValueError, match="NaN"):
        found.transform(np.full((1, 784), np.nan))


def test_models_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match="did you mean mnist/vae"):
        ZeuxisFeatures("mnist/vea").fit(pixels())
    with pytest.raises(MissingCapability, match="cannot describe examples by features"):
        ZeuxisFeatures(tiny.model("wgan-gp").eval()).fit(pixels())
