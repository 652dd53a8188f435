"""Pictures of tensors: grids of images, rows of a walk, and the clock under a frame."""

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


def to_image(x: UInt8[Tensor, "channels height width"]) -> Image.Image:
    """One image as a Pillow image, gray or RGB."""
    array = x.cpu().numpy()
    if len(array) == 1:
        return Image.fromarray(array[0])
    if len(array) == 3:
        return Image.fromarray(np.ascontiguousarray(array.transpose(1, 2, 0)))
    raise UsageError(f"A picture has 1 or 3 channels, got {len(array)}: select the ones to draw.")


def grid(
    x: UInt8[Tensor, "n channels height width"], columns: int = 0, gap: int = 1, smallest: int = 0
) -> Image.Image:
    """Images side by side, row by row.

    Arguments:
        x: The images.
        columns: Images a row; 0 makes the grid as square as it can be.
        gap: Pixels between images.
        smallest: The grid is enlarged by a whole factor until its width is at least this (pixels).

    Example:
        >>> import torch
        >>> grid(torch.zeros(6, 1, 8, 8, dtype=torch.uint8), columns=3).size
        (28, 19)
    """
    n, channels, height, width = x.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = -(-n // columns)
    mode = "L" if channels == 1 else "RGB"
    sheet = Image.new(
        mode,
        (columns * (width + gap) + gap, rows * (height + gap) + gap),
        32 if mode == "L" else (32, 32, 32),
    )
    for i, one in enumerate(x):
        sheet.paste(
            to_image(one), (gap + i % columns * (width + gap), gap + i // columns * (height + gap))
        )
    factor = max(1, -(-smallest // sheet.width))
    return sheet.resize((sheet.width * factor, sheet.height * factor), Image.Resampling.NEAREST)


def with_clock(picture: Image.Image, images: int, total: int) -> Image.Image:
    """The picture over a strip that shows the images seen as a number and as a bar."""
    strip = 22
    frame = Image.new("RGB", (picture.width, picture.height + strip), (16, 16, 16))
    frame.paste(picture.convert("RGB"), (0, 0))
    draw = ImageDraw.Draw(frame)
    done = round(picture.width * min(1.0, images / max(1, total)))
    draw.rectangle((0, picture.height, done, picture.height + 2), fill=(240, 180, 60))
    draw.text(
        (6, picture.height + 5),
        f"{images:,} images seen",
        fill=(220, 220, 220),
        font=ImageFont.load_default(12),
    )
    return frame


def save(picture: Image.Image, path: str | Path) -> Path:
    """Writes a picture, whole or not at all; the suffix chooses the format."""
    try:
        return write(path, picture.save)
    except ValueError as error:
        raise UsageError(
            f"'{Path(path).name}' names no known picture format: end it in .png, .webp or .jpg."
        ) from error


def enlarged(x: UInt8[Tensor, "channels height width"], side: int) -> Image.Image:
    """One image in RGB, enlarged by the whole factor that brings it nearest to `side` pixels from
    above."""
    one = to_image(x).convert("RGB")
    factor = max(1, -(-side // one.width))
    return one.resize((one.width * factor, one.height * factor), Image.Resampling.NEAREST)


def numbered(
    x: UInt8[Tensor, "n channels height width"], columns: int = 8, texts: Sequence[str] = ()
) -> Image.Image:
    """Images in a grid, each with its number beneath, or with a text of its own."""
    parts = [enlarged(one, 48) for one in x]
    width, height, strip = parts[0].width + 4, parts[0].height, 14
    sheet = Image.new(
        "RGB", (columns * width, -(-len(parts) // columns) * (height + strip)), (16, 16, 16)
    )
    draw = ImageDraw.Draw(sheet)
    for i, part in enumerate(parts):
        left, top = i % columns * width, i // columns * (height + strip)
        sheet.paste(part, (left + 2, top))
        draw.text(
            (left + 4, top + height),
            texts[i] if texts else str(i),
            fill=(220, 220, 220),
            font=ImageFont.load_default(11),
        )
    return sheet


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
    """Three columns of examples with their mean beneath a line, the signs between, and the result
    with its neighbors.

    Arguments:
        terms: For each of the three terms the examples (k, C, H, W) and, last, the image of their
            mean code.
        result: The image of the combined code, then eight neighbors.
    """
    columns = [[enlarged(one, 56) for one in term] for term in terms]
    width, height, gap = columns[0][0].width, columns[0][0].height, 30
    tall = max(len(c) for c in columns) * (height + 4) + 10
    block = grid(result[[1, 2, 3, 4, 0, 5, 6, 7, 8]], 3, smallest=3 * width)
    sheet = Image.new(
        "RGB", (3 * width + 3 * gap + block.width + 12, max(tall, block.height + 12)), (16, 16, 16)
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(22)
    for i, (column, sign) in enumerate(zip(columns, "-+=", strict=True)):
        left, line = 6 + i * (width + gap), 6 + (len(column) - 1) * (height + 4)
        for j, one in enumerate(column):
            sheet.paste(one, (left, 6 + j * (height + 4) + (6 if j == len(column) - 1 else 0)))
        draw.line((left, line + 1, left + width, line + 1), fill=(240, 180, 60))
        draw.text((left + width + 8, sheet.height // 2 - 14), sign, fill=(240, 180, 60), font=font)
    sheet.paste(block.convert("RGB"), (6 + 3 * (width + gap), (sheet.height - block.height) // 2))
    return sheet
