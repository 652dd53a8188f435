"""MATLAB files of version 5 to 7: arrays of real numbers, from files that may be hostile.

SVHN comes as such files. `scipy.io.loadmat` is not used since a damaged file can crash the process:
SciPy 1.17.1 ends with a segmentation fault for 2 of 3,000 files with one to three random bytes, and
`test_matlab.py` holds both. This reader answers any bytes with arrays or a `ValueError`, knows the
size of an array before it allocates memory, and verifies the checksum of a compressed array.

A file is a header of 128 bytes and then elements. An element is a tag (type, bytes) and data padded
to 8 bytes; up to 4 bytes of data fit into the second half of the tag. An array is an element that
contains others: flags, dimensions, name, numbers in column-major order. A compressed element
contains one such array, compressed with zlib.

Source: MathWorks, "MAT-File Format", chapter 1 (level 5).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from .reading import affordable, contents, stored

# fmt: off
STORED = {  # type of an element
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}
NUMBERS = {  # class of an array
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}
# fmt: on
INT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 5, 6, 14, 15
COMPLEX = 0x800
HEAD = 2048  # bytes that hold flags, dimensions and name
MAX_RATIO = 1032  # bytes that one byte of zlib data can unpack to


def read_arrays(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """Reads arrays by name.

    Arguments:
        path: A .mat file of version 5, 6 or 7.
        names: Names of the arrays; all others are skipped.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged or of another version, or one of these arrays holds no real
            numbers; the message says which.
    """
    data = memoryview(contents(path))
    mark = bytes(data[124:128])
    if b"HDF\r\n" in bytes(data[:2048]):
        raise ValueError("it is of version 7.3, expected 5 to 7: save it with -v7")
    if mark not in (b"\0\1IM", b"\1\0MI"):
        raise ValueError("it has no header of a MATLAB file of version 5 to 7")
    order = "<" if mark.endswith(b"IM") else ">"
    arrays: dict[str, np.ndarray] = {}
    budget = Budget(stored(path))
    for body in matrices(data[128:], order, names, budget):
        name, values = matrix(body, order, names, budget)
        if values is not None:
            arrays[name] = values
    return arrays


class Budget:
    """Bytes that the arrays of one file may unpack to, all together."""

    def __init__(self, size: int) -> None:
        self.size, self.promised = size, 0

    def take(self, size: int) -> None:
        self.promised += size
        affordable(self.promised, self.size)


def matrices(
    data: memoryview, order: str, names: Collection[str], budget: Budget
) -> Iterator[memoryview]:
    """Yields the bytes of each array, decompressed; compressed arrays of other names are
    skipped."""
    at = 0
    while at < len(data):
        kind, body, at = element(data, at, order)
        if kind == COMPRESSED:
            if wanted(body, order, names):
                yield inflated(body, order, budget)
        elif kind == MATRIX:
            yield body
        else:
            raise ValueError(f"an element has the type {kind}, expected an array")


def element(data: memoryview, at: int, order: str) -> tuple[int, memoryview, int]:
    """The element at a position: its type, its bytes, and the position of the next."""
    if at + 8 > len(data):
        raise ValueError("it ends within an element")
    kind, size = struct.unpack_from(order + "II", data, at)
    start, padding = at + 8, 0 if kind == COMPRESSED else -size % 8
    if kind >> 16:  # a small element: its size is in the upper half of the type
        kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
        padding = 4 - size
    if padding < 0 or start + size > len(data):
        raise ValueError(f"it ends within an element of {size:,} bytes")
    return kind, data[start : start + size], start + size + padding


def wanted(data: memoryview, order: str, names: Collection[str]) -> bool:
    """Whether a compressed array may have one of these names, by its first bytes."""
    try:
        start = memoryview(zlib.decompressobj().decompress(data, HEAD))[8:]
        return header(start, order)[1] in ("", *names)
    except (zlib.error, struct.error, ValueError):
        return True  # decompressing all of it finds the error


def inflated(data: memoryview, order: str, budget: Budget) -> memoryview:
    """Decompresses an array, which must have the size in its tag and a valid checksum."""
    stream = zlib.decompressobj()
    try:
        head = stream.decompress(data, 8)
        kind, size = struct.unpack(order + "II", head)
        if kind != MATRIX or not 0 < size <= MAX_RATIO * len(data):
            raise ValueError("a compressed element holds no array")
        budget.take(size)
        body = stream.decompress(stream.unconsumed_tail, size)
        stream.decompress(stream.unconsumed_tail, 64)  # padding, and the checksum
    except (zlib.error, struct.error) as error:
        raise ValueError(f"a compressed array is damaged: {error}") from error
    if len(body) != size or not stream.eof:
        raise ValueError("a compressed array is cut short")
    return memoryview(body)


def header(body: memoryview, order: str) -> tuple[int, str, list[int], int]:
    """An array's flags, name and dimensions, and the position of its numbers.

    The name is empty for functions and objects, which have other parts.
    """
    kind, flags, at = element(body, 0, order)
    if kind != UINT32 or len(flags) != 8:
        raise ValueError("an array has no flags")
    (word,) = struct.unpack_from(order + "I", flags)
    if not 1 <= word & 0xFF <= 15:
        return word, "", [], at
    kind, sizes, at = element(body, at, order)
    kind_of_name, letters, at = element(body, at, order)
    if kind != INT32 or kind_of_name != INT8 or len(sizes) % 4:
        raise ValueError("an array has no dimensions or no name")
    return word, bytes(letters).decode("latin-1"), np.frombuffer(sizes, order + "i4").tolist(), at


def matrix(
    body: memoryview, order: str, names: Collection[str], budget: Budget
) -> tuple[str, np.ndarray | None]:
    """An array's name, and its numbers if it is one of `names`."""
    word, name, shape, at = header(body, order)
    if not name or name not in names:
        return name, None
    group = word & 0xFF
    if group not in NUMBERS or word & COMPLEX:
        raise ValueError(f"'{name}' holds no real numbers")
    kind, values, _ = element(body, at, order)
    if kind not in STORED or not np.can_cast(STORED[kind], NUMBERS[group]):
        raise ValueError(f"'{name}' is stored as the type {kind}, expected numbers of that type")
    width = int(STORED[kind][1])
    if (
        len(values) % width
        or not 1 <= len(shape) <= 32
        or min(shape) < 0
        or math.prod(shape) != len(values) // width
    ):
        raise ValueError(
            f"'{name}' holds {len(values) // width:,} numbers and its dimensions are {shape}"
        )
    if width != int(NUMBERS[group][1]):
        budget.take(math.prod(shape) * int(NUMBERS[group][1]))
    flat = np.frombuffer(values, order + STORED[kind])
    return name, flat.astype(NUMBERS[group], copy=False).reshape(shape, order="F")
