r"""Posteriors that the images of a group share, instead of DC-IGN's clamping.

In a group of K images the posteriors $N(\mu_i, \sigma_i^2)$ of what does not move are replaced by
one posterior of the group, through which gradients flow:

- **mean** (GVAE, Hosoya 2019): $\mu = \tfrac1K \sum_i \mu_i$, $\sigma^2 = \tfrac1K \sum_i
  \sigma_i^2$;
- **product** (ML-VAE, Bouchacourt et al. 2018): $\sigma^{-2} = \sum_i \sigma_i^{-2}$, $\mu =
  \sigma^2 \sum_i \mu_i / \sigma_i^2$, more certain than each of them.

A shared latent is one random variable of the group, so its divergence from the prior is charged
once: 1/K for each image.

**Adaptive** (Ada-GVAE, Locatello et al. 2020) does not know what moves. Images form pairs, and a
latent is shared where $\mathrm{KL}(q_1 \| q_2)$ is below the middle between its least and its
greatest value over all latents of the pair; shared posteriors are then averaged. No latent has a
known meaning in advance.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..distributions.elementwise import normal_kl

Posterior = Float[Tensor, "groups images latent"]
Rule = Literal["mean", "product"]


def shared_posterior(
    mean: Posterior, log_variance: Posterior, rule: Rule
) -> tuple[Float[Tensor, "groups 1 latent"], Float[Tensor, "groups 1 latent"]]:
    """Mean and log variance of the group's posterior.

    Example:
        >>> mean, log_variance = torch.tensor([[[0.0], [2.0]]]), torch.zeros(1, 2, 1)
        >>> [t.item() for t in shared_posterior(mean, log_variance, "mean")]
        [1.0, 0.0]
        >>> [round(t.item(), 4) for t in shared_posterior(mean, log_variance, "product")]
        [1.0, -0.6931]
    """
    k = mean.shape[1]
    if rule == "mean":
        log_k = torch.tensor(float(k), dtype=mean.dtype, device=mean.device).log()
        return mean.mean(1, keepdim=True), log_variance.logsumexp(1, keepdim=True) - log_k
    precision = -(-log_variance).logsumexp(1, keepdim=True)
    weight = (-log_variance + precision).exp()  # of each image; they add up to 1
    return (weight * mean).sum(1, keepdim=True), precision


def share(
    mean: Posterior,
    log_variance: Posterior,
    active: Bool[Tensor, "groups #images latent"],
    rule: Rule,
) -> tuple[Posterior, Posterior, Float[Tensor, "groups images latent"]]:
    """Posteriors of all images in which latents that are not active are the group's.

    Returns:
        Means, log variances, and the share of each latent's divergence that an image is charged.
    """
    group_mean, group_log_variance = shared_posterior(mean, log_variance, rule)
    active = active.expand_as(mean)
    charge = torch.where(active, 1.0, 1 / mean.shape[1]).to(mean)
    return (
        torch.where(active, mean, group_mean),
        torch.where(active, log_variance, group_log_variance),
        charge,
    )


@torch.no_grad()
def moving(mean: Posterior, log_variance: Posterior) -> Bool[Tensor, "pairs 1 latent"]:
    """Which latents differ within pairs of images, by the middle of their divergences.

    Example:
        >>> mean = torch.tensor([[[0.0, 0.0], [3.0, 0.1]]])
        >>> moving(mean, torch.zeros(1, 2, 2)).tolist()
        [[[True, False]]]
    """
    first, second = (part / 2 for part in log_variance.unbind(1))
    divergence = normal_kl(mean[:, 0], first, mean[:, 1], second)
    low, high = divergence.aminmax(dim=1, keepdim=True)
    return (divergence > (low + high) / 2)[:, None]


def share_in_pairs(
    mean: Posterior, log_variance: Posterior
) -> tuple[Posterior, Posterior, Float[Tensor, "groups images latent"]]:
    """`share` without knowledge of what moves: consecutive images of a group are pairs."""
    shape = mean.shape
    mean, log_variance = (part.reshape(-1, 2, shape[2]) for part in (mean, log_variance))
    mean, log_variance, charge = share(mean, log_variance, moving(mean, log_variance), "mean")
    return mean.view(shape), log_variance.view(shape), charge.view(shape)
