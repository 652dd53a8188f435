r"""InfoGAN: a generator whose codes mean something, found without a label.

The latent vector has two parts: incompressible noise z, and a structured code c of categorical and
continuous variables with a known prior. A plain GAN may ignore c; here the generator also maximizes
a lower bound on the mutual information of c and the image generated from it,

$$ \min_{G, Q} \max_D \; V(D, G) - \lambda L_I(G, Q), \qquad
   L_I = \mathbb{E}_{c,\, x \sim G(z, c)}[\log Q(c | x)] + H(c) \;\le\; I(c; G(z, c)) , $$

where Q, a second head on the discriminator's layers, reads the code back from the image. Nothing
says what a code should stand for, but what is easily read back tends to be what images differ in:
the class of a digit, its slant, its width.

For a categorical code Q is a softmax; for a continuous one a Gaussian around its reading, of
deviation 1 as in the released code or learned. What is reported is the bound itself in nats, with
$H = \log K$ for K classes and $\log 2$ for a code uniform on (-1, 1).

Source: Chen, Duan, Houthooft, Schulman, Sutskever and Abbeel, "InfoGAN: Interpretable
Representation Learning by Information Maximizing Generative Adversarial Nets", 2016, and the MNIST
experiment released with it. As there, both players maximize the bound, so that the layers shared by
D and Q learn the codes as well. Departures: losses from logits; the networks' statistics are
averaged over many batches for use after training. The paper's text has a slope of 0.1 in the leaky
ReLU, its code 0.01; the text is the default.
What is not the paper's is in `infogan_augmented`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from ..capabilities import Code
from ..data.dataset import Spec
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.data_dependent_init import normal_
from ..nn.norm import estimate_batch_statistics
from ..nn.trunk import Trunk, in_parts
from ..ranges import BaseConfig, Decay, Fraction, Range, Rate, SizeOrNone, Weight
from .infogan_nets import TABLE, Discriminator, Generator, Layout
from .losses import discriminator_loss, frozen, generator_loss, mean_probabilities


@dataclass(frozen=True)
class InfoGANConfig(BaseConfig):
    """Settings of an InfoGAN; the defaults are the paper's for MNIST."""

    architecture: Literal["auto", "mnist", "color", "faces", "chairs"] = "auto"
    """Networks of the paper's appendix C: `mnist` (28 pixels), `color` (SVHN, CelebA, 32 pixels),
    `faces` (32 pixels, gray), `chairs` (64 pixels); `auto` takes the one of that image size."""
    noise_dim: SizeOrNone = 62
    """Incompressible numbers of a code, uniform on (-1, 1)."""
    categorical: tuple[Annotated[int, Range(2, 10000)], ...] = (10,)
    """Classes of each categorical code."""
    continuous: SizeOrNone = 2
    """Continuous codes, uniform on (-1, 1)."""
    info: Weight = 1.0
    """Weight of the information about categorical codes."""
    info_continuous: Weight = 1.0
    """Weight of the information about continuous codes."""
    std: Literal["fixed", "learned"] = "fixed"
    """Deviation of the Gaussian that reads a continuous code: 1, or an output of Q."""
    inform_generator: bool = True
    """Whether the generator maximizes the information; without, Q reads what a plain GAN does with
    its codes (the paper's control)."""
    slope: Fraction = 0.1
    """Slope of the leaky ReLU below 0 (0.01 in the released code)."""
    width: Annotated[float, Range(0, 100, above=True)] = 1.0
    """All channels and hidden units relative to the paper's."""
    lr: Rate = 2e-4
    """Step size of the discriminator and of Q."""
    generator_lr: Rate = 1e-3
    """Step size of the generator."""
    beta1: Decay = 0.5
    """Adam's decay of the first moment."""


class InfoGAN(Model):
    """Generator, discriminator and Q, which reads the codes; D and Q share layers and an update.

    Example:
        >>> from zeuxis.data.dataset import Spec
        >>> model = InfoGAN(InfoGANConfig(width=0.1), Spec("tiny", (1, 28, 28))).eval()
        >>> [code.name for code in model.codes()], model.prior(1).shape
        (['category', 'continuous 1', 'continuous 2'], torch.Size([1, 74]))
        >>> [reading.shape for reading in model.infer(model.sample(3))]
        [torch.Size([3, 10]), torch.Size([3, 1]), torch.Size([3, 1])]
    """

    name: ClassVar[str] = "infogan"
    Config: ClassVar[type] = InfoGANConfig
    paper: ClassVar[str] = (
        "Chen et al.: InfoGAN, Interpretable Representation Learning by Information "
        "Maximizing GANs, 2016"
    )
    channels_last: ClassVar[bool] = True

    @classmethod
    def tiny(cls) -> tuple[InfoGANConfig, Spec]:
        return InfoGANConfig(width=0.05, noise_dim=6), Spec("tiny", (1, 28, 28), 10)

    def __init__(self, config: InfoGANConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        c, table = config, layout(config, spec)
        outputs = sum(c.categorical) + 2 * c.continuous
        self.generator = Generator(
            table,
            c.noise_dim + sum(c.categorical) + c.continuous,
            spec.shape[0],
            c.width,
            self.rank,
        )
        self.discriminator = Discriminator(table, spec.shape, outputs, c.width, self.rank, c.slope)
        self.signed = table.signed
        normal_(self)

    def players(self) -> dict[str, Player]:
        c = self.config
        rate = {"discriminator": c.lr, "generator": c.generator_lr}
        return {
            name: Player(getattr(self, name), lr, (c.beta1, 0.999)) for name, lr in rate.items()
        }

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        x = self.scale(batch.x)

        z = self.draw(batch)
        with torch.no_grad():
            fake = self.generator(z)
        on_real, (on_fake, reading) = self.discriminator(x), self.read(fake, batch)
        batch.logs |= mean_probabilities(on_real, on_fake)
        yield (
            "discriminator",
            discriminator_loss(on_real, on_fake) - self.information(reading, z, batch),
        )

        z = self.draw(batch)
        with frozen(self.discriminator):
            on_fake, reading = self.read(self.generator(z), batch)
            loss = generator_loss(on_fake)
            if self.config.inform_generator:
                loss = loss - self.information(reading, z)
        yield "generator", loss

    @property
    def rank(self) -> int:
        """Rank of the factorized dense layers; 0 keeps full matrices, as the paper does."""
        return 0

    def read(self, fake: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """D's logits and Q's outputs for generated images."""
        return self.discriminator.both(fake)

    def information(self, reading: Tensor, z: Tensor, batch: Batch | None = None) -> Tensor:
        """The weighted bound on the mutual information with all codes (nats).

        The bound for each code goes to the batch's logs.
        """
        c, found, start = self.config, torch.zeros((), device=z.device), 0
        for code in self.codes():
            value = z[:, code.start : code.start + code.size]
            if code.kind == "categorical":
                bound = (
                    math.log(code.size)
                    + (value * reading[:, start : start + code.size].log_softmax(1)).sum(1).mean()
                )
                found, start = found + c.info * bound, start + code.size
            else:
                mean, log_variance = (
                    reading[:, start : start + 1],
                    reading[:, start + 1 : start + 2],
                )
                # A variance below exp(-6) would let the likelihood of a perfectly read code grow
                # without end.
                log_variance = (
                    torch.zeros_like(mean) if c.std == "fixed" else log_variance.clamp(-6, 3)
                )
                nats = 0.5 * (
                    math.log(2 * math.pi)
                    + log_variance
                    + (value - mean).square() / log_variance.exp()
                )
                bound = math.log(code.high - code.low) - nats.mean()
                found, start = found + c.info_continuous * bound, start + 2
            if batch is not None:
                batch.logs[f"information on {code.name}"] = bound.detach()
        return found

    def codes(self) -> tuple[Code, ...]:
        """The structured part of z, after the noise."""
        c, start, found = self.config, self.config.noise_dim, []
        for i, size in enumerate(c.categorical, 1):
            found.append(
                Code(
                    "category" if len(c.categorical) == 1 else f"category {i}",
                    "categorical",
                    start,
                    size,
                )
            )
            start += size
        for i in range(1, c.continuous + 1):
            found.append(Code(f"continuous {i}", "continuous", start))
            start += 1
        return tuple(found)

    def draw(self, batch: Batch) -> Tensor:
        """Latents for one turn, (local batch, noise and codes)."""
        c, noise = self.config, batch.noise
        parts = [noise.uniform(c.noise_dim, low=-1, high=1)]
        parts += [F.one_hot(noise.integers(size), size).float() for size in c.categorical]
        return torch.cat([*parts, noise.uniform(c.continuous, low=-1, high=1)], 1)

    def prior(self, n: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "n code"]:
        """n codes: noise, one-hot categories, continuous codes."""
        c = self.config
        device = generator.device if generator is not None else self.device

        def uniform(k: int) -> Tensor:
            return torch.rand(n, k, generator=generator, device=device) * 2 - 1

        parts = [uniform(c.noise_dim)]
        for size in c.categorical:
            parts.append(
                F.one_hot(
                    torch.randint(size, (n,), generator=generator, device=device), size
                ).float()
            )
        return torch.cat([*parts, uniform(c.continuous)], 1).to(self.device)

    def scale(self, x: Tensor) -> Tensor:
        """uint8 pixels to the generator's range."""
        x = x.float() / 127.5 - 1 if self.signed else x.float() / 255
        return x.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def update_statistics(self, x: Tensor | None = None) -> None:
        """Estimates batch statistics: G's over 1,024 seeded latents, D's and Q's over images x."""
        with estimate_batch_statistics(self.generator):
            for part in self.prior(8 * 128, generator=torch.Generator().manual_seed(0)).split(128):
                self.generator(part)
        if x is not None and len(x):
            with estimate_batch_statistics(self.discriminator):
                for part in x.split(128):
                    self.discriminator.both(self.scale(part.to(self.device)))

    def render(self, z: Float[Tensor, "n code"]) -> Float[Tensor, "n channels height width"]:
        """Images for these codes with gradients, as floats from 0 to 255."""
        h = self.generator(z.to(self.device))
        return (h + 1) * 127.5 if self.signed else h * 255

    def realism(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n"]:
        """D's logits for images from 0 to 255."""
        return self.discriminator.both(self.scale(x))[0]

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "n code"]) -> UInt8[Tensor, "n channels height width"]:
        """Images for these codes."""
        out = [self.render(part) for part in z.split(256)]
        images = [h.round().clamp(0, 255).byte().contiguous() for h in out]
        return (
            torch.cat(images)
            if images
            else torch.empty(0, *self.spec.shape, dtype=torch.uint8, device=self.device)
        )

    def sample(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "n channels height width"]:
        """n new images."""
        return self.decode(self.prior(n, generator=generator))

    @torch.no_grad()
    def infer(self, x: UInt8[Tensor, "n channels height width"]) -> list[Tensor]:
        """What Q reads of each code: class probabilities (n, classes), or the mean (n, 1)."""
        parts = [
            self.discriminator.both(self.scale(part.to(self.device)))[1] for part in x.split(256)
        ]
        reading, found, start = torch.cat(parts), [], 0
        for code in self.codes():
            if code.kind == "categorical":
                found.append(reading[:, start : start + code.size].softmax(1))
            else:
                found.append(reading[:, start : start + 1])
            start += code.size if code.kind == "categorical" else 2
        return found

    def trunk(self) -> Trunk:
        """The layers that D and Q share."""
        scale, offset = (1 / 127.5, -1.0) if self.signed else (1 / 255, 0.0)
        return Trunk(self.discriminator, Discriminator.trunk, scale, offset)

    def features(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """The last layer that D and Q share."""
        return in_parts(self.trunk(), x)


def layout(config: InfoGANConfig, spec: Spec) -> Layout:
    """The table for these settings and this image size."""
    kind = config.architecture
    if kind == "auto":
        side, channels = spec.shape[-1], spec.shape[0]
        kind = {28: "mnist", 32: "faces" if channels == 1 else "color", 64: "chairs"}.get(
            side, "mnist"
        )
    table = TABLE[kind]
    if len(spec.shape) != 3 or spec.shape[1:] != (table.pixels, table.pixels):
        sides = ", ".join(f"{t.pixels} ({name})" for name, t in TABLE.items())
        raise UsageError(
            f"InfoGAN's networks are for images of {sides} pixels, and '{spec.name}' has "
            f"{spec.shape}: choose --size."
        )
    if not config.categorical and not config.continuous:
        raise UsageError(
            "InfoGAN needs a code to inform about: give --model.categorical 10 or "
            "--model.continuous 1."
        )
    return table
