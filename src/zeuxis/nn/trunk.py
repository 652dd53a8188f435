"""A network below its head: images to features, with gradients.

What a generative model has learned about images is in the layers below its output. Fine-tuning
puts a new head on them and trains both. `Trunk` gives such layers one form, whichever network they
come from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn


class Trunk(nn.Module):
    """The layers of a network below its head.

    Arguments:
        network: The network; it is shared, not copied.
        features: What is read from it: a function of the network and of scaled images (n, C, H, W)
            that gives (n, features). A function of a module can be copied and saved, a closure
            cannot.
        scale: What a pixel from 0 to 255 is multiplied by.
        offset: What is added then.

    Example:
        >>> network = nn.Linear(4, 3)
        >>> trunk = Trunk(network, lambda layer, x: layer(x.flatten(1)), 1 / 255)
        >>> features = trunk(torch.zeros(2, 1, 2, 2, dtype=torch.uint8))
        >>> features.shape, features.requires_grad
        (torch.Size([2, 3]), True)
    """

    def __init__(
        self,
        network: nn.Module,
        features: Callable[[Any, Tensor], Tensor],
        scale: float,
        offset: float = 0.0,
    ) -> None:
        super().__init__()
        self.network, self.read, self.scale, self.offset = network, features, scale, offset

    def forward(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        weight = next(self.network.parameters())
        h = x.to(weight.device, weight.dtype) * self.scale + self.offset
        return self.read(self.network, h.contiguous(memory_format=torch.channels_last))


@torch.no_grad()
def in_parts(
    trunk: nn.Module, x: UInt8[Tensor, "n channels height width"], size: int = 250
) -> Float[Tensor, "n features"]:
    """Features of many images without gradients, `size` images at a time."""
    return torch.cat([trunk(part).float() for part in x.split(size)])
