"""The networks whose weights others supply: shapes, parameter counts, resizing, pooling, and what
loading refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from zeuxis.errors import ZeuxisError
from zeuxis.evaluation.features.efficientnet import EfficientNetLite0, SameConv2d, load_efficientnet
from zeuxis.evaluation.features.inception import Inception2015, average, load_inception, resize


def images(n: int = 2, side: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8)


def test_inception_has_the_shapes_and_the_count_of_the_graph() -> None:
    network = Inception2015().eval()
    with torch.no_grad():
        x = images()
        features, logits = network(x)
        again, _ = network(x)
    assert features.shape == (2, 2048)
    assert logits.shape == (2, 1008)
    assert (features >= 0).all()
    assert torch.equal(features, again)
    # 21,785,568 weights of the trunk as published (23,834,568 of the network with 1,000 classes
    # without its auxiliary head, less
    # its 2,049,000 of the last layer), and the last layer of 1,008 classes.
    assert sum(p.numel() for p in network.parameters()) == 23_834_568 - 2_049_000 + 2049 * 1008


def test_logits_leave_the_bias_out_unless_asked() -> None:
    with_bias, without = Inception2015(bias=True).eval(), Inception2015().eval()
    without.load_state_dict(with_bias.state_dict())
    with torch.no_grad():
        x = images(1)
        torch.testing.assert_close(with_bias(x)[1], without(x)[1] + with_bias.fc.bias)


def test_resize_is_the_rule_of_tensorflow_1() -> None:
    x = torch.tensor([[[[0.0, 4.0], [8.0, 12.0]]]])
    expected = torch.tensor(
        [
            [0.0, 2.0, 4.0, 4.0],
            [4.0, 6.0, 8.0, 8.0],
            [8.0, 10.0, 12.0, 12.0],
            [8.0, 10.0, 12.0, 12.0],
        ]
    )
    assert torch.equal(resize(x, 4)[0, 0], expected)
    assert not torch.allclose(F.interpolate(x, (4, 4), mode="bilinear")[0, 0], expected)
    y = torch.rand(1, 3, 299, 299)
    assert torch.equal(resize(y), y)


def test_average_pooling_leaves_padding_out() -> None:
    assert torch.equal(average(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))


def test_only_the_last_block_pools_by_maximum() -> None:
    network = Inception2015()
    assert [network.Mixed_7b.maximum, network.Mixed_7c.maximum] == [False, True]


@pytest.mark.parametrize(
    ("kind", "load"), [(Inception2015, load_inception), (EfficientNetLite0, load_efficientnet)]
)
def test_files_of_weights(kind, load, tmp_path: Path) -> None:
    network = kind().eval()
    tensors = {k: v.contiguous() for k, v in network.state_dict().items()}
    save_file(tensors, tmp_path / "good.safetensors")
    loaded = load(tmp_path / "good.safetensors")
    assert not loaded.training
    with torch.no_grad():
        x = images(1)
        torch.testing.assert_close(loaded(x)[0], network(x)[0], rtol=1e-4, atol=1e-5)
    first = next(iter(tensors))
    save_file({k: v for k, v in tensors.items() if k != first}, tmp_path / "less.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    for name, sentence in (
        ("less", "differs"),
        ("bad", "cannot be read"),
        ("none", "cannot be read"),
    ):
        with pytest.raises(ZeuxisError, match=sentence):
            load(tmp_path / f"{name}.safetensors")


def test_a_pickle_is_refused_with_the_way_to_convert_it(tmp_path: Path) -> None:
    with pytest.raises(ZeuxisError, match="weights_only=True"):
        load_inception(tmp_path / "pt_inception-2015-12-05.pth")


def test_same_padding_puts_the_odd_pixel_last() -> None:
    conv = SameConv2d(1, 1, 3, 2, bias=False)
    torch.nn.init.ones_(conv.weight)
    x = torch.arange(16.0).view(1, 1, 4, 4)
    # Windows start at 0 and 2, with one row and column of zeros after the last.
    assert torch.equal(conv(x)[0, 0], torch.tensor([[45.0, 39.0], [66.0, 50.0]]))


def test_efficientnet_has_its_published_size() -> None:
    network = EfficientNetLite0().eval()
    assert sum(p.numel() for p in network.parameters()) == 4_652_008
    with torch.no_grad():
        features, logits = network(images())
    assert features.shape == (2, 1280)
    assert logits.shape == (2, 1000)


@pytest.mark.slow
def test_photographs_get_more_certain_classes_than_noise(shared: Path) -> None:
    from zeuxis.data import load_data

    weights, data = shared / "eval" / "efficientnet_lite0_fp16.safetensors", shared / "cifar10"
    if not weights.exists() or not data.exists():
        pytest.skip("no weights or no photographs")
    network = load_efficientnet(weights)
    photographs = load_data(f"cifar10={data}", split="test", limit=30)
    with torch.no_grad():
        real, noise = (network(x)[1].softmax(1) for x in (photographs.all(), images(30)))
    assert real.max(1).values.mean() > noise.max(1).values.mean() + 0.05
    assert len(real.argmax(1).unique()) > 2 * len(noise.argmax(1).unique())
