r"""DCGAN: a latent of 100 uniform numbers becomes an image, and a second network tells it from a
real one.

Both players are all-convolutional (`dcgan_nets` has the five rules of section 3). With
$z \sim U(-1, 1)^{100}$ they play the non-saturating game

$$ L_D = \mathbb{E}[-\log D(x)] + \mathbb{E}[-\log(1 - D(G(z)))], \qquad
   L_G = \mathbb{E}[-\log D(G(z))] . $$

Source: Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks", 2016, and the code released with it. Departures, each of them open
to a setting or without effect on the game:

- both players move at every step, where the released code lets the minibatches alternate between
  them;
- losses are computed from logits;
- Adam's beta1 stays constant, where the released code multiplies it by (1 - 1e-8)^(t-1) (no effect
  at these lengths);
- samples are drawn with batch statistics averaged once over many batches, so that an image does not
  depend on its companions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ..capabilities import CanRender, HasCritic
from ..data.dataset import Spec
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.data_dependent_init import normal_
from ..nn.norm import estimate_batch_statistics
from ..nn.trunk import Trunk, in_parts
from ..ranges import BaseConfig, Decay, Range, Rate, Size, Weight
from .dcgan_nets import Discriminator, Generator, layout
from .losses import discriminator_loss, frozen, generator_loss, mean_probabilities


@dataclass(frozen=True)
class DCGANConfig(BaseConfig):
    """Settings of a DCGAN; the defaults are the paper's."""

    architecture: Literal["auto", "strided", "alternating", "mnist"] = "auto"
    """Which of the authors' networks: `strided` halves the side in every layer (faces, bedrooms,
    SVHN), `alternating` is the 3x3 network behind their CIFAR-10 figures, `mnist` the one with a
    hidden dense layer; `auto` is `mnist` at 28 pixels, else `strided`."""
    latent_dim: Size = 100
    """Dimension of the latent z."""
    prior: Literal["uniform", "normal"] = "uniform"
    """Prior of the latent vector: uniform on (-1, 1), or standard normal."""
    channels: Size = 128
    """Channels of the layer next to the image; they double at each halving of the side."""
    kernel: Annotated[int, Range(3, 99)] = 5
    """Side of every convolution (pixels, odd)."""
    conditional: bool = False
    """Show both players the class, at the input of every layer."""
    lr: Rate = 2e-4
    """Adam's step size."""
    beta1: Decay = 0.5
    """Adam's decay of the first moment; 0.9 made training oscillate."""
    beta2: Decay = 0.999
    """Adam's decay of the second moment."""
    weight_decay: Weight = 1e-5
    """L2 penalty on every parameter, added to the gradient (1e-5 faces, 2.5e-5 MNIST)."""


class DCGAN(Model):
    """The two players, their game, and the generator as a sampler.

    Example:
        >>> from zeuxis.data.dataset import Spec
        >>> model = DCGAN(DCGANConfig(channels=8), Spec("tiny", (1, 32, 32))).eval()
        >>> model.sample(2).shape, model.sample(2).dtype
        (torch.Size([2, 1, 32, 32]), torch.uint8)
    """

    name: ClassVar[str] = "dcgan"
    Config: ClassVar[type] = DCGANConfig
    paper: ClassVar[str] = (
        "Radford, Metz, Chintala: Unsupervised Representation Learning with Deep "
        "Convolutional GANs, 2016"
    )
    channels_last: ClassVar[bool] = True

    @classmethod
    def tiny(cls) -> tuple[DCGANConfig, Spec]:
        config = DCGANConfig(architecture="strided", channels=4, latent_dim=8)
        return config, Spec("tiny", (1, 28, 28), 10)

    def __init__(self, config: DCGANConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        if config.conditional and not spec.classes:
            raise UsageError(
                f"A conditional DCGAN needs labels, and '{spec.name}' has none: leave "
                "out --model.conditional."
            )
        if config.kernel % 2 == 0:
            raise UsageError(f"The kernel must be odd, got {config.kernel}: choose 3 or 5.")
        if config.architecture in ("auto", "mnist") and config.channels < 2:
            raise UsageError(
                f"--model.channels must be at least 2 for the layout {config.architecture}, "
                f"got {config.channels}."
            )
        table = layout(config.architecture, config.channels, spec)
        classes = spec.classes if config.conditional else 0
        self.generator = Generator(table, config.latent_dim, config.kernel, spec.shape[0], classes)
        self.discriminator = Discriminator(table, config.kernel, spec.shape, classes)
        self.unit = table.unit
        normal_(self)

    def players(self) -> dict[str, Player]:
        c = self.config
        config = {"lr": c.lr, "betas": (c.beta1, c.beta2), "weight_decay": c.weight_decay}
        return {
            name: Player(getattr(self, name), **config) for name in ("discriminator", "generator")
        }

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        x, y = self.scale(batch.x), self.one_hot(batch.y)

        with torch.no_grad():
            fake = self.generator(self.draw(batch), y)
        # All real and then all fake: a mixed batch would share its statistics and give the answer
        # away.
        on_real, on_fake = self.discriminator(x, y), self.discriminator(fake, y)
        batch.logs |= mean_probabilities(on_real, on_fake)
        yield "discriminator", discriminator_loss(on_real, on_fake)

        with frozen(self.discriminator):
            loss = generator_loss(self.discriminator(self.generator(self.draw(batch), y), y))
        yield "generator", loss

    def draw(self, batch: Batch) -> Tensor:
        """Latents for one turn, (local batch, latent_dim)."""
        n = self.config.latent_dim
        uniform = self.config.prior == "uniform"
        return batch.noise.uniform(n, low=-1, high=1) if uniform else batch.noise.normal(n)

    def scale(self, x: Tensor) -> Tensor:
        """uint8 pixels to the generator's range."""
        x = x.float()
        x = x / 255 if self.unit else x / 127.5 - 1
        return x.contiguous(memory_format=torch.channels_last)

    def unscale(self, h: Tensor) -> Tensor:
        """The generator's range to floats from 0 to 255."""
        return h * 255 if self.unit else (h + 1) * 127.5

    def one_hot(self, y: Tensor | None) -> Tensor | None:
        """Labels (N,) as (N, classes) floats, None for an unconditional model."""
        if not self.config.conditional:
            return None
        if y is None or bool((y < 0).any()):
            raise UsageError(
                "A conditional DCGAN needs a label for every image: give them or leave "
                "out --model.conditional."
            )
        return F.one_hot(y, self.spec.classes).float()

    @torch.no_grad()
    def update_statistics(self, x: Tensor | None = None) -> None:
        """Sets the statistics used after training: of the generator over seeded latents, of the
        discriminator over images x."""
        with estimate_batch_statistics(self.generator):
            z = self.prior(8 * 128, generator=torch.Generator().manual_seed(0))
            for i, part in enumerate(z.split(128)):
                self.generator(part, self.labels_for(part, 128 * i))
        if x is not None and len(x) and not self.config.conditional:
            with estimate_batch_statistics(self.discriminator):
                for part in x.split(128):
                    self.discriminator(self.scale(part.to(self.device)))

    def labels_for(self, z: Tensor, first: int = 0) -> Tensor | None:
        """Classes in turn for these latents, one-hot; None for an unconditional model."""
        y = first + torch.arange(len(z), device=z.device)
        return self.one_hot(y % max(1, self.spec.classes))

    def prior(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n latent_dim"]:
        """n latents drawn from the prior."""
        draw = torch.rand if self.config.prior == "uniform" else torch.randn
        device = generator.device if generator is not None else self.device
        z = draw(n, self.config.latent_dim, generator=generator, device=device).to(self.device)
        return z * 2 - 1 if self.config.prior == "uniform" else z

    def disabled(self) -> tuple[type, ...]:
        return (CanRender, HasCritic) if self.config.conditional else ()

    def render(self, z: Float[Tensor, "n latent_dim"]) -> Float[Tensor, "n channels height width"]:
        """Images for these latents with gradients, as floats from 0 to 255."""
        return self.unscale(self.generator(z.to(self.device), self.labels_for(z)))

    def realism(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n"]:
        """D's logits for images from 0 to 255."""
        return self.discriminator(self.scale(x))

    @torch.no_grad()
    def decode(
        self, z: Float[Tensor, "n latent_dim"], y: Int[Tensor, "n"] | None = None
    ) -> UInt8[Tensor, "n channels height width"]:
        """Images for these latents; a conditional model takes the classes `y`, by default each in
        turn."""
        images = [torch.empty(0, *self.spec.shape, dtype=torch.uint8, device=self.device)]
        classes = self.labels_for(z) if y is None else self.one_hot(y.to(self.device))
        for start in range(0, len(z), 256):
            some = slice(start, start + 256)
            h = self.generator(z[some].to(self.device), None if classes is None else classes[some])
            h = self.unscale(h)
            images.append(h.round().clamp(0, 255).byte().contiguous())
        return torch.cat(images)

    def sample(
        self, n: int, *, generator: torch.Generator | None = None, y: Int[Tensor, "n"] | None = None
    ) -> UInt8[Tensor, "n channels height width"]:
        """n new images."""
        return self.decode(self.prior(n, generator=generator), y)

    def trunk(self) -> Trunk:
        """All channels of the discriminator's convolutions, as `pooled` gives them."""
        if self.config.conditional:
            raise UsageError(
                "Features come from an unconditional DCGAN: train one without --model.conditional."
            )
        scale, offset = (1 / 255, 0.0) if self.unit else (1 / 127.5, -1.0)
        return Trunk(self.discriminator, pooled, scale, offset)

    def features(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """What a linear classifier is fitted on (section 5): see `pooled`."""
        return in_parts(self.trunk(), x)


def pooled(
    discriminator: Discriminator, x: Float[Tensor, "n channels height width"]
) -> Float[Tensor, "n features"]:
    """All channels of the convolutions, max-pooled to 4x4 and concatenated."""
    found = discriminator.activations(x)
    return torch.cat([F.adaptive_max_pool2d(h.float(), 4).flatten(1) for h in found], 1)
