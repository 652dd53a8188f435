"""Shared by all tests: single-threaded determinism, jaxtyping checked at run time, and the optional
folder of real data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook("zeuxis", "checker.check")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """A folder of real data beside the checkout; tests that need it skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no folder of real data beside the checkout")
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks scikit-learn's own checks of the estimator slow: each of 67 trains it. Slow tests may
    take half an hour, for they take minutes where they have a core to themselves."""
    for item in items:
        if "test_the_checks_of_scikit_learn" in item.name:
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1800))
