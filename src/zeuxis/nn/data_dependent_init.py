"""How weights start, where several models share it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


def normal_(module: nn.Module, std: float = 0.02) -> None:
    """Draws every convolution and dense weight from N(0, std) and sets biases to 0 (DCGAN, section
    4)."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, 0.0, std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


@contextmanager
def first_pass(module: nn.Module) -> Iterator[None]:
    """One batch run inside sets, layer by layer, what layers take from data at the start (those
    with `initializing`)."""
    layers: list[Any] = [part for part in module.modules() if hasattr(part, "initializing")]
    for layer in layers:
        layer.initializing = True
    try:
        with torch.no_grad():
            yield
    finally:
        for layer in layers:
            layer.initializing = False
