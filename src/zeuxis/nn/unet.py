"""A U-Net: residual blocks at falling and rising resolution, each of them scaled and shifted by a
time, which may be any number in [0, 1].

Pixels are unshuffled first: patches of 2x2 pixels become channels, so that the widest layers work
at half the side. The last convolution of every branch starts near zero, so that each block starts
as the identity, and the whole network as zero.

Sources: Ronneberger, Fischer and Brox, 2015 (the U); Ho, Jain and Abbeel, 2020 (residual blocks
with group normalization, sinusoidal times, attention at coarse resolutions); Dhariwal and Nichol,
2021 (scale and shift).
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

FREQUENCIES = 32


def time_features(t: Float[Tensor, "n"]) -> Float[Tensor, "n 64"]:
    """Sines and cosines of times in [0, 1], of wavelengths from 1000 down to 1/10 of the unit.

    Example:
        >>> time_features(torch.tensor([0.0, 0.5])).shape
        torch.Size([2, 64])
    """
    powers = torch.linspace(-3, 1, FREQUENCIES, device=t.device, dtype=t.dtype)
    angles = 2 * math.pi * t[:, None] * 10**powers
    return torch.cat([angles.sin(), angles.cos()], 1)


class ResBlock(nn.Module):
    """Two convolutions beside an identity; the embedding scales and shifts between them."""

    def __init__(self, inputs: int, outputs: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.conv1 = group_norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2, self.conv2 = group_norm(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.dropout = dropout
        near_zero(self.conv2)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)
        h = F.silu(torch.addcmul(shift, self.norm2(h), 1 + scale))
        h = F.dropout(h, self.dropout, self.training) if self.dropout else h
        return self.skip(x) + self.conv2(h)


class Attention(nn.Module):
    """Self-attention over all positions, with an identity beside it."""

    def __init__(self, channels: int, head_dim: int = 64) -> None:
        super().__init__()
        self.heads = max(1, channels // head_dim)
        self.norm, self.qkv = group_norm(channels), nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        near_zero(self.out)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, 3, self.heads, c // self.heads, h * w)
        q, k, v = qkv.transpose(3, 4).unbind(1)
        out = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(out.transpose(2, 3).reshape(n, c, h, w))


class UNet(nn.Module):
    """From images, a time and a class to other images of the same size.

    Arguments:
        inputs: Channels of what goes in.
        outputs: Channels of what comes out.
        channels: Channels of each level; the side halves from one to the next.
        blocks: Residual blocks of a level, on the way down and on the way up.
        patch: Side of the patches that become channels.
        attention: Levels that attend, counted from 0 at the finest.
        dropout: Dropout rate in residual blocks.
        classes: Classes to condition on, 0 for none; class `classes` stands for none.

    Example:
        >>> net = UNet(1, 3, (8, 16), blocks=1, patch=2)
        >>> net(torch.zeros(2, 1, 28, 28), torch.tensor([0.1, 0.9])).shape
        torch.Size([2, 3, 28, 28])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        channels: tuple[int, ...],
        blocks: int,
        patch: int,
        attention: tuple[int, ...] = (),
        dropout: float = 0.0,
        classes: int = 0,
    ) -> None:
        super().__init__()
        embedding, self.patch = 4 * channels[0], patch
        self.time = nn.Sequential(
            nn.Linear(2 * FREQUENCIES, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.label = nn.Embedding(classes + 1, embedding) if classes else None
        self.first = nn.Conv2d(inputs * patch**2, channels[0], 3, padding=1)

        def stage(widths: list[int], width: int, level: int) -> nn.ModuleList:
            return nn.ModuleList(
                nn.ModuleList(
                    [ResBlock(w, width, embedding, dropout)]
                    + [Attention(width)] * (level in attention)
                )
                for w in widths
            )

        bottom = len(channels) - 1
        fine = list(enumerate(channels))[:-1]
        self.down = nn.ModuleList(stage([c] * blocks, c, i) for i, c in fine)
        self.coarser = nn.ModuleList(
            nn.Conv2d(c, channels[i + 1], 3, stride=2, padding=1) for i, c in fine
        )
        self.middle = stage([channels[-1]] * blocks, channels[-1], bottom)
        self.finer = nn.ModuleList(
            nn.Conv2d(channels[i + 1], c, 3, padding=1) for i, c in reversed(fine)
        )
        self.up = nn.ModuleList(stage([2 * c] * blocks, c, i) for i, c in reversed(fine))
        self.norm = group_norm(channels[0])
        self.last = nn.Conv2d(channels[0], outputs * patch**2, 3, padding=1)
        near_zero(self.last)

    def embed(self, t: Tensor, y: Tensor | None) -> Tensor:
        """Time and class, as every block takes them."""
        e = self.time(time_features(t))
        if self.label is not None:
            none = torch.full_like(t, self.label.num_embeddings - 1, dtype=torch.long)
            e = e + self.label(none if y is None else torch.where(y < 0, none, y))
        return F.silu(e)

    def encode(self, x: Tensor, e: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Activations of the middle, and of every block on the way down."""
        h = self.first(F.pixel_unshuffle(x, self.patch) if self.patch > 1 else x)
        skips = []
        for stage, coarser in zip(self.down, self.coarser, strict=True):
            for block in stage:  # type: ignore[attr-defined]
                h = run(block, h, e)
                skips.append(h)
            h = coarser(h)
        for block in self.middle:
            h = run(block, h, e)
        return h, skips

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        e = self.embed(t, y)
        h, skips = self.encode(x, e)
        for stage, finer in zip(self.up, self.finer, strict=True):
            h = finer(F.interpolate(h, scale_factor=2.0))
            for block in stage:  # type: ignore[attr-defined]
                h = run(block, torch.cat([h, skips.pop()], 1), e)
        h = self.last(F.silu(self.norm(h)))
        return F.pixel_shuffle(h, self.patch) if self.patch > 1 else h


def run(block: Any, h: Tensor, e: Tensor) -> Tensor:
    """A residual block, and the attention after it if there is one."""
    h = block[0](h, e)
    return block[1](h) if len(block) > 1 else h


@torch.no_grad()
def near_zero(layer: nn.Conv2d) -> None:
    """Starts a layer at a hundredth of its usual weights."""
    layer.weight.mul_(0.01)
    if layer.bias is not None:
        layer.bias.zero_()


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalization with at most 8 groups of at least 4 channels: a group of one channel
    would lose what the whole image has in common.

    Example:
        >>> [group_norm(c).num_groups for c in (3, 8, 18, 64)]
        [1, 2, 2, 8]
    """
    return nn.GroupNorm(math.gcd(8, channels, max(1, channels // 4)), channels)
