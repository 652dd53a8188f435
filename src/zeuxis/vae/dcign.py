r"""DC-IGN: a variational autoencoder whose latents get their meaning from the order of the data.

Every group of images shows one scene in which one thing moves: a named factor, such as azimuth, or
all that is intrinsic to the face. No value of a factor is given. Unit i of the latent belongs to
factor i, and the units after them are intrinsic. For a group in which factor t moves:

1. encode all images of the group;
2. replace every unit but $z_t$ by its mean over the group ("clamped"), so that the decoder can
   explain the differences within the group by $z_t$ alone;
3. decode, and compute the gradients of the bound;
4. at the encoder's output keep the gradient of $z_t$, and replace that of each clamped unit by
   $\kappa\,(z_i - \bar z_i)$ with $\kappa = 1/100$, which makes it invariant to the factor;
5. continue through the encoder.

In an intrinsic group all units after the factors are kept. As a loss, with the mask a of kept
units and a mean through which no gradient flows,

$$ -\log p(x \,|\, z) + \sum_{i \in a} \mathrm{KL}(q(z_i|x) \,\|\, N(0, 1))
   + \tfrac{\kappa}{2} \sum_{i \notin a} \big[ (\mu_i - \bar\mu_i)^2 +
   (\log \sigma_i^2 - \overline{\log \sigma_i^2})^2 \big] . $$

Several groups make a step: the gradient is the mean of those of its groups.

Source: Kulkarni, Whitney, Kohli and Tenenbaum, "Deep Convolutional Inverse Graphics Network", 2015,
and the code released with it. Where both differ: units are clamped to the mean (text) and not to
the group's first image (code; `clamp`), their gradient is replaced (text) and not set to 0, and
their divergence from the prior has no gradient (code). Noise is drawn for each image, also on
clamped units (code). Departures: the likelihood has a weight, and may be Gaussian; the cross
entropy of small gray images gains so few nats that the posterior collapses, and such a run is
refused. Shared posteriors and mirror consistency are not the paper's (`group_posteriors`,
`mirror`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from ..capabilities import Code
from ..data.dataset import Dataset, Spec
from ..data.face_groups import INTRINSIC, grouped
from ..distributions.elementwise import bernoulli, normal, normal_kl
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.precision import at_least_float32
from ..nn.trunk import Trunk, in_parts
from ..ranges import BaseConfig, Positive, Range, Rate, Size, Weight
from .clamping import active_units, clamped, invariance
from .dcign_nets import networks
from .group_posteriors import Posterior, Rule, share, share_in_pairs
from .mirror import mirror_loss, mirror_signs

EVERY = 50_000  # images between checks for a collapsed posterior
ACTIVE = 0.1  # variance of posterior means from which a unit counts as active


@dataclass(frozen=True)
class DCIGNConfig(BaseConfig):
    """Settings of a DC-IGN; the defaults are the paper's for faces of 150 pixels."""

    factors: tuple[str, ...] = ("azimuth", "elevation", "lighting")
    """Factors that move alone in groups, one unit of the latent for each; others are intrinsic."""
    group: Annotated[int, Range(2, 10000)] = 20
    """Images of a group; the batch is a multiple of it."""
    ratio: tuple[Weight, ...] = (1, 1, 1, 10)
    """How often groups of each factor and, last, intrinsic ones are drawn; empty for equally
    often."""
    architecture: Literal["paper", "strided"] = "paper"
    """The paper's networks for 150 pixels, or strided convolutions for any size."""
    channels: tuple[Size, ...] = (96, 64, 32)
    """Channels after each halving of the side."""
    hidden_dim: Size = 256
    """Units of the dense layer of the strided networks."""
    latent_dim: Size = 200
    """Dimension of the latent z."""
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    """Distribution of a pixel: cross entropy of gray levels, as in the paper, or Gaussian."""
    std: Positive = 0.1
    """Standard deviation of the Gaussian, where white is 1."""
    weight: Positive = 1.0
    """Weight of the reconstruction beside the KL term; about 22,500 / pixels gives small images
    what the paper's have."""
    posterior: Literal["clamped", "mean", "product", "adaptive"] = "clamped"
    """What takes the place of units that do not move: a clamped value as in the paper, or a
    posterior that the group shares (GVAE, ML-VAE, Ada-GVAE)."""
    clamp: Literal["mean", "first"] = "mean"
    """The clamped value: the mean over the group, or that of its first image as in the released
    code."""
    invariance: Weight = 0.01
    """Factor of the gradient that replaces that of clamped units."""
    mirror: Weight = 0.0
    """Weight of the mirror consistency."""
    odd: tuple[str, ...] = ("azimuth", "lighting")
    """Factors whose unit changes its sign in a mirrored image."""
    least_rate: Weight = 5.0
    """Nats of the latent below which a training stops as collapsed, checked every 50,000 images."""
    lr: Rate = 5e-4
    """Step size."""


class DCIGN(Model):
    """Encoder, decoder, and a training by groups.

    Example:
        >>> from zeuxis.data.dataset import Spec
        >>> config = DCIGNConfig(("azimuth",), architecture="strided", channels=(4,), ratio=())
        >>> model = DCIGN(config, Spec("tiny", (1, 16, 16))).eval()
        >>> x = model.sample(2)
        >>> model.encode(x).shape, [code.name for code in model.codes()]
        (torch.Size([2, 200]), ['azimuth'])
    """

    name: ClassVar[str] = "dcign"
    Config: ClassVar[type] = DCIGNConfig
    paper: ClassVar[str] = "Kulkarni et al.: Deep Convolutional Inverse Graphics Network, 2015"
    clock: ClassVar[Literal["linear", "log"]] = "log"
    channels_last: ClassVar[bool] = True

    @classmethod
    def tiny(cls) -> tuple[DCIGNConfig, Spec]:
        config = DCIGNConfig(
            ("one", "two"), 4, (), "strided", channels=(4, 4), hidden_dim=16, latent_dim=6
        )
        return config, Spec("tiny", (1, 28, 28), 3, ("one", "two", INTRINSIC))

    def __init__(self, config: DCIGNConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        check(config, spec)
        c = config
        self.encoder, self.decoder = networks(
            spec.shape, c.channels, c.hidden_dim, c.latent_dim, c.architecture == "paper"
        )
        self.mean = nn.Linear(self.encoder.features, c.latent_dim)
        self.log_variance = nn.Linear(self.encoder.features, c.latent_dim)
        for head in (self.mean, self.log_variance):
            nn.init.normal_(head.weight, std=0.01)
            nn.init.normal_(head.bias, std=0.01)

    def players(self) -> dict[str, Player]:
        # The released code calls it RMSProp; with both decays and their corrections it is Adam.
        return {"model": Player(self, self.config.lr, (0.9, 0.99), optimizer="adam-root")}

    def arrange(self, data: Dataset) -> Dataset:
        """The data in groups in which one factor moves."""
        c = self.config
        return grouped(data, c.factors, c.group, c.ratio)

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        c, x = self.config, batch.x.float() / 255
        kinds = kinds_of(batch, c)
        mean, log_variance = self.parameters_of(x)
        pose = mean.unflatten(0, (-1, c.group)), log_variance.unflatten(0, (-1, c.group))
        active = active_units(kinds, len(c.factors), c.latent_dim)
        penalty = torch.zeros(len(x), device=x.device)
        if c.posterior == "clamped":
            shown = [clamped(part, active, c.clamp) for part in pose]
            charge = active.float()
            penalty = sum(
                (invariance(part, active, c.invariance).flatten() for part in pose), penalty
            )
        else:
            *shown, charge = self.shared(*pose, active)
        rate = normal_kl(shown[0], shown[1] / 2)
        noise = batch.noise.normal(c.latent_dim).view_as(shown[0])
        z = (shown[0] + (shown[1] / 2).exp() * noise).flatten(0, 1)
        distortion = -self.log_likelihood(x, self.outputs(z)).flatten(1).sum(1)
        loss = c.weight * distortion + (charge * rate).sum(2).flatten() + penalty
        if c.mirror:
            signs = mirror_signs(c.factors, c.odd, c.latent_dim).to(x.device)
            mirrored = mirror_loss(lambda x: self.parameters_of(x)[0], x, mean, signs)
            loss = loss + c.mirror * mirrored
            batch.logs["mirror"] = mirrored.detach().mean()
        self.log(batch, mean, log_variance, distortion)
        yield "model", loss.mean()

    def shared(
        self, mean: Posterior, log_variance: Posterior, active: Tensor
    ) -> tuple[Posterior, Posterior, Tensor]:
        """Posteriors that the images of a group share, and what an image is charged of them."""
        rules: dict[str, Rule] = {"mean": "mean", "product": "product"}
        if self.config.posterior in rules:
            return share(mean, log_variance, active, rules[self.config.posterior])
        return share_in_pairs(mean, log_variance)

    def log(self, batch: Batch, mean: Tensor, log_variance: Tensor, distortion: Tensor) -> None:
        """Logs distortion, rate and active units, and refuses a collapsed posterior.

        Raises:
            UsageError: The latent has fewer nats than `least_rate`.
        """
        c = self.config
        rate = normal_kl(mean.detach(), log_variance.detach() / 2).mean(0)
        batch.logs |= {
            "distortion": distortion.detach().mean(),
            "rate": rate.sum(),
            "active units": (mean.detach().var(0) > ACTIVE).sum().float(),
        }
        batch.logs |= {f"rate of {code.name}": rate[code.start] for code in self.named()}
        if batch.images < EVERY or batch.images % EVERY >= batch.noise.total:
            return
        if (nats := rate.sum().item()) < c.least_rate:
            raise UsageError(
                f"After {batch.images:,} images the latent has {nats:.2f} nats, fewer than "
                f"{c.least_rate:g}: the posterior has collapsed. Give --model.likelihood gaussian, "
                f"or a larger --model.weight than {c.weight:g}."
            )

    def parameters_of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log variances of q(z | x) for images from 0 to 1."""
        h = self.encoder(x)
        return at_least_float32(self.mean(h)), at_least_float32(self.log_variance(h))

    def outputs(self, z: Float[Tensor, "n latent"]) -> Float[Tensor, "n channels height width"]:
        """The decoder's outputs: logits of gray levels."""
        return at_least_float32(self.decoder(z))

    def log_likelihood(self, x: Tensor, out: Tensor) -> Tensor:
        """log p(x | z), pixel by pixel, for images from 0 to 1."""
        if self.config.likelihood == "bernoulli":
            return bernoulli(x, out)
        return normal(x, torch.sigmoid(out), math.log(self.config.std))

    def named(self) -> tuple[Code, ...]:
        """The units of factors; none where a training does not know what moves."""
        if self.config.posterior == "adaptive":
            return ()
        return tuple(
            Code(factor, "continuous", i, low=-1.5, high=1.5)
            for i, factor in enumerate(self.config.factors)
        )

    def codes(self) -> tuple[Code, ...]:
        """The unit of each factor; without knowledge of what moves, every unit by its number."""
        units = range(self.config.latent_dim)
        numbered = (Code(f"unit {i + 1}", "continuous", i, low=-1.5, high=1.5) for i in units)
        return self.named() or tuple(numbered)

    def infer(self, x: UInt8[Tensor, "n channels height width"]) -> list[Tensor]:
        """Posterior means of the units that `codes` names, (n, 1) each."""
        z = self.encode(x)
        return [z[:, code.start : code.start + 1] for code in self.codes()]

    @torch.no_grad()
    def posterior(
        self, x: UInt8[Tensor, "n channels height width"]
    ) -> tuple[Float[Tensor, "n latent"], Float[Tensor, "n latent"]]:
        """Means and logarithms of the standard deviations of q(z | x)."""
        parts = [self.parameters_of(part.to(self.device).float() / 255) for part in x.split(500)]
        mean, log_variance = (torch.cat(part) for part in zip(*parts, strict=True))
        return mean, log_variance / 2

    def encode(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n latent"]:
        """Posterior means of all units."""
        return self.posterior(x)[0]

    def prior(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n latent"]:
        """n latents from N(0, I)."""
        device = generator.device if generator is not None else self.device
        z = torch.randn(n, self.config.latent_dim, generator=generator, device=device)
        return z.to(self.device)

    def render(self, z: Float[Tensor, "n latent"]) -> Float[Tensor, "n channels height width"]:
        """Mean images for these latents with gradients, as floats from 0 to 255."""
        return torch.sigmoid(self.outputs(z.to(self.device))) * 255

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "n latent"]) -> UInt8[Tensor, "n channels height width"]:
        """Mean images for these latents."""
        images = [self.render(part) for part in z.split(500)]
        return torch.cat([x.round().clamp(0, 255).byte().contiguous() for x in images])

    def sample(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "n channels height width"]:
        """Mean images of n latents from the prior."""
        return self.decode(self.prior(n, generator=generator))

    def trunk(self) -> Trunk:
        """Images to the encoder's last layer before the heads."""
        return Trunk(self.encoder, nn.Module.__call__, 1 / 255, 0.0)

    def features(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """The encoder's last layer before the heads."""
        return in_parts(self.trunk(), x)


def kinds_of(batch: Batch, c: DCIGNConfig) -> Int64[Tensor, "groups"]:
    """What moves in each group of a batch.

    Raises:
        UsageError: The batch has no whole groups of one kind.
    """
    kinds = batch.y
    if kinds is None or len(kinds) % c.group:
        raise UsageError(
            f"DC-IGN learns from groups of {c.group} images with labels that say what moves, and "
            f"this batch has {len(batch.x)} images {'without' if kinds is None else 'with'} "
            "labels: give --data faces, and a batch that is a multiple of --model.group."
        )
    kinds = kinds.view(-1, c.group)
    if (kinds != kinds[:, :1]).any() or kinds.min() < 0 or kinds.max() > len(c.factors):
        raise UsageError(
            f"The labels of a group of {c.group} images differ or are no kind from 0 to "
            f"{len(c.factors)}: give Facts(group={c.group}) with data in which they follow "
            "each other."
        )
    return kinds[:, 0]


def check(c: DCIGNConfig, spec: Spec) -> None:
    """Refuses settings that cannot work."""
    if len(spec.shape) != 3 or spec.shape[1] != spec.shape[2]:
        raise UsageError(
            f"DC-IGN is for square images, and '{spec.name}' has examples of shape {spec.shape}: "
            "add --size 32."
        )
    if not 0 < len(c.factors) < c.latent_dim:
        raise UsageError(
            f"A latent of {c.latent_dim} units has no place for {len(c.factors)} factors and what "
            "is intrinsic: give at least one factor and a larger --model.latent-dim."
        )
    if c.ratio and len(c.ratio) != len(c.factors) + 1:
        raise UsageError(
            f"--model.ratio has {len(c.ratio)} numbers for {len(c.factors)} factors: give one for "
            "each and one for intrinsic groups, or none."
        )
    if c.posterior == "adaptive" and c.group % 2:
        raise UsageError(
            f"Pairs of images do not divide groups of {c.group}: give an even --model.group."
        )
