"""Images of any size as tiles of the size that a model knows, and back.

An image is cut into tiles from the top left, row by row. Tiles that reach beyond its right or lower
edge repeat its last column or row; the decoder cuts them off again. A model of gray images codes a
color image as three gray ones, red, green and blue; a model of color images codes a gray image as a
color image of three equal channels. Both lose what a model of the right kind would know.
"""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from ..errors import UsageError

Shape = tuple[int, ...]


def tile_count(image: Shape, tile: Shape) -> int:
    """How many tiles an image has.

    Example:
        >>> tile_count((3, 33, 64), (3, 32, 32)), tile_count((3, 28, 28), (1, 28, 28))
        (4, 3)
    """
    planes = image[0] if tile[0] == 1 else 1
    return planes * -(-image[1] // tile[1]) * -(-image[2] // tile[2])


def cut(
    x: UInt8[Tensor, "channels height width"], tile: Shape
) -> UInt8[Tensor, "tiles tile_channels tile_height tile_width"]:
    """An image's tiles.

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
    """The image of this shape that has these tiles.

    Example:
        >>> x = torch.arange(30, dtype=torch.uint8).view(3, 2, 5)
        >>> bool((join(cut(x, (1, 4, 4)), (3, 2, 5)) == x).all())
        True
    """
    channels, height, width = tiles.shape[1:]
    down, across = -(-image[1] // height), -(-image[2] // width)
    planes = tiles.view(-1, down, across, channels, height, width).permute(0, 3, 1, 4, 2, 5)
    whole = planes.reshape(
        -1, down * height, across * width
    )  # the planes of a gray model, or the channels of a color one
    return whole[: image[0], : image[1], : image[2]].contiguous()
