"""Images that are decoded when their rows are read, for sets larger than memory and cache."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .cache import decode_one
from .images import Encoded, decode

THREADS = 8  # of a process, at most; Pillow decodes without Python's lock


class Streamed:
    """Encoded images as an array of decoded ones; nothing is kept.

    Arguments:
        images: The encoded images.
        n: How many of them, from the first on.
        size: Side to which they are resized (pixels), or None.
        channels: 1, 3 or None.

    Example:
        >>> from zeuxis.data.sources import open_source
        >>> import tempfile, numpy as np
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for i in range(3):
        ...         Image.new("L", (2, 2), i).save(f"{folder}/{i}.png")
        ...     x = Streamed(open_source(folder, "train").images, 3)
        ...     x.shape, x[np.array([2, 0])][:, 0, 0, 0].tolist()
        ((3, 1, 2, 2), [2, 0])
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, images: Encoded, n: int, size: int | None = None, channels: int | None = None
    ) -> None:
        self.images, self.n, self.size, self.channels = images, n, size, channels
        self.one = decode(images.read(0), images.where(0), size, channels).shape
        self.pools: dict[int, ThreadPoolExecutor] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        return (self.n, *self.one)

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        rows = np.asarray(rows)
        x = np.empty((len(rows), *self.one), np.uint8)

        def fill(k: int, i: int, data: bytes) -> None:
            x[k] = decode_one(self.images, i, self.size, self.channels, self.one, data)

        decoding = [
            self.pool().submit(fill, k, i, self.images.read(i)) for k, i in enumerate(rows.tolist())
        ]
        for one in decoding:
            one.result()
        return x

    def pool(self) -> ThreadPoolExecutor:
        """The threads of this process, which a forked one does not have."""
        process = os.getpid()
        if process not in self.pools:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
            self.pools[process] = ThreadPoolExecutor(min(THREADS, cores))
        return self.pools[process]
