r"""DCGAN: a code of 100 uniform numbers becomes an image, and a second network tells it from a real
one.

Both players are all-convolutional and obey five rules (section 3): strides instead of pooling;
batch normalization everywhere but at the generator's output and the discriminator's input; no
hidden dense layers in deep models; ReLU in the generator with a tanh at the end; leaky ReLU of
slope 0.2 in the discriminator. With $z \sim U(-1, 1)^{100}$ they play the non-saturating game

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
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from ..data.dataset import Spec
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.data_dependent_init import normal_
from ..nn.image_conv import ImageConv
from ..nn.norm import BatchNorm, estimate_batch_statistics
from ..nn.transposed_conv import TransposedConv
from ..ranges import BaseConfig, Decay, Range, Rate, Size, Weight
from .losses import discriminator_loss, frozen, generator_loss, mean_probabilities


@dataclass(frozen=True)
class DCGANConfig(BaseConfig):
    """Settings of a DCGAN; the defaults are the paper's."""

    architecture: Literal["auto", "strided", "alternating", "mnist"] = "auto"
    """Which of the authors' networks: `strided` halves the side in every layer (faces, bedrooms,
    SVHN), `alternating` is the 3x3 network behind their CIFAR-10 figures, `mnist` the one with a
    hidden dense layer; `auto` is `mnist` at 28 pixels, else `strided`."""
    latent_dim: Size = 100
    """Numbers in a code."""
    prior: Literal["uniform", "normal"] = "uniform"
    """Prior of the latent vector: uniform on (-1, 1), or standard normal."""
    channels: Size = 128
    """Maps of the layer next to the image (channels); deeper layers have twice as many at each
    halving."""
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


@dataclass(frozen=True)
class Layout:
    """A pair of networks as a table.

    Arguments:
        dense: Units of the generator's hidden dense layers, and in reverse order of the
            discriminator's.
        side: Side of the smallest maps.
        up: (channels, stride) of the generator's maps; the first come from the code by a matrix
            product.
        down: (channels, stride) of the discriminator's maps.
        unit: Whether pixels lie in [0, 1] behind a sigmoid instead of in [-1, 1] behind a tanh.
        affine: Whether batch normalization has gain and bias.
    """

    dense: tuple[int, ...]
    side: int
    up: tuple[tuple[int, int], ...]
    down: tuple[tuple[int, int], ...]
    unit: bool = False
    affine: bool = True


def layout(config: DCGANConfig, spec: Spec) -> Layout:
    """The table for these settings and this image size."""
    if len(spec.shape) != 3 or spec.shape[1] != spec.shape[2]:
        raise UsageError(
            f"DCGAN needs square images, and '{spec.name}' has shape {spec.shape}: "
            "choose a size with --size."
        )
    side, halvings, c = spec.shape[1], 0, config.channels
    while side % 2 == 0 and side >= 8:
        side, halvings = side // 2, halvings + 1
    if not 3 <= side <= 8 or halvings < 2:
        raise UsageError(
            f"DCGAN cannot make images of {spec.shape[1]} pixels: choose --size 28, 32, "
            "64 or 4 to 7 times 2^k."
        )
    kind = (
        config.architecture
        if config.architecture != "auto"
        else "mnist"
        if spec.shape[1] == 28
        else "strided"
    )
    widths = [c * 2**i for i in range(halvings)]
    if kind == "strided":
        return Layout((), side, tuple((w, 2) for w in widths[::-1]), tuple((w, 2) for w in widths))
    if kind == "alternating":
        down = tuple((w, stride) for w in widths for stride in (1, 2))
        return Layout((), side, down[::-1], down)
    if halvings != 2:
        raise UsageError(
            f"The layout 'mnist' is for images of 28 pixels, not {spec.shape[1]}: choose "
            "--model.architecture strided."
        )
    return Layout(
        (8 * c,), side, ((c, 2), (c // 2, 2)), ((c // 2, 2), (c, 2)), unit=True, affine=False
    )


def join(h: Tensor, y: Tensor | None) -> Tensor:
    """Appends the class (N, classes) to units, or as constant maps to maps."""
    if y is None:
        return h
    return torch.cat(
        [h, (y if h.ndim == 2 else y[:, :, None, None].expand(-1, -1, *h.shape[2:])).to(h.dtype)], 1
    )


class Generator(nn.Module):
    """Code (N, code) to image (N, C, H, W)."""

    def __init__(
        self, table: Layout, code: int, kernel: int, image_channels: int, classes: int
    ) -> None:
        super().__init__()
        self.table = table
        widths = [code, *table.dense, table.up[0][0] * table.side**2]
        self.dense = nn.ModuleList(
            nn.Linear(a + classes, b, bias=False) for a, b in pairwise(widths)
        )
        self.dense_norm = nn.ModuleList(BatchNorm(w, table.affine) for w in widths[1:])
        maps = [c for c, _ in table.up] + [image_channels]
        self.deconv = nn.ModuleList(
            TransposedConv(
                a + classes, b, kernel, stride, kernel // 2, output_padding=stride - 1, bias=False
            )
            for (a, stride), b in zip(table.up, maps[1:], strict=True)
        )
        self.deconv_norm = nn.ModuleList(BatchNorm(c, table.affine) for c in maps[1:-1])

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        h = z
        for layer, norm in zip(self.dense, self.dense_norm, strict=True):
            h = F.relu(norm(layer(join(h, y))))
        # Units in the order of channels-last memory: maps in two layouts at once cost a third of
        # the step.
        h = h.view(len(z), self.table.side, self.table.side, -1).permute(
            0, 3, 1, 2
        )  # (N, C, side, side)
        for layer, norm in zip(self.deconv, self.deconv_norm, strict=False):
            h = F.relu(norm(layer(join(h, y))))
        h = self.deconv[-1](join(h, y)).float()
        return torch.sigmoid(h) if self.table.unit else torch.tanh(h)


class Discriminator(nn.Module):
    """Image (N, C, H, W) to the logit (N,) of being real."""

    def __init__(self, table: Layout, kernel: int, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        maps = [shape[0], *(c for c, _ in table.down)]
        self.conv = nn.ModuleList(
            ImageConv(a + classes, b, kernel, stride, kernel // 2, bias=False)
            for a, (b, stride) in zip(maps[:-1], table.down, strict=True)
        )
        self.conv_norm = nn.ModuleList(
            [nn.Identity(), *(BatchNorm(c, table.affine) for c in maps[2:])]
        )
        widths = [maps[-1] * table.side**2, *table.dense[::-1]]
        self.dense = nn.ModuleList(
            nn.Linear(a + classes, b, bias=False) for a, b in pairwise(widths)
        )
        self.dense_norm = nn.ModuleList(BatchNorm(w, table.affine) for w in widths[1:])
        self.last = nn.Linear(widths[-1] + classes, 1, bias=False)

    def maps(self, x: Tensor, y: Tensor | None = None) -> list[Tensor]:
        """The maps of every convolution after its activation."""
        found, h = [], x
        for layer, norm in zip(self.conv, self.conv_norm, strict=True):
            h = F.leaky_relu(norm(layer(join(h, y))), 0.2)
            found.append(h)
        return found

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        h = self.maps(x, y)[-1].permute(0, 2, 3, 1).flatten(1)
        for layer, norm in zip(self.dense, self.dense_norm, strict=True):
            h = F.leaky_relu(norm(layer(join(h, y))), 0.2)
        return self.last(join(h, y)).squeeze(1)


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
        return DCGANConfig(architecture="strided", channels=4, latent_dim=8), Spec(
            "tiny", (1, 28, 28), 10
        )

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
        table, classes = layout(config, spec), spec.classes if config.conditional else 0
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
        """Codes for one turn, (local batch, code)."""
        n = self.config.latent_dim
        return (
            batch.noise.uniform(n, low=-1, high=1)
            if self.config.prior == "uniform"
            else batch.noise.normal(n)
        )

    def scale(self, x: Tensor) -> Tensor:
        """uint8 pixels to the generator's range."""
        x = x.float()
        x = x / 255 if self.unit else x / 127.5 - 1
        return x.contiguous(memory_format=torch.channels_last)

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
        """Sets the statistics used after training: of the generator over seeded codes, of the
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
        """Classes in turn for these codes, one-hot; None for an unconditional model."""
        return self.one_hot(
            (first + torch.arange(len(z), device=z.device)) % max(1, self.spec.classes)
        )

    def prior(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n latent_dim"]:
        """n codes drawn from the prior."""
        draw = torch.rand if self.config.prior == "uniform" else torch.randn
        device = generator.device if generator is not None else self.device
        z = draw(n, self.config.latent_dim, generator=generator, device=device).to(self.device)
        return z * 2 - 1 if self.config.prior == "uniform" else z

    @torch.no_grad()
    def decode(
        self, z: Float[Tensor, "n latent_dim"], y: Int[Tensor, "n"] | None = None
    ) -> UInt8[Tensor, "n channels height width"]:
        """Images for these latents; a conditional model takes the classes `y`, by default each in
        turn."""
        images = []
        classes = self.labels_for(z) if y is None else self.one_hot(y.to(self.device))
        for start in range(0, len(z), 256):
            some = slice(start, start + 256)
            out = self.generator(
                z[some].to(self.device), None if classes is None else classes[some]
            )
            out = out * 255 if self.unit else (out + 1) * 127.5
            images.append(out.round().clamp(0, 255).byte().contiguous())
        return (
            torch.cat(images)
            if images
            else torch.empty(0, *self.spec.shape, dtype=torch.uint8, device=self.device)
        )

    def sample(
        self, n: int, *, generator: torch.Generator | None = None, y: Int[Tensor, "n"] | None = None
    ) -> UInt8[Tensor, "n channels height width"]:
        """n new images."""
        return self.decode(self.prior(n, generator=generator), y)

    @torch.no_grad()
    def features(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """Every discriminator map, max-pooled to 4x4 and concatenated (section 5): what a linear
        classifier is fitted on."""
        if self.config.conditional:
            raise UsageError(
                "Features come from an unconditional DCGAN: train one without --model.conditional."
            )
        found = []
        for part in x.split(256):
            maps = self.discriminator.maps(self.scale(part.to(self.device)))
            found.append(
                torch.cat([F.adaptive_max_pool2d(m.float(), 4).flatten(1) for m in maps], 1)
            )
        return torch.cat(found)
