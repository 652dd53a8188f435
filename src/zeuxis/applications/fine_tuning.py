r"""Fine-tuning: a network with a new head, trained on a few labeled images.

The head begins as the linear probe of the network's features, and both are trained by the
cross-entropy. A random head would first send large, random gradients into the network and distort
what it has learned. Images are shifted at random in each step, and Adam's step size falls to 0 by
half a cosine.

A network from random weights is trained by the same function, so that the comparison has the same
layers, augmentation, batches and number of steps.

Source: Kumar, Raghunathan, Jones, Ma and Liang, "Fine-Tuning can Distort Pretrained Features and
Underperform Out-of-Distribution", 2022, section 3.4 (linear probing, then fine-tuning).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from ..evaluation.linear_probe import Probe, fit_probe
from ..nn.augmentation import random_shift
from ..nn.norm import BatchNorm, estimate_batch_statistics
from ..nn.trunk import in_parts
from ..noise import Noise
from ..ranges import BaseConfig, BatchSize, Count, Range, Rate


@dataclass(frozen=True)
class FineTuning(BaseConfig, flags="--"):
    """How networks are trained on labeled images."""

    steps: Count = 200
    """Updates of each training."""
    batch: BatchSize = 32
    """Labeled images in an update."""
    shift: Annotated[int, Range(0, 1000)] = 2
    """The largest random shift of an image in each direction (pixels)."""
    lr: Rate = 5e-4
    """Largest step size for the pre-trained network, which does not choose."""
    scratch_lr: tuple[Rate, ...] = (5e-4, 1.5e-3, 5e-3)
    """Largest step sizes for the network from random weights, which takes the best of them on a
    fifth of the labels."""


class Classifier(nn.Module):
    """A trunk with a linear head on its standardized features.

    Arguments:
        trunk: The network; it is shared, not copied.
        probe: Where the head begins.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, trunk: nn.Module, probe: Probe) -> None:
        super().__init__()
        self.trunk = trunk
        self.register_buffer("mean", probe.mean)
        self.register_buffer("std", probe.std)
        self.weight = nn.Parameter(probe.weight.clone())
        self.bias = nn.Parameter(probe.bias.clone())

    def forward(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n classes"]:
        """Logits."""
        return F.linear((self.trunk(x) - self.mean) / self.std, self.weight, self.bias)


def fine_tune(
    trunk: nn.Module,
    probe: Probe,
    x: UInt8[Tensor, "n channels height width"],
    y: Int[Tensor, "n"],
    settings: FineTuning,
    lr: float,
    seed: int,
    unlabeled: UInt8[Tensor, "m channels height width"],
    advance: Callable[[float], None] = lambda steps: None,
) -> Classifier:
    """A classifier from a copy of a trunk.

    Arguments:
        trunk: The network to begin with, in eval mode.
        probe: The linear probe of its features on the same images.
        x: Labeled images.
        y: Their classes.
        settings: Length, batch and augmentation.
        lr: Largest step size.
        seed: Fixes batches and shifts.
        unlabeled: Images from which batch statistics are estimated at the end.
        advance: Called with 1 after each step.

    Example:
        >>> import zeuxis
        >>> data = zeuxis.few_labels(zeuxis.load_data("mnist"), 2, seed=0)
        >>> x, y = data.batch(torch.nonzero(data.labels >= 0)[:, 0])
        >>> trunk = zeuxis.load("mnist/vae").trunk()
        >>> probe = fit_probe(in_parts(trunk, x), y, 10)
        >>> model = fine_tune(trunk, probe, x, y, FineTuning(steps=3), 1e-3, 0, x)
        >>> model(x).shape
        torch.Size([20, 10])
    """
    model = Classifier(copy.deepcopy(trunk), probe)
    model.requires_grad_(True).train()
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    batch, order = min(settings.batch, len(x)), torch.empty(0, dtype=torch.int64)
    for step in range(settings.steps):
        noise = Noise(seed, step, slice(0, batch), batch)
        if len(order) < batch:
            order = torch.cat([order, torch.randperm(len(x), generator=noise.generator)])
        rows, order = order[:batch], order[batch:]
        optimizer.param_groups[0]["lr"] = lr * (1 + math.cos(math.pi * step / settings.steps)) / 2
        loss = F.cross_entropy(model(random_shift(x[rows], settings.shift, noise)).float(), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        advance(1)
    model.requires_grad_(False).eval()
    if any(isinstance(module, BatchNorm) for module in model.modules()):
        with torch.no_grad(), estimate_batch_statistics(model):
            for part in unlabeled.split(250):
                model(part)
    return model


def choose_lr(
    trunk: nn.Module,
    x: UInt8[Tensor, "n channels height width"],
    y: Int[Tensor, "n"],
    classes: int,
    settings: FineTuning,
    rates: Sequence[float],
    seed: int,
    unlabeled: UInt8[Tensor, "m channels height width"],
    advance: Callable[[float], None] = lambda steps: None,
) -> float:
    """The step size with the fewest errors on a fifth of the labels when trained on the others; of
    equal ones that with the least cross-entropy.

    Arguments:
        rates: The step sizes to try; the others are those of `fine_tune`.
    """
    if len(rates) == 1:
        return rates[0]
    held = held_fifth(y)
    probe = fit_probe(in_parts(trunk, x[~held]), y[~held], classes)
    scores = []
    for lr in rates:
        model = fine_tune(trunk, probe, x[~held], y[~held], settings, lr, seed, unlabeled, advance)
        logits = in_parts(model, x[held])
        errors = int((logits.argmax(1) != y[held]).sum())
        scores.append((errors, float(F.cross_entropy(logits, y[held]))))
    return rates[scores.index(min(scores))]


def held_fifth(y: Int[Tensor, "n"]) -> Tensor:
    """Which examples validate: a fifth of each class, its first ones, and at least one.

    Example:
        >>> held_fifth(torch.tensor([0, 0, 0, 1, 1, 1])).tolist()
        [True, False, False, True, False, False]
    """
    held = torch.zeros(len(y), dtype=torch.bool)
    for c in y.unique():
        rows = torch.nonzero(y == c)[:, 0]
        held[rows[: max(1, len(rows) // 5)]] = True
    return held
