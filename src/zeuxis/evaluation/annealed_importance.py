r"""Annealed importance sampling: the likelihood of decoders, with its own check.

A decoder has a prior $p(z) = N(0, I)$ and a likelihood $p(x|z)$. Between prior and posterior lie
$p_\beta(z) \propto p(z) p(x|z)^\beta$ with $0 = \beta_0 < \dots < \beta_T = 1$. A chain starts at
$z_0 \sim p(z)$ and goes on by transitions that leave $p_{\beta_t}$ unchanged; its weight

$$ \log w = \sum_{t=1}^T (\beta_t - \beta_{t-1}) \log p(x | z_{t-1}) $$

has $\mathbb{E}[w] = p(x)$. So $\log \frac1K \sum_k w_k$ over K chains is a lower bound of
$\log p(x)$ in expectation, which more distributions tighten.

**Bidirectional Monte Carlo.** For an x that the decoder made from a known z, that z is a sample of
the posterior, and the chain can run backwards from it. Its weights average to $1 / p(x)$, which
gives an upper bound. The gap between the two bounds, on simulated images, limits the error.

Transitions are Hamiltonian: leapfrog steps with a momentum, then an accept-reject step. Their step
sizes are tuned in a pilot run, for each image and temperature, to the acceptance asked for. The
chains that count then use them unchanged: tuning on the way would make the weights depend on it,
and neither bound would hold.

Sources: Neal, "Annealed Importance Sampling", 2001; Neal, "MCMC Using Hamiltonian Dynamics", 2011;
Grosse, Ghahramani and Adams, 2015 (bidirectional); Wu, Burda, Salakhutdinov and Grosse, "On the
Quantitative Analysis of Decoder-Based Generative Models", 2017: 16 chains, 10,000 distributions on
a sigmoid schedule, 10 leapfrog steps, 65 % acceptance. Departure: the pilot run, where their code
tunes on the way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import UsageError
from ..progress import meter
from ..ranges import BaseConfig, Count, FractionBelowOne, Range, Seed, SmallCount

LogLikelihood = Callable[[Float[Tensor, "images chains d"]], Float[Tensor, "images chains"]]
"""log p(x | z) of each image for the latents of its chains, with gradients."""

PILOT = 8  # the pilot run has an eighth of the distributions, at least 25
JITTER = 0.3  # relative spread of step sizes: with equal ones a trajectory may be a whole turn
LEARNING = 0.2  # how fast the logarithm of a step size follows the acceptance


@dataclass(frozen=True)
class AISConfig(BaseConfig, flags="AISConfig."):
    """Settings of annealed importance sampling; the defaults take a tenth of the paper's
    distributions."""

    distributions: Count = 1000
    """Intermediate distributions; the gap falls about as one over their number."""
    chains: SmallCount = 16
    """Chains of each image."""
    leapfrog: SmallCount = 10
    """Leapfrog steps of a transition."""
    acceptance: FractionBelowOne = 0.65
    """Share of proposals to accept, for which the pilot run tunes the step sizes."""
    radius: Annotated[float, Range(0.1, 100)] = 4.0
    """The schedule is a sigmoid between -radius and radius, brought to 0 and 1."""
    seed: Seed = 0
    """Fixes latents and momenta."""


@dataclass(frozen=True)
class Annealed:
    """Weights of the chains.

    Arguments:
        log_weights: log w of each chain, (images, chains), in nats. Of backward chains, minus the
            sum, so that they estimate 1 / p(x).
        acceptance: The share of accepted proposals of each image, (images,).
    """

    log_weights: Tensor
    acceptance: Tensor

    @property
    def bound(self) -> Float[Tensor, "images"]:
        """log of the mean weight, for each image."""
        return self.log_weights.logsumexp(1) - math.log(self.log_weights.shape[1])


def schedule(distributions: int, radius: float = 4.0) -> list[float]:
    """Inverse temperatures from 0 to 1, dense at both ends.

    Example:
        >>> [round(beta, 3) for beta in schedule(4)]
        [0.0, 0.105, 0.5, 0.895, 1.0]
    """
    t = torch.linspace(-radius, radius, distributions + 1, dtype=torch.float64).sigmoid()
    return ((t - t[0]) / (t[-1] - t[0])).tolist()


def annealed(
    log_likelihood: LogLikelihood,
    images: int,
    dimension: int,
    config: AISConfig | None = None,
    progress: str = "",
) -> Annealed:
    """Forward chains, whose bound is below log p(x) in expectation.

    Arguments:
        log_likelihood: log p(x | z) in nats.
        images: How many images it has.
        dimension: Of the latent, whose prior is N(0, I).
        config: Settings.
        progress: What a progress line calls the work; "" shows none.

    Example:
        >>> def likelihood(z):  # x = z + noise at x = 1, both normal: p(x) = N(1; 0, 2)
        ...     return -0.5 * ((1 - z) ** 2).sum(-1) - 0.5 * math.log(2 * math.pi)
        >>> found = annealed(likelihood, 1, 1, AISConfig(distributions=200))
        >>> exact = -0.25 - 0.5 * math.log(4 * math.pi)
        >>> abs(found.bound.item() - exact) < 0.1
        True
    """
    c = config or AISConfig()
    generator = torch.Generator().manual_seed(c.seed)
    steps = tuned_steps(log_likelihood, images, dimension, c, generator)
    start = torch.randn(images, c.chains, dimension, generator=generator)
    return run_chains(log_likelihood, start, c, steps, generator, False, progress)


def annealed_backward(
    log_likelihood: LogLikelihood,
    z: Float[Tensor, "images d"],
    config: AISConfig | None = None,
    progress: str = "",
) -> Float[Tensor, "images"]:
    """Upper bounds of log p(x) in expectation, for images that were made from z.

    Arguments:
        log_likelihood: log p(x | z) in nats.
        z: The latent that each image was made from.
        config: Settings.
        progress: What a progress line calls the work; "" shows none.
    """
    c = config or AISConfig()
    generator = torch.Generator().manual_seed(c.seed + 1)
    images, dimension = z.shape
    steps = tuned_steps(log_likelihood, images, dimension, c, generator)
    start = z[:, None].expand(images, c.chains, dimension).clone()
    return -run_chains(log_likelihood, start, c, steps, generator, True, progress).bound


def tuned_steps(
    log_likelihood: LogLikelihood,
    images: int,
    dimension: int,
    config: AISConfig,
    generator: torch.Generator,
) -> Float[Tensor, "distributions images"]:
    """A step size for each temperature and image, from a shorter run that tunes on the way."""
    count = min(config.distributions, max(25, config.distributions // PILOT))
    betas = schedule(count, config.radius)
    z = torch.randn(images, config.chains, dimension, generator=generator)
    log_step = torch.full((images,), math.log(0.5 / dimension**0.25))
    found = []
    for i, beta in enumerate(betas[1:]):
        for _ in range(10 if i == 0 else 1):  # the first guess may be far off
            z, _, accepted = transition(
                log_likelihood, z, beta, log_step.exp(), config.leapfrog, generator
            )
            log_step = log_step + LEARNING * (accepted.mean(1) - config.acceptance)
        found.append(log_step.clone())
    nearest = [min(count - 1, i * count // config.distributions)
               for i in range(config.distributions)]  # fmt: skip
    return torch.stack(found)[nearest].exp()


def run_chains(
    log_likelihood: LogLikelihood,
    start: Float[Tensor, "images chains d"],
    config: AISConfig,
    steps: Float[Tensor, "distributions images"],
    generator: torch.Generator,
    backward: bool,
    progress: str,
) -> Annealed:
    """Chains from the prior to the posterior, or backwards from posterior to prior."""
    betas, z = schedule(config.distributions, config.radius), start
    log_w = torch.zeros(start.shape[:2], dtype=torch.float64)
    accepted = torch.zeros(len(start))
    order = range(config.distributions - 1, -1, -1) if backward else range(config.distributions)
    with torch.no_grad():
        value = log_likelihood(z)
    with meter(config.distributions, progress) if progress else quiet() as advance:
        for t in order:
            width = betas[t + 1] - betas[t]
            if not backward:
                log_w += width * value.double().cpu()
            z, value, moved = transition(
                log_likelihood, z, betas[t + 1], steps[t], config.leapfrog, generator
            )
            if backward:
                log_w -= width * value.double().cpu()
            accepted += moved.mean(1)
            advance(1)
    return Annealed(log_w, accepted / config.distributions)


class quiet:
    """A meter that shows nothing."""

    def __enter__(self) -> Callable[[float], None]:
        return lambda more: None

    def __exit__(self, *error: object) -> None:
        return None


def transition(
    log_likelihood: LogLikelihood,
    z: Float[Tensor, "images chains d"],
    beta: float,
    step: Float[Tensor, "images"],
    leapfrog: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """One Hamiltonian transition that leaves $p(z) p(x|z)^beta$ unchanged.

    Returns:
        The new latents, their log-likelihoods, and 1 where a proposal was accepted, else 0.
    """
    spread = 1 + JITTER * (2 * torch.rand(len(step), z.shape[1], generator=generator) - 1)
    size = (step[:, None] * spread)[..., None]
    momentum = torch.randn(z.shape, generator=generator)
    value, slope = energy_slope(log_likelihood, z, beta)
    before = energy(z, value, beta) + momentum.square().sum(-1) / 2
    proposal, p, new_value = z, momentum - size / 2 * slope, value
    for i in range(leapfrog):
        proposal = proposal + size * p
        new_value, slope = energy_slope(log_likelihood, proposal, beta)
        p = p - (size if i < leapfrog - 1 else size / 2) * slope
    after = energy(proposal, new_value, beta) + p.square().sum(-1) / 2
    u = torch.rand(before.shape, generator=generator)
    accept = u.log() < (before - after)  # a NaN is not accepted
    z = torch.where(accept[..., None], proposal, z)
    return z, torch.where(accept, new_value, value), accept.float()


def energy(z: Tensor, value: Tensor, beta: float) -> Float[Tensor, "images chains"]:
    """-log of the unnormalized density, up to the prior's constant."""
    return z.square().sum(-1) / 2 - beta * value


def energy_slope(
    log_likelihood: LogLikelihood, z: Tensor, beta: float
) -> tuple[Float[Tensor, "images chains"], Float[Tensor, "images chains d"]]:
    """log p(x | z), and the gradient of the energy."""
    with torch.enable_grad():
        at = z.detach().requires_grad_()
        value = log_likelihood(at)
        (slope,) = torch.autograd.grad(value.sum(), at)
    return value.detach(), z - beta * slope


@dataclass(frozen=True)
class Gap:
    """Both bounds on images that the decoder made.

    Arguments:
        lower: By forward chains, (images,), in nats.
        upper: By backward chains, (images,).
    """

    lower: Tensor
    upper: Tensor

    @property
    def mean(self) -> float:
        """Upper minus lower bound, in the mean over images."""
        return (self.upper - self.lower).mean().item()


def bidirectional(
    log_likelihood: LogLikelihood,
    z: Float[Tensor, "images d"],
    config: AISConfig | None = None,
    progress: str = "",
) -> Gap:
    """Both bounds for images that were made from z: their gap limits the error of `annealed`.

    Raises:
        UsageError: There is no image.
    """
    if not len(z):
        raise UsageError("Bidirectional Monte Carlo needs at least one simulated image, got none.")
    lower = annealed(log_likelihood, len(z), z.shape[1], config, progress).bound
    return Gap(lower, annealed_backward(log_likelihood, z, config, progress))
