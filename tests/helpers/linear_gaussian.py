"""A VAE whose posteriors are known in closed form: Gaussian pixels with linear means."""

from __future__ import annotations

import torch
from torch import Tensor

from zeuxis.applications.restoration.gaussian import (
    GaussianPrior,
    posterior_covariance,
    posterior_mean,
)
from zeuxis.applications.restoration.operators import Average, Identity, Operator
from zeuxis.data.dataset import Spec


class LinearGaussian:
    """x = offset + W z + noise, with z from N(0, I)."""

    name = "linear-gaussian"
    levels = 256

    def __init__(
        self, shape: tuple[int, int, int] = (1, 4, 4), latent: int = 3, noise: float = 6.0
    ):
        generator = torch.Generator().manual_seed(3)
        size = shape[0] * shape[1] * shape[2]
        self.spec = Spec("toy", shape)
        self.device = torch.device("cpu")
        self.noise = noise
        self.weight = 15 * torch.randn(size, latent, generator=generator)
        self.offset = 127 + 10 * torch.randn(size, generator=generator)

    def prior(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(n, self.weight.shape[1], generator=generator)

    def render(self, z: Tensor) -> Tensor:
        return (self.offset + z @ self.weight.T).view(-1, *self.spec.shape)

    def pixel_variance(self, mean: Tensor, z: Tensor) -> Tensor:
        return torch.full_like(mean, self.noise**2)

    def pixel_log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        return -(x - self.render(z)).square() / 2 / self.noise**2

    def propose(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior's mean, too wide by a fifth, as encoders are wrong."""
        inner = self.weight.T @ self.weight / self.noise**2 + torch.eye(self.weight.shape[1])
        covariance = torch.linalg.inv(inner)
        mean = (x.flatten(1) - self.offset) @ self.weight @ covariance / self.noise**2
        return mean, (1.2 * covariance.diag().sqrt()).log().expand_as(mean)

    def draw_pixels(self, z: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        mean = self.render(z)
        return mean + self.noise * torch.randn(mean.shape, generator=generator)

    def gaussian(self) -> GaussianPrior:
        """The distribution of images."""
        noise = self.noise**2 * torch.eye(len(self.offset))
        return GaussianPrior(self.offset.view(self.spec.shape), self.weight @ self.weight.T + noise)

    def moments(self, y: Tensor, operator: Operator, sigma: float) -> tuple[Tensor, Tensor]:
        """Mean and variances of E[x | z, y] under the posterior of z, each (batch, C, H, W)."""
        mean = posterior_mean(self.gaussian(), y, operator, sigma)
        whole = posterior_covariance(self.gaussian(), operator, sigma).diag()
        noise = self.noise**2
        within = torch.full_like(whole, noise)  # Var[x | z, y]
        if isinstance(operator, Identity):
            within = within * sigma**2 / (noise + sigma**2)
        elif isinstance(operator, Average):
            block = noise / operator.factor**2  # of a block's mean, and its covariance with a pixel
            within = within - block**2 / (block + sigma**2)
        return mean, (whole - within).view(self.spec.shape)
