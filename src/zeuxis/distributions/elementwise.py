r"""The distributions that models of several families share: log-probabilities in nats, from the
numbers a network gives.

Pixels are integers from 0 to 255. A **discretized logistic** gives pixel v the mass that a logistic
distribution of mean $\mu$ and scale s has over the pixel's bin, with $y = v / 256$ and the sigmoid
$\sigma$ as cumulative distribution:

$$ P(v) = \sigma\Big(\frac{y + 1/256 - \mu}{s}\Big) - \sigma\Big(\frac{y - \mu}{s}\Big) . $$

With *open* edges the bins of 0 and 255 reach to infinity, so that the 256 masses add up to 1. The
code released with IAF has no open edges: mass outside [0, 1] is lost, which costs up to a bit where
pixels are saturated, and $10^{-7}$ is added to each mass within the logarithm, so that where
nothing is lost the 256 add up to 1.0000256 (0.00004 bits/dim too good at most).

Sources: Kingma et al., "Improving Variational Inference with Inverse Autoregressive Flow", 2016,
appendix C.5; Salimans et al., "PixelCNN++", 2017, section 2.1; Kingma and Welling, "Auto-Encoding
Variational Bayes", 2013, appendix B.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def bernoulli(x: Float[Tensor, "*#shape"], logits: Float[Tensor, "*#shape"]) -> Tensor:
    """log P(x) for x in {0, 1} (or a probability, for the expected value), in the shape that the
    two broadcast to.

    Example:
        >>> bernoulli(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0]))
        tensor([-0.6931, -0.6931])
    """
    return x * logits - F.softplus(logits)


def normal(z: Tensor, mean: Tensor | float, log_std: Tensor | float) -> Tensor:
    """Log-density of a Gaussian, number by number.

    Example:
        >>> normal(torch.zeros(1), 0.0, torch.zeros(1))
        tensor([-0.9189])
    """
    log_std = torch.as_tensor(log_std, dtype=z.dtype, device=z.device)
    return -0.5 * ((z - mean) * torch.exp(-log_std)).square() - log_std - HALF_LOG_TAU


def normal_kl(
    mean: Tensor,
    log_std: Tensor,
    prior_mean: Tensor | float = 0.0,
    prior_log_std: Tensor | float = 0.0,
) -> Tensor:
    r"""KL divergence of one Gaussian from another, number by number (nats).

    $$ \log\frac{s_p}{s_q} + \frac{s_q^2 + (m_q - m_p)^2}{2 s_p^2} - \frac12 $$

    Example:
        >>> normal_kl(torch.ones(1), torch.zeros(1))
        tensor([0.5000])
    """
    prior_log_std = torch.as_tensor(prior_log_std, dtype=mean.dtype, device=mean.device)
    ratio, moved = log_std - prior_log_std, (mean - prior_mean) * torch.exp(-prior_log_std)
    # expm1: of a posterior that nearly is the prior, exp(.) - 1 would be rounding errors as large
    # as the divergence.
    return 0.5 * (torch.expm1(2 * ratio) + moved.square()) - ratio


def discretized_logistic(
    pixels: Tensor, mean: Tensor, log_scale: Tensor, open_edges: bool = True
) -> Tensor:
    """log P of pixels 0..255 under the module's formula, pixel by pixel.

    Arguments:
        pixels: Values from 0 to 255, as any type of number.
        mean: Means on the scale where pixel v fills the bin from v / 256 to (v + 1) / 256.
        log_scale: Logarithm of s on that scale; broadcasts.
        open_edges: Whether the bins of 0 and 255 reach to infinity; else the form of the code
            released with IAF.

    Example:
        >>> v = torch.arange(256.0)
        >>> discretized_logistic(v, torch.tensor(0.5), torch.tensor(-3.0)).exp().sum().item()
        1.0
    """
    y = pixels / 256
    upper, lower = (y + 1 / 256 - mean) * torch.exp(-log_scale), (y - mean) * torch.exp(-log_scale)
    # log(sigmoid(b) - sigmoid(a)) = log sigmoid(b) + log sigmoid(-a) + log(1 - exp(a - b)): no
    # difference of near-equal numbers. The
    # width b - a of a bin is that of 1/256 whatever the mean.
    width = torch.exp(-log_scale) / 256
    inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
    if not open_edges:
        return torch.log(inside.exp() + 1e-7)
    return torch.where(
        pixels == 0, F.logsigmoid(upper), torch.where(pixels == 255, F.logsigmoid(-lower), inside)
    )


def logistic_log_probs(mean: Tensor, log_scale: Tensor, open_edges: bool = True) -> Tensor:
    r"""log P of all 256 pixels, (*shape, 256): what `discretized_logistic` gives, several times as
    fast.

    A bin's upper edge is the next one's lower edge, and $\log \sigma(-t) = \log \sigma(t) - t$: one
    evaluation an edge does for both sides.

    Arguments:
        mean: Means, as `discretized_logistic` takes them.
        log_scale: Broadcasts with the means.
        open_edges: As there.

    Example:
        >>> logistic_log_probs(torch.tensor([0.5, 0.7]), torch.tensor(-3.0)).exp().sum(1)
        tensor([1.0000, 1.0000])
    """
    if not open_edges:
        levels = torch.arange(256.0, dtype=mean.dtype, device=mean.device)
        return discretized_logistic(
            levels,
            mean[..., None],
            torch.broadcast_to(log_scale, mean.shape)[..., None],
            open_edges,
        )
    log_scale = torch.broadcast_to(log_scale, mean.shape)[..., None]
    edges = torch.arange(1, 256, dtype=mean.dtype, device=mean.device) / 256
    t = (edges - mean[..., None]) * torch.exp(-log_scale)
    below = t.clamp(max=0) - torch.log(
        1 + torch.exp(-t.abs())
    )  # right to the last digit of 1, which is what a logarithm of P is worth
    above = below - t
    width = torch.log(-torch.expm1(-torch.exp(-log_scale) / 256))
    return torch.cat(
        [below[..., :1], below[..., 1:] + above[..., :-1] + width, above[..., -1:]], -1
    )


def draw_logistic(
    mean: Tensor, log_scale: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Pixels 0..255 drawn from the discretized logistic with open edges, as uint8."""
    u = torch.rand(
        mean.shape, generator=generator, device=generator.device if generator else mean.device
    ).to(mean.device)
    u = u.clamp(min=2**-25)  # 0 comes once in 2**24 draws; 1 never comes
    y = mean + torch.exp(log_scale) * (torch.log(u) - torch.log1p(-u))
    return (y * 256).floor().clamp(0, 255).byte()
