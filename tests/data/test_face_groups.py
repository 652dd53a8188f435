"""Groups of faces in which one factor moves, and trainings that keep groups together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from zeuxis.data import load_data
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.data.face_groups import FaceGroups, grouped
from zeuxis.data.faces import FACE_FACTORS, IDENTITY, faces, heads
from zeuxis.data.facts import Facts
from zeuxis.distributed import World
from zeuxis.errors import UsageError
from zeuxis.training.config import TrainingConfig, check_config
from zeuxis.training.sampler import Batches, EpochSampler

SIZE = 10


def scenes(data: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors and identities, (groups, SIZE, 15), and the kind of each group."""
    x = data.x
    assert isinstance(x, FaceGroups) and data.y is not None
    scene = x.scene_of(np.arange(len(data))).unflatten(0, (-1, SIZE))
    kinds = data.y.unflatten(0, (-1, SIZE))
    assert (kinds == kinds[:, :1]).all(), "one kind a group"
    return scene, kinds[:, 0]


def test_only_what_a_group_is_named_after_moves_in_it() -> None:
    named = ("smile", "azimuth")
    scene, kinds = scenes(grouped(faces(3_000), named, SIZE))
    moved = (scene != scene[:, :1]).any(1)
    for kind, name in enumerate(named):
        expected = torch.zeros(len(FACE_FACTORS) + len(IDENTITY), dtype=torch.bool)
        expected[FACE_FACTORS.index(name)] = True
        assert (moved[kinds == kind] == expected).all()
    fixed = torch.tensor([name in named for name in FACE_FACTORS] + [False] * len(IDENTITY))
    assert (moved[kinds == 2] == ~fixed).all(), "identity, and the factors that are not named"
    assert set(kinds.tolist()) == {0, 1, 2}


def test_an_image_is_rendered_from_the_scene_of_its_group() -> None:
    data = grouped(faces(400), size=SIZE)
    x, kinds = data.all().float(), scenes(data)[1]
    groups = x.unflatten(0, (-1, SIZE))
    hair = groups[..., :4, :].flatten(2)
    smiles = kinds == FACE_FACTORS.index("smile")
    assert smiles.any()
    assert (hair[smiles] - hair[smiles][:, :1]).abs().max() <= 1, "a smile leaves the hair"
    assert (groups - groups[:, :1]).flatten(1).abs().amax(1).min() > 20, "something moves"
    again = data.batch(torch.tensor([17, 3]))[0].float()
    assert (again - x[[17, 3]]).abs().max() <= 1
    known = data.facts.factors
    assert known is not None
    assert torch.equal(known.view(-1, SIZE, 5), scenes(data)[0][..., :5])


def test_kinds_have_the_ratio_that_was_asked_for() -> None:
    data = grouped(faces(14 * 2_000), FACE_FACTORS[:4], 2, (1, 1, 1, 1, 10))
    counts = torch.bincount(data.x.kinds, minlength=5).double() / len(data) * 2  # type: ignore[union-attr]
    expected = torch.tensor([1, 1, 1, 1, 10]).double() / 14
    assert (counts - expected).abs().max() < 0.012
    none = grouped(faces(2_000), ("smile",), 2, (1, 0))
    assert none.x.kinds.sum() == 0  # type: ignore[union-attr]


def test_identities_of_groups_are_those_of_no_test_image() -> None:
    train, test = load_data("faces", limit=2_000), load_data("faces", split="test", limit=2_000)
    sets = [
        {tuple(row) for row in scenes(grouped(data, size=SIZE))[0][..., 5:].flatten(0, 1).tolist()}
        for data in (train, test)
    ]
    assert len(sets[0]) > 400
    assert not sets[0] & sets[1]


def test_a_training_keeps_groups_together() -> None:
    data = grouped(faces(120), size=SIZE)
    order = EpochSampler(len(data), 30, 0, SIZE)
    rows = torch.cat([order.rows(step) for step in range(4)]).view(-1, SIZE)
    assert (rows.diff(dim=1) == 1).all()
    assert (rows[:, 0] % SIZE == 0).all()
    assert sorted(rows.flatten().tolist()) == list(range(120)), "one epoch"
    config = TrainingConfig(batch=40, accumulate=2)
    whole = Batches(data, config, World(), torch.device("cpu"))
    shares = [
        Batches(data, replace(config, accumulate=1), World(rank, 2), torch.device("cpu"))
        for rank in range(2)
    ]
    for batch in whole.step(3, 0.0):
        assert batch.y is not None
        assert (batch.y.view(-1, SIZE) == batch.y.view(-1, SIZE)[:, :1]).all()
    together = torch.cat([batch.x for batch in whole.step(3, 0.0)])
    assert torch.equal(together, torch.cat([share.step(3, 0.0)[0].x for share in shares]))


def test_groups_that_would_be_cut_are_refused() -> None:
    data = grouped(faces(120), size=SIZE)
    check_config(TrainingConfig(batch=20, accumulate=2), data, World())
    with pytest.raises(UsageError, match="multiple of 40"):
        check_config(TrainingConfig(batch=60, accumulate=2), data, World(0, 2))
    with pytest.raises(UsageError, match="groups cannot be cut"):
        check_config(TrainingConfig(batch=20), data.take(torch.arange(60)), World())


def test_data_that_have_groups_stay_as_they_are() -> None:
    spec = Spec("mine", (1, 16, 16), 2, ("turn", "intrinsic"))
    x, y = torch.zeros(8, 1, 16, 16, dtype=torch.uint8), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    mine = Dataset(spec, x, y, facts=Facts(group=4))
    assert grouped(mine, ("turn",), 4) is mine
    assert grouped(heads(20), ("width",), 4).spec.class_names == ("width", "intrinsic")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((load_data("mnist", limit=9),), "'mnist' has no groups of images in which one factor"),
        ((heads(50),), "smile.* cannot be the factors .* choose different ones of azimuth"),
        ((faces(50), ("smile", "smile")), "choose different ones"),
        ((faces(50), ()), "choose different ones"),
        ((faces(50), ("smile",), 10, (1, 1, 1)), r"ratio of 2 kinds .* \(1, 1, 1\)"),
        ((faces(50), ("smile",), 10, (0, 0)), "at least 0"),
        ((faces(9), ("smile",), 10), "9 images make no group of 10"),
        ((faces(9), ("smile",), 1), "groups of at least 2"),
        ((grouped(faces(20), size=SIZE), ("smile",), SIZE), "expected 10 of smile, intrinsic"),
    ],
)
def test_wrong_groups_are_refused(arguments: tuple, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        grouped(*arguments)
