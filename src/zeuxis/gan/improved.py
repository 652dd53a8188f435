r"""Improved GAN: stable training, and a classifier from a handful of labels.

**Few labels** (section 5). The discriminator tells K classes and a further one, "generated". Fixing
the logit of the latter at 0 leaves K outputs $l_k$; with $Z(x) = \sum_k e^{l_k(x)}$ the probability
that x is real is $D(x) = Z / (Z + 1)$, and

$$ L_D = \mathbb{E}_{x, y}[-\log p(y | x, \text{real})]
   + \tfrac{u}{2}\, \mathbb{E}_x[-\log D(x)] + \tfrac{u}{2}\, \mathbb{E}_z[-\log(1 - D(G(z)))] . $$

Unlabeled images thus teach where the classes lie, and generated ones where nothing does.

**Feature matching** (3.1). The generator makes the mean of an intermediate layer f agree, on images
as on samples; the released code takes the mean square (digits) or mean absolute difference
(photographs) over the features where the paper writes the squared norm:

$$ L_G = \lVert \mathbb{E}_x f(x) - \mathbb{E}_z f(G(z)) \rVert . $$

It gives good classifiers and poor pictures; **minibatch discrimination** (3.2, with $L_G =
\mathbb{E}_z \log(1 - D(G(z)))$ and three generator steps a discriminator step) the reverse.
**Historical averaging** (3.3), **one-sided label smoothing** (3.4), **virtual batch
normalization** (3.5) and labels are switches: without labels K = 1, and the game is the usual one.

Source: Salimans, Goodfellow, Zaremba, Cheung, Radford and Chen, "Improved Techniques for Training
GANs", 2016, and the code released with it. Departures: pixels of color images are divided by 127.5
where the CIFAR-10 code divides by 128; layers start from 500 random images, where the code for
photographs took labeled ones; the average of the weights is bias-corrected from the first step on.
What is not the paper's (augmented images, Muon) is in `improved_augmented`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..capabilities import CanClassify
from ..data.dataset import Dataset, Spec
from ..distributed import mean_over_batch
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.data_dependent_init import data_dependent_init
from ..nn.historical_averaging import HistoricalAverage
from ..nn.norm import estimate_batch_statistics
from ..noise import Noise
from ..ranges import BaseConfig, BatchSizeOrNone, Depth, Range, Rate, Size, SizeOrNone, Weight
from .improved_nets import Jitter, build_discriminator, build_generator
from .losses import frozen, mean_probabilities


@dataclass(frozen=True)
class ImprovedGANConfig(BaseConfig):
    """Settings of an Improved GAN; the defaults are the paper's for digits."""

    architecture: Literal["auto", "dense", "conv"] = "auto"
    """Networks: `dense` (any examples; the digits of table 1), `conv` (images of 28 or 32 pixels:
    the nine-layer classifier); `auto` takes conv for color images of 32 pixels, else dense."""
    supervised: bool = True
    """Learn classes from labels; without, the discriminator only separates real from generated."""
    generator: Literal["squared", "absolute", "saturating", "non-saturating"] = "squared"
    """The generator's loss: feature matching by mean square (digits) or mean absolute difference
    (photographs), or an adversarial loss: log(1 - D), which goes with minibatch discrimination,
    or -log D."""
    generator_steps: Depth = 1
    """Steps of the generator for each of the discriminator's (3 with minibatch discrimination)."""
    minibatch: SizeOrNone = 0
    """Kernels of minibatch discrimination, each of 5 dimensions (100 in the paper's code); 0 is
    none."""
    history: Weight = 0.0
    """Weight of historical averaging in both players' losses; 0 is none. The paper gives none."""
    smoothing: Annotated[float, Range(0.5, 1, above=True)] = 1.0
    """Target for real images, below 1 for one-sided label smoothing (0.75 in the paper's code for
    ImageNet)."""
    virtual: SizeOrNone = 0
    """Examples in the reference batch of the generator's virtual batch normalization; 0 is batch
    normalization."""
    unlabeled: Weight = 1.0
    """Weight u of the unlabeled and the generated images in the discriminator's loss. At 0 only the
    classifier learns, from labels alone: the control."""
    labeled: BatchSizeOrNone = 0
    """Labeled images a step; 0 takes as many as unlabeled ones."""
    reuse: bool = False
    """Match the features of the discriminator's turn, with the images generated there, instead of
    computing both again: one pass of each network less."""
    latent_dim: Size = 100
    """Length of the latent vector, uniform on (0, 1)."""
    width: SizeOrNone = 0
    """The discriminator's units of the first hidden layer (dense, 1000) or channels of the first
    convolutions (conv, 96); 0 takes those. Later layers keep their proportion."""
    generator_width: SizeOrNone = 0
    """The generator's hidden units (dense, 500) or first channels (conv, 512); 0 takes those."""
    lr: Rate = 3e-3
    """Step size of the discriminator."""
    generator_lr: Rate = 0.0
    """Step size of the generator; 0 is the discriminator's."""
    optimizer: Literal["adam-root", "adam"] = "adam-root"
    """`adam-root`: the authors' Adam (betas 0.5 and 0.999, epsilon 1e-8 inside the root), which the
    published step sizes need. `adam`: PyTorch's with betas 0.5 and 0.99 and epsilon 1e-4, which is
    faster and needs smaller steps."""


class ImprovedGAN(Model):
    """The two players, their game, and the discriminator as a classifier.

    Example:
        >>> model = ImprovedGAN(ImprovedGANConfig(width=20), Spec("tiny", (1, 28, 28), 10)).eval()
        >>> model.classify(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).shape
        torch.Size([2, 10])
    """

    name: ClassVar[str] = "improved-gan"
    Config: ClassVar[type] = ImprovedGANConfig
    paper: ClassVar[str] = "Salimans et al.: Improved Techniques for Training GANs, 2016"
    channels_last: ClassVar[bool] = True
    reference: Tensor

    @classmethod
    def tiny(cls) -> tuple[ImprovedGANConfig, Spec]:
        config = ImprovedGANConfig(width=16, generator_width=16, latent_dim=8)
        return config, Spec("tiny", (1, 28, 28), 10)

    def __init__(self, config: ImprovedGANConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        c, dense, shape = config, check(config, spec), spec.shape
        classes = spec.classes if c.supervised else 1
        self.generator = build_generator(dense, c.latent_dim, c.generator_width, shape, c.virtual)
        self.discriminator = build_discriminator(
            dense, shape, c.width, classes, c.minibatch, self.matches, self.distance_momentum
        )
        self.unit = dense
        self.register_buffer("reference", torch.rand(c.virtual, c.latent_dim))
        names = ("discriminator", "generator") if c.history else ()
        self.histories = nn.ModuleDict({n: HistoricalAverage(getattr(self, n)) for n in names})

    @property
    def matches(self) -> bool:
        """Whether the generator matches features."""
        return self.config.generator in ("squared", "absolute")

    @property
    def distance_momentum(self) -> float:
        """Momentum of minibatch discrimination's running distance scale; the paper has none."""
        return 0.0

    def players(self) -> dict[str, Player]:
        c = self.config
        beta2, eps = (0.999, 1e-8) if c.optimizer == "adam-root" else (0.99, 1e-4)
        rate = {"discriminator": c.lr, "generator": c.generator_lr or c.lr}
        return {
            name: Player(getattr(self, name), lr, (0.5, beta2), eps, optimizer=c.optimizer)
            for name, lr in rate.items()
        }

    @torch.no_grad()
    def initialize_from_data(self, data: Dataset, seed: int) -> None:
        """Sets the gains and biases of normalized weights from 500 images, with training noise."""
        rows = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:500]
        x = self.scale(data.batch(rows)[0].to(self.device))
        noise = Noise(seed, -1, slice(0, len(x)), len(x), x.device)
        with data_dependent_init(self):
            self.discriminator(x, Jitter(noise))
            n = self.config.latent_dim
            self.generator(self.reference if self.config.virtual else noise.of(128).uniform(n))

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        c, noise = self.config, batch.noise
        n = c.labeled or noise.total
        if c.supervised and not c.unlabeled:
            labeled, y = self.labeled(batch, n)
            _, logits = self.discriminator(labeled, Jitter(noise.of(n)))
            yield "discriminator", F.cross_entropy(logits, y) + self.past("discriminator", batch)
            return

        x = self.augment(batch.x, noise)
        with torch.set_grad_enabled(c.reuse):
            fake = self.generate(noise.uniform(c.latent_dim))
        # One pass over all sub-batches: only minibatch discrimination, which gets their sizes,
        # compares examples with each other.
        parts, sources = [x, fake.detach()], [noise, noise]
        if c.supervised:
            labeled, y = self.labeled(batch, n)
            parts, sources = [*parts, labeled], [*sources, noise.of(n)]
        sizes = [len(part) for part in parts]
        features, logits = self.discriminator(torch.cat(parts), Jitter(*sources), sizes)
        on_real, on_fake, *on_labeled = logits.split(sizes)
        real, generated = on_real.logsumexp(1), on_fake.logsumexp(1)
        loss_real = (F.softplus(real) - c.smoothing * real).mean()  # -log D at smoothing 1
        loss = c.unlabeled / 2 * (loss_real + F.softplus(generated).mean())
        batch.logs |= mean_probabilities(real, generated)
        if c.supervised:
            loss = loss + F.cross_entropy(on_labeled[0], y) + self.auxiliary_loss(batch, on_real)
        yield "discriminator", loss + self.past("discriminator", batch)

        wanted = mean_over_batch(features[: len(x)].detach()) if c.reuse and self.matches else None
        for step in range(c.generator_steps):
            with frozen(self.discriminator):
                fake = fake if c.reuse and not step else self.generate(noise.uniform(c.latent_dim))
                loss = self.generator_loss(fake, batch, wanted)
            yield "generator", loss + self.past("generator", batch)

    def auxiliary_loss(self, batch: Batch, logits: Tensor) -> Tensor | float:
        """A further term of the discriminator's loss, from the logits of unlabeled images."""
        return 0.0

    def generator_loss(self, fake: Tensor, batch: Batch, wanted: Tensor | None = None) -> Tensor:
        """The generator's objective, through a discriminator that does not learn.

        Arguments:
            fake: Generated images.
            batch: Gives the noise inside the discriminator, and further real images to match.
            wanted: The mean features to match, if they are known already.
        """
        weights = self.discriminator.weights()
        features, logits = self.discriminator(fake, Jitter(batch.noise), weights=weights)
        if not self.matches:
            real = logits.logsumexp(1)
            saturating = self.config.generator == "saturating"
            return (-F.softplus(real) if saturating else F.softplus(-real)).mean()
        if wanted is None:
            x, _ = batch.more("any", batch.noise.total)
            with torch.no_grad():
                x = self.augment(x, batch.noise)
                on_images, _ = self.discriminator(x, Jitter(batch.noise), weights=weights)
                wanted = mean_over_batch(on_images)
        error = mean_over_batch(features) - wanted
        distance = (error.square() if self.config.generator == "squared" else error.abs()).mean()
        batch.logs["feature distance"] = distance.detach()
        return distance

    def labeled(self, batch: Batch, n: int) -> tuple[Tensor, Tensor]:
        """Scaled labeled images and their classes."""
        x, y = batch.more("labeled", n)
        if y is None:
            raise UsageError(
                f"'{self.spec.name}' has no labels: give them, or train with --model.no-supervised."
            )
        return self.augment(x, batch.noise.of(n)), y

    def past(self, player: str, batch: Batch) -> Tensor:
        """The loss term of historical averaging."""
        if not self.config.history:
            return torch.zeros((), device=batch.x.device)
        history: Any = self.histories[player]
        return self.config.history * history.distance(getattr(self, player), batch.images)

    def generate(self, z: Tensor) -> Tensor:
        """Scaled images for latents, through the reference batch of virtual batch normalization."""
        n, z = self.config.virtual, z.to(next(self.generator.parameters()).dtype)
        return self.generator(torch.cat([self.reference, z]))[n:] if n else self.generator(z)

    def scale(self, x: Tensor) -> Tensor:
        """uint8 pixels to the generator's range: [0, 1] for the dense networks, else [-1, 1]."""
        x = x.to(next(self.parameters()).dtype)
        if self.unit:
            return x / 255
        return (x / 127.5 - 1).contiguous(memory_format=torch.channels_last)

    def augment(self, x: Tensor, noise: Noise) -> Tensor:
        """Real images as the discriminator sees them in training: scaled, and no more."""
        return self.scale(x)

    @torch.no_grad()
    def update_statistics(self, x: Tensor | None = None) -> None:
        """Estimates the generator's batch statistics over 2,000 seeded latents."""
        if not self.config.virtual:
            latents = self.prior(2_000, generator=torch.Generator().manual_seed(0))
            with estimate_batch_statistics(self.generator):
                for part in latents.split(100):
                    self.generator(part)

    def prior(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n latent_dim"]:
        """n latents, uniform on (0, 1)."""
        device = generator.device if generator is not None else self.device
        z = torch.rand(n, self.config.latent_dim, generator=generator, device=device)
        return z.to(self.device)

    def render(self, z: Float[Tensor, "n latent_dim"]) -> Float[Tensor, "n *shape"]:
        """Images for these latents with gradients, as floats from 0 to 255."""
        h = self.generate(z.to(self.device))
        return h * 255 if self.unit else (h + 1) * 127.5

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "n latent_dim"]) -> UInt8[Tensor, "n *shape"]:
        """Images for these latents."""
        parts = [self.render(part).round().clamp(0, 255).byte() for part in z.split(256)]
        return torch.cat(parts).contiguous()

    def sample(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "n *shape"]:
        """n new images."""
        return self.decode(self.prior(n, generator=generator))

    @torch.no_grad()
    def discriminate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits of raw images, without noise.

        Minibatch discrimination counts the neighbors in a batch, so batches are as large as those
        of labeled images in training; the last one is filled up with the first images.
        """
        if not len(x):
            raise UsageError("There are no images to classify: give at least one.")
        c = self.config
        size = (c.minibatch and c.supervised and c.labeled) or 100
        rows = torch.arange(-(-len(x) // size) * size if c.minibatch else len(x)) % len(x)
        batches = (self.scale(x[part].to(self.device)) for part in rows.split(size))
        features, logits = zip(*map(self.discriminator, batches), strict=True)
        return torch.cat(features)[: len(x)], torch.cat(logits)[: len(x)]

    def disabled(self) -> tuple[type, ...]:
        return () if self.config.supervised else (CanClassify,)

    def features(self, x: UInt8[Tensor, "n *shape"]) -> Float[Tensor, "n features"]:
        """The layer that feature matching compares."""
        return self.discriminate(x)[0]

    def classify(self, x: UInt8[Tensor, "n *shape"]) -> Float[Tensor, "n classes"]:
        """Class probabilities, given that an image is real."""
        if not self.config.supervised:
            raise UsageError(
                "This model was trained without labels and knows no classes: train one with labels."
            )
        return self.discriminate(x)[1].softmax(1)


def check(c: ImprovedGANConfig, spec: Spec) -> bool:
    """Refuses settings that cannot work; returns whether the networks are dense."""
    dense = c.architecture == "dense" or (c.architecture == "auto" and spec.shape != (3, 32, 32))
    if not dense and spec.shape[1:] not in ((28, 28), (32, 32)):
        raise UsageError(
            f"The layout conv is for images of 28 or 32 pixels, and '{spec.name}' has "
            f"{spec.shape}: add --size 32."
        )
    if c.supervised and spec.classes < 2:
        raise UsageError(
            f"'{spec.name}' has no labels of two or more classes: give some with "
            "--labels, or add --model.no-supervised."
        )
    if min(c.width or 4, c.generator_width or 4) < 4:
        raise UsageError(
            "--model.width and --model.generator-width must be 0 or at least 4, got "
            f"{c.width} and {c.generator_width}."
        )
    return dense
