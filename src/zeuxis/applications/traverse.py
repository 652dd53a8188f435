r"""Traversals: one latent code varied with everything else fixed, to see what the code means.

A sheet has one row for each of a few random latents z and one column for each value of the code:
image (i, j) is $G(z_i \text{ with } c = c_j)$. A categorical code takes each of its categories. A
continuous code goes evenly over twice the range that it was trained on, from -2 to 2 for a code
uniform on (-1, 1), to show that its meaning extends beyond.

Source: Chen et al., "InfoGAN", 2016, figures 2 to 6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..capabilities import Code, HasCodes
from ..errors import UsageError
from ..visual.grid import arranged, captioned, grid


def find_code(codes: Sequence[Code], name: str) -> Code:
    """The code of this name.

    Raises:
        UsageError: There is none; the error names the codes there are.

    Example:
        >>> find_code([Code("category", "categorical", 0, 10)], "category").size
        10
    """
    for code in codes:
        if code.name == name:
            return code
    raise UsageError(
        f"There is no code '{name}': the codes are {', '.join(code.name for code in codes)}."
    )


def code_range(
    code: Code, low: float | None = None, high: float | None = None
) -> tuple[float, float]:
    """The ends between which a continuous code is varied; by default twice the prior's range.

    Example:
        >>> slant = Code("slant", "continuous", 0)
        >>> code_range(slant), code_range(slant, high=1.0)
        ((-2.0, 2.0), (-2.0, 1.0))
    """
    middle, half = (code.low + code.high) / 2, code.high - code.low
    low = middle - half if low is None else low
    high = middle + half if high is None else high
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(
            f"'{code.name}' cannot go from {low:g} to {high:g}: give a --low below --high."
        )
    return low, high


def code_values(
    code: Code, columns: int, low: float | None = None, high: float | None = None
) -> Float[Tensor, "columns size"]:
    """The values of a code from column to column: every category, or evenly spaced numbers.

    Example:
        >>> code_values(Code("slant", "continuous", 0), 3)[:, 0].tolist()
        [-2.0, 0.0, 2.0]
        >>> code_values(Code("category", "categorical", 0, 2), 9).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    if code.kind == "categorical":
        return torch.eye(code.size)
    if columns < 2:
        raise UsageError(
            f"'{code.name}' is varied over at least 2 columns, got {columns}: give more."
        )
    return torch.linspace(*code_range(code, low, high), columns)[:, None]


def vary(
    z: Float[Tensor, "rows z"], code: Code, values: Float[Tensor, "columns size"]
) -> Float[Tensor, "rows columns z"]:
    """Every z with every value of the code in its place, and all other dimensions unchanged.

    Example:
        >>> slant = Code("slant", "continuous", 1)
        >>> vary(torch.zeros(1, 3), slant, torch.tensor([[-1.0], [1.0]])).tolist()
        [[[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]]]
    """
    if not 0 <= code.start <= z.shape[1] - code.size:
        columns = f"columns {code.start} to {code.start + code.size - 1}"
        raise UsageError(
            f"The code '{code.name}' has its place at {columns} of a z of {z.shape[1]} dimensions: "
            "correct codes() of the model."
        )
    out = z[:, None].repeat(1, len(values), 1)
    out[:, :, code.start : code.start + code.size] = values.to(z)
    return out


def decode_images(model: HasCodes, z: Float[Tensor, "n z"]) -> Tensor:
    """Images (n, C, H, W) of latents; refuses a model that makes no images."""
    x = model.decode(z).cpu()
    if x.ndim != 4:
        raise UsageError(
            "Codes are shown as images (n, channels, height, width), and the model makes "
            f"{tuple(x.shape)}: choose another."
        )
    return x


def sample_prior(model: HasCodes, rows: int, seed: int) -> Float[Tensor, "rows z"]:
    """A random latent for each row."""
    if rows < 1:
        raise UsageError(f"A traversal needs at least 1 row, got {rows}: give more.")
    return model.prior(rows, generator=torch.Generator().manual_seed(seed))


def traversal_sheet(
    model: HasCodes,
    code: Code,
    rows: int = 10,
    columns: int = 10,
    low: float | None = None,
    high: float | None = None,
    seed: int = 0,
) -> Image.Image:
    """One code varied along each row, with everything else fixed within a row.

    Arguments:
        model: A model with latent codes.
        code: The code that is varied.
        rows: Number of random latents.
        columns: Values of a continuous code; a categorical one has a column for each category.
        low: Its value in the first column; by default of a range twice as wide as the prior's.
        high: Its value in the last column.
        seed: Fixes the random latents, the same for every code of a model.
    """
    values = code_values(code, columns, low, high)
    z = vary(sample_prior(model, rows, seed), code, values)
    picture = grid(decode_images(model, z.flatten(0, 1)), len(values), smallest=320)
    if code.kind == "categorical":
        return captioned(picture, f"{code.name}, from 0 to {code.size - 1}")
    return captioned(picture, f"{code.name}, from {values[0, 0]:g} to {values[-1, 0]:g}")


def there_and_back(low: float, high: float, frames: int) -> Float[Tensor, "frames"]:
    r"""Values from low to high and back, $l + (h - l)(1 - \cos 2 \pi t) / 2$: slow at the ends, and
    closed.

    Example:
        >>> there_and_back(0.0, 1.0, 4).round(decimals=4).tolist()
        [0.0, 0.5, 1.0, 0.5]
    """
    t = torch.arange(frames, dtype=torch.float64) / frames
    return (low + (high - low) * (1 - torch.cos(2 * math.pi * t)) / 2).float()


def traversal_film(
    model: HasCodes,
    codes: Sequence[Code],
    samples: int = 16,
    frames: int = 60,
    low: float | None = None,
    high: float | None = None,
    seed: int = 0,
) -> Iterator[Image.Image]:
    """The frames of a film: one panel for each code, which alone changes in the same samples.

    A continuous code goes there and back; a categorical one shows each of its categories for an
    equal time.

    Arguments:
        model: A model with latent codes.
        codes: The codes that are varied, each in its own panel.
        samples: Random latents in a panel.
        frames: Frames of the film, whose last is followed by its first.
        low: One end of a continuous code; by default of a range twice as wide as the prior's.
        high: The other end.
        seed: Fixes the random latents.
    """
    if frames < 2:
        raise UsageError(f"A film needs at least 2 frames, got {frames}: give more.")
    z = sample_prior(model, samples, seed)
    # The fewest columns, at least as many as rows, that leave no cell of the grid empty.
    columns = next(c for c in range(math.isqrt(samples - 1) + 1, samples + 1) if samples % c == 0)
    values = []
    for code in codes:
        if code.kind == "categorical":
            values.append(torch.eye(code.size)[torch.arange(frames) * code.size // frames])
        else:
            values.append(there_and_back(*code_range(code, low, high), frames)[:, None])
    for i in range(frames):
        panels = []
        for code, value in zip(codes, (v[i : i + 1] for v in values), strict=True):
            if code.kind == "categorical":
                text = f"{int(value.argmax())}"
            else:
                text = f"{round(value.item(), 1) + 0.0:+.1f}"  # + 0.0 turns -0.0 into 0.0
            images = decode_images(model, vary(z, code, value)[:, 0])
            panels.append(captioned(grid(images, columns, smallest=200), f"{code.name}  {text}"))
        yield arranged(panels)
