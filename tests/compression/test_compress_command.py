"""zeuxis compress and zeuxis decompress: pictures there and back, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from codec import chain, vae
from zeuxis.checkpoints.weights import save
from zeuxis.cli import main
from zeuxis.compression.codec import coder_for
from zeuxis.compression.image_sources import inspected, unique
from zeuxis.data import load_data
from zeuxis.data.binarized import binarized
from zeuxis.data.dataset import Spec
from zeuxis.errors import DataError, UsageError, ZeuxisError
from zeuxis.vae.iaf import IAFVAE, IAFConfig
from zeuxis.vae.vae import VAE, VAEConfig

pytest.importorskip("constriction")


def test_names_become_png_and_stay_distinct() -> None:
    assert unique(["a/x.jpg", "b/x.jpg", "x.png"]) == ["a/x.png", "b/x.png", "x.png"]
    assert unique(["x.jpg", "x.png"]) == ["x.jpg.png", "x.png"]
    with pytest.raises(UsageError, match="both be called"):
        unique(["x.png", "x.png"])


def deep_png() -> bytes:
    """An RGB PNG of 16 bits, which Pillow reads as 8."""

    def part(kind: bytes, data: bytes) -> bytes:
        return (
            len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        )

    size = (2).to_bytes(4, "big") * 2 + bytes([16, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + part(b"IHDR", size)
        + part(b"IDAT", zlib.compress(bytes(26)))
        + part(b"IEND", b"")
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, good pictures, and pictures that would lose something."""
    at = tmp_path_factory.mktemp("place")
    save(vae((1, 6, 6)), at / "binary")
    save(vae((1, 6, 6), binary=False), at / "gray")
    save(tiny.model("dcgan"), at / "gan")
    save(
        IAFVAE(
            IAFConfig(channels=(4,), hidden_dim=8, latent_dim=2, width=4), Spec("toy", (1, 8, 8))
        ),
        at / "flow",
    )
    for folder in ("photos/inner", "bad", "empty"):
        (at / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (7, 13), np.uint8)).save(at / "photos" / "gray.png")
    Image.fromarray(rng.integers(0, 256, (6, 5, 3), np.uint8)).save(at / "photos" / "color.bmp")
    Image.fromarray(rng.integers(0, 256, (9, 8, 3), np.uint8)).save(
        at / "photos" / "inner" / "photo.jpg"
    )
    Image.fromarray(rng.integers(0, 2, (8, 8)).astype(bool)).save(
        at / "photos" / "inner" / "ink.png"
    )
    Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8)).quantize(9).save(
        at / "photos" / "palette.png"
    )
    Image.new("RGBA", (4, 4), (1, 2, 3, 4)).save(at / "bad" / "clear.png")
    Image.new("LA", (4, 4)).save(at / "bad" / "la.png")
    Image.new("P", (4, 4)).save(at / "bad" / "key.png", transparency=0)
    Image.new("I;16", (4, 4)).save(at / "bad" / "deep.png")
    Image.new("CMYK", (4, 4)).save(at / "bad" / "ink.jpg")
    Image.new("L", (4, 4)).save(
        at / "bad" / "film.gif", save_all=True, append_images=[Image.new("L", (4, 4), 9)]
    )
    (at / "bad" / "rgb48.png").write_bytes(deep_png())
    (at / "bad" / "deep.ppm").write_bytes(b"P6\n2 2\n65535\n" + bytes(24))
    (at / "bad" / "notes.png").write_text("hello")
    (at / "good.zx").write_text("hello")
    np.savez(at / "flat.npz", images=np.zeros((3, 4, 4), np.uint8))
    return at


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("clear.png", "transparency"),
        ("la.png", "transparency"),
        ("key.png", "transparency"),
        ("deep.png", "more than 8 bits"),
        ("rgb48.png", "more than 8 bits"),
        ("deep.ppm", "more than 8 bits"),
        ("ink.jpg", "colors of the kind CMYK"),
        ("film.gif", "2 pictures"),
        ("notes.png", "cannot be read"),
    ],
)
def test_what_would_be_lost_is_refused_beforehand(name: str, sentence: str, place: Path) -> None:
    with pytest.raises(DataError, match=sentence):
        inspected(place / "bad" / name, f"'{name}'")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB"))


def test_a_folder_of_pictures_there_and_back(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    record = f"--record {tmp_path / 'record.json'}"
    assert (
        main(
            (
                f"compress {place / 'gray'} {place / 'photos'} -o there.zx "
                f"--compare --check {record}"
            ).split()
        )
        == 0
    )
    said = capsys.readouterr().out
    for words in (
        "this file",
        "PNG",
        "WebP",
        "xz",
        "the model's bound",
        "bits/dim",
        "initial bits",
        "MB/s",
        "5 images in",
    ):
        assert words in said
    figures = json.loads((tmp_path / "record.json").read_text())["figures"]
    assert figures["size"] == Path("there.zx").stat().st_size
    assert figures["bits/dim"] == pytest.approx(8 * figures["size"] / figures["numbers"])
    assert set(figures["baselines"]) == {"PNG", "WebP", "xz"}
    assert main(["decompress", "there.zx"]) == 0
    assert "every pixel as it was" in capsys.readouterr().out
    back = {str(path.relative_to("there")) for path in Path("there").rglob("*") if path.is_file()}
    assert back == {
        f"photos/{name}.png" for name in ("gray", "color", "palette", "inner/photo", "inner/ink")
    }
    for path in sorted((place / "photos").rglob("*.*")):
        again = Path("there", "photos", path.relative_to(place / "photos")).with_suffix(".png")
        assert np.array_equal(pixels(path), pixels(again)), path
    assert main(["decompress", "there.zx"]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert main(["decompress", "there.zx", "--out", "x.npz"]) == 2
    assert "do not fit into one array" in capsys.readouterr().err
    moved = tmp_path / "moved"
    (place / "gray").rename(moved)
    try:
        assert main(["decompress", "there.zx", "--out", "again"]) == 2
        assert "give its run folder with --model" in capsys.readouterr().err
        assert main(f"decompress there.zx --out again --model {moved}".split()) == 0
        assert main(f"decompress there.zx --out other --model {place / 'binary'}".split()) == 1
        assert "give the same weights" in capsys.readouterr().err
        assert not Path("other").exists()
    finally:
        moved.rename(place / "gray")


def test_a_data_set_there_and_back(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        main(
            (
                f"compress {place / 'binary'} --data mnist --n 3 --binarize --seed 3 -o digits.zx"
            ).split()
        )
        == 0
    )
    assert main(["decompress", "digits.zx", "--out", "digits.npz"]) == 0
    x = binarized(load_data("mnist", split="test", limit=3).all(), torch.arange(3), 3)
    assert np.array_equal(np.load("digits.npz")["images"], x.numpy())
    assert main(["decompress", "digits.zx", "--out", "folder"]) == 0
    assert sorted(p.name for p in Path("folder").iterdir()) == [
        f"mnist-test-{i}.png" for i in range(3)
    ]


OLDER = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}  # kernels of older processors


@pytest.mark.slow
def test_a_process_with_other_kernels_decodes_double_and_gets_no_wrong_pixel_in_single(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    save(
        VAE(
            VAEConfig(architecture="dense", hidden_dim=100, latent_dim=10), Spec("toy", (1, 28, 28))
        ).eval(),
        tmp_path / "model",
    )
    for precision in ("double", "single"):
        words = (
            f"compress {tmp_path / 'model'} --data mnist --n 40 --binarize "
            f"--precision {precision} -o {tmp_path / precision}.zx"
        )
        assert main(words.split()) == 0
    script = (
        "import sys; from zeuxis.cli import main; sys.exit(10 * main(sys.argv[1:5]) "
        "+ main(sys.argv[5:]))"
    )
    words = [
        ["decompress", str(tmp_path / f"{p}.zx"), "--out", str(tmp_path / f"{p}.npz")]
        for p in ("double", "single")
    ]
    done = subprocess.run(
        [sys.executable, "-c", script, *words[0], *words[1]],
        env=os.environ | OLDER,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr
    x = binarized(load_data("mnist", split="test", limit=40).all(), torch.arange(40), 0).numpy()
    assert np.array_equal(np.load(tmp_path / "double.npz")["images"], x)
    if done.returncode:
        assert "Decode it where it was written" in done.stderr
        assert not (tmp_path / "single.npz").exists()
    else:
        assert np.array_equal(np.load(tmp_path / "single.npz")["images"], x)


BAD = [
    ("compress", 2, "Name the model first"),
    ("compress {0}/gray", 2, "either image files"),
    ("compress {0}/gray {0}/photos --data mnist", 2, "Got both"),
    ("compress {0}/nowhere {0}/photos", 2, "neither a folder nor a model"),
    ("compress {0}/gan {0}/photos", 1, "cannot compress; models that can"),
    ("compress {0}/flow {0}/photos", 1, "no independent dimensions"),
    ("compress {0}/binary {0}/photos", 2, "add --binarize"),
    ("compress {0}/gray {0}/bad", 1, "convert it to gray or RGB"),
    ("compress {0}/gray {0}/empty", 2, "holds neither a model nor images"),
    ("compress {0}/gray {0}/photos/gray.png {0}/photos/gray.png", 2, "both be called"),
    ("compress {0}/gray {0}/absent.png", 2, "There is no"),
    ("compress {0}/gray {0}/photos --precision half", 2, "precision"),
    ("compress {0}/gray {0}/photos -o {0}/good.zx/x.zx", 1, "could not be written"),
    ("compress {0}/gray --data mnist --split half", 2, "expected test or train"),
    ("compress {0}/gray --data mnist --n -1", 2, "at least 0"),
    ("compress {0}/binary --data mnist --n 3", 2, "add --binarize"),
    ("compress {0}/gray --data ring", 2, "gray or RGB images"),
    ("decompress {0}/nowhere.zx", 1, "cannot be read"),
    ("decompress {0}/good.zx", 1, "is no file that"),
    ("decompress {0}/photos/gray.png", 1, "is no file that"),
    ("decompress {0}/photos", 1, "is a folder, expected a file"),
]


@pytest.mark.parametrize(("words", "code", "sentence"), BAD, ids=[case[0] for case in BAD])
def test_bad_input_gets_one_sentence(
    words: str, code: int, sentence: str, place: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        found = main(words.format(place).split())
    except SystemExit as exit:  # tyro's own refusals of options
        found = exit.code
    said = capsys.readouterr()
    assert found == code, said.err
    assert sentence in " ".join(said.err.split()) + " ".join(said.out.split())
    if said.err.startswith("zeuxis: "):
        assert len(said.err.strip().splitlines()) == 1, "more than one line"
        assert said.err.rstrip().endswith(".")
    assert not list(tmp_path.iterdir()), "something was written"


def test_the_entropy_coder_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(ZeuxisError, match=r"pip install 'zeuxis\[codec\]'"):
        coder_for(chain(), "double")
