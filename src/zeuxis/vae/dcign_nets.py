"""Networks of DC-IGN: the paper's for images of 150 pixels, and strided ones for smaller images.

The paper's encoder has convolutions of 5x5 without padding, each followed by max-pooling over 2x2
and ReLU; its decoder enlarges by two and convolves by 7x7 without padding. From 150 pixels they
lead to 15x15 maps and back: 15 to 24, 42, 78 and 150.

The strided encoder halves the side by each convolution, of 5x5 and the last of 3x3; the decoder
mirrors it with enlargements by two and convolutions of 5x5. Between maps and latents lies a dense
layer.

Source: Kulkarni et al., "Deep Convolutional Inverse Graphics Network", 2015, figure 1, with the
kernels of the released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError

PAPER_SIDE = 150
KERNEL, DECODER_KERNEL = 5, 7


class PaperEncoder(nn.Module):
    """Convolutions without padding, max-pooling and ReLU, to a vector of features."""

    def __init__(self, shape: Sequence[int], channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(channels)
        sizes = [shape[0], *channels]
        self.blocks = nn.ModuleList(
            nn.Conv2d(inside, out, KERNEL) for inside, out in pairwise(sizes)
        )
        side = shape[1]
        for _ in channels:
            side = (side - KERNEL + 1) // 2
        self.maps = (channels[-1], side, side)
        self.features = channels[-1] * side * side

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = F.relu(F.max_pool2d(block(x), 2))
        return x.flatten(1)


class PaperDecoder(nn.Module):
    """Enlargements by two and convolutions without padding, from latents to logits or means."""

    def __init__(self, encoder: PaperEncoder, latent: int, outputs: int) -> None:
        super().__init__()
        self.maps = encoder.maps
        self.dense = nn.Linear(latent, encoder.features)
        inner = encoder.channels[::-1]
        sizes = [inner[0], *inner, outputs]
        self.blocks = nn.ModuleList(
            nn.Conv2d(inside, out, DECODER_KERNEL) for inside, out in pairwise(sizes)
        )

    def forward(self, z: Tensor) -> Tensor:
        h = self.dense(z).unflatten(1, self.maps)
        for i, block in enumerate(self.blocks):
            h = block(F.interpolate(h, scale_factor=2.0))
            h = F.relu(h) if i < len(self.blocks) - 1 else h
        return h


class StridedEncoder(nn.Module):
    """Convolutions of stride 2 and a dense layer, with ReLU."""

    def __init__(self, shape: Sequence[int], channels: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.channels = tuple(channels)
        sizes = [shape[0], *channels]
        kernels = [5] * (len(channels) - 1) + [3]
        self.blocks = nn.ModuleList(
            nn.Conv2d(inside, out, kernel, 2, kernel // 2)
            for (inside, out), kernel in zip(pairwise(sizes), kernels, strict=True)
        )
        side = shape[1]
        for _ in channels:
            side = -(-side // 2)
        self.maps = (channels[-1], side, side)
        self.dense = nn.Linear(channels[-1] * side * side, hidden)
        self.features = hidden

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = F.relu(block(x))
        return F.relu(self.dense(x.flatten(1)))


class StridedDecoder(nn.Module):
    """The mirror image of `StridedEncoder`; sides that are odd are cut to size at the end."""

    def __init__(self, encoder: StridedEncoder, latent: int, outputs: int, side: int) -> None:
        super().__init__()
        self.maps, self.side = encoder.maps, side
        self.dense = nn.ModuleList(
            [nn.Linear(latent, encoder.features), nn.Linear(encoder.features, flat(self.maps))]
        )
        sizes = [*encoder.channels[::-1], outputs]
        self.blocks = nn.ModuleList(
            nn.Conv2d(inside, out, 5, 1, 2) for inside, out in pairwise(sizes)
        )

    def forward(self, z: Tensor) -> Tensor:
        h = z
        for layer in self.dense:
            h = F.relu(layer(h))
        h = h.unflatten(1, self.maps)
        for i, block in enumerate(self.blocks):
            h = block(F.interpolate(h, scale_factor=2.0))
            h = F.relu(h) if i < len(self.blocks) - 1 else h
        return h[..., : self.side, : self.side]


def flat(maps: tuple[int, int, int]) -> int:
    """Numbers in maps of this shape."""
    return maps[0] * maps[1] * maps[2]


def networks(
    shape: Sequence[int], channels: Sequence[int], hidden: int, latent: int, paper: bool
) -> tuple[PaperEncoder | StridedEncoder, PaperDecoder | StridedDecoder]:
    """Encoder and decoder for images of this shape.

    Raises:
        UsageError: The networks do not lead back to this side.
    """
    if paper:
        if shape[1] != PAPER_SIDE or len(channels) != 3:
            raise UsageError(
                f"The paper's networks are for images of {PAPER_SIDE} pixels and have three sizes "
                f"of --model.channels, got {shape[1]} pixels and {tuple(channels)}: give --size "
                f"{PAPER_SIDE}, or --model.architecture strided."
            )
        encoder = PaperEncoder(shape, channels)
        return encoder, PaperDecoder(encoder, latent, shape[0])
    if not channels or 2 ** len(channels) > shape[1]:
        raise UsageError(
            f"--model.channels {tuple(channels)} halve images of {shape[1]} pixels "
            f"{len(channels)} times: give fewer, at least one."
        )
    small = StridedEncoder(shape, channels, hidden)
    return small, StridedDecoder(small, latent, shape[0], shape[1])
