r"""Networks of the conditional VAE: the baseline, and prior, recognition and generation.

The baseline maps the seen pixels to a logit of each pixel. Its probabilities fill the hidden pixels
of the merged image. The prior network maps the merged image to the mean and the logarithm of the
standard deviation (log-std) of $p(z|x)$, and the recognition network maps the merged image and the
whole one to those of $q(z|x, y)$. The generation network maps a latent z and the prior network's
features to the logits of $p(y|x, z)$.

Source: Sohn, Lee and Yan, "Learning Structured Output Representation using Deep Conditional
Generative Models", 2015, section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..nn.precision import at_least_float32
from .networks import ConvDecoder, ConvEncoder, DenseDecoder, DenseEncoder, dense

if TYPE_CHECKING:
    from .cvae import CVAEConfig


class Baseline(nn.Module):
    """The baseline: logits of all pixels from the seen ones, without a latent."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> Tensor:
        return at_least_float32(self.decoder(self.encoder(x)))


class CVAENetworks(nn.Module):
    """The prior, recognition and generation networks.

    Arguments:
        encoder: Makes an encoder for images of this number of channels.
        decoder: Makes a decoder of vectors of this length.
        hidden: Length of an encoder's features.
        latent: Dimension of z.
    """

    def __init__(
        self,
        encoder: Callable[[int], nn.Module],
        decoder: Callable[[int], nn.Module],
        hidden: int,
        latent: int,
    ) -> None:
        super().__init__()
        self.context, self.recognition = encoder(1), encoder(2)
        self.prior_mean, self.prior_log_std = heads(hidden, latent)
        self.mean, self.log_std = heads(hidden, latent)
        self.generation = decoder(latent + hidden)

    def prior(self, merged: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of the merged image; mean and log-std of p(z | x), each (n, 1, latent)."""
        h = self.context(merged)
        mean, log_std = self.prior_mean(h), self.prior_log_std(h)
        return h, at_least_float32(mean)[:, None], at_least_float32(log_std)[:, None]

    def posterior(self, merged: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-std of q(z | x, y), each (n, 1, latent)."""
        h = self.recognition(torch.cat([merged, image], 1))
        return at_least_float32(self.mean(h))[:, None], at_least_float32(self.log_std(h))[:, None]

    def logits(self, h: Tensor, z: Float[Tensor, "n k latent"]) -> Float[Tensor, "n k 1 h w"]:
        """Logits of p(y | x, z) for k latents of each image."""
        k = z.shape[1]
        joint = torch.cat([z, h[:, None].expand(-1, k, -1).to(z.dtype)], 2)
        return at_least_float32(self.generation(joint.flatten(0, 1))).unflatten(0, (-1, k))


def heads(hidden: int, latent: int) -> tuple[nn.Module, nn.Module]:
    """Layers for the mean and the log-std of a latent."""
    return dense(hidden, latent), dense(hidden, latent, start=0.1)


def networks(c: CVAEConfig, shape: Sequence[int]) -> tuple[Baseline, CVAENetworks]:
    """The baseline and the three networks of a config, for gray images of this shape."""
    residual = c.architecture == "residual"

    def encoder(channels: int) -> nn.Module:
        if c.architecture == "dense":
            return DenseEncoder((channels, *shape[1:]), c.hidden_dim)
        return ConvEncoder((channels, *shape[1:]), c.channels, c.hidden_dim, residual)

    def decoder(inputs: int) -> nn.Module:
        if c.architecture == "dense":
            return DenseDecoder(shape, c.hidden_dim, inputs)
        return ConvDecoder(shape, c.channels, c.hidden_dim, inputs, residual, 1)

    pixels = dense(c.hidden_dim, torch.Size(shape).numel(), start=0.1)
    last = nn.Sequential(pixels, nn.Unflatten(1, tuple(shape)))
    baseline = Baseline(encoder(1), last if c.architecture == "dense" else decoder(c.hidden_dim))
    return baseline, CVAENetworks(encoder, decoder, c.hidden_dim, c.latent_dim)
