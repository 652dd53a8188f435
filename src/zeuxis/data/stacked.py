"""Stacked digits: three digits as red, green and blue, a distribution with 1,000 modes.

Image i of the training part is made of three training digits that a fixed seed draws, and its class
is the number that the digits write. Test images are made of test digits. A model whose samples lack
some of the 1,000 numbers has lost modes, and a classifier of digits can count them.

Source: Metz et al., "Unrolled Generative Adversarial Networks", 2017, section 3.3.1.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from .dataset import Dataset, Spec
from .facts import Facts

NAME = "stacked-mnist"
NOTE = "60,000 images of three digits as red, green and blue: 1,000 classes, 28x28"
SEEDS = {"train": 0x57AC4ED0, "test": 0x57AC4ED1}
CLASSES = 10


class Stack:
    """Stacked digits that are put together when they are read.

    Arguments:
        x: Gray digits, (n, 1, H, W), uint8.
        rows: Which digits are red, green and blue, (N, 3).

    Example:
        >>> x = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1)
        >>> Stack(x, torch.tensor([[3, 0, 1]]))[np.array([0])].ravel().tolist()
        [3, 0, 1]
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, x: Tensor, rows: Tensor) -> None:
        self.x, self.rows = x, rows

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, 3, H, W)."""
        return (len(self.rows), 3, *self.x.shape[2:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.x[self.rows[torch.from_numpy(np.asarray(rows))]][:, :, 0].numpy()


def stacked(
    digits: Dataset, split: str, size: int | None, channels: int | None, limit: int | None
) -> Dataset:
    """As many stacked images as there are digits.

    Arguments:
        digits: The digits, with labels.
        split: "train" or "test".
        size: Must be that of the digits, or None.
        channels: Must be 3 or None.
        limit: Only the first images.

    Raises:
        UsageError: Another size or number of channels is asked for.
    """
    if channels == 1 or size not in (None, digits.spec.shape[1]):
        raise UsageError(
            f"--data {NAME} is in color and has {digits.spec.shape[1]} pixels a side: leave out "
            "--channels and --size."
        )
    assert digits.labels is not None
    generator = torch.Generator().manual_seed(SEEDS[split])
    rows = torch.randint(len(digits), (len(digits), 3), generator=generator)[:limit]
    y = (digits.labels[rows] * torch.tensor([CLASSES**2, CLASSES, 1])).sum(1)
    names = tuple(f"{number:03}" for number in range(CLASSES**3))
    spec = Spec(NAME, (3, *digits.spec.shape[1:]), len(names), names)
    return Dataset(spec, Stack(digits.all(), rows), y, facts=Facts(part=split))
