"""Images of more than 8 bits keep their ramp or are refused, never black without a word; every
camera's orientation is turned upright."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zeuxis.compression.image_sources import ImageFiles
from zeuxis.data import load_data
from zeuxis.data.images import decode
from zeuxis.errors import DataError

RAMP = np.linspace(0, 1, 64).reshape(8, 8)


def encoded(x: np.ndarray, form: str, **more: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(x).save(out, form, **more)
    return out.getvalue()


KINDS = {
    "float": ((RAMP).astype(np.float32), "TIFF", {}),
    "float, compressed": ((RAMP).astype(np.float32), "TIFF", {"compression": "tiff_deflate"}),
    "16 bits": ((RAMP * 65535).astype(np.uint16), "TIFF", {}),
    "16 bits, other order": ((RAMP * 65535).astype(">u2"), "TIFF", {}),
    "16 bits, PNG": ((RAMP * 65535).astype(np.uint16), "PNG", {}),
    "16 bits, PGM": ((RAMP * 65535).astype(np.int32), "PPM", {}),
    "16 bits, on its side": ((RAMP.T * 65535).astype(np.uint16), "TIFF", {"exif": 5}),
    "float, on its side": (RAMP.T.astype(np.float32), "TIFF", {"exif": 5}),
}


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_a_ramp_stays_a_ramp(kind: str, channels: int | None) -> None:
    x, form, more = KINDS[kind]
    if "exif" in more:
        more = {"exif": exif(more["exif"])}
    found = decode(encoded(x, form, **more), "x", channels=channels)
    assert found.shape == (channels or 1, 8, 8) and np.abs(found / 255 - RAMP).max() <= 1 / 255


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        ((RAMP * 255).astype(np.float32), "has values from 0 to 255, expected floats from 0 to 1"),
        ((RAMP - 0.5).astype(np.float32), "has values from -0.5 to 0.5, expected floats"),
        (np.full((8, 8), np.nan, np.float32), "has values from nan to nan"),
        ((RAMP * 255).astype(np.int32), "integers of 32 bits"),
        ((RAMP * (2**31 - 200)).astype(np.int32), "integers of 32 bits"),
    ],
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_values_without_a_known_white_are_refused(
    tmp_path: Path, x: np.ndarray, sentence: str, orientation: int
) -> None:
    (tmp_path / "a.tif").write_bytes(encoded(x, "TIFF", exif=exif(orientation)))
    with pytest.raises(DataError, match=sentence) as caught:
        load_data(str(tmp_path))
    assert f"'{tmp_path / 'a.tif'}'" in str(caught.value)


TURNS = {1: 0, 3: 2, 6: 3, 8: 1}


@pytest.mark.parametrize(
    ("form", "more"),
    [("JPEG", {"quality": 100}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})],
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_format_is_turned_upright(
    tmp_path: Path, form: str, more: dict, orientation: int
) -> None:
    x = np.kron(np.array([[0, 90, 180], [255, 200, 40]], np.uint8), np.ones((8, 8), np.uint8))
    mirrored = {2: x[:, ::-1], 4: x[::-1], 5: x.T, 7: np.rot90(x, 2).T}
    right = mirrored[orientation] if orientation in mirrored else np.rot90(x, TURNS[orientation])
    content = encoded(x, form, exif=exif(orientation), **more)
    found = decode(content, "x")[0]  # a WebP is RGB
    assert found.shape == right.shape and np.abs(found.astype(int) - right).max() < 9
    (tmp_path / "a.png").write_bytes(
        content
    )  # the codec must see the same shape before it reads the pixels
    pictures = ImageFiles([str(tmp_path / "a.png")])
    assert (
        tuple(pictures.read(0).shape)
        == pictures.shape(0)
        == (3 if form == "WEBP" else 1, *right.shape)
    )
