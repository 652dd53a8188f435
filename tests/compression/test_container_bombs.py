"""Small files that claim much: refused before they cost memory or time, with right digests around
whatever they say."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest
import torch
from test_container import BLOCK, forged

from codec import InMemoryImages, chain, noise, vae
from fuzzing import guarded, linux_only
from zeuxis.compression import codec, container
from zeuxis.compression.codec import compress, decompress
from zeuxis.compression.container import FRAME, MAGIC, Writer, link, sections
from zeuxis.compression.contents import survey
from zeuxis.errors import DataError, UsageError

pytest.importorskip("constriction")


def raw(path: Path, *parts: tuple[bytes, bytes, bytes]) -> Path:
    """A file of sections whose descriptions are given deflated or not at all as JSON."""
    with open(path, "wb") as file:
        writer = Writer(file)
        for kind, head, body in parts:
            frame = FRAME.pack(kind, len(head), len(body))
            writer.digest = link(writer.digest, frame, head, body)
            file.write(frame + head + body + writer.digest)
    return path


def head(path: Path, **changes: object) -> bytes:
    """A deflated header."""
    data = forged(path, chain(), (BLOCK, b""), **changes)
    start = len(MAGIC) + 4 + FRAME.size
    return data[start : start + FRAME.unpack(data[start - FRAME.size : start])[1]]


CLAIMS = {
    "64 million images": [[2**26, 1, 1, 1]],
    "2**29 images": [[2**29, 1, 1, 1]],
    "2**62 images": [[2**62, 1, 1, 1]],
    "a large image": [[1, 1, 2**14, 2**14]],
    "a row": [[1, 1, 1, 2**29]],
    "a column": [[1, 3, 2**27, 1]],
    "many runs": [[1, 1, 1, 1]] * 300_000,
    "no number": [[1, 1, 10**4000, 1]],
}


@linux_only
@pytest.mark.parametrize("name", CLAIMS)
def test_claims_beyond_the_size_of_the_file_cost_nothing(name: str, tmp_path: Path) -> None:
    shapes = CLAIMS[name]
    block = BLOCK | {"shapes": shapes, "names": []}
    images = sum(run[0] for run in shapes)
    forged(tmp_path / "x.zx", chain(), (block, b"1234"), images=images, prefix="n")
    end = guarded(
        lambda: list(decompress(tmp_path / "x.zx", chain())),
        tmp_path / "work",
        seconds=10,
        megabytes=300,
    )
    assert end.kind == "refused", end
    assert "--large" in end.more or "damaged" in end.more


@linux_only
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("kind", ["lists", "names", "runs", "numbers", "text", "nested"])
@pytest.mark.parametrize("where", [b"HEAD", b"BLCK", b"DONE"])
def test_descriptions_that_inflate_cost_little(
    where: bytes, kind: str, large: bool, tmp_path: Path
) -> None:
    size = 60_000_000 if kind != "nested" else 1_000_000
    part = {
        "lists": b"[],",
        "names": b'"aa",',
        "runs": b"[1,1,1,1],",
        "numbers": b"1234,",
        "text": b"aaaa",
        "nested": b"[",
    }[kind]
    middle = part * (size // len(part))
    text = {"text": b'{"zeuxis": "' + middle + b'"}', "nested": middle}.get(
        kind, b'{"shapes": [' + middle + b"0]}"
    )
    bomb = zlib.compress(text, 9)
    parts = [(b"HEAD", head(tmp_path / "h.zx"), b"")] if where != b"HEAD" else []
    path = raw(tmp_path / "x.zx", *parts, (where, bomb, b""))
    end = guarded(lambda: survey(path, large=large), tmp_path / "work", seconds=10, megabytes=1000)
    assert end.kind == "refused", end


@linux_only
def test_many_descriptions_together_have_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = BLOCK | {"names": ["a.png"] * 50, "shapes": [[50, 1, 1, 1]]}
    blocks = [
        (b"BLCK", zlib.compress(json.dumps(one | {"first": 50 * i}).encode(), 9), b"")
        for i in range(20)
    ]
    path = raw(tmp_path / "x.zx", (b"HEAD", head(tmp_path / "h.zx", images=1000), b""), *blocks)
    for large in (False, True):
        with pytest.raises(DataError, match="before its last section"):
            survey(path, large=large)
    monkeypatch.setattr(container, "ALL_JSON", (2_000, 1))
    with pytest.raises(DataError, match="inflates to far more, .* --large"):
        survey(path)
    with pytest.raises(DataError, match="before its last section"):
        survey(path, large=True)


@linux_only
@pytest.mark.parametrize(
    "change", [{"lanes": 2**40}, {"lanes": 257}, {"kept": 2**70}, {"kept": 10**6}], ids=str
)
@pytest.mark.parametrize("coder", ["range", "bits-back"])
def test_lanes_and_initial_bits_are_those_of_a_writer(
    change: dict[str, int], coder: str, tmp_path: Path
) -> None:
    model = chain() if coder == "range" else vae()
    block = BLOCK | {"shapes": [[4000, 1, 4, 4]], "names": []} | change
    forged(tmp_path / "x.zx", model, (block, bytes(400)), images=4000, prefix="n", coder=coder)
    end = guarded(
        lambda: list(decompress(tmp_path / "x.zx", model)),
        tmp_path / "work",
        seconds=10,
        megabytes=500,
    )
    assert end.kind == "refused", end


@pytest.mark.parametrize("coder", ["range", "bits-back"])
def test_lanes_beyond_a_writers_are_refused_before_any_network_runs(
    coder: str, tmp_path: Path
) -> None:
    model = chain() if coder == "range" else vae()
    for count, most in (
        (4000, 256 if coder == "range" else 4000 // 256),
        (3, 3 if coder == "range" else 1),
    ):
        for lanes, said in ((most + 1, f"a block says {most + 1} lanes"), (most, "is whole, but")):
            block = BLOCK | {"shapes": [[count, 1, 4, 4]], "names": [], "lanes": lanes}
            forged(
                tmp_path / "x.zx", model, (block, bytes(8)), images=count, prefix="n", coder=coder
            )
            with pytest.raises(DataError, match=said):
                list(decompress(tmp_path / "x.zx", model))


def test_nothing_hides_behind_a_description(tmp_path: Path) -> None:
    whole = head(tmp_path / "h.zx")
    for bad in (whole + b"hidden", whole[:-1], whole + whole):
        with pytest.raises(DataError, match="description cannot be read"):
            survey(raw(tmp_path / "x.zx", (b"HEAD", bad, b"")))
    with pytest.raises(DataError, match="before its last section"):
        survey(raw(tmp_path / "x.zx", (b"HEAD", whole, b"")))


@pytest.mark.parametrize("payload", [b"1", b"12345", b"123456", b"1234567"], ids=len)
@pytest.mark.parametrize("coder", ["range", "bits-back"])
def test_half_words_are_refused(payload: bytes, coder: str, tmp_path: Path) -> None:
    model = chain() if coder == "range" else vae()
    forged(tmp_path / "x.zx", model, (BLOCK, payload), coder=coder)
    with pytest.raises(DataError, match="makes no sense"):
        list(decompress(tmp_path / "x.zx", model))


@pytest.mark.parametrize("coder", ["range", "bits-back"])
def test_pixels_that_nobody_paid_for_end_the_decoding_early(coder: str, tmp_path: Path) -> None:
    """Behind the end of its bits a coder reads zeros, which mean images for as long as it is
    asked."""
    model = chain() if coder == "range" else vae()
    block = BLOCK | {"shapes": [[60_000, 1, 4, 4]], "names": [], "lanes": 200}
    forged(tmp_path / "x.zx", model, (block, b"\1" * 400), images=60_000, prefix="n", coder=coder)
    steps = 0

    class Counted(type(model)):  # type: ignore[misc]
        def autoregress(self, n, y=None):
            nonlocal steps
            steps += 1
            yield from super().autoregress(n, y)

        def pixels(self, z):
            nonlocal steps
            steps += 1
            return super().pixels(z)

    model.__class__ = Counted
    with pytest.raises(DataError, match="more than its bits can hold"):
        list(decompress(tmp_path / "x.zx", model))
    assert steps < 30


@pytest.mark.parametrize("sharpness", [0.0, 8.0, 40.0])
@pytest.mark.parametrize("levels", [2, 256])
def test_honest_files_pay_for_every_pixel(levels: int, sharpness: float, tmp_path: Path) -> None:
    """However likely or unlikely images are to a model, what was coded is decoded."""
    for seed, images in enumerate(
        (
            [torch.zeros(1, 40, 40, dtype=torch.uint8)] * 20,
            [noise(1, 9, 9, levels=levels, seed=i) for i in range(9)],
        )
    ):
        model = chain(levels=levels, sharpness=sharpness, seed=seed)
        compress(model, InMemoryImages(images), tmp_path / "x.zx")
        assert all(
            torch.equal(x, y)
            for x, (_, y) in zip(images, decompress(tmp_path / "x.zx", model), strict=True)
        )


def test_a_dense_file_of_ones_own_needs_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images = chain(levels=2, sharpness=8.0), [torch.zeros(1, 20, 20, dtype=torch.uint8)] * 30
    compress(model, InMemoryImages(images), tmp_path / "x.zx")
    assert len(list(decompress(tmp_path / "x.zx", model))) == 30
    monkeypatch.setattr(container, "MAX_DENSITY", (100, 1))
    with pytest.raises(DataError, match="--large"):
        list(decompress(tmp_path / "x.zx", model))
    assert len(list(decompress(tmp_path / "x.zx", model, large=True))) == 30


def test_what_is_too_large_to_be_read_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zeuxis.compression.blocks.BLOCK", 300)
    report = compress(
        chain(), InMemoryImages([noise(1, 12, 12, seed=i) for i in range(4)]), tmp_path / "x.zx"
    )
    assert report.chains == [18, 18]
    with pytest.raises(UsageError, match="too large for one block"):
        compress(chain(), InMemoryImages([noise(1, 20, 20)]), tmp_path / "x.zx")
    monkeypatch.setattr(container, "MAX_JSON", {b"HEAD": 2**16, b"BLCK": 100, b"DONE": 100})
    with pytest.raises(UsageError, match="blocks of fewer tiles"):
        compress(chain(), InMemoryImages([noise(1, 4, 4)] * 9), tmp_path / "y.zx")
    assert not (tmp_path / "y.zx").exists()


def test_a_file_that_is_changed_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    model = chain()
    compress(model, InMemoryImages([noise(1, 4, 4)] * 2), tmp_path / "x.zx", tiles=1)
    compress(model, InMemoryImages([noise(1, 4, 4, seed=9)] * 2), tmp_path / "y.zx", tiles=1)
    with pytest.MonkeyPatch.context() as patch:
        # The first reading is of x.zx, and the second finds y.zx in its place.
        patch.setattr(codec, "sections", lambda _, large: sections(tmp_path / "y.zx", large))
        with pytest.raises(DataError, match="changed while it was read"):
            list(decompress(tmp_path / "x.zx", model))


def test_the_other_coder_is_refused(tmp_path: Path) -> None:
    forged(tmp_path / "x.zx", chain(), (BLOCK, b"1234"), coder="bits-back")
    with pytest.raises(
        DataError, match="bits-back coder, which this zeuxis does not read for this model"
    ):
        list(decompress(tmp_path / "x.zx", chain()))
