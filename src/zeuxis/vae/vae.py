r"""Variational autoencoder: encoder q(z | x) and decoder p(x | z), trained by the ELBO.

$$ \log p(x) \ge \mathcal{L}(x) = \mathbb{E}_{q(z|x)}[\log p(x|z)] - \mathrm{KL}(q(z|x) \,\|\,
   p(z)), \qquad p(z) = N(0, I) . $$

The latent is $z = \mu(x) + \sigma(x) \epsilon$ with $\epsilon \sim N(0, I)$, so that gradients pass
through it. Options:

**Free bits** $\lambda$ (Kingma et al. 2016, appendix C.8) prevent posterior collapse early in the
training: the objective counts each latent dimension with at least $\lambda$ nats, as
$\sum_j \max(\lambda, \overline{\mathrm{KL}_j})$ with the mean over the batch. **Importance
weighting** (Burda et al. 2016) trains $\log \frac1K \sum_k p(x, z_k) / q(z_k|x)$, a tighter bound.
**Warm-up** (Bowman et al. 2015) raises the weight of the KL term from 0 to 1, or to $\beta$
(beta-VAE, Higgins et al. 2017), which above 1 makes latents more independent and reconstructions
worse. Logs and evaluation use the plain bound.

Gray images are modeled as binary by default: each training step sets every pixel to 1 with its
brightness as probability (dynamic binarization; pixels of 0 and 255 do not change). Color images
have a discretized logistic likelihood with one scale per channel.

Source: Kingma and Welling, "Auto-Encoding Variational Bayes", 2013; Rezende, Mohamed and Wierstra,
2014. Departures: ELU units and data-dependent weight normalization instead of tanh or softplus
units (Kingma et al. 2016, section 6.1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..capabilities import ELBO, LogProb
from ..data.dataset import Dataset, Spec
from ..distributed import mean_over_batch
from ..distributions.elementwise import (
    bernoulli,
    discretized_logistic,
    logistic_log_probs,
    logistic_mean,
    normal,
    normal_kl,
)
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.data_dependent_init import data_dependent_init
from ..nn.precision import at_least_float32
from ..nn.trunk import Trunk, in_parts
from ..noise import Noise
from ..ranges import BaseConfig, CountOrNone, Range, Rate, Size, Weight
from .networks import ConvDecoder, ConvEncoder, DenseDecoder, DenseEncoder, dense
from .rendering import Rendering


@dataclass(frozen=True)
class VAEConfig(BaseConfig):
    """Settings of a VAE; the defaults are the networks of the IAF paper's digits with a diagonal
    posterior."""

    architecture: Literal["residual", "conv", "dense"] = "residual"
    """Residual blocks, plain convolutions, or dense layers."""
    channels: tuple[Size, ...] = (16, 32, 32)
    """Channels after each halving of the side."""
    hidden_dim: Size = 450
    """Units of the dense layers."""
    latent_dim: Size = 32
    """Dimension of the latent z."""
    likelihood: Literal["auto", "bernoulli", "logistic"] = "auto"
    """Distribution of a pixel: Bernoulli for binary images (auto for gray ones) or discretized
    logistic (auto for color)."""
    open_edges: bool = True
    """Whether the logistic's bins of 0 and 255 reach to infinity, so that its masses add up to 1;
    else the form of IAF's code."""
    free_bits: Weight = 0.0
    """Nats of each latent dimension that the objective does not penalize."""
    importance: Annotated[int, Range(1, 10000)] = 1
    """Samples of z per image; above 1, the importance-weighted bound is trained."""
    warmup: CountOrNone = 0
    """Images over which the weight of the KL term rises from 0."""
    beta: Weight = 1.0
    """Weight of the KL term in the objective (beta-VAE)."""
    lr: Rate = 1e-3
    """Step size."""
    optimizer: Literal["adamax", "adam", "muon"] = "adamax"
    """Optimizer."""


class VAE(Rendering, Model):
    """Encoder, decoder and bound.

    Example:
        >>> from zeuxis.data.dataset import Spec
        >>> model = VAE(
        ...     VAEConfig(channels=(4, 4), hidden_dim=16, latent_dim=3), Spec("tiny", (1, 28, 28))
        ... ).eval()
        >>> x = model.sample(2)
        >>> model.encode(x).shape, model.elbo(255 * (x > 127).byte()).rate.shape
        (torch.Size([2, 3]), torch.Size([2, 3]))
    """

    name: ClassVar[str] = "vae"
    Config: ClassVar[type] = VAEConfig
    paper: ClassVar[str] = "Kingma and Welling: Auto-Encoding Variational Bayes, 2013"
    clock: ClassVar[Literal["linear", "log"]] = "log"
    channels_last: ClassVar[bool] = True

    @classmethod
    def tiny(cls) -> tuple[VAEConfig, Spec]:
        config = VAEConfig(channels=(4, 4), hidden_dim=16, latent_dim=3)
        return config, Spec("tiny", (1, 28, 28), 10)

    def __init__(self, config: VAEConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        c = config
        self.binary = check(c, spec)
        self.levels = 2 if self.binary else 256
        outputs = spec.shape[0]
        self.encoder: DenseEncoder | ConvEncoder
        self.decoder: DenseDecoder | ConvDecoder
        if c.architecture == "dense":
            self.encoder = DenseEncoder(spec.shape, c.hidden_dim)
            self.decoder = DenseDecoder(spec.shape, c.hidden_dim, c.latent_dim)
        else:
            residual = c.architecture == "residual"
            self.encoder = ConvEncoder(spec.shape, c.channels, c.hidden_dim, residual)
            self.decoder = ConvDecoder(
                spec.shape, c.channels, c.hidden_dim, c.latent_dim, residual, outputs
            )
        self.mean = dense(self.encoder.features, c.latent_dim)
        self.log_std = dense(self.encoder.features, c.latent_dim, start=0.1)
        self.log_scale = None if self.binary else nn.Parameter(torch.full((outputs, 1, 1), -2.0))

    def players(self) -> dict[str, Player]:
        return {"model": Player(self, self.config.lr, optimizer=self.config.optimizer)}

    @torch.no_grad()
    def initialize_from_data(self, data: Dataset, seed: int) -> None:
        """Sets the lengths and biases of normalized weights from 500 images."""
        rows = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:500]
        x = data.batch(rows)[0].to(self.device)
        noise = Noise(seed, -1, slice(0, len(x)), len(x), x.device)
        with data_dependent_init(self):
            self.terms(
                self.observed(x, noise), noise.normal(1, self.config.latent_dim), expected=True
            )

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        c, x = self.config, self.observed(batch.x, batch.noise)
        distortion, rate = self.terms(
            x, batch.noise.normal(c.importance, c.latent_dim), expected=c.importance == 1
        )
        per_image = distortion.mean(1) + rate.sum(2).mean(1)
        batch.logs |= {
            "bound": -per_image.detach().mean(),
            "distortion": distortion.detach().mean(),
            "rate": rate.detach().sum(2).mean(),
        }
        yield "model", self.objective(distortion, rate, batch)

    def objective(self, distortion: Tensor, rate: Tensor, batch: Batch) -> Tensor:
        """What is minimized, in nats an image.

        Arguments:
            distortion: -log p(x | z), (n, k).
            rate: log q(z | x) - log p(z) of each latent dimension, (n, k, latent).
            batch: Gives the images seen, for the warm-up.
        """
        c = self.config
        weight = c.beta * (min(1.0, batch.images / c.warmup) if c.warmup else 1.0)
        if c.importance > 1:
            log_weights = -distortion - weight * rate.sum(2)
            return -(torch.logsumexp(log_weights, 1) - math.log(c.importance)).mean()
        per_dimension = mean_over_batch(rate.mean(1))
        if c.free_bits:
            per_dimension = per_dimension.clamp(min=c.free_bits)
        return distortion.mean() + weight * per_dimension.sum()

    def terms(
        self, x: Tensor, eps: Float[Tensor, "n k latent"], expected: bool
    ) -> tuple[Tensor, Tensor]:
        """Distortion (n, k) and rate (n, k, latent) for k latents of each image, in nats.

        Arguments:
            x: Pixels, binary as 0 and 1, else from 0 to 255.
            eps: Standard normal numbers that the latents are made of.
            expected: Take the rate's expectation where it is known; importance weights need its
                sample.
        """
        n, k = eps.shape[:2]
        h = self.encoder(self.scaled(x))
        z, rate = self.infer(h, eps, expected)
        out = at_least_float32(self.decoder(z.flatten(0, 1))).unflatten(0, (n, k))
        return -self.log_likelihood(x[:, None], out).flatten(2).sum(2), rate

    def infer(self, h: Tensor, eps: Tensor, expected: bool) -> tuple[Tensor, Tensor]:
        """Latents (n, k, latent) from the encoder's features, and the rate of each of their
        dimensions: the KL divergence or its sample."""
        mean, log_std = (at_least_float32(head(h))[:, None] for head in (self.mean, self.log_std))
        z = mean + log_std.exp() * eps
        if expected:
            return z, normal_kl(mean, log_std).expand_as(z)
        return z, normal(eps, 0.0, 0.0) - log_std - normal(z, 0.0, 0.0)

    def log_likelihood(self, x: Tensor, out: Tensor) -> Tensor:
        """log p(x | z), pixel by pixel, from the decoder's outputs."""
        if self.log_scale is None:
            return bernoulli(x, out)
        return discretized_logistic(x, logistic_mean(out), self.log_scale, self.config.open_edges)

    def observed(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """Raw pixels as the likelihood takes them: drawn as 0 or 1, or left from 0 to 255."""
        x = x.float()
        if not self.binary:
            return x
        if noise is not None:
            return (noise.uniform(*x.shape[1:]) * 255 < x).float()
        if not ((x == 0) | (x == 255)).all():
            raise UsageError(
                f"'{self.spec.name}' is modeled as binary and these pixels are not 0 or "
                "255: binarize them first."
            )
        return x / 255

    def scaled(self, x: Tensor) -> Tensor:
        """Pixels as the encoder takes them."""
        return x if self.binary else x / 127.5 - 1

    @torch.no_grad()
    def elbo(
        self,
        x: UInt8[Tensor, "n channels height width"],
        *,
        generator: torch.Generator | None = None,
    ) -> ELBO:
        """One-sample estimates of distortion and rate of each image (binary ones as 0 and 255)."""
        pixels = self.observed(x.to(self.device))
        distortion, rate = self.terms(
            pixels, self.drawn((len(x), 1, self.config.latent_dim), generator), expected=True
        )
        return ELBO(distortion[:, 0], rate[:, 0])

    @torch.no_grad()
    def log_weights(
        self,
        x: UInt8[Tensor, "n channels height width"],
        k: int,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "n k"]:
        """log p(x, z) - log q(z | x) for k latents of each image."""
        pixels = self.observed(x.to(self.device))
        distortion, rate = self.terms(
            pixels, self.drawn((len(x), k, self.config.latent_dim), generator), expected=False
        )
        return -(distortion + rate.sum(2))

    def log_prob(self, x: UInt8[Tensor, "n channels height width"]) -> LogProb:
        """The bound by one sample of the latent, the same in every call."""
        return LogProb(self.elbo(x, generator=torch.Generator().manual_seed(0)).nats, exact=False)

    @torch.no_grad()
    def posterior(
        self, x: UInt8[Tensor, "n channels height width"]
    ) -> tuple[Float[Tensor, "n latent"], Float[Tensor, "n latent"]]:
        """Means and logarithms of the standard deviations of q(z | x), in the precision of the
        weights."""
        pixels = self.scaled(self.observed(x.to(self.device)))
        h = self.encoder(pixels.to(next(self.parameters()).dtype))
        return at_least_float32(self.mean(h)), at_least_float32(self.log_std(h))

    @torch.no_grad()
    def pixels(
        self, z: Float[Tensor, "n latent"]
    ) -> Float[Tensor, "n channels height width levels"]:
        """Log-probabilities of every level of each number given latents."""
        out = at_least_float32(self.decoder(z.to(self.device)))
        if self.log_scale is None:
            return bernoulli(
                torch.tensor([0.0, 1.0], dtype=out.dtype, device=out.device), out[..., None]
            )
        return logistic_log_probs(logistic_mean(out), self.log_scale, self.config.open_edges)

    def drawn(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
        """Standard normal numbers on the model's device."""
        device = generator.device if generator is not None else self.device
        return torch.randn(shape, generator=generator, device=device).to(self.device)

    def prior(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n latent"]:
        """n latents from N(0, I)."""
        return self.drawn((n, self.config.latent_dim), generator)

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "n latent"]) -> UInt8[Tensor, "n channels height width"]:
        """Mean images for these latents; of binary ones the probability that a pixel is 1, as its
        brightness."""
        images = []
        for part in z.split(500):
            images.append(self.render(part).round().clamp(0, 255).byte().contiguous())
        return torch.cat(images)

    def sample(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "n channels height width"]:
        """Mean images of n latents from the prior, as papers show them."""
        return self.decode(self.prior(n, generator=generator))

    @torch.no_grad()
    def encode(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n latent"]:
        """The latent at the center of each image's posterior; gray images may be given as they
        are."""
        latents = []
        for part in x.split(500):
            pixels = part.to(self.device).float()
            h = self.encoder(self.scaled(pixels / 255 if self.binary else pixels))
            center = torch.zeros(len(part), 1, self.config.latent_dim, device=self.device)
            latents.append(self.infer(h, center, expected=False)[0][:, 0])
        return torch.cat(latents)

    def trunk(self) -> Trunk:
        """Gray images as they are to the encoder's last hidden layer."""
        scale, offset = (1 / 255, 0.0) if self.binary else (1 / 127.5, -1.0)
        return Trunk(self.encoder, nn.Module.__call__, scale, offset)

    def features(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """The encoder's last hidden layer, from which a linear classifier makes fewer errors than
        from the latent."""
        return in_parts(self.trunk(), x)


def check(c: VAEConfig, spec: Spec) -> bool:
    """Refuses settings that cannot work; returns whether pixels are binary."""
    if len(spec.shape) != 3 or (c.architecture != "dense" and spec.shape[1] != spec.shape[2]):
        raise UsageError(
            f"A VAE is for square images, and '{spec.name}' has examples of shape "
            f"{spec.shape}: add --size 32."
        )
    if c.architecture != "dense" and (not c.channels or 2 ** len(c.channels) > spec.shape[1]):
        raise UsageError(
            f"--model.channels {c.channels} halve images of {spec.shape[1]} pixels "
            f"{len(c.channels)} times: give fewer, at least one."
        )
    if c.importance > 1 and (c.free_bits or c.beta != 1):
        other = "free-bits" if c.free_bits else "beta"
        raise UsageError(
            f"--model.{other} is for the bound by one sample: leave it out, or --model.importance."
        )
    return c.likelihood == "bernoulli" or (c.likelihood == "auto" and spec.shape[0] == 1)
