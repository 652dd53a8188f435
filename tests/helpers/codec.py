"""Models with known distributions, and images of any shape, for tests of the lossless codec."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zeuxis.autoregressive.sampling import in_order, to_pixels
from zeuxis.data.dataset import Spec
from zeuxis.model import Model, Player
from zeuxis.vae.vae import VAE, VAEConfig


@dataclass(frozen=True)
class ChainConfig:
    """Settings of the toy."""

    levels: int = 256
    sharpness: float = 1.0
    seed: int = 0


class Chain(Model):
    """A Markov chain over the numbers of an image: one distribution per previous number."""

    name = "chain"
    Config = ChainConfig

    def __init__(self, config: ChainConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        self.levels = config.levels
        table = torch.randn(
            config.levels + 1, config.levels, generator=torch.Generator().manual_seed(config.seed)
        )
        self.logits = nn.Parameter(config.sharpness * table)
        self.shift = 0.0  # no part of the weights: what a machine that computes otherwise would add

    def players(self) -> dict[str, Player]:
        return {"chain": Player(self, 0.1)}

    def autoregress(self, n: int, y: Tensor | None = None) -> Generator[Tensor, Tensor, None]:
        before = torch.full((n,), self.levels)
        for _ in range(self.spec.size):
            before = yield (self.logits + self.shift * torch.arange(self.levels))[
                before
            ].log_softmax(1)

    def conditionals(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        flat = in_order(x).long() * (self.levels - 1) // 255
        before = torch.cat([torch.full((len(x), 1), self.levels), flat[:, :-1]], 1)
        channels, height, width = self.spec.shape
        return (
            self.logits[before]
            .log_softmax(2)
            .unflatten(1, (height, width, channels))
            .permute(0, 3, 1, 2, 4)
        )


def chain(shape: tuple[int, int, int] = (1, 4, 4), levels: int = 256, **changes: float) -> Chain:
    return Chain(ChainConfig(levels, **changes), Spec("toy", shape)).eval()


def vae(
    shape: tuple[int, int, int] = (1, 4, 4), binary: bool = True, seed: int = 0, **changes: object
) -> VAE:
    torch.manual_seed(seed)
    likelihood = "bernoulli" if binary else "logistic"
    config = {"architecture": "dense", "hidden_dim": 8, "latent_dim": 2, "likelihood": likelihood}
    model = VAE(VAEConfig(**{**config, **changes}), Spec("toy", shape))  # type: ignore[arg-type]
    for p in model.parameters():  # a random latent should matter
        p.data += 0.3 * torch.randn(p.shape)
    return model.eval()


class InMemoryImages:
    """Images of any shapes as an image source."""

    prefix = ""

    def __init__(self, images: list[Tensor], prefix: str = "") -> None:
        self.images, self.prefix = images, prefix

    def __len__(self) -> int:
        return len(self.images)

    def name(self, i: int) -> str:
        return f"folder/{i}.png"

    def where(self, i: int) -> str:
        return f"'{i}.png'"

    def shape(self, i: int) -> tuple[int, int, int]:
        channels, height, width = self.images[i].shape
        return channels, height, width

    def read(self, i: int) -> Tensor:
        return self.images[i]


def noise(*shape: int, seed: int = 0, levels: int = 256) -> Tensor:
    return to_pixels(
        torch.randint(levels, shape, generator=torch.Generator().manual_seed(seed)), levels
    )
