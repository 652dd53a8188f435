r"""Likelihoods of decoders by annealed importance sampling, for VAEs and GANs alike.

A decoder gives a mean image for a latent; a likelihood needs a distribution of pixels around it:

- `bernoulli`: pixels are 0 or 1, with probability $\epsilon + (1 - 2\epsilon) G(z)$. So a GAN gets
  a likelihood of binarized digits, on one scale with the other models.
- `gaussian`: pixels $(x + u) / 256$ with uniform noise u are Gaussian around the mean, with one
  standard deviation $\sigma$.
- `own`: the model's own p(x | z).

For a GAN this is the likelihood of another model than the one that was trained, and it depends on
$\epsilon$ or $\sigma$. They are chosen on validation images, and the whole curve is reported.

The prior must be N(0, I) or uniform on (-1, 1); a uniform latent is $2 \Phi(u) - 1$ of a normal u,
so that the chains need no walls. Source: Wu et al., 2017, as in `annealed_importance`, for the
Gaussian observations; the Bernoulli ones are this project's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..capabilities import CanRender, HasPixelLikelihood
from ..errors import UsageError
from ..model import require
from .annealed_importance import AISConfig, Gap, LogLikelihood, annealed, bidirectional

Kind = Literal["bernoulli", "gaussian", "own"]
EPSILONS = (0.001, 0.003, 0.01, 0.03)
SIGMAS = (0.05, 0.1, 0.15, 0.2, 0.3)  # in units of the range of pixels


@dataclass(frozen=True)
class Observation:
    """How pixels are distributed around the mean image.

    Arguments:
        kind: "bernoulli", "gaussian" or "own".
        width: epsilon or sigma; without effect for "own".
    """

    kind: Kind
    width: float = 0.0


def prior_of(model: CanRender, n: int = 2000) -> Literal["normal", "uniform"]:
    """Which prior a decoder's latents have, by a sample of them.

    Raises:
        UsageError: It is neither N(0, I) nor uniform on (-1, 1).

    Example:
        >>> from zeuxis.checkpoints.weights import load
        >>> prior_of(load("mnist/dcgan")), prior_of(load("mnist/vae"))
        ('uniform', 'normal')
    """
    z = model.prior(n, generator=torch.Generator().manual_seed(0)).double().cpu()
    # Means of the powers 1, 2 and 4; each differs from the truth by less than 6 standard errors.
    moments = torch.stack([z.mean(0), z.square().mean(0), (z**4).mean(0)])
    known: dict[Literal["normal", "uniform"], tuple[list[float], list[float]]] = {
        "normal": ([0, 1, 3], [1, 2, 96]),
        "uniform": ([0, 1 / 3, 1 / 5], [1 / 3, 4 / 45, 1 / 9 - 1 / 25]),
    }
    for name, (means, variances) in known.items():
        slack = 6 * (torch.tensor(variances) / n).sqrt()
        if bool(((moments - torch.tensor(means)[:, None]).abs() <= slack[:, None]).all()):
            return name
    raise UsageError(
        f"Annealed importance sampling needs latents of N(0, I) or uniform on (-1, 1), and those "
        f"of '{model.name}' are neither: leave it out."
    )


def latent(model: CanRender, u: Float[Tensor, "n d"], prior: str) -> Float[Tensor, "n d"]:
    """Latents of the model from standard normal numbers."""
    return u if prior == "normal" else torch.erf(u / math.sqrt(2))


def observed(x: Tensor, observation: Observation, seed: int = 0) -> Float[Tensor, "n c h w"]:
    """Images as an observation takes them: binary ones as 0 and 1, others dequantized in [0, 1)."""
    if observation.kind == "gaussian":
        noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
        return (x.float() + noise) / 256
    if observation.kind == "bernoulli" and not ((x == 0) | (x == 255)).all():
        raise UsageError("Bernoulli pixels are 0 or 255: binarize the images first.")
    return x.float() / 255 if observation.kind == "bernoulli" else x.float()


def log_likelihood_of(
    model: Any, x: Float[Tensor, "images c h w"], observation: Observation, prior: str
) -> LogLikelihood:
    """log p(x | u) for standard normal u, as `annealed` takes it.

    Arguments:
        model: A model that renders.
        x: Images as `observed` gives them; for "own" from 0 to 255.
        observation: How pixels are distributed.
        prior: "normal" or "uniform".
    """

    def log_likelihood(u: Tensor) -> Tensor:
        images, chains = u.shape[:2]
        z = latent(model, u.flatten(0, 1), prior)
        target = x.repeat_interleave(chains, 0)
        if observation.kind == "own":
            return model.pixel_log_prob(target, z).flatten(1).sum(1).view(images, chains)
        mean = model.render(z)
        if observation.kind == "bernoulli":
            p = observation.width + (1 - 2 * observation.width) * (mean / 255).clamp(0, 1)
            nats = torch.where(target > 0.5, p, 1 - p).log()
        else:
            error = (target - (mean + 0.5) / 256) / observation.width
            nats = -0.5 * error.square() - math.log(observation.width * math.sqrt(2 * math.pi))
        return nats.flatten(1).sum(1).view(images, chains)

    return log_likelihood


@dataclass(frozen=True)
class DecoderLikelihood:
    """Annealed estimates of log p(x).

    Arguments:
        nats: Lower bound of each image, (images,).
        observation: How pixels are distributed.
        curve: Mean bound on validation images for each width that was tried.
        gap: Bounds on simulated images, None if they were not asked for.
        acceptance: Mean share of accepted proposals.
        config: Settings of the chains.
    """

    nats: Tensor
    observation: Observation
    curve: dict[float, float]
    gap: Gap | None
    acceptance: float
    config: AISConfig


def decoder_likelihood(
    model: Any,
    x: Tensor,
    kind: Kind,
    validation: Tensor | None = None,
    config: AISConfig | None = None,
    simulated: int = 0,
) -> DecoderLikelihood:
    """Annealed lower bounds of log p(x) for a decoder.

    Arguments:
        model: A model that renders.
        x: Images (n, C, H, W), uint8; 0 and 255 for Bernoulli pixels.
        kind: How pixels are distributed.
        validation: Images on which epsilon or sigma is chosen, by a tenth of the distributions.
        config: Settings of the chains.
        simulated: Images to simulate for the gap between lower and upper bound.

    Raises:
        UsageError: The prior is neither normal nor uniform, or a width needs validation images.
    """
    c = config or AISConfig()
    renders = require(model, CanRender, "render images with gradients")
    if kind == "own":
        require(model, HasPixelLikelihood, "say how likely pixels are given a latent")
    prior = prior_of(renders)
    dimension = renders.prior(1).shape[1]
    curve: dict[float, float] = {}
    if kind != "own":
        if validation is None or not len(validation):
            raise UsageError(
                f"The width of {kind} pixels is chosen on validation images: give some."
            )
        short = AISConfig(max(1, c.distributions // 10), min(4, c.chains), c.leapfrog, seed=c.seed)
        for width in EPSILONS if kind == "bernoulli" else SIGMAS:
            tried = Observation(kind, width)
            function = log_likelihood_of(model, observed(validation, tried), tried, prior)
            curve[width] = annealed(function, len(validation), dimension, short).bound.mean().item()
    observation = Observation(kind, max(curve, key=curve.__getitem__) if curve else 0.0)
    function = log_likelihood_of(model, observed(x, observation), observation, prior)
    found = annealed(function, len(x), dimension, c, f"annealing, {renders.name}")
    gap = None
    if simulated:
        u = torch.randn(simulated, dimension, generator=torch.Generator().manual_seed(c.seed + 2))
        made = simulate(model, latent(renders, u, prior), observation, c.seed + 3)
        function = log_likelihood_of(model, made, observation, prior)
        gap = bidirectional(function, u, c, f"annealing both ways, {renders.name}")
    return DecoderLikelihood(
        found.bound, observation, curve, gap, found.acceptance.mean().item(), c
    )


@torch.no_grad()
def simulate(model: Any, z: Tensor, observation: Observation, seed: int) -> Tensor:
    """Images drawn from p(x | z), as `observed` gives images."""
    generator = torch.Generator().manual_seed(seed)
    if observation.kind == "own":
        return model.draw_pixels(z, generator=generator)
    mean = model.render(z)
    if observation.kind == "bernoulli":
        p = observation.width + (1 - 2 * observation.width) * (mean / 255).clamp(0, 1)
        return (torch.rand(p.shape, generator=generator) < p).float()
    noise = torch.randn(mean.shape, generator=generator)
    return (mean + 0.5) / 256 + observation.width * noise
