"""IDX files, the format of MNIST and its successors: a header of dimensions, and then bytes."""

from __future__ import annotations

import gzip
import math
import os
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .classes import class_numbers
from .images import Raw
from .parts import ALL, PARTS, Split, chosen, part_name, part_of, words
from .readers import left_out, nchw
from .reading import affordable, first_line, opened, shown, stored
from .tables import fingerprint

NAME = re.compile(r"(?P<set>.*)(?P<kind>images|labels)[-.]idx\d-ubyte(\.gz)?", re.IGNORECASE)


def idx(path: Path) -> np.ndarray:
    """Reads an IDX file, plain or gzipped: uint8 of up to four dimensions."""
    again = "fetch the file again"
    try:
        with opened(path) as plain, gzip.GzipFile(fileobj=plain, mode="rb") as unzipped:
            zipped = path.suffix.lower() == ".gz"
            data: Any = unzipped if zipped else plain
            head = data.read(4)
            if len(head) < 4 or head[:3] != b"\0\0\x08" or not 1 <= head[3] <= 4:
                raise DataError(
                    f"'{shown(path)}' starts with {head.hex()}, expected 000008 of an "
                    f"IDX file of bytes: {again}."
                )
            sizes = data.read(4 * head[3])
            if len(sizes) < 4 * head[3]:
                raise DataError(f"'{shown(path)}' ends within its header: {again}.")
            shape = struct.unpack(f">{head[3]}I", sizes)
            size = math.prod(shape)
            # A plain file that is shorter than its header promises costs no memory.
            if zipped or size <= os.fstat(plain.fileno()).st_size:
                affordable(size, stored(path))
            body = data.read(size + 1 if zipped else -1)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(
            f"'{shown(path)}' cannot be read ({first_line(error)}): {again}."
        ) from error
    if len(body) != size:
        more = "or more " if len(body) > size and zipped else ""
        raise DataError(
            f"'{shown(path)}' holds {len(body):,} bytes {more}and its header promises "
            f"{size:,}: {again}."
        )
    return np.frombuffer(body, np.uint8).reshape(shape)


def idx_folder(folder: Path, split: Split, name: str, classes: Sequence[str] = ()) -> Raw | None:
    """Reads MNIST's four files, or files named alike; None if there are none."""
    files: dict[tuple[str, str], dict[str, Path]] = {}  # by set and part
    for path in sorted(folder.iterdir(), key=lambda p: (p.suffix != ".gz", p.name)):
        if (match := NAME.fullmatch(path.name)) and path.is_file():
            set_name = "-".join(word for word in words(match["set"]) if word not in PARTS)
            key = (set_name, part_of(match["set"]) or ALL)
            files.setdefault(key, {}).setdefault(match["kind"].lower(), path)
    images = {key: kinds["images"] for key, kinds in files.items() if "images" in kinds}
    if not images:
        return None
    if len(sets := sorted({set_name for set_name, _ in images})) > 1:
        raise DataError(
            f"'{shown(folder)}' holds the data sets {', '.join(sets)}: give a folder "
            "that holds one of them."
        )
    parts = {part: path for (_, part), path in images.items()}
    part = chosen(parts, split, f"'{shown(folder)}'") if ALL not in parts else ALL
    labels = {p: idx(kinds["labels"]) for (_, p), kinds in files.items() if "labels" in kinds}
    if part in labels and labels[part].ndim != 1:
        wrong = files[sets[0], part]["labels"]
        raise DataError(
            f"The labels '{shown(wrong)}' have shape {labels[part].shape}, expected "
            "(N,): fetch the file again."
        )
    x = nchw(idx(parts[part]), shown(parts[part]))
    numbers, names, notes = class_numbers(labels, part, parts[part], classes)
    notes = [*left_out(parts, part), *notes]
    return Raw(name, x, numbers, names, fingerprint([parts[part]]), part_name(part, parts), notes)
