"""zeuxis restore: pictures, masks from files, boxes and colors, the table, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from zeuxis.applications.restoration.restore import Restored
from zeuxis.checkpoints.weights import save
from zeuxis.cli import main
from zeuxis.experiments.train import train


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("restore")
    save(tiny.model("vae"), at / "model")
    save(tiny.model("classifier"), at / "classifier")
    x = np.random.default_rng(0).integers(0, 256, (30, 34), np.uint8)
    x[2:6, 3:9] = 9
    Image.fromarray(x).save(at / "gray.png")
    Image.fromarray(x.astype(np.uint16) * 257).save(at / "deep.png")
    color = np.stack([x, x, 255 - x], 2)
    color[2:6, 3:9] = (255, 0, 255)
    Image.fromarray(color).save(at / "color.png")
    Image.fromarray(color).convert("CMYK").save(at / "cmyk.tiff")
    alpha = np.dstack([color, np.full(x.shape, 255, np.uint8)])
    Image.fromarray(alpha).save(at / "opaque.png")
    alpha[0, 0, 3] = 0
    Image.fromarray(alpha).save(at / "alpha.png")
    mask = np.zeros(x.shape, np.uint8)
    mask[2:6, 3:9] = 255
    Image.fromarray(mask).save(at / "mask.png")
    Image.fromarray(mask[1:]).save(at / "small.png")
    Image.fromarray(0 * mask).save(at / "nothing.png")
    Image.fromarray(0 * mask + 255).save(at / "all.png")
    return at


HIDE = ("--mask {0}/mask.png", "--box 2 3 4 6")


@pytest.mark.parametrize("hide", [*HIDE, "--mask-color #ff00ff"])
@pytest.mark.parametrize("name", ["gray", "color"])
def test_holes(name: str, hide: str, place: Path, capsys: pytest.CaptureFixture) -> None:
    hide = hide.format(place)
    if name == "gray":
        hide = hide.replace("#ff00ff", "#090909")
    target = place / f"filled-{name}.png"
    words = f"restore {place}/model {place}/{name}.png --task inpaint {hide} --method classical"
    assert main([*words.split(), "--out", str(target), "--samples", "2"]) == 0
    assert f"{target} (classical)" in capsys.readouterr().out
    before, after = np.asarray(Image.open(place / f"{name}.png")), np.asarray(Image.open(target))
    hidden = np.asarray(Image.open(place / "mask.png")) > 0
    changed = (before != after).reshape(30, 34, -1).any(2)
    assert changed[hidden].any()
    assert not changed[~hidden & (before.reshape(30, 34, -1) != 9).any(2)].any()
    assert Image.open(place / f"filled-{name}-samples.png").width > 3 * 34


@pytest.mark.parametrize("name", ["gray.png", "deep.png", "cmyk.tiff", "opaque.png"])
def test_kinds_of_files(name: str, place: Path) -> None:
    words = f"restore {place}/model {place}/{name} --task super-resolve --method classical"
    assert main([*words.split(), "--out", f"{place}/large.png"]) == 0
    large = np.asarray(Image.open(place / "large.png")).astype(float)
    small = Image.open(place / ("gray.png" if name == "deep.png" else name))
    small = np.asarray(small.convert("L" if large.ndim == 2 else "RGB"))
    assert np.array_equal(large.reshape(30, 2, 34, 2, -1).mean((1, 3)).squeeze(), small)


@pytest.mark.slow
def test_a_model_denoises_and_a_folder_takes_several(place: Path) -> None:
    words = f"restore {place}/model {place}/gray.png {place}/mask.png --sigma 40 --samples 1"
    assert main([*words.split(), "--out", f"{place}/several/"]) == 0
    assert {p.name for p in (place / "several").iterdir()} == {
        "000-gray.png",
        "000-gray-samples.png",
        "001-mask.png",
        "001-mask-samples.png",
    }


@pytest.mark.parametrize(
    ("model", "asked", "drawn"), [("flow", 0, 1), ("flow", 3, 3), ("vae", 0, 8)]
)
def test_no_more_samples_are_drawn_than_the_picture_needs(
    model: str, asked: int, drawn: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flow matching knows its mean, which a large photograph would wait for in vain."""
    numbers: list[int] = []

    def counted(model: object, x: torch.Tensor, sigma: float, *, n: int, **_: object) -> Restored:
        numbers.append(n)
        return Restored(x.expand(n, *x.shape), x, "none")

    monkeypatch.setattr("zeuxis.commands.restore.denoise", counted)
    save(tiny.model("flow-matching"), place / "flow")
    folder = place / ("flow" if model == "flow" else "model")
    words = f"restore {folder} {place}/gray.png --samples {asked} --out {place}/few.png"
    assert main(words.split()) == 0
    assert numbers == [drawn]


@pytest.mark.slow
def test_a_data_set_is_measured(
    place: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(
        "vae",
        tiny.images(),
        out=place / "runs",
        config=tiny.model("vae").config,
        training=tiny.training(),
    ).run
    data = tiny.images(40)
    np.savez(place / "set.npz", images=data.x.numpy(), labels=data.y.numpy())
    for task, key in (("inpaint", "mask"), ("denoise", "sigma"), ("super-resolve", "factor")):
        words = f"restore {run.folder} --data {place}/set.npz --task {task} --n 3 --samples 2"
        words += f" --also {run.folder}"
        assert main([*words.split(), "--record", f"{place}/{task}.json"]) == 0
        assert "nearest" in capsys.readouterr().out
        record = json.loads((place / f"{task}.json").read_text())
        rows = {
            "vae 1",
            "vae 2",
            "classical",
            "Gaussian prior",
            "nearest image",
            "ten nearest images",
        }
        assert rows <= set(record["figures"]) and len(record["degraded"]) == 16
        assert record["task"] == task and key in record and record["images"] == 3
        vae, same = record["figures"]["vae 1"], record["figures"]["vae 2"]
        assert vae["PSNR"] == same["PSNR"] and vae["method"] == "latent"
        for row in record["figures"].values():  # null is infinite: the image itself was found
            best, one = row["best PSNR of the samples"], row["PSNR of a sample"]
            assert best is None or best >= one - 1e-4


BAD = [
    ("{0}/gray.png --task inpaint", 2, "by one of --mask, --box and --mask-color"),
    ("{0}/gray.png --task inpaint --box 0 0 2 2 --mask {0}/mask.png", 2, "by one of"),
    ("{0}/gray.png --task denoise --box 0 0 2 2", 2, "for --task inpaint only"),
    (
        "{0}/gray.png --task inpaint --mask {0}/small.png",
        2,
        "34 x 29 pixels and the image",
    ),
    ("{0}/gray.png --task inpaint --mask {0}/none.png", 2, "There is no mask"),
    ("{0}/gray.png --task inpaint --mask {0}/all.png", 2, "hides every pixel"),
    ("{0}/gray.png --task inpaint --mask {0}/nothing.png", 2, "hides no pixel"),
    ("{0}/gray.png --task inpaint --mask-color #fe00fe", 2, "hides no pixel"),
    ("{0}/gray.png --task inpaint --mask-color pink", 2, "six hexadecimal digits"),
    ("{0}/gray.png --task inpaint --box 0 0 31 2", 2, "does not lie in the image"),
    ("{0}/gray.png --sigma 0", 2, "--sigma must be above 0"),
    ("{0}/gray.png --sigma -3", 2, "--sigma must be above 0"),
    ("{0}/gray.png --task super-resolve --factor 3", 2, "give one of 2, 4, 7, 14"),
    ("{0}/gray.png --task super-resolve --factor 1", 2, "--factor must be from 2 to 64"),
    ("{0}/alpha.png", 1, "has transparent pixels"),
    ("{0}/gray.png {0}/color.png", 2, "need a folder"),
    ("{0}/gray.png --method magic", 2, "There is no method 'magic'"),
    ("{0}/gray.png --record {0}/x.json", 2, "leave out the image files"),
    ("{0}/gray.png --out {0}/x.abc --method classical", 2, "picture format"),
    ("--task inpaint --box 0 0 2 2", 2, "hidden by name"),
    ("{0}/gray.png --also mnist/vae", 2, "leave out the image files"),
]


@pytest.mark.parametrize(("words", "code", "sentence"), BAD, ids=[case[0] for case in BAD])
def test_bad_input_gets_one_sentence(
    words: str, code: int, sentence: str, place: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["restore", f"{place}/model", *words.format(place).split()]) == code
    said = capsys.readouterr().err
    assert sentence in said and len(said.strip().splitlines()) == 1


def test_a_model_that_cannot_is_refused(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["restore", f"{place}/classifier", f"{place}/gray.png"]) == 1
    assert "cannot denoise images; models that can: " in capsys.readouterr().err
