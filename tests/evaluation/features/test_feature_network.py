"""Feature networks by name: what they hash, that folding changes nothing, and the cache of real
images' features."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import tiny
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.evaluation.features.cache import WORTH_KEEPING, cached_features
from zeuxis.evaluation.features.efficientnet import NORMALIZED, EfficientNetLite0
from zeuxis.evaluation.features.feature_network import (
    FeatureNetwork,
    feature_network,
    folded,
    frozen,
    inception,
    weights_hash,
)
from zeuxis.evaluation.sample_quality import evaluate


def scrambled(network: torch.nn.Module) -> torch.nn.Module:
    """The network in eval mode with normalizations that are not the identity."""
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for tensor in (part.weight.data, part.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (part.bias.data, part.running_mean):
                tensor.uniform_(-0.1, 0.1)
    return network.eval()


def counting(hash: str = "0" * 12) -> tuple[FeatureNetwork, list[int]]:
    """A network that notes how many images it was given."""
    seen: list[int] = []

    def forward(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(len(x))
        means = x.float().mean((2, 3))
        return means, means * 2

    return FeatureNetwork("mean", hash, forward, 1, 400), seen


@pytest.mark.parametrize(
    ("part", "normalized", "x"),
    [
        (
            lambda: scrambled(EfficientNetLite0()),
            NORMALIZED,
            torch.randint(0, 256, (2, 3, 40, 40), dtype=torch.uint8),
        ),
        (
            lambda: scrambled(inception.BlockC(64, 16)),
            inception.NORMALIZED,
            torch.rand(2, 64, 9, 9),
        ),
    ],
)
def test_folding_removes_every_normalization_and_changes_no_output(part, normalized, x) -> None:
    network = part()
    with torch.no_grad():
        before = network(x)
        after = folded(network, normalized)(x)
    assert not [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)


def test_the_hash_is_of_the_weights_in_the_file_and_changes_with_one_of_them() -> None:
    network = scrambled(EfficientNetLite0())
    before = weights_hash(network)
    assert frozen("net", network, NORMALIZED).hash == before
    other = torch.nn.Linear(3, 2)
    first = weights_hash(other)
    assert re.fullmatch("[0-9a-f]{12}", first)
    other.weight.data[1, 2] += 1e-3
    assert weights_hash(other) != first


def test_efficientnet_by_name_takes_its_file_from_the_name_or_the_environment(
    tmp_path: Path, monkeypatch
) -> None:
    network = scrambled(EfficientNetLite0())
    path = tmp_path / "lite0.safetensors"
    save_file(
        {
            k: v.half()
            for k, v in network.state_dict().items()
            if not k.endswith("num_batches_tracked")
        },
        path,
    )
    named = feature_network(f"efficientnet-lite0={path}")
    monkeypatch.setenv("ZEUXIS_EFFICIENTNET", str(path))
    assert feature_network("efficientnet-lite0").hash == named.hash
    assert (named.name, named.channels) == ("efficientnet-lite0", 3)
    monkeypatch.delenv("ZEUXIS_EFFICIENTNET")
    with pytest.raises(UsageError, match="needs its weight file"):
        feature_network("efficientnet-lite0")


def test_gray_images_are_repeated_and_batches_do_not_matter() -> None:
    def forward(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.float().mean((2, 3)), x.float().sum((2, 3))

    x = torch.randint(0, 256, (7, 1, 4, 4), dtype=torch.uint8)
    features, _ = FeatureNetwork("mean", "0" * 12, forward, 3, batch=3).features(x)
    assert features.shape == (7, 3)
    assert torch.equal(features[:, 0], features[:, 2])
    assert torch.equal(
        features, FeatureNetwork("mean", "0" * 12, forward, 3, batch=7).features(x)[0]
    )
    with pytest.raises(UsageError, match="takes 3-channel images, got 2"):
        FeatureNetwork("mean", "0" * 12, forward, 3).features(x.expand(-1, 2, -1, -1))


def test_features_that_are_not_finite_are_refused() -> None:
    network = FeatureNetwork(
        "broken", "0" * 12, lambda x: (x.float().mean((2, 3)) / 0, x.float().mean((2, 3))), 1
    )
    with pytest.raises(ZeuxisError, match="'broken' gives numbers that are not finite"):
        network.features(torch.zeros(2, 1, 4, 4, dtype=torch.uint8))


def test_features_are_made_once_for_the_same_network_and_images(tmp_path: Path) -> None:
    network, seen = counting()
    x = torch.randint(0, 256, (WORTH_KEEPING, 1, 4, 4), dtype=torch.uint8)
    made = cached_features(network, x, cache=tmp_path)
    assert sum(seen) == WORTH_KEEPING
    for a, b in zip(cached_features(network, x, cache=tmp_path), made, strict=True):
        assert torch.equal(a, b)
    assert sum(seen) == WORTH_KEEPING
    y = x.clone()
    y[-1, 0, 0, 0] += 1
    assert not torch.equal(cached_features(network, y, cache=tmp_path)[0], made[0])
    other, seen_by_other = counting("1" * 12)
    cached_features(other, x, cache=tmp_path)
    assert sum(seen_by_other) == WORTH_KEEPING
    assert len(list((tmp_path / "features").iterdir())) == 3


def test_a_damaged_cache_is_made_again_and_an_unwritable_one_is_said(
    tmp_path: Path, capsys
) -> None:
    network, _ = counting()
    x = torch.randint(0, 256, (WORTH_KEEPING, 1, 4, 4), dtype=torch.uint8)
    made = cached_features(network, x, cache=tmp_path)[0]
    file = next((tmp_path / "features").iterdir())
    whole = file.read_bytes()
    for damaged in (whole[:100], whole[:-1], b""):
        file.write_bytes(damaged)
        assert torch.equal(cached_features(network, x, cache=tmp_path)[0], made)
        assert "damaged and are made again" in capsys.readouterr().err
        assert torch.equal(cached_features(network, x, cache=tmp_path)[0], made)
        assert capsys.readouterr().err == ""
    (tmp_path / "flat").write_text("a file where a folder is expected")
    assert torch.equal(cached_features(network, x, cache=tmp_path / "flat")[0], made)
    assert "could not be kept" in capsys.readouterr().err


def test_scores_say_split_numbers_and_what_the_numbers_do_to_them() -> None:
    network = tiny.model("classifier", width=4).eval()
    net = FeatureNetwork("tiny", weights_hash(network), network.features_and_logits, 1)
    quality = evaluate(
        tiny.model("dcgan").eval(), tiny.images(80), n=10_000, network=net, split="test"
    )
    assert (quality.n_fake, quality.n_real, quality.n_floor) == (
        40,
        40,
        40,
    )  # equal numbers, whatever was asked
    assert quality.features == 128
    table = quality.table()
    assert "40 samples, 40 real test images" in str(table.title)
    assert "far too high" in str(table.caption)
    assert "subsets of 40" in str(table.caption)
    assert [str(column.header) for column in table.columns] == [
        "",
        "samples",
        "real against real (40)",
    ]
    kernel = next(
        text for text in table.columns[1].cells if text == f"{1000 * quality.fake.kernel:.3f}"
    )  # one subset, no spread
    assert "±" not in kernel
    without = evaluate(tiny.model("dcgan").eval(), tiny.images(80), n=40, network=net, floor=False)
    assert without.floor is None
    assert without.fake == quality.fake
    assert len(without.table().columns) == 2
