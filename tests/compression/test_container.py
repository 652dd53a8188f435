"""The file of the lossless codec: whatever is done to it, there are the right pixels or an
error."""

from __future__ import annotations

import json
import zlib
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from codec import Chain, ChainConfig, InMemoryImages, chain, noise, vae
from zeuxis.compression import container
from zeuxis.compression.codec import compress, decompress, survey
from zeuxis.compression.container import FRAME, MAGIC, Block, Header, Writer, link, sections
from zeuxis.compression.entropy_coding import PRECISION, fingerprint
from zeuxis.errors import DataError, ZeuxisError
from zeuxis.model import Model

pytest.importorskip("constriction")


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Chain, list[Tensor]]:
    model, images = chain(), [noise(1, 5, 6), noise(3, 2, 2, seed=1), noise(1, 4, 4, seed=2)]
    compress(model, InMemoryImages(images), tmp_path / "good.zx", tiles=4)
    return tmp_path / "good.zx", model, images


def refused(path: Path, data: bytes, model: Model) -> str:
    """The sentence that a file of these bytes gets, and no image before it."""
    path.write_bytes(data)
    images: list[str] = []
    with pytest.raises(DataError) as raised:
        images.extend(name for name, _ in decompress(path, model))
    assert not images
    sentence = str(raised.value)
    assert sentence.startswith(f"'{path}' ")
    assert sentence.endswith(".")
    return sentence


def test_every_cut_and_every_changed_byte_is_noticed(
    written: tuple[Path, Chain, list[Tensor]],
) -> None:
    path, model, _ = written
    good, bad = path.read_bytes(), path.with_name("bad.zx")
    assert len(list(sections(path))) >= 4, "a header, blocks, an end"
    for length in range(0, len(good), 3):
        refused(bad, good[:length], model)
    for i in range(len(good)):
        refused(
            bad,
            good[:i] + bytes([good[i] ^ (1 << i % 8 if i % 5 else 0xFF)]) + good[i + 1 :],
            model,
        )
    assert "end where it should" in refused(bad, good + b"\0", model)


def pieces(data: bytes) -> list[bytes]:
    """The sections of a file's bytes."""
    found, at = [], len(MAGIC) + 4
    while at < len(data):
        size = FRAME.size + sum(FRAME.unpack(data[at : at + FRAME.size])[1:]) + container.DIGEST
        found.append(data[at : at + size])
        at += size
    return found


def test_sections_cannot_be_moved_doubled_or_left_out(
    written: tuple[Path, Chain, list[Tensor]],
) -> None:
    path, model, _ = written
    good, bad = path.read_bytes(), path.with_name("bad.zx")
    start, parts = good[: len(MAGIC) + 4], pieces(good)
    assert start + b"".join(parts) == good
    head, *blocks, done = parts
    assert len(blocks) >= 2
    for order in (
        [head, *blocks[::-1], done],
        [head, *blocks, blocks[-1], done],
        [head, *blocks[1:], done],
        [head, done],
        [*blocks, done],
    ):
        assert "damaged" in refused(bad, start + b"".join(order), model)


def test_foreign_and_newer_files(written: tuple[Path, Chain, list[Tensor]]) -> None:
    path, model, _ = written
    bad, good = path.with_name("bad.zx"), path.read_bytes()
    assert "is no file that" in refused(bad, b"\x89PNG\r\n\x1a\n" + bytes(40), model)
    assert "ends after 0 bytes" in refused(bad, b"", model)
    assert "version 2" in refused(
        bad, good[: len(MAGIC)] + b"\2\0\0\0" + good[len(MAGIC) + 4 :], model
    )
    with pytest.raises(DataError, match="cannot be read"):
        survey(path.with_name("absent.zx"))


def forged(path: Path, by: Model, *blocks: tuple[object, bytes], **changes: object) -> bytes:
    """A file with right digests around whatever it is to say."""
    about = {
        "zeuxis": "1",
        "model": "chain",
        "source": "",
        "weights": "",
        "fingerprint": fingerprint(by),
        "coder": "range",
    }
    about |= {
        "precision": "double",
        "machine": "",
        "shape": list(by.spec.shape),
        "images": 1,
        "bits": 24,
        "prefix": "",
    } | changes
    with open(path, "wb") as file:
        writer = Writer(file)
        for kind, said, body in (
            (b"HEAD", about, b""),
            *((b"BLCK", *block) for block in blocks),
            (b"DONE", {"images": about["images"], "blocks": len(blocks)}, b""),
        ):
            head = zlib.compress(json.dumps(said).encode())
            frame = FRAME.pack(kind, len(head), len(body))
            writer.digest = link(writer.digest, frame, head, body)
            file.write(frame + head + body + writer.digest)
    return path.read_bytes()


BLOCK = {
    "shapes": [[1, 1, 4, 4]],
    "names": ["a.png"],
    "first": 0,
    "lanes": 1,
    "kept": 0,
    "digest": "",
}


@pytest.mark.parametrize(
    "change",
    [
        {"names": ["../a.png"]},
        {"names": ["/etc/a.png"]},
        {"names": ["a/../../b.png"]},
        {"names": ["c:\\a.png"]},
        {"names": [""]},
        {"names": ["a.png", "b.png"]},
        {"names": [7]},
        {"shapes": []},
        {"shapes": [[1, 1, 4]]},
        {"shapes": [[1, 2, 4, 4]]},
        {"shapes": [[-1, 1, 4, 4]]},
        {"shapes": [[1, 1, 10**6, 10**6]]},
        {"shapes": [[10**9, 1, 4, 4]]},
        {"first": 3},
        {"lanes": 0},
        {"kept": -1},
        {"digest": 5},
        {"extra": 1},
    ],
    ids=str,
)
def test_hostile_descriptions_are_refused(change: dict[str, object], tmp_path: Path) -> None:
    model = chain()
    data = forged(tmp_path / "x.zx", model, (BLOCK | change, b"1234"))
    assert "damaged" in refused(tmp_path / "x.zx", data, model)


def test_hostile_headers_are_refused(tmp_path: Path) -> None:
    model = chain()
    for change in (
        {"prefix": "../"},
        {"images": 5},
        {"shape": [1, 2]},
        {"coder": "magic"},
        {"model": None},
    ):
        assert "damaged" in refused(
            tmp_path / "x.zx", forged(tmp_path / "x.zx", model, (BLOCK, b"1234"), **change), model
        )
    for change in ({"bits": 12}, {"shape": [1, 2, 2]}):
        assert "does not read" in refused(
            tmp_path / "x.zx", forged(tmp_path / "x.zx", model, (BLOCK, b"1234"), **change), model
        )


@pytest.mark.parametrize("kind", ["chain", "vae"])
def test_bits_with_right_digests_and_wrong_content_never_become_images(
    kind: str, tmp_path: Path
) -> None:
    model = chain() if kind == "chain" else vae()
    for payload in (b"", b"1234", bytes(400), b"\xff" * 400, np.random.default_rng(0).bytes(400)):
        data = forged(
            tmp_path / "x.zx",
            model,
            (BLOCK, payload),
            coder="range" if kind == "chain" else "bits-back",
        )
        assert "decode to" in refused(tmp_path / "x.zx", data, model)


def test_other_weights_are_refused(written: tuple[Path, Chain, list[Tensor]]) -> None:
    path, model, _ = written
    for other in (chain(seed=1), chain(sharpness=2.0), chain((1, 2, 8))):
        with pytest.raises(DataError, match="give the same weights with --model"):
            next(decompress(path, other))
    assert fingerprint(model) == fingerprint(chain())


class Wavering(Chain):
    """Gives other distributions each time it is asked."""

    def autoregress(self, n: int, y: Tensor | None = None) -> Generator[Tensor, Tensor, None]:
        self.shift += 0.1
        yield from super().autoregress(n, y)


def test_a_machine_that_computes_otherwise_gets_an_error_and_no_image(
    written: tuple[Path, Chain, list[Tensor]],
) -> None:
    path, model, images = written
    model.shift = 1e-3
    with pytest.raises(
        DataError, match="is whole, but images 0 to 0 decode to .* Decode it where it was written"
    ):
        next(decompress(path, model))
    wavering = Wavering(ChainConfig(), model.spec).eval()
    with pytest.raises(ZeuxisError, match="nothing was written"):
        compress(wavering, InMemoryImages(images), path.with_name("x.zx"), check=True)
    assert not path.with_name("x.zx").exists()


def test_an_interrupted_writing_leaves_nothing(tmp_path: Path) -> None:
    class Broken(InMemoryImages):
        def read(self, i: int) -> Tensor:
            raise DataError("gone.")

    with pytest.raises(DataError, match="gone"):
        compress(chain(), Broken([noise(1, 4, 4)]), tmp_path / "x.zx")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(ZeuxisError, match="could not be written"):
        compress(chain(), InMemoryImages([noise(1, 4, 4)]), tmp_path / "file" / "x.zx")


def test_a_block_says_what_it_holds() -> None:
    block = Block(((2, 1, 4, 4), (1, 3, 5, 6)), (), 0, 1, 0, "")
    assert list(block.images()) == [(1, 4, 4), (1, 4, 4), (3, 5, 6)]
    assert (len(block), block.tiles((1, 4, 4)), block.tiles((3, 4, 4))) == (
        3,
        2 + 3 * 2 * 2,
        2 + 2 * 2,
    )
    assert Header("", "", "", "", "", "range", "double", "", (1, 4, 4), 3).bits == PRECISION
