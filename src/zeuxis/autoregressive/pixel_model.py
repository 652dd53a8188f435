r"""Base of the pixel models: an image is a sequence of values, each conditional on all before it.

$$ \log p(x) = \sum_{r, c, k} \log p(x_{k,r,c} \,|\, x \text{ before } (r, c, k)) \qquad
   \text{in the order row, column, color.} $$

The likelihood is exact. A value has `levels` levels: 256 for 8-bit images, with a softmax, or 2 for
binary ones, with a sigmoid. Gray images are binary by default: each training step sets every pixel
to 1 with its brightness as probability (dynamic binarization; pixels of 0 and 255 do not change).

A conditional model takes the class. Without classes, its `log_prob` is that of the uniform mixture
over all of them.

Source: van den Oord, Kalchbrenner and Kavukcuoglu, "Pixel Recurrent Neural Networks", 2016, section
2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ..capabilities import LogProb
from ..data.dataset import Spec
from ..data.masks import for_images
from ..distributions.elementwise import bernoulli
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.masked import Position
from ..nn.precision import at_least_float32
from ..noise import Noise
from .sampling import (
    Autoregression,
    as_images,
    check_temperature,
    draw,
    in_order,
    run_autoregression,
    to_levels,
    to_pixels,
    uniform,
    unpacked,
)


class PixelModel(Model):
    """Base of the pixel models: a subclass sets `network`.

    If its conditionals are neither a softmax nor a sigmoid, it also overrides `log_likelihood`,
    `log_conditionals` and `autoregress`.

    Its config has `levels`, `conditional`, `lr` and `optimizer`.
    """

    clock: ClassVar[Any] = "log"
    portion: ClassVar[int] = 32
    """Images whose conditionals are computed at a time; bounds the memory."""
    network: Any

    def __init__(self, config: Any, spec: Spec) -> None:
        super().__init__(config, spec)
        self.levels = levels_for(config.levels, spec)
        if config.conditional and not spec.classes:
            raise UsageError(
                f"A conditional model needs labels, and '{spec.name}' has none: leave "
                "out --model.conditional."
            )

    def players(self) -> dict[str, Player]:
        c = self.config
        # Adam without a first moment is RMSProp with bias correction.
        betas = (0.0, 0.95) if c.optimizer == "rmsprop" else (0.9, 0.999)
        return {
            "model": Player(
                self, c.lr, betas, optimizer="muon" if c.optimizer == "muon" else "adam"
            )
        }

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        v = self.observed(batch.x, batch.noise)
        log_p = self.log_likelihood(v, self.classes(batch.y, len(v)), batch.noise)
        nats = -log_p.flatten(1).sum(1).mean()
        batch.logs["bits/dim"] = nats.detach() / (self.spec.size * math.log(2))
        yield "model", nats

    # --- likelihood

    def log_likelihood(
        self, v: Int[Tensor, "n c h w"], y: Tensor | None, noise: Noise | None = None
    ) -> Float[Tensor, "n c h w"]:
        """log p of each value of images of levels; dropout draws from the noise."""
        out = at_least_float32(self.network(self.scaled(v), y))
        if self.levels == 2:
            return bernoulli(v.to(out.dtype), out)
        n, channels, height, width = v.shape
        logits = out.reshape(n * channels, self.levels, height, width)
        return -F.cross_entropy(
            logits, v.reshape(n * channels, height, width), reduction="none"
        ).view(v.shape)

    def log_conditionals(
        self, v: Int[Tensor, "n c h w"], y: Tensor | None
    ) -> Float[Tensor, "n c h w levels"]:
        """Log-probabilities of every level of each value."""
        out = at_least_float32(self.network(self.scaled(v), y))
        return self.log_probs(out.unflatten(1, (self.spec.shape[0], -1)).permute(0, 1, 3, 4, 2))

    def autoregress(self, n: int, y: Int[Tensor, "n"] | None = None) -> Autoregression:
        """Yields log-probabilities (n, levels) of the next value and is sent its levels (n,), or
        `Chosen`."""
        channels, height, width = self.spec.shape
        # Hoisted: iterating over parameters() costs as much as a layer.
        device, dtype = self.device, next(self.parameters()).dtype
        with torch.no_grad():
            steps = self.network.stream(n, width, self.classes(y, n, required=True))
        for r in range(height):
            for c in range(width):
                for k in range(channels):
                    # Not around the yield: no_grad would leak into the caller.
                    with torch.no_grad():
                        log_p = self.log_probs(at_least_float32(steps.predict(Position(r, c, k))))
                    levels, rows = unpacked((yield log_p))
                    with torch.no_grad():
                        x = self.scaled(levels[:, None].to(device), dtype)
                        steps.observe(x, Position(r, c, k))
                        if rows is not None:
                            steps.select(rows.to(device))

    def log_probs(self, out: Float[Tensor, "*n outputs"]) -> Float[Tensor, "*n levels"]:
        """Log-probabilities from the network's numbers for one color."""
        if self.levels == 2:
            return torch.cat([F.logsigmoid(-out), F.logsigmoid(out)], -1)
        return out.log_softmax(-1)

    # --- levels and pixels

    def observed(
        self, x: UInt8[Tensor, "n c h w"], noise: Noise | None = None
    ) -> Int[Tensor, "n c h w"]:
        """Levels of pixels: drawn for a binary model with noise, else the nearest.

        Raises:
            UsageError: Without noise, pixels must be levels, and these are not.
        """
        if noise is not None and self.levels == 2:
            return (noise.uniform(*x.shape[1:]) * 255 < x).long()
        v = to_levels(x, self.levels)
        if noise is None and not (to_pixels(v, self.levels) == x).all():
            allowed = (
                "0 or 255: binarize them"
                if self.levels == 2
                else f"of its {self.levels} levels: round them"
            )
            raise UsageError(
                f"'{self.spec.name}' is modeled in {self.levels} levels and these pixels "
                f"are not {allowed} first."
            )
        return v

    def scaled(self, v: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Levels scaled to [-1, 1], the network's input."""
        return v.to(dtype or next(self.parameters()).dtype) * (2 / (self.levels - 1)) - 1

    def classes(self, y: Tensor | None, n: int, required: bool = False) -> Tensor | None:
        """Checked classes of a conditional model; None for an unconditional one."""
        if not self.config.conditional:
            return None
        if y is None:
            if required:
                raise UsageError(
                    "A conditional model needs the class of every image: give y, one "
                    "class from 0 for each."
                )
            return torch.full((n,), -1, device=self.device)
        if len(y) != n or (n and int(y.max()) >= self.spec.classes):
            raise UsageError(
                f"Expected {n} classes from 0 to {self.spec.classes - 1}, got {len(y)}, "
                f"the largest {int(y.max())}."
            )
        return y.to(self.device)

    # --- capabilities

    @torch.no_grad()
    def conditionals(
        self, x: UInt8[Tensor, "n c h w"], y: Int[Tensor, "n"] | None = None
    ) -> Float[Tensor, "n c h w levels"]:
        """Log-probabilities of every value given those before it, by one pass."""
        y = self.classes(y, len(x), required=True)
        parts = []
        for i, part in enumerate(x.split(k := self.portion)):
            parts.append(
                self.log_conditionals(
                    self.observed(part.to(self.device)),
                    None if y is None else y[k * i : k * (i + 1)],
                )
            )
        return torch.cat(parts)

    @torch.no_grad()
    def log_prob(self, x: UInt8[Tensor, "n c h w"], y: Int[Tensor, "n"] | None = None) -> LogProb:
        """Exact log-likelihoods in nats per image.

        A conditional model without y gives those of the mixture of all classes.
        """
        nats, classes = [], None if y is None else self.classes(y, len(x))
        for i, part in enumerate(x.split(64)):
            v = self.observed(part.to(self.device))
            if self.config.conditional and classes is None:
                each = [
                    self.nats(v, torch.full((len(v),), k, device=self.device))
                    for k in range(self.spec.classes)
                ]
                nats.append(torch.logsumexp(torch.stack(each), 0) - math.log(self.spec.classes))
            else:
                part_y = None if classes is None else classes[64 * i : 64 * (i + 1)]
                nats.append(self.nats(v, part_y))
        return LogProb(torch.cat(nats), exact=True)

    def nats(self, v: Tensor, y: Tensor | None) -> Float[Tensor, "n"]:
        """Log-likelihood of images of levels."""
        return self.log_likelihood(v, y).flatten(1).sum(1)

    def sample(
        self,
        n: int,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        y: Int[Tensor, "n"] | None = None,
    ) -> UInt8[Tensor, "n c h w"]:
        """n images; a conditional model takes their classes, by default each in turn."""
        check_temperature(temperature)
        if n < 1:
            return torch.empty(0, *self.spec.shape, dtype=torch.uint8, device=self.device)
        u = uniform(n, self.spec.size, generator, self.device)
        if y is None and self.config.conditional:
            y = torch.arange(n) % self.spec.classes
        y, parts = self.classes(y, n), []
        for i, part in enumerate(u.split(256)):
            part_y = None if y is None else y[256 * i : 256 * (i + 1)]
            values = self.autoregress(len(part), part_y)
            parts.append(run_autoregression(values, part, temperature=temperature)[0])
        return to_pixels(as_images(torch.cat(parts), self.spec.shape), self.levels)

    def complete(
        self,
        x: UInt8[Tensor, "n c h w"],
        mask: Tensor,
        n: int = 1,
        *,
        y: Int[Tensor, "n"] | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        tries: int = 1,
    ) -> UInt8[Tensor, "samples n c h w"]:
        """Draws the hidden pixels of images.

        The draw is exact if hidden pixels come last in the order; `sampling` describes other masks.

        Arguments:
            x: Images; the values of hidden pixels do not matter.
            mask: True where a pixel is seen: (H, W), (C, H, W), or one for each image.
            n: Completions of each image.
            y: Classes of a conditional model, by default each in turn.
            generator: Source of randomness.
            temperature: Temperature of the distributions that are drawn from.
            tries: Outcomes drawn for each completion, of which one is kept.
        """
        check_temperature(temperature)
        if tries < 1 or n < 1:
            raise UsageError(
                "At least one completion of each image and one try are needed, got "
                f"n={n}, tries={tries}."
            )
        seen = for_images(mask, x)
        v = in_order(self.observed(torch.where(seen, x, 0).to(torch.uint8).to(self.device)))
        known = in_order(seen).to(self.device)
        if y is None and self.config.conditional:
            y = torch.arange(len(x)) % self.spec.classes
        drawn = n * len(x)  # completions: all of the first image, then all of the second
        each = lambda t: t.repeat_interleave(n * tries, 0)  # noqa: E731
        u = uniform(drawn * tries, v.shape[1], generator, self.device)
        chosen = uniform(drawn, 1, generator, self.device)
        levels, nats = run_autoregression(
            self.autoregress(len(u), None if y is None else each(y)),
            u,
            each(v),
            each(known),
            temperature,
        )
        first = torch.arange(drawn, device=self.device) * tries
        kept = first + draw(nats.view(drawn, tries), chosen[:, 0])
        images = to_pixels(as_images(levels[kept], self.spec.shape), self.levels)
        return images.unflatten(0, (len(x), n)).transpose(0, 1)


def levels_for(levels: int, spec: Spec) -> int:
    """The number of values of a pixel: as asked for, or 2 for gray images and 256 for color."""
    if len(spec.shape) != 3:
        raise UsageError(
            f"Models of pixels are for images, and '{spec.name}' has examples of shape "
            f"{spec.shape}."
        )
    if levels == 1:
        raise UsageError(
            "--model.levels must be from 2 to 256, or 0 for 2 with gray images and 256 "
            f"with color, got {levels}."
        )
    return levels or (2 if spec.shape[0] == 1 else 256)
