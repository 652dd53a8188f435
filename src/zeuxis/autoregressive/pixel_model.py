r"""What the models of this family share: an image is a sequence of numbers, each with a law given
all before it.

$$ \log p(x) = \sum_{r, c, k} \log p(x_{k,r,c} \,|\, x \text{ before } (r, c, k)) \qquad \text{in the order row, column, color.} $$

The likelihood is exact: no bound, no code. A number is one of `levels` values: of 256 for 8-bit
images, whose law is a softmax, or of 2 for binary ones, with a single sigmoid. Gray images are
taken as binary by default: each training step draws every pixel to be 1 with its brightness as
probability (dynamic binarization; images that are 0 and 255 stay what they are).

A conditional model knows the class of what it draws. Its `log_prob` without classes is that of the
mixture over all of them, each as likely as the others.

Source: van den Oord, Kalchbrenner and Kavukcuoglu, "Pixel Recurrent Neural Networks", 2016, section
2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from ..capabilities import LogProb
from ..data.dataset import Spec
from ..distributions.elementwise import bernoulli
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.masked import At, masked
from ..noise import Noise
from .sampling import (
    Scan,
    as_images,
    draw,
    follow,
    hidden,
    in_order,
    to_levels,
    to_pixels,
    uniform,
    warm,
)

Read = Callable[[At], Tensor]
Put = Callable[[Tensor, At], None]


class Head(nn.Module):
    """Two hidden layers of one pixel each, then the numbers that a law is made of.

    Arguments:
        inside: Maps that come in.
        width: Maps of the hidden layers.
        outputs: Numbers for each color.
        colors: Colors of a pixel.
    """

    def __init__(self, inside: int, width: int, outputs: int, colors: int) -> None:
        super().__init__()
        sizes = (inside, width, width, outputs * colors)
        self.layers = nn.ModuleList([masked(a, b, 1, "B", colors) for a, b in pairwise(sizes)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(F.relu(x))
        return x

    def stream(self, n: int, width: int) -> Callable[[Tensor, At], Tensor]:
        layers = [layer.stream(n, width) for layer in self.layers]  # type: ignore[operator]

        def step(x: Tensor, at: At) -> Tensor:
            for layer in layers:
                x = layer(torch.relu(x), at)
            return x

        return step


class PixelModel(Model):
    """Base of the models of pixels: a subclass sets `network` and, where its law is no softmax, the
    three methods below it.

    Its config has `levels`, `conditional`, `lr` and `optimizer`.
    """

    clock: ClassVar[Any] = "log"
    portion: ClassVar[int] = 32
    """Images whose laws are computed at a time, by the memory they take."""
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
        # With a first moment that forgets at once, Adam is RMSProp with its average corrected at
        # the start.
        betas = (0.0, 0.95) if c.optimizer == "rmsprop" else (0.9, 0.999)
        return {
            "model": Player(
                self, c.lr, betas, optimizer="muon" if c.optimizer == "muon" else "adam"
            )
        }

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        v = self.observed(batch.x, batch.noise)
        nats = (
            -self.log_likelihood(v, self.classes(batch.y, len(v)), batch.noise)
            .flatten(1)
            .sum(1)
            .mean()
        )
        batch.logs["bits/dim"] = nats.detach() / (self.spec.size * math.log(2))
        yield "model", nats

    # --- the law

    def log_likelihood(
        self, v: Int[Tensor, "n c h w"], y: Tensor | None, noise: Noise | None = None
    ) -> Float[Tensor, "n c h w"]:
        """log p of each number of images of levels; noise is what dropout is drawn from while
        training."""
        out = wide(self.network(self.scaled(v), y))
        if self.levels == 2:
            return bernoulli(v.to(out.dtype), out)
        n, channels, height, width = v.shape
        logits = out.reshape(n * channels, self.levels, height, width)
        return -F.cross_entropy(
            logits, v.reshape(n * channels, height, width), reduction="none"
        ).view(v.shape)

    def laws(self, v: Int[Tensor, "n c h w"], y: Tensor | None) -> Float[Tensor, "n c h w levels"]:
        """Log-probabilities of every level of each number."""
        out = wide(self.network(self.scaled(v), y))
        return self.law(out.unflatten(1, (self.spec.shape[0], -1)).permute(0, 1, 3, 4, 2))

    def scan(self, n: int, y: Int[Tensor, "n"] | None = None) -> Scan:
        """Yields log-probabilities (n, levels) of the next number, and is sent its levels (n,); see
        `CanScan`."""
        channels, height, width = self.spec.shape
        device, dtype = (
            self.device,
            next(self.parameters()).dtype,
        )  # found once: to look through a module takes as long as a layer
        with torch.no_grad():
            read, put = self.network.stream(n, width, self.classes(y, n, required=True))
        for r in range(height):
            for c in range(width):
                for k in range(channels):
                    with (
                        torch.no_grad()
                    ):  # not around the loop: the caller's own mode must hold while this waits
                        log_p = self.law(wide(read(At(r, c, k))))
                    levels = yield log_p
                    with torch.no_grad():
                        put(self.scaled(levels[:, None].to(device), dtype), At(r, c, k))

    def law(self, out: Float[Tensor, "*n outputs"]) -> Float[Tensor, "*n levels"]:
        """Log-probabilities from the network's numbers for one color."""
        if self.levels == 2:
            return torch.cat([F.logsigmoid(-out), F.logsigmoid(out)], -1)
        return out.log_softmax(-1)

    # --- numbers and pixels

    def observed(
        self, x: UInt8[Tensor, "n c h w"], noise: Noise | None = None
    ) -> Int[Tensor, "n c h w"]:
        """The levels of pixels: drawn for binary models where noise is given, else the nearest;
        without noise they must fit."""
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
        """Levels as the network takes them, from -1 to 1."""
        return v.to(dtype or next(self.parameters()).dtype) * (2 / (self.levels - 1)) - 1

    def classes(self, y: Tensor | None, n: int, required: bool = False) -> Tensor | None:
        """The classes of a conditional model, checked; None for another."""
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

    # --- what it can do

    @torch.no_grad()
    def conditionals(
        self, x: UInt8[Tensor, "n c h w"], y: Int[Tensor, "n"] | None = None
    ) -> Float[Tensor, "n c h w levels"]:
        """The law of every number given those before it, by one pass: log-probabilities."""
        y = self.classes(y, len(x), required=True)
        found = []
        for i, part in enumerate(x.split(k := self.portion)):
            found.append(
                self.laws(
                    self.observed(part.to(self.device)),
                    None if y is None else y[k * i : k * (i + 1)],
                )
            )
        return torch.cat(found)

    @torch.no_grad()
    def log_prob(self, x: UInt8[Tensor, "n c h w"], y: Int[Tensor, "n"] | None = None) -> LogProb:
        """Exact log-likelihoods in nats an image; of a conditional model without y, those of the
        mixture of all classes."""
        found, given = [], None if y is None else self.classes(y, len(x))
        for i, part in enumerate(x.split(64)):
            v = self.observed(part.to(self.device))
            if self.config.conditional and given is None:
                each = [
                    self.nats(v, torch.full((len(v),), k, device=self.device))
                    for k in range(self.spec.classes)
                ]
                found.append(torch.logsumexp(torch.stack(each), 0) - math.log(self.spec.classes))
            else:
                found.append(self.nats(v, None if given is None else given[64 * i : 64 * (i + 1)]))
        return LogProb(torch.cat(found), exact=True)

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
        """n new images; a conditional model takes their classes, by default each in turn."""
        warm(temperature)
        if n < 1:
            return torch.empty(0, *self.spec.shape, dtype=torch.uint8, device=self.device)
        u = uniform(n, self.spec.size, generator, self.device)
        if y is None and self.config.conditional:
            y = torch.arange(n) % self.spec.classes
        y, parts = self.classes(y, n), []
        for i, part in enumerate(u.split(256)):
            scan = self.scan(len(part), None if y is None else y[256 * i : 256 * (i + 1)])
            parts.append(follow(scan, part, temperature=temperature)[0])
        return to_pixels(as_images(torch.cat(parts), self.spec.shape), self.levels)

    def complete(
        self,
        x: UInt8[Tensor, "n c h w"],
        mask: Tensor,
        *,
        y: Int[Tensor, "n"] | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        tries: int = 1,
    ) -> UInt8[Tensor, "n c h w"]:
        """Images whose hidden pixels are drawn; exactly if they come last in the order, else as
        `sampling` says.

        Arguments:
            x: Images; what is hidden in them does not matter.
            mask: True where a pixel is hidden: (H, W), (C, H, W), or one for each image.
            y: Classes of a conditional model, by default each in turn.
            generator: Where the randomness comes from.
            temperature: Of the law drawn from.
            tries: Outcomes for each image, of which one is kept.
        """
        warm(temperature)
        if tries < 1:
            raise UsageError(f"At least one try for each image is needed, got tries={tries}.")
        missing = hidden(mask.to(x.device), x)
        v = in_order(self.observed(torch.where(missing, 0, x).to(torch.uint8).to(self.device)))
        known = in_order(~missing).to(self.device)
        if y is None and self.config.conditional:
            y = torch.arange(len(x)) % self.spec.classes
        each = lambda t: t.repeat_interleave(tries, 0)  # noqa: E731
        u, chosen = (
            uniform(len(x) * tries, v.shape[1], generator, self.device),
            uniform(len(x), 1, generator, self.device),
        )
        found, nats = follow(
            self.scan(len(u), None if y is None else each(y)), u, each(v), each(known), temperature
        )
        kept = (
            draw(nats.view(len(x), tries), chosen[:, 0])
            + torch.arange(len(x), device=self.device) * tries
        )
        return to_pixels(as_images(found[kept], self.spec.shape), self.levels)


def wide(out: Tensor) -> Tensor:
    """A network's numbers in at least float32, whatever it computed in."""
    return out if out.dtype == torch.float64 else out.float()


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
