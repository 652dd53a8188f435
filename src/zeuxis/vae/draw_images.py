"""What applications ask of DRAW: images of latents, latents of images, and the steps between."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..capabilities import Steps
from ..nn.trunk import Trunk, in_parts
from .draw_attention import Filters, Rows, outline

TOGETHER = 250  # images at a time


class CanvasImages:
    """Methods of a model that paints a canvas in steps.

    Attributes:
        likelihood: Distribution of a pixel.
        log_scale: Of the logistic likelihood, else None.
    """

    likelihood: str
    log_scale: nn.Parameter | None

    if TYPE_CHECKING:

        @property
        def device(self) -> torch.device: ...

        @property
        def latents(self) -> int: ...

        def strokes(self, z: Tensor) -> Iterator[tuple[Rows, Filters | None]]: ...

        def glimpses(self, x: Rows, eps: Tensor) -> Iterator[Any]: ...

        def prior(self, n: int, *, generator: torch.Generator | None = None) -> Tensor: ...

        def log_likelihood(self, x: Tensor, canvas: Tensor) -> Tensor: ...

    def last_canvas(self, z: Float[Tensor, "n latents"]) -> Rows:
        """The canvas after the last step, with gradients."""
        *_, (canvas, _) = self.strokes(z.to(self.device))
        return canvas

    def render(self, z: Float[Tensor, "n latents"]) -> Float[Tensor, "n channels height width"]:
        """Mean images for these latents, floats from 0 to 255, with gradients."""
        return self.brightness(self.last_canvas(z))

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "n latents"]) -> UInt8[Tensor, "n channels height width"]:
        """Mean images for these latents; of binary ones the probability that a pixel is 1, as its
        brightness."""
        return torch.cat([self.as_bytes(self.last_canvas(part)) for part in z.split(TOGETHER)])

    def sample(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "n channels height width"]:
        """Mean images of n rows of latents from the prior."""
        return self.decode(self.prior(n, generator=generator))

    def look_closely(self, x: Float[Tensor, "n channels height width"]) -> list[Any]:
        """Every glimpse of images from 0 to 1, with each latent at the center of its posterior."""
        eps = x.new_zeros(len(x), self.latents)
        return list(self.glimpses(x.transpose(1, 2), eps))

    @torch.no_grad()
    def encode(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n latents"]:
        """Each step's latent at the center of its posterior given the steps before, standardized by
        its prior; gray images may be given as they are."""
        latents = []
        for part in x.split(TOGETHER):
            found = self.look_closely(self.unit(part))
            latents.append(torch.cat([glimpse.center for glimpse in found], 1))
        return torch.cat(latents)

    def unit(self, x: Tensor) -> Tensor:
        """Pixels from 0 to 255 as floats from 0 to 1, on the device and in the precision of the
        weights."""
        return x.to(next(self.parameters())) / 255  # type: ignore[attr-defined]

    def pixel_log_prob(
        self, x: Float[Tensor, "n channels height width"], z: Float[Tensor, "n latents"]
    ) -> Float[Tensor, "n channels height width"]:
        """log p(x | z) of each number in nats, with gradients; x are floats from 0 to 255."""
        canvas = self.last_canvas(z)
        return self.log_likelihood(x.to(canvas).transpose(1, 2) / 255, canvas).transpose(1, 2)

    def pixel_variance(
        self, mean: Float[Tensor, "n channels height width"], z: Float[Tensor, "n latents"]
    ) -> Float[Tensor, "n channels height width"]:
        """Variances of the pixels given latents whose mean images are these."""
        if self.log_scale is None:
            return mean * (255 - mean)
        scale = 256 * self.log_scale.exp()[:, :, None]
        return (scale.square() * math.pi**2 / 3).expand_as(mean)

    def summary(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n hidden"]:
        """The encoder's state, averaged over the steps."""
        return torch.stack([glimpse.h for glimpse in self.look_closely(x)]).mean(0)

    def trunk(self) -> Trunk:
        """Images to the encoder's mean state; the latents are at the centers of their
        posteriors."""
        return Trunk(self, CanvasImages.summary, 1 / 255)  # type: ignore[arg-type]

    def features(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """The encoder's state, averaged over the steps."""
        return in_parts(self.trunk(), x)

    @torch.no_grad()
    def sample_steps(self, n: int, *, generator: torch.Generator | None = None) -> Steps:
        """The steps of n samples: canvases, and the windows written to."""
        canvases, windows = zip(*self.strokes(self.prior(n, generator=generator)), strict=True)
        return self.steps(canvases, write=windows)

    @torch.no_grad()
    def reconstruct_steps(self, x: UInt8[Tensor, "n channels height width"]) -> Steps:
        """The steps of reconstructions: canvases, and the windows read from and written to."""
        found = self.look_closely(self.unit(x))
        read, written = [g.read for g in found], [g.written for g in found]
        return self.steps([g.canvas for g in found], read=read, write=written)

    def steps(self, canvases: Any, **windows: Any) -> Steps:
        """Canvases and windows step by step as `Steps`; windows that are None are left out."""
        shown = {name: outline(list(w)) for name, w in windows.items() if w[0] is not None}
        return Steps(torch.stack([self.as_bytes(canvas) for canvas in canvases], 1), shown)

    def brightness(self, canvas: Rows) -> Float[Tensor, "n channels height width"]:
        """Mean pixels of a canvas, from 0 to 255."""
        mean = canvas.sigmoid().transpose(1, 2)
        return 255 * mean if self.log_scale is None else 256 * mean - 0.5

    def as_bytes(self, canvas: Rows) -> UInt8[Tensor, "n channels height width"]:
        """The same, rounded."""
        return self.brightness(canvas).round().clamp(0, 255).byte().contiguous()
