r"""The order-agnostic model's network: residual blocks at several scales, from a masked image.

$$ h \leftarrow h + W_2 * \mathrm{ReLU}(W_1 * \mathrm{ReLU}(h)) $$

with kernels of side 3. Squares of pixels become one place with more channels first, which saves
most of the time of a full-resolution network: one value has a place's channels to tell it from its
neighbors. On the way down each scale has half the side; on the way up the maps of the same scale
are added. There is no normalization: $W_2$ starts small.

Source: the scales and additions are those of Ronneberger et al., "U-Net", 2015. Hoogeboom et al.
2022 use a U-Net with attention, of a hundred times the size.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class Block(nn.Module):
    """A residual block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.second.weight.mul_(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(x))))


def blocks(channels: int, count: int) -> nn.Sequential:
    """Residual blocks one after another."""
    return nn.Sequential(*[Block(channels) for _ in range(count)])


class MaskedInputNetwork(nn.Module):
    """From values and their mask to numbers for every value.

    Arguments:
        colors: Channels of an image; the input has twice as many.
        outputs: Channels that come out.
        channels: Channels of each scale.
        count: Blocks of a scale on either way.
        patch: Side of the squares that are one place.

    Example:
        >>> network = MaskedInputNetwork(1, 3, (8, 16), 1, 2)
        >>> x = torch.zeros(5, 2, 7, 9)
        >>> network(x).shape, network.middle_maps(x).shape
        (torch.Size([5, 3, 7, 9]), torch.Size([5, 16, 2, 3]))
    """

    def __init__(
        self, colors: int, outputs: int, channels: tuple[int, ...], count: int, patch: int
    ) -> None:
        super().__init__()
        self.patch = patch
        self.stem = nn.Conv2d(2 * colors * patch**2, channels[0], 3, padding=1)
        self.down = nn.ModuleList([blocks(c, count) for c in channels[:-1]])
        self.coarser = nn.ModuleList([nn.Conv2d(a, b, 2, 2) for a, b in pairwise(channels)])
        self.middle = blocks(channels[-1], count + 1)
        self.finer = nn.ModuleList([nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairwise(channels)])
        self.up = nn.ModuleList([blocks(c, count) for c in channels[:-1]])
        self.head = nn.Conv2d(channels[0], outputs * patch**2, 1)

    def descend(self, x: Tensor) -> list[Tensor]:
        """Maps of all scales."""
        p = self.patch
        x = F.pad(x, (0, -x.shape[3] % p, 0, -x.shape[2] % p))
        maps = [self.stem(F.pixel_unshuffle(x, p))]
        for down, coarser in zip(self.down, self.coarser, strict=True):
            maps[-1] = down(maps[-1])
            h = maps[-1]
            maps.append(coarser(F.pad(h, (0, h.shape[3] % 2, 0, h.shape[2] % 2))))
        maps[-1] = self.middle(maps[-1])
        return maps

    def middle_maps(
        self, x: Float[Tensor, "n inside h w"]
    ) -> Float[Tensor, "n channels rows columns"]:
        """Maps of the smallest scale."""
        return self.descend(x)[-1]

    def forward(self, x: Float[Tensor, "n inside h w"]) -> Float[Tensor, "n outputs h w"]:
        maps = self.descend(x)
        h = maps.pop()
        for finer, up in zip(reversed(self.finer), reversed(self.up), strict=True):
            skip = maps.pop()
            h = up(skip + finer(h)[:, :, : skip.shape[2], : skip.shape[3]])
        return F.pixel_shuffle(self.head(F.relu(h)), self.patch)[:, :, : x.shape[2], : x.shape[3]]
