r"""Restoration by a VAE: samples of the latent's posterior, $p(z | y) \propto p(y | z) \, p(z)$.

Given a latent, pixels are independent with mean $m(z)$ and variance $v(z)$. For noise of variance
$\sigma^2$ the energy is

$$ U(z) = \tfrac12 \lVert z \rVert^2 + \tfrac12 \sum_i \Big[ \frac{(y - A m)_i^2}{d_i} + \log d_i
   \Big], \qquad d = (A \circ A) v + \sigma^2 , $$

and where pixels are only hidden it is the exact $-\sum_\text{visible} \log p(x_i | z) + \lVert z
\rVert^2 / 2$, for binary pixels the cross-entropy. Each sample is the mean of the image given its
latent and y,

$$ \mathbb{E}[x | z, y] = m + v \, A^T \frac{y - A m}{d} . $$

`latent` finds modes by Adam from the best of many latents of the prior, draws among them by their
energy, and moves from there by Hamiltonian Monte Carlo. `metropolis` fills hidden pixels by
Metropolis within Gibbs: a latent from the encoder is accepted by the ratio of
$p(x | z) \, p(z) / q(z | x)$, and hidden pixels are drawn again.

Sources: Rezende, Mohamed and Wierstra, 2014, appendix F, for the alternation; Mattei and Frellsen,
"Leveraging the exact likelihood of deep latent variable models", 2018, for the accept step;
Neal, "MCMC using Hamiltonian dynamics", 2011. Departure: the first steps take every proposal, since
few are accepted far from the posterior.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ...capabilities import CanPropose, CanRender, HasPixelLikelihood
from .operators import Images, Mask, Operator, batches

POOL = 1_000  # latents of the prior among which chains start
ROWS = 500  # latents decoded at a time
FLOOR = 1.0  # least variance of a pixel, in squared gray levels
TOGETHER = 512  # chains at a time
WANTED = 0.65  # wanted share of accepted moves

Energy = Callable[[Tensor], Tensor]


def latent(
    model: HasPixelLikelihood,
    y: Images,
    operator: Operator,
    sigma: float,
    *,
    n: int,
    generator: torch.Generator,
    descents: int = 50,
    moves: int = 20,
    leaps: int = 8,
) -> Float[Tensor, "n batch channels height width"]:
    """Samples by Hamiltonian Monte Carlo in the latent.

    Arguments:
        model: A model with independent pixels given a latent and the prior N(0, I).
        y: Degraded images.
        operator: How they were degraded.
        sigma: Standard deviation of the noise.
        n: Samples, each the end of a chain.
        generator: Random numbers.
        descents: Steps of Adam to a mode.
        moves: Moves of each chain.
        leaps: Leapfrog steps of a move.
    """
    parts = [
        chains(model, some, part, sigma, n, generator, descents, moves, leaps)
        for some, part in batches(y.to(model.device), operator, max(1, TOGETHER // n))
    ]
    return torch.cat(parts, 1)


def chains(
    model: HasPixelLikelihood,
    y: Images,
    operator: Operator,
    sigma: float,
    n: int,
    generator: torch.Generator,
    descents: int,
    moves: int,
    leaps: int,
) -> Float[Tensor, "n batch channels height width"]:
    """`latent` for images that are computed together."""
    starts = nearest_latents(model, y, operator, 2 * n, generator)  # (2n, batch, latent)
    rows = operator_rows(operator, len(y), 2 * n)
    energy = energy_of(model, y.repeat(2 * n, 1, 1, 1), rows, sigma)
    z = descended(energy, starts.flatten(0, 1), descents).view_as(starts)
    with torch.no_grad():
        values = energy(z.flatten(0, 1)).view(2 * n, len(y))
    chosen = torch.multinomial(
        (-values.double().cpu()).softmax(0).T, n, replacement=True, generator=generator
    ).T.to(z.device)  # (n, batch)
    z = z.gather(0, chosen[..., None].expand(n, len(y), z.shape[2])).flatten(0, 1)
    rows = operator_rows(operator, len(y), n)
    repeated = y.repeat(n, 1, 1, 1)
    z = hamiltonian(energy_of(model, repeated, rows, sigma), z, moves, leaps, generator)
    return conditional_mean(model, z, repeated, rows, sigma).unflatten(0, (n, len(y)))


def operator_rows(operator: Operator, batch: int, n: int) -> Operator:
    """The operator of a batch repeated n times."""
    if isinstance(operator, Mask) and operator.visible.ndim == 4:
        return Mask(operator.visible.expand(batch, -1, -1, -1).repeat(n, 1, 1, 1))
    return operator


def variance(model: HasPixelLikelihood, mean: Images, z: Tensor) -> Images:
    """Variances of pixels given a latent."""
    return model.pixel_variance(mean, z).clamp(min=FLOOR)


def energy_of(model: HasPixelLikelihood, y: Images, operator: Operator, sigma: float) -> Energy:
    """U of the module's formula for one latent for each image of y, (n,)."""

    def energy(z: Tensor) -> Tensor:
        prior = z.square().sum(1) / 2
        if sigma == 0 and isinstance(operator, Mask):
            return prior - operator.forward(model.pixel_log_prob(y, z)).flatten(1).sum(1)
        mean = model.render(z)
        d = operator.variance(variance(model, mean, z)) + sigma**2
        terms = (y - operator.forward(mean)).square() / d + d.log()
        if isinstance(operator, Mask):
            terms = operator.forward(terms)
        return prior + terms.flatten(1).sum(1) / 2

    return energy


@torch.no_grad()
def conditional_mean(
    model: HasPixelLikelihood, z: Tensor, y: Images, operator: Operator, sigma: float
) -> Images:
    """E[x | z, y]."""
    images = []
    for start in range(0, len(z), ROWS):
        some = slice(start, start + ROWS)
        part, mean = operator.part(some), model.render(z[some])
        v = variance(model, mean, z[some])
        d = part.variance(v) + sigma**2
        weighted = (y[some] - part.forward(mean)) / d.clamp(min=1e-12)
        images.append(mean + v * part.adjoint(weighted))
    return torch.cat(images)


@torch.no_grad()
def nearest_latents(
    model: CanRender, y: Images, operator: Operator, k: int, generator: torch.Generator
) -> Float[Tensor, "k batch latent"]:
    """The latents of the prior whose images, degraded, are nearest to y; the nearest first."""
    z = model.prior(max(POOL, k), generator=generator)
    images = torch.cat([model.render(part) for part in z.split(ROWS)])
    found = []
    for i in range(len(y)):
        part = operator.part(slice(i, i + 1))
        error = (part.forward(images) - y[i]).square().flatten(1).sum(1)
        found.append(z[error.argsort()[:k]])
    return torch.stack(found, 1)


def gradient(energy: Energy, z: Tensor) -> tuple[Tensor, Tensor]:
    """Energies (n,) and their gradients."""
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        values = energy(z)
        (slope,) = torch.autograd.grad(values.sum(), z)
    return values.detach(), slope


def descended(energy: Energy, z: Tensor, steps: int, lr: float = 0.1) -> Tensor:
    """Latents after steps of Adam whose size falls to 0."""
    first, second = torch.zeros_like(z), torch.zeros_like(z)
    for step in range(steps):
        _, slope = gradient(energy, z)
        first = 0.9 * first + 0.1 * slope
        second = 0.99 * second + 0.01 * slope.square()
        size = lr * (1 - step / steps)
        rate = (second / (1 - 0.99 ** (step + 1))).sqrt() + 1e-8
        z = z - size * first / (1 - 0.9 ** (step + 1)) / rate
    return z


def hamiltonian(
    energy: Energy, z: Tensor, moves: int, leaps: int, generator: torch.Generator
) -> Tensor:
    """The ends of chains, one for each row of z.

    The step of each chain adapts in the first half of its moves, and is fixed in the second, which
    leaves the posterior unchanged.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(z)

    eps = torch.full((len(z), 1), 0.1).to(z)
    value, slope = gradient(energy, z)
    for move in range(moves):
        # A step that varies keeps trajectories from closing.
        step = eps * (0.8 + 0.4 * torch.rand(len(z), 1, generator=generator).to(z))
        p = normal(*z.shape)
        new, new_value, new_slope, q = z, value, slope, p
        for _ in range(leaps):
            q = q - step / 2 * new_slope
            new = new + step * q
            new_value, new_slope = gradient(energy, new)
            q = q - step / 2 * new_slope
        gain = value + p.square().sum(1) / 2 - new_value - q.square().sum(1) / 2
        u = torch.rand(len(z), generator=generator).to(z)
        taken = (u.log() < gain) & gain.isfinite()
        z = torch.where(taken[:, None], new, z)
        value = torch.where(taken, new_value, value)
        slope = torch.where(taken[:, None], new_slope, slope)
        if move < moves // 2:
            accepted = gain.nan_to_num(-math.inf).clamp(max=0).exp()[:, None]
            eps = eps * (0.6 * (accepted - WANTED)).exp()
    return z


@torch.no_grad()
def metropolis(
    model: CanPropose,
    y: Images,
    operator: Operator,
    sigma: float,
    *,
    n: int,
    generator: torch.Generator,
    warm: int = 30,
    moves: int = 100,
) -> Float[Tensor, "n batch channels height width"]:
    """Hidden pixels by Metropolis within Gibbs.

    Arguments:
        model: A model whose encoder proposes latents.
        y: Images with hidden pixels.
        operator: The mask.
        sigma: Not used: visible pixels are known.
        n: Samples, each the end of a chain.
        generator: Random numbers.
        warm: Steps that take every proposal.
        moves: Steps that accept by the ratio.
    """
    y = y.to(model.device)
    starts = nearest_latents(model, y, operator, n, generator).flatten(0, 1)
    rows, known = operator_rows(operator, len(y), n), y.repeat(n, 1, 1, 1)
    x = rows.project(model.render(starts), known)
    mean, log_std = model.propose(x)
    z = mean + log_std.exp() * torch.randn(mean.shape, generator=generator).to(mean)
    for step in range(warm + moves):
        x = rows.project(model.draw_pixels(z, generator=generator), known)
        mean, log_std = model.propose(x)
        eps = torch.randn(mean.shape, generator=generator).to(mean)
        new = mean + log_std.exp() * eps
        if step < warm:
            z = new
            continue
        back = (z - mean) / log_std.exp()
        ratio = model.pixel_log_prob(x, new).flatten(1).sum(1) - new.square().sum(1) / 2
        ratio = ratio - model.pixel_log_prob(x, z).flatten(1).sum(1) + z.square().sum(1) / 2
        ratio = ratio + eps.square().sum(1) / 2 - back.square().sum(1) / 2
        u = torch.rand(len(z), generator=generator).to(z)
        z = torch.where((u.log() < ratio)[:, None], new, z)
    return rows.project(model.render(z), known).unflatten(0, (n, len(y)))
