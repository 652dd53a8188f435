r"""DRAW: a VAE that paints an image in steps, and looks at it through a window that moves.

The canvas c collects what the decoder writes; the image's mean is $\sigma(c_T)$. Step t of T:

$$ \begin{aligned}
   \hat x_t &= x - \sigma(c_{t-1}), &
   r_t &= \mathrm{read}(x, \hat x_t, h^{dec}_{t-1}), &
   h^{enc}_t &= \mathrm{LSTM}(h^{enc}_{t-1}, [r_t, h^{dec}_{t-1}]), \\
   z_t &\sim q(z_t | h^{enc}_t), &
   h^{dec}_t &= \mathrm{LSTM}(h^{dec}_{t-1}, z_t), &
   c_t &= c_{t-1} + \mathrm{write}(h^{dec}_t) .
   \end{aligned} $$

Generation draws $z_t$ from the prior and takes the last two formulas only. Without attention, read
gives x and $\hat x_t$ whole and write fills the canvas; with it, both go through a grid of Gaussian
filters (`draw_attention`), whose place and scale the decoder chooses.

The posterior $q(z_t | h^{enc}_t) = N(\mu_t, \sigma_t^2)$ sees all earlier latents through the
decoder's state, so that $q(z_{1:T} | x) = \prod_t q(z_t | z_{<t}, x)$. The bound is

$$ \log p(x) \ge \mathbb{E}_q \Big[ \log p(x | c_T) - \sum_t \mathrm{KL}(q(z_t | h^{enc}_t) \,\|\,
   p(z_t)) \Big] , $$

estimated by one path of latents. The prior $p(z_t)$ is $N(0, I)$, or with `learned_prior` a
Gaussian given $h^{dec}_{t-1}$ (Gregor et al., "Towards Conceptual Compression", 2016).

Gray images are modeled as binary, and drawn anew whenever they are seen in training. Color images
have the paper's cross-entropy by default, which takes a value as a probability: bounds are then
those of images whose channels are drawn as 0 or 1, and no bits of 256 levels. A discretized
logistic around $\sigma(c_T)$ gives these.

Source: Gregor, Danihelka, Graves, Rezende and Wierstra, "DRAW: A Recurrent Neural Network For Image
Generation", 2015. Departures: the paper says neither where the weights start nor how large a cell
may grow. Linear layers start by Glorot's rule, since from small weights the windows of a short
training hardly move; LSTMs start and are clipped as in `LSTMCell`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..capabilities import ELBO, LogProb
from ..data.dataset import Spec
from ..distributions.elementwise import bernoulli, discretized_logistic, normal, normal_kl
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.lstm_cell import LSTMCell
from ..nn.precision import full_precision
from ..noise import Noise
from ..ranges import BaseConfig, Depth, Range, Rate, Size
from .draw_attention import NUMBERS, Filters, Rows, check_grid, filters, read, write
from .draw_images import CanvasImages
from .draw_state import Glimpse, Outputs, State, drawn, moments

Likelihood = Literal["bernoulli", "cross-entropy", "logistic"]
Grid = Annotated[int, Range(0, 1_000)]


@dataclass(frozen=True)
class DRAWConfig(BaseConfig):
    """Settings of DRAW; the defaults are the paper's for MNIST."""

    glimpses: Depth = 64
    """Steps T."""
    hidden_dim: Size = 256
    """Units of each LSTM."""
    latent_dim: Size = 100
    """Dimension of the latent of a step."""
    read: Grid = 2
    """Side of the grid of filters that reads; 0 reads the whole image."""
    write: Grid = 5
    """Side of the grid of filters that writes; 0 writes the whole canvas."""
    learned_prior: bool = False
    """Whether the prior of a step's latent depends on the decoder's state."""
    likelihood: Literal["auto", "bernoulli", "cross-entropy", "logistic"] = "auto"
    """Distribution of a pixel: Bernoulli for binary images (auto for gray ones), cross-entropy with
    values as probabilities (auto for color), or discretized logistic."""
    lr: Rate = 3e-4
    """Step size."""
    optimizer: Literal["adam", "adamax", "muon"] = "adam"
    """Optimizer."""


class DRAW(CanvasImages, Model):
    """Encoder, decoder and canvas.

    The latent that `decode` takes and `encode` gives holds the latents of all steps in one row, the
    first step's first, each standardized by its prior.

    Example:
        >>> config = DRAWConfig(glimpses=3, hidden_dim=8, latent_dim=2)
        >>> model = DRAW(config, Spec("tiny", (1, 28, 28))).eval()
        >>> x = model.sample(2)
        >>> model.encode(x).shape, model.elbo(255 * (x > 127).byte()).rate.shape
        (torch.Size([2, 6]), torch.Size([2, 3]))
        >>> model.sample_steps(2).canvases.shape
        torch.Size([2, 3, 1, 28, 28])
    """

    name: ClassVar[str] = "draw"
    Config: ClassVar[type] = DRAWConfig
    paper: ClassVar[str] = (
        "Gregor et al.: DRAW: A Recurrent Neural Network For Image Generation, 2015"
    )
    clock: ClassVar[Literal["linear", "log"]] = "log"

    @classmethod
    def tiny(cls) -> tuple[DRAWConfig, Spec]:
        config = DRAWConfig(glimpses=3, hidden_dim=12, latent_dim=3)
        return config, Spec("tiny", (1, 28, 28), 10)

    def __init__(self, config: DRAWConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        c = config
        self.likelihood = check(c, spec)
        self.levels = 2 if self.likelihood == "bernoulli" else 256
        channels, self.height, self.width = spec.shape
        hidden, size = c.hidden_dim, spec.size
        seen = 2 * (channels * c.read**2 if c.read else size)
        self.encoder = LSTMCell(seen + hidden, hidden)
        self.decoder = LSTMCell(c.latent_dim, hidden)
        self.to_posterior = nn.Linear(hidden, 2 * c.latent_dim)
        self.sizes = [
            NUMBERS if c.read else 0,
            2 * c.latent_dim if c.learned_prior else 0,
            NUMBERS if c.write else 0,
            channels * c.write**2 if c.write else size,
        ]
        self.heads = nn.Linear(hidden, sum(self.sizes))
        self.first_canvas = nn.Parameter(torch.zeros(self.height, channels, self.width))
        logistic = self.likelihood == "logistic"
        self.log_scale = nn.Parameter(torch.full((channels, 1), -2.0)) if logistic else None
        for layer in (self.to_posterior, self.heads):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def players(self) -> dict[str, Player]:
        return {"model": Player(self, self.config.lr, optimizer=self.config.optimizer)}

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        x = self.observed(batch.x, batch.noise)
        distortion, rate = self.terms(x, batch.noise.normal(1, self.latents), expected=True)
        mean_distortion, mean_rate = distortion.mean(), rate.sum(2).mean()
        batch.logs |= {
            "bound": -(mean_distortion + mean_rate).detach(),
            "distortion": mean_distortion.detach(),
            "rate": mean_rate.detach(),
        }
        yield "model", mean_distortion + mean_rate

    @property
    def latents(self) -> int:
        """Dimension of the latents of all steps together."""
        return self.config.glimpses * self.config.latent_dim

    def by_step(self, z: Float[Tensor, "n latents"]) -> Float[Tensor, "n glimpses latent"]:
        """The latents of each step."""
        return z.unflatten(1, (self.config.glimpses, -1))

    def start(self, n: int) -> State:
        """The learned state before the first step, of n images."""
        decoder = self.decoder.start(n)
        canvas = self.first_canvas.expand(n, -1, -1, -1)
        return State(canvas, decoder, self.outputs(decoder.h))

    def outputs(self, h: Tensor) -> Outputs:
        """All that linear layers make of the decoder's state, by one product."""
        with full_precision(h):
            return Outputs(*self.heads(h).split(self.sizes, 1))

    def look(self, x: Rows, state: State) -> tuple[Tensor, Filters | None]:
        """What the encoder reads of the image and of what is wrong with the canvas, and where."""
        with full_precision(x):
            images = torch.cat([x, x - state.canvas.sigmoid()], 2)
            if not self.config.read:
                return images.flatten(1), None
            numbers = state.outputs.read
            window = filters(numbers, self.config.read, self.height, self.width)
            return read(images, window).flatten(1), window

    def stroke(self, z: Tensor, state: State) -> tuple[State, Filters | None]:
        """The state after a step with this latent, and where it wrote."""
        decoder, grid = self.decoder(z, state.decoder), self.config.write
        outputs = self.outputs(decoder.h)
        if not grid:
            written = outputs.patch.view_as(state.canvas)
            return State(state.canvas + written, decoder, outputs), None
        with full_precision(z):
            window = filters(outputs.write, grid, self.height, self.width)
            written = write(outputs.patch.reshape(len(z), grid, -1, grid), window)
        return State(state.canvas + written, decoder, outputs), window

    def glimpses(self, x: Rows, eps: Float[Tensor, "n latents"]) -> Iterator[Glimpse]:
        """Inference step by step.

        Arguments:
            x: Pixels from 0 to 1.
            eps: Standard normal numbers that the latents are made of.
        """
        state, encoder = self.start(len(x)), self.encoder.start(len(x))
        for e in self.by_step(eps).unbind(1):
            seen, window = self.look(x, state)
            encoder = self.encoder(torch.cat([seen, state.decoder.h], 1), encoder)
            with full_precision(x):
                posterior = self.to_posterior(encoder.h)
            prior = state.outputs.prior
            state, written = self.stroke(drawn(posterior, e), state)
            yield Glimpse(posterior, prior, encoder.h, state.canvas, window, written)

    def strokes(self, z: Float[Tensor, "n latents"]) -> Iterator[tuple[Rows, Filters | None]]:
        """Generation step by step: the canvas after each step and where it was written to."""
        state = self.start(len(z))
        for e in self.by_step(z.to(self.first_canvas)).unbind(1):
            state, window = self.stroke(drawn(state.outputs.prior, e), state)
            yield state.canvas, window

    def terms(
        self,
        x: Float[Tensor, "n channels height width"],
        eps: Float[Tensor, "n k latents"],
        expected: bool,
    ) -> tuple[Tensor, Tensor]:
        """Distortion (n, k), and rate of each step (n, k, glimpses), in nats.

        Arguments:
            x: Pixels from 0 to 1.
            eps: Standard normal numbers for k paths of latents of each image.
            expected: Take the rate's expectation given the earlier latents; importance weights need
                its sample.
        """
        n, k = eps.shape[:2]
        rows, eps = x.transpose(1, 2).repeat_interleave(k, 0), eps.flatten(0, 1)
        found = list(self.glimpses(rows, eps))
        distortion = -self.log_likelihood(rows, found[-1].canvas).sum([1, 2, 3])
        posterior = torch.stack([g.posterior for g in found], 1)
        prior = moments(torch.stack([g.prior for g in found], 1))
        mean, log_std = moments(posterior)
        if expected:
            rate = normal_kl(mean, log_std, *prior)
        else:
            e = self.by_step(eps)
            rate = normal(e, 0.0, 0.0) - log_std - normal(drawn(posterior, e), *prior)
        return distortion.view(n, k), rate.sum(2).unflatten(0, (n, k))

    def log_likelihood(self, x: Tensor, canvas: Tensor) -> Tensor:
        """log p(x | canvas), pixel by pixel, for pixels from 0 to 1 in the canvas's layout."""
        if self.log_scale is None:
            return bernoulli(x, canvas)
        return discretized_logistic((255 * x).round(), canvas.sigmoid(), self.log_scale)

    def observed(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """Raw pixels as the likelihood takes them, from 0 to 1; binary ones drawn by the noise."""
        if self.likelihood != "bernoulli":
            return x.to(self.first_canvas.dtype) / 255
        if noise is not None:
            return (noise.uniform(*x.shape[1:]) * 255 < x).to(self.first_canvas.dtype)
        if not ((x == 0) | (x == 255)).all():
            raise UsageError(
                f"'{self.spec.name}' is modeled as binary and these pixels are not 0 or "
                "255: binarize them first."
            )
        return x.to(self.first_canvas.dtype) / 255

    @torch.no_grad()
    def elbo(
        self,
        x: UInt8[Tensor, "n channels height width"],
        *,
        generator: torch.Generator | None = None,
    ) -> ELBO:
        """One-path estimates of the distortion, and of the rate of each step (binary images as 0
        and 255)."""
        eps = self.prior(len(x), generator=generator)[:, None]
        distortion, rate = self.terms(self.observed(x.to(self.device)), eps, expected=True)
        return ELBO(distortion[:, 0], rate[:, 0])

    @torch.no_grad()
    def log_weights(
        self,
        x: UInt8[Tensor, "n channels height width"],
        k: int,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "n k"]:
        """log p(x, z) - log q(z | x) for k paths of latents of each image."""
        eps = self.prior(len(x) * k, generator=generator).unflatten(0, (len(x), k))
        distortion, rate = self.terms(self.observed(x.to(self.device)), eps, expected=False)
        return -(distortion + rate.sum(2))

    def log_prob(self, x: UInt8[Tensor, "n channels height width"]) -> LogProb:
        """The bound by one path of latents, the same in every call."""
        return LogProb(self.elbo(x, generator=torch.Generator().manual_seed(0)).nats, exact=False)

    def prior(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n latents"]:
        """n rows of latents from N(0, I)."""
        device = generator.device if generator is not None else self.device
        return torch.randn(n, self.latents, generator=generator, device=device).to(
            self.first_canvas
        )


def check(c: DRAWConfig, spec: Spec) -> Likelihood:
    """Refuses settings that cannot work; returns the distribution of a pixel."""
    if len(spec.shape) != 3:
        raise UsageError(
            f"DRAW makes images, and '{spec.name}' has examples of shape {spec.shape}: give --data "
            "with images."
        )
    check_grid(c.read, "--model.read")
    check_grid(c.write, "--model.write")
    if c.likelihood != "auto":
        return c.likelihood
    return "bernoulli" if spec.shape[0] == 1 else "cross-entropy"
