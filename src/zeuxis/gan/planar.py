r"""A GAN of the plane: a network warps a unit Gaussian until it covers a known density.

The latent vector is a point of the plane as well, so the generator can be drawn as a warped grid,
and the density is known, so distances to it can be computed. With the discriminator's logit $a$ and
$f(t) = \log(1 + e^t)$ the players minimize

$$ L_D = \mathbb{E}[f(-a(x))] + \mathbb{E}[f(a(G(z)))]
   + \tfrac{\gamma_1}{2}\,\mathbb{E}|\nabla a(x)|^2
   + \tfrac{\gamma_2}{2}\,\mathbb{E}|\nabla a(G(z))|^2, \qquad L_G = \mathbb{E}[f(-a(G(z)))] , $$

the non-saturating game of Goodfellow et al. 2014 with gradient penalties on data (R1) and on
samples (R2).

What mattered on the ring of eight Gaussians, in trials with one or two seeds that have no record:

- R1 and R2 of nearly equal weight: with them the samples cover all modes;
- ReLU instead of leaky ReLU: dead ReLU regions map many latents to one point, which suits narrow
  modes;
- first biases spread over the plane: at 0, every kink of the first layer passes through the origin;
- four layers of 64 units rather than three of 128, with fewer multiplications.

Smooth densities such as two moons need a slow generator (1e-4 instead of 3e-3), which gives the
discriminator time to detect the missing width. `PLAIN` has no penalties, as was usual in 2016, and
loses modes, as Metz et al., "Unrolled Generative Adversarial Networks", 2017, describe.

Source: Mescheder, Geiger and Nowozin, "Which Training Methods for GANs do actually Converge?",
2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..data.dataset import Spec
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..ranges import BaseConfig, Decay, Depth, Rate, Size, Weight
from .losses import discriminator_loss, frozen, generator_loss, mean_probabilities


@dataclass(frozen=True)
class PlanarConfig(BaseConfig):
    """Settings of a GAN of the plane; the defaults are for narrow modes, such as the ring's."""

    latent_dim: Size = 2
    """Length of the latent vector, standard normal; with 2 the film shows the warped grid."""
    width: Size = 64
    """Units in each hidden layer of both players."""
    depth: Depth = 4
    """Hidden layers of both players."""
    r1: Weight = 0.03
    """Weight of the discriminator's squared gradient at the data."""
    r2: Weight = 0.03
    """Weight of the discriminator's squared gradient at the samples."""
    activation: Literal["relu", "leaky"] = "relu"
    """Hidden units; leaky has slope 0.2 below 0."""
    initialization: Literal["identity", "zero-bias"] = "identity"
    """`identity`: biases spread over the plane, and a generator that starts as the identity map;
    `zero-bias`: all biases 0."""
    lr: Rate = 3e-3
    """Adam's step size for the discriminator."""
    generator_lr: Rate = 3e-3
    """Adam's step size for the generator; take 1e-4 for smooth densities such as moons."""
    beta1: Decay = 0.0
    """Adam's decay of the first moment."""
    beta2: Decay = 0.99
    """Adam's decay of the second moment."""


PLAIN = PlanarConfig(
    r1=0.0, r2=0.0, initialization="zero-bias", lr=1e-3, generator_lr=1e-3, beta1=0.5, beta2=0.999
)


def network(widths: list[int], config: PlanarConfig) -> nn.Sequential:
    """Dense layers of these widths with an activation between them."""
    layers: list[nn.Module] = []
    spread = 1.0 if config.initialization == "identity" else 0.0
    for fan_in, fan_out in pairwise(widths):
        dense = nn.Linear(fan_in, fan_out)
        nn.init.kaiming_normal_(dense.weight, nonlinearity="relu")
        limit = spread * (0.5 if layers else 2.0)
        nn.init.uniform_(dense.bias, -limit, limit)
        layers += [dense, nn.ReLU() if config.activation == "relu" else nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def initialize_as_identity(generator: nn.Sequential, latent_dim: int) -> None:
    """Fits the last layer by ridge regression so that G(z) is close to the first entries of z."""
    last = generator[-1]
    assert isinstance(last, nn.Linear)
    z = torch.randn(4096, latent_dim)
    h = torch.cat([generator[:-1](z), torch.ones(len(z), 1)], 1).double()
    gram = h.T @ h + 1e-3 * len(z) * torch.eye(h.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(gram, h.T @ z[:, : last.out_features].double()).float()
    last.weight.copy_(weights[:-1].T)
    last.bias.copy_(weights[-1])


class PlanarGAN(Model):
    """The two players, their game, and the generator as a sampler of points.

    Example:
        >>> from zeuxis.data.dataset import Spec
        >>> model = PlanarGAN(PlanarConfig(), Spec("ring", (2,)))
        >>> model.sample(5).shape, model.decode(model.prior(3)).dtype
        (torch.Size([5, 2]), torch.float32)
    """

    name: ClassVar[str] = "planar"
    Config: ClassVar[type] = PlanarConfig
    paper: ClassVar[str] = (
        "Goodfellow et al.: Generative Adversarial Networks, 2014; Mescheder, Geiger, Nowozin, 2018"
    )

    @classmethod
    def tiny(cls) -> tuple[PlanarConfig, Spec]:
        return PlanarConfig(), Spec("ring", (2,))

    def __init__(self, config: PlanarConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        if spec.shape != (2,):
            raise UsageError(
                f"The model 'planar' makes points, and '{spec.name}' has shape "
                f"{spec.shape}: give it data such as ring."
            )
        hidden = [config.width] * config.depth
        self.generator = network([config.latent_dim, *hidden, spec.size], config)
        if config.initialization == "identity":
            initialize_as_identity(self.generator, config.latent_dim)
        self.discriminator = network([spec.size, *hidden, 1], config)

    def players(self) -> dict[str, Player]:
        c = self.config
        return {
            "discriminator": Player(self.discriminator, c.lr, (c.beta1, c.beta2)),
            "generator": Player(self.generator, c.generator_lr, (c.beta1, c.beta2)),
        }

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        c, x = self.config, batch.x.float()
        # bfloat16 cannot resolve a mode of width 0.02 at radius 2.
        full_precision = torch.autocast(x.device.type, enabled=False)

        with full_precision:
            with torch.no_grad():
                fake = self.generator(batch.noise.normal(c.latent_dim))
            both = torch.cat([x, fake]).requires_grad_(c.r1 > 0 or c.r2 > 0)
            logits = self.discriminator(both).squeeze(1)
            on_real, on_fake = logits.chunk(2)
            loss = discriminator_loss(on_real, on_fake)
            if both.requires_grad:
                (gradient,) = torch.autograd.grad(logits.sum(), both, create_graph=True)
                at_real, at_fake = gradient.square().sum(1).chunk(2)
                batch.logs["|grad D(x)|^2"] = at_real.detach().mean()
                loss = loss + c.r1 / 2 * at_real.mean() + c.r2 / 2 * at_fake.mean()
        batch.logs |= mean_probabilities(on_real, on_fake)
        yield "discriminator", loss

        with full_precision, frozen(self.discriminator):
            fake = self.generator(batch.noise.normal(c.latent_dim))
            loss = generator_loss(self.discriminator(fake).squeeze(1))
        yield "generator", loss

    def prior(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n latent_dim"]:
        """n latents, standard normal."""
        device = generator.device if generator is not None else self.device
        return torch.randn(n, self.config.latent_dim, generator=generator, device=device).to(
            self.device
        )

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "n latent_dim"]) -> Float[Tensor, "n point"]:
        """Points for these latents."""
        parts = [self.generator(part) for part in z.to(self.device).split(1024)]
        return torch.cat(parts) if parts else torch.empty(0, self.spec.size, device=self.device)

    def sample(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n point"]:
        """n new points."""
        return self.decode(self.prior(n, generator=generator))
