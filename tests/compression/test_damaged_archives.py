"""Damaged and hostile .zx files: the right pixels or a sentence, and nothing else."""

from __future__ import annotations

import hashlib
import json
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zeuxis
from codec import noise
from codec import vae as toy_vae
from fuzzing import Target, check, command, linux_only
from mutations import BYTES, bytes_mutant, odd_json
from zeuxis.autoregressive.pixelcnn import PixelCNN, PixelCNNConfig
from zeuxis.checkpoints.weights import save
from zeuxis.compression.codec import compress, decompress
from zeuxis.compression.image_sources import ImageFiles
from zeuxis.data.dataset import Spec

pytest.importorskip("constriction")
pytestmark = linux_only

START = b"\x89ZX\r\n\x1a\n\0" + struct.pack("<I", 1)
SHAPES = [
    [[2**20, 1, 1, 1]],
    [[1, 1, 2**14, 2**14]],
    [[1, 3, 9, 11]],
    [[1, 1, 9, 11]],
    [[2**26, 1, 1, 1]],
    [[3, 1, 9, 11]],
    [[1, 1, 10**9, 1]],
]
NAMES = [
    "../x.png",
    "/x.png",
    "a.jpg",
    "a.exe",
    "",
    "CON",
    "a\nb.png",
    "x" * 300 + ".png",
    ".png",
    "a/../b.png",
    "a.png",
    "A.png",
    "a.png/b.png",
]


def split(data: bytes) -> list[list]:
    """Kind, description and payload of each section."""
    at, found = len(START), []
    while at < len(data):
        kind, a, b = struct.unpack("<4sII", data[at : at + 12])
        at += 12
        found.append(
            [kind, json.loads(zlib.decompress(data[at : at + a])), data[at + a : at + a + b]]
        )
        at += a + b + 16
    return found


def joined(found: list[list]) -> bytes:
    """The file of these sections, with the digests that they must have; a description given as
    bytes is taken as deflated."""
    out = digest = START
    for kind, about, body in found:
        packed = about if isinstance(about, bytes) else zlib.compress(json.dumps(about).encode())
        frame = struct.pack("<4sII", kind, len(packed), len(body))
        digest = hashlib.blake2b(digest + frame + packed + body, digest_size=16).digest()
        out += frame + packed + body + digest
    return out


def signed_mutant(data: bytes, r: random.Random) -> tuple[bytes, str]:
    """A file changed by somebody who makes the digests right again."""
    found = split(data)
    block = next(s for s in found if s[0] == b"BLCK")
    act = r.choice(
        ["description"] * 6 + ["payload"] * 3 + ["names"] * 2 + ["shapes", "head", "sections"]
    )
    what = act
    if act == "description":
        i = r.randrange(len(found))
        found[i][1], what = odd_json(found[i][1], r)
    elif act == "payload":
        i = r.choice([k for k, s in enumerate(found) if s[2]])
        body = r.choice(BYTES)(found[i][2], r)
        found[i][2] = body[: len(body) // 4 * 4] if r.random() < 0.7 else body
    elif act == "shapes":
        shapes = r.choice(SHAPES)
        count = sum(run[0] for run in shapes)
        block[1] |= {"shapes": shapes, "names": []}
        found[0][1] |= {"images": count, "prefix": "n"}
        found[-1][1]["images"] = count
        what = f"shapes {shapes}"
    elif act == "head":
        texts = [
            b"{" * 10**6,
            b'{"zeuxis": "' + b"a" * 60_000_000 + b'"}',
            b"[" + b"0," * 25_000_000 + b"0]",
        ]
        found[0][1] = r.choice([b"", *(zlib.compress(text, 1) for text in texts)])
    elif act == "names":
        block[1]["names"] = [r.choice(NAMES) for _ in block[1]["names"]]
        what = f"names {block[1]['names']}"[:60]
    else:
        found.insert(r.randrange(len(found) + 1), r.choice(found))
    return joined(found), f"signed: {what}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that are saved, and files that they wrote."""
    at = tmp_path_factory.mktemp("fuzz")
    (at / "in").mkdir()
    for i in range(3):
        Image.fromarray(noise(1, 9 + i, 11, seed=i)[0].numpy()).save(at / "in" / f"{i}.png")
    pixelcnn = PixelCNN(
        PixelCNNConfig(channels=4, layers=1, head_channels=4, levels=256), Spec("tiny", (1, 8, 8))
    )
    for name, model in (("pixelcnn", pixelcnn), ("vae", toy_vae((1, 8, 8), binary=False))):
        save(model, at / name)
        compress(
            zeuxis.load(at / name),
            ImageFiles([str(at / "in")]),
            at / f"{name}.zx",
            source=str(at / name),
        )
    return at


def summary(images: list[np.ndarray]) -> str:
    total = hashlib.sha256()
    for x in images:
        total.update(repr(x.shape).encode() + x.tobytes())
    return total.hexdigest()[:16]


def from_python(place: Path, kind: str) -> object:
    model = zeuxis.load(place / kind)
    return lambda path: summary([x.numpy() for _, x in decompress(path, model)])


def from_command(path: Path) -> str:
    """The pixels of the files that the command writes, in an order that is not that of their names;
    nothing may lie elsewhere."""
    out = path.parent / "unpacked"
    try:
        command("decompress", str(path), "--out", str(out))
    finally:
        assert {p.name for p in path.parent.iterdir()} <= {path.name, "unpacked"}
        assert all(
            p.is_dir() or (p.suffix == ".png" and not p.is_symlink()) for p in out.rglob("*")
        )
    return pictures(out)


def pictures(folder: Path) -> str:
    return summary(
        sorted(
            (np.asarray(Image.open(p)) for p in folder.rglob("*.png")),
            key=lambda x: (x.shape, x.tobytes()),
        )
    )


@pytest.mark.parametrize("kind", ["pixelcnn", "vae"])
@pytest.mark.parametrize("mutant", [bytes_mutant, signed_mutant], ids=["bytes", "signed"])
@pytest.mark.parametrize(
    "copies", [30, pytest.param(800, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_damaged_files_give_the_right_pixels_or_a_sentence(
    kind: str, mutant, copies: int, place: Path, tmp_path: Path
) -> None:
    target = Target(place / f"{kind}.zx", {"": mutant}, from_python(place, kind))
    outcomes = check(target, copies, tmp_path / "work", intact=True)
    assert (
        mutant is bytes_mutant or copies < 100 or any(one.kind == "accepted" for one in outcomes)
    ), "no harmless change was taken"


@pytest.mark.parametrize(
    "copies", [15, pytest.param(400, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_the_command_writes_the_right_pictures_or_none(
    copies: int, place: Path, tmp_path: Path
) -> None:
    target = Target(place / "pixelcnn.zx", {"": signed_mutant}, from_command)
    outcomes = check(target, copies, tmp_path / "work")
    assert {one.more for one in outcomes if one.kind == "accepted"} <= {
        repr(pictures(place / "in"))
    }
