r"""Memorization: whether samples are nearer to training images than they should be.

For each sample, the distances to its nearest training image and to its nearest test image are
compared, among as many of both. Test images, which the model has not seen, show what distances are
usual:

- **distance ratio**: the median distance to the training images over that to the test images. A
  model that generalizes has about 1; one that copies has less.
- **copies**: the share of samples nearer to a training image than 99 % of test images are. Without
  copying it is about 1 % for samples as far from the training images as test images.

Source: the nearest-neighbor control of many papers; the calibration by test images follows Meehan,
Chaudhuri and Dasgupta, "A Non-Parametric Test to Detect Data-Copying in Generative Models", 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import UsageError
from .intervals import Interval, share_interval
from .metrics import near_zero, require_alike, squared_distances

CLOSE = 0.01  # share of test images that counts as close to the training images


@dataclass(frozen=True)
class Memorization:
    """How near samples are to training images.

    Arguments:
        ratio: Median distance to the nearest training image over that to the nearest test image.
        copies: Share of samples nearer to a training image than 99 % of test images.
        compared: Training images compared with for `ratio`, as many as there are test images.
        nearest: The nearest of all training images, for each sample, (n,).
        distance: Its distance, (n,).
    """

    ratio: float
    copies: Interval
    compared: int
    nearest: Tensor
    distance: Tensor


def memorization(
    fake: Float[Tensor, "n d"],
    train: Float[Tensor, "m d"],
    test: Float[Tensor, "k d"],
    seed: int = 0,
) -> Memorization:
    """Compares distances of samples to training and to test images.

    Arguments:
        fake: Features of samples, or the samples as vectors.
        train: Features of the images that the model was trained on.
        test: Features of images that it has not seen.
        seed: Fixes which training images stand against the test images.

    Raises:
        UsageError: A set is empty, or features have different lengths.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> train, test, new = torch.randn(3, 400, 8, generator=generator)
        >>> copied = memorization(train[:100] + 0.01, train, test)
        >>> fresh = memorization(new, train, test)
        >>> copied.copies.value, copied.ratio < 0.1, 0.9 < fresh.ratio < 1.1
        (1.0, True, True)
    """
    require_alike(fake, train)
    require_alike(fake, test)
    if not (len(fake) and len(train) and len(test)):
        raise UsageError(
            f"Memorization compares samples, training and test images, got {len(fake)}, "
            f"{len(train)} and {len(test)}: give at least one of each."
        )
    train, test, fake = near_zero(train, test, fake)
    count = min(len(train), len(test))
    generator = torch.Generator().manual_seed(seed)
    some = train[torch.randperm(len(train), generator=generator)[:count]]
    other = test[torch.randperm(len(test), generator=generator)[:count]]
    distance, nearest = nearest_of(fake, train)
    usual = nearest_of(test, train)[0].quantile(CLOSE)
    to_some, to_other = nearest_of(fake, some)[0], nearest_of(fake, other)[0]
    return Memorization(
        (to_some.median() / to_other.median().clamp(min=1e-12)).item(),
        share_interval(int((distance < usual).sum()), len(fake)),
        count,
        nearest,
        distance,
    )


def nearest_of(
    x: Float[Tensor, "n d"], others: Float[Tensor, "m d"], block: int = 500
) -> tuple[Float[Tensor, "n"], Int[Tensor, "n"]]:
    """Distance and position of the nearest other point, for each point.

    Example:
        >>> distance, at = nearest_of(torch.tensor([[0.0], [5.0]]), torch.tensor([[4.0], [1.0]]))
        >>> distance.tolist(), at.tolist()
        ([1.0, 1.0], [1, 0])
    """
    found = [squared_distances(part, others).min(1) for part in x.split(block)]
    return torch.cat([f.values for f in found]).sqrt(), torch.cat([f.indices for f in found])
