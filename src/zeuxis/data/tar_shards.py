"""Shards: tar files of encoded images, as WebDataset writes and reads them.

The files of one example stand next to each other and share the name up to the first dot:
`00017.jpg` is the image of example 00017 and `00017.cls` its class number. A tar file has no table
of contents, so its headers are read once, and where each image begins is kept in the cache folder.
From then on an example is one read at a known place, in any order, and an order is a function of
the seed: a resumed training goes on at the exact example.

`classes.txt` beside the shards may name the classes, one a line.

Source: Aizman et al., "High Performance I/O For Large Scale Deep Learning", 2019.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .. import files
from ..errors import DataError
from .cache import cache_folder
from .images import Raw
from .parts import ALL, Split, chosen, part_name, part_of
from .reading import first_line, opened, shown
from .scan import ENDINGS

CLASSES = "classes.txt"
LABEL, LONGEST_LABEL = "cls", 20  # ending and most bytes of a class number's file
LARGEST = 256 << 20  # bytes of one encoded image
MOST_CLASSES = 1_000_000
VERSION = 1  # of the index


class TarImages:
    """Encoded images inside tar files.

    Arguments:
        paths: The shards.
        shard, offset, size: Of each image: its shard, and first byte and number of bytes in it.
    """

    def __init__(
        self, paths: Sequence[Path], shard: np.ndarray, offset: np.ndarray, size: np.ndarray
    ) -> None:
        self.paths, self.shard, self.offset, self.size = paths, shard, offset, size
        self.handles: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.shard)

    def read(self, i: int) -> bytes:
        shard, size = int(self.shard[i]), int(self.size[i])
        try:
            data = os.pread(self.handle(shard), size, int(self.offset[i]))
        except OSError as error:
            raise DataError(
                f"The image {self.where(i)} cannot be read ({first_line(error)}): fetch the shard "
                "again."
            ) from error
        if len(data) < size:
            raise DataError(f"The image {self.where(i)} is cut short: fetch the shard again.")
        return data

    def handle(self, shard: int) -> int:
        """The open file of a shard, of this process."""
        key = (os.getpid(), shard)
        if key not in self.handles:
            with opened(self.paths[shard]) as file:
                self.handles[key] = os.dup(file.fileno())
        return self.handles[key]

    def where(self, i: int) -> str:
        first = int(np.searchsorted(self.shard, self.shard[i]))
        return f"{i - first} of '{shown(self.paths[int(self.shard[i])])}'"

    def __del__(self) -> None:
        for (process, _), handle in self.handles.items():
            if process == os.getpid():
                with contextlib.suppress(OSError):
                    os.close(handle)


def tar_parts(folder: Path) -> dict[str, list[Path]]:
    """The tar files of a folder by part, as their names say it (train-000000.tar)."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.tar")):
        if not path.name.startswith(".") and path.is_file():
            found.setdefault(part_of(path.stem) or ALL, []).append(path)
    return found


def tar_folder(folder: Path, split: Split, name: str, classes: Sequence[str]) -> Raw | None:
    """Opens the shards of a folder; None if there are none."""
    parts = tar_parts(folder)
    if not parts:
        return None
    if ALL in parts and len(parts) > 1:
        raise DataError(
            f"'{shown(folder)}' has shards of a part, as in '{shown(parts[ALL][0])}', and others "
            "without: name all of them train-... or test-..., or none."
        )
    part = ALL if ALL in parts else chosen(parts, split, f"'{shown(folder)}'")
    return tar_shards(parts[part], name, part_name(part, parts), classes)


def tar_shards(
    paths: Sequence[Path], name: str, part: str = ALL, classes: Sequence[str] = ()
) -> Raw:
    """Opens shards; only their headers are read, and only the first time.

    Raises:
        DataError: A shard is damaged or compressed, or has no images.
    """
    key = fingerprint(paths)
    found = [indexed(path) for path in paths]
    counts = [len(offset) for offset, _, _ in found]
    if not sum(counts):
        known = ", ".join(ENDINGS)
        raise DataError(
            f"'{shown(paths[0])}' holds no images ({known}): give shards as WebDataset and zeuxis "
            "data shard write them."
        )
    offset, size, label = (np.concatenate(parts) for parts in zip(*found, strict=True))
    images = TarImages(paths, np.repeat(np.arange(len(paths)), counts), offset, size)
    labels = label if (label >= 0).any() else None
    names = classes or class_names(paths[0].with_name(CLASSES))
    if labels is not None and names and int(labels.max()) >= len(names):
        raise DataError(
            f"'{shown(paths[0])}' has the class number {int(labels.max())} and there are "
            f"{len(names)} class names: complete {CLASSES}, or remove it."
        )
    names = names if labels is not None else ()
    return Raw(name, images, labels, names, key, part, files=counts)


def class_names(path: Path) -> list[str]:
    """The lines of a file of class names, none without the file."""
    if not path.is_file():
        return []
    with opened(path) as file:
        text = file.read(1 << 20).decode("utf-8", "replace")
    return [shown(line) for line in text.splitlines() if line.strip()]


def fingerprint(paths: Sequence[Path]) -> str:
    """Changes with the names, sizes or times of shards."""
    about = [(path.name, (status := path.stat()).st_size, status.st_mtime_ns) for path in paths]
    return hashlib.sha256(repr((VERSION, about)).encode()).hexdigest()


def indexed(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First byte, number of bytes and class (-1 without one) of each image in a shard."""
    index = cache_folder() / "shards" / f"{fingerprint([path.absolute()])[:32]}.npy"
    with contextlib.suppress(OSError, ValueError):
        kept = np.load(index, allow_pickle=False)
        if kept.dtype == np.int64 and kept.ndim == 2 and len(kept) == 3:
            return kept[0], kept[1], kept[2]
    try:
        table = np.array(list(examples(path)), np.int64).reshape(-1, 3).T.copy()
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise DataError(
            f"'{shown(path)}' cannot be read as an uncompressed tar file ({first_line(error)}): "
            "fetch it again, or unpack it and give the folder."
        ) from error
    buffer = io.BytesIO()
    np.save(buffer, table)
    with contextlib.suppress(files.WriteError):  # it is only read again
        files.write(index, buffer.getvalue())
    return table[0], table[1], table[2]


def examples(path: Path) -> Iterator[tuple[int, int, int]]:
    """First byte, number of bytes and class of each example with an image, in their order."""
    with opened(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        end = os.fstat(file.fileno()).st_size
        key, image, label = None, None, -1
        for member in tar:
            tar.members = []  # type: ignore[attr-defined]  # it would keep every header
            folder, _, base = member.name.rpartition("/")
            stem, dot, ending = base.partition(".")
            if not member.isreg() or not stem or not dot:
                continue
            if member.issparse() or member.size > LARGEST:
                raise ValueError(f"'{shown(member.name)}' is too large or has holes")
            if member.offset_data + member.size > end:
                raise ValueError(f"'{shown(member.name)}' is cut short")
            if (folder, stem) != key:
                if image is not None:
                    yield (*image, label)
                key, image, label = (folder, stem), None, -1
            if f".{ending.lower()}".endswith(ENDINGS) and image is None:
                image = (member.offset_data, member.size)
            elif ending == LABEL:
                text = os.pread(file.fileno(), min(member.size, LONGEST_LABEL), member.offset_data)
                label = class_number(text, member.name)
        if image is not None:
            yield (*image, label)


def class_number(text: bytes, name: str) -> int:
    """The class number in a file of an example."""
    digits = text.decode("ascii", "replace").strip()
    if not digits.isdecimal() or int(digits) >= MOST_CLASSES:
        raise ValueError(f"'{shown(name)}' holds {digits[:20]!r} and no class number")
    return int(digits)
