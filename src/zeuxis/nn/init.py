"""How weights start, where several models share it."""

from __future__ import annotations

from torch import nn


def normal_(module: nn.Module, std: float = 0.02) -> None:
    """Draws every convolution and dense weight from N(0, std) and sets biases to 0 (DCGAN, section 4)."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, 0.0, std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
