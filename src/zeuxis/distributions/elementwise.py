r"""Elementwise log-probabilities in nats: Bernoulli, Gaussian and discretized logistic.

Pixels are integers from 0 to 255. Under a **discretized logistic** a pixel v has the mass of a
logistic distribution of mean $\mu$ and scale s over the pixel's bin, with $y = v / 256$ and the
sigmoid $\sigma$ as cumulative distribution:

$$ P(v) = \sigma\Big(\frac{y + 1/256 - \mu}{s}\Big) - \sigma\Big(\frac{y - \mu}{s}\Big) . $$

With *open* edges the bins of 0 and 255 reach to infinity, so the 256 masses sum to 1. The code
released with IAF has closed edges: mass outside [0, 1] is lost, which costs up to a bit for
saturated pixels. It also adds $10^{-7}$ to each mass inside the logarithm, so the 256 masses sum to
at most 1.0000256 (0.00004 bits/dim too good).

Sources: Kingma et al., "Improving Variational Inference with Inverse Autoregressive Flow", 2016,
appendix C.5; Salimans et al., "PixelCNN++", 2017, section 2.1; Kingma and Welling, "Auto-Encoding
Variational Bayes", 2013, appendix B.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def bernoulli(x: Float[Tensor, "*#shape"], logits: Float[Tensor, "*#shape"]) -> Tensor:
    """log P(x) for x in {0, 1}; for a probability x its expected value.

    The two arguments broadcast.

    Example:
        >>> bernoulli(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0]))
        tensor([-0.6931, -0.6931])
    """
    return x * logits - F.softplus(logits)


def normal(z: Tensor, mean: Tensor | float, log_std: Tensor | float) -> Tensor:
    """Elementwise log-density of a Gaussian.

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
    r"""Elementwise KL divergence of one Gaussian from another (nats).

    $$ \log\frac{s_p}{s_q} + \frac{s_q^2 + (m_q - m_p)^2}{2 s_p^2} - \frac12 $$

    Example:
        >>> normal_kl(torch.ones(1), torch.zeros(1))
        tensor([0.5000])
    """
    prior_log_std = torch.as_tensor(prior_log_std, dtype=mean.dtype, device=mean.device)
    ratio, shift = log_std - prior_log_std, (mean - prior_mean) * torch.exp(-prior_log_std)
    # If the posterior nearly equals the prior, exp(.) - 1 would have rounding errors as large as
    # the divergence.
    return 0.5 * (torch.expm1(2 * ratio) + shift.square()) - ratio


def discretized_logistic(
    pixels: Tensor, mean: Tensor, log_scale: Tensor, open_edges: bool = True
) -> Tensor:
    """Elementwise log P of pixels 0..255 (formula in the module's docstring).

    Arguments:
        pixels: Values from 0 to 255, of any dtype.
        mean: Means, where pixel v is the bin from v / 256 to (v + 1) / 256.
        log_scale: Logarithm of s in the same units; broadcasts.
        open_edges: Whether the bins of 0 and 255 reach to infinity; False is the form of the code
            released with IAF.

    Example:
        >>> v = torch.arange(256.0)
        >>> discretized_logistic(v, torch.tensor(0.5), torch.tensor(-3.0)).exp().sum().item()
        1.0
    """
    y = pixels / 256
    upper, lower = (y + 1 / 256 - mean) * torch.exp(-log_scale), (y - mean) * torch.exp(-log_scale)
    # log(sigmoid(b) - sigmoid(a)) = log sigmoid(b) + log sigmoid(-a) + log(1 - exp(a - b)) has no
    # difference of nearly equal numbers; b - a is the width of a bin.
    width = torch.exp(-log_scale) / 256
    inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
    if not open_edges:
        return torch.log(inside.exp() + 1e-7)
    not_first = torch.where(pixels == 255, F.logsigmoid(-lower), inside)
    return torch.where(pixels == 0, F.logsigmoid(upper), not_first)


def logistic_log_probs(mean: Tensor, log_scale: Tensor, open_edges: bool = True) -> Tensor:
    r"""log P of all 256 pixel values, (*shape, 256); faster than `discretized_logistic` of each.

    The upper edge of a bin is the lower edge of the next,
    and $\log \sigma(-t) = \log \sigma(t) - t$,
    so each edge is evaluated once.

    Arguments:
        mean: Means as for `discretized_logistic`.
        log_scale: Logarithm of s; broadcasts with the means.
        open_edges: As for `discretized_logistic`.

    Example:
        >>> logistic_log_probs(torch.tensor([0.5, 0.7]), torch.tensor(-3.0)).exp().sum(1)
        tensor([1.0000, 1.0000])
    """
    if not open_edges:
        levels = torch.arange(256.0, dtype=mean.dtype, device=mean.device)
        log_scale = torch.broadcast_to(log_scale, mean.shape)
        return discretized_logistic(levels, mean[..., None], log_scale[..., None], open_edges)
    log_scale = torch.broadcast_to(log_scale, mean.shape)[..., None]
    edges = torch.arange(1, 256, dtype=mean.dtype, device=mean.device) / 256
    t = (edges - mean[..., None]) * torch.exp(-log_scale)
    # log(1 + e) instead of log1p(e) errs in the last digit of 1 only, which is enough for a log P.
    below = t.clamp(max=0) - torch.log(1 + torch.exp(-t.abs()))
    above = below - t
    width = torch.log(-torch.expm1(-torch.exp(-log_scale) / 256))
    return torch.cat(
        [below[..., :1], below[..., 1:] + above[..., :-1] + width, above[..., -1:]], -1
    )


def logistic_mean(out: Tensor) -> Tensor:
    """Means of discretized logistics from a decoder's outputs: half a unit up, and between the
    centers of the bins of 0 and 255.

    Example:
        >>> logistic_mean(torch.tensor([-9.0, 0.0, 9.0])) * 512
        tensor([  1., 256., 511.])
    """
    return (out + 0.5).clamp(1 / 512, 1 - 1 / 512)


def mean_pixels(mean: Tensor) -> UInt8[Tensor, "*shape"]:
    """The pixels in whose bins the means of discretized logistics lie.

    Example:
        >>> mean_pixels(torch.tensor([1 / 512, 0.5, 511 / 512]))
        tensor([  0, 128, 255], dtype=torch.uint8)
    """
    return (mean * 256 - 0.5).round().clamp(0, 255).byte().contiguous()
