"""Counting accuracy and overlap of boxes, against counts and areas by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from zeuxis.capabilities import Objects
from zeuxis.data import load_data
from zeuxis.data.scenes import boxes, counts
from zeuxis.errors import MissingCapability, UsageError
from zeuxis.evaluation.objects import (
    accuracy,
    confusion,
    intersection_over_union,
    matched,
    mean_overlap,
    object_figures,
)
from zeuxis.vae.air import AIR, AIRConfig


def random_boxes(n: int, seed: int) -> torch.Tensor:
    corners = 20 * torch.rand(2, n, 2, generator=torch.Generator().manual_seed(seed))
    return torch.cat([corners.amin(0), corners.amax(0)], 1).round()


def test_areas_are_those_of_pixels() -> None:
    a, b = random_boxes(6, 0), random_boxes(5, 1)

    def cells(box: torch.Tensor) -> set[tuple[int, int]]:
        left, top, right, bottom = (int(side) for side in box)
        return set(itertools.product(range(left, right), range(top, bottom)))

    for i, j in itertools.product(range(6), range(5)):
        both, either = cells(a[i]) & cells(b[j]), cells(a[i]) | cells(b[j])
        share = len(both) / len(either) if either else 0.0
        assert intersection_over_union(a, b)[i, j].item() == pytest.approx(share)
    flat = torch.tensor([[3.0, 3.0, 3.0, 9.0]])
    assert intersection_over_union(flat, flat).item() == 0


def test_boxes_are_matched_for_the_greatest_sum() -> None:
    for seed in range(10):
        a, b = random_boxes(3, seed), random_boxes(4, 100 + seed)
        table = intersection_over_union(a, b)
        best = max(
            sum(table[i, j].item() for i, j in enumerate(order))
            for order in itertools.permutations(range(4), 3)
        )
        assert matched(a, b) == (pytest.approx(best), 4)
    greedy = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 6.0, 10.0]])
    assert matched(greedy, greedy.flip(0))[0] == pytest.approx(2)


def test_missed_and_superfluous_boxes_count_as_nothing() -> None:
    box, nothing = torch.tensor([0.0, 0.0, 2.0, 2.0]), torch.full((4,), math.nan)
    both, one, none = (
        torch.stack(rows) for rows in ([box, box + 5], [box, nothing], [nothing] * 2)
    )
    assert mean_overlap(both[None], both[None]) == 1
    assert mean_overlap(one[None], both[None]) == mean_overlap(both[None], one[None]) == 0.5
    # Three objects in two images, of which one is found.
    assert mean_overlap(torch.stack([one, none]), torch.stack([both, one])) == pytest.approx(1 / 3)
    assert mean_overlap(none[None], one[None]) == 0
    assert math.isnan(mean_overlap(none[None], none[None]))


def test_counts_are_compared() -> None:
    said, true = torch.tensor([0, 1, 2, 2, 3]), torch.tensor([0, 1, 2, 1, 2])
    assert accuracy(said, true) == pytest.approx(3 / 5)
    table = confusion(said, true)
    assert table.sum() == 5 and table.diagonal().sum() == 3
    assert table[1, 2] == 1 and table[2, 3] == 1


class Oracle:
    """Says what is known, or with samples one object more."""

    def objects(self, x, *, sampled=False, generator=None) -> Objects:
        data = load_data("multi-mnist", split="test", limit=40)
        rows = [int((data.all() == image).flatten(1).all(1).nonzero()[0]) for image in x]
        n = counts(data)[rows]
        return Objects(n + sampled, boxes(data)[rows], torch.zeros(len(x), 4))


def test_figures_of_what_is_known_are_perfect() -> None:
    data = load_data("multi-mnist", split="test", limit=40)
    config = AIRConfig(hidden_dim=4, layer_dim=4, latent_dim=2, window=4)
    figures = object_figures(Oracle(), data, batch=16)
    assert (figures.most_probable, figures.sampled) == (1.0, 0.0)
    assert figures.overlap == pytest.approx(1.0)
    assert torch.equal(figures.table_of_counts, torch.diag(torch.bincount(counts(data))))
    assert figures.as_dict()["counting accuracy"] == 1.0
    model = AIR(config, data.spec).eval()
    few = data.take(torch.arange(20))
    assert object_figures(model, few, seed=1) is not None
    first, again = (object_figures(model, few, seed=1).as_dict() for _ in range(2))
    assert first == again and first["counting accuracy"] < 1


def test_what_cannot_be_measured_is_refused() -> None:
    digits = load_data("mnist", split="test", limit=4)
    model = AIR(AIRConfig(hidden_dim=4, layer_dim=4, latent_dim=2, window=4), digits.spec)
    with pytest.raises(UsageError, match="Nothing is known of the objects in 'mnist'"):
        object_figures(model, digits)
    with pytest.raises(MissingCapability, match="cannot count and locate objects"):
        object_figures(torch.nn.Linear(1, 1), digits)
