"""The cache of decoded images: equal to decoding, made once, finished after a kill, noticed when
damaged."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zeuxis.data import cache, hold_out, load_data
from zeuxis.data.cache import verify
from zeuxis.errors import DataError, UsageError

N = 60


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixty images of two classes, with a separate cache and no memory to hold them."""
    random = np.random.default_rng(0)
    for i in range(N):
        path = tmp_path / "images" / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (6, 5, 3), np.uint8)).save(path)
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZEUXIS_MEMORY", "1")
    return tmp_path / "images"


def in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    with monkeypatch.context() as patch:
        patch.delenv("ZEUXIS_MEMORY")
        data = load_data(str(folder))
    assert isinstance(data.x, torch.Tensor)
    return data.x


def files(folder: Path, ending: str = "*.npy") -> list[Path]:
    return sorted((folder.parent / "cache" / "decoded").glob(ending))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The images that are decoded from now on."""
    seen: list[str] = []
    real = cache.decode

    def decode(data: bytes, where: str, *rest: int | None) -> np.ndarray:
        seen.append(where)
        return real(data, where, *rest)

    monkeypatch.setattr(cache, "decode", decode)
    return seen


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_mapped_equals_decoded_and_is_decoded_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_data(str(folder))
    assert isinstance(first.x, np.memmap) and not first.x.flags.writeable
    assert torch.equal(first.all(), in_memory(folder, monkeypatch))
    assert [p.suffix for p in files(folder, "*")] == [".json", ".lock", ".npy"] and verify(
        files(folder)[0]
    )
    seen = counted(monkeypatch)
    assert torch.equal(load_data(str(folder)).all(), first.all())
    assert len(seen) == 1  # the first image, for its shape


def test_many_images_that_fit_come_from_the_cache_as_a_tensor(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = in_memory(folder, monkeypatch)
    monkeypatch.setattr(cache, "MIN_CACHED", N)
    monkeypatch.setenv("ZEUXIS_MEMORY", str(10**6))
    load_data(str(folder))
    seen = counted(monkeypatch)
    again = load_data(str(folder)).x
    assert isinstance(again, torch.Tensor) and torch.equal(again, expected) and len(seen) == 1


def test_batches_of_mapped_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, data = in_memory(folder, monkeypatch), load_data(str(folder))
    index = torch.tensor([59, 0, 31, 31])
    batch, labels = data.batch(index)
    assert torch.equal(batch, x[index]) and labels is not None and labels.tolist() == [1, 0, 1, 1]
    kept, held = hold_out(data, 20, seed=0)
    assert held.rows is not None and torch.equal(
        held.batch(torch.tensor([3, 1]))[0], x[held.rows[[3, 1]]]
    )
    assert kept.rows is not None and torch.equal(kept.all(), x[kept.rows])
    batch += 1
    assert torch.equal(data.batch(index)[0], x[index])


SCRIPT = """
import os, signal, sys, time
from zeuxis.data import cache, load_data
from zeuxis.errors import ZeuxisError
cache.NOTE_EVERY, real, n = 7, cache.decode, 0
def decode(*words):
    global n
    n += 1
    time.sleep(0.01)
    if sys.argv[2] == "die" and n == 1 + 40:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*words)
cache.decode = decode
x = load_data(sys.argv[1]).all()
print(n, int(x.long().sum()))
"""


def start(folder: Path, how: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(folder), how]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_killed_process_is_gone_on_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = start(folder, "die")
    assert killed.wait(60) == -signal.SIGKILL
    assert [p.name.partition(".")[2] for p in files(folder, "*")] == [
        "lock",
        "partial.npy",
        "reached",
    ]
    assert files(folder, "*.reached")[0].read_text() == "35"
    seen = counted(monkeypatch)
    data = load_data(str(folder))
    assert len(seen) == 1 + N - 35 and seen[1].endswith(
        "b/11.png'"
    )  # 30 images of class a, then the sixth of class b
    assert torch.equal(data.all(), in_memory(folder, monkeypatch)) and verify(files(folder)[0])
    assert [p.suffix for p in files(folder, "*")] == [".json", ".lock", ".npy"]


@pytest.mark.parametrize("damage", ["cut", "noise", "reached"])
def test_a_damaged_beginning_is_made_again(
    folder: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_data(str(folder))
    whole = files(folder)[0]
    partial, reached = whole.with_suffix(".partial.npy"), whole.with_suffix(".reached")
    content = {
        "cut": whole.read_bytes()[:500],
        "noise": b"noise" * 99,
        "reached": bytes(whole.read_bytes()),
    }[damage]
    partial.write_bytes(content)
    reached.write_text("ninety" if damage == "reached" else "40")
    whole.unlink()
    assert torch.equal(load_data(str(folder)).all(), in_memory(folder, monkeypatch)) and verify(
        whole
    )


@pytest.mark.slow
def test_two_processes_make_one_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = [start(folder, "live") for _ in range(2)]
    said = [one.communicate(timeout=60) for one in pair]
    assert [one.returncode for one in pair] == [0, 0], said
    done, sums = zip(*(map(int, out.split()) for out, _ in said), strict=True)
    assert sorted(done) == [1, 1 + N] and set(sums) == {
        int(in_memory(folder, monkeypatch).long().sum())
    }
    assert len(files(folder)) == 1 and verify(files(folder)[0])


def test_damage_is_noticed_and_mended(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = in_memory(folder, monkeypatch)
    load_data(str(folder))
    path = files(folder)[0]
    flip(path, path.stat().st_size - 1)
    assert not verify(path)
    capsys.readouterr()
    assert (
        torch.equal(load_data(str(folder)).all(), expected)
        and "is damaged and is made again" in capsys.readouterr().err
    )
    assert verify(path)
    for text in ("", "null", "[]", "{}", '{"shape": 3}'):
        path.with_suffix(".json").write_text(text)
        assert not verify(path)
        assert torch.equal(load_data(str(folder)).all(), expected) and verify(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert not verify(path)
    assert torch.equal(load_data(str(folder)).all(), expected) and verify(path)


def test_verify_sees_what_the_quick_look_cannot(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "BLOCK", 1)  # sixteen single rows
    x = load_data(str(folder)).all()
    path = files(folder)[0]
    whole, start = path.read_bytes(), path.stat().st_size - x.numel()
    looked_at = set(cache.sample(N))
    assert 1 not in looked_at and {0, N - 1} <= looked_at
    for row in range(N):
        flip(path, start + row * x[0].numel() + row)
        assert not verify(path)
        shape = (N, *x.shape[1:])
        assert (cache.opened(path, path.with_suffix(".json"), shape) is None) == (row in looked_at)
        path.write_bytes(whole)
    assert verify(path)


def test_another_source_or_setting_is_another_cache(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_data(str(folder))
    Image.fromarray(np.zeros((6, 5, 3), np.uint8)).save(folder / "a" / "00.png")
    assert int(load_data(str(folder)).all()[0].sum()) == 0
    for i, config in enumerate(({"limit": 9}, {"size": 4}, {"channels": 1}), 3):
        data = load_data(str(folder), **config)
        assert len(files(folder)) == i and json.loads(
            max(files(folder, "*.json"), key=os.path.getmtime).read_text()
        )["shape"] == [len(data), *data.spec.shape]
    monkeypatch.setattr(cache, "DECODER_VERSION", cache.DECODER_VERSION + 1)
    load_data(str(folder))
    assert len(files(folder)) == 6


def test_a_full_disk_is_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(
            DataError, match=r"could not be kept in .*No space left.*set ZEUXIS_CACHE"
        ):
            load_data(str(folder))
    assert [p.suffix for p in files(folder, "*")] == [".lock"]
    assert len(load_data(str(folder))) == N


def test_a_cache_that_cannot_be_had_is_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / "file").write_text("")
    with pytest.raises(DataError, match="could not be kept in .*set ZEUXIS_CACHE"):
        load_data(str(folder), cache=folder.parent / "file")
    monkeypatch.setenv("ZEUXIS_MEMORY", "2GB")
    with pytest.raises(UsageError, match="ZEUXIS_MEMORY is '2GB', expected a number of bytes"):
        load_data(str(folder))


def test_an_image_that_is_gone_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zeuxis.data.images import EncodedFiles

    paths = [*sorted(folder.rglob("*.png"))[:3], folder / "gone.png"]
    with pytest.raises(DataError, match="gone.png' cannot be read .*replace or remove it"):
        cache.build(folder.parent / "x.npy", EncodedFiles(paths), 4, (3, 6, 5), None, None, "x")


@pytest.mark.parametrize("fits", [False, True])
def test_no_flipped_bit_is_read(
    folder: Path, fits: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cache, "BLOCK", 200)  # two images
    monkeypatch.setattr(cache, "MIN_CACHED", N)
    expected = in_memory(folder, monkeypatch) if not fits else None
    if fits:
        monkeypatch.setenv("ZEUXIS_MEMORY", str(10**6))
    right = load_data(str(folder)).all()
    assert expected is None or torch.equal(right, expected)
    path = files(folder)[0]
    start, refused = path.stat().st_size - right.numel(), 0
    for row in range(0, N, 7):
        flip(path, start + row * right[0].numel() + row)
        data = load_data(str(folder))
        if fits:
            assert (
                torch.equal(data.all(), right)
                and "is damaged and is made again" in capsys.readouterr().err
            )
            continue
        assert torch.equal(
            data.batch(torch.tensor([(row + 5) % N]))[0], right[[(row + 5) % N]]
        )  # another block
        if row // 2 not in {i // 2 for i in cache.sample(N)}:  # else it was seen at the start
            refused += 1
            with pytest.raises(DataError, match="is damaged: start again"):
                data.batch(torch.tensor([0, row ^ 1]))
        assert torch.equal(load_data(str(folder)).all(), right)
    assert fits or refused > 3
    assert verify(path)


def test_a_mapped_set_is_checked_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "BLOCK", 200)
    data, hashed = load_data(str(folder)), []
    real = cache.digest
    monkeypatch.setattr(cache, "digest", lambda x: hashed.append(len(x)) or real(x))
    for _ in range(3):
        data.batch(torch.arange(10))
    assert hashed == [2] * 5
