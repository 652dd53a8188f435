r"""The ResNet VAE with inverse autoregressive flow: a ladder of codes for photographs.

The image is made top-down, $p(x) = \int p(x|z_1) \prod_l p(z_l | z_{>l})$, through a column of
residual blocks at half the image's side, each of which draws 32 maps of codes. Inference first runs
bottom-up without drawing anything and then top-down in the generator's own order: the posterior of
a layer adds the statistics that both directions give (*bidirectional*), and one or two steps of
flow (`flows`) with the context of both directions bend it,

$$ q(z_l | x, z_{>l}) = \mathrm{IAF}\big(N(\mu_{\uparrow} + \mu_{\downarrow},\,
   e^{2 (s_\uparrow + s_\downarrow)})\big) . $$

Each map of codes of each layer may cost $\lambda$ nats for nothing in the objective (*free bits*,
on the mean over the batch); logged and evaluated is the bound without the clamp. Residual branches
are scaled by 0.1, units are ELU, weights are normalized and start from data.

The switches are those of the paper's table 4: `inference`, `posterior`, `layers`, `steps`, and
table 3's `scaled`. Read by us, since the paper does not spell them out: *bottom-up* takes
statistics and context of the upward direction alone; *linear* shifts each number by a masked
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
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..capabilities import ELBO, LogProb
from ..data.dataset import Dataset, Spec
from ..distributed import mean_over_batch
from ..distributions.elementwise import discretized_logistic, normal, normal_kl
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.data_dependent_init import data_dependent_init
from ..nn.elu import elu
from ..nn.precision import at_least_float32
from ..nn.weight_norm import WeightNorm
from ..noise import Noise
from ..ranges import BaseConfig, Depth, Rate, Size, Weight
from .flows import ConvStep, affine
from .vae import centered


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
    """Whether the posterior uses both directions or the upward one only."""
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


def conv(inside: int, out: int, kernel: int = 3, stride: int = 1, start: float = 0.1) -> WeightNorm:
    """A convolution whose outputs start with this deviation."""
    return WeightNorm(nn.Conv2d(inside, out, kernel, stride, kernel // 2), gain=True, start=start)


def grow(inside: int, out: int, kernel: int = 3) -> WeightNorm:
    """A transposed convolution that doubles the side."""
    return WeightNorm(
        nn.ConvTranspose2d(inside, out, kernel, 2, kernel // 2, 1), gain=True, start=0.1
    )


class Layer(nn.Module):
    """One layer of codes with its block of the upward and of the downward direction.

    Arguments:
        c: The settings.
        halve: Whether the upward block halves the side and the downward block doubles it.
    """

    def __init__(self, c: LadderConfig, halve: bool) -> None:
        super().__init__()
        h, z = c.channels, c.latent_dim
        self.c, self.halve = c, halve
        self.up_first, self.up_last = conv(h, 2 * z + 2 * h, stride=2 if halve else 1), conv(h, h)
        self.down_first = conv(h, 4 * z + 2 * h)
        self.down_last = grow(z + h, h) if halve else conv(z + h, h)
        linear = c.posterior == "linear"
        count = 0 if c.posterior == "factorized" else c.steps
        self.steps = nn.ModuleList(
            ConvStep(z, h, 0 if linear else c.layers, c.scaled and not linear) for _ in range(count)
        )

    def upward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """The next state of the upward column, and the mean, log deviation and context it leaves
        for the posterior."""
        z, h = self.c.latent_dim, self.c.channels
        mean, log_std, context, out = self.up_first(elu(x)).split([z, z, h, h], 1)
        skip = F.avg_pool2d(x, 2) if self.halve else x
        return skip + 0.1 * self.up_last(elu(out)), (
            at_least_float32(mean),
            at_least_float32(log_std),
            context,
        )

    def downward(
        self,
        x: Tensor,
        eps: Tensor,
        stats: tuple[Tensor, Tensor, Tensor] | None = None,
        expected: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The next state of the downward column, what each number of the code costs, and the code
        as its prior sees it (standardized).

        Arguments:
            x: The column's state.
            eps: Standard normal numbers that the code is made of.
            stats: What the upward direction computed; without it the latent is drawn from the
                prior and costs nothing.
            expected: Take the divergence where it is known in closed form.
        """
        z, h = self.c.latent_dim, self.c.channels
        parts = self.down_first(elu(x)).split([z, z, z, z, h, h], 1)
        prior_mean, prior_std, mean, log_std = map(at_least_float32, parts[:4])
        context, out = parts[4:]
        if stats is None:
            code, rate, seen = prior_mean + prior_std.exp() * eps, torch.zeros_like(eps), eps
        else:
            joined = self.c.inference == "bidirectional"
            mean, log_std = (mean + stats[0], log_std + stats[1]) if joined else stats[:2]
            context = context + stats[2] if joined else stats[2]
            code, log_q = mean + log_std.exp() * eps, normal(eps, 0.0, 0.0) - log_std
            for i, step in enumerate(self.steps):
                turn = (lambda t: t.flip(1, 2, 3)) if i % 2 else (lambda t: t)
                code, log_scale = affine(turn(code), *step(turn(code), turn(context)))
                code, log_q = turn(code), log_q - turn(log_scale)
            seen = (code - prior_mean) * torch.exp(-prior_std)
            exact = expected and not self.steps
            rate = (
                normal_kl(mean, log_std, prior_mean, prior_std)
                if exact
                else log_q - (normal(seen, 0.0, 0.0) - prior_std)
            )
        skip = F.interpolate(x, scale_factor=2) if self.halve else x
        return skip + 0.1 * self.down_last(elu(torch.cat([code.to(out.dtype), out], 1))), rate, seen


class Ladder(Model):
    """The column of layers, its bound and its sampler.

    A code is the standard normal numbers of all layers in one row, uppermost first: those that
    `decode` turns into the layers' codes by their priors, and that `encode` finds for an image.

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
        # Unused, but counted among the weights, as in the released code.
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
            self.terms(
                x, self.upward(x), [noise.normal(*shape) for shape in self.shapes], expected=False
            )

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        eps = [batch.noise.normal(*shape) for shape in self.shapes]
        distortion, rate = self.terms(batch.x, self.upward(batch.x), eps, expected=True)
        bits = (distortion.detach().mean() + rate.detach().sum(1).mean()) / (
            self.spec.size * math.log(2)
        )
        batch.logs |= {
            "bits/dim": bits,
            "distortion": distortion.detach().mean(),
            "rate": rate.detach().sum(1).mean(),
        }
        cost = mean_over_batch(rate)
        yield (
            "model",
            distortion.mean()
            + (cost.clamp(min=self.config.free_bits) if self.config.free_bits else cost).sum(),
        )

    def upward(self, x: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """What the upward direction leaves for each layer's posterior, uppermost layer first."""
        h, stats = self.first((x.to(self.top.dtype) + 0.5) / 256 - 0.5), []
        for layer in self.column():
            h, left = layer.upward(h)
            stats.append(left)
        return stats[::-1]

    def terms(
        self,
        x: Tensor,
        stats: list[tuple[Tensor, Tensor, Tensor]],
        eps: list[Tensor],
        expected: bool,
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n groups"]]:
        """Distortion of each image, and rate of each map of codes of each layer, in nats."""
        h, rates = self.start(len(x)), []
        for layer, left, e in zip(self.column()[::-1], stats, eps, strict=True):
            h, rate, _ = layer.downward(h, e, left, expected)
            rates.append(rate.sum([2, 3]))
        mean = self.pixels(h)
        nats = discretized_logistic(x.to(mean), mean, self.log_scale, self.config.open_edges)
        return -nats.sum([1, 2, 3]), torch.cat(rates, 1)

    def column(self) -> list[Layer]:
        """The layers, lowest first."""
        return cast(list[Layer], list(self.layers))

    def start(self, n: int) -> Tensor:
        """The uppermost state of the downward column, the same at every position."""
        return self.top.view(1, -1, 1, 1).expand(n, -1, self.top_side, self.top_side)

    def pixels(self, h: Tensor) -> Tensor:
        """Means of the pixels from the column's last state, on the scale of 0 to 1."""
        return centered(at_least_float32(self.last(elu(h))))

    @torch.no_grad()
    def elbo(
        self,
        x: UInt8[Tensor, "n channels height width"],
        *,
        generator: torch.Generator | None = None,
    ) -> ELBO:
        """One-sample estimates of the distortion and of the rate of each map of codes of each
        layer."""
        x = x.to(self.device)
        return ELBO(
            *self.terms(
                x,
                self.upward(x),
                self.parts(self.prior(len(x), generator=generator)),
                expected=True,
            )
        )

    @torch.no_grad()
    def log_weights(
        self,
        x: UInt8[Tensor, "n channels height width"],
        k: int,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "n k"]:
        """log p(x, z) - log q(z | x) for k codes of each image."""
        x = x.to(self.device)
        stats, weights = self.upward(x), []
        for _ in range(k):
            distortion, rate = self.terms(
                x, stats, self.parts(self.prior(len(x), generator=generator)), expected=False
            )
            weights.append(-(distortion + rate.sum(1)))
        return torch.stack(weights, 1)

    def log_prob(self, x: UInt8[Tensor, "n channels height width"]) -> LogProb:
        """The bound by one code an image, always the same one."""
        return LogProb(self.elbo(x, generator=torch.Generator().manual_seed(0)).nats, exact=False)

    def prior(self, n: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "n code"]:
        """n codes of standard normal numbers."""
        device = generator.device if generator is not None else self.device
        size = sum(torch.Size(shape).numel() for shape in self.shapes)
        return torch.randn(n, size, generator=generator, device=device).to(self.top)

    def parts(self, code: Float[Tensor, "n code"]) -> list[Tensor]:
        """The code as maps, layer by layer."""
        sizes = [torch.Size(shape).numel() for shape in self.shapes]
        return [
            part.view(-1, *shape)
            for part, shape in zip(code.to(self.top).split(sizes, 1), self.shapes, strict=True)
        ]

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "n code"]) -> UInt8[Tensor, "n channels height width"]:
        """Mean images for these codes."""
        images = []
        for part in z.split(50):
            h = self.start(len(part))
            for layer, eps in zip(self.column()[::-1], self.parts(part), strict=True):
                h = layer.downward(h, eps)[0]
            images.append((self.pixels(h) * 256 - 0.5).round().clamp(0, 255).byte())
        return (
            torch.cat(images)
            if images
            else torch.empty(0, *self.spec.shape, dtype=torch.uint8, device=self.device)
        )

    def sample(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "n channels height width"]:
        """Mean images of n codes from the prior."""
        return self.decode(self.prior(n, generator=generator))

    @torch.no_grad()
    def encode(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n code"]:
        """The codes at the centers of each image's posteriors, layer by layer, each as its prior
        sees it."""
        codes = []
        for part in x.split(50):
            h, seen = self.start(len(part)), []
            for layer, left, shape in zip(
                self.column()[::-1], self.upward(part.to(self.device)), self.shapes, strict=True
            ):
                h, _, code = layer.downward(h, h.new_zeros(len(part), *shape), left)
                seen.append(code.flatten(1))
            codes.append(torch.cat(seen, 1))
        return torch.cat(codes) if codes else self.prior(0)


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
