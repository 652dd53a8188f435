r"""Lossless coding with an autoregressive model, such as PixelCNN.

$$ \text{bits} = -\sum_i \log_2 P(x_i \,|\,
   x_{<i}) + \text{overhead of integers and coder (about 0.1 \%)} . $$

Numbers are coded in the order row, column, channel. Encoder and decoder run the same scan with the
same number of images in parallel (*lanes*), so the distributions are identical. The encoder sends
the known numbers to the scan, and the decoder those that it has just decoded. A range coder is a
queue: what is encoded first is decoded first, in the order of the scan.

Sources: van den Oord, Kalchbrenner and Kavukcuoglu, "Pixel Recurrent Neural Networks", 2016;
Martin, "Range encoding", 1979.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from ..autoregressive.sampling import as_images, in_order, to_levels, to_pixels
from ..capabilities import CanAutoregress
from ..errors import DataError
from ..model import Model
from .entropy_coding import (
    PRECISION,
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

LANES = 256
SLACK = 128  # bits by which a range code may be shorter than its information


class RangeCoder:
    """Codes images with a model's `autoregress`.

    Arguments:
        model: The model; a copy of it is used.
        precision: What the copy computes in.
    """

    kind: Literal["range", "bits-back"] = "range"

    def __init__(self, model: Model, precision: Precision) -> None:
        exact = prepare(model, precision)
        assert isinstance(exact, CanAutoregress)
        self.model, self.shape, self.levels = exact, model.spec.shape, exact.levels
        self.queue = constriction().queue

    def lanes_for(self, n: int) -> int:
        return min(n, LANES)

    def encode(
        self, x: UInt8[Tensor, "n channels height width"], lanes: int, advance: Advance
    ) -> Coded:
        """Encodes images."""
        encoder, nats = self.queue.RangeEncoder(), 0.0
        for part in x.split(lanes):
            numbers = in_order(to_levels(part, self.levels))
            values = self.model.autoregress(len(part))
            log_p = next(values)
            for i, column in enumerate(numbers.T.contiguous()):
                encoder.encode(column.int().numpy(), categorical(), integer_weights(log_p))
                nats -= log_p.double().gather(1, column[:, None]).sum().item()
                if i + 1 < numbers.shape[1]:
                    log_p = values.send(column)
                advance(len(part) / numbers.shape[1])
            values.close()
        return Coded(to_bytes(encoder.get_compressed()), lanes, nats=nats)

    def decode(
        self, coded: Coded, n: int, advance: Advance
    ) -> UInt8[Tensor, "n channels height width"]:
        """Decodes n images."""
        decoder, size = self.queue.RangeDecoder(to_words(coded.payload)), int(np.prod(self.shape))
        found = torch.empty(n, *self.shape, dtype=torch.uint8)
        left = 8.0 * len(coded.payload) + SLACK
        for start in range(0, n, coded.lanes):
            count = min(coded.lanes, n - start)
            numbers = torch.empty(count, size, dtype=torch.int64)
            values = self.model.autoregress(count)
            log_p = next(values)
            for i in range(size):
                weights = integer_weights(log_p)
                try:
                    column = decoder.decode(categorical(), weights)
                except AssertionError as error:  # raised for bits that match no symbol
                    raise DataError("bits that no image has") from error
                # After its end a code continues with zeros, which decode to some symbols: more
                # information than the code has bits is an error.
                bits = PRECISION - np.log2(weights[np.arange(count), column] + 1)
                left -= float(bits.sum())
                if left < 0:
                    raise DataError("more than its bits can hold")
                numbers[:, i] = torch.from_numpy(column).long()
                if i + 1 < size:
                    log_p = values.send(numbers[:, i])
                advance(count / size)
            values.close()
            found[start : start + count] = to_pixels(as_images(numbers, self.shape), self.levels)
        return found
