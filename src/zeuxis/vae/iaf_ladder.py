r"""The ResNet VAE with inverse autoregressive flow: a ladder of latents for photographs.

The image is made top-down, $p(x) = \int p(x|z_1) \prod_l p(z_l | z_{>l})\, dz$, through a column
of residual blocks at half the image's side (`iaf_ladder_nets`), each of which draws 32 channels of
latents. Inference first runs bottom-up without drawing anything and then top-down in the
generator's own order: the posterior of a layer adds the statistics that both directions give
(*bidirectional*), and one or two flow steps (`flows`) with the context of both directions bend it,

$$ q(z_l | x, z_{>l}) = \mathrm{IAF}\big(N(\mu_{\uparrow} + \mu_{\downarrow},\,
   e^{2 (s_\uparrow + s_\downarrow)})\big) . $$

The objective does not penalize the first $\lambda$ nats of each latent channel of each layer (*free
bits*, on the mean over the batch); logged and evaluated is the bound without the clamp. Residual
branches are scaled by 0.1, units are ELU, weights are normalized and start from data.

The switches are those of the paper's table 4: `inference`, `posterior`, `layers`, `steps`, and
table 3's `scaled`. Read by us, since the paper does not spell them out: *bottom-up* takes
statistics and context of the bottom-up pass alone; *linear* shifts each number by a masked
convolution of the earlier ones, without hidden layer, scale or context.

Source: Kingma et al., "Improving Variational Inference with Inverse Autoregressive Flow", 2016,
section 6.2 and appendix C, and the code released with it, from which the step $z \leftarrow (z - m
/ 10) / \exp(s / 10)$ comes. Departures: layers whose first input has no variance (the uppermost
block's) keep their length at the start, where the code's first scale explodes; Adamax corrects its
bias.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..capabilities import ELBO, LogProb
from ..data.dataset import Dataset, Spec
from ..distributed import mean_over_batch
from ..distributions.elementwise import discretized_logistic, logistic_mean, mean_pixels
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.data_dependent_init import data_dependent_init
from ..nn.elu import elu
from ..nn.precision import at_least_float32
from ..noise import Noise
from ..ranges import BaseConfig, Depth, Rate, Size, Weight
from .iaf_ladder_nets import BottomUp, Layer, conv, grow


@dataclass(frozen=True)
class LadderConfig(BaseConfig):
    """Settings of the ladder; the defaults are the paper's best CIFAR-10 model (3.11 bits/dim)."""

    blocks: tuple[Depth, ...] = (20,)
    """Layers of latents at half the image's side, at a quarter, and so on."""
    channels: Size = 160
    """Channels of the residual blocks and the flow, a multiple of `latent_dim`."""
    latent_dim: Size = 32
    """Latent channels per layer."""
    inference: Literal["bidirectional", "bottom-up"] = "bidirectional"
    """Whether the posterior uses both directions or the bottom-up one only."""
    posterior: Literal["iaf", "linear", "factorized"] = "iaf"
    """The family of each layer's posterior."""
    layers: Depth = 2
    """Hidden layers of a flow step."""
    steps: Depth = 1
    """Flow steps per layer; every second one has the opposite order."""
    scaled: bool = True
    """Whether a flow step has a scale beside the shift (table 3 compares)."""
    free_bits: Weight = 0.1
    """Nats of each latent channel of each layer that the objective does not penalize."""
    open_edges: bool = True
    """Whether the logistic's bins of 0 and 255 reach to infinity, so that its masses add up to 1;
    else the form of the released code."""
    scale_per_channel: bool = False
    """Whether the logistic has a scale per color, as in the paper, or one, as in its code."""
    lr: Rate = 2e-3
    """Step size."""
    optimizer: Literal["adamax", "muon"] = "adamax"
    """Optimizer: the paper's Adamax, or Muon, which needs fewer images."""


class Ladder(Model):
    """The column of layers, its bound and its sampler.

    The latent that `decode` takes and `encode` gives holds the latents of all layers in one row,
    uppermost layer first, each standardized by its prior.

    Example:
        >>> model = Ladder(
        ...     LadderConfig(blocks=(1, 1), channels=8, latent_dim=2), Spec("tiny", (3, 16, 16))
        ... ).eval()
        >>> x = model.sample(2)
        >>> model.encode(x).shape, model.elbo(x).rate.shape
        (torch.Size([2, 160]), torch.Size([2, 4]))
    """

    name: ClassVar[str] = "iaf-ladder"
    Config: ClassVar[type] = LadderConfig
    paper: ClassVar[str] = (
        "Kingma et al.: Improving Variational Inference with Inverse Autoregressive Flow, 2016"
    )
    clock: ClassVar[Literal["linear", "log"]] = "log"

    @classmethod
    def tiny(cls) -> tuple[LadderConfig, Spec]:
        return LadderConfig(blocks=(1, 1), channels=8, latent_dim=2), Spec("tiny", (1, 28, 28), 10)

    def __init__(self, config: LadderConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        c = config
        check(c, spec)
        channels, side = spec.shape[0], spec.shape[1] // 2
        self.first, self.last = conv(channels, c.channels, 5, 2), grow(c.channels, channels, 5)
        self.layers = nn.ModuleList(
            Layer(c, level > 0 and i == 0) for level, n in enumerate(c.blocks) for i in range(n)
        )
        # Its output is unused, but it counts among the weights, as in the released code.
        self.layers[-1].up_last.requires_grad_(False)
        self.top = nn.Parameter(torch.zeros(c.channels))
        self.top_side = side // 2 ** (len(c.blocks) - 1)
        sides = [side // 2**level for level, n in enumerate(c.blocks) for _ in range(n)]
        self.shapes = [(c.latent_dim, s, s) for s in reversed(sides)]
        self.log_scale = nn.Parameter(torch.zeros(channels if c.scale_per_channel else 1, 1, 1))

    def players(self) -> dict[str, Player]:
        return {"model": Player(self, self.config.lr, optimizer=self.config.optimizer)}

    @torch.no_grad()
    def initialize_from_data(self, data: Dataset, seed: int) -> None:
        """Sets the lengths and biases of normalized weights from 100 images."""
        rows = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:100]
        x = data.batch(rows)[0].to(self.device)
        noise = Noise(seed, -1, slice(0, len(x)), len(x), x.device)
        with data_dependent_init(self):
            eps = [noise.normal(*shape) for shape in self.shapes]
            self.terms(x, self.bottom_up(x), eps, expected=False)

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        eps = [batch.noise.normal(*shape) for shape in self.shapes]
        distortion, rate = self.terms(batch.x, self.bottom_up(batch.x), eps, expected=True)
        mean_distortion, mean_rate = distortion.detach().mean(), rate.detach().sum(1).mean()
        batch.logs |= {
            "bits/dim": (mean_distortion + mean_rate) / (self.spec.size * math.log(2)),
            "distortion": mean_distortion,
            "rate": mean_rate,
        }
        per_channel = mean_over_batch(rate)
        if self.config.free_bits:
            per_channel = per_channel.clamp(min=self.config.free_bits)
        yield "model", distortion.mean() + per_channel.sum()

    def bottom_up(self, x: Tensor) -> list[BottomUp]:
        """What the bottom-up pass finds for each layer's posterior, uppermost layer first."""
        h, found = self.first((x.to(self.top.dtype) + 0.5) / 256 - 0.5), []
        for layer in self.column():
            h, statistics = layer.bottom_up(h)
            found.append(statistics)
        return found[::-1]

    def terms(
        self, x: Tensor, found: list[BottomUp], eps: list[Tensor], expected: bool
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n groups"]]:
        """Distortion of each image, and rate of each latent channel of each layer, in nats.

        Arguments:
            x: Pixels from 0 to 255.
            found: What the bottom-up pass found, uppermost layer first.
            eps: Standard normal numbers that the layers' latents are made of, likewise.
            expected: Take KL divergences where they are known in closed form; importance weights
                need their samples.
        """
        h, rates = self.start(len(x)), []
        for layer, statistics, e in zip(self.column()[::-1], found, eps, strict=True):
            h, rate, _ = layer.top_down(h, e, statistics, expected)
            rates.append(rate.sum([2, 3]))
        mean = self.pixel_means(h)
        log_p = discretized_logistic(x.to(mean), mean, self.log_scale, self.config.open_edges)
        return -log_p.sum([1, 2, 3]), torch.cat(rates, 1)

    def column(self) -> list[Layer]:
        """The layers, lowest first."""
        return cast(list[Layer], list(self.layers))

    def start(self, n: int) -> Tensor:
        """The first top-down state, the same at every position."""
        return self.top.view(1, -1, 1, 1).expand(n, -1, self.top_side, self.top_side)

    def pixel_means(self, h: Tensor) -> Tensor:
        """Means of the pixels' logistics from the last top-down state."""
        return logistic_mean(at_least_float32(self.last(elu(h))))

    @torch.no_grad()
    def elbo(
        self,
        x: UInt8[Tensor, "n channels height width"],
        *,
        generator: torch.Generator | None = None,
    ) -> ELBO:
        """One-sample estimates of the distortion and of the rate of each latent channel of each
        layer."""
        x, eps = x.to(self.device), self.parts(self.prior(len(x), generator=generator))
        return ELBO(*self.terms(x, self.bottom_up(x), eps, expected=True))

    @torch.no_grad()
    def log_weights(
        self,
        x: UInt8[Tensor, "n channels height width"],
        k: int,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "n k"]:
        """log p(x, z) - log q(z | x) for k latents of each image."""
        x = x.to(self.device)
        found, weights = self.bottom_up(x), []
        for _ in range(k):
            eps = self.parts(self.prior(len(x), generator=generator))
            distortion, rate = self.terms(x, found, eps, expected=False)
            weights.append(-(distortion + rate.sum(1)))
        return torch.stack(weights, 1)

    def log_prob(self, x: UInt8[Tensor, "n channels height width"]) -> LogProb:
        """The bound by one sample of the latent, the same in every call."""
        return LogProb(self.elbo(x, generator=torch.Generator().manual_seed(0)).nats, exact=False)

    def prior(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n latent"]:
        """n latents from N(0, I)."""
        device = generator.device if generator is not None else self.device
        size = sum(torch.Size(shape).numel() for shape in self.shapes)
        return torch.randn(n, size, generator=generator, device=device).to(self.top)

    def parts(self, z: Float[Tensor, "n latent"]) -> list[Tensor]:
        """The latent of each layer, (n, latent_dim, height, width), uppermost first."""
        sizes = [torch.Size(shape).numel() for shape in self.shapes]
        parts = z.to(self.top).split(sizes, 1)
        return [part.view(-1, *s) for part, s in zip(parts, self.shapes, strict=True)]

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "n latent"]) -> UInt8[Tensor, "n channels height width"]:
        """Mean images for these latents."""
        images = []
        for part in z.split(50):
            h = self.start(len(part))
            for layer, eps in zip(self.column()[::-1], self.parts(part), strict=True):
                h = layer.top_down(h, eps)[0]
            images.append(mean_pixels(self.pixel_means(h)))
        return torch.cat(images)

    def sample(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "n channels height width"]:
        """Mean images of n latents from the prior."""
        return self.decode(self.prior(n, generator=generator))

    @torch.no_grad()
    def encode(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n latent"]:
        """The latent at the center of each image's posterior, layer by layer, standardized by its
        prior."""
        latents = []
        for part in x.split(50):
            h, row = self.start(len(part)), []
            found = self.bottom_up(part.to(self.device))
            for layer, statistics, shape in zip(
                self.column()[::-1], found, self.shapes, strict=True
            ):
                h, _, z = layer.top_down(h, h.new_zeros(len(part), *shape), statistics)
                row.append(z.flatten(1))
            latents.append(torch.cat(row, 1))
        return torch.cat(latents)


def check(c: LadderConfig, spec: Spec) -> None:
    """Refuses settings that cannot work."""
    least = 2 ** len(c.blocks)
    if len(spec.shape) != 3 or spec.shape[1] != spec.shape[2] or spec.shape[1] % least:
        raise UsageError(
            f"A ladder of {len(c.blocks)} sizes is for square images whose side {least} "
            f"divides, and '{spec.name}' has {spec.shape}: "
            "choose --size 32, or fewer entries in --model.blocks."
        )
    if not c.blocks:
        raise UsageError("--model.blocks is empty: give at least one number of layers.")
    if c.channels % c.latent_dim:
        raise UsageError(
            "--model.channels must be a multiple of --model.latent-dim, got "
            f"{c.channels} and {c.latent_dim}."
        )
