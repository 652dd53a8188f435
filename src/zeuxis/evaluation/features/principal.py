"""Principal components of pixels as features, for data without a network and without labels.

They see brightness and coarse shape, so scores on them are weaker than those on a classifier's
features and compare with nothing but each other.
"""

from __future__ import annotations

import hashlib

import torch
from jaxtyping import UInt8
from torch import Tensor

from ...errors import UsageError
from .feature_network import FeatureNetwork

COMPONENTS = 64


def principal_components(
    x: UInt8[Tensor, "n channels height width"], components: int = COMPONENTS
) -> FeatureNetwork:
    """A feature network that projects images on the first principal components of others.

    Arguments:
        x: The images that the components are computed from, usually of the training.
        components: How many; fewer where there are fewer images or pixels.

    Raises:
        UsageError: There are fewer than three images.

    Example:
        >>> x = torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8)
        >>> network = principal_components(x, 5)
        >>> network.name, network.features(x)[0].shape
        ('5 principal components', torch.Size([50, 5]))
    """
    if len(x) < 3:
        raise UsageError(f"Principal components need at least 3 images, got {len(x)}.")
    flat = x.flatten(1).double() / 255
    mean = flat.mean(0)
    axes = torch.linalg.svd(flat - mean, full_matrices=False).Vh
    axes = axes[: min(components, len(x) - 1)].float()
    digest = hashlib.sha256(axes.numpy().tobytes() + mean.float().numpy().tobytes())

    def forward(images: Tensor) -> tuple[Tensor, Tensor]:
        centered = images.flatten(1).float().cpu() / 255 - mean.float()
        return centered @ axes.T, torch.zeros(len(images), 1)

    name = f"{len(axes)} principal components"
    return FeatureNetwork(name, digest.hexdigest()[:12], forward, x.shape[1])
