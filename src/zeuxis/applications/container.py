r"""The file format `.zx`: what a decoder must know, and proof of every byte.

```
89 5A 58 0D 0A 1A 0A 00    magic: a byte above 127, ZX, and line ends that a transfer as text would change
01 00 00 00                version
sections, each:
  4 bytes                  HEAD, BLCK or DONE
  u32, u32                 lengths of the two parts that follow
  part 1                   JSON of plain values, deflated
  part 2                   bits of the entropy coder (BLCK), else empty
  16 bytes                 BLAKE2b of all bytes of the section, and of the digest of the section before it
```

Numbers are little-endian. One HEAD gives the model's name, place and fingerprint (SHA-256 of settings and weights), how it computes, and
the number of images; each BLCK holds whole images, their shapes and names, and a digest of their decoded pixels; DONE counts images and
blocks and is the end of the file. As each digest covers the one before it, a section that is changed, lost, doubled or moved is noticed,
and so is a file that was cut off or has bytes behind its end. Nothing is unpickled, and no length is believed before it is compared with
the size of the file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, TypeVar

from ..errors import DataError, ZeuxisError
from ..training.config import from_json
from .coding import PRECISION

MAGIC, VERSION = b"\x89ZX\r\n\x1a\n\0", 1
FRAME = struct.Struct("<4sII")
DIGEST = 16
LARGEST = 2**26  # bytes of a section's JSON, far above what is ever written
PIXELS = 2**29  # numbers of one image, likewise


@dataclass(frozen=True)
class Header:
    """What HEAD says.

    Arguments:
        zeuxis: Version that wrote the file.
        model: The model's name.
        source: The run folder or shipped model as it was given.
        weights: Which of its files of weights was asked for; empty for the one that is loaded by default.
        fingerprint: SHA-256 of settings and weights.
        coder: How bits are made: "range" or "bits-back".
        precision: What the network computed in.
        machine: Where, as far as sums depend on it.
        shape: A tile: channels, height, width.
        images: How many there are in the file.
        bits: Each law's frequencies sum to 2 ** bits.
        prefix: Start of the names of numbered images; empty if blocks list names.
    """

    zeuxis: str
    model: str
    source: str
    weights: str
    fingerprint: str
    coder: Literal["range", "bits-back"]
    precision: Literal["double", "single"]
    machine: str
    shape: tuple[int, int, int]
    images: int
    bits: int = PRECISION
    prefix: str = ""


@dataclass(frozen=True)
class Block:
    """What BLCK says of its images.

    Arguments:
        shapes: Runs of images of one shape: how many, channels, height, width.
        names: Each image's file name, relative, with / between folders; empty if they are numbered.
        first: Number of the first image.
        lanes: Tiles that went through the network together.
        kept: Words of the initial bits that are not stored.
        digest: BLAKE2b of the decoded pixels.
    """

    shapes: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]
    first: int
    lanes: int
    kept: int
    digest: str

    def images(self) -> list[tuple[int, ...]]:
        """The shape of each image."""
        return [tuple(run[1:]) for run in self.shapes for _ in range(run[0])]


@dataclass(frozen=True)
class Done:
    """What DONE says."""

    images: int
    blocks: int


KINDS: dict[bytes, type[Header | Block | Done]] = {b"HEAD": Header, b"BLCK": Block, b"DONE": Done}
About = TypeVar("About", bound=Header | Block | Done)


class Writer:
    """Appends sections to an open file."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest = file, MAGIC + struct.pack("<I", VERSION)
        self.file.write(self.digest)

    def section(self, about: Header | Block | Done, body: bytes = b"") -> None:
        kind = next(name for name, one in KINDS.items() if isinstance(about, one))
        head = zlib.compress(json.dumps(dataclasses.asdict(about), separators=(",", ":")).encode(), 9)
        frame = FRAME.pack(kind, len(head), len(body))
        self.digest = link(self.digest, frame, head, body)
        self.file.write(frame + head + body + self.digest)


def link(before: bytes, *parts: bytes) -> bytes:
    """The digest of a section that follows one with the digest `before`."""
    total = hashlib.blake2b(before, digest_size=DIGEST)
    for part in parts:
        total.update(part)
    return total.digest()


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[Writer]:
    """A new file, which appears under its name when all of it is on the disk, or not at all."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            yield Writer(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise ZeuxisError(f"'{path}' could not be written ({error.strerror or error}): make room or give a writable place.") from error
    finally:
        with contextlib.suppress(OSError):  # there may be no such folder
            partial.unlink(missing_ok=True)


def sections(path: str | Path) -> Iterator[tuple[Header | Block | Done, bytes]]:
    """The sections of a file in their order, each checked before it is given out.

    Raises:
        DataError: The file is none of this format, was cut off, or was changed.
    """
    path = Path(path)
    damaged = f"'{path}' is damaged"
    again = "fetch or copy it again, or restore it from a backup."
    try:
        with open(path, "rb") as file:
            size, digest = os.fstat(file.fileno()).st_size, file.read(len(MAGIC) + 4)
            if digest[: len(MAGIC)] != MAGIC[: len(digest)]:
                raise DataError(f"'{path}' is no file that `zeuxis compress` wrote: it starts with {digest[:8].hex(' ') or 'nothing'}.")
            if len(digest) < len(MAGIC) + 4:
                raise DataError(f"{damaged} (it ends after {size} bytes): {again}")
            if (version := int.from_bytes(digest[len(MAGIC) :], "little")) != VERSION:
                newer = "it is damaged, or a newer zeuxis is needed"
                raise DataError(f"'{path}' is of version {version} of the format, and this zeuxis reads version {VERSION}: {newer}.")
            images = blocks = 0
            expected: tuple[bytes, ...] = (b"HEAD",)
            while expected:
                frame = file.read(FRAME.size)
                if len(frame) < FRAME.size:
                    raise DataError(f"{damaged} (it ends after {size:,} bytes, before its last section): {again}")
                kind, lengths = frame[:4], FRAME.unpack(frame)[1:]
                if sum(lengths) + DIGEST > size - file.tell() or lengths[0] > LARGEST:
                    raise DataError(f"{damaged} (a section does not fit into its {size:,} bytes): {again}")
                head, body, proof = (file.read(length) for length in (*lengths, DIGEST))
                digest = link(digest, frame, head, body)
                if digest != proof or kind not in expected:
                    raise DataError(f"{damaged} (section {blocks + 1} is not what was written): {again}")
                about = parsed(head, KINDS[kind], damaged)
                if isinstance(about, Header):
                    inside(f"{about.prefix}0.png", damaged)
                if isinstance(about, Block):
                    images, blocks = images + sound(about, images, damaged), blocks + 1
                if isinstance(about, Done) and (about != Done(images, blocks) or file.read(1)):
                    raise DataError(f"{damaged} (it does not end where it should): {again}")
                yield about, body
                expected = () if kind == b"DONE" else (b"BLCK", b"DONE")
    except OSError as error:
        raise DataError(f"'{path}' cannot be read ({error.strerror or error}): check the path.") from error


def parsed(head: bytes, kind: type[About], damaged: str) -> About:
    """A section's description."""
    try:
        inflate = zlib.decompressobj()
        text = inflate.decompress(head, LARGEST)
        if not inflate.eof:
            raise ValueError("too long")
        return from_json(kind, json.loads(text), damaged)
    except (zlib.error, ValueError, TypeError, RecursionError, ZeuxisError) as error:
        raise DataError(f"{damaged} (a section's description cannot be read).") from error


def sound(block: Block, first: int, damaged: str) -> int:
    """The number of a block's images, after a look at what a hostile file could say."""
    runs = block.shapes
    fit = all(len(run) == 4 and run[0] > 0 and run[1] in (1, 3) and min(run[2:]) > 0 and run[1] * run[2] * run[3] <= PIXELS for run in runs)
    count = sum(run[0] for run in runs) if fit else 0
    if not count or count > LARGEST or len(block.names) not in (0, count) or block.first != first or block.lanes < 1 or block.kept < 0:
        raise DataError(f"{damaged} (a block's description makes no sense).")
    for name in block.names:
        inside(name, damaged)
    return count


def inside(name: str, damaged: str) -> None:
    """Refuses a name that would lead out of the folder that images are written to."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or any(c in name for c in "\\\0:"):
        raise DataError(f"{damaged} (it names an image {name!r}, which is no place inside a folder).")
