"""Damaged and hostile versions of files: bytes, JSON, logs, safetensors and .npz archives, each
drawn from a `random.Random`."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Mutant = Callable[
    [bytes, random.Random], tuple[bytes, str]
]  # the changed bytes, and in words what was done

ODD: list[Any] = [
    *(0, 1, -1, 2, 7, 255, 65536, 2**31 - 1, 2**31, 2**32, 2**63, -(2**63), 10**30),
    *(0.0, -0.5, 1e-300, 1e308, float("nan"), float("inf")),
    *("", "x", "../..", "/etc/passwd", "a" * 5000, "\0", None, True, False),
    *([], {}, [[]], [1, 2, 3], [-1], [10**6, 10**6], [0, 0, 0], {"a": 1}),
]


def flip(b: bytes, r: random.Random) -> bytes:
    new = bytearray(b)
    for _ in range(r.choice([1, 1, 1, 2, 8, 64])):
        new[r.randrange(len(new))] ^= 1 << r.randrange(8)
    return bytes(new)


def head_flip(b: bytes, r: random.Random) -> bytes:
    new = bytearray(b)
    for _ in range(r.choice([1, 2, 4])):
        new[r.randrange(min(len(new), 96))] = r.randrange(256)
    return bytes(new)


def cut(b: bytes, r: random.Random) -> bytes:
    return b[: r.randrange(len(b))]


def splice(b: bytes, r: random.Random) -> bytes:
    i, j, n = r.randrange(len(b)), r.randrange(len(b)), r.choice([1, 4, 16, 200])
    return b[:i] + b[j : j + n] + (b[i:] if r.random() < 0.5 else b[i + n :])


def fill(b: bytes, r: random.Random) -> bytes:
    i, n = r.randrange(len(b)), r.choice([1, 4, 8, 64, 512])
    return b[:i] + r.choice([b"\0", b"\xff"]) * min(n, len(b) - i) + b[i + n :]


def lengths(b: bytes, r: random.Random) -> bytes:
    i = r.randrange(max(1, len(b) - 8))
    words = [struct.pack("<I", 2**32 - 1), struct.pack(">I", 2**31), struct.pack("<Q", 2**62)]
    word = r.choice([*words, struct.pack("<I", 2**28), struct.pack(">I", 70000), b"\xff\xff"])
    return b[:i] + word + b[i + len(word) :]


def grow(b: bytes, r: random.Random) -> bytes:
    return b + bytes(r.randrange(256) for _ in range(r.choice([1, 16, 3000])))


def empty(b: bytes, r: random.Random) -> bytes:
    return b""


BYTES = [flip, flip, flip, head_flip, cut, splice, fill, lengths, grow, empty]


def bytes_mutant(raw: bytes, r: random.Random) -> tuple[bytes, str]:
    """Bits flipped, bytes lost, doubled or replaced, lengths made large, the file cut off or
    empty."""
    how = r.choice(BYTES)
    return how(raw, r), how.__name__


def places(x: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every entry of a JSON value."""
    entries = x.items() if isinstance(x, dict) else enumerate(x) if isinstance(x, list) else ()
    for key, inner in entries:
        yield (*path, key)
        yield from places(inner, (*path, key))


def odd_json(value: Any, r: random.Random) -> tuple[Any, str]:
    """A JSON value with one entry changed, added or removed."""
    value = json.loads(json.dumps(value))
    place = r.choice(list(places(value)))
    at = value
    for step in place[:-1]:
        at = at[step]
    how, odd, name = r.random(), r.choice(ODD), ".".join(map(str, place))
    if how < 0.75:
        at[place[-1]] = odd
        return value, f"{name} -> {str(odd)[:30]!r}"
    if how < 0.85:
        del at[place[-1]]
        return value, f"{name} removed"
    if isinstance(at, dict):
        at["unheard"] = odd
    else:
        at.append(odd)
    return value, f"{name} joined by {str(odd)[:30]!r}"


def config_mutant(raw: bytes, r: random.Random) -> tuple[bytes, str]:
    """A JSON file with an odd entry, deeply nested, or damaged."""
    if r.random() < 0.8:
        value, what = odd_json(json.loads(raw), r)
        return json.dumps(value).encode(), what
    return (b"[" * 100_000, "100,000 brackets") if r.random() < 0.1 else bytes_mutant(raw, r)


LINES = ["5", "null", "[]", '"x"', "{}", '{"images": "a"}', '{"images": null}', '{"images": 1e400}']
LINES += ["[" * 50_000, "\xed\xa0\x80", '{"images": 16, "x": "y"}']


def lines_mutant(raw: bytes, r: random.Random) -> tuple[bytes, str]:
    """A file of JSON lines with an odd line, or damaged."""
    if r.random() < 0.5:
        return bytes_mutant(raw, r)
    lines = raw.decode().splitlines()
    lines.insert(r.randrange(len(lines) + 1), r.choice(LINES))
    return ("\n".join(lines) + "\n").encode(), "odd line"


def tensors_mutant(raw: bytes, r: random.Random) -> tuple[bytes, str]:
    """A safetensors file that is damaged, or whose header has odd entries and the right length."""
    if r.random() < 0.55:
        return bytes_mutant(raw, r)
    n = struct.unpack("<Q", raw[:8])[0]
    head, body = json.loads(raw[8 : 8 + n]), raw[8 + n :]
    about = json.loads(head.get("__metadata__", {}).get("zeuxis", "{}"))
    if about and r.random() < 0.5:
        about, what = odd_json(about, r)
        odd = r.choice(["[]", "5", "null", "nonsense", '"x"', "[" * 50_000])
        head["__metadata__"]["zeuxis"] = json.dumps(about) if r.random() < 0.9 else odd
        what = f"metadata {what}"
    elif r.random() < 0.5:
        head, what = odd_json(head, r)
    else:
        key = r.choice([k for k in head if k != "__metadata__"])
        what, entry, act = f"tensor {key}", head[key], r.randrange(6)
        if act == 0:
            entry["dtype"] = r.choice(["F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64"])
        elif act == 1:
            shape = entry["shape"]
            entry["shape"] = r.choice(
                [[], [0], [2**62], [1, *shape], [-1], shape[::-1], [2**31, 2**31]]
            )
        elif act == 2:
            head["other"] = head.pop(key)
        elif act == 3:
            del head[key]
        elif act == 4:
            entry["data_offsets"] = [0, len(raw)]
        else:
            start, end = entry["data_offsets"]
            number = struct.pack("<f", r.choice([float("nan"), float("inf"), 3e38]))
            body = body[:start] + (number * ((end - start) // 4 + 1))[: end - start] + body[end:]
            what += " not finite"
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + body, what


SHAPES = ["(2**40,)", "(1000000000000,)", "(-1,)", "(0,)", "(3, 0, 5)", "(99999, 99999)"]
TYPES = ["|O", "<f8", "<U99999999", "|V16", "<M8[s]", "<c16", ">i2"]


def npz_mutant(raw: bytes, r: random.Random) -> tuple[bytes, str]:
    """An .npz that is damaged, or a whole archive one of whose arrays has an odd header or name."""
    if r.random() < 0.5:
        return bytes_mutant(raw, r)
    into = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(into, "w") as new:
        chosen = r.choice(old.namelist())
        for name in old.namelist():
            inner, act = old.read(name), r.randrange(5) if name == chosen else -1
            if act == 0:
                inner = re.sub(
                    rb"'shape': \([^)]*\)", f"'shape': {r.choice(SHAPES)}".encode(), inner
                )
            elif act == 1:
                inner = re.sub(
                    rb"'descr': '[^']*'", f"'descr': '{r.choice(TYPES)}'".encode(), inner
                )
            elif act == 2:
                inner = r.choice(BYTES)(inner, r)
            elif act == 3:
                name = r.choice(["../../x.npy", "/x.npy", "x", "images.npy", "labels.npy"])
            elif act == 4:
                inner = np.lib.format.magic(3, 0) + struct.pack("<I", 2**31) + inner[10:]
            new.writestr(name, inner)
    return into.getvalue(), "array header"
