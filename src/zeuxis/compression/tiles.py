"""Cuts images of any size into tiles of a model's size, and joins tiles to images.

Tiles are cut from the top left, row by row. Tiles beyond the right or lower edge repeat the last
column or row, which the decoder crops. A model of gray images codes a color image as three gray
images; a model of color images codes a gray image with three equal channels. Both need more bits
than a model of the right kind.
"""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from ..errors import UsageError

Shape = tuple[int, ...]


def tile_count(image: Shape, tile: Shape) -> int:
    """The number of tiles of an image.

    Example:
        >>> tile_count((3, 33, 64), (3, 32, 32)), tile_count((3, 28, 28), (1, 28, 28))
        (4, 3)
    """
    planes = image[0] if tile[0] == 1 else 1
    return planes * -(-image[1] // tile[1]) * -(-image[2] // tile[2])


def cut(
    x: UInt8[Tensor, "channels height width"], tile: Shape
) -> UInt8[Tensor, "tiles tile_channels tile_height tile_width"]:
    """Cuts an image into tiles.

    Arguments:
        x: A gray or RGB image.
        tile: Channels, height and width of a tile.

    Example:
        >>> cut(torch.tensor([[[1, 2, 3]]], dtype=torch.uint8), (1, 2, 2)).tolist()
        [[[[1, 2], [1, 2]]], [[[3, 3], [3, 3]]]]
    """
    if len(x) not in (1, 3) or tile[0] not in (1, 3):
        raise UsageError(
            f"Images and models of 1 or 3 channels can be coded, got {len(x)} and {tile[0]}."
        )
    planes = x[:, None] if tile[0] == 1 else x.expand(3, -1, -1)[None]
    rows, columns = (
        -(-size // side) * side for size, side in zip(x.shape[1:], tile[1:], strict=True)
    )
    inside = planes[:, :, torch.arange(rows).clamp(max=x.shape[1] - 1)][
        ..., torch.arange(columns).clamp(max=x.shape[2] - 1)
    ]
    return (
        inside.unflatten(3, (-1, tile[2]))
        .unflatten(2, (-1, tile[1]))
        .permute(0, 2, 4, 1, 3, 5)
        .flatten(0, 2)
        .contiguous()
    )


def join(
    tiles: UInt8[Tensor, "tiles tile_channels tile_height tile_width"], image: Shape
) -> UInt8[Tensor, "channels height width"]:
    """Joins the tiles of an image of this shape.

    Example:
        >>> x = torch.arange(30, dtype=torch.uint8).view(3, 2, 5)
        >>> bool((join(cut(x, (1, 4, 4)), (3, 2, 5)) == x).all())
        True
    """
    channels, height, width = tiles.shape[1:]
    down, across = -(-image[1] // height), -(-image[2] // width)
    planes = tiles.view(-1, down, across, channels, height, width).permute(0, 3, 1, 4, 2, 5)
    # Planes of a gray model, or channels of a color model.
    joined = planes.reshape(-1, down * height, across * width)
    return joined[: image[0], : image[1], : image[2]].contiguous()
