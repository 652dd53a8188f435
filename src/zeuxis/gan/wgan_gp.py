r"""WGAN-GP: a generator follows the gradient of a Wasserstein distance.

The critic $D$ estimates the Wasserstein distance between images and samples. It must be
1-Lipschitz, so its gradient is driven to norm one on lines between images and samples:

$$ L_D = \mathbb{E}[D(G(z))] - \mathbb{E}[D(x)]
       + \lambda \, \mathbb{E}[(\lVert \nabla_{\hat x} D(\hat x) \rVert_2 - 1)^2],
   \qquad L_G = -\mathbb{E}[D(G(z))], $$

with $\hat x = \epsilon x + (1 - \epsilon) G(z)$, $\epsilon \sim U(0, 1)$ and $z \sim N(0, I)$. The
critic moves $n_\text{critic}$ times before each step of the generator. Neither network normalizes
over the batch: the penalty is on each image's own gradient.

Source: Gulrajani, Ahmed, Arjovsky, Dumoulin and Courville, "Improved Training of Wasserstein GANs",
2017, algorithm 1; networks and latents of the released `gan_mnist.py`. Departures: weights start
from PyTorch's defaults; seven-pixel maps come from the strides and not from cropping.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..data.dataset import Spec
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..ranges import BaseConfig, Count, Decay, Rate, Size, Weight
from .losses import frozen


@dataclass(frozen=True)
class WGANGPConfig(BaseConfig):
    """Settings of a WGAN-GP; the defaults are those of algorithm 1."""

    latent_dim: Size = 128
    """Dimension of the latent z."""
    channels: Size = 64
    """Channels of the layer next to the image; they double with each halving of the side."""
    critic_steps: Count = 5
    """Steps of the critic for one of the generator (n_critic)."""
    penalty: Weight = 10.0
    """Weight of the gradient penalty (lambda)."""
    lr: Rate = 1e-4
    """Adam's step size."""
    beta1: Decay = 0.0
    """Adam's decay of the first moment."""
    beta2: Decay = 0.9
    """Adam's decay of the second moment."""


def networks(config: WGANGPConfig, shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
    """The generator, (N, latent_dim) to pixels in [0, 1], and the critic, pixels to (N, 1)."""
    c = config.channels
    channels = (shape[0], c, 2 * c, 4 * c)
    sizes = [shape[1:]]
    down: list[nn.Module] = []
    up: list[nn.Module] = []
    for i in range(3):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
        down += [nn.Conv2d(channels[i], channels[i + 1], 5, 2, 2), nn.LeakyReLU(0.2)]
        even = (1 - height % 2, 1 - width % 2)  # one more row and column for an even side
        up = [nn.ReLU(), nn.ConvTranspose2d(channels[i + 1], channels[i], 5, 2, 2, even), *up]
    last = (channels[3], *sizes[3])
    units = last[0] * last[1] * last[2]
    generator = nn.Sequential(
        nn.Linear(config.latent_dim, units), nn.Unflatten(1, last), *up, nn.Sigmoid()
    )
    return generator, nn.Sequential(*down, nn.Flatten(), nn.Linear(units, 1))


class WGANGP(Model):
    """The critic, the generator and their game.

    Example:
        >>> model = WGANGP(*WGANGP.tiny()).eval()
        >>> model.sample(2).shape, model.sample(2).dtype
        (torch.Size([2, 1, 28, 28]), torch.uint8)
    """

    name: ClassVar[str] = "wgan-gp"
    Config: ClassVar[type] = WGANGPConfig
    paper: ClassVar[str] = (
        "Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville: Improved Training of Wasserstein GANs, "
        "2017"
    )

    @classmethod
    def tiny(cls) -> tuple[WGANGPConfig, Spec]:
        return WGANGPConfig(latent_dim=8, channels=4), Spec("tiny", (1, 28, 28), 10)

    def __init__(self, config: WGANGPConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        if len(spec.shape) != 3:
            raise UsageError(f"WGAN-GP makes images, and '{spec.name}' has shape {spec.shape}.")
        self.generator, self.critic = networks(config, spec.shape)

    def players(self) -> dict[str, Player]:
        adam: dict[str, Any] = {
            "lr": self.config.lr,
            "betas": (self.config.beta1, self.config.beta2),
        }
        return {"critic": Player(self.critic, **adam), "generator": Player(self.generator, **adam)}

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        noise = batch.noise
        for step in range(self.config.critic_steps):
            x = batch.x if step == 0 else batch.more("any", noise.total, step)[0]
            x = x.float() / 255  # (n, C, H, W)
            with torch.no_grad():
                fake = self.generator(noise.normal(self.config.latent_dim)).float()
            epsilon = noise.uniform(1, 1, 1)
            mixed = (epsilon * x + (1 - epsilon) * fake).requires_grad_()
            (gradient,) = torch.autograd.grad(self.critic(mixed).sum(), mixed, create_graph=True)
            penalty = (gradient.float().flatten(1).norm(dim=1) - 1).square().mean()
            distance = self.critic(x).float().mean() - self.critic(fake).float().mean()
            batch.logs["distance"] = distance.detach()
            yield "critic", self.config.penalty * penalty - distance

        with frozen(self.critic):
            fake = self.generator(noise.normal(self.config.latent_dim))
            loss = -self.critic(fake).float().mean()
        yield "generator", loss

    def prior(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n latent_dim"]:
        """n latents from N(0, I)."""
        device = self.device if generator is None else generator.device
        z = torch.randn(n, self.config.latent_dim, generator=generator, device=device)
        return z.to(self.device)

    def render(self, z: Float[Tensor, "n latent_dim"]) -> Float[Tensor, "n channels height width"]:
        """The image of each latent with gradients, as floats from 0 to 255."""
        return self.generator(z.to(self.device)) * 255

    def realism(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n"]:
        """The critic's scores of images from 0 to 255."""
        return self.critic(x / 255)[:, 0]

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "n latent_dim"]) -> UInt8[Tensor, "n channels height width"]:
        """The image of each latent."""
        images = [self.render(part) for part in z.split(256)]
        return torch.cat(images).round().byte()

    def sample(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "n channels height width"]:
        """n images."""
        return self.decode(self.prior(n, generator=generator))
