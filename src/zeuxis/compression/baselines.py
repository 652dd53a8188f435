"""Sizes of the same images under common codecs.

PNG (optimized) and WebP (lossless, slowest setting) store each image as a file, whose header is a
large part of a small image. xz (strongest setting) compresses the pixels of all images as one
stream. Black-and-white images have one bit per pixel in PNG and for xz.
"""

from __future__ import annotations

import io
import lzma

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from ..visual.grid import to_image

WEBP_SIDE = 16_383  # largest side of a WebP image (pixels)


class Baselines:
    """Sums the sizes of images.

    Example:
        >>> import torch
        >>> baselines = Baselines()
        >>> baselines.add(torch.zeros(1, 28, 28, dtype=torch.uint8))
        >>> sorted(baselines.sizes())
        ['PNG', 'WebP', 'xz']
    """

    def __init__(self) -> None:
        self.png, self.webp, self.xz = 0, 0, 0
        self.fits = True
        self.stream = lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME)

    def add(self, x: UInt8[Tensor, "channels height width"]) -> None:
        """Adds an image."""
        array, picture = x.numpy(), to_image(x)
        binary = len(array) == 1 and bool(((array == 0) | (array == 255)).all())
        self.png += size(
            picture.convert("1", dither=Image.Dither.NONE) if binary else picture,
            "PNG",
            optimize=True,
        )
        self.fits = self.fits and max(picture.size) <= WEBP_SIDE
        if self.fits:
            self.webp += size(picture, "WEBP", lossless=True, quality=100, method=6)
        self.xz += len(
            self.stream.compress(np.packbits(array > 0).tobytes() if binary else array.tobytes())
        )

    def sizes(self) -> dict[str, int]:
        """Bytes by codec, after the last image; without WebP if an image was too large for it."""
        self.xz += len(self.stream.flush())
        return {"PNG": self.png} | ({"WebP": self.webp} if self.fits else {}) | {"xz": self.xz}


def size(picture: Image.Image, kind: str, **config: object) -> int:
    """Bytes of an image as a file."""
    file = io.BytesIO()
    picture.save(file, kind, **config)
    return file.tell()
