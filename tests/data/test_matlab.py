"""MATLAB files: arrays equal to SciPy's for good files, and one sentence for damaged ones.

Some damaged files crash SciPy, and with it the process.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io as io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from zeuxis.data import load_data
from zeuxis.data.matlab import read_arrays
from zeuxis.errors import DataError

random = np.random.default_rng(0)
X = random.integers(0, 256, (32, 32, 3, 4), np.uint8)
Y = np.array([[1], [10], [3], [4]], np.uint8)
TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]


@settings(max_examples=40, deadline=None)
@given(
    x=st.sampled_from(TYPES).flatmap(
        lambda t: npst.arrays(t, npst.array_shapes(min_dims=2, max_dims=4, max_side=5))
    ),
    name=st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,20}", fullmatch=True),
    compressed=st.booleans(),
)
def test_what_scipy_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, x: np.ndarray, name: str, compressed: bool
) -> None:
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    others = {
        "Words": "text",
        "Cells": np.array([1, "a"], object),
        "Fields": {"a": 1},
        "Wave": np.array([1j]),
    }
    io.savemat(path, {**others, name: x}, do_compression=compressed)
    y = read_arrays(path, [name])
    assert set(y) == {name} and y[name].dtype == x.dtype and y[name].tobytes() == x.tobytes()


def tagged(order: str, kind: int, body: bytes) -> bytes:
    return struct.pack(order + "II", kind, len(body)) + body + bytes(-len(body) % 8)


def packed(order: str, x: np.ndarray, stored: int, group: int = 6) -> bytes:
    """One array `y` as an element, its numbers stored under the given type."""
    sizes = struct.pack(f"{order}{x.ndim}i", *x.shape)
    name = struct.pack(order + "I", 1 << 16 | 1) + b"y\0\0\0"  # a small element
    numbers = tagged(order, stored, x.tobytes(order="F"))
    return tagged(
        order,
        14,
        tagged(order, 6, struct.pack(order + "II", group, 0))
        + tagged(order, 5, sizes)
        + name
        + numbers,
    )


def header(order: str) -> bytes:
    return (
        b"MATLAB 5.0 MAT-file".ljust(124)
        + struct.pack(order + "H", 0x0100)
        + (b"IM" if order == "<" else b"MI")
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_and_numbers_stored_small(tmp_path: Path, order: str) -> None:
    x = np.array([[1, 2, 3], [4, 500, 6]])
    (tmp_path / "a.mat").write_bytes(
        header(order) + packed(order, x.astype(order + "u2"), stored=4)
    )
    y = read_arrays(tmp_path / "a.mat", ["y"])["y"]
    assert y.dtype == np.float64 and np.array_equal(y, x)
    assert np.array_equal(y, io.loadmat(tmp_path / "a.mat")["y"])


def deflated(body: bytes) -> bytes:
    data = zlib.compress(body)
    return struct.pack("<II", 15, len(data)) + data


WHOLE = packed("<", np.arange(400.0).reshape(20, 20), stored=9)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "no header"),
        (bytes(random.integers(0, 256, 900, np.uint8)), "no header"),
        (
            b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(600),
            "version 7.3",
        ),
        (header("<") + b"abc", "ends within an element"),
        (header("<") + WHOLE[:-5], "ends within an element of"),
        (header("<") + tagged("<", 9, bytes(8)), "has the type 9, expected an array"),
        (header("<") + deflated(WHOLE)[:-1], "ends within an element"),
        (header("<") + deflated(WHOLE[:-4]), "cut short"),
        (header("<") + deflated(WHOLE)[:-4] + b"1234", "damaged"),
        (header("<") + deflated(struct.pack("<II", 14, 1 << 31)), "holds no array"),
        (header("<") + deflated(b"abc"), "damaged"),
        (
            header("<") + packed("<", np.zeros((2, 2)), stored=9, group=1),
            "'y' holds no real numbers",
        ),
        (
            header("<") + packed("<", np.zeros((2, 2)), stored=9, group=0x806),
            "'y' holds no real numbers",
        ),
        (header("<") + packed("<", np.zeros((2, 2)), stored=9, group=9), "stored as the type 9"),
        (header("<") + packed("<", np.zeros((2, 2)), stored=14), "stored as the type 14"),
        (
            header("<") + packed("<", np.zeros((2, 2)), stored=7),
            "holds 8 numbers and its dimensions are [2, 2]",
        ),
    ],
)
def test_other_bytes_are_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_arrays(tmp_path / "a.mat", ["y"])
    assert sentence in str(caught.value)
    with pytest.raises(DataError, match="cannot be read as SVHN's X and y"):
        load_data(str(tmp_path / "a.mat"))


@pytest.mark.parametrize("times", [400, pytest.param(2_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("compressed", [False, True])
def test_damage_never_crashes(tmp_path: Path, compressed: bool, times: int) -> None:
    io.savemat(tmp_path / "a.mat", {"X": X, "y": Y}, do_compression=compressed)
    whole, path, refused = (tmp_path / "a.mat").read_bytes(), tmp_path / "b.mat", 0
    random = np.random.default_rng(1)
    for i in range(times):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole) if i % 2 else 400, 1 + i % 3):
            damaged[place] = random.integers(256)
        if i % 7 == 0:
            del damaged[random.integers(len(whole)) :]
        path.write_bytes(damaged)
        try:
            arrays = read_arrays(path, ["X", "y"])
        except ValueError:
            refused += 1
            continue
        if compressed and damaged[128:] != whole[128:] and {"X", "y"} <= set(arrays):
            assert np.array_equal(arrays["X"], X) and np.array_equal(arrays["y"], Y)
    assert refused > times / 20


@pytest.mark.parametrize(("position", "value"), [(145, 139), (184, 62)])
def test_bytes_that_crash_scipy_are_refused(tmp_path: Path, position: int, value: int) -> None:
    """One such byte in a file of SVHN's form is a segmentation fault in SciPy 1.17.1."""
    io.savemat(tmp_path / "a.mat", {"X": X, "y": Y})
    damaged = bytearray((tmp_path / "a.mat").read_bytes())
    damaged[position] = value
    (tmp_path / "a.mat").write_bytes(damaged)
    with pytest.raises(ValueError):
        read_arrays(tmp_path / "a.mat", ["X", "y"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            {"X": X, "y": Y[:3]},
            "has X of shape (32, 32, 3, 4) and uint8, expected uint8 (32, 32, 3, 3)",
        ),
        ({"X": X[:, :, :2], "y": Y}, "has X of shape (32, 32, 2, 4)"),
        ({"X": X.astype(np.float64), "y": Y}, "and float64, expected uint8"),
        ({"X": X, "y": Y + 7}, "labels from 8 to 17, expected whole numbers from 0 to 10"),
        ({"X": X, "y": np.array([[1], [2.5], [3], [4]])}, "expected whole numbers"),
        ({"X": X, "y": np.array([[1], [np.nan], [3], [4]])}, "expected whole numbers"),
        (
            {"X": X, "y": np.array([["a"], ["b"], ["c"], ["d"]], object)},
            "'y' holds no real numbers",
        ),
        ({"X": X}, "holds no array 'y'"),
        ({"Z": X}, "holds no array 'X'"),
    ],
)
def test_what_is_no_svhn(tmp_path: Path, content: dict[str, np.ndarray], sentence: str) -> None:
    io.savemat(tmp_path / "a.mat", content)
    with pytest.raises(DataError) as caught:
        load_data(str(tmp_path / "a.mat"))
    assert sentence in str(caught.value)
