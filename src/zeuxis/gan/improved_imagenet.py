r"""Improved GAN at 128x128: the authors' networks for ImageNet, on which virtual batch
normalization and smoothed labels were needed.

The discriminator has K + 1 logits here, the last one for "generated", and its logit of being real
is $a = \log\sum_k e^{l_k} - l_{K+1}$. With $\alpha = 0.75$, and $H$ the binary cross-entropy less
the entropy of its target (so that its least value is 0),

$$ L_D = H(\alpha, a(x)) + H(0, a(G(z))) - \mathbb{E}[\log p(y | x)], \qquad
   L_G = H(\alpha / 2, a(G(z))) . $$

The networks are in `improved_imagenet_nets`: the discriminator compares real with generated images,
so both go through it together, and the generator gets fresh noise at every resolution.

Source: Salimans et al., "Improved Techniques for Training GANs", 2016, section 6.4, and the
released code. Departures: the players move in turn, not at once; cropping to the central square is
left to the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from ..data.dataset import Spec
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..noise import Noise
from ..ranges import BaseConfig, Decay, Range, Rate, Size, Weight
from .improved_imagenet_nets import CrossBatchNorm, Discriminator128, FreshNoise, Generator128
from .losses import frozen, mean_probabilities


@dataclass(frozen=True)
class ImprovedGAN128Config(BaseConfig):
    """Settings of an Improved GAN at 128 pixels; the defaults are those of the released code."""

    latent_dim: Size = 8192
    """Numbers in a code, uniform on (-1, 1)."""
    virtual: Size = 16
    """Codes in the reference batch of virtual batch normalization."""
    smoothing: Annotated[float, Range(0.5, 1, above=True)] = 0.75
    """Target for real images; the generator aims at half of it."""
    kernels: Size = 300
    """Kernels of minibatch discrimination."""
    dimensions: Size = 50
    """Dimension of the space in which each measures distance."""
    noise: Weight = 0.1
    """Standard deviation of the noise on the discriminator's input."""
    width: Annotated[float, Range(0, 100, above=True)] = 1.0
    """Channels and units relative to the authors' networks."""
    lr: Rate = 4e-4
    """Step size of both players."""
    beta1: Decay = 0.5
    """Adam's decay of the first moment."""


class ImprovedGAN128(Model):
    """The two players at 128 pixels, their game, and the generator as a sampler.

    Example:
        >>> from zeuxis.data.dataset import Spec
        >>> small = ImprovedGAN128Config(width=0.05, latent_dim=8, virtual=4, kernels=3)
        >>> ImprovedGAN128(small, Spec("photographs", (3, 128, 128), 1000)).eval().sample(2).shape
        torch.Size([2, 3, 128, 128])
    """

    name: ClassVar[str] = "improved-gan-128"
    Config: ClassVar[type] = ImprovedGAN128Config
    paper: ClassVar[str] = "Salimans et al.: Improved Techniques for Training GANs, 2016"
    channels_last: ClassVar[bool] = True
    reference: Tensor

    @classmethod
    def tiny(cls) -> tuple[ImprovedGAN128Config, Spec]:
        config = ImprovedGAN128Config(width=0.03, latent_dim=8, virtual=4, kernels=3, dimensions=2)
        return config, Spec("tiny", (3, 128, 128), 10)

    def __init__(self, config: ImprovedGAN128Config, spec: Spec) -> None:
        super().__init__(config, spec)
        check(config, spec)
        c, channels, classes = config, spec.shape[0], max(1, spec.classes)
        self.generator = Generator128(c.latent_dim, c.virtual, c.width, channels)
        self.discriminator = Discriminator128(c.kernels, c.dimensions, c.width, channels, classes)
        self.register_buffer("reference", torch.rand(c.virtual, c.latent_dim) * 2 - 1)

    def players(self) -> dict[str, Player]:
        c = self.config
        return {
            name: Player(getattr(self, name), c.lr, (c.beta1, 0.999))
            for name in ("discriminator", "generator")
        }

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        c, noise, x = self.config, batch.noise, self.scale(batch.x)

        with torch.no_grad():
            fake = self.drawn(noise)
        on_real, on_fake, logits = self.discriminate(x, fake, noise)
        loss = divergence(on_real, c.smoothing) + divergence(on_fake, 0.0)
        batch.logs |= mean_probabilities(on_real, on_fake)
        if self.spec.classes and batch.y is not None:
            known = batch.y >= 0
            classes = F.cross_entropy(logits, batch.y.clamp(min=0), reduction="none")
            loss = loss + (classes * known).sum() / known.sum().clamp(min=1)
        yield "discriminator", loss

        with frozen(self.discriminator):
            _, on_fake, _ = self.discriminate(x, self.drawn(noise), noise)
            loss = divergence(on_fake, c.smoothing / 2)
        yield "generator", loss

    def discriminate(
        self, x: Tensor, fake: Tensor, noise: Noise | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of being real of real and of generated images, and the K + 1 logits of the real
        ones."""
        together = torch.cat([x, fake])
        if noise is not None:
            jitter = torch.cat([noise.normal(*x.shape[1:]), noise.normal(*x.shape[1:])])
            together = torch.add(together, jitter, alpha=self.config.noise)
        _, logits = self.discriminator(together, len(x))
        real = logits[:, :-1].logsumexp(1) - logits[:, -1]
        return real[: len(x)], real[len(x) :], logits[: len(x)]

    def drawn(self, noise: Noise) -> Tensor:
        """Scaled images from fresh codes."""
        return self.generate(
            noise.uniform(self.config.latent_dim, low=-1, high=1),
            lambda *shape: noise.uniform(*shape, low=-1, high=1),
        )

    def generate(self, z: Tensor, fresh: FreshNoise) -> Tensor:
        """Scaled images for codes and noise. The reference batch, with noise that never changes,
        goes in front."""
        n = len(self.reference)
        own = torch.Generator(z.device).manual_seed(0)

        def noise(*shape: int) -> Tensor:
            return torch.cat(
                [torch.rand(n, *shape, generator=own, device=z.device) * 2 - 1, fresh(*shape)]
            )

        return self.generator(torch.cat([self.reference, z]), noise)[n:]

    def scale(self, x: Tensor) -> Tensor:
        """uint8 pixels to [-1, 1]."""
        return (x.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def update_statistics(self, x: Tensor | None = None) -> None:
        """Sets the discriminator's statistics used after training, from images x and as many
        generated ones."""
        if x is None or not len(x):
            return
        norms = [part for part in self.discriminator.modules() if isinstance(part, CrossBatchNorm)]
        x = self.scale(x[:64].to(self.device))
        draw = Noise(0, 0, slice(0, len(x)), len(x), x.device)
        for norm in norms:
            norm.keep = True
        try:
            self.discriminate(x, self.drawn(draw))
        finally:
            for norm in norms:
                norm.keep = False

    def prior(self, n: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "n code"]:
        """n codes, uniform on (-1, 1)."""
        device = generator.device if generator is not None else self.device
        return (
            torch.rand(n, self.config.latent_dim, generator=generator, device=device) * 2 - 1
        ).to(self.device)

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "n code"]) -> UInt8[Tensor, "n channels height width"]:
        """Images for these codes, all with the same noise beside them."""
        same = torch.Generator(self.device).manual_seed(1)
        beside: dict[tuple[int, ...], Tensor] = {}

        def fresh(*shape: int) -> Tensor:
            if shape not in beside:
                beside[shape] = torch.rand(1, *shape, generator=same, device=self.device) * 2 - 1
            return beside[shape].expand(len(part), *shape)

        images = []
        for part in z.split(64):
            images.append(to_bytes(self.generate(part.to(self.device), fresh)))
        return torch.cat(images)

    @torch.no_grad()
    def sample(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "n channels height width"]:
        """n new images, each with fresh noise."""
        device = generator.device if generator is not None else self.device

        def fresh(*shape: int) -> Tensor:
            noise = torch.rand(len(part), *shape, generator=generator, device=device) * 2 - 1
            return noise.to(self.device)

        images = []
        for part in self.prior(n, generator=generator).split(64):
            images.append(to_bytes(self.generate(part, fresh)))
        return torch.cat(images)


def to_bytes(h: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8."""
    return ((h + 1) * 127.5).round().clamp(0, 255).byte().contiguous()


def divergence(logits: Tensor, target: float) -> Tensor:
    """Binary cross-entropy with a soft target, less the target's entropy: KL(target ||
    sigmoid(logits)), mean over the batch."""
    t = torch.tensor(target)
    entropy = -torch.special.xlogy(t, t) - torch.special.xlogy(1 - t, 1 - t)
    return (F.softplus(logits) - target * logits).mean() - entropy.item()


def check(c: ImprovedGAN128Config, spec: Spec) -> None:
    """Refuses settings that cannot work."""
    if len(spec.shape) != 3 or spec.shape[1:] != (128, 128):
        raise UsageError(
            f"improved-gan-128 is for images of 128x128 pixels, and '{spec.name}' has "
            f"{spec.shape}: add --size 128."
        )
