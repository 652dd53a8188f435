r"""Order-agnostic autoregressive model: any pixels given any others, by one network.

An order $\sigma$ of the D values of an image is random. The network sees the values before
position t and where they are, and predicts every hidden value, each by itself:

$$ \log p(x) \ge E_{\sigma, t} \Big[ \frac{D}{D - t + 1} \sum_{i \ge t}
   \log p(x_{\sigma_i} | x_{\sigma_{<t}}) \Big] , \qquad t \sim U\{1, \dots, D\} . $$

So one pass trains one position of an order, and the network needs no causal masks. It is a U-Net;
hidden values enter it as 0, beside a mask of the seen ones, and the share of seen values is its
time.

**Any mask.** `complete` begins with the seen values and draws the hidden ones in a random order,
in `steps` passes: values drawn in the same pass are independent given all before them. With as many
steps as values nothing is independent that should not be. `expected` gives the mean of each hidden
value, which is the estimate of least squared error, in a single pass.

**The bound.** For a fixed order and number of steps the product of all conditionals is a
distribution of images, and `log_prob` gives its logarithm. The mean over orders is a lower bound on
the log-likelihood of `sample`, which draws a new order for each image.

**Orders.** In a uniformly random order, half of an image is never seen without a few values of the
other half. A part of the training (`regions`) uses orders that begin with a region: the values
nearest to (or farthest from) a random point, up to a random number. All others follow in random
order.

Sources: Uria, Murray and Larochelle, "A Deep and Tractable Density Estimator", 2014; Hoogeboom et
al., "Autoregressive Diffusion Models", 2022. Departures: the orders that begin with a region; the
positions t of a batch are stratified; a mixture of discretized logistics for each value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from ..capabilities import LogProb
from ..data.dataset import Spec
from ..data.masks import for_images
from ..distributions.elementwise import bernoulli
from ..distributions.logistic_mixture import Mixture, parameters_per_pixel
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.precision import at_least_float32
from ..nn.unet import UNet
from ..noise import Noise
from ..ranges import BaseConfig, Depth, Fraction, Range, Rate, Size
from .pixel_model import levels_for
from .sampling import to_levels, to_pixels, uniform

BATCH = 128  # images at a time in inference


@dataclass(frozen=True)
class OrderAgnosticConfig(BaseConfig):
    """Settings of an order-agnostic model; the defaults are for digits."""

    channels: tuple[Size, ...] = (64, 128)
    """Channels of each level of the U-Net; the side halves from one to the next."""
    blocks: Depth = 2
    """Residual blocks of a level on each way."""
    patch: Annotated[int, Range(1, 16)] = 2
    """Side of the patches of pixels that become channels."""
    levels: Annotated[int, Range(0, 256)] = 256
    """Levels of a value; 2 for binary images, 0 takes 2 for gray images and 256 for color."""
    mixtures: Size = 5
    """Logistics in the mixture for a value; binary values have a probability instead."""
    regions: Fraction = 0.75
    """Share of the training whose orders begin with a region."""
    steps: Size = 50
    """Passes in which an image is drawn."""
    lr: Rate = 5e-3
    """Step size."""
    optimizer: Literal["adam", "muon"] = "muon"
    """Optimizer."""


class OrderAgnostic(Model):
    """A network for the conditionals of all orders.

    Example:
        >>> from zeuxis.data.dataset import Spec
        >>> model = OrderAgnostic(*OrderAgnostic.tiny()).eval()
        >>> x = model.sample(2, generator=torch.Generator().manual_seed(0))
        >>> mask = torch.arange(8)[:, None] < torch.full((8,), 4)  # the upper half is seen
        >>> x.shape, model.complete(x, mask, n=3).shape, model.log_prob(x).exact
        (torch.Size([2, 1, 8, 8]), torch.Size([3, 2, 1, 8, 8]), False)
    """

    name: ClassVar[str] = "order-agnostic"
    Config: ClassVar[type] = OrderAgnosticConfig
    paper: ClassVar[str] = "Hoogeboom et al.: Autoregressive Diffusion Models, 2022"
    clock: ClassVar[Literal["linear", "log"]] = "log"
    channels_last: ClassVar[bool] = True

    @classmethod
    def tiny(cls) -> tuple[OrderAgnosticConfig, Spec]:
        config = OrderAgnosticConfig(channels=(8, 8), blocks=1, mixtures=2, steps=4)
        return config, Spec("tiny", (1, 8, 8), 10)

    def __init__(self, config: OrderAgnosticConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        c, self.levels = config, levels_for(config.levels, spec)
        if not c.channels:
            raise UsageError("--model.channels names no level: give at least one number.")
        colors = spec.shape[0]
        outputs = 1 if self.levels == 2 else parameters_per_pixel(c.mixtures, 1)
        self.network = UNet(2 * colors, colors * outputs, c.channels, c.blocks, c.patch)
        self.multiple = c.patch * 2 ** (len(c.channels) - 1)

    def players(self) -> dict[str, Player]:
        return {"model": Player(self, self.config.lr, optimizer=self.config.optimizer)}

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        v, noise = self.observed(batch.x, batch.noise), batch.noise
        missing = ~random_masks(noise, self.spec.shape, self.config.regions)
        # Nothing trains what comes out for seen values, and a mixture may overflow there: as 0 it
        # is finite, and so is its gradient.
        out = torch.where(missing[..., None], self.outputs(v, ~missing), 0.0)
        log_p = self.log_likelihood(v, out) * missing
        mean = log_p.flatten(1).sum(1) / missing.flatten(1).sum(1)
        nats = -self.spec.size * mean.mean()
        batch.logs["bits/dim"] = nats.detach() / (self.spec.size * math.log(2))
        yield "model", nats

    # --- the network

    def outputs(
        self, v: Int[Tensor, "n c h w"], seen: Bool[Tensor, "n c h w"]
    ) -> Float[Tensor, "n c h w numbers"]:
        """The numbers that give the distribution of each value, from the seen ones."""
        height, width = v.shape[2:]
        out = self.network(*self.inputs(v, seen))[:, :, :height, :width]
        return at_least_float32(out.unflatten(1, (self.spec.shape[0], -1)).permute(0, 1, 3, 4, 2))

    def inputs(
        self, v: Tensor, seen: Tensor
    ) -> tuple[Float[Tensor, "n twice rows columns"], Float[Tensor, "n"]]:
        """Levels scaled to [-1, 1], 0 where hidden, with the mask, and the share of seen values.

        Sides that the levels of the U-Net do not divide are continued by hidden values.
        """
        dtype = next(self.parameters()).dtype
        scaled = v.to(dtype) * (2 / (self.levels - 1)) - 1
        x = torch.cat([scaled * seen, seen.to(dtype)], 1)
        x = F.pad(x, (0, -x.shape[3] % self.multiple, 0, -x.shape[2] % self.multiple))
        x = x.contiguous(memory_format=torch.channels_last)
        return x, seen.flatten(1).to(dtype).mean(1)

    def log_likelihood(self, v: Tensor, out: Float[Tensor, "*n numbers"]) -> Float[Tensor, "*n"]:
        """log p of each value."""
        if self.levels == 2:
            return bernoulli(v.to(out.dtype), out[..., 0])
        return Mixture.of(out, 1, self.levels).log_mass(v[..., None])[..., 0]

    def drawn(self, out: Tensor, u: Float[Tensor, "*n 2"]) -> Int[Tensor, "*n"]:
        """Levels drawn by two uniform numbers each."""
        if self.levels == 2:
            return (u[..., 0] < out[..., 0].double().sigmoid()).long()
        mixture = Mixture.of(out.double(), 1, self.levels)
        passed = mixture.log_weights.exp().cumsum(-1) < u[..., :1]
        k = passed.sum(-1, keepdim=True).clamp(max=passed.shape[-1] - 1)
        mean, log_scale = (
            t[..., 0].gather(-1, k)[..., 0] for t in (mixture.means, mixture.log_scales)
        )
        # Rounding a logistic gives its discretized form, whose outer bins reach to infinity.
        x = mean + log_scale.exp() * torch.logit(u[..., 1], 1e-12)
        return ((x + 1) * ((self.levels - 1) / 2)).round().clamp(0, self.levels - 1).long()

    def mean_level(self, out: Float[Tensor, "*n numbers"]) -> Float[Tensor, "*n"]:
        """Mean level of each value."""
        if self.levels == 2:
            return out[..., 0].sigmoid()
        mixture = Mixture.of(out, 1, self.levels)
        table = mixture.table(0, torch.zeros_like(out[..., :1]))
        mass = (mixture.log_weights[..., None] + table).exp().sum(-2)
        return mass @ torch.arange(self.levels, device=out.device, dtype=mass.dtype)

    def observed(self, x: UInt8[Tensor, "n c h w"], noise: Noise | None = None) -> Tensor:
        """Levels of pixels: drawn for a binary model with noise, else the nearest."""
        if noise is not None and self.levels == 2:
            return (noise.uniform(*x.shape[1:]) * 255 < x).long()
        return to_levels(x, self.levels)

    # --- capabilities

    @torch.no_grad()
    def sample(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "n c h w"]:
        """n images, each in another random order."""
        x = torch.zeros(n, *self.spec.shape, dtype=torch.uint8)
        return self.complete(x, torch.zeros(x.shape[2:]), generator=generator)[0]

    @torch.no_grad()
    def complete(
        self,
        x: UInt8[Tensor, "images c h w"],
        mask: Tensor,
        n: int = 1,
        *,
        generator: torch.Generator | None = None,
    ) -> UInt8[Tensor, "n images c h w"]:
        """Draws the hidden pixels; seen pixels are unchanged.

        Arguments:
            x: Images; the values of hidden pixels do not matter. Seen pixels that are no level of
                the model count as the nearest.
            mask: True where a pixel is seen: (H, W), (C, H, W), or one for each image.
            n: Completions of each image.
            generator: Source of randomness.
        """
        if n < 1:
            raise UsageError(f"At least one completion of each image is needed, got n={n}.")
        seen, parts = for_images(mask, x), []
        rows = torch.arange(n * len(x)) % max(1, len(x))
        u = uniform(len(rows), 3 * self.spec.size, generator, self.device)
        for part, numbers in zip(rows.split(BATCH), u.split(BATCH), strict=True):
            order, *values = numbers.view(len(part), 3, *self.spec.shape).unbind(1)
            parts.append(self.completed(x[part], seen[part], order, torch.stack(values, -1)))
        done = torch.cat(parts) if parts else x
        return done.view(n, *x.shape).to(self.device)

    def completed(
        self, x: Tensor, seen: Tensor, order: Tensor, u: Float[Tensor, "n c h w 2"]
    ) -> UInt8[Tensor, "n c h w"]:
        """Images whose hidden values are drawn in the order of `order`, by `u`."""
        x, seen = x.to(self.device), seen.to(self.device)
        v = to_levels(x, self.levels) * seen
        step = self.step_of(order, seen)
        for i in range(self.config.steps):
            if (now := step == i).any():
                v[now] = self.drawn(self.outputs(v, step < i)[now], u[now])
        return torch.where(seen, x, to_pixels(v, self.levels))

    def step_of(self, order: Tensor, seen: Tensor) -> Int[Tensor, "n c h w"]:
        """The pass in which each value becomes known: -1 for a seen one, then 0, 1, ..."""
        key = torch.where(seen, -1.0, order).flatten(1)
        rank = key.argsort(1).argsort(1)
        given = seen.flatten(1).sum(1, keepdim=True)
        step = (rank - given) * self.config.steps // (key.shape[1] - given).clamp(min=1)
        return torch.where(seen, -1, step.view(seen.shape))

    @torch.no_grad()
    def expected(self, x: UInt8[Tensor, "n c h w"], mask: Tensor) -> Float[Tensor, "n c h w"]:
        """Means of the hidden pixels given the seen ones, which are unchanged; in gray levels.

        Arguments:
            x: Images; the values of hidden pixels do not matter.
            mask: True where a pixel is seen: (H, W), (C, H, W), or one for each image.
        """
        seen, parts = for_images(mask, x), []
        for part, known in zip(x.split(16), seen.split(16), strict=True):
            part, known = part.to(self.device), known.to(self.device)
            mean = self.mean_level(self.outputs(to_levels(part, self.levels) * known, known))
            parts.append(torch.where(known, part.float(), mean * (255 / (self.levels - 1))))
        return torch.cat(parts)

    @torch.no_grad()
    def log_prob(
        self,
        x: UInt8[Tensor, "n c h w"],
        mask: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> LogProb:
        """Log-likelihoods in nats for one order, the same for all images: a lower bound in the mean
        over orders.

        Arguments:
            x: Images.
            mask: True where a pixel is seen; then the others are what is scored, given these.
            generator: Where the order comes from; without it always the same one.
        """
        generator = generator or torch.Generator().manual_seed(0)
        order = uniform(1, self.spec.size, generator, self.device).view(1, *self.spec.shape)
        seen = for_images(torch.zeros(x.shape[2:]) if mask is None else mask, x)
        nats = []
        for part, known in zip(x.split(BATCH), seen.split(BATCH), strict=True):
            v = to_levels(part.to(self.device), self.levels)
            if not (to_pixels(v, self.levels) == part.to(self.device)).all():
                raise UsageError(
                    f"'{self.spec.name}' is modeled in {self.levels} levels and these pixels are "
                    "others: round or binarize them first."
                )
            step = self.step_of(order.expand(v.shape), known.to(self.device))
            total = torch.zeros(len(v), dtype=torch.float64, device=self.device)
            for i in range(self.config.steps):
                if (now := step == i).any():
                    log_p = self.log_likelihood(v, self.outputs(v, step < i))
                    total += torch.where(now, log_p, 0.0).double().flatten(1).sum(1)
            nats.append(total)
        return LogProb(torch.cat(nats), exact=False)

    @torch.no_grad()
    def features(self, x: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n features"]:
        """Mean-pooled activations in the middle of the U-Net, all pixels seen."""
        parts = []
        for part in x.split(BATCH):
            v = to_levels(part.to(self.device), self.levels)
            inputs, share = self.inputs(v, torch.ones_like(v, dtype=torch.bool))
            middle, _ = self.network.encode(inputs, self.network.embed(share, None))
            parts.append(at_least_float32(middle).mean((2, 3)))
        return torch.cat(parts)


def random_masks(noise: Noise, shape: tuple[int, ...], regions: float) -> Bool[Tensor, "n c h w"]:
    """Masks of the values before a random position of a random order.

    Arguments:
        noise: Random numbers.
        shape: Channels, height and width of the images.
        regions: Share of the orders that begin with a region.
    """
    _, height, width = shape
    size = math.prod(shape)
    key = noise.uniform(size).double()  # (n, size)
    n, device = len(key), key.device
    if regions:
        kind, portion, sign, *center = noise.uniform(5).unbind(1)
        axes = [torch.linspace(-1, 1, side, device=device) for side in (height, width)]
        # A far point gives parallel lines, a corner quadrants, the center squares.
        down, across = (
            (axis - (4 * c[:, None] - 2)).abs() for axis, c in zip(axes, center, strict=True)
        )
        distance = torch.maximum(down[:, :, None], across[:, None]).flatten(1)
        distance = (distance * torch.where(sign < 0.5, 1.0, -1.0)[:, None]).repeat(1, shape[0])
        distance = distance + 1e-4 * key  # breaks ties
        portion = (portion * size).long() * (kind < regions)
        first = (distance < threshold(distance, portion)) & (portion > 0)[:, None]
        key = torch.where(first, distance - 10, key)
    stratum = torch.arange(noise.total, device=device)[noise.rows]
    known = ((stratum + noise.uniform()) / noise.total * size).long().clamp(max=size - 1)
    return (key < threshold(key, known)).view(n, *shape)


def threshold(key: Float[Tensor, "n size"], count: Int[Tensor, "n"]) -> Float[Tensor, "n 1"]:
    """The key of each row that `count` keys of it are below."""
    return key.sort(1).values.gather(1, count[:, None].clamp(max=key.shape[1] - 1))
