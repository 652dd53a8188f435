"""Rows that go on as copies of others: the cached activations follow."""

from __future__ import annotations

import pytest
import torch

import causal
from zeuxis.autoregressive.char_rnn import CharRNN, CharRNNConfig
from zeuxis.autoregressive.sampling import in_order, naive_autoregress, to_levels
from zeuxis.capabilities import Chosen
from zeuxis.data.dataset import Spec

PIXELCNN = {"channels": 7, "layers": 2, "head_channels": 8}
PIXELCNNPP = {"channels": 4, "blocks": 1, "mixtures": 2}
VARIANTS = [
    ("pixelcnn", (1, 5, 6), 0, PIXELCNN),
    ("pixelcnn", (3, 4, 5), 0, {**PIXELCNN, "levels": 5}),
    ("pixelcnn", (1, 5, 4), 0, {**PIXELCNN, "architecture": "gated"}),
    (
        "pixelcnn",
        (2, 4, 4),
        3,
        {**PIXELCNN, "architecture": "gated", "conditional": True, "levels": 3},
    ),
    ("pixelrnn", (1, 4, 5), 0, {**PIXELCNN, "architecture": "row"}),
    ("pixelrnn", (3, 4, 4), 0, {**PIXELCNN, "architecture": "diagonal", "levels": 4}),
    ("pixelcnnpp", (1, 4, 6), 0, {**PIXELCNNPP, "scales": 2}),
    ("pixelcnnpp", (3, 4, 4), 3, {**PIXELCNNPP, "scales": 2, "levels": 4, "conditional": True}),
]


@pytest.mark.parametrize(("name", "shape", "classes", "changes"), VARIANTS)
def test_a_scan_goes_on_from_the_chosen_rows(
    name: str, shape: tuple, classes: int, changes: dict
) -> None:
    """The naive scan, which makes a full pass for each value, copies whole images."""
    model, n = causal.make(name, shape, classes, **changes), 4
    y = causal.classes_for(model, n)
    generator = torch.Generator().manual_seed(0)
    v = in_order(to_levels(causal.random_images(model, n), model.levels))
    fast, slow = model.autoregress(n, y), naive_autoregress(model, n, shape, y)
    one, other = next(fast), next(slow)
    spread = 0.0
    for i in range(v.shape[1] - 1):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)
        sent: torch.Tensor | Chosen = v[:, i]
        if torch.rand((), generator=generator) < 0.5:
            sent = Chosen(v[:, i], torch.randint(n, (n,), generator=generator))
        one, other = fast.send(sent), slow.send(sent)
        spread = max(spread, float(one.std(0).max()))
    assert spread > 1e-3, "rows that are all alike show little"


@pytest.mark.parametrize(("name", "shape", "classes", "changes"), VARIANTS)
def test_choosing_every_row_once_changes_nothing(
    name: str, shape: tuple, classes: int, changes: dict
) -> None:
    model, n = causal.make(name, shape, classes, **changes), 3
    y, rows = causal.classes_for(model, n), torch.arange(n)
    v = in_order(to_levels(causal.random_images(model, n), model.levels))
    plain, chosen = model.autoregress(n, y), model.autoregress(n, y)
    one, other = next(plain), next(chosen)
    for i in range(v.shape[1] - 1):
        assert torch.equal(one, other)
        one, other = plain.send(v[:, i]), chosen.send(Chosen(v[:, i], rows))


def test_a_text_goes_on_from_the_chosen_row() -> None:
    model = CharRNN(CharRNNConfig(hidden_dim=8), Spec("abc", (16,), 0, ("a", "b", "c"))).eval()
    first, second = torch.tensor([0, 1, 2]), torch.tensor([2, 2, 0])
    scan, copied = model.autoregress(3), model.autoregress(3)
    next(scan), next(copied)
    rows = torch.tensor([2, 0, 0])
    scan.send(Chosen(first, rows))
    copied.send(first[rows])
    torch.testing.assert_close(scan.send(second), copied.send(second))
