"""Images in files: folders and their labels, sizes and channels, damage, and the way to a
square."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zeuxis.data import load_data
from zeuxis.data.images import decode, square
from zeuxis.errors import DataError, UsageError

random = np.random.default_rng(0)


def pixels(*shape: int) -> np.ndarray:
    return random.integers(0, 256, shape, np.uint8)


def png(x: np.ndarray, form: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(x).save(out, form)
    return out.getvalue()


def save(path: Path, x: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(x).save(path)
    return path


def test_folder_flat_and_by_class(tmp_path: Path) -> None:
    x = pixels(4, 5, 5, 3)
    for i, one in enumerate(x):
        save(tmp_path / "flat" / f"{i}.png", one)
        save(tmp_path / "classes" / "test" / ("zebra" if i % 2 else "ant") / f"{i}.PNG", one)
    (tmp_path / "flat" / "notes.txt").write_text("no image")
    flat = load_data(str(tmp_path / "flat"))
    assert (
        np.array_equal(flat.all().numpy(), x.transpose(0, 3, 1, 2))
        and flat.labels is None
        and flat.spec.classes == 0
    )
    classes = load_data(str(tmp_path / "classes"), split="test")
    assert (
        classes.spec.class_names == ("ant", "zebra")
        and classes.labels is not None
        and classes.labels.tolist() == [0, 0, 1, 1]
    )
    assert np.array_equal(classes.all().numpy(), x[[0, 2, 1, 3]].transpose(0, 3, 1, 2))
    with pytest.raises(DataError, match="holds a folder 'test' and none named 'train'"):
        load_data(str(tmp_path / "classes"))


def test_a_named_folder_keeps_its_own_order_of_classes(tmp_path: Path) -> None:
    for name in ("trouser", "bag"):
        save(tmp_path / name / "0.png", pixels(4, 4))
    assert load_data(f"fashion-mnist={tmp_path}").spec.class_names == ("bag", "trouser")


def test_labels_from_a_table(tmp_path: Path) -> None:
    folder, given = tmp_path / "images", tmp_path / "labels.csv"
    for i in range(4):
        save(folder / f"{i}.png", pixels(4, 4))
    given.write_text("file,label\n0.png,10\n2.png,9\n3.png,\n", encoding="utf-8-sig")
    data = load_data(str(folder), labels=given)
    assert (
        data.labels is not None
        and data.labels.tolist() == [1, -1, 0, -1]
        and data.spec.class_names == ("9", "10")
    )
    given.write_text("file,label\n0.png,\n")
    assert load_data(str(folder), labels=given).labels is None
    for text, sentence in (
        ("file,label\n7.png,1\n", "name '7.png', which is not in"),
        ("name,class\n0.png,1\n", "`file,label`"),
    ):
        given.write_text(text)
        with pytest.raises(DataError, match=sentence):
            load_data(str(folder), labels=given)
    with pytest.raises(DataError, match="cannot be read"):
        load_data(str(folder), labels=tmp_path / "none.csv")
    with pytest.raises(UsageError, match="for a folder of images"):
        load_data("mnist", split="test", labels=given)


def test_sizes_and_channels_that_differ(tmp_path: Path) -> None:
    save(tmp_path / "sizes" / "a.png", pixels(6, 8, 3))
    save(tmp_path / "sizes" / "b.png", pixels(9, 5, 3))
    with pytest.raises(DataError, match="b.png' has shape .*--size"):
        load_data(str(tmp_path / "sizes"))
    assert load_data(str(tmp_path / "sizes"), size=4).all().shape == (2, 3, 4, 4)
    save(tmp_path / "mixed" / "a.png", pixels(4, 4))
    save(tmp_path / "mixed" / "b.png", pixels(4, 4, 3))
    for size in (None, 4):
        with pytest.raises(DataError, match="b.png' has shape .*--channels 1 or --channels 3"):
            load_data(str(tmp_path / "mixed"), size=size)
    for channels in (1, 3):
        assert load_data(str(tmp_path / "mixed"), channels=channels).spec.shape == (channels, 4, 4)


def bomb(width: int, height: int) -> bytes:
    """A PNG of some bytes that promises this many pixels."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(9)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (png(pixels(20, 20, 3))[:-300], "cannot be decoded"),
        (b"", "cannot be decoded"),
        (b"text", "cannot be decoded"),
        (bomb(12_000, 9_000), "too large to be safe"),
        (bomb(1 << 30, 1 << 30), "too large to be safe"),
    ],
)
def test_a_bad_image_is_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    save(tmp_path / "a.png", pixels(20, 20, 3))
    (tmp_path / "b.png").write_bytes(content)
    with pytest.raises(DataError, match=sentence) as caught:
        load_data(str(tmp_path))
    assert f"'{tmp_path / 'b.png'}'" in str(caught.value)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_damage_never_escapes_as_another_error(form: str) -> None:
    whole, refused = bytearray(png(pixels(16, 16), form)), 0
    for _ in range(150):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), 4):
            damaged[place] = random.integers(256)
        try:
            assert decode(bytes(damaged), "x").dtype == np.uint8
        except DataError:
            refused += 1
    assert refused


def test_sixteen_bits_become_eight() -> None:
    deep = np.array([[0, 257, 65535]], np.uint16)
    assert decode(png(deep), "x").tolist() == [[[0, 1, 255]]]
    assert decode(png(deep.astype(">u2"), "TIFF"), "x").tolist() == [[[0, 1, 255]]]


# Resizing.


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.sampled_from([1, 3]))
def test_any_shape_becomes_a_square(width: int, height: int, size: int, channels: int) -> None:
    x = decode(png(np.full((height, width, 3), (200, 100, 50), np.uint8)), "x", size, channels)
    assert x.shape == (channels, size, size) and (x == x[:, :1, :1]).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 30), st.integers(0, 40), st.booleans())
def test_the_central_square_is_what_is_kept(side: int, margin: int, tall: bool) -> None:
    inside = pixels(side, side)
    whole = np.pad(inside, ((margin, margin), (0, 0)) if tall else ((0, 0), (margin, margin)))
    assert np.array_equal(np.asarray(square(Image.fromarray(whole), side)), inside)


def test_a_long_strip_costs_no_memory() -> None:
    assert square(Image.new("L", (4_000_000, 1)), 64).size == (64, 64)
