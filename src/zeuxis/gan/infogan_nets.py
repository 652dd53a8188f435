"""The networks of InfoGAN: a generator for codes, and a discriminator that shares all layers but
the last with Q.

Each of the paper's experiments has its own pair, written down as a table: digits (`mnist`),
house numbers and photographs of faces (`color`), rendered faces (`faces`) and chairs (`chairs`).

Source: Chen et al., "InfoGAN", 2016, appendix C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.image_conv import ImageConv
from ..nn.norm import BatchNorm
from ..nn.transposed_conv import TransposedConv


@dataclass(frozen=True)
class Layout:
    """A pair of networks as a table.

    Arguments:
        pixels: Side of the images they are for.
        dense: Units of the generator's dense layer before the feature maps, and of the
            discriminator's after them; 0 for none.
        side: Side of the generator's first feature maps.
        up: (channels, stride, normalized) of the generator's maps, the first made by a matrix
            product, the image left out.
        down: (channels, stride) of the discriminator's feature maps, all but the first normalized.
        reader: Units of Q's own layer; 0 where Q shares every layer with D.
        signed: Whether pixels lie in [-1, 1] behind a tanh instead of in [0, 1] behind a sigmoid.
        last: Stride of the layer that makes the image.
    """

    pixels: int
    dense: int
    side: int
    up: tuple[tuple[int, int, bool], ...]
    down: tuple[tuple[int, int], ...]
    reader: int
    signed: bool = False
    last: int = 2


TABLE = {
    "mnist": Layout(28, 1024, 7, ((128, 0, True), (64, 2, True)), ((64, 2), (128, 2)), 128),
    "color": Layout(
        32,
        0,
        2,
        ((448, 0, True), (256, 2, True), (128, 2, False), (64, 2, False)),
        ((64, 2), (128, 2), (256, 2)),
        128,
        signed=True,
    ),
    "faces": Layout(32, 1024, 8, ((128, 0, True), (64, 2, True)), ((64, 2), (128, 2)), 0),
    "chairs": Layout(
        64,
        1024,
        8,
        ((256, 0, True), (256, 1, True), (256, 1, True), (128, 2, True), (64, 2, True)),
        ((64, 2), (128, 2), (256, 2), (256, 1), (256, 1)),
        0,
    ),
}


def convolution(inside: int, out: int, stride: int, up: bool) -> nn.Module:
    """A 4x4 layer that keeps the side (stride 1) or halves or doubles it (stride 2)."""
    if stride == 1:
        return nn.Conv2d(inside, out, 4, 1, "same")
    return TransposedConv(inside, out, 4, 2, 1) if up else ImageConv(inside, out, 4, 2, 1)


def scaled(n: int, by: float) -> int:
    """A number of channels or units, made smaller or larger."""
    return max(2, round(n * by))


def linear(inside: int, out: int, rank: int) -> nn.Linear | nn.Sequential:
    """A dense layer, or two through `rank` numbers where that takes fewer weights."""
    if not rank or rank * (inside + out) >= inside * out:
        return nn.Linear(inside, out)
    return nn.Sequential(nn.Linear(inside, rank, bias=False), nn.Linear(rank, out))


class Generator(nn.Module):
    """Code (N, code) to image (N, C, H, W)."""

    def __init__(self, table: Layout, code: int, channels: int, width: float, rank: int) -> None:
        super().__init__()
        self.table = table
        widths = [scaled(c, width) for c, _, _ in table.up]
        units = [
            code,
            *([scaled(table.dense, width)] if table.dense else []),
            widths[0] * table.side**2,
        ]
        self.dense = nn.ModuleList(linear(a, b, rank) for a, b in pairwise(units))
        self.dense_norm = nn.ModuleList(BatchNorm(n, eps=1e-5) for n in units[1:])
        self.up = nn.ModuleList(
            convolution(a, b, stride, up=True)
            for a, b, (_, stride, _) in zip(widths[:-1], widths[1:], table.up[1:], strict=True)
        )
        self.norm = nn.ModuleList(
            BatchNorm(c, eps=1e-5) if normalized else nn.Identity()
            for c, (_, _, normalized) in zip(widths[1:], table.up[1:], strict=True)
        )
        self.last = convolution(widths[-1], channels, table.last, up=True)

    def forward(self, z: Tensor) -> Tensor:
        h = z
        for layer, norm in zip(self.dense, self.dense_norm, strict=True):
            h = F.relu(norm(layer(h)))
        h = h.unflatten(1, (self.table.side, self.table.side, -1)).permute(
            0, 3, 1, 2
        )  # in the order of channels-last memory
        for layer, norm in zip(self.up, self.norm, strict=True):
            h = F.relu(norm(layer(h)))
        h = self.last(h).float()
        return torch.tanh(h) if self.table.signed else torch.sigmoid(h)


class Discriminator(nn.Module):
    """Image to the logit of being real, and to Q's reading of the code; they share all layers but
    the last.

    Arguments:
        table: The layers.
        shape: Shape of an image.
        outputs: Numbers that Q gives: logits of categorical codes, then mean and log variance of
            each continuous one.
        width: Channels and units relative to the table.
        rank: Numbers through which the dense layer goes; 0 for a whole one.
        slope: Slope of the leaky ReLU below 0.
    """

    def __init__(
        self,
        table: Layout,
        shape: tuple[int, ...],
        outputs: int,
        width: float,
        rank: int,
        slope: float,
    ) -> None:
        super().__init__()
        self.slope = slope
        widths = [shape[0], *(scaled(c, width) for c, _ in table.down)]
        self.conv = nn.ModuleList(
            convolution(a, b, stride, up=False)
            for a, b, (_, stride) in zip(widths[:-1], widths[1:], table.down, strict=True)
        )
        self.conv_norm = nn.ModuleList(
            [nn.Identity(), *(BatchNorm(c, eps=1e-5) for c in widths[2:])]
        )
        side = table.pixels // math.prod(stride for _, stride in table.down)
        units = widths[-1] * side**2
        self.dense: nn.Module = nn.Identity()
        if table.dense:
            own = scaled(table.dense, width)
            self.dense = nn.Sequential(
                linear(units, own, rank), BatchNorm(own, eps=1e-5), nn.LeakyReLU(slope)
            )
            units = own
        self.last = nn.Linear(units, 1)
        self.reader: nn.Module = nn.Identity()
        if table.reader:
            own = scaled(table.reader, width)
            self.reader = nn.Sequential(
                nn.Linear(units, own), BatchNorm(own, eps=1e-5), nn.LeakyReLU(slope)
            )
            units = own
        self.read = nn.Linear(units, outputs)

    def trunk(self, x: Tensor) -> Tensor:
        """The shared layers, (N, units)."""
        h = x
        for layer, norm in zip(self.conv, self.conv_norm, strict=True):
            h = F.leaky_relu(norm(layer(h)), self.slope)
        return self.dense(h.permute(0, 2, 3, 1).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        """The logit of being real, (N,)."""
        return self.last(self.trunk(x)).squeeze(1)

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The logit of being real (N,), and Q's outputs (N, outputs)."""
        h = self.trunk(x)
        return self.last(h).squeeze(1), self.read(self.reader(h)).float()
