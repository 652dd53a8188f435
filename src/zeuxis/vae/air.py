r"""Attend, infer, repeat: an image as a number of objects, each with a place and an appearance.

The model draws a number of objects n from 0 to N, and for each object *where* it is (scale and
center of a window) and *what* it is (a vector). A decoder turns *what* into a patch, and a spatial
transformer places it in its window. The image is the sum of the objects with Gaussian noise:

$$ p(x | z, n) = N\Big(x; \sum_{t \le n} \mathrm{place}(\mathrm{dec}(\text{what}_t),
   \text{where}_t), \sigma^2\Big) . $$

A recurrent network infers the objects one after the other, and after each whether there is a
further one (`air_networks`). Both are trained together by the bound, without labels. The number of
objects is discrete: its gradient is exact, by enumeration, or estimated by NVIL as in the paper
(`air_counts`).

**Exploration.** The bound alone teaches nothing to a step that is never taken, and steps that are
always taken share one object among them. At first the networks therefore learn equally for all
numbers of objects from 0 to N: the first step must explain an image by one object, and the second
what is left. q(n | x) learns by the bound from the beginning. The weights of the numbers go over to
q(n | x) in the course of the training, which ends with the bound.

**Prior of n.** In a training every further object is dear, so that the model counts. Its samples
would be empty, all but one in 100,000. A saved model therefore has the prior with the highest
bound: the mean of q(n | x) over training images. Instead of exploration, the paper's authors
annealed the prior from one that asks for all N objects (`anneal`).

**Importance weights** take the sum over n exactly. With latents of all N steps from q, the weight

$$ w = \sum_n p(n)\, p(x | z_{1:n}, n) \prod_{t \le n} \frac{p(z_t)}{q(z_t | x, z_{<t})} $$

has the mean p(x) and depends on q(n | x) no more.

Pixels are from 0 to 1, and likelihoods are densities: a perfect image of D pixels has $-D \log
(\sigma \sqrt{2 \pi})$ nats, which is positive for the $\sigma$ of 0.3.

Source: Eslami, Heess, Weber, Tassa, Szepesvari, Kavukcuoglu and Hinton, "Attend, Infer, Repeat:
Fast Scene Understanding with Generative Models", 2016. Departures: enumeration and exploration by
default; an embedding of the image before the recurrent network; the prior of n after a training.
That the paper's prior was annealed is known from its authors through Kosiorek's code, not from the
paper.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..capabilities import ELBO, LogProb, Objects
from ..data.dataset import Spec
from ..distributions.elementwise import normal, normal_kl
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..ranges import BaseConfig, CountOrNone, Finite, Fraction, Positive, Range, Rate, Size
from .air_boxes import located
from .air_codes import ObjectCodes
from .air_counts import (
    Terms,
    annealed,
    at_least,
    drawn,
    enumerated,
    explored,
    log_counts,
    log_geometric,
    nvil,
    squared_errors,
)
from .air_networks import BATCH, WHERE, AIRNetworks, Baseline, Inferred

Presence = Annotated[float, Range(0, 1, above=True, below=True)]


@dataclass(frozen=True)
class AIRConfig(BaseConfig):
    """Settings of AIR; the defaults are those of multi-MNIST with up to two digits."""

    steps: Annotated[int, Range(1, 16)] = 3
    """Greatest number of objects N."""
    window: Annotated[int, Range(2, 1_000)] = 28
    """Side of a patch (pixels)."""
    latent_dim: Size = 50
    """Dimension of what an object is."""
    hidden_dim: Size = 256
    """Units of the recurrent network, and of the embedding that it reads."""
    layer_dim: Size = 200
    """Units of the hidden layers of encoder, decoder and heads."""
    std: Positive = 0.3
    """Standard deviation of a pixel, where white is 1."""
    scale: Positive = 0.35
    """Median side of a window under the prior, as a share of the image's."""
    scale_std: Positive = 0.2
    """Standard deviation of the logarithm of that side."""
    shift_std: Positive = 0.5
    """Standard deviation of a window's center, where the image reaches from -1 to 1."""
    gradient: Literal["enumeration", "nvil"] = "enumeration"
    """Gradient of the number of objects: the exact sum, or the paper's estimate."""
    last_presence: Presence = 1e-5
    """Prior probability of a further object in a training, after annealing if there is any."""
    first_presence: Presence = 0.9999
    """That probability at the beginning of the annealing."""
    anneal: CountOrNone = 0
    """Images over which it is annealed; 0 does not anneal."""
    explore: Fraction = 0.5
    """Fraction of a training over which the networks learn ever less for all numbers of objects and
    ever more for probable ones; 0 takes the bound alone, as NVIL needs."""
    presence_bias: Finite = 2.0
    """First logit of a further object."""
    decoder_bias: Finite = -2.0
    """Added to the first logits of a patch: patches begin dark, else no object pays."""
    lr: Rate = 1e-4
    """Step size."""
    baseline_lr: Rate = 1e-3
    """Step size of the baseline."""


class AIR(ObjectCodes, Model):
    """Inference network, decoder and bound.

    A code of an image holds for each step whether it shows an object (0 or 1), then all places,
    then all appearances: (n, N (1 + 3 + latent_dim)).

    Example:
        >>> model = AIR(*AIR.tiny()).eval()
        >>> x = model.sample(3, seed=0)
        >>> found = model.objects(x)
        >>> found.counts.shape, found.boxes.shape, model.elbo(x).rate.shape
        (torch.Size([3]), torch.Size([3, 2, 4]), torch.Size([3, 3]))
    """

    name: ClassVar[str] = "air"
    Config: ClassVar[type] = AIRConfig
    paper: ClassVar[str] = "Eslami et al.: Attend, Infer, Repeat, 2016"
    clock: ClassVar[Literal["linear", "log"]] = "log"
    log_prior: Tensor

    @classmethod
    def tiny(cls) -> tuple[AIRConfig, Spec]:
        config = AIRConfig(steps=2, window=8, latent_dim=3, hidden_dim=12, layer_dim=10)
        return config, Spec("tiny", (1, 28, 28), 10)

    def __init__(self, config: AIRConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        if len(spec.shape) != 3:
            raise UsageError(f"AIR finds objects in images, and '{spec.name}' has none.")
        if config.gradient == "nvil" and config.explore:
            raise UsageError(
                "NVIL sees one number of objects at a time and explores no others: set "
                "--model.explore 0, and --model.anneal to anneal the prior instead."
            )
        channels, height, width = spec.shape
        self.networks = AIRNetworks(config, (channels, height, width))
        self.baseline = None
        if config.gradient == "nvil":
            self.baseline = Baseline(config, (channels, height, width))
        self.register_buffer(
            "log_prior", torch.full((config.steps + 1,), -math.log1p(config.steps))
        )

    def players(self) -> dict[str, Player]:
        players = {"model": Player(self.networks, self.config.lr)}
        if self.baseline is not None:
            players["baseline"] = Player(self.baseline, self.config.baseline_lr)
        return players

    @property
    def normal_prior(self) -> bool:
        """False: whether a step shows an object is 0 or 1."""
        return False

    @property
    def latents(self) -> int:
        """Numbers of where and what of an object."""
        return WHERE + self.config.latent_dim

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        c, x, noise = self.config, scaled(batch.x), batch.noise
        log_prior = log_geometric(self.log_odds(batch.images), c.steps).to(x.device)
        inferred = self.networks(x, noise.normal(c.steps, self.latents))
        terms = self.terms(x, inferred)
        distortion, rate = enumerated(terms, log_prior)
        q = log_counts(terms.logits).detach().exp()
        batch.logs |= {
            "bound": -(distortion + rate.sum(1)).detach().mean(),
            "distortion": distortion.detach().mean(),
            "rate": rate.detach().sum(1).mean(),
            "objects": at_least(q).sum(1).mean(),
            "all steps": q[:, -1].mean(),
        }
        if self.baseline is None:
            yield "model", explored(terms, log_prior, self.share(batch.progress)).mean()
            return
        estimates = self.baseline(x, inferred.z)
        loss, returns, made = nvil(terms, log_prior, noise.uniform(c.steps), estimates)
        yield "model", loss.mean()
        error = (returns - estimates) / self.baseline.pixels
        yield "baseline", (made * error.square()).sum(1).mean()

    def log_odds(self, images: int) -> float:
        """Those of a further object under the annealed prior, after this many images."""
        c = self.config
        return annealed(c.first_presence, c.last_presence, images / c.anneal if c.anneal else 1.0)

    def share(self, progress: float) -> float:
        """The weight of numbers of objects that are taken equally, after this fraction of a
        training."""
        return max(0.0, 1 - progress / self.config.explore) if self.config.explore else 0.0

    def terms(self, x: Tensor, inferred: Inferred) -> Terms:
        """The terms of the bound.

        Arguments:
            x: Images with pixels from 0 to 1, (n, channels, height, width).
            inferred: What the inference network says of them, for m = n latents.
        """
        kl = normal_kl(inferred.mean, inferred.log_std).sum(2)
        return Terms(self.log_likelihoods(x, inferred.z), inferred.logits, kl)

    def log_likelihoods(self, x: Tensor, z: Float[Tensor, "m N L"]) -> Float[Tensor, "m counts"]:
        """log p(x | the first n objects) for n = 0 to N; z holds m / len(x) latents an image."""
        x = x.repeat_interleave(len(z) // max(1, len(x)), 0)[:, None]
        errors = squared_errors(x.flatten(2), self.networks.objects(z).flatten(2))
        std, pixels = self.config.std, math.prod(self.spec.shape)
        return -errors / (2 * std**2) - pixels * math.log(std * math.sqrt(2 * math.pi))

    @torch.no_grad()
    def elbo(
        self,
        x: UInt8[Tensor, "n channels height width"],
        *,
        generator: torch.Generator | None = None,
    ) -> ELBO:
        """One-sample estimates of distortion and of the rates of n and each step; exact in n."""
        pixels = scaled(x.to(self.device))
        inferred = self.networks(pixels, self.eps(len(x), generator))
        return ELBO(*enumerated(self.terms(pixels, inferred), self.log_prior))

    @torch.no_grad()
    def log_weights(
        self,
        x: UInt8[Tensor, "n channels height width"],
        k: int,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "n k"]:
        """log p(x, z) - log q(z | x) for k latents of each image, summed over n."""
        pixels, eps = scaled(x.to(self.device)), self.eps(len(x) * k, generator)
        inferred = self.networks(pixels, eps)
        prior, posterior = normal(inferred.z, 0.0, 0.0), normal(eps, 0.0, 0.0) - inferred.log_std
        ratios = (prior - posterior).sum(2).cumsum(1)
        ratios = torch.cat([torch.zeros_like(ratios[:, :1]), ratios], 1)
        weights = self.log_prior + self.log_likelihoods(pixels, inferred.z) + ratios
        return weights.logsumexp(1).view(len(x), k)

    def log_prob(self, x: UInt8[Tensor, "n channels height width"]) -> LogProb:
        """The bound by one sample of the latents, the same in every call."""
        return LogProb(self.elbo(x, generator=torch.Generator().manual_seed(0)).nats, exact=False)

    @torch.no_grad()
    def objects(
        self,
        x: UInt8[Tensor, "n channels height width"],
        *,
        sampled: bool = False,
        generator: torch.Generator | None = None,
    ) -> Objects:
        """Numbers of objects and the boxes around them.

        Arguments:
            x: The images.
            sampled: Draw latents and numbers from q instead of taking the means of the latents and
                the most probable number.
            generator: Source of randomness for `sampled`.
        """
        found = []
        for part in x.split(BATCH):
            inferred = self.infer(part, sampled, generator)
            q = log_counts(inferred.logits).exp()
            counts = q.argmax(1)
            if sampled:
                u = self.uniform((len(part), self.config.steps), generator)
                counts = drawn(inferred.logits, u)[0]
            windows = self.networks.window(inferred.z[..., :WHERE])
            boxes = located(self.networks.objects(inferred.z), *windows)
            absent = torch.arange(self.config.steps, device=q.device) >= counts[:, None]
            found.append((counts, boxes.masked_fill(absent[..., None], torch.nan), q))
        return Objects(*map(torch.cat, zip(*found, strict=True)))

    def infer(
        self, x: Tensor, sampled: bool = False, generator: torch.Generator | None = None
    ) -> Inferred:
        """What the inference network says, by means of latents or by a sample of them."""
        pixels = scaled(x.to(self.device))
        zeros = pixels.new_zeros(len(x), self.config.steps, self.latents)
        return self.networks(pixels, self.eps(len(x), generator) if sampled else zeros)

    @torch.no_grad()
    def update_statistics(self, x: Tensor | None = None) -> None:
        """Sets the prior of n to the mean of q(n | x), as if each number had been seen once
        more."""
        if x is None or not len(x):
            return
        q = torch.cat([log_counts(self.infer(part).logits).exp() for part in x.split(BATCH)])
        self.log_prior.copy_(((q.double().sum(0) + 1) / (len(q) + q.shape[1])).log())

    def eps(self, n: int, generator: torch.Generator | None) -> Float[Tensor, "n N L"]:
        """Standard normal numbers for n latents of all steps, on the model's device."""
        device = self.device if generator is None else generator.device
        shape = n, self.config.steps, self.latents
        return torch.randn(shape, generator=generator, device=device).to(self.device)

    def uniform(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
        """Numbers uniform in [0, 1) on the model's device."""
        device = self.device if generator is None else generator.device
        return torch.rand(shape, generator=generator, device=device).to(self.device)


def scaled(x: Tensor) -> Tensor:
    """Pixels from 0 to 1."""
    return x.float() / 255
