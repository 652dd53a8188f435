"""Heat pictures: bits that add up to the likelihood, colors on a known scale, the command."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import causal
import tiny
from zeuxis.applications.surprisal import COLORS, heat, surprisal, surprisal_sheet
from zeuxis.checkpoints.weights import build, save
from zeuxis.cli import main
from zeuxis.visual.grid import to_image

SHAPES = [
    ("pixelcnn", (1, 4, 5), {"channels": 4, "layers": 1, "head_channels": 4}),
    ("pixelcnnpp", (3, 4, 4), {"channels": 4, "blocks": 1, "scales": 2}),
]


@pytest.mark.parametrize(("name", "shape", "changes"), SHAPES)
def test_bits_add_up_to_the_likelihood_and_depend_on_the_past_alone(
    name: str, shape: tuple, changes: dict
) -> None:
    model = causal.make(name, shape, **changes)
    x = causal.random_images(model, 6)
    bits = surprisal(model, x)
    assert bits.shape == (6, *shape[1:])
    torch.testing.assert_close(bits.sum((1, 2)) * math.log(2), -model.log_prob(x).nats)
    other = x.clone()
    other[:, :, 2, 2] = 255 - other[:, :, 2, 2]
    changed = (surprisal(model, other) - bits).abs().amax(0) > 1e-9
    assert not changed[:2].any()
    assert not changed[2, :2].any()
    assert changed[2, 2]


def test_heat_grows_in_brightness_from_nothing_to_the_most() -> None:
    colors = heat(torch.linspace(0, 3, 200)[None], 3.0)[:, 0].float()
    light = (colors * torch.tensor([[0.299], [0.587], [0.114]])).sum(0)
    assert (light.diff() >= -0.5).all()
    assert torch.equal(colors[:, 0], COLORS[0])
    assert torch.equal(colors[:, -1], COLORS[-1])
    assert torch.equal(heat(torch.tensor([[7.0]]), 3.0)[:, 0, 0].float(), COLORS[-1]), (
        "cut off above the scale"
    )


def test_a_sheet_shows_image_and_heat_side_by_side() -> None:
    x = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    bits = torch.rand(2, 8, 8)
    picture = np.asarray(surprisal_sheet(x, bits, ["a", "b"], max_bits=1.0))
    assert picture[6 + 10, 6 + 10].tolist() == [int(x[0, 0, 0, 0])] * 3
    assert picture[6 + 10, 6 + 160 + 6 + 10].tolist() == heat(bits[0], 1.0)[:, 0, 0].tolist()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("surprisal")
    save(tiny.model("pixelcnn"), at / "model")
    save(tiny.model("dcgan"), at / "gan")
    data = tiny.images(side=8, classes=2)
    config = type(tiny.model("pixelcnn").config)(
        architecture="gated", channels=4, layers=1, head_channels=4, conditional=True
    )
    save(build("pixelcnn", config, data.spec), at / "conditional")
    to_image(data.all()[0]).resize((20, 20)).save(at / "a.png")
    np.savez(at / "set.npz", images=data.all().numpy(), labels=np.arange(64) % 2)
    (at / "bad.png").write_bytes(b"no image")
    return at


def test_the_command_draws_files_and_sets(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"surprisal {place}/model {place}/a.png --out {place}/one.png".split()) == 0
    said = capsys.readouterr().out
    assert "a.png" in said and "bits" in said and "a dimension" in said
    assert Image.open(place / "one.png").width > 320
    assert (
        main(f"surprisal {place}/model --data {place}/set.npz --n 4 --out {place}/four.png".split())
        == 0
    )
    assert capsys.readouterr().out.count("most at row") == 4
    assert (
        main(
            (
                f"surprisal {place}/conditional --data {place}/set.npz --n 2 --out {place}/two.png"
            ).split()
        )
        == 0
    )
    assert (
        main(f"surprisal {place}/conditional {place}/a.png --label 1 --out {place}/two.png".split())
        == 0
    )


BAD = [
    ("{0}/gan {0}/a.png", 1, "cannot compute the bits of each pixel; models that can: "),
    ("{0}/model {0}/nothing.png", 2, "There is no"),
    ("{0}/model {0}/bad.png", 1, "cannot be decoded"),
    ("{0}/model {0}/a.png --data {0}/set.npz", 2, "Got both"),
    ("{0}/model --data {0}/set.npz --split half", 2, "expected test or train"),
    ("{0}/model --data {0}/set.npz --n 0", 2, "--n must be at least 1"),
    ("{0}/model {0}/a.png --label 99", 2, "--label is 99"),
    ("{0}/conditional {0}/a.png", 2, "with --label"),
    ("{0}/model {0}/a.png --out {0}/x.abc", 2, "picture format"),
    ("{0}/nowhere {0}/a.png", 2, "neither a folder nor a model"),
]


@pytest.mark.parametrize(("words", "code", "sentence"), BAD, ids=[case[0] for case in BAD])
def test_bad_input_gets_one_sentence(
    words: str, code: int, sentence: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["surprisal", *words.format(place).split()]) == code
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
