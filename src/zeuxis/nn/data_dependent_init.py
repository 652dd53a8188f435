"""Initial weights: DCGAN's normal weights, and values that layers take from a first batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


def normal_(module: nn.Module, std: float = 0.02) -> None:
    """Draws convolution and dense weights from N(0, std) and sets biases to 0.

    Source: Radford et al., "Unsupervised Representation Learning with Deep Convolutional Generative
    Adversarial Networks", 2016, section 4.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, 0.0, std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


@contextmanager
def data_dependent_init(module: nn.Module) -> Iterator[None]:
    """Lets layers initialize themselves, one after the other, from a batch that runs inside.

    Such layers, `WeightNorm` among them, have an attribute `initializing`. No gradients are kept.
    """
    layers: list[Any] = [part for part in module.modules() if hasattr(part, "initializing")]
    for layer in layers:
        layer.initializing = True
    try:
        with torch.no_grad():
            yield
    finally:
        for layer in layers:
            layer.initializing = False
