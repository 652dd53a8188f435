"""Masks of seen pixels: True where a pixel is given, False where it is to be predicted."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from ..errors import UsageError

Quadrant = Literal["top-left", "top-right", "bottom-left", "bottom-right"]


def quadrants(seen: tuple[Quadrant, ...], height: int, width: int) -> Bool[Tensor, "height width"]:
    """A mask that is True in these quadrants; a middle row or column counts as bottom or right.

    Example:
        >>> quadrants(("bottom-left",), 2, 4).int().tolist()
        [[0, 0, 0, 0], [1, 1, 0, 0]]
    """
    row, column = torch.arange(height)[:, None], torch.arange(width)
    mask = torch.zeros(height, width, dtype=torch.bool)
    for name in seen:
        top, left = name.startswith("top"), name.endswith("left")
        mask |= ((row < height // 2) == top) & ((column < width // 2) == left)
    return mask


def for_images(mask: Tensor, x: Tensor) -> Bool[Tensor, "n channels height width"]:
    """A mask of one image, or of each, in the shape of a batch and on its device.

    Example:
        >>> x = torch.zeros(5, 3, 2, 2)
        >>> for_images(torch.ones(2, 2), x).shape
        torch.Size([5, 3, 2, 2])
    """
    try:
        return mask.to(x.device).bool().expand(x.shape)
    except RuntimeError as error:
        raise UsageError(
            f"The mask has shape {tuple(mask.shape)} and the images {tuple(x.shape)}: give (H, W), "
            "(C, H, W) or one mask an image."
        ) from error


def hidden_come_last(mask: Bool[Tensor, "height width"]) -> bool:
    """Whether no seen pixel follows a hidden one, row by row: an autoregressive model in this order
    then has the exact likelihood of the hidden pixels given the seen ones.

    Example:
        >>> top = quadrants(("top-left", "top-right"), 4, 4)
        >>> hidden_come_last(top), hidden_come_last(~top), hidden_come_last(top.mT)
        (True, False, False)
    """
    flat = mask.flatten()
    return not (flat[1:] & ~flat[:-1]).any()
