r"""Traversals: one code varied and everything else fixed, the picture by which one sees what a code
means.

A sheet has one row for each of a few random codes z and one column for each value of the code
looked at: image (i, j) is $G(z_i \text{ with } c = c_j)$. A categorical code takes each of its
categories; a continuous one goes evenly over twice the range that it was trained on, from -2 to 2
for a code uniform on (-1, 1), to show that its meaning goes on beyond.

Source: Chen et al., "InfoGAN", 2016, figures 2 to 6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..capabilities import Code, HasCodes
from ..errors import UsageError
from ..visual.grid import grid

STRIP = 22


def find(codes: Sequence[Code], name: str) -> Code:
    """The code of this name; a `UsageError` names the ones there are.

    Example:
        >>> find([Code("category", "categorical", 0, 10)], "category").size
        10
    """
    for code in codes:
        if code.name == name:
            return code
    raise UsageError(
        f"There is no code '{name}': the codes are {', '.join(code.name for code in codes)}."
    )


def span(code: Code, low: float | None = None, high: float | None = None) -> tuple[float, float]:
    """The ends between which a continuous code is varied: those given, else of a range twice as
    wide as the prior's.

    Example:
        >>> span(Code("slant", "continuous", 0)), span(Code("slant", "continuous", 0), high=1.0)
        ((-2.0, 2.0), (-2.0, 1.0))
    """
    middle, half = (code.low + code.high) / 2, code.high - code.low
    ends = middle - half if low is None else low, middle + half if high is None else high
    if not (math.isfinite(ends[0]) and math.isfinite(ends[1]) and ends[0] < ends[1]):
        raise UsageError(
            f"'{code.name}' cannot go from {ends[0]:g} to {ends[1]:g}: give a --low below --high."
        )
    return ends


def steps(
    code: Code, columns: int, low: float | None = None, high: float | None = None
) -> Float[Tensor, "columns size"]:
    """The values that a code takes from column to column: every category, or evenly spaced numbers.

    Example:
        >>> steps(Code("slant", "continuous", 0), 3)[:, 0].tolist()
        [-2.0, 0.0, 2.0]
        >>> steps(Code("category", "categorical", 0, 2), 9).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    if code.kind == "categorical":
        return torch.eye(code.size)
    if columns < 2:
        raise UsageError(
            f"'{code.name}' is varied over at least 2 columns, got {columns}: give more."
        )
    return torch.linspace(*span(code, low, high), columns)[:, None]


def vary(
    z: Float[Tensor, "rows z"], code: Code, values: Float[Tensor, "columns size"]
) -> Float[Tensor, "rows columns z"]:
    """Every z with every value of the code in its place, all other numbers as they were.

    Example:
        >>> vary(torch.zeros(1, 3), Code("slant", "continuous", 1), torch.tensor([[-1.0], [1.0]])).tolist()
        [[[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]]]
    """
    if not 0 <= code.start <= z.shape[1] - code.size:
        place = f"columns {code.start} to {code.start + code.size - 1}"
        raise UsageError(
            f"The code '{code.name}' has its place at {place} of a z of {z.shape[1]} "
            "numbers: correct codes() of the model."
        )
    out = z[:, None].repeat(1, len(values), 1)
    out[:, :, code.start : code.start + code.size] = values.to(z)
    return out


def drawn(model: HasCodes, z: Float[Tensor, "n z"]) -> Tensor:
    """Images (n, C, H, W) of codes; a sentence for a model that makes no images."""
    x = model.decode(z).cpu()
    if x.ndim != 4:
        raise UsageError(
            "Codes are shown as images (n, channels, height, width), and the model "
            f"makes {tuple(x.shape)}: choose another."
        )
    return x


def random_rows(model: HasCodes, rows: int, seed: int) -> Float[Tensor, "rows z"]:
    """The random codes that the rows begin with."""
    if rows < 1:
        raise UsageError(f"A traversal needs at least 1 row, got {rows}: give more.")
    return model.prior(rows, generator=torch.Generator().manual_seed(seed))


def captioned(picture: Image.Image, text: str) -> Image.Image:
    """The picture under a strip with a line of text."""
    font = ImageFont.load_default(13)
    sheet = Image.new(
        "RGB",
        (max(picture.width, math.ceil(font.getlength(text)) + 12), picture.height + STRIP),
        (16, 16, 16),
    )
    ImageDraw.Draw(sheet).text((6, 3), text, fill=(220, 220, 220), font=font)
    sheet.paste(picture.convert("RGB"), (0, STRIP))
    return sheet


def arranged(panels: Sequence[Image.Image], gap: int = 8, columns: int = 0) -> Image.Image:
    """Panels side by side in rows, as square as can be without `columns`; each column and row as
    wide and high as its largest panel."""
    columns = columns or math.ceil(math.sqrt(len(panels)))
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    widths = [max(row[i].width for row in rows if i < len(row)) for i in range(columns)]
    heights = [max(panel.height for panel in row) for row in rows]
    sheet = Image.new(
        "RGB",
        (sum(widths) + gap * (columns - 1), sum(heights) + gap * (len(rows) - 1)),
        (16, 16, 16),
    )
    for i, row in enumerate(rows):
        for j, panel in enumerate(row):
            sheet.paste(panel, (sum(widths[:j]) + gap * j, sum(heights[:i]) + gap * i))
    return sheet


def sheet(
    model: HasCodes,
    code: Code,
    rows: int = 10,
    columns: int = 10,
    low: float | None = None,
    high: float | None = None,
    seed: int = 0,
) -> Image.Image:
    """One code varied along each row, everything else fixed within a row.

    Arguments:
        model: Anything that names its codes.
        code: The one that is varied.
        rows: Random codes.
        columns: Values of a continuous code; a categorical one has a column for each category.
        low: Its value in the first column; by default of a range twice as wide as the prior's.
        high: Its value in the last.
        seed: Fixes the random codes, the same for every code of a model.
    """
    values = steps(code, columns, low, high)
    images = drawn(model, vary(random_rows(model, rows, seed), code, values).flatten(0, 1))
    ends = (
        f"0 to {code.size - 1}"
        if code.kind == "categorical"
        else f"{values[0, 0]:g} to {values[-1, 0]:g}"
    )
    return captioned(grid(images, len(values), smallest=320), f"{code.name}, from {ends}")


def there_and_back(low: float, high: float, frames: int) -> Float[Tensor, "frames"]:
    r"""Values of one sweep from low to high and back, $l + (h - l)(1 - \cos 2 \pi t) / 2$: slow at
    the ends, and closed.

    Example:
        >>> there_and_back(0.0, 1.0, 4).round(decimals=4).tolist()
        [0.0, 0.5, 1.0, 0.5]
    """
    t = torch.arange(frames, dtype=torch.float64) / frames
    return (low + (high - low) * (1 - torch.cos(2 * math.pi * t)) / 2).float()


def sweep(
    model: HasCodes,
    codes: Sequence[Code],
    samples: int = 16,
    frames: int = 60,
    low: float | None = None,
    high: float | None = None,
    seed: int = 0,
) -> Iterator[Image.Image]:
    """The frames of a film: one panel for each code, in which it alone changes in the same random
    samples.

    A continuous code goes there and back; a categorical one shows each of its categories for an
    equal time.

    Arguments:
        model: Anything that names its codes.
        codes: The ones that are varied, each in its own panel.
        samples: Random codes in a panel.
        frames: Frames of the film, which comes round.
        low: One end of a continuous code; by default of a range twice as wide as the prior's.
        high: The other.
        seed: Fixes the random codes.
    """
    if frames < 2:
        raise UsageError(f"A film needs at least 2 frames, got {frames}: give more.")
    z, ways = random_rows(model, samples, seed), []
    wide = next(
        c for c in range(math.isqrt(samples - 1) + 1, samples + 1) if samples % c == 0
    )  # no place left empty
    for code in codes:
        if code.kind == "categorical":
            ways.append(torch.eye(code.size)[torch.arange(frames) * code.size // frames])
        else:
            ways.append(there_and_back(*span(code, low, high), frames)[:, None])
    for i in range(frames):
        panels = []
        for code, way in zip(codes, ways, strict=True):
            value = (
                f"{int(way[i].argmax())}"
                if code.kind == "categorical"
                else f"{round(way[i, 0].item(), 1) + 0.0:+.1f}"
            )
            images = drawn(model, vary(z, code, way[i : i + 1])[:, 0])
            panels.append(captioned(grid(images, wide, smallest=200), f"{code.name}  {value}"))
        yield arranged(panels)
