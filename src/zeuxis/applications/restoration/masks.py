"""Masks: from a file, a box, a color, or by the names that benchmarks use. True is visible."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from ...data.images import EncodedFiles, decode
from ...errors import UsageError

NAMES = ("center", "drop-50", "drop-80", "bottom", "left", "quadrant")


def mask_from_file(path: str | Path, height: int, width: int) -> Bool[Tensor, "height width"]:
    """A picture in which white is hidden and black is visible.

    Raises:
        UsageError: There is no such file, or the picture has another size.
    """
    if not Path(path).is_file():
        raise UsageError(f"There is no mask '{path}': give a picture in which white is hidden.")
    files = EncodedFiles([Path(path)])
    gray = torch.from_numpy(decode(files.read(0), files.where(0), channels=1).copy())[0]
    if tuple(gray.shape) != (height, width):
        raise UsageError(
            f"The mask '{path}' has {gray.shape[1]} x {gray.shape[0]} pixels and the image has "
            f"{width} x {height}: give one of the same size."
        )
    return gray < 128


def mask_from_box(
    box: tuple[int, int, int, int], height: int, width: int
) -> Bool[Tensor, "height width"]:
    """Everything but a box, given as top, left, height and width.

    Example:
        >>> mask_from_box((0, 1, 1, 1), 1, 3).tolist()
        [[True, False, True]]
    """
    top, left, tall, wide = box
    if min(top, left) < 0 or min(tall, wide) < 1 or top + tall > height or left + wide > width:
        raise UsageError(
            f"The box {' '.join(map(str, box))} (top, left, height, width) does not lie in the "
            f"image, which is {height} pixels high and {width} wide."
        )
    visible = torch.ones(height, width, dtype=torch.bool)
    visible[top : top + tall, left : left + wide] = False
    return visible


def mask_from_color(
    x: UInt8[Tensor, "channels height width"], color: str
) -> Bool[Tensor, "height width"]:
    """Everything but the pixels of a color, as in #ff00ff.

    Example:
        >>> mask_from_color(torch.tensor([[[255, 7]]], dtype=torch.uint8), "#ffffff").tolist()
        [[False, True]]
    """
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        raise UsageError(f"--mask-color is '{color}', expected six hexadecimal digits as #ff00ff.")
    wanted = torch.tensor(list(bytes.fromhex(color[1:])), dtype=torch.uint8)[:, None, None]
    return ~(x.expand(3, -1, -1) == wanted).all(0)


def mask_by_name(name: str, n: int, height: int, width: int, seed: int) -> Bool[Tensor, "..."]:
    """One of `NAMES`: the central half of each side, pixels at random (of each image others),
    halves, or all but the lower left quadrant hidden.

    Returns:
        (height, width), or (n, 1, height, width) for pixels at random.

    Example:
        >>> mask_by_name("left", 1, 1, 4, 0).tolist()
        [[False, False, True, True]]
    """
    if name not in NAMES:
        raise UsageError(f"There is no mask '{name}': give one of {', '.join(NAMES)}.")
    visible = torch.ones(height, width, dtype=torch.bool)
    if name.startswith("drop"):
        u = torch.rand(n, 1, height, width, generator=torch.Generator().manual_seed(seed))
        return u >= int(name[5:]) / 100
    if name == "center":
        visible[height // 4 : height - height // 4, width // 4 : width - width // 4] = False
    elif name == "bottom":
        visible[height // 2 :] = False
    elif name == "left":
        visible[:, : width // 2] = False
    else:
        visible[: height // 2] = False
        visible[:, width // 2 :] = False
    return visible


def require_some(visible: Bool[Tensor, "height width"]) -> None:
    """Refuses a mask that hides nothing or everything."""
    if visible.all():
        raise UsageError("The mask hides no pixel, so that there is nothing to fill in.")
    if not visible.any():
        raise UsageError(
            "The mask hides every pixel, so that nothing is left to go by: zeuxis sample draws "
            "new images."
        )
