r"""Char-RNN: a recurrent network predicts each character from those before it.

$$ p(x) = \prod_t p(x_t | x_{<t}), \qquad p(x_t | x_{<t}) = \mathrm{softmax}(W h_t + b), \qquad
   h_t = \mathrm{LSTM}(x_{t-1}, h_{t-1}) . $$

The input is one-hot, dropout lies between the LSTM layers, and the output is a softmax over the
alphabet. The first input of a text is zero. PixelRNN does the same with images.

Sources: Karpathy, "The Unreasonable Effectiveness of Recurrent Neural Networks" and char-rnn, 2015;
Graves, "Generating Sequences With Recurrent Neural Networks", 2013. Defaults are char-rnn's: 2
layers of 128 units, RMSProp with a step size of 0.002. Departures: pieces of text come in any order
and each starts afresh, where char-rnn carries the states of 50 streams from piece to piece, so
pieces are longer here (128 characters instead of 50); the gradient's norm is clipped instead of
each number; forget gates start with a bias of 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from ..capabilities import LogProb
from ..data.dataset import Spec
from ..data.text import codes, spelled
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.precision import at_least_float32
from ..noise import Noise
from ..ranges import BaseConfig, Depth, FractionBelowOne, Rate, Size
from .sampling import Autoregression, check_temperature, run_autoregression, uniform, unpacked


@dataclass(frozen=True)
class CharRNNConfig(BaseConfig):
    """Settings of a char-rnn; the defaults are those of the original."""

    hidden_dim: Size = 128
    """Units of each layer."""
    layers: Depth = 2
    """LSTM layers."""
    dropout: FractionBelowOne = 0.0
    """Share of each layer's outputs that is dropped while training."""
    lr: Rate = 2e-3
    """Step size."""
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    """Optimizer."""


class CharRNN(Model):
    """Layers of LSTMs and a softmax over characters.

    Example:
        >>> from zeuxis.data.dataset import Spec
        >>> model = CharRNN(
        ...     CharRNNConfig(hidden_dim=8), Spec("abc", (16,), 0, ("a", "b", "c"))
        ... ).eval()
        >>> model.write(2, start="ab", length=10, generator=torch.Generator().manual_seed(0))[0][:2]
        'ab'
        >>> model.log_prob(model.sample(4)).nats.shape
        torch.Size([4])
    """

    name: ClassVar[str] = "char-rnn"
    Config: ClassVar[type] = CharRNNConfig
    paper: ClassVar[str] = (
        "Karpathy: The Unreasonable Effectiveness of Recurrent Neural Networks, 2015"
    )
    clock: ClassVar[Literal["linear", "log"]] = "log"

    @classmethod
    def tiny(cls) -> tuple[CharRNNConfig, Spec]:
        return CharRNNConfig(hidden_dim=8), Spec("letters", (12,), 0, tuple("abcde"))

    def __init__(self, config: CharRNNConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        c = config
        if len(spec.shape) != 1 or len(spec.class_names) < 2:
            raise UsageError(
                f"A char-rnn learns text, and '{spec.name}' has examples of shape "
                f"{spec.shape}: give --data BOOK.txt."
            )
        self.alphabet, self.levels = spec.class_names, len(spec.class_names)
        sizes = [self.levels] + [c.hidden_dim] * c.layers
        self.layers = nn.ModuleList(
            [nn.LSTM(a, c.hidden_dim, batch_first=True) for a in sizes[:-1]]
        )
        for layer in self.layers:
            # PyTorch's gates are input, forget, cell, output; it adds two biases.
            with torch.no_grad():
                layer.bias_ih_l0[c.hidden_dim : 2 * c.hidden_dim] = 1.0  # type: ignore[operator]
        self.out = nn.Linear(c.hidden_dim, self.levels)

    def players(self) -> dict[str, Player]:
        c = self.config
        return {
            "model": Player(self, c.lr, (0.0, 0.95) if c.optimizer == "rmsprop" else (0.9, 0.999))
        }

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        # Per character, so that the gradient's norm does not depend on the length of a piece.
        nats = -self.log_likelihood(batch.x, batch.noise).mean()
        batch.logs["bits/char"] = nats.detach() / math.log(2)
        yield "model", nats

    def log_likelihood(
        self, x: UInt8[Tensor, "n length"], noise: Noise | None = None
    ) -> Float[Tensor, "n length"]:
        """log p of each character given those before it; dropout draws from the noise."""
        h = F.pad(self.one_hot(x), (0, 0, 1, 0))[:, :-1]
        for layer in self.layers:
            h, _ = layer(h)
            if noise is not None and self.training and self.config.dropout:
                kept = noise.uniform(*h.shape[1:]) >= self.config.dropout
                h = h * (kept / (1 - self.config.dropout))
        logits = at_least_float32(self.out(h))
        return logits.log_softmax(2).gather(2, x.long()[..., None])[..., 0]

    def one_hot(self, x: Tensor) -> Tensor:
        """Indices of characters as one-hot vectors."""
        return F.one_hot(x.long(), self.levels).to(self.out.weight.dtype)

    def autoregress(self, n: int, y: Tensor | None = None) -> Autoregression:
        """Yields log-probabilities (n, levels) of the next character and is sent its index (n,).

        It never ends.
        """
        step = self.out.weight.new_zeros(n, 1, self.levels)
        states: list[tuple[Tensor, Tensor] | None] = [None] * len(self.layers)
        while True:
            with torch.no_grad():  # not around the yield: no_grad would leak into the caller
                h = step
                for i, layer in enumerate(self.layers):
                    h, states[i] = layer(h, states[i])
                log_p = at_least_float32(self.out(h[:, 0])).log_softmax(1)
            numbers, rows = unpacked((yield log_p))
            step = self.one_hot(numbers.to(step.device))[:, None]
            if rows is not None:
                step = step[rows]
                states = [None if s is None else (s[0][:, rows], s[1][:, rows]) for s in states]

    @torch.no_grad()
    def conditionals(
        self, x: UInt8[Tensor, "n length"], y: Tensor | None = None
    ) -> Float[Tensor, "n length levels"]:
        """Log-probabilities of every character given those before it, by one pass."""
        h = F.pad(self.one_hot(x.to(self.device)), (0, 0, 1, 0))[:, :-1]
        for layer in self.layers:
            h, _ = layer(h)
        return self.out(h).log_softmax(2)

    @torch.no_grad()
    def log_prob(self, x: UInt8[Tensor, "n length"]) -> LogProb:
        """Exact log-likelihoods of pieces of text, in nats per piece."""
        return LogProb(
            torch.cat([self.log_likelihood(part.to(self.device)).sum(1) for part in x.split(256)]),
            exact=True,
        )

    def sample(
        self,
        n: int,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        length: int = 0,
        prompt: Int[Tensor, " start"] | UInt8[Tensor, " start"] | None = None,
    ) -> UInt8[Tensor, "n length"]:
        """n texts as indices of characters.

        Arguments:
            n: Number of texts.
            generator: Source of randomness.
            temperature: Below 1 it favors likely characters.
            length: Characters of each text, by default as many as in a training piece.
            prompt: Beginning of each text.
        """
        check_temperature(temperature)
        length = length or self.spec.shape[0]
        u = uniform(n, length, generator, self.device)
        if prompt is None:
            return run_autoregression(self.autoregress(n), u, temperature=temperature)[0].byte()
        start = prompt.long().to(self.device)[:length]
        rest = start.new_zeros(length - len(start))
        known = torch.arange(length, device=self.device) < len(start)
        texts, _ = run_autoregression(
            self.autoregress(n),
            u,
            torch.cat([start, rest]).expand(n, -1),
            known.expand(n, -1),
            temperature,
        )
        return texts.byte()

    def write(
        self,
        n: int,
        *,
        start: str = "",
        length: int = 0,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> list[str]:
        """n texts that begin with `start`.

        Raises:
            UsageError: A character of `start` does not occur in the training text.
        """
        prompt = codes(start, self.alphabet) if start else None
        x = self.sample(
            n, generator=generator, temperature=temperature, length=length, prompt=prompt
        )
        return spelled(x.cpu(), self.alphabet)
