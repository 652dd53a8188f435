r"""Flow matching: a network learns the velocity that carries noise to data along straight lines.

A point of noise $x_0 \sim N(0, I)$ and an image $x_1$ are joined by $x_t = (1 - t) x_0 + t x_1$,
which moves with velocity $x_1 - x_0$. The network regresses on it,

$$ L = \mathbb{E}_{t, x_0, x_1} \lVert v(x_t, t) - (x_1 - x_0) \rVert^2 , $$

and so learns the mean velocity of all lines through a point. Integrating $dx/dt = v(x, t)$ from
noise at $t = 0$ gives a sample at $t = 1$; integrating backwards gives an image's noise. Along the
path the density changes by the divergence of v,

$$ \log p(x_1) = \log N(x_0; 0, I) - \int_0^1 \nabla \cdot v(x_t, t) \, dt , $$

estimated without bias by Hutchinson's probes $\epsilon^T (\partial v / \partial x) \epsilon$ with
random signs. Pixels are dequantized by uniform noise, so this bounds the likelihood of the pixels
from below.

The field also denoises: $x_t + (1 - t) v(x_t, t)$ is the mean of the images that an image with
noise of standard deviation $(1 - t) / t$ may come from.

Sources: Lipman, Chen, Ben-Hamu, Nickel and Le, "Flow Matching for Generative Modeling", 2023; Liu,
Gong and Liu, 2023 (straight lines); Tong et al., 2024 (independent and minibatch-optimal
couplings); Esser et al., 2024, section 3.1 (logit-normal times); Ho and Salimans, 2022 (guidance);
Grathwohl et al., 2019 (likelihood by Hutchinson's trace).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..capabilities import LogProb
from ..data.dataset import Spec
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.trunk import Trunk, in_parts
from ..nn.unet import UNet
from ..ranges import BaseConfig, Decay, Depth, DepthOrNone, Range, Rate, Size, Weight
from .ode import Solver, integrate, uniform_grid

FEATURE_TIME = 0.5  # chosen on held-out training digits


@dataclass(frozen=True)
class FlowMatchingConfig(BaseConfig):
    """Settings of flow matching; the defaults are a small U-Net for images of 28 pixels."""

    channels: tuple[Size, ...] = (64, 128)
    """Channels of each level of the U-Net; the side halves from one to the next."""
    blocks: Depth = 2
    """Residual blocks of a level on each way."""
    patch: Size = 2
    """Side of the patches of pixels that become channels."""
    attention: tuple[DepthOrNone, ...] = ()
    """Levels with self-attention, counted from 0 at the finest."""
    dropout: Decay = 0.0
    """Dropout rate in residual blocks."""
    mirror: bool = False
    """Mirror each image of the training left to right half of the time."""
    times: Literal["logit-normal", "uniform"] = "logit-normal"
    """Distribution of t in training."""
    coupling: Literal["independent", "optimal"] = "independent"
    """How noise and images are paired: at random, or by least total squared distance within a
    batch (minibatch optimal transport); several processes pair within their shares of it."""
    conditional: bool = False
    """Condition on labels."""
    drop_labels: Decay = 0.1
    """Rate at which training hides labels, for guidance."""
    guidance: Annotated[float, Range(0, 100)] = 1.0
    """Weight of classifier-free guidance in samples: 1 is none, above 1 sharpens the class."""
    solver: Solver = "heun"
    """ODE solver for samples."""
    steps: Depth = 12
    """Steps of the solver."""
    lr: Rate = 5e-3
    """Step size."""
    weight_decay: Weight = 0.0
    """L2 penalty."""
    optimizer: Literal["muon", "adam"] = "muon"
    """Optimizer."""


class FlowMatching(Model):
    """The velocity field, its regression, and what integrating it gives.

    Example:
        >>> model = FlowMatching(*FlowMatching.tiny()).eval()
        >>> x = model.sample(2)
        >>> x.shape, model.encode(x).shape, model.log_prob(x).nats.shape
        (torch.Size([2, 1, 28, 28]), torch.Size([2, 784]), torch.Size([2]))
    """

    name: ClassVar[str] = "flow-matching"
    Config: ClassVar[type] = FlowMatchingConfig
    paper: ClassVar[str] = (
        "Lipman, Chen, Ben-Hamu, Nickel, Le: Flow Matching for Generative Modeling, 2023"
    )
    channels_last: ClassVar[bool] = True
    validate_by: ClassVar[Literal["", "frechet"]] = "frechet"

    @classmethod
    def tiny(cls) -> tuple[FlowMatchingConfig, Spec]:
        config = FlowMatchingConfig(channels=(8, 8), blocks=1, steps=2)
        return config, Spec("tiny", (1, 28, 28), 10)

    def __init__(self, config: FlowMatchingConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        check(config, spec)
        classes = spec.classes if config.conditional else 0
        self.net = UNet(
            *(spec.shape[0], spec.shape[0], config.channels, config.blocks, config.patch),
            *(config.attention, config.dropout, classes),
        )

    def players(self) -> dict[str, Player]:
        c = self.config
        return {"field": Player(self, c.lr, weight_decay=c.weight_decay, optimizer=c.optimizer)}

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        noise, c = batch.noise, self.config
        x1 = (batch.x + noise.uniform(*self.spec.shape)) / 128 - 1
        if c.mirror:
            x1 = torch.where(noise.uniform()[:, None, None, None] < 0.5, x1.flip(3), x1)
        x0 = self.paired(noise.normal(*self.spec.shape), x1)
        t = noise.normal().sigmoid() if c.times == "logit-normal" else noise.uniform()
        y = self.labels(batch.y)
        if y is not None:
            y = torch.where(noise.uniform() < c.drop_labels, -1, y)
        xt = torch.lerp(x0, x1, t[:, None, None, None])
        v = self.net(xt.contiguous(memory_format=torch.channels_last), t, y)
        yield "field", F.mse_loss(v.float(), x1 - x0)

    def paired(self, x0: Tensor, x1: Tensor) -> Tensor:
        """The noise in the order in which the images meet it."""
        if self.config.coupling == "independent":
            return x0
        distances = torch.cdist(x1.flatten(1), x0.flatten(1)).square()
        return x0[torch.from_numpy(linear_sum_assignment(distances.cpu().numpy())[1]).to(x0.device)]

    def labels(self, y: Tensor | None) -> Tensor | None:
        """Labels for the field, where -1 is no label; None for an unconditional model."""
        if not self.config.conditional:
            return None
        if y is None:
            raise UsageError(
                "Conditional flow matching needs labels: give them or leave out "
                "--model.conditional."
            )
        return y.to(self.device)

    def velocity(
        self,
        x: Float[Tensor, "n channels height width"],
        t: float | Float[Tensor, "n"],
        y: Int[Tensor, "n"] | None = None,
    ) -> Float[Tensor, "n channels height width"]:
        """v(x, t), with guidance towards the classes y if there are any.

        Arguments:
            x: Points of paths, images being in [-1, 1).
            t: Times in [0, 1], one for all or one for each.
            y: Classes, -1 for none.
        """
        times = torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(len(x))
        x = x.contiguous(memory_format=torch.channels_last)
        v, w = self.net(x, times, y), self.config.guidance
        return v if y is None or w == 1 else torch.lerp(self.net(x, times), v, w)

    def prior(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n latent"]:
        """Noise for n images, from N(0, I)."""
        device = self.device if generator is None else generator.device
        latent = math.prod(self.spec.shape)
        return torch.randn(n, latent, generator=generator, device=device).to(self.device)

    @torch.no_grad()
    def decode(
        self, z: Float[Tensor, "n latent"], y: Int[Tensor, "n"] | None = None
    ) -> UInt8[Tensor, "n channels height width"]:
        """The images at the ends of the paths from this noise; a conditional model takes classes,
        by default each in turn."""
        if self.config.conditional and y is None:
            y = torch.arange(len(z)) % self.spec.classes
        times = uniform_grid(0.0, 1.0, self.config.steps)
        images = [torch.empty(0, *self.spec.shape, dtype=torch.uint8, device=self.device)]
        for i, part in enumerate(z.split(256)):
            some = None if y is None else self.labels(y[256 * i :][: len(part)])
            x = part.to(self.device).unflatten(1, self.spec.shape)
            images.append(to_pixels(self.along(x, times, some)))
        return torch.cat(images)

    def sample(
        self, n: int, *, generator: torch.Generator | None = None, y: Int[Tensor, "n"] | None = None
    ) -> UInt8[Tensor, "n channels height width"]:
        """n new images."""
        return self.decode(self.prior(n, generator=generator), y)

    @torch.no_grad()
    def encode(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n latent"]:
        """The noise that the paths of images come from."""
        times = uniform_grid(1.0, 0.0, self.config.steps)
        codes = [torch.empty(0, math.prod(self.spec.shape), device=self.device)]
        for part in x.split(256):
            codes.append(self.along(to_range(part.to(self.device)), times).flatten(1))
        return torch.cat(codes)

    def along(self, x: Tensor, times: list[float], y: Tensor | None = None) -> Tensor:
        """Where the paths from x lead."""
        return integrate(lambda x, t: self.velocity(x, t, y), x, times, self.config.solver)

    def log_prob(
        self, x: UInt8[Tensor, "n channels height width"], *, steps: int = 32, probes: int = 1
    ) -> LogProb:
        """An estimate of the bound on each image's log-likelihood, by one dequantization.

        Noise and probes are a function of the image, so a figure can be repeated.

        Arguments:
            x: Images.
            steps: Heun steps from the image to its noise, shorter near the image.
            probes: Hutchinson probes of the divergence; with two or more, `error` is the standard
                error of each image's estimate.
        """
        if probes < 1 or steps < 1:
            raise UsageError(f"steps and probes must be at least 1, got {steps} and {probes}.")
        nats, errors = [], []
        for part in x.split(max(1, 64 // probes)):
            draws = [draw(image, probes) for image in part.cpu()]
            u, signs = (torch.stack(d).to(self.device) for d in zip(*draws, strict=True))
            x1 = (part.to(self.device) + u) / 128 - 1
            estimates = self.log_density(x1, signs, steps) - math.log(128) * x1[0].numel()
            nats.append(estimates.mean(1))
            if probes > 1:
                errors.append(estimates.std(1) / math.sqrt(probes))
        return LogProb(torch.cat(nats), False, torch.cat(errors) if errors else None)

    def log_density(self, x1: Tensor, signs: Tensor, steps: int) -> Tensor:
        """Estimates of log p(x1) in nats, one for each probe, (n, probes).

        Arguments:
            x1: Points of the data space, (n, C, H, W).
            signs: Probes of +1 and -1, (n, probes, C, H, W).
            steps: Heun steps.
        """
        grid = [1 - (i / steps) ** 2 for i in range(steps + 1)]
        n, probes = signs.shape[:2]
        eps = signs.flatten(0, 1)

        def field(state: Tensor, t: float) -> Tensor:
            """The velocity of the points, and of their log-density's change in a last pixel."""
            with torch.enable_grad():
                x = state[:, :-1].reshape(n * probes, *x1.shape[1:]).requires_grad_()
                v = self.velocity(x, t)
                (pulled,) = torch.autograd.grad(v, x, eps)
            divergence = (pulled * eps).flatten(1).sum(1, keepdim=True)
            return torch.cat([v.detach().flatten(1), divergence], 1)

        start = F.pad(x1.flatten(1).repeat_interleave(probes, 0), (0, 1))
        end = integrate(field, start, grid, "heun")
        normal = -0.5 * (end[:, :-1].square() + math.log(2 * math.pi)).sum(1)
        return (normal + end[:, -1]).view(n, probes)

    def trunk(self) -> Trunk:
        """The way down to the middle of the U-Net, of images on their paths at t = 1/2, where the
        noise is at its mean, 0; averages over the quarters of an image."""
        t = FEATURE_TIME
        return Trunk(self.net, middle, t / 128, t * (0.5 / 128 - 1))

    @torch.no_grad()
    def features(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """The middle of the U-Net. With noise instead of its mean, or nearer to t = 1, a linear
        classifier makes more errors from few labels."""
        return in_parts(self.trunk(), x)


def middle(net: UNet, x: Tensor) -> Tensor:
    """Activations of the middle, averaged over the quarters of an image, of points at
    `FEATURE_TIME`."""
    e = net.embed(x.new_full((len(x),), FEATURE_TIME), None)
    return F.adaptive_avg_pool2d(net.encode(x, e)[0], 2).flatten(1)


def to_range(x: Tensor) -> Tensor:
    """uint8 pixels as the centers of their bins in [-1, 1)."""
    return (x + 0.5) / 128 - 1


def to_pixels(x: Tensor) -> Tensor:
    """Numbers in [-1, 1) as uint8 pixels."""
    return ((x + 1) * 128).floor().clamp(0, 255).byte().contiguous()


def draw(image: Tensor, probes: int) -> tuple[Tensor, Tensor]:
    """Dequantization noise (C, H, W) and probes of signs (probes, C, H, W) for one image."""
    generator = torch.Generator().manual_seed(zlib.crc32(image.contiguous().numpy().tobytes()))
    u = torch.rand(image.shape, generator=generator)
    signs = torch.randint(2, (probes, *image.shape), generator=generator)
    return u, signs * 2.0 - 1


def check(c: FlowMatchingConfig, spec: Spec) -> None:
    """Refuses settings that cannot work."""
    if len(spec.shape) != 3:
        raise UsageError(
            f"Flow matching makes images, and '{spec.name}' has examples of shape {spec.shape}."
        )
    unit = c.patch * 2 ** (len(c.channels) - 1)
    if not c.channels or spec.shape[1] % unit or spec.shape[2] % unit:
        raise UsageError(
            f"Patches of {c.patch} and {len(c.channels)} levels need sides that are multiples of "
            f"{unit}, and '{spec.name}' has {spec.shape[1]}x{spec.shape[2]}: give fewer "
            "--model.channels, or --size."
        )
    if any(level >= len(c.channels) for level in c.attention):
        raise UsageError(
            f"--model.attention {c.attention} names a level that is not there: the levels are 0 to "
            f"{len(c.channels) - 1}."
        )
    if c.conditional and not spec.classes:
        raise UsageError(
            f"Conditional flow matching needs labels, and '{spec.name}' has none: leave out "
            "--model.conditional."
        )
