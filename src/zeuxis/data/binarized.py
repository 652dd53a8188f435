r"""Binary images from gray ones: each pixel is drawn as 1 with probability $P(1) = v / 255$.

Likelihoods of binary digits are published under two protocols whose figures do not compare: on
MNIST they differ by half a nat to a nat. *Dynamic* binarization draws the test set once with a
seed, and each training image again whenever it is seen. *Static* binarization draws each image
once, for training too: `--data mnist-static`.

The published static results use files by Hugo Larochelle, which zeuxis does not have.
`mnist-static` is another draw by the same rule, and always the same draw. Its figures compare with
each other, and with the published ones as far as one draw of the pixels resembles another.

The draw of a pixel is a function of seed, image and pixel, so it is the same for any subset, order
or number of images: the generator Philox can start anywhere in its sequence, and each image has a
fixed stretch of it.

Source: Salakhutdinov and Murray, "On the Quantitative Analysis of Deep Belief Networks", 2008,
which binarized MNIST this way.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from .dataset import Dataset

STATIC_SEEDS = {"train": 0x57A71C00, "test": 0x57A71C01}  # unlike the seeds that people choose
STEP = 0x01010101  # (2**32 - 1) / 255: scales v / 255 to a multiple of 2**-32
CHUNK = 1_000  # images binarized at a time


def binarized(
    x: UInt8[Tensor, "n channels height width"], rows: Int[Tensor, " n"], seed: int
) -> UInt8[Tensor, "n channels height width"]:
    """Draws each pixel as 0 or 255 with its brightness as probability.

    Arguments:
        x: Gray images, or color images whose channels are drawn independently.
        rows: Row of each image in its data set, which with the seed fixes the draw.
        seed: At least 0.

    Example:
        >>> gray = torch.tensor([0, 128, 255], dtype=torch.uint8).expand(2, 1, 1, 3)
        >>> binarized(gray, torch.tensor([0, 1]), seed=0).flatten(1)[:, [0, 2]].tolist()
        [[0, 255], [0, 255]]
    """
    gray, index = x.cpu().flatten(1).numpy(), rows.cpu().numpy()
    drawn = np.zeros_like(gray)
    breaks = np.flatnonzero(np.diff(index) != 1) + 1  # where consecutive rows end
    for start, stop in zip([0, *breaks], [*breaks, len(index)], strict=True):
        for first in range(start, stop, CHUNK):
            v = gray[first : min(first + CHUNK, stop)]
            u = uniform(int(index[first]), len(v), gray.shape[1], seed)
            white = (u < v.astype(np.uint32) * np.uint32(STEP)) | (v == 255)
            drawn[first : first + len(v)] = 255 * white
    return torch.from_numpy(drawn).view(x.shape).to(x.device)


def uniform(first: int, images: int, size: int, seed: int) -> np.ndarray:
    """Uniform 32-bit integers for the pixels of consecutive images, (images, size)."""
    blocks = -(-size // 8)  # Philox yields 256 bits, eight pixels, at a time
    source = np.random.Philox(key=np.array([seed, 0], np.uint64)).advance(first * blocks)
    bits = source.random_raw(4 * blocks * images).astype("<u8").view("<u4")
    return bits.reshape(images, 8 * blocks)[:, :size]


def static(gray: Dataset, split: str) -> Dataset:
    """A data set whose pixels are drawn once as 0 or 255, always the same way.

    Arguments:
        gray: The data set, whole or its first images.
        split: "train" or "test", which have different seeds.
    """
    x = binarized(gray.all(), torch.arange(len(gray)), STATIC_SEEDS[split])
    spec = replace(gray.spec, name=f"{gray.spec.name}-static")
    return Dataset(spec, x, gray.labels, facts=replace(gray.facts, binarization="static"))
