"""What restoration asks of a VAE: images and likelihoods of codes with gradients, and proposals.

Images are floats in pixel units, 0 to 255. Pixels that are modeled as binary may be gray here: the
encoder takes their brightness as it is, and their log-likelihood is the cross-entropy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..distributions.elementwise import logistic_mean
from ..nn.precision import at_least_float32

Images = Float[Tensor, "n channels height width"]
Latents = Float[Tensor, "n latent"]


class Rendering:
    """Methods of a VAE with independent pixels.

    Attributes:
        binary: Whether pixels are modeled as binary.
        encoder: Scaled images to features.
        decoder: Codes to outputs.
        mean: Features to means of q(z | x).
        log_std: Features to logarithms of the standard deviations.
        log_scale: Of the logistic likelihood; None for binary pixels.
    """

    binary: bool
    encoder: nn.Module
    decoder: nn.Module
    mean: nn.Module
    log_std: nn.Module
    log_scale: nn.Parameter | None

    if TYPE_CHECKING:

        @property
        def device(self) -> torch.device: ...

        def scaled(self, x: Tensor) -> Tensor: ...

        def log_likelihood(self, x: Tensor, out: Tensor) -> Tensor: ...

    def outputs(self, z: Latents) -> Images:
        """The decoder's outputs: logits, or means on the decoder's scale."""
        return at_least_float32(self.decoder(z.to(self.device)))

    def render(self, z: Latents) -> Images:
        """Mean images for these codes, with gradients."""
        out = self.outputs(z)
        return torch.sigmoid(out) * 255 if self.binary else logistic_mean(out) * 256 - 0.5

    def pixel_log_prob(self, x: Images, z: Latents) -> Images:
        """log p(x | z) of each number in nats, with gradients."""
        out = self.outputs(z)
        x = x.to(out)
        return self.log_likelihood(x / 255 if self.binary else x, out)

    def pixel_variance(self, mean: Images, z: Latents) -> Images:
        """Variances of the pixels given codes whose mean images are these."""
        if self.log_scale is None:
            return mean * (255 - mean)
        return ((256 * self.log_scale.exp()).square() * math.pi**2 / 3).expand_as(mean)

    @torch.no_grad()
    def propose(self, x: Images) -> tuple[Latents, Latents]:
        """Means and logarithms of the standard deviations of q(z | x)."""
        x = x.to(self.device)
        h = self.encoder(self.scaled(x / 255 if self.binary else x))
        return at_least_float32(self.mean(h)), at_least_float32(self.log_std(h))

    @torch.no_grad()
    def draw_pixels(self, z: Latents, *, generator: torch.Generator | None = None) -> Images:
        """Images drawn from p(x | z)."""
        mean = self.render(z)
        device = mean.device if generator is None else generator.device
        u = torch.rand(mean.shape, generator=generator, device=device).to(mean)
        if self.log_scale is None:
            return (255 * u < mean).float() * 255
        u = u.clamp(1e-6, 1 - 1e-6)
        noise = 256 * self.log_scale.exp() * (u.log() - (-u).log1p())
        return (mean + noise).round().clamp(0, 255)
