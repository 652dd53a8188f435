r"""A digit somewhere on a large canvas, among pieces of other digits.

Most of the canvas says nothing of the class, so that a network that looks at small windows has to
find the digit first. A canvas of 100x100 pixels shows a digit of 28x28 at a random place and eight
pieces of 8x8 pixels at random places, each from the middle of a random digit. Brightness adds up to
at most 255. The class is that of the digit.

Canvas i shows digit i of MNIST: training canvases show training digits, test canvases test digits,
and so do their pieces. Places and pieces are a function of the part and of i. Nothing is stored:
canvases are drawn when they are read.

Source: Gregor et al., "DRAW: A Recurrent Neural Network For Image Generation", 2015, section 4.1,
for the task; size and number of the pieces are ours.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from ..errors import UsageError
from .dataset import Dataset, Spec
from .faces import random_numbers
from .facts import Facts

NAME = "mnist-cluttered"
NOTE = "a digit at a random place of 100x100 pixels among pieces of others"
SIDE, DIGIT, PIECE = 100, 28, 8  # sides (pixels)
PIECES = 8
MARGIN = 4  # of a digit, which is empty (pixels)


def drawn(u: Float[Tensor, "*n"], values: int) -> Tensor:
    """Whole numbers below `values` from numbers uniform in [-1, 1)."""
    return ((u + 1) / 2 * values).long()


def add(
    canvas: Float[Tensor, "n side side"], x: Tensor, top: Tensor, left: Tensor
) -> Float[Tensor, "n side side"]:
    """Adds a square x, (n, k, k), to each canvas at a place of its own.

    Example:
        >>> at = torch.tensor([1])
        >>> add(torch.zeros(1, 3, 3), torch.ones(1, 2, 2), at, 0 * at).tolist()
        [[[0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]]
    """
    line = torch.arange(x.shape[-1])
    rows, columns = top[:, None] + line, left[:, None] + line
    canvas[torch.arange(len(x))[:, None, None], rows[:, :, None], columns[:, None, :]] += x
    return canvas


class Cluttered:
    """Canvases as a `LazyArray`.

    Arguments:
        digits: Those that are shown, uint8 (M, 1, 28, 28), one a canvas.
        seed: Fixes places and pieces.
        side: Side of the images (pixels); the whole canvas is drawn in this size.
    """

    def __init__(self, digits: UInt8[Tensor, "M 1 28 28"], seed: int, side: int) -> None:
        self.digits, self.seed = digits, seed
        self.shape, self.dtype = (len(digits), 1, side, side), np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        index = np.asarray(rows).reshape(-1)
        u = random_numbers(index, self.seed, 2 + 5 * PIECES)
        canvas = torch.zeros(len(index), SIDE, SIDE)
        place = drawn(u[:, :2], SIDE - DIGIT + 1)
        add(canvas, self.digits[torch.from_numpy(index), 0].float(), place[:, 0], place[:, 1])
        within, line = DIGIT - 2 * MARGIN - PIECE + 1, torch.arange(PIECE)
        for piece in u[:, 2:].unflatten(1, (PIECES, 5)).unbind(1):
            source, which = MARGIN + drawn(piece[:, 1:3], within), drawn(piece[:, 0], len(self))
            at = source[:, :, None] + line  # (n, 2, 8)
            x = self.digits[which[:, None, None], 0, at[:, 0, :, None], at[:, 1, None, :]].float()
            place = drawn(piece[:, 3:], SIDE - PIECE + 1)
            add(canvas, x, place[:, 0], place[:, 1])
        x = canvas.clamp(max=255)[:, None]
        if self.shape[-1] != SIDE:
            x = F.interpolate(x, self.shape[2:], mode="area")
        return x.round().byte().numpy()


def cluttered(
    digits: Dataset, size: int | None, channels: int | None, limit: int | None
) -> Dataset:
    """The built-in set: a canvas for each digit.

    Arguments:
        digits: The training or test digits of MNIST, with labels.
        size: Side in which the canvases are drawn (pixels), None for 100.
        channels: Must not be 3.
        limit: Only the first canvases. Pieces are then taken from all digits still.

    Raises:
        UsageError: Colors were asked for.

    Example:
        >>> from zeuxis.data import load_data
        >>> data = cluttered(load_data("mnist", split="test"), None, None, None)
        >>> x, y = data.batch(torch.arange(4))
        >>> x.shape, y.tolist()
        (torch.Size([4, 1, 100, 100]), [7, 2, 1, 0])
    """
    if channels == 3:
        raise UsageError(f"--data {NAME} is gray: leave out --channels 3.")
    x, side = digits.all(), size or SIDE
    seed = 1 if digits.facts.part == "test" else 0
    spec = Spec(NAME, (1, side, side), digits.spec.classes, digits.spec.class_names)
    facts = Facts(part=digits.facts.part, seed=seed)
    data = Dataset(spec, Cluttered(x, seed, side), digits.labels, facts=facts)
    return data if limit is None else data.take(torch.arange(min(limit, len(data))))
