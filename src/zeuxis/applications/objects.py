"""Pictures of images with boxes around the objects that a model finds."""

from __future__ import annotations

from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from ..capabilities import Objects
from ..visual.grid import arranged, captioned, enlarged

COLORS = ((240, 90, 70), (90, 200, 110), (90, 140, 250), (240, 190, 60), (200, 110, 230))
SIDE = 150  # least width of an image (pixels)


def with_boxes(
    x: UInt8[Tensor, "channels height width"], boxes: Float[Tensor, "K 4"]
) -> Image.Image:
    """An image, enlarged, with a box in a color of its own around each object.

    Arguments:
        x: The image.
        boxes: Left, top, right and bottom in pixels; those that are not finite are left out.

    Example:
        >>> import torch
        >>> x = torch.zeros(1, 50, 50, dtype=torch.uint8)
        >>> with_boxes(x, torch.tensor([[10.0, 20.0, 30.0, 40.0]])).getpixel((30, 100))
        (240, 90, 70)
    """
    picture = enlarged(x, SIDE)
    factor, draw = picture.width / x.shape[2], ImageDraw.Draw(picture)
    for box, color in zip(boxes[boxes.isfinite().all(1)], COLORS * len(boxes), strict=False):
        left, top, right, bottom = (factor * box).round().int().tolist()
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=color)
    return picture


def objects_sheet(
    x: UInt8[Tensor, "n channels height width"], found: Objects, columns: int = 0
) -> Image.Image:
    """Images with the boxes of their objects, below their numbers.

    Arguments:
        x: The images.
        found: What a model says of them.
        columns: Images in a row; 0 makes the sheet as square as possible.
    """
    numbers, boxes = found.counts.tolist(), found.boxes.cpu()
    return arranged(
        [
            captioned(with_boxes(image, box), counted(number))
            for image, number, box in zip(x.cpu(), numbers, boxes, strict=True)
        ],
        columns=columns,
    )


def counted(number: int) -> str:
    """A number of objects in words.

    Example:
        >>> counted(1), counted(2)
        ('1 object', '2 objects')
    """
    return f"{number} object{'' if number == 1 else 's'}"
