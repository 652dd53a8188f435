"""Two networks for a few labels that do not depend on a model's layers: one that reads its features
as they are, and one that reads the pixels.

A linear probe can read off only what is a weighted sum of features. The sum of two digits is not,
for codes that list objects one by one, and a network with hidden layers finds it. What it is worth
shows beside a convolutional network on the pixels that learns all by itself.

Both are trained by `fine_tune`: the same images, shifts and step sizes.

Source: Eslami et al., "Attend, Infer, Repeat", 2016, section 3.1: sums of digits from codes and
from pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..data.dataset import Spec
from ..errors import UsageError
from ..evaluation.features.classifier import plain
from ..nn.trunk import Trunk

Features = Callable[[UInt8[Tensor, "n *shape"]], Float[Tensor, "n features"]]

HIDDEN = 256  # units of each hidden layer
WIDTH = 16  # maps of the first convolutions
SMALLEST = 8  # side of images that are halved three times (pixels)


class OnFeatures(nn.Module):
    """Two hidden layers on a model's frozen features.

    Arguments:
        features: The model's; its weights stay as they are.
        x: Images over which features are standardized.
        seed: Fixes the first weights.

    Example:
        >>> import zeuxis
        >>> x = zeuxis.load_data("mnist", limit=20).all()
        >>> OnFeatures(zeuxis.load("mnist/vae").features, x, seed=0)(x).shape
        torch.Size([20, 256])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: Features, x: UInt8[Tensor, "n *shape"], seed: int) -> None:
        super().__init__()
        self.features = features
        found = features(x).float()
        self.register_buffer("mean", found.mean(0))
        self.register_buffer("std", found.std(0).clamp(min=1e-2))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Linear(found.shape[1], HIDDEN),
                nn.ReLU(),
                nn.Linear(HIDDEN, HIDDEN),
                nn.ReLU(),
            )

    def forward(self, x: UInt8[Tensor, "n *shape"]) -> Float[Tensor, "n 256"]:
        with torch.no_grad():
            features = self.features(x).float()
        return self.layers((features - self.mean) / self.std)


def convolutional(spec: Spec, seed: int) -> Trunk:
    """Six convolutions with batch normalization, pooled to 3x3, and a hidden layer.

    Arguments:
        spec: The images.
        seed: Fixes the first weights.

    Raises:
        UsageError: There are no images, or they are too small.

    Example:
        >>> trunk = convolutional(Spec("small", (1, 16, 16)), seed=0).eval()
        >>> trunk(torch.zeros(2, 1, 16, 16, dtype=torch.uint8)).shape
        torch.Size([2, 256])
    """
    if len(spec.shape) != 3 or min(spec.shape[1:]) < SMALLEST:
        raise UsageError(
            f"A convolutional network needs images of at least {SMALLEST}x{SMALLEST} pixels, and "
            f"'{spec.name}' has shape {spec.shape}: leave out --networks."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            plain(spec.shape[0], WIDTH),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Linear(9 * 4 * WIDTH, HIDDEN),
            nn.ReLU(),
        )
    return Trunk(network, run, 2 / 255, -1.0)


def run(network: nn.Module, x: Tensor) -> Tensor:
    """What a network says of scaled images."""
    out: Tensor = network(x)
    return out
