"""The linear probe: separable features, the minimum it promises, and what cross-validation sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from zeuxis.errors import UsageError
from zeuxis.evaluation.linear_probe import fit_probe, fold_of, softmax_regression


def clusters(n: int, size: int, distance: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """n points of four Gaussian classes in `size` dimensions, and their classes; the centers are
    the same for every seed."""
    centers = distance * torch.randn(4, size, generator=torch.Generator().manual_seed(99))
    y = torch.arange(n) % 4
    noise = torch.randn(n, size, generator=torch.Generator().manual_seed(seed))
    return centers[y] + noise, y


@pytest.mark.parametrize(("n", "size"), [(40, 8), (40, 200)])
def test_separable_features_leave_no_errors(n: int, size: int) -> None:
    x, y = clusters(n, size, distance=10)
    probe = fit_probe(x, y, 4)
    new, truth = clusters(200, size, distance=10, seed=1)
    assert torch.equal(probe.logits(x).argmax(1), y)
    assert torch.equal(probe.logits(new).argmax(1), truth)


def test_features_without_information_guess() -> None:
    x, y = clusters(400, 5, distance=0)
    new, truth = clusters(400, 5, distance=0, seed=1)
    probe = fit_probe(x, y, 4)
    assert 0.15 < (probe.logits(new).argmax(1) == truth).float().mean() < 0.35
    assert probe.ridge == 1.0, "noise asks for the strongest ridge"


def test_the_solution_is_that_of_scikit_learn() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = clusters(60, 6, distance=0.5)
    z = ((x - x.mean(0)) / x.std(0)).numpy()
    solution = softmax_regression(
        z, np.eye(4, dtype=np.float32)[y.numpy()], 0.01, np.ones((60, 1), np.float32)
    )[0]
    known = linear_model.LogisticRegression(C=1 / (60 * 0.01), tol=1e-8).fit(z, y.numpy())
    np.testing.assert_allclose(
        np.exp(z @ solution[:-1] + solution[-1])
        / np.exp(z @ solution[:-1] + solution[-1]).sum(1, keepdims=True),
        known.predict_proba(z),
        atol=0.01,
    )


def test_problems_solved_together_are_those_solved_alone() -> None:
    x, y = clusters(40, 6, distance=1)
    z, target = x.numpy(), np.eye(4, dtype=np.float32)[y.numpy()]
    inside = (fold_of(y, 2)[:, None] != np.arange(2)).astype(np.float32)
    both = softmax_regression(z, target, 0.1, inside)
    for problem in range(2):
        rows = inside[:, problem] == 1
        ones = np.ones((rows.sum(), 1), np.float32)
        alone = softmax_regression(z[rows], target[rows], 0.1, ones)[0]
        np.testing.assert_allclose(both[problem], alone, atol=0.02)


def test_fewer_examples_than_features_change_nothing_but_the_axes() -> None:
    x, y = clusters(40, 30, distance=1)
    wide = torch.cat([x, torch.zeros(40, 50)], 1)  # the same geometry in more dimensions
    torch.testing.assert_close(
        fit_probe(x, y, 4).logits(x).softmax(1),
        fit_probe(wide, y, 4).logits(wide).softmax(1),
        atol=0.02,
        rtol=0,
    )


def test_parts_hold_all_classes_in_proportion() -> None:
    y = torch.arange(100) % 10
    held = fold_of(y[torch.randperm(100, generator=torch.Generator().manual_seed(0))], 5)
    assert np.bincount(held).tolist() == [20] * 5


def test_a_class_without_labels_is_a_sentence() -> None:
    with pytest.raises(UsageError, match="Class 3 has no label"):
        fit_probe(torch.zeros(6, 2), torch.arange(6) % 3, 4)
