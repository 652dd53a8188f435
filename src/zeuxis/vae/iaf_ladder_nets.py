r"""A layer of the IAF ladder: latents, with a residual block bottom-up and one top-down.

The bottom-up block gives mean, log deviation and context of the posterior, $(\mu_\uparrow,
s_\uparrow, h_\uparrow)$; the top-down block gives the same, $(\mu_\downarrow, s_\downarrow,
h_\downarrow)$, and the prior $N(\mu_p, e^{2 s_p})$. With $\epsilon \sim N(0, I)$ the posterior's
sample and its density are

$$ z_0 = \mu_\uparrow + \mu_\downarrow + e^{s_\uparrow + s_\downarrow} \epsilon, \qquad
   z = \mathrm{IAF}(z_0, h_\uparrow + h_\downarrow), \qquad
   \log q(z) = \log N(\epsilon; 0, I) - s_\uparrow - s_\downarrow - \log |\det J_\mathrm{IAF}| , $$

and the rate is $\log q(z) - \log p(z)$. Without images z comes from the prior.

Source: Kingma et al., "Improving Variational Inference with Inverse Autoregressive Flow", 2016,
figure 3 and the code released with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..distributions.elementwise import normal, normal_kl
from ..nn.elu import elu
from ..nn.precision import at_least_float32
from ..nn.weight_norm import WeightNorm
from .flows import ConvStep, affine

if TYPE_CHECKING:
    from .iaf_ladder import LadderConfig


def conv(inside: int, out: int, kernel: int = 3, stride: int = 1) -> WeightNorm:
    """A convolution whose outputs start with a standard deviation of 0.1."""
    return WeightNorm(nn.Conv2d(inside, out, kernel, stride, kernel // 2), gain=True, start=0.1)


def grow(inside: int, out: int, kernel: int = 3) -> WeightNorm:
    """A transposed convolution that doubles the side."""
    layer = nn.ConvTranspose2d(inside, out, kernel, 2, kernel // 2, 1)
    return WeightNorm(layer, gain=True, start=0.1)


class BottomUp(NamedTuple):
    """What the bottom-up block of a layer leaves for its posterior."""

    mean: Tensor
    log_std: Tensor
    context: Tensor


class Layer(nn.Module):
    """One layer of latents with its bottom-up and its top-down block.

    Arguments:
        config: The settings.
        halve: Whether the bottom-up block halves the side and the top-down block doubles it.
    """

    def __init__(self, config: LadderConfig, halve: bool) -> None:
        super().__init__()
        c, h, z = config, config.channels, config.latent_dim
        self.halve, self.widths = halve, (z, h)
        self.bidirectional = c.inference == "bidirectional"
        self.up_first, self.up_last = conv(h, 2 * z + 2 * h, stride=2 if halve else 1), conv(h, h)
        self.down_first = conv(h, 4 * z + 2 * h)
        self.down_last = grow(z + h, h) if halve else conv(z + h, h)
        linear = c.posterior == "linear"
        count = 0 if c.posterior == "factorized" else c.steps
        self.steps = nn.ModuleList(
            ConvStep(z, h, 0 if linear else c.layers, c.scaled and not linear) for _ in range(count)
        )

    def bottom_up(self, h: Tensor) -> tuple[Tensor, BottomUp]:
        """The next bottom-up state, and what the posterior needs."""
        z, channels = self.widths
        parts = self.up_first(elu(h)).split([z, z, channels, channels], 1)
        mean, log_std, context, out = parts
        skip = F.avg_pool2d(h, 2) if self.halve else h
        found = BottomUp(at_least_float32(mean), at_least_float32(log_std), context)
        return skip + 0.1 * self.up_last(elu(out)), found

    def top_down(
        self, h: Tensor, eps: Tensor, found: BottomUp | None = None, expected: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        r"""The next top-down state; the rate of each number of the latent (nats); and the latent
        standardized by its prior, $(z - \mu_p) / e^{s_p}$.

        Arguments:
            h: The top-down state, (n, channels, height, width).
            eps: Standard normal numbers that the latent is made of, (n, latent_dim, height, width).
            found: What the bottom-up block found for an image; without it the latent is drawn from
                the prior and costs nothing.
            expected: Take the KL divergence where it is known in closed form.
        """
        z_dim, channels = self.widths
        parts = self.down_first(elu(h)).split([z_dim] * 4 + [channels] * 2, 1)
        prior_mean, prior_log_std, mean, log_std = map(at_least_float32, parts[:4])
        context, out = parts[4:]
        if found is None:
            z, rate, standardized = (
                prior_mean + prior_log_std.exp() * eps,
                torch.zeros_like(eps),
                eps,
            )
        else:
            if self.bidirectional:
                mean, log_std = mean + found.mean, log_std + found.log_std
                context = context + found.context
            else:
                mean, log_std, context = found
            z, log_q = self.flow(
                mean + log_std.exp() * eps, normal(eps, 0.0, 0.0) - log_std, context
            )
            standardized = (z - prior_mean) * torch.exp(-prior_log_std)
            if expected and not self.steps:
                rate = normal_kl(mean, log_std, prior_mean, prior_log_std)
            else:
                rate = log_q - (normal(standardized, 0.0, 0.0) - prior_log_std)
        skip = F.interpolate(h, scale_factor=2) if self.halve else h
        branch = self.down_last(elu(torch.cat([z.to(out.dtype), out], 1)))
        return skip + 0.1 * branch, rate, standardized

    def flow(self, z: Tensor, log_q: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """The latent and its log-density after the flow; every second step runs in the opposite
        order."""
        for i, step in enumerate(self.steps):
            turn = (lambda t: t.flip(1, 2, 3)) if i % 2 else (lambda t: t)
            z, log_scale = affine(turn(z), *step(turn(z), turn(context)))
            z, log_q = turn(z), log_q - turn(log_scale)
        return z, log_q
