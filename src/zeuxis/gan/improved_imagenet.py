r"""Improved GAN at 128x128: the authors' networks for ImageNet, on which virtual batch
normalization and smoothed labels were needed.

The discriminator has K + 1 logits here, the last one for "generated", and its logit of being real
is $a = \log\sum_k e^{l_k} - l_{K+1}$. With $\alpha = 0.75$, and $H$ the binary cross-entropy less
the entropy of its target (so that its least value is 0),

$$ L_D = H(\alpha, a(x)) + H(0, a(G(z))) - \mathbb{E}[\log p(y | x)], \qquad
   L_G = H(\alpha / 2, a(G(z))) . $$

Real and generated images go through the discriminator together. Two of its layers see which is
which: a batch normalization takes the statistics of half of the channels from the real images and
of the other half from the generated ones, and minibatch discrimination tells each image how close
it is to the real ones and to the generated ones. The generator gets fresh noise at every
resolution.

Source: Salimans et al., "Improved Techniques for Training GANs", 2016, section 6.4, and the
released code. Departures: the players move in turn, not at once; virtual batch normalization has
the paper's form, not that of the code's first year; biases that a normalization or a difference
cancels are left out; cropping to the central square is left to the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..data.dataset import Spec
from ..distributed import SumOverProcesses, gather_rows, is_distributed
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.data_dependent_init import normal_
from ..nn.virtual_batch_norm import VirtualBatchNorm
from ..noise import Noise
from ..ranges import BaseConfig, Decay, Range, Rate, Size, Weight
from .losses import frozen

UP = (
    (512, 64),
    (256, 64),
    (128, 32),
    (64, 16),
    (64, 8),
    (64, 8),
)  # the generator's maps and the noise maps beside them, from 4x4
DOWN = (
    (64, 2),
    (128, 2),
    (256, 2),
    (256, 1),
    (256, 1),
    (512, 2),
    (512, 2),
)  # the discriminator's maps and strides, from 128x128
Fresh = Callable[[int, int, int], Tensor]


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
    """Maps and units relative to the authors' networks."""
    lr: Rate = 4e-4
    """Step size of both players."""
    beta1: Decay = 0.5
    """Adam's decay of the first moment."""


class Generator128(nn.Module):
    """Code and fresh noise to an image in [-1, 1].

    Arguments:
        config: The settings.
        wide: Number of maps after scaling.
        channels: Channels of an image.
    """

    def __init__(
        self, config: ImprovedGAN128Config, wide: Callable[[int], int], channels: int
    ) -> None:
        super().__init__()
        maps = [(wide(a), wide(b)) for a, b in UP]
        self.noises = [b for _, b in maps]
        self.dense = nn.Linear(config.latent_dim, maps[0][0] * 16, bias=False)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(sum(a), b[0], 5, 2, 2, 1, bias=False) for a, b in pairwise(maps)
        )
        self.norm = nn.ModuleList(VirtualBatchNorm(a, config.virtual) for a, _ in maps)
        self.last = nn.ConvTranspose2d(sum(maps[-1]), channels, 5, 1, 2)
        normal_(self)
        nn.init.normal_(self.last.weight, 0.0, 0.075)
        nn.init.constant_(self.last.bias, -0.45)  # type: ignore[arg-type]

    def forward(self, z: Tensor, fresh: Fresh) -> Tensor:
        """Images for codes, the reference batch in front; `fresh(maps, height, width)` gives noise
        for all of them."""
        h = (
            self.dense(z).unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)
        )  # in the order of channels-last memory
        for norm, maps, layer in zip(self.norm, self.noises, [*self.up, self.last], strict=True):
            h = F.relu(norm(h))
            h = layer(torch.cat([h, fresh(maps, *h.shape[2:]).to(h.dtype)], 1))
        return torch.tanh(h.float())


class CrossBatchNorm(nn.Module):
    """Normalizes the first half of the features by the real examples' statistics, the second half
    by the generated ones'.

    Arguments:
        features: Maps or units.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.border = features // 2
        self.gain = nn.Parameter(torch.ones(features).normal_(1, 0.02))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.ones(features))
        self.keep = False

    def forward(
        self, x: Float[Tensor, "batch features *positions"], real: int
    ) -> Float[Tensor, "batch features *positions"]:
        """The first `real` examples of x are real, the rest generated; in eval mode stored
        statistics are used."""
        axes, shape = [0, *range(2, x.ndim)], [1, -1] + [1] * (x.ndim - 2)
        wide = x.float()
        if self.training or self.keep:
            parts = [wide[:real, : self.border], wide[real:, self.border :]]
            average = over_processes if is_distributed() and not self.keep else torch.mean
            means = [average(part, axes) for part in parts]
            centered = [part - mean.view(shape) for part, mean in zip(parts, means, strict=True)]
            mean, variance = (
                torch.cat(means),
                torch.cat([average(part.square(), axes) for part in centered]),
            )
            if self.keep:
                self.mean.copy_(mean)
                self.variance.copy_(variance)
        else:
            mean, variance = self.mean, self.variance
        scale = torch.rsqrt(variance + 1e-5) * self.gain
        return ((wide - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)).to(x.dtype)


def over_processes(x: Tensor, axes: list[int]) -> Tensor:
    """The mean over these axes and over all processes, which hold equal shares."""
    return SumOverProcesses.apply(x.mean(axes)) / torch.distributed.get_world_size()


class Closeness(nn.Module):
    """For each example its closeness to the real and to the generated ones of its batch, (N, 2
    kernels).

    As in the released code each sum is divided by the pairs that are compared in the whole batch,
    which makes the features small.

    Arguments:
        features: Length of the feature vectors.
        kernels: Closeness features of each of the two sets.
        dimensions: Dimension of the space in which each kernel measures distance.
    """

    def __init__(self, features: int, kernels: int, dimensions: int) -> None:
        super().__init__()
        self.kernels = kernels
        self.project = nn.Linear(features, kernels * dimensions, bias=False)

    def forward(self, f: Float[Tensor, "n features"], real: int) -> Float[Tensor, "n closeness"]:
        with torch.autocast(f.device.type, enabled=False):
            m = self.project(f.float()).unflatten(1, (self.kernels, -1))
            found = []
            for start, part in ((0, m[:real]), (real, m[real:])):
                everyone, own = (
                    gather_rows(part)
                    if is_distributed() and self.training
                    else (part, slice(0, len(part)))
                )
                distance = torch.cdist(
                    m.transpose(0, 1).contiguous(), everyone.transpose(0, 1).contiguous(), p=1.0
                )
                oneself = torch.zeros(distance.shape[1:], dtype=torch.bool, device=f.device)
                rows = torch.arange(len(part), device=f.device)
                oneself[start + rows, own.start + rows] = True
                pairs = max(1, 2 * len(everyone) ** 2 - len(everyone))
                found.append(torch.exp(-distance.masked_fill(oneself, torch.inf)).sum(2).T / pairs)
        return torch.cat(found, 1)


class Discriminator128(nn.Module):
    """Real and generated images together to features (N, 2560) and K + 1 logits, the last for
    "generated"."""

    def __init__(
        self, config: ImprovedGAN128Config, wide: Callable[[int], int], channels: int, classes: int
    ) -> None:
        super().__init__()
        maps = [channels, *(wide(a) for a, _ in DOWN)]
        strides = [stride for _, stride in DOWN]
        self.conv = nn.ModuleList(
            nn.Conv2d(a, b, 3, s, 1, bias=False)
            for (a, b), s in zip(pairwise(maps), strides, strict=True)
        )
        self.norm = nn.ModuleList(CrossBatchNorm(b) for b in maps[1:])
        self.dense = nn.Linear(maps[-1] * 16, wide(2560), bias=False)
        self.dense_norm = CrossBatchNorm(wide(2560))
        self.closeness = Closeness(wide(2560), config.kernels, config.dimensions)
        self.last = nn.Linear(wide(2560) + 2 * config.kernels, classes + 1)
        normal_(self)

    def forward(self, x: Tensor, real: int) -> tuple[Tensor, Tensor]:
        h = x
        for layer, norm in zip(self.conv, self.norm, strict=True):
            h = F.leaky_relu(norm(layer(h), real), 0.2)
        h = F.leaky_relu(self.dense_norm(self.dense(h.flatten(1)), real), 0.2)
        return h.float(), self.last(torch.cat([h, self.closeness(h, real).to(h.dtype)], 1)).float()


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
        return ImprovedGAN128Config(
            width=0.03, latent_dim=8, virtual=4, kernels=3, dimensions=2
        ), Spec("tiny", (3, 128, 128), 10)

    def __init__(self, config: ImprovedGAN128Config, spec: Spec) -> None:
        super().__init__(config, spec)
        check(config, spec)
        wide = lambda n: max(2, 2 * round(n * config.width / 2))  # noqa: E731
        self.generator = Generator128(config, wide, spec.shape[0])
        self.discriminator = Discriminator128(config, wide, spec.shape[0], max(1, spec.classes))
        self.register_buffer("reference", torch.rand(config.virtual, config.latent_dim) * 2 - 1)

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
        batch.logs |= {
            "D(x)": on_real.detach().sigmoid().mean(),
            "D(G(z))": on_fake.detach().sigmoid().mean(),
        }
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

    def generate(self, z: Tensor, fresh: Fresh) -> Tensor:
        """Scaled images for codes and noise; the reference batch, with noise of its own that never
        changes, goes in front."""
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
            return beside[shape].expand(count, *shape)

        images = []
        for part in z.split(64):
            count = len(part)
            images.append(to_bytes(self.generate(part.to(self.device), fresh)))
        return (
            torch.cat(images)
            if images
            else torch.empty(0, *self.spec.shape, dtype=torch.uint8, device=self.device)
        )

    @torch.no_grad()
    def sample(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "n channels height width"]:
        """n new images, each with noise of its own."""

        def fresh(*shape: int) -> Tensor:
            device = generator.device if generator is not None else self.device
            return (torch.rand(count, *shape, generator=generator, device=device) * 2 - 1).to(
                self.device
            )

        images = []
        for part in self.prior(n, generator=generator).split(64):
            count = len(part)
            images.append(to_bytes(self.generate(part, fresh)))
        return (
            torch.cat(images)
            if images
            else torch.empty(0, *self.spec.shape, dtype=torch.uint8, device=self.device)
        )


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
