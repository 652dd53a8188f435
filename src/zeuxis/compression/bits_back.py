r"""Lossless coding with a latent variable model: bits-back coding with asymmetric numeral systems.

Bits are pushed to a stack and popped from it. For each image

1. a latent z is *popped* with the posterior q(z | x), which takes $-\log_2 q(z|x)$ bits from the
   stack,
2. the pixels are pushed with $p(x | z)$,
3. z is pushed with the prior p(z).

The stack grows by $-\log_2 p(x|z) - \log_2 p(z) + \log_2 q(z|x)$ bits, whose mean is the negative
evidence lower bound. The decoder pops z with the prior and x with p(x | z), and pushes z back with
q(z | x), which it can compute from x. Images are decoded in reverse order, and the last one leaves
the initial bits exactly as they were, which is verified.

A latent has $2^{10}$ bins of equal mass under the prior, so pushing it with the prior takes exactly
10 bits. The decoder network gets the bin's median $\Phi^{-1}((i + 1/2) / 2^{10})$, and the
posterior mass of a bin is the difference of its cumulative distribution. Finer bins cost nothing,
since their bits come back.

The first images need bits on the stack. These initial bits are known to encoder and decoder
(SHAKE-256 of a fixed text); those that were not used are not stored, so only the used ones cost,
once per sequence. The network processes images in groups of `lanes`, which multiplies this cost. A
sequence of n images has n / 256 lanes, so the cost stays at about half a per cent.

Sources: Townsend, Bird and Barber, "Practical lossless compression with latent variables using bits
back coding", 2019; Hinton and van Camp, 1993. Departures: groups of images, and initial bits that
are not stored.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int32, UInt8
from torch import Tensor

from ..autoregressive.sampling import to_levels, to_pixels
from ..capabilities import CanBitsBack
from ..errors import DataError
from ..model import Model
from .entropy_coding import (
    Advance,
    Coded,
    Precision,
    categorical,
    constriction,
    integer_weights,
    prepare,
    to_bytes,
    to_words,
)

BINS = 10  # log2 of the bins of a latent
TABLE = 2**22  # probabilities in memory at a time
ROWS = 2**14  # posteriors, of 2**BINS bins each, computed at a time


class BitsBack:
    """Codes images with a model's posterior, likelihood and prior.

    Arguments:
        model: The model; a copy of it is used.
        precision: What the copy computes in.
        bins: log2 of the number of bins.
    """

    kind: Literal["range", "bits-back"] = "bits-back"

    def __init__(self, model: Model, precision: Precision, bins: int = BINS) -> None:
        exact, measured = prepare(model, precision), prepare(model, "single")
        assert isinstance(exact, CanBitsBack) and isinstance(measured, CanBitsBack)
        self.model, self.measured = exact, measured
        self.shape, self.levels = model.spec.shape, exact.levels
        self.latent = exact.posterior(torch.zeros(1, *self.shape, dtype=torch.uint8))[0].shape[1]
        count = 2**bins
        self.edges = torch.special.ndtri(torch.arange(count + 1, dtype=torch.float64) / count)
        self.centers = torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)
        self.stack, self.prior = constriction().stack, constriction().model.Uniform(count)

    def lanes_for(self, n: int) -> int:
        room = max(1, TABLE // (self.model.spec.size * self.levels))
        return max(1, min(n // 256, room))

    def encode(
        self, x: UInt8[Tensor, "n channels height width"], lanes: int, advance: Advance
    ) -> Coded:
        """Encodes images."""
        groups = x.split(lanes)
        start = self.initial(min(lanes, len(x)))
        coder, nats, generator = self.stack.AnsCoder(start), 0.0, torch.Generator().manual_seed(0)
        for group in groups:
            bins = coder.decode(categorical(), self.posterior(group))
            coder.encode_reverse(self.numbers(group), categorical(), self.pixels(bins, len(group)))
            coder.encode_reverse(bins, self.prior)
            nats -= self.measured.elbo(group, generator=generator).nats.double().sum().item()
            advance(len(group))
        words = coder.get_compressed()
        same = words[: len(start)] == start[: len(words)]
        kept = int(same.cumprod().sum())
        return Coded(to_bytes(words[kept:]), lanes, kept, nats, 32 * (len(start) - kept))

    def decode(
        self, coded: Coded, n: int, advance: Advance
    ) -> UInt8[Tensor, "n channels height width"]:
        """Decodes n images."""
        start, words = self.initial(min(coded.lanes, n)), to_words(coded.payload)
        if coded.kept > len(start):
            raise DataError("more initial bits than there are")
        try:
            coder = self.stack.AnsCoder(np.concatenate([start[: coded.kept], words]))
        except ValueError as error:
            raise DataError("bits that no image has") from error
        x = torch.empty(n, *self.shape, dtype=torch.uint8)
        for first in reversed(range(0, n, coded.lanes)):
            count = min(coded.lanes, n - first)
            bins = coder.decode(self.prior, count * self.latent)
            numbers = coder.decode(categorical(), self.pixels(bins, count))
            # An empty stack continues with zeros; a valid file never empties it.
            if coder.num_words() < 2:
                raise DataError("more than its bits can hold")
            group = self.images(numbers, count)
            coder.encode_reverse(bins, categorical(), self.posterior(group))
            x[first : first + count] = group
            advance(count)
        if not np.array_equal(coder.get_compressed(), start):
            raise DataError("bits that do not lead back to the initial ones")
        return x

    def initial(self, lanes: int) -> np.ndarray:
        """Initial bits for the first group, up to 24 per latent; the coder needs a last word of
        1."""
        size = 3 * lanes * self.latent // 4 * 4 + 32
        words = to_words(hashlib.shake_256(b"zeuxis initial bits").digest(size))
        words[-1] = 1
        return words

    def posterior(
        self, x: UInt8[Tensor, "n channels height width"]
    ) -> Float32[np.ndarray, "numbers bins"]:
        """Posterior weights of the bins of every latent, image by image."""
        mean, log_std = (t.double().flatten()[:, None] for t in self.model.posterior(x))
        parts = []
        for m, s in zip(mean.split(ROWS), log_std.split(ROWS), strict=True):
            below = torch.special.ndtr((self.edges - m) * torch.exp(-s))
            parts.append(integer_weights(below.diff(dim=1).log_()))
        return np.concatenate(parts)

    def pixels(
        self, bins: Int32[np.ndarray, "numbers"], n: int
    ) -> Float32[np.ndarray, "pixels levels"]:
        """Weights of the levels of all pixels of n images given their latents."""
        z = self.centers[torch.from_numpy(bins).long()].view(n, self.latent)
        return integer_weights(
            self.model.pixels(z.to(next(self.model.parameters()).dtype)).flatten(0, -2)
        )

    def numbers(self, x: UInt8[Tensor, "n channels height width"]) -> Int32[np.ndarray, "pixels"]:
        return to_levels(x, self.levels).flatten().int().numpy()

    def images(
        self, numbers: Int32[np.ndarray, "pixels"], n: int
    ) -> UInt8[Tensor, "n channels height width"]:
        return to_pixels(torch.from_numpy(numbers).long().view(n, *self.shape), self.levels)
