r"""Sharpness of images, as a ratio to real ones, with blurred and noisy real images as rulers.

For the luminance x in [0, 1] of an image, four measures are averaged over images:

- **gradient**: $\mathrm{mean}\, |\nabla x|$ by Sobel's filters, in brightness per pixel;
- **Laplacian**: $\mathrm{var}(\nabla^2 x)$ with four neighbors, the usual measure of focus;
- **spectrum**: the share of spectral energy above half the Nyquist frequency, that is above 1/4
  cycle per pixel, behind a Hann window and without the mean;
- **fringe**: the share of pixels in [0.2, 0.8], the gray edge that blur gives to strokes.

None of them says what is good: noise has a high Laplacian, and a ratio above 1 is as wrong as one
below. `error` is $|\log \mathrm{ratio}|$. The rulers show what a ratio means: the same measures of
real images with Gaussian noise, and blurred with standard deviations of half a pixel and of one.

White noise of standard deviation $\sigma$ has a Laplacian variance of $20 \sigma^2$ and a spectral
share of $1 - \pi / 16$ above half the Nyquist frequency.

Source for the Laplacian: Pech-Pacheco et al., "Diatom Autofocusing in Brightfield Microscopy",
2000. The other three are textbook measures.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from ..errors import UsageError
from .intervals import Interval, ratio_interval

Luminance = Float[Tensor, "n height width"]
Measure = Literal["gradient", "laplacian", "spectrum", "fringe"]
MEASURES: tuple[Measure, ...] = ("gradient", "laplacian", "spectrum", "fringe")
RED_GREEN_BLUE = (0.299, 0.587, 0.114)  # weights of luminance (ITU-R BT.601)
SMALLEST = 8  # side of an image that has a spectrum (pixels)


def luminance(x: UInt8[Tensor, "n channels height width"]) -> Luminance:
    """Luminance in [0, 1] of gray or RGB images; other numbers of channels are averaged.

    Raises:
        UsageError: A side is below 8 pixels.
    """
    if min(x.shape[2:]) < SMALLEST:
        raise UsageError(
            f"Sharpness needs images of {SMALLEST} pixels a side or more, got "
            f"{x.shape[2]}x{x.shape[3]}: leave it out."
        )
    values = x.float() / 255
    if x.shape[1] == 3:
        return torch.einsum("nchw,c->nhw", values, torch.tensor(RED_GREEN_BLUE).to(values))
    return values.mean(1)


def gradient(x: Luminance) -> Float[Tensor, "n"]:
    """Mean length of the gradient, by Sobel's filters.

    Example:
        >>> ramp = torch.arange(16.0).expand(1, 16, 16) / 100
        >>> round(gradient(ramp).item(), 4)
        0.01
    """
    rows = torch.tensor([[1.0, 2.0, 1.0]]).T @ torch.tensor([[-1.0, 0.0, 1.0]]) / 8
    kernels = torch.stack([rows, rows.T])[:, None].to(x)
    return F.conv2d(x[:, None], kernels).square().sum(1).sqrt().mean((1, 2))


def laplacian(x: Luminance) -> Float[Tensor, "n"]:
    """Variance of the Laplacian over an image.

    Example:
        >>> parabola = (torch.arange(16.0) ** 2).expand(1, 16, 16) / 256
        >>> round(laplacian(parabola).item(), 6)  # its second derivative is constant
        0.0
    """
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    return F.conv2d(x[:, None], kernel[None, None].to(x)).flatten(1).var(1, correction=0)


def fringe(x: Luminance) -> Float[Tensor, "n"]:
    """Share of pixels in [0.2, 0.8].

    Example:
        >>> fringe(torch.tensor([[[0.0, 0.5], [1.0, 0.79]]])).item()
        0.5
    """
    return ((x >= 0.2) & (x <= 0.8)).to(x.dtype).mean((1, 2))


def energies(x: Luminance) -> tuple[Float[Tensor, "n height width"], Float[Tensor, "height width"]]:
    """Spectral energy of each frequency, and the frequencies in cycles per pixel."""
    height, width = x.shape[1:]
    windows = [torch.hann_window(side, periodic=False).to(x) for side in (height, width)]
    centered = x - x.mean((1, 2), keepdim=True)
    energy = torch.fft.fft2(centered * torch.outer(*windows)).abs().square()
    rows, columns = (torch.fft.fftfreq(side).to(x) for side in (height, width))
    return energy, (rows[:, None].square() + columns.square()).sqrt()


def spectrum(x: Luminance) -> Float[Tensor, "n"]:
    """Share of the energy above half the Nyquist frequency; 0 for an image without contrast.

    Example:
        >>> wave = torch.sin(2 * math.pi * torch.arange(32.0) * 0.375).expand(1, 32, 32)
        >>> round(spectrum(wave).item(), 2)
        1.0
    """
    energy, frequency = energies(x)
    high = (energy * (frequency > 0.25)).sum((1, 2))
    total = energy.sum((1, 2))
    flat = total <= 1e-9 * x.shape[1] * x.shape[2]  # no contrast but rounding
    return torch.where(flat, 0.0, high / total.clamp(min=torch.finfo(x.dtype).tiny))


def radial_spectrum(x: Luminance, bins: int = 16) -> Float[Tensor, "bins"]:
    """Mean energy in rings of equal width up to the Nyquist frequency, normalized to add up to 1.

    Example:
        >>> wave = torch.sin(2 * math.pi * torch.arange(32.0) * 0.43).expand(1, 32, 32)
        >>> radial_spectrum(wave, 4).argmax().item()  # of 0 to 0.125, ..., 0.375 to 0.5
        3
    """
    energy, frequency = energies(x)
    ring = (frequency / 0.5 * bins).long().flatten()
    inside = ring < bins
    total = torch.zeros(bins, dtype=energy.dtype)
    total.index_add_(0, ring[inside], energy.mean(0).flatten()[inside].cpu())
    return total / total.sum().clamp(min=torch.finfo(total.dtype).tiny)


FUNCTIONS = {
    "gradient": gradient,
    "laplacian": laplacian,
    "spectrum": spectrum,
    "fringe": fringe,
}


def measures(x: UInt8[Tensor, "n channels height width"]) -> dict[str, np.ndarray]:
    """Every measure of every image, (n,) each."""
    found: dict[str, list[Tensor]] = {name: [] for name in MEASURES}
    for part in x.split(1000):
        light = luminance(part.cpu())
        for name in MEASURES:
            found[name].append(FUNCTIONS[name](light).double())
    return {name: torch.cat(parts).numpy() for name, parts in found.items()}


def ratios(
    fake: UInt8[Tensor, "n channels height width"],
    real: UInt8[Tensor, "m channels height width"],
    draws: int = 1000,
) -> dict[str, Interval]:
    """Each measure of generated images over that of real ones, with a bootstrap interval.

    Example:
        >>> x = torch.randint(0, 256, (50, 1, 16, 16), dtype=torch.uint8)
        >>> all(1.0 in interval for interval in ratios(x, x, draws=100).values())
        True
    """
    a, b = measures(fake), measures(real)
    return {name: ratio_interval(a[name], b[name], draws) for name in MEASURES if b[name].mean()}


def error(ratio: float) -> float:
    """Absolute log ratio: 0 for the sharpness of real images, the same for half and twice of it.

    Example:
        >>> round(error(0.5), 3) == round(error(2.0), 3), error(1.0)
        (True, 0.0)
    """
    return abs(math.log(ratio)) if ratio > 0 else math.inf


def blurred(
    x: UInt8[Tensor, "n channels height width"], std: float
) -> UInt8[Tensor, "n channels height width"]:
    """Images behind a Gaussian blur of `std` pixels, mirrored at their edges."""
    reach = min(math.ceil(4 * std), min(x.shape[2:]) - 1)
    at = torch.arange(-reach, reach + 1).float()
    kernel = torch.exp(-0.5 * (at / std) ** 2)
    kernel /= kernel.sum()
    flat = x.float().flatten(0, 1)[:, None]
    flat = F.conv2d(F.pad(flat, (reach, reach, 0, 0), mode="reflect"), kernel.view(1, 1, 1, -1))
    flat = F.conv2d(F.pad(flat, (0, 0, reach, reach), mode="reflect"), kernel.view(1, 1, -1, 1))
    return flat.view(x.shape).round().clamp(0, 255).byte()


def noisy(
    x: UInt8[Tensor, "n channels height width"], std: float, seed: int = 0
) -> UInt8[Tensor, "n channels height width"]:
    """Images with Gaussian noise of `std` (luminance, 0 to 1)."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    return (x.float() + 255 * std * noise).round().clamp(0, 255).byte()


def rulers(
    x: UInt8[Tensor, "n channels height width"],
) -> dict[str, UInt8[Tensor, "n channels height width"]]:
    """Real images made less and more sharp by known amounts."""
    return {
        "blur 0.5": blurred(x, 0.5),
        "blur 1": blurred(x, 1.0),
        "noise 0.05": noisy(x, 0.05),
    }
