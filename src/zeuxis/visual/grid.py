"""Pictures of tensors: grids of images with numbers, captions and titles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..errors import UsageError
from ..files import write

BACKGROUND = 32  # gray between the images of a grid
PAPER, TEXT, ACCENT = (16, 16, 16), (220, 220, 220), (240, 180, 60)
CAPTION = 22  # height of a strip with one line of text (pixels)


def to_image(x: UInt8[Tensor, "channels height width"]) -> Image.Image:
    """One image as a Pillow image, gray or RGB."""
    array = x.cpu().numpy()
    if len(array) == 1:
        return Image.fromarray(array[0])
    if len(array) == 3:
        return Image.fromarray(np.ascontiguousarray(array.transpose(1, 2, 0)))
    raise UsageError(f"A picture has 1 or 3 channels, got {len(array)}: select the ones to draw.")


def enlarged(x: UInt8[Tensor, "channels height width"], side: int) -> Image.Image:
    """One image in RGB, enlarged by a whole factor to a width of at least `side` pixels."""
    image = to_image(x).convert("RGB")
    factor = max(1, -(-side // image.width))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def grid(
    x: UInt8[Tensor, "n channels height width"], columns: int = 0, gap: int = 1, smallest: int = 0
) -> Image.Image:
    """Images side by side, row by row.

    Arguments:
        x: The images.
        columns: Images in a row; 0 makes the grid as square as possible.
        gap: Pixels between images.
        smallest: The grid is enlarged by a whole factor to at least this width (pixels).

    Example:
        >>> import torch
        >>> grid(torch.zeros(6, 1, 8, 8, dtype=torch.uint8), columns=3).size
        (28, 19)
    """
    n, channels, height, width = x.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = -(-n // columns)
    mode = "L" if channels == 1 else "RGB"
    color = BACKGROUND if mode == "L" else (BACKGROUND, BACKGROUND, BACKGROUND)
    size = (columns * (width + gap) + gap, rows * (height + gap) + gap)
    sheet = Image.new(mode, size, color)
    for i, image in enumerate(x):
        left, top = i % columns * (width + gap), i // columns * (height + gap)
        sheet.paste(to_image(image), (gap + left, gap + top))
    factor = max(1, -(-smallest // sheet.width))
    return sheet.resize((sheet.width * factor, sheet.height * factor), Image.Resampling.NEAREST)


def numbered(
    x: UInt8[Tensor, "n channels height width"], columns: int = 8, texts: Sequence[str] = ()
) -> Image.Image:
    """Images in a grid, with a text or else its number below each."""
    images = [enlarged(image, 48) for image in x]
    width, height, strip = images[0].width + 4, images[0].height, 14
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * width, rows * (height + strip)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for i, image in enumerate(images):
        left, top = i % columns * width, i // columns * (height + strip)
        sheet.paste(image, (left + 2, top))
        text = texts[i] if texts else str(i)
        draw.text((left + 4, top + height), text, fill=TEXT, font=font)
    return sheet


def captioned(picture: Image.Image, text: str) -> Image.Image:
    """The picture below a strip with a line of text."""
    font = ImageFont.load_default(13)
    width = max(picture.width, math.ceil(font.getlength(text)) + 12)
    sheet = Image.new("RGB", (width, picture.height + CAPTION), PAPER)
    ImageDraw.Draw(sheet).text((6, 3), text, fill=TEXT, font=font)
    sheet.paste(picture.convert("RGB"), (0, CAPTION))
    return sheet


def arranged(panels: Sequence[Image.Image], gap: int = 8, columns: int = 0) -> Image.Image:
    """Panels side by side, each column and row as large as its largest panel.

    Arguments:
        panels: The pictures.
        gap: Pixels between them.
        columns: Panels in a row; 0 makes the sheet as square as possible.
    """
    columns = columns or math.ceil(math.sqrt(len(panels)))
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    widths = [max(row[i].width for row in rows if i < len(row)) for i in range(columns)]
    heights = [max(panel.height for panel in row) for row in rows]
    width, height = sum(widths) + gap * (columns - 1), sum(heights) + gap * (len(rows) - 1)
    sheet = Image.new("RGB", (width, height), PAPER)
    for i, row in enumerate(rows):
        for j, panel in enumerate(row):
            sheet.paste(panel, (sum(widths[:j]) + gap * j, sum(heights[:i]) + gap * i))
    return sheet


def with_clock(picture: Image.Image, images: int, total: int) -> Image.Image:
    """The picture above a strip that shows the images seen as a number and as a bar."""
    frame = Image.new("RGB", (picture.width, picture.height + CAPTION), PAPER)
    frame.paste(picture.convert("RGB"), (0, 0))
    draw = ImageDraw.Draw(frame)
    done = round(picture.width * min(1.0, images / max(1, total)))
    draw.rectangle((0, picture.height, done, picture.height + 2), fill=ACCENT)
    text, font = f"{images:,} images seen", ImageFont.load_default(12)
    draw.text((6, picture.height + 5), text, fill=TEXT, font=font)
    return frame


def labeled_rows(rows: Mapping[str, Image.Image], scale: int = 2) -> Image.Image:
    """Pictures below each other, each after its name.

    Arguments:
        rows: The pictures by name.
        scale: Factor by which they are enlarged.

    Example:
        >>> labeled_rows({"a": Image.new("L", (40, 10)), "b": Image.new("L", (30, 10))}).size
        (240, 44)
    """
    margin, gap = 160, 2
    sizes = [(scale * row.width, scale * row.height) for row in rows.values()]
    sheet = Image.new(
        "RGB",
        (margin + max(width for width, _ in sizes), sum(height + gap for _, height in sizes)),
        (16, 16, 16),
    )
    draw, top = ImageDraw.Draw(sheet), 0
    for (name, row), size in zip(rows.items(), sizes, strict=True):
        draw.text(
            (6, top + size[1] // 2 - 8), name, fill=(220, 220, 220), font=ImageFont.load_default(14)
        )
        sheet.paste(row.convert("RGB").resize(size, Image.Resampling.NEAREST), (margin, top))
        top += size[1] + gap
    return sheet


def equation(terms: list[Tensor], result: UInt8[Tensor, "9 channels height width"]) -> Image.Image:
    """The figure of latent arithmetic: three columns of examples with their mean below a line, the
    signs between them, and the result with its neighbors.

    Arguments:
        terms: For each of the three terms the examples (k, C, H, W) and, last, the image of their
            mean latent.
        result: The image of the combined latent, then eight neighbors.
    """
    columns = [[enlarged(image, 56) for image in term] for term in terms]
    width, height, gap = columns[0][0].width, columns[0][0].height, 30
    block = grid(result[[1, 2, 3, 4, 0, 5, 6, 7, 8]], 3, smallest=3 * width)
    tallest = max(len(column) for column in columns) * (height + 4) + 10
    size = (3 * width + 3 * gap + block.width + 12, max(tallest, block.height + 12))
    sheet = Image.new("RGB", size, PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(22)
    for i, (column, sign) in enumerate(zip(columns, "-+=", strict=True)):
        left, line = 6 + i * (width + gap), 6 + (len(column) - 1) * (height + 4)
        for j, image in enumerate(column):
            below_line = 6 if j == len(column) - 1 else 0
            sheet.paste(image, (left, 6 + j * (height + 4) + below_line))
        draw.line((left, line + 1, left + width, line + 1), fill=ACCENT)
        draw.text((left + width + 8, sheet.height // 2 - 14), sign, fill=ACCENT, font=font)
    left, top = 6 + 3 * (width + gap), (sheet.height - block.height) // 2
    sheet.paste(block.convert("RGB"), (left, top))
    return sheet


def save(picture: Image.Image, path: str | Path) -> Path:
    """Writes a picture, whole or not at all; the suffix chooses the format."""
    try:
        return write(path, picture.save)
    except ValueError as error:
        raise UsageError(
            f"'{Path(path).name}' names no known picture format: end it in .png, .webp or .jpg."
        ) from error
