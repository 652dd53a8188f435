"""Small files that promise much, and files that are none: refused in a sentence, in seconds, in
little memory, without waiting."""

from __future__ import annotations

import gzip
import io
import os
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fuzzing import Outcome, guarded, linux_only
from zeuxis.data import check, load_data
from zeuxis.data.reading import affordable, contents
from zeuxis.errors import DataError, UsageError

pytestmark = linux_only
GIGABYTE = 10**9


def idx_head(*shape: int) -> bytes:
    return b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def idx_of_zeros(path: Path) -> None:
    """1 MB that unfold to the gigabyte that the header promises."""
    (path / "train-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(idx_head(1000, 1000, 1000)) + 100 * gzip.compress(bytes(10_000_000))
    )


def idx_with_more(path: Path) -> None:
    (path / "train-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(idx_head(2, 28, 28)) + 300 * gzip.compress(bytes(10_000_000))
    )


def idx_with_a_hole(path: Path) -> None:
    with open(path / "train-images-idx3-ubyte", "wb") as file:
        file.write(idx_head(2000, 2000, 2000))
        file.truncate(16 + 8 * GIGABYTE)


def array_header(shape: tuple[int, ...], kind: str = "|u1") -> bytes:
    np.lib.format.write_array_header_1_0(
        out := io.BytesIO(), {"descr": kind, "fortran_order": False, "shape": shape}
    )
    return out.getvalue()


def npz(
    path: Path, members: dict[str, bytes], zeros: int = 0, method: int = zipfile.ZIP_DEFLATED
) -> None:
    with zipfile.ZipFile(
        path / "a.npz", "w", method, compresslevel=1 if method == zipfile.ZIP_DEFLATED else None
    ) as file:
        for name, content in members.items():
            with file.open(name, "w", force_zip64=True) as member:
                member.write(content)
                for _ in range(zeros // 10_000_000 if name == list(members)[-1] else 0):
                    member.write(bytes(10_000_000))


def npz_of_zeros(path: Path) -> None:
    npz(path, {"images.npy": array_header((1000, 1000, 1000))}, GIGABYTE)


def npz_that_only_says_so(path: Path) -> None:
    npz(path, {"images.npy": array_header((1 << 20, 1 << 10, 1 << 10))})


def npz_of_wide_words(path: Path) -> None:
    good = array_header((2, 4, 4)) + bytes(32)
    npz(path, {"images.npy": good, "labels.npy": array_header((2,), "<U500000000")})


def npz_with_a_negative_shape(path: Path) -> None:
    npz(path, {"images.npy": array_header((-1, 8, 8))})


def npz_of_many_arrays(path: Path) -> None:
    npz(path, {f"{i}.npy": b"" for i in range(1_100)})


def npz_of_nested_brackets(path: Path) -> None:
    text = (
        b"{'descr': '|u1', 'fortran_order': False, 'shape': " + b"(" * 4000 + b")" * 4000 + b"}\n"
    )
    npz(path, {"images.npy": b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text})


def npz_of_an_unknown_method(path: Path) -> None:
    np.savez(path / "b.npz", images=np.zeros((3, 4, 4), np.uint8))
    content = bytearray((path / "b.npz").read_bytes())
    for start, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        content[content.index(start) + place] = 99
    (path / "b.npz").unlink()
    (path / "a.npz").write_bytes(content)


def mat_element(kind: int, body: bytes) -> bytes:
    return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)


def mat_of_zeros(path: Path) -> None:
    """A compressed array X, and one that nobody asked for, of a gigabyte each."""
    content = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    for name in (b"J", b"X"):
        flags = mat_element(6, struct.pack("<II", 9, 0)) + mat_element(
            5, struct.pack("<4i", 1000, 1000, 1000, 1)
        )
        head = (
            flags
            + struct.pack("<I", 1 << 16 | 1)
            + name
            + b"\0\0\0"
            + struct.pack("<II", 2, GIGABYTE)
        )
        stream = zlib.compressobj(1)
        packed = stream.compress(struct.pack("<II", 14, len(head) + GIGABYTE) + head)
        packed += b"".join(stream.compress(bytes(10_000_000)) for _ in range(100)) + stream.flush()
        content += struct.pack("<II", 15, len(packed)) + packed
    (path / "a.mat").write_bytes(content)


def png(x: np.ndarray) -> bytes:
    Image.fromarray(x).save(out := io.BytesIO(), "PNG")
    return out.getvalue()


def parquet(path: Path, images: list[bytes], labels: list[object] | None = None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {"image": pa.array(images, pa.binary()), **({} if labels is None else {"label": labels})}
    )
    pq.write_table(table, path / "a.parquet", compression="zstd")


def parquet_of_padded_cells(path: Path) -> None:
    parquet(path, [png(np.zeros((8, 8), np.uint8)) + bytes(4_000_000)] * 400)


def parquet_of_one_value(path: Path) -> None:
    """Five million rows that are one dictionary entry."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    cell = pa.array([png(np.zeros((8, 8), np.uint8))], pa.binary())
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(5_000_000, np.int32)), cell)
    pq.write_table(pa.table({"image": column}), path / "a.parquet", compression="zstd")


def parquet_of_large_pictures(path: Path) -> None:
    parquet(path, [png(np.zeros((5000, 5000), np.uint8))] * 2000)


def a_file_with_a_hole(path: Path) -> None:
    with open(path / "a.png", "wb") as file:
        file.write(png(np.zeros((8, 8), np.uint8)))
        file.truncate(100 * GIGABYTE)


def deep_tiff(path: Path) -> None:
    Image.fromarray(np.zeros((9400, 9400), np.uint16)).save(
        path / "a.tif", compression="tiff_deflate"
    )


SLOW = [
    idx_of_zeros,
    idx_with_more,
    npz_of_zeros,
    mat_of_zeros,
    parquet_of_padded_cells,
    parquet_of_one_value,
    deep_tiff,
]
FAST = [
    *(
        idx_with_a_hole,
        npz_that_only_says_so,
        npz_of_wide_words,
        npz_with_a_negative_shape,
        npz_of_many_arrays,
        npz_of_nested_brackets,
    ),
    *(npz_of_an_unknown_method, a_file_with_a_hole),
]


def outcome(make: Callable[[Path], None], folder: Path, size: int | None = None) -> Outcome:
    (folder / "data").mkdir()
    make(folder / "data")
    assert sum(os.stat(p).st_blocks * 512 for p in (folder / "data").iterdir()) < 20_000_000
    files = [p for p in (folder / "data").iterdir() if p.suffix in (".npz", ".mat", ".parquet")]
    source = str(files[0] if files else folder / "data")
    return guarded(
        lambda: len(load_data(source, size=size, cache=folder / "cache")), folder / "work"
    )


@pytest.mark.parametrize("make", FAST, ids=lambda make: make.__name__)
def test_bombs(make: Callable[[Path], None], tmp_path: Path) -> None:
    found = outcome(make, tmp_path)
    assert found.kind == "refused" and found.megabytes < 600 and found.seconds < 5, found


@pytest.mark.slow
@pytest.mark.parametrize("make", SLOW, ids=lambda make: make.__name__)
def test_large_bombs(make: Callable[[Path], None], tmp_path: Path) -> None:
    found = outcome(make, tmp_path)
    assert found.kind == ("accepted" if make is deep_tiff else "refused") and found.seconds < 20, (
        found
    )


@pytest.mark.slow
def test_many_rows_of_one_large_picture(tmp_path: Path) -> None:
    found = outcome(parquet_of_large_pictures, tmp_path, size=8)
    assert found.kind == "refused", found


def test_an_array_nobody_asked_for_is_not_read(tmp_path: Path) -> None:
    good = array_header((2, 4, 4)) + bytes(32)
    npz(tmp_path, {"images.npy": good, "junk.npy": array_header((10**8,))}, 10**8)
    found = guarded(lambda: len(load_data(str(tmp_path / "a.npz"))), tmp_path / "work")
    assert found.kind == "accepted" and found.megabytes < 60, found


def test_what_may_unfold() -> None:
    affordable(500_000_000, 10)
    affordable(3_019_898_880, 26_000_000)  # dSprites
    with pytest.raises(OSError, match="1,000 bytes that unfold to 2,000,000,000"):
        affordable(2_000_000_000, 1000)


# What is no file.


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def unix_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("make", [pipe, device, unix_socket], ids=lambda make: make.__name__)
@pytest.mark.parametrize(
    "name",
    [
        "a.npz",
        "a.mat",
        "a.parquet",
        "book.txt",
        "a.png",
        "labels.csv",
        "train-images-idx3-ubyte",
        "folder",
    ],
)
def test_what_is_no_file_is_refused_at_once(
    make: Callable[[Path], None], name: str, tmp_path: Path
) -> None:
    place = tmp_path / "in" / name
    place.parent.mkdir()
    Image.new("L", (8, 8)).save(place.parent / "0.png")
    make(place)

    def act() -> int:
        if name == "labels.csv":
            return len(load_data(str(place.parent), labels=place))
        if name in ("a.png", "train-images-idx3-ubyte"):
            return len(load_data(str(place.parent)))
        return len(load_data(str(place)))

    found = guarded(act, tmp_path / "work", seconds=5)
    assert (
        found.kind == ("accepted" if name in ("a.png", "train-images-idx3-ubyte") else "refused")
        and found.megabytes < 100
    ), found
    if found.kind == "refused":
        assert any(word in found.more for word in ("pipe", "device", "socket", "No such device")), (
            found
        )


def test_contents_of_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="it is a folder, expected a file"):
        contents(tmp_path)


# Odd words for data.


@pytest.mark.parametrize(
    "source",
    [
        "~nobodyknowsme/data",
        "a" * 5000,
        "a/" * 3000,
        "\0",
        "a\0.txt",
        "mnist=" + "a" * 5000,
        "../" * 50 + "\udcff",
    ],
)
def test_sources_that_no_file_can_have(source: str) -> None:
    with pytest.raises(DataError) as caught:
        load_data(source)
    assert str(caught.value).isprintable() and check(source).fatal


def test_sizes_and_limits_beyond_reason(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.arange(4))
    with pytest.raises(UsageError, match="size must be a whole number of at most 18 digits"):
        load_data(str(tmp_path / "a.npz"), size=10**20)
    with pytest.raises(UsageError, match="size must be .*8,192"):
        load_data(str(tmp_path / "a.npz"), size=10**6)
    assert len(load_data(str(tmp_path / "a.npz"), limit=10**9)) == 4


def test_too_many_pixels_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEUXIS_MEMORY", "1000000")
    with pytest.raises(DataError, match="do not fit into memory at 100 pixels"):
        load_data("mnist", split="test", size=100)
