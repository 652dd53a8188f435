r"""Restoration with a velocity field: it denoises at every noise level, and that is a prior.

Let $\hat x(x_t, t) = x_t + (1 - t) v(x_t, t)$ be the mean of the images that a point of a path may
come from.

**Denoising.** An image with noise of standard deviation s is a point of a path once it is scaled:
$x_t = t y$ with $t = 1 / (1 + s)$. One evaluation of the field gives the posterior mean
(`denoised`). Ancestral steps from there to t = 1 give posterior samples.

**Any linear operator.** The path starts from noise. At each step the mean takes in what was seen,

$$ \hat x' = \hat x + C A^T (A C A^T + \sigma^2 I)^{-1} (y - A \hat x), \qquad
   C = \mathrm{Cov}[x_1 | x_t] = \frac{(1 - t)^2}{t} \frac{\partial \hat x}{\partial x_t} . $$

The covariance is the field's own: a product with C is a product with the Jacobian. The system is
solved by a few conjugate gradients, each of which takes one backward pass; a single one scales the
gradient by its best step. This is exact for Gaussian images, and an approximation for others.

Sources: Pokle, Muckley, Chen and Karrer, "Training-free Linear Image Inverses via Flows", 2024, and
Song, Vahdat, Mardani and Kautz, 2023 (guidance by the pseudoinverse, here with the Jacobian's
covariance in place of a multiple of the identity); Boys et al., "Tweedie Moment Projected
Diffusions for Inverse Problems", 2024 (the covariance); Ho, Jain and Abbeel, 2020 (ancestral
steps).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from ...capabilities import HasVelocity
from .operators import Identity, Operator, batches

STEPS = 12
GRADIENTS = 2
START = 0.05  # where paths begin: at t = 0 a point says nothing about its image
ROUNDING = 1 / math.sqrt(12)  # standard deviation of an error of rounding
MEMORY = 64  # images at a time


def flow_samples(
    model: HasVelocity,
    y: Tensor,
    operator: Operator,
    sigma: float,
    *,
    n: int,
    generator: torch.Generator,
    steps: int = STEPS,
    gradients: int = GRADIENTS,
) -> Tensor:
    """Samples of p(x | y), as `restore.Sampler`.

    Arguments:
        model, y, operator, sigma, n, generator: As in `restore.Sampler`.
        steps: Ancestral steps.
        gradients: Conjugate gradients of a step.
    """
    parts = [
        part_of(model, some, part, sigma, n, generator, steps, gradients)
        for some, part in batches(y.to(model.device), operator, max(1, MEMORY // n))
    ]
    return torch.cat(parts, 1)


def part_of(
    model: HasVelocity,
    y: Tensor,
    operator: Operator,
    sigma: float,
    n: int,
    generator: torch.Generator,
    steps: int,
    gradients: int,
) -> Tensor:
    """Samples for some images."""
    shape = (n, len(y), *model.spec.shape)
    s = max(sigma, ROUNDING) / 128

    def noise() -> Tensor:
        return torch.randn(shape, generator=generator).to(y.device)

    plain = isinstance(operator, Identity)
    if plain:
        start = 1 / (1 + s)
        x = (start * to_range(y)).expand(shape)
    else:
        start = START
        x = (1 - start) * noise()
    times = [start + (1 - start) * i / steps for i in range(steps + 1)]
    for t, following in pairwise(times):
        mean = denoise(model, x, t) if plain else seen(model, x, t, y, operator, s**2, gradients)
        rest, left = 1 - t, 1 - following
        variance = (left / rest) ** 2 * (rest**2 - (t / following * left) ** 2)
        residual = (x - t * mean) / rest
        x = following * mean + math.sqrt(max(0.0, left**2 - variance)) * residual
        if left > 0:
            x = x + math.sqrt(variance) * noise()
    return to_pixel_units(x)


def denoised(model: HasVelocity, y: Tensor, operator: Operator, sigma: float) -> Tensor:
    """The mean of p(x | y) for an image with noise, by one evaluation of the field.

    Arguments:
        model: The field.
        y: Noisy images in pixel units, (batch, C, H, W).
        operator: The identity.
        sigma: Standard deviation of the noise in pixel units.
    """
    t = 1 / (1 + sigma / 128)
    means = [denoise(model, t * to_range(p.to(model.device)), t) for p in y.split(MEMORY)]
    return to_pixel_units(torch.cat(means))


@torch.no_grad()
def denoise(model: HasVelocity, x: Tensor, t: float) -> Tensor:
    """The mean of the images that points of paths may come from, (..., C, H, W)."""
    flat = x.flatten(0, -4)
    return (flat + (1 - t) * model.velocity(flat, t)).view_as(x)


def seen(
    model: HasVelocity,
    x: Tensor,
    t: float,
    y: Tensor,
    operator: Operator,
    variance: float,
    gradients: int,
) -> Tensor:
    """The mean of the images given the points x and what was seen, (n, batch, C, H, W).

    Arguments:
        model: The field.
        x: Points of paths at time t.
        t: The time.
        y: What was seen, in pixel units.
        operator: How.
        variance: Of the noise of y, in units of the field.
        gradients: Conjugate gradients.
    """
    with torch.enable_grad():
        flat = x.flatten(0, 1).detach().requires_grad_()
        flat_mean = flat + (1 - t) * model.velocity(flat, t)
        mean = flat_mean.detach().view_as(x)
        residual = (y - operator.forward(to_pixel_units(mean))) / 128
        direction, squared, shift = residual, inner(residual, residual), torch.zeros_like(x)
        for last in ends(gradients):
            pulled = operator.adjoint(direction).flatten(0, 1)
            (product,) = torch.autograd.grad(flat_mean, flat, pulled, retain_graph=not last)
            carried = (1 - t) ** 2 / t * product.view_as(x)
            curved = operator.forward(carried) + variance * direction
            curvature = inner(direction, curved)
            # A trained field's Jacobian is not quite a covariance: where it curves the wrong way,
            # no step is taken.
            step = torch.where(curvature > 0, squared / curvature.clamp(min=1e-20), 0.0)
            shift = shift + step * carried
            residual = residual - step * curved
            before, squared = squared, inner(residual, residual)
            direction = residual + squared / before.clamp(min=1e-20) * direction
    return mean + shift


def ends(n: int) -> Iterator[bool]:
    """n times whether this is the last time."""
    return (i == n - 1 for i in range(n))


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner products image by image, (n, batch, 1, 1, 1)."""
    return (a * b).sum((-3, -2, -1), keepdim=True)


def to_range(x: Tensor) -> Tensor:
    """Pixel units 0 to 255 as the field's [-1, 1)."""
    return (x + 0.5) / 128 - 1


def to_pixel_units(x: Tensor) -> Tensor:
    """The inverse of `to_range`."""
    return (x + 1) * 128 - 0.5
