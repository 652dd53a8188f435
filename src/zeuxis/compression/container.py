r"""The file format `.zx`: what a decoder needs, with a checksum over every byte.

```
89 5A 58 0D 0A 1A 0A 00    magic: ZX among bytes that a transfer as text would change
01 00 00 00                version
sections, each:
  4 bytes                  HEAD, BLCK or DONE
  u32, u32                 lengths of the two parts that follow
  part 1                   JSON of plain values, deflated
  part 2                   bits of the entropy coder (BLCK), else empty
  16 bytes                 BLAKE2b of the previous section's digest and this section's bytes
```

Numbers are little-endian. HEAD holds the model's name, path and fingerprint (SHA-256 of settings
and weights), how it computes, and the number of images. Each BLCK holds whole images, with their
shapes, names and a digest of their decoded pixels. DONE counts images and blocks and ends the file.
Each digest covers the previous one, so a section that is changed, lost, duplicated or moved is
detected, and so is a truncated file or one with bytes after its end. Nothing is unpickled.

A small file must not cost much memory or time, whoever wrote it. Every length is first compared
with the size of the file. Descriptions that inflate to more than `MAX_JSON` bytes, blocks of more
than `BLOCK` numbers, and files of more than `MAX_DENSITY` numbers per byte are refused before
anything is decoded. (Black digits, the densest images of the shipped models, have 240 numbers per
byte.) The last limit can be lifted for files from a known source.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

import numpy as np

from ..checkpoints.serialization import from_json
from ..errors import DataError, UsageError, ZeuxisError
from ..files import parse_json, reason, require_regular
from .entropy_coding import PRECISION

MAGIC, VERSION = b"\x89ZX\r\n\x1a\n\0", 1
FRAME = struct.Struct("<4sII")
DIGEST = 16
WORD = 4  # bytes; payloads are whole words
MAX_JSON = {b"HEAD": 2**16, b"BLCK": 2**24, b"DONE": 2**16}  # bytes of a section's JSON
RUNS = 2**16  # runs of images of one shape in a block
BLOCK = 2**29  # numbers of a block's tiles
# Limits of a whole file: a constant, and a multiple of its bytes.
ALL_JSON = 2**24, 4  # bytes of JSON
MAX_DENSITY = 2**20, 1024  # numbers of all tiles


@dataclass(frozen=True)
class Header:
    """The content of HEAD.

    Arguments:
        zeuxis: Version that wrote the file.
        model: The model's name.
        source: The run folder or shipped model, as the user named it.
        weights: Its file of weights; empty for the default.
        fingerprint: SHA-256 of settings and weights.
        coder: "range" or "bits-back".
        precision: Precision of the network's computations.
        machine: Processor and version, as far as sums depend on them.
        shape: Channels, height and width of a tile.
        images: Number of images in the file.
        bits: The frequencies of a distribution sum to 2 ** bits.
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
    """The content of BLCK.

    Arguments:
        shapes: Runs of images of one shape: count, channels, height, width.
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

    def images(self) -> Iterator[tuple[int, int, int]]:
        """The shape of each image."""
        for count, channels, height, width in self.shapes:
            for _ in range(count):
                yield channels, height, width

    def __len__(self) -> int:
        """The number of images."""
        return sum(run[0] for run in self.shapes)

    def tiles(self, tile: tuple[int, ...]) -> int:
        """The number of tiles of a shape."""
        count, channels, height, width = np.array(self.shapes, np.int64).T
        planes = channels if tile[0] == 1 else 1
        return int((count * planes * -(-height // tile[1]) * -(-width // tile[2])).sum())


@dataclass(frozen=True)
class Done:
    """The content of DONE."""

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
        text = json.dumps(dataclasses.asdict(about), separators=(",", ":")).encode()
        if len(text) > MAX_JSON[kind] or (isinstance(about, Block) and len(about.shapes) > RUNS):
            raise UsageError(
                f"A description of {len(text):,} bytes is too long for a file: ask for "
                "blocks of fewer tiles."
            )
        head = zlib.compress(text, 9)
        frame = FRAME.pack(kind, len(head), len(body))
        self.digest = link(self.digest, frame, head, body)
        self.file.write(frame + head + body + self.digest)


def link(before: bytes, *parts: bytes) -> bytes:
    """The digest of a section that follows one with the digest `before`."""
    total = hashlib.blake2b(before, digest_size=DIGEST)
    for part in parts:
        total.update(part)
    return total.digest()


def sections(
    path: str | Path, large: bool = False
) -> Iterator[tuple[Header | Block | Done, bytes]]:
    """Yields the sections of a file in order, each checked first.

    Arguments:
        path: The file.
        large: Accept a file with far more pixels than its size makes likely.

    Raises:
        DataError: The file has another format, is truncated or changed, or claims too much.
    """
    path = Path(path)
    try:
        require_regular(path)
        with open(path, "rb") as file:
            yield from Reader(file, path, large)
    except OSError as error:
        raise DataError(f"'{path}' cannot be read ({reason(error)}): check the path.") from error


class Reader:
    """The sections of an open file.

    Arguments:
        file: The file, at its start.
        path: Its name, for error sentences.
        large: As in `sections`.
    """

    def __init__(self, file: BinaryIO, path: Path, large: bool) -> None:
        self.file, self.path, self.large = file, path, large
        self.size = os.fstat(file.fileno()).st_size
        self.images = self.blocks = self.numbers = 0
        self.json = ALL_JSON[0] + ALL_JSON[1] * self.size  # bytes that may still be inflated
        self.tile: tuple[int, ...] = ()

    def __iter__(self) -> Iterator[tuple[Header | Block | Done, bytes]]:
        digest = self.start()
        expected: tuple[bytes, ...] = (b"HEAD",)
        while expected:
            frame = self.file.read(FRAME.size)
            if len(frame) < FRAME.size:
                raise self.damaged(f"it ends after {self.size:,} bytes, before its last section")
            kind, lengths = frame[:4], FRAME.unpack(frame)[1:]
            if sum(lengths) + DIGEST > self.size - self.file.tell():
                raise self.damaged(f"a section does not fit into its {self.size:,} bytes")
            head, body, proof = (self.file.read(length) for length in (*lengths, DIGEST))
            digest = link(digest, frame, head, body)
            if digest != proof or kind not in expected:
                raise self.damaged(f"section {self.blocks + 1} is not what was written")
            about = self.parsed(head, kind)
            self.check(about, body)
            yield about, body
            expected = () if kind == b"DONE" else (b"BLCK", b"DONE")

    def start(self) -> bytes:
        """Reads the magic and the version, which the first digest covers."""
        start = self.file.read(len(MAGIC) + 4)
        if start[: len(MAGIC)] != MAGIC[: len(start)]:
            begins = start[:8].hex(" ") or "nothing"
            raise DataError(
                f"'{self.path}' is no file that `zeuxis compress` wrote: it starts with {begins}."
            )
        if len(start) < len(MAGIC) + 4:
            raise self.damaged(f"it ends after {self.size} bytes")
        if (version := int.from_bytes(start[len(MAGIC) :], "little")) != VERSION:
            newer = "it is damaged, or a newer zeuxis is needed"
            raise DataError(
                f"'{self.path}' is of version {version} of the format, and this zeuxis "
                f"reads version {VERSION}: {newer}."
            )
        return start

    def damaged(self, how: str) -> DataError:
        """The error of a damaged file."""
        return DataError(
            f"'{self.path}' is damaged ({how}): fetch or copy it again, or restore it "
            "from a backup."
        )

    def beyond(self, how: str) -> DataError:
        """The error of a file that claims too much for its size."""
        return DataError(
            f"'{self.path}' has {self.size:,} bytes and {how}, far beyond what a file of "
            "its size holds: if you know where it comes from, "
            "decompress it with --large (large=True)."
        )

    def parsed(self, head: bytes, kind: bytes) -> Header | Block | Done:
        """Parses a section's JSON."""
        most = MAX_JSON[kind] if self.large else min(MAX_JSON[kind], self.json)
        try:
            inflate = zlib.decompressobj()
            text = inflate.decompress(head, most)
            if not inflate.eof or inflate.unused_data:
                if len(text) < MAX_JSON[kind] and len(text) == most:
                    raise self.beyond("inflates to far more")
                raise ValueError("too long")
            self.json -= len(text)
            values = parse_json(text)
            shapes = values.get("shapes") if isinstance(values, dict) else None
            if isinstance(shapes, list) and len(shapes) > RUNS:
                raise ValueError("too many runs")
            return from_json(KINDS[kind], values, "a section")
        except DataError:
            raise
        except (zlib.error, ValueError, TypeError, ZeuxisError) as error:
            raise self.damaged("a section's description cannot be read") from error

    def check(self, about: Header | Block | Done, body: bytes) -> None:
        """Refuses values that a hostile file could hold."""
        if isinstance(about, Header):
            self.tile = about.shape
            if not possible(((1, *about.shape),)) or body:
                raise self.damaged("its header makes no sense")
        elif isinstance(about, Block):
            if not possible(about.shapes) or len(body) % WORD:
                raise self.damaged("a block's description makes no sense")
            numbers = about.tiles(self.tile) * self.tile[0] * self.tile[1] * self.tile[2]
            consistent = len(about.names) in (0, len(about)) and about.first == self.images
            if numbers > BLOCK or not consistent or about.lanes < 1 or about.kept < 0:
                raise self.damaged("a block's description makes no sense")
            self.images += len(about)
            self.blocks += 1
            self.numbers += numbers
            if not self.large and self.numbers > MAX_DENSITY[0] + MAX_DENSITY[1] * self.size:
                raise self.beyond(f"claims {self.numbers:,} pixels or more")
        elif about != Done(self.images, self.blocks) or body or self.file.read(1):
            raise self.damaged("it does not end where it should")


def possible(shapes: tuple[tuple[int, ...], ...]) -> bool:
    """Whether a block can hold images of these runs of count, channels, height and width."""
    try:
        runs = np.array(shapes, np.int64)  # there may be a million
    except ValueError:
        return False
    if runs.ndim != 2 or runs.shape[1] != 4 or runs.min() < 1:
        return False
    if not np.isin(runs[:, 1], (1, 3)).all():
        return False
    return bool(runs.astype(np.float64).prod(1).sum() <= BLOCK)
