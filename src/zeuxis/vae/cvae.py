r"""Conditional VAE: the hidden part of an image given the part that is seen.

With the seen pixels x, the hidden pixels y and a latent z, three networks give $p(z|x)$ (prior),
$q(z|x, y)$ (recognition) and $p(y|x, z)$ (generation). They are trained by the bound

$$ \log p(y|x) \ge \mathcal{L}_\text{CVAE} = \mathbb{E}_{q(z|x,y)}[\log p(y|x, z)]
   - \mathrm{KL}(q(z|x, y) \,\|\, p(z|x)) . $$

**Baseline.** A network without latents predicts each hidden pixel by itself, by the cross-entropy.
It is the first player. Its guess fills the hidden pixels of what the three networks see: the
paper's recurrent connection. No gradient of the bound reaches it.

**Hybrid objective.** At test time z comes from the prior, at training time from the recognition
network. The Gaussian stochastic neural network (GSNN) closes this gap, and a weight mixes the two:

$$ \mathcal{L} = \alpha \mathcal{L}_\text{CVAE} + (1 - \alpha) \mathcal{L}_\text{GSNN}, \qquad
   \mathcal{L}_\text{GSNN} = \mathbb{E}_{p(z|x)}[\log p(y|x, z)] . $$

The seen part is made of quadrants. Pixels are binary: each training step sets every pixel, seen or
hidden, to 1 with its brightness as probability (dynamic binarization).

Source: Sohn, Lee and Yan, "Learning Structured Output Representation using Deep Conditional
Generative Models", 2015, sections 4.1 and 4.2. Departures: ELU units and data-dependent weight
normalization, as in the VAE; the generation network sees x and the guess as the features that the
prior network has computed from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..capabilities import ELBO, Proposal
from ..data.dataset import Dataset, Spec
from ..data.masks import Quadrant, for_images, quadrants
from ..distributions.elementwise import bernoulli, normal, normal_kl
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.data_dependent_init import data_dependent_init
from ..noise import Noise
from ..ranges import BaseConfig, Fraction, Rate, Size
from .cvae_nets import networks

BATCH = 256  # images at a time in inference
FIRST = 500  # images that set the lengths of normalized weights


@dataclass(frozen=True)
class CVAEConfig(BaseConfig):
    """Settings of a CVAE; the defaults predict three quadrants of a digit from the bottom left."""

    seen: tuple[Quadrant, ...] = ("bottom-left",)
    """Quadrants that are given; all others are predicted."""
    architecture: Literal["dense", "conv", "residual"] = "dense"
    """Dense layers, plain convolutions, or residual blocks."""
    channels: tuple[Size, ...] = (16, 32, 32)
    """Channels after each halving of the side, in convolutions."""
    hidden_dim: Size = 500
    """Units of the dense layers."""
    latent_dim: Size = 200
    """Dimension of the latent z."""
    hybrid: Fraction = 1.0
    """Weight of the bound in the objective (alpha); the rest goes to the GSNN."""
    lr: Rate = 1e-3
    """Step size."""
    optimizer: Literal["adamax", "adam", "muon"] = "adam"
    """Optimizer."""


class CVAE(Model):
    """The baseline, the three networks and their objective.

    Example:
        >>> model = CVAE(*CVAE.tiny()).eval()
        >>> x = torch.zeros(5, 1, 28, 28, dtype=torch.uint8)
        >>> model.complete(x, model.visible, n=2).shape
        torch.Size([2, 5, 1, 28, 28])
    """

    name: ClassVar[str] = "cvae"
    Config: ClassVar[type] = CVAEConfig
    paper: ClassVar[str] = (
        "Sohn, Lee, Yan: Learning Structured Output Representation using Deep Conditional "
        "Generative Models, 2015"
    )
    clock: ClassVar[Literal["linear", "log"]] = "log"
    channels_last: ClassVar[bool] = True
    visible: Tensor

    @classmethod
    def tiny(cls) -> tuple[CVAEConfig, Spec]:
        return CVAEConfig(hidden_dim=16, latent_dim=3), Spec("tiny", (1, 28, 28), 10)

    def __init__(self, config: CVAEConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        c, self.levels = config, 2
        check(c, spec)
        self.register_buffer("visible", quadrants(c.seen, *spec.shape[1:]), persistent=False)
        self.baseline, self.networks = networks(c, spec.shape)

    def players(self) -> dict[str, Player]:
        settings = {"lr": self.config.lr, "optimizer": self.config.optimizer}
        return {
            "baseline": Player(self.baseline, **settings),
            "cvae": Player(self.networks, **settings),
        }

    @torch.no_grad()
    def initialize_from_data(self, data: Dataset, seed: int) -> None:
        """Sets the lengths and biases of normalized weights from 500 images."""
        rows = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:FIRST]
        x = data.batch(rows)[0].to(self.device)
        noise = Noise(seed, -1, slice(0, len(x)), len(x), x.device)
        with data_dependent_init(self):
            image = self.observed(x, noise)
            merged = self.merged(image, self.baseline(self.shown(image)))
            self.terms(image, merged, noise.normal(1, self.config.latent_dim))

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        alpha, latent = self.config.hybrid, self.config.latent_dim
        image = self.observed(batch.x, batch.noise)
        logits = self.baseline(self.shown(image))
        yield "baseline", -self.log_likelihood(image, logits).mean()

        merged = self.merged(image, logits.detach())
        distortion, rate = self.terms(image, merged, batch.noise.normal(1, latent))
        bound = -(distortion + rate).mean()
        batch.logs |= {"bound": bound.detach(), "rate": rate.detach().mean()}
        if alpha < 1:
            h, mean, log_std = self.networks.prior(merged)
            z = mean + log_std.exp() * batch.noise.normal(1, latent)
            gsnn = self.log_likelihood(image[:, None], self.networks.logits(h, z)).mean()
            batch.logs["gsnn"] = gsnn.detach()
            bound = alpha * bound + (1 - alpha) * gsnn
        yield "cvae", -bound

    def observed(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """Raw pixels as 0 or 1, drawn if there is noise."""
        if noise is not None:
            return (noise.uniform(*x.shape[1:]) * 255 < x).float()
        if not ((x == 0) | (x == 255)).all():
            raise UsageError(
                f"'{self.spec.name}' is modeled as binary and these pixels are not 0 or "
                "255: binarize them first."
            )
        return x.float() / 255

    def shown(self, image: Tensor) -> Tensor:
        """The image as the baseline sees it: hidden pixels are 0."""
        return image * self.visible

    def merged(self, image: Tensor, logits: Tensor) -> Tensor:
        """Seen pixels, and the baseline's probabilities in place of hidden ones."""
        return torch.where(self.visible, image, logits.sigmoid())

    def log_likelihood(self, image: Tensor, logits: Tensor) -> Tensor:
        """log p of the hidden pixels, summed; the last three dimensions are an image's."""
        return (bernoulli(image, logits) * ~self.visible).flatten(-3).sum(-1)

    def terms(
        self, image: Tensor, merged: Tensor, eps: Float[Tensor, "n k latent"]
    ) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n 1"]]:
        """Distortion -log p(y | x, z) of k latents from q, and the rate KL(q || p), in nats."""
        h, prior_mean, prior_log_std = self.networks.prior(merged)
        mean, log_std = self.networks.posterior(merged, image)
        logits = self.networks.logits(h, mean + log_std.exp() * eps)
        rate = normal_kl(mean, log_std, prior_mean, prior_log_std).sum(2)
        return -self.log_likelihood(image[:, None], logits), rate

    def conditioned(self, x: UInt8[Tensor, "n 1 h w"]) -> tuple[Tensor, Tensor, Tensor]:
        """Binary images, the baseline's logits, and the merged images."""
        image = self.observed(x.to(self.device))
        logits = self.baseline(self.shown(image))
        return image, logits, self.merged(image, logits)

    @torch.no_grad()
    def conditional_elbo(
        self, x: UInt8[Tensor, "n 1 h w"], *, generator: torch.Generator | None = None
    ) -> ELBO:
        """One-latent estimates of the bound on log p(y | x), of binary images."""
        image, _, merged = self.conditioned(x)
        eps = self.normal((len(x), 1, self.config.latent_dim), generator)
        distortion, rate = self.terms(image, merged, eps)
        return ELBO(distortion[:, 0], rate)

    @torch.no_grad()
    def conditional_log_weights(
        self,
        x: UInt8[Tensor, "n 1 h w"],
        k: int,
        *,
        proposal: Proposal = "recognition",
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "n k"]:
        """log p(y, z | x) - log r(z) for k latents of each image.

        Arguments:
            x: Whole images, 0 or 255.
            k: Latents per image.
            proposal: Where they come from: r is q(z | x, y), or p(z | x).
            generator: Source of randomness.
        """
        image, _, merged = self.conditioned(x)
        eps = self.normal((len(x), k, self.config.latent_dim), generator)
        h, prior_mean, prior_log_std = self.networks.prior(merged)
        if proposal == "prior":
            z = prior_mean + prior_log_std.exp() * eps
            return self.log_likelihood(image[:, None], self.networks.logits(h, z))
        mean, log_std = self.networks.posterior(merged, image)
        z = mean + log_std.exp() * eps
        ratio = normal(z, prior_mean, prior_log_std) - (normal(eps, 0.0, 0.0) - log_std)
        return self.log_likelihood(image[:, None], self.networks.logits(h, z)) + ratio.sum(2)

    @torch.no_grad()
    def baseline_log_prob(self, x: UInt8[Tensor, "n 1 h w"]) -> Float[Tensor, " n"]:
        """log p(y | x) of the baseline, in nats."""
        image, logits, _ = self.conditioned(x)
        return self.log_likelihood(image, logits)

    @torch.no_grad()
    def complete(
        self,
        x: UInt8[Tensor, "n 1 h w"],
        mask: Tensor,
        n: int = 1,
        *,
        generator: torch.Generator | None = None,
    ) -> UInt8[Tensor, "samples n 1 h w"]:
        """Draws the hidden pixels as 0 or 255: z from p(z | x), then y from p(y | x, z).

        Arguments:
            x: Images; gray pixels may stay gray, and the values of hidden ones do not matter.
            mask: True where a pixel is seen; must be the mask that the model was trained on.
            n: Completions of each image.
            generator: Source of randomness.

        Raises:
            UsageError: The mask is another one.
        """
        if not (for_images(mask, x) == self.visible.to(x.device)).all():
            raise UsageError(
                f"This model was trained to see the quadrants {', '.join(self.config.seen)} and "
                "the mask shows other pixels: complete with mask=model.visible, or train with "
                "--model.seen."
            )
        parts = [self.completed(part.to(self.device), n, generator) for part in x.split(BATCH)]
        return torch.cat(parts, 1)

    def completed(self, x: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
        """Completions (n, images, 1, height, width) of a batch."""
        image = x.float() / 255
        merged = self.merged(image, self.baseline(self.shown(image)))
        h, mean, log_std = self.networks.prior(merged)
        z = mean + log_std.exp() * self.normal((len(x), n, self.config.latent_dim), generator)
        p = self.networks.logits(h, z).sigmoid().transpose(0, 1)
        device = self.device if generator is None else generator.device
        u = torch.rand(p.shape, generator=generator, device=device).to(self.device)
        return torch.where(self.visible, x, ((u < p) * 255).byte())

    def normal(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
        """Standard normal numbers on the model's device."""
        device = self.device if generator is None else generator.device
        return torch.randn(shape, generator=generator, device=device).to(self.device)


def check(c: CVAEConfig, spec: Spec) -> None:
    """Refuses settings that cannot work."""
    if len(spec.shape) != 3 or spec.shape[0] != 1:
        raise UsageError(
            f"A CVAE predicts gray images as binary ones, and '{spec.name}' has examples of shape "
            f"{spec.shape}: add --channels 1."
        )
    visible = quadrants(c.seen, *spec.shape[1:])
    if visible.all() or not visible.any():
        raise UsageError(
            f"--model.seen {' '.join(c.seen)} shows {int(visible.sum())} of {visible.numel()} "
            f"pixels of '{spec.name}': name one to three quadrants of larger images."
        )
    if c.architecture != "dense":
        if spec.shape[1] != spec.shape[2]:
            raise UsageError(
                f"Convolutions need square images, and '{spec.name}' has examples of shape "
                f"{spec.shape}: add --size 32."
            )
        if not c.channels or 2 ** len(c.channels) > spec.shape[1]:
            raise UsageError(
                f"--model.channels {c.channels} halve images of {spec.shape[1]} pixels "
                f"{len(c.channels)} times: give fewer, at least one."
            )
