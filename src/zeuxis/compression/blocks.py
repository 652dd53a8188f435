"""Blocks of whole images, which a file codes independently of each other.

Memory does not grow with the number of images, and damage affects one block only. A block closes
once it has enough tiles: a larger one spends its initial bits (bits-back coding) on more images.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator

from jaxtyping import UInt8
from torch import Tensor

from ..errors import UsageError
from .container import BLOCK, DIGEST, Block
from .image_sources import ImageSource
from .tiles import join, tile_count

TILES = 4096  # tiles after which a block is closed


def blocks(originals: ImageSource, shape: tuple[int, ...], tiles: int) -> Iterator[tuple[int, int]]:
    """Start and stop of each block: as many images as make `tiles` tiles, at least one."""
    first = count = 0
    most = BLOCK // math.prod(shape)
    for i in range(len(originals)):
        more = tile_count(originals.shape(i), shape)
        if more > most:
            raise UsageError(
                f"The image {originals.where(i)} is too large for one block: cut it into "
                "smaller ones."
            )
        if count + more > most:
            yield first, i
            first, count = i, 0
        count += more
        if count >= tiles or i + 1 == len(originals):
            yield first, i + 1
            first, count = i + 1, 0


def runs(images: list[Tensor]) -> tuple[tuple[int, ...], ...]:
    """Runs of images of one shape: count, then the shape."""
    return tuple(
        (len(list(same)), *shape)
        for shape, same in itertools.groupby(tuple(x.shape) for x in images)
    )


def digest(images: Iterable[Tensor]) -> str:
    """A hash of pixels and shapes."""
    total = hashlib.blake2b(digest_size=DIGEST)
    for x in images:
        total.update(repr(tuple(x.shape)).encode())
        total.update(x.contiguous().numpy().tobytes())
    return total.hexdigest()


def joined(tiles: UInt8[Tensor, "n channels height width"], block: Block) -> Iterator[Tensor]:
    """Joins the tiles of a block, one image at a time."""
    at = 0
    for shape in block.images():
        count = tile_count(shape, tuple(tiles.shape[1:]))
        yield join(tiles[at : at + count], shape)
        at += count
