"""Untrusted files: PostScript, rotated photographs, locked archives, contradictory tables."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from zeuxis.data import cache, check, load_data
from zeuxis.data.images import decode
from zeuxis.errors import DataError

random = np.random.default_rng(0)


def pixels(*shape: int) -> np.ndarray:
    return random.integers(0, 256, shape, np.uint8)


def encoded(x: np.ndarray, form: str = "PNG", **more: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(x).save(out, form, **more)
    return out.getvalue()


def test_postscript_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> None:
        raise AssertionError("a PostScript interpreter was asked")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    program = encoded(pixels(8, 8, 3), "EPS")
    assert Image.open(io.BytesIO(program)).format == "EPS"  # Pillow itself would take it
    (tmp_path / "a.png").write_bytes(program)
    with pytest.raises(DataError, match="a.png' cannot be decoded"):
        load_data(str(tmp_path))


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_the_usual_formats_whatever_they_are_called(tmp_path: Path, form: str) -> None:
    x = pixels(6, 7)
    (tmp_path / "a.jpg").write_bytes(
        encoded(x, form, **({"lossless": True} if form == "WEBP" else {}))
    )
    assert np.array_equal(load_data(str(tmp_path), channels=1).all().numpy()[0, 0], x)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_photographs_are_turned_upright(orientation: int, turns: int) -> None:
    x = np.kron(np.array([[0, 90, 180], [255, 200, 40]], np.uint8), np.ones((8, 8), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = decode(encoded(x, "JPEG", exif=exif, quality=100), "x")[0]
    assert seen.shape == np.rot90(x, turns).shape
    assert np.abs(seen.astype(int) - np.rot90(x, turns)).max() < 9


def test_a_locked_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=pixels(3, 4, 4))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    for start, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(start) + flags] |= 1
    (tmp_path / "locked.npz").write_bytes(content)
    with pytest.raises(DataError, match="locked.npz' cannot be read as plain arrays .*encrypted"):
        load_data(str(tmp_path / "locked.npz"))


def test_a_file_with_two_labels(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for i in range(3):
        (tmp_path / "images" / f"{i}.png").write_bytes(encoded(pixels(4, 4)))
    table = tmp_path / "labels.csv"
    table.write_text("file,label\n0.png,cat\n1.png,dog\n0.png,dog\n")
    with pytest.raises(DataError, match="give '0.png' two labels, 'cat' and 'dog'"):
        load_data(str(tmp_path / "images"), labels=table)
    table.write_text("file,label\n0.png,cat\n1.png,dog\n0.png,cat\n")
    data = load_data(str(tmp_path / "images"), labels=table)
    assert data.labels is not None and data.labels.tolist() == [0, 1, -1]


@pytest.mark.parametrize("first", [0, 2])
def test_further_corrupt_images_are_counted(
    tmp_path: Path, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(9):
        bad = i == first or i in (5, 7)
        (tmp_path / f"{i}.png").write_bytes(b"none" if bad else encoded(pixels(4, 4)))
    with pytest.raises(DataError) as caught:
        load_data(str(tmp_path))
    assert f"{first}.png' cannot be decoded" in str(caught.value)
    assert str(caught.value).endswith("replace or remove it; further corrupt images: 2.")
    assert check(str(tmp_path)).fatal == str(caught.value)
    monkeypatch.setattr(
        cache, "MIN_CACHED", 9
    )  # many images: the first sentence, not minutes of counting
    with pytest.raises(DataError, match=r"replace or remove it\.$"):
        load_data(str(tmp_path), cache=tmp_path / "cache")


def test_another_size_is_not_counted_as_corrupt(tmp_path: Path) -> None:
    for i, content in enumerate((encoded(pixels(4, 4)), encoded(pixels(5, 4)), b"none")):
        (tmp_path / f"{i}.png").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_data(str(tmp_path))
    assert "1.png' has shape" in str(caught.value) and "further" not in str(caught.value)


def snapshot(path: Path, n: int, metadata: dict[str, str] | None = None) -> Path:
    """A parquet file as the Hub stores it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": encoded(pixels(4, 4)), "path": None} for _ in range(n)]
    table = pa.table({"image": cells, "label": [i % 2 for i in range(n)]})
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def test_parquet_of_the_hub_brings_its_classes(tmp_path: Path) -> None:
    def written(names: object) -> dict[str, str]:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        return {"huggingface": json.dumps({"info": {"features": features}})}

    path = snapshot(
        tmp_path / "plain_text" / "train-00000-of-00001.parquet", 4, written(["cat", "dog", "emu"])
    )
    for source in (path, tmp_path):
        data = load_data(str(source))
        assert data.spec.class_names == ("cat", "dog", "emu") and data.spec.classes == 3
    for odd in (
        {},
        {"huggingface": "no json"},
        {"huggingface": "[1]"},
        written(None),
        written([1, 2]),
        written("cat"),
    ):
        assert load_data(str(snapshot(tmp_path / "odd.parquet", 4, odd))).spec.class_names == (
            "0",
            "1",
        )
    snapshot(tmp_path / "extra" / "train-00000-of-00001.parquet", 2)
    with pytest.raises(DataError, match="holds the data sets extra, plain_text: give one of them"):
        load_data(str(tmp_path))


def test_memory_is_what_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZEUXIS_MEMORY", raising=False)
    assert 1 << 24 < cache.memory() < 1 << 50
    monkeypatch.setattr(
        Path, "read_text", lambda *_, **__: "MemTotal: 9 kB\nMemAvailable:    4000 kB\n"
    )
    assert cache.memory() == 2_048_000
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "MemTotal: 9 kB\n")
    assert cache.memory() > 0
