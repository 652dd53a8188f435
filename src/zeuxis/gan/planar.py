r"""A GAN of the plane: a unit Gaussian is stretched by a small network until it covers a toy law.

It is the picture by which the field explains itself: the code is a point of the plane as well, so
the generator is a warp that can be drawn, and the law is known, so its distance can be measured.
With the discriminator's logit $a$, the players minimize

$$ L_D = \mathbb{E}[f(-a(x))] + \mathbb{E}[f(a(G(z)))] + \tfrac{\gamma_1}{2}\,\mathbb{E}|\nabla a(x)|^2
       + \tfrac{\gamma_2}{2}\,\mathbb{E}|\nabla a(G(z))|^2, \qquad L_G = \mathbb{E}[f(-a(G(z)))], \qquad f(t) = \log(1 + e^t) , $$

the non-saturating game of Goodfellow et al. 2014 with gradient penalties on data (R1) and on
samples (R2): Mescheder, Geiger and Nowozin, "Which Training Methods for GANs do actually
Converge?", 2018. In the relativistic game each sample is judged beside a point of the data, $L_D =
\mathbb{E} f(a(G(z)) - a(x))$ and $L_G = \mathbb{E} f(a(x) - a(G(z)))$: Jolicoeur-Martineau, "The
Relativistic Discriminator", 2019.

What was seen to matter on the ring of eight Gaussians, in trials with one or two seeds each that
are not on record:

- R1 and R2, with which all modes are covered, of nearly equal weight;
- ReLU in place of leaky ReLU: codes of a region in which all units are constant go to one point,
  which is what narrow modes ask for;
- first biases spread over the plane: at 0, every kink of the first layer passes through the origin;
- four layers of 64 units rather than three of 128, with fewer multiplications.

Wide laws ask for the opposite of a plateau. On two moons the samples stayed too close to the curves
at equal step sizes, and less so with a generator thirty times slower, which leaves the
discriminator time to see the missing width.

`PLAIN` plays the game bare, as was usual in 2016; Metz et al., "Unrolled Generative Adversarial
Networks", 2017, describe the loss of modes that it shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..data.dataset import Spec
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..ranges import BaseConfig, Decay, Depth, Rate, Size, Weight
from .losses import discriminator_loss, frozen, generator_loss


@dataclass(frozen=True)
class PlanarConfig(BaseConfig):
    """Settings of a GAN of the plane; the defaults are for mixtures of narrow modes, such as the
    ring."""

    latent_dim: Size = 2
    """Numbers in a code, standard normal; with 2 the film shows the code space's own grid,
    warped."""
    width: Size = 64
    """Units in each hidden layer of both players."""
    depth: Depth = 4
    """Hidden layers of both players."""
    game: Literal["nonsaturating", "relativistic", "saturating"] = "nonsaturating"
    """What the players minimize; `saturating` is the zero-sum game, whose generator learns little
    while it loses."""
    r1: Weight = 0.03
    """Weight of the squared gradient of the discriminator at the data."""
    r2: Weight = 0.03
    """Weight of the squared gradient of the discriminator at the samples."""
    activation: Literal["relu", "leaky"] = "relu"
    """Hidden units; leaky has slope 0.2 below 0."""
    spread: Weight = 1.0
    """Biases start uniform in +-2 spread (first layer) and +-0.5 spread (others); 0 starts them at
    0."""
    identity: bool = True
    """Start from the map that leaves a code where it is, so that the film begins with the unit
    Gaussian itself."""
    lr: Rate = 3e-3
    """Adam's step size for the discriminator."""
    generator_lr: Rate = 3e-3
    """Adam's step size for the generator; 1e-4 is for wide laws such as moons, which a fast
    generator draws too thin."""
    beta1: Decay = 0.0
    """Adam's decay of the first moment."""
    beta2: Decay = 0.99
    """Adam's decay of the second moment."""


PLAIN = PlanarConfig(
    r1=0.0, r2=0.0, spread=0.0, identity=False, lr=1e-3, generator_lr=1e-3, beta1=0.5, beta2=0.999
)


def network(widths: list[int], config: PlanarConfig) -> nn.Sequential:
    """Dense layers of these widths with an activation between them."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        dense = nn.Linear(fan_in, fan_out)
        nn.init.kaiming_normal_(dense.weight, nonlinearity="relu")
        reach = config.spread * (0.5 if layers else 2.0)
        nn.init.uniform_(dense.bias, -reach, reach)
        layers += [dense, nn.ReLU() if config.activation == "relu" else nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def begin_as_identity(generator: nn.Sequential, code: int) -> None:
    """Fits the last layer by ridge regression so that a code's first numbers come out as they went
    in."""
    last = generator[-1]
    assert isinstance(last, nn.Linear)
    z = torch.randn(4096, code)
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
        if config.identity:
            begin_as_identity(self.generator, config.latent_dim)
        self.discriminator = network([spec.size, *hidden, 1], config)

    def players(self) -> dict[str, Player]:
        c = self.config
        return {
            "discriminator": Player(self.discriminator, c.lr, (c.beta1, c.beta2)),
            "generator": Player(self.generator, c.generator_lr, (c.beta1, c.beta2)),
        }

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        c, x = self.config, batch.x.float()
        precise = torch.autocast(
            x.device.type, enabled=False
        )  # bfloat16 has no room for a mode 0.02 wide at radius 2

        with precise:
            with torch.no_grad():
                fake = self.generator(batch.noise.normal(c.latent_dim))
            both = torch.cat([x, fake]).requires_grad_(c.r1 > 0 or c.r2 > 0)
            logits = self.discriminator(both).squeeze(1)
            on_real, on_fake = logits.chunk(2)
            loss = (
                F.softplus(on_fake - on_real).mean()
                if c.game == "relativistic"
                else discriminator_loss(on_real, on_fake)
            )
            if both.requires_grad:
                (slope,) = torch.autograd.grad(logits.sum(), both, create_graph=True)
                at_real, at_fake = slope.square().sum(1).chunk(2)
                batch.logs["|grad D(x)|^2"] = at_real.detach().mean()
                loss = loss + c.r1 / 2 * at_real.mean() + c.r2 / 2 * at_fake.mean()
        batch.logs |= {
            "D(x)": on_real.detach().sigmoid().mean(),
            "D(G(z))": on_fake.detach().sigmoid().mean(),
        }
        yield "discriminator", loss

        with precise, frozen(self.discriminator):
            on_fake = self.discriminator(self.generator(batch.noise.normal(c.latent_dim))).squeeze(
                1
            )
            if c.game == "relativistic":
                with torch.no_grad():
                    on_real = self.discriminator(x).squeeze(1)
                loss = F.softplus(on_real - on_fake).mean()
            else:
                loss = (
                    generator_loss(on_fake)
                    if c.game == "nonsaturating"
                    else -F.softplus(on_fake).mean()
                )
        yield "generator", loss

    def prior(self, n: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "n code"]:
        """n codes drawn from the unit Gaussian."""
        device = generator.device if generator is not None else self.device
        return torch.randn(n, self.config.latent_dim, generator=generator, device=device).to(
            self.device
        )

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "n code"]) -> Float[Tensor, "n point"]:
        """Points for these codes."""
        parts = [self.generator(part) for part in z.to(self.device).split(1024)]
        return torch.cat(parts) if parts else torch.empty(0, self.spec.size, device=self.device)

    def sample(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n point"]:
        """n new points."""
        return self.decode(self.prior(n, generator=generator))
