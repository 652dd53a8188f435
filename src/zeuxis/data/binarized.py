r"""Binary images from gray ones: every pixel is 1 with its brightness as probability, $P(1) = v /
255$, drawn with a seed.

Likelihoods of binary digits are published under two protocols, and figures of one do not compare
with figures of the other (they differ by half a nat to a nat on MNIST). *Dynamic* binarization
draws the test set anew, here by the seed given, and training draws every image anew whenever it is
seen. *Static* binarization draws each image once and for all, for training too:
`--data mnist-static`.

The static set that the field's tables rest on is a set of files by Hugo Larochelle. zeuxis does not
have these files: `mnist-static` is another draw by the same rule, always the same one. Its figures
are comparable with each other, and with the tables only in so far as one draw of the pixels is like
another.

A pixel's draw is a function of seed, image and pixel alone, the same for any subset, order or
number of images: Philox is a generator that can start anywhere in its sequence, and each image has
its own stretch of it.

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

STATIC_SEEDS = {
    "train": 0x57A71C00,
    "test": 0x57A71C01,
}  # out of the way of the seeds that people choose
STEP = 0x01010101  # (2**32 - 1) / 255, so that v / 255 becomes a whole number of 2**-32


def binarized(
    x: UInt8[Tensor, "n channels height width"], rows: Int[Tensor, " n"], seed: int
) -> UInt8[Tensor, "n channels height width"]:
    """Images whose pixels are 0 or 255, drawn with their brightness as probability; pixels that are
    0 or 255 stay what they are.

    Arguments:
        x: Gray images, or color ones, each of whose channels is drawn.
        rows: Each image's place in its data set, which with the seed fixes what is drawn.
        seed: At least 0.

    Example:
        >>> gray = torch.tensor([0, 128, 255], dtype=torch.uint8).expand(2, 1, 1, 3)
        >>> binarized(gray, torch.tensor([0, 1]), seed=0).flatten(1)[:, [0, 2]].tolist()
        [[0, 255], [0, 255]]
    """
    gray, index = x.cpu().flatten(1).numpy(), rows.cpu().numpy()
    drawn = np.zeros_like(gray)
    apart = np.flatnonzero(np.diff(index) != 1) + 1
    for start, stop in zip([0, *apart], [*apart, len(index)], strict=True):
        for first in range(start, stop, 1000):
            part = gray[first : min(first + 1000, stop)]
            u = uniform(int(index[first]), len(part), gray.shape[1], seed)
            drawn[first : first + len(part)] = 255 * (
                (u < part.astype(np.uint32) * np.uint32(STEP)) | (part == 255)
            )
    return torch.from_numpy(drawn).view(x.shape).to(x.device)


def uniform(first: int, images: int, size: int, seed: int) -> np.ndarray:
    """Uniform 32-bit integers for the pixels of consecutive images, (images, size)."""
    each = -(-size // 8)  # Philox gives 256 bits, eight pixels, at a time
    source = np.random.Philox(key=np.array([seed, 0], np.uint64)).advance(first * each)
    return (
        source.random_raw(4 * each * images)
        .astype("<u8")
        .view("<u4")
        .reshape(images, 8 * each)[:, :size]
    )


def static(gray: Dataset, split: str) -> Dataset:
    """A data set drawn once as 0 and 255, always the same way.

    Arguments:
        gray: The data set, whole or its first images.
        split: "train" or "test"; each has its own seed.
    """
    seed = STATIC_SEEDS[split]
    x = binarized(gray.all(), torch.arange(len(gray)), seed)
    return Dataset(
        replace(gray.spec, name=f"{gray.spec.name}-static"),
        x,
        gray.labels,
        facts=replace(gray.facts, binarization="static"),
    )
