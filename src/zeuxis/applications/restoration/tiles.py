"""Images of any size by a model of one size: overlapping tiles, joined by a weighted mean.

Tiles overlap by about half their side and their weights fall towards their edges, so that no seam
shows. An image smaller than a tile is padded: by hidden pixels to inpaint, else by its edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def starts(size: int, side: int, step: int) -> list[int]:
    """First pixels of tiles of this side that cover a length, `step` or less away from each other.

    Example:
        >>> starts(28, 28, 14), starts(50, 28, 14), starts(20, 28, 14)
        ([0], [0, 14, 22], [0])
    """
    last = max(0, size - side)
    return [*range(0, last, step), last]


@dataclass(frozen=True)
class Tiling:
    """How images of one size are covered.

    Arguments:
        height: Of the images.
        width: Of the images.
        side: Height and width of a tile.
        grain: Tiles start at multiples of this many pixels, where the last one can.
    """

    height: int
    width: int
    side: tuple[int, int]
    grain: int = 1

    def corners(self) -> list[tuple[int, int]]:
        """Top and left of each tile."""
        step = [max(self.grain, side // 2 // self.grain * self.grain) for side in self.side]
        return [
            (top, left)
            for top in starts(self.height, self.side[0], step[0])
            for left in starts(self.width, self.side[1], step[1])
        ]

    def cut(self, x: Tensor, pad: str = "replicate", scale: int = 1) -> Tensor:
        """Tiles (tiles * n, ...) of images (n, C, height, width), tile by tile.

        Arguments:
            x: Images; with `scale` smaller by that factor.
            pad: How images smaller than a tile are padded: replicate, or constant (0).
            scale: Divides all sizes.
        """
        below, right = (
            max(0, side - size) // scale
            for side, size in zip(self.side, (self.height, self.width), strict=True)
        )
        if below or right:
            x = F.pad(x.float(), (0, right, 0, below), mode=pad).to(x.dtype)
        height, width = (side // scale for side in self.side)
        return torch.cat(
            [
                x[..., top // scale : top // scale + height, left // scale : left // scale + width]
                for top, left in self.corners()
            ]
        )

    def join(self, tiles: Float[Tensor, "n batch channels height width"]) -> Tensor:
        """Images (n, batch / tiles, C, height, width) of tiles."""
        corners = self.corners()
        ramps = [torch.arange(1, side + 1).float() for side in self.side]
        ramps = [torch.minimum(ramp, ramp.flip(0)) for ramp in ramps]
        weight = ramps[0][:, None] * ramps[1]
        parts = tiles.chunk(len(corners), 1)
        shape = (*parts[0].shape[:3], *map(max, (self.height, self.width), self.side))
        total, weights = torch.zeros(shape), torch.zeros(shape[-2:])
        for (top, left), part in zip(corners, parts, strict=True):
            rows, columns = slice(top, top + self.side[0]), slice(left, left + self.side[1])
            total[..., rows, columns] += weight * part
            weights[rows, columns] += weight
        return (total / weights)[..., : self.height, : self.width]
