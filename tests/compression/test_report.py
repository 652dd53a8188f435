"""What the codec says of a file, against models whose code lengths are known in closed form."""

from __future__ import annotations

import lzma
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from codec import Chain, InMemoryImages, chain, noise, vae
from zeuxis.compression.baselines import Baselines
from zeuxis.compression.codec import compress
from zeuxis.compression.report import Report
from zeuxis.progress import out

pytest.importorskip("constriction")


def coin(share: float, shape: tuple[int, int, int] = (1, 4, 4)) -> Chain:
    """A model that takes each pixel for white with this probability, whatever the others are."""
    model = chain(shape, levels=2)
    model.logits.data = torch.tensor([1 - share, share]).log().expand(3, 2).clone()
    return model


def written(
    model: object, images: list[Tensor], folder: Path, **config: object
) -> tuple[Report, int]:
    report = compress(model, InMemoryImages(images), folder / "x.zx", **config)
    return report, (folder / "x.zx").stat().st_size


def printed(report: Report, capsys: pytest.CaptureFixture[str]) -> str:
    out.print(report.table(), width=200)
    out.print(report.sentence(), soft_wrap=True)
    return capsys.readouterr().out


def cells(text: str, row: str) -> list[str]:
    line = next(line for line in text.splitlines() if row in line)
    return [cell.strip() for cell in re.split(r"[|\u2502\u2503]", line)[2:5]]


def test_a_model_that_knows_nothing_needs_a_byte_a_pixel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [noise(1, 40, 40, seed=i) for i in range(5)]
    report, size = written(chain(sharpness=0.0), images, tmp_path)
    figures, numbers = report.as_dict(), 5 * 1600
    assert report.nats == pytest.approx(numbers * math.log(256))
    assert figures["bits/dim of the model itself"] == pytest.approx(8)
    assert figures["bits/dim"] == pytest.approx(8 * size / numbers)
    assert figures["overhead of the file"] == pytest.approx((size - numbers) / numbers)
    assert figures["overhead of the payload"] == pytest.approx(
        (figures["payload"] - numbers) / numbers
    )
    assert figures["payload"] < size - 300, "the two overheads are distinguished"
    text = printed(report, capsys)
    assert cells(text, "the model itself") == [f"{numbers:,}", "8.0000", "100.00%"]
    assert cells(text, "this file") == [
        f"{size:,}",
        f"{8 * size / numbers:.4f}",
        f"{size / numbers:.2%}",
    ]
    assert f"with names, sizes and checksums {size / numbers - 1:+.2%}." in text
    assert f"Over the model's own length: {figures['payload'] / numbers - 1:+.2%}, with" in text


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_a_coin_needs_its_entropy(
    share: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = torch.Generator().manual_seed(0)
    images = [255 * (torch.rand(1, 40, 40, generator=generator) < share).byte() for _ in range(9)]
    white, numbers = sum(int((x == 255).sum()) for x in images), 9 * 1600
    bits = -white * math.log2(share) - (numbers - white) * math.log2(1 - share)
    report, size = written(coin(share), images, tmp_path)
    figures = report.as_dict()
    assert report.nats == pytest.approx(bits * math.log(2), rel=1e-5)
    assert figures["bits/dim of the model itself"] == pytest.approx(bits / numbers, rel=1e-5)
    assert figures["overhead of the file"] == pytest.approx(8 * size / bits - 1, rel=1e-3)
    assert -1e-3 < figures["overhead of the payload"] < 0.001 + 64 / bits
    assert cells(printed(report, capsys), "the model itself")[0] == f"{bits / 8:,.0f}"


def test_padding_is_counted_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, _ = written(chain(sharpness=0.0), [noise(1, 5, 6), noise(3, 4, 4)], tmp_path)
    assert (report.numbers, report.padding, report.images) == (30 + 48, 2 * 2 * 16 - 30, 2)
    assert report.nats == pytest.approx((64 + 48) * math.log(256)), (
        "the model's length is that of all tiles"
    )
    assert f"Tiles hold {34 / 78:.1%} more than the images" in printed(report, capsys)


def test_bits_back_says_what_its_initial_bits_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [noise(1, 16, 16, levels=2, seed=i) for i in range(9)]
    report, size = written(vae(), images, tmp_path, tiles=16)
    assert len(report.chains) == 9 and report.initial > 0 and report.initial % 32 == 0
    text, about = printed(report, capsys), report.as_dict()
    assert f"{report.initial / 8:,.0f} are initial bits, spent once a block of 1 lanes" in text
    assert cells(text, "the model's bound")[0] == f"{report.nats / math.log(2) / 8:,.0f}"
    assert about["overhead of the file"] == pytest.approx(8 * size * math.log(2) / report.nats - 1)


def test_the_length_of_bits_back_coding_is_the_negative_bound(tmp_path: Path) -> None:
    """Of a model whose posterior and prior are the same and whose pixels are fair coins: a bit a
    pixel, and nothing for the codes."""
    model = vae()
    for name, p in model.named_parameters():
        if not name.endswith("weight"):  # directions of weight normalization, which 0 has none of
            p.data.zero_()
    mean, log_std = model.posterior(torch.zeros(1, 1, 4, 4, dtype=torch.uint8))
    assert mean.abs().max() == 0 and log_std.abs().max() == 0
    report, _ = written(model, [noise(1, 16, 16, levels=2, seed=i) for i in range(4)], tmp_path)
    assert report.nats == pytest.approx(4 * 256 * math.log(2), rel=1e-5)


def test_rivals_are_the_sizes_that_their_own_programs_make() -> None:
    ink, gray = noise(1, 40, 50, levels=2), noise(1, 40, 50)
    for images, bare in (
        ([ink, ink], 40 * 50 // 8),
        ([gray, gray], 40 * 50),
        ([noise(3, 40, 50)] * 2, 3 * 40 * 50),
    ):
        baselines = Baselines()
        for x in images:
            baselines.add(x)
        found = baselines.sizes()
        bits = [np.packbits(x.numpy() > 0) if bare == 250 else x.numpy() for x in images]
        packed = lzma.compress(b"".join(b.tobytes() for b in bits), preset=9 | lzma.PRESET_EXTREME)
        assert found["xz"] == len(packed)
        assert 2 * bare < found["PNG"] < 2 * (bare + 200), (
            "noise has no shorter form, a pixel of ink takes a bit"
        )
        assert bare < found["xz"] < 1.5 * bare + 100, (
            "the second copy is nearly free: one stream for all"
        )


def test_a_certain_model_has_no_length_to_compare_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, size = written(coin(0.0), [torch.zeros(1, 4, 4, dtype=torch.uint8)], tmp_path)
    assert report.nats == 0 and report.as_dict()["overhead of the file"] == math.inf
    assert f"{size:,}" in printed(report, capsys)
