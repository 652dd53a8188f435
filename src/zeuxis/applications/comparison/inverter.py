"""An encoder for a decoder that has none, trained on the decoder's own samples.

A GAN gives no code of an image. A small network that learns z from G(z), by least squares, gives
one: not by the model itself, which is said wherever its figures stand. It sees samples only, never
real images, so real images that the generator cannot make have poor codes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ...capabilities import CanDecode
from ...progress import track

BATCH = 64


class Inverter(nn.Module):
    """Images to latents: three convolutions that halve the side, and two dense layers."""

    def __init__(self, shape: tuple[int, ...], latent: int, channels: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = shape[0]
        for i in range(3):
            layers += [
                nn.Conv2d(before, channels << i, 3, 2, 1),
                nn.BatchNorm2d(channels << i),
                nn.ReLU(),
            ]
            before = channels << i
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.head = nn.Sequential(nn.Linear(16 * before, 256), nn.ReLU(), nn.Linear(256, latent))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x.float() / 127.5 - 1))

    @torch.no_grad()
    def encode(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n latent"]:
        """Latents of images."""
        return torch.cat([self(part) for part in x.split(500)])


def train_inverter(model: CanDecode, steps: int, seed: int = 0) -> Inverter:
    """An encoder of a decoder's samples, trained with Adam.

    Arguments:
        model: The decoder.
        steps: Updates of 64 fresh samples each.
        seed: Fixes weights and samples.
    """
    generator = torch.Generator().manual_seed(seed)
    latent = model.prior(1, generator=torch.Generator().manual_seed(0)).shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inverter = Inverter(model.spec.shape, latent)
    optimizer = torch.optim.Adam(inverter.parameters(), 2e-3)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, steps)
    for _ in track(range(steps), steps, f"learning to invert {model.name}"):
        z = model.prior(BATCH, generator=generator).cpu()
        loss = F.mse_loss(inverter(model.decode(z).cpu()), z)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
    return inverter.eval()
