"""Damaged files of every format: read, or refused with a sentence, fast and in little memory."""

from __future__ import annotations

import gzip
import io
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fuzzing import Target, check, command, linux_only
from mutations import bytes_mutant, npz_mutant
from zeuxis.data import load_data

pytestmark = linux_only
FORMS = ("png", "jpg", "webp", "bmp", "gif", "tif", "pgm")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file or folder of each form, unchanged."""
    home, chance = tmp_path_factory.mktemp("fuzz"), np.random.default_rng(0)
    digits, labels = load_data("mnist", split="test", limit=24).all().numpy(), np.arange(24) % 10
    for form in FORMS:
        for i in range(3):
            path = home / "images" / form / str(i % 2) / f"{i}.{form}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(digits[i, 0]).save(path)
    (home / "deep").mkdir()
    Image.fromarray(chance.random((9, 7), np.float32)).save(home / "deep" / "0.tif")
    Image.fromarray(chance.integers(0, 65536, (9, 7), np.uint16)).save(home / "deep" / "1.png")
    np.savez(home / "plain.npz", images=digits, labels=labels)
    np.savez_compressed(
        home / "parts.npz", x_train=digits, y_train=labels, x_test=digits[:3], y_test=labels[:3]
    )
    (home / "idx").mkdir()
    head = b"\0\0\x08\x03" + struct.pack(">3I", *digits[:, 0].shape)
    (home / "idx" / "train-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(head + digits.tobytes())
    )
    (home / "idx" / "train-labels-idx1-ubyte").write_bytes(
        b"\0\0\x08\x01" + struct.pack(">I", 24) + labels.astype(np.uint8).tobytes()
    )
    scipy, pa = pytest.importorskip("scipy.io"), pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    svhn = {
        "X": chance.integers(0, 256, (32, 32, 3, 6), np.uint8),
        "y": (np.arange(6) % 10 + 1)[:, None].astype(np.uint8),
    }
    scipy.savemat(home / "plain.mat", svhn)
    scipy.savemat(home / "deflated.mat", svhn, do_compression=True)
    cells = []
    for x in digits[:12, 0]:
        Image.fromarray(x).save(out := io.BytesIO(), "PNG")
        cells.append({"bytes": out.getvalue(), "path": None})
    pq.write_table(
        pa.table({"image": cells, "label": labels[:12]}), home / "a.parquet", row_group_size=5
    )
    (home / "csv").mkdir()
    for i in range(4):
        Image.fromarray(digits[i, 0]).save(home / "csv" / f"{i}.png")
    (home / "labels.csv").write_text(
        "file,label\n" + "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(4))
    )
    (home / "book.txt").write_text("It was the best of times, it was the worst of times. " * 40)
    return home


def read(path: Path, **more: object) -> tuple[object, ...]:
    data = load_data(str(path), cache=path.parent / "cache", **more)
    return data.fingerprint(), data.spec.classes, data.facts.part


def target(home: Path, name: str) -> Target:
    if name in FORMS:
        return Target(home / "images" / name, {f"1/1.{name}": bytes_mutant}, read)
    act: Callable[[Path], object] = read
    if name == "book.txt":
        act = lambda path: read(path, size=16)  # noqa: E731
    elif name == "labels.csv":
        act = lambda path: read(home / "csv", labels=path)  # noqa: E731
    elif name == "check":
        return Target(
            home / "images" / "png",
            {"1/1.png": bytes_mutant},
            lambda path: command("data", "check", str(path)),
        )
    files = {
        "idx": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte"),
        "deep": ("0.tif", "1.png"),
    }.get(name, ("",))
    return Target(
        home / name,
        dict.fromkeys(files, npz_mutant if name.endswith(".npz") else bytes_mutant),
        act,
    )


NAMES = [
    *FORMS,
    "deep",
    "plain.npz",
    "parts.npz",
    "idx",
    "plain.mat",
    "deflated.mat",
    "a.parquet",
    "labels.csv",
    "book.txt",
    "check",
]


@pytest.mark.parametrize("name", NAMES)
def test_damaged_data(home: Path, tmp_path: Path, name: str) -> None:
    check(target(home, name), 8, tmp_path / "work", seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_much_damaged_data(home: Path, tmp_path: Path, name: str) -> None:
    check(target(home, name), 150, tmp_path / "work")


@pytest.mark.parametrize("name", ["parts.npz", "a.parquet"])
def test_what_has_checksums_is_never_other_pixels(home: Path, tmp_path: Path, name: str) -> None:
    only = Target(
        home / name,
        {"": lambda raw, r: (flipped(raw, r.randrange(len(raw))), "a bit")},
        lambda path: read(path)[0],
    )
    right = read(home / name)[0]
    from fuzzing import fuzz

    taken = [one for one in fuzz(only, 40, tmp_path / "work") if one.kind == "accepted"]
    assert all(one.more == repr(right) for one in taken)


def test_a_damaged_footer_of_parquet_ends_no_process(home: Path, tmp_path: Path) -> None:
    """Compiled code reads it, and what it throws may not reach Python."""
    raw = (home / "a.parquet").read_bytes()
    column = raw.index(
        b"path", len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")
    )  # its type and name, in the schema

    def bent(raw: bytes, r: random.Random) -> tuple[bytes, str]:
        place, bit = column - r.randrange(1, 8), r.randrange(8)
        return raw[:place] + bytes([raw[place] ^ 1 << bit]) + raw[
            place + 1 :
        ], f"bit {bit} of byte {place}"

    check(Target(home / "a.parquet", {"": bent}, read), 100, tmp_path / "work")


def flipped(raw: bytes, place: int) -> bytes:
    return raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :]
