"""How a model makes an image in steps: the canvas after each, and the windows that it read from and
wrote to.

A window is a rectangle through the centers of its outer filters. Its line is as wide as the filters
are blurred. Of a sample the canvas is shown, of a reconstruction also the image that is read.

Source: Gregor et al., "DRAW: A Recurrent Neural Network For Image Generation", 2015, figures 1 and
7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from ..capabilities import Steps, Window
from ..visual.grid import ACCENT, arranged, captioned, enlarged

READ, WRITE = (90, 200, 120), (230, 60, 60)  # colors of windows
SMALLEST = 56  # width of an image in a picture (pixels)
BAR = 3  # height of the bar (pixels)


@dataclass(frozen=True)
class View:
    """Images of all steps with the window of each.

    Arguments:
        title: What is shown.
        images: (n, steps, C, H, W).
        window: Where a step reads or writes, None for everywhere.
        color: Of the window's line.
    """

    title: str
    images: UInt8[Tensor, "n steps channels height width"]
    window: Window | None
    color: tuple[int, int, int]

    def picture(self, i: int, step: int) -> Image.Image:
        """Image i at a step."""
        image = self.images[i, step]
        picture = enlarged(image, SMALLEST)
        if self.window is not None and self.window.box[i, step].isfinite().all():
            box, blur = self.window.box[i, step], self.window.blur[i, step].item()
            outline(picture, box, blur, picture.width / image.shape[2], self.color)
        return picture


def outline(
    picture: Image.Image,
    box: Float[Tensor, "4"],
    blur: float,
    factor: float,
    color: tuple[int, int, int],
) -> None:
    """Draws a rectangle on an enlarged image.

    Arguments:
        picture: The image.
        box: Left, top, right and bottom in pixels of the image before it was enlarged.
        blur: Width of the line in the same pixels; it is at least a pixel of the picture.
        factor: By which the image was enlarged.
        color: Of the line.

    Example:
        >>> picture = Image.new("RGB", (40, 40))
        >>> outline(picture, torch.tensor([2.0, 1, 8, 6]), 0.0, 4.0, READ)
        >>> picture.getpixel((8, 10)) == READ, picture.getpixel((7, 10))
        (True, (0, 0, 0))
    """
    far = 3 * max(picture.size)  # nothing is seen of lines farther away
    edges = [round(edge) for edge in (factor * box).nan_to_num().clamp(-far, far).tolist()]
    width = min(max(1, round(factor * blur)), max(picture.size))
    ImageDraw.Draw(picture).rectangle(edges, outline=color, width=width)


def views(steps: Steps, x: UInt8[Tensor, "n channels height width"] | None = None) -> list[View]:
    """What is shown of steps: of the reconstructions of images x, these as well."""
    canvases, window = steps.canvases.cpu(), steps.windows.get("write")
    canvas = View("canvas, and where it is written", canvases, window, WRITE)
    if x is None:
        return [canvas]
    return [looked(x, canvases.shape[1], steps.windows.get("read")), canvas]


def looked(x: UInt8[Tensor, "n channels height width"], steps: int, window: Window | None) -> View:
    """Images, and where they are read in each step."""
    images = x.cpu()[:, None].expand(-1, steps, -1, -1, -1)
    return View("image, and where it is read", images, window, READ)


def steps_film(shown: list[View]) -> Iterator[Image.Image]:
    """The frames of a film: a panel for each view, with all images at the same step, and a bar that
    says how far it is."""
    n, total = shown[0].images.shape[:2]
    for step in range(total):
        panels = []
        for view in shown:  # the text is the same in all frames, and so is their size
            sheet = arranged([view.picture(i, step) for i in range(n)], gap=4)
            panels.append(captioned(sheet, view.title))
        frame = arranged([arranged(panels, columns=len(panels)), Image.new("RGB", (1, BAR))], 4, 1)
        done = round(frame.width * (step + 1) / total)
        ImageDraw.Draw(frame).rectangle((0, frame.height - BAR, done, frame.height), fill=ACCENT)
        yield frame


def steps_sheet(shown: list[View], columns: int = 10) -> Image.Image:
    """A sheet with a column for each of some evenly spaced steps, and below each other the rows of
    an image.

    Arguments:
        shown: What is shown of each image, a row each.
        columns: Steps shown, the first and the last among them.

    Example:
        >>> canvases = torch.zeros(2, 6, 1, 28, 28, dtype=torch.uint8)
        >>> steps_sheet(views(Steps(canvases)), columns=3).size
        (176, 138)
    """
    n, total = shown[0].images.shape[:2]
    columns = min(columns, total)
    chosen = torch.linspace(0, total - 1, columns).round().long() if columns > 1 else [total - 1]
    pictures = [view.picture(i, int(step)) for i in range(n) for view in shown for step in chosen]
    numbers = ", ".join(str(int(step) + 1) for step in chosen)
    return captioned(arranged(pictures, gap=4, columns=columns), f"steps {numbers}")
