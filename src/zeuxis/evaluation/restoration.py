r"""How close restored images are to the originals, and how much samples of them differ.

$$ \mathrm{PSNR} = 10 \log_{10} \frac{255^2}{\mathrm{MSE}} $$

in decibels, of each image and then the mean over images; where pixels were hidden, over those
alone, since the others are known. **SSIM** (Wang et al. 2004) compares means, variances and
covariances in Gaussian windows of 11 x 11 pixels (standard deviation 1.5, K1 0.01, K2 0.03, biased
covariances, windows inside the image only). A classifier's **accuracy** on restored images punishes
both blur and a wrong digit. The **feature distance** is that of the classifier's features of the
original and the restored image, and the **spread** of samples the mean one of two samples of an
image.

The mean of many samples has the best PSNR; a sample of the true posterior has twice the squared
error of that mean, 3 dB less (Blau and Michaeli 2018). Report both.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from .features.feature_network import FeatureNetwork

SIDE, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03  # of SSIM


def psnr(
    x: Float[Tensor, "n channels height width"],
    y: Float[Tensor, "n channels height width"],
    counted: Bool[Tensor, "... height width"] | None = None,
) -> Float[Tensor, "n"]:
    """PSNR of each image (dB), infinite for equal ones.

    Arguments:
        x: Original images in pixel units.
        y: Restored images; values outside 0 to 255 are clipped.
        counted: Which pixels count, for all images or (n, 1, height, width).

    Example:
        >>> x = torch.zeros(1, 1, 2, 2)
        >>> psnr(x, x + 25.5).tolist()
        [20.0]
    """
    error = (x - y.clamp(0, 255)).square()
    weight = torch.ones_like(error) if counted is None else counted.expand_as(error).to(error)
    return 10 * torch.log10(
        255**2 / ((error * weight).flatten(1).sum(1) / weight.flatten(1).sum(1))
    )


def pooled(psnr: Float[Tensor, "n"]) -> Float[Tensor, ""]:
    """The PSNR of the mean squared error of all images, which a few bad ones rule.

    Example:
        >>> round(pooled(torch.tensor([10.0, 30.0])).item(), 2)
        12.97
    """
    return -10 * (10 ** (-psnr / 10)).mean().log10()


def ssim(
    x: Float[Tensor, "n channels height width"], y: Float[Tensor, "n channels height width"]
) -> Float[Tensor, "n"]:
    """SSIM of each image, 1 for equal ones; NaN for images smaller than a window.

    Example:
        >>> x = 255 * torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        >>> ssim(x, x).item()
        1.0
    """
    if min(x.shape[2:]) < SIDE:
        return torch.full((len(x),), torch.nan)
    x, y = x.double(), y.clamp(0, 255).double()
    line = torch.exp(-((torch.arange(SIDE, dtype=torch.float64) - SIDE // 2) ** 2) / 2 / SIGMA**2)
    window = (line[:, None] * line / line.sum() ** 2)[None, None]

    def mean(image: Tensor) -> Tensor:
        return F.conv2d(image.flatten(0, 1)[:, None], window)

    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (K1 * 255) ** 2, (K2 * 255) ** 2
    values = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return values.view(len(x), -1).mean(1).float()


def accuracy(
    network: FeatureNetwork, x: Float[Tensor, "n channels height width"], labels: Tensor
) -> float:
    """Share of restored images whose class a classifier still finds."""
    logits = network.features(x.round().clamp(0, 255).byte())[1]
    return (logits.argmax(1) == labels).float().mean().item()


def feature_distance(
    network: FeatureNetwork,
    x: Float[Tensor, "n channels height width"],
    y: Float[Tensor, "n channels height width"],
) -> float:
    """Mean distance of the features of originals and restored images."""
    a, b = (network.features(t.round().clamp(0, 255).byte())[0] for t in (x, y))
    return (a - b).norm(dim=1).mean().item()


def spread(
    network: FeatureNetwork, samples: Float[Tensor, "samples n channels height width"]
) -> float:
    """Mean distance of the features of two samples of an image, over all pairs and images."""
    k, n = samples.shape[:2]
    if k < 2:
        return 0.0
    features = network.features(samples.flatten(0, 1).round().clamp(0, 255).byte())[0]
    features = features.view(k, n, -1).transpose(0, 1)
    return (torch.cdist(features, features).sum((1, 2)) / (k * (k - 1))).mean().item()
