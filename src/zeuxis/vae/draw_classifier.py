r"""DRAW's attention as a classifier: a recurrent network that looks through a window that moves.

In each of T glimpses it reads a grid of N x N filters from the image (`draw_attention`), at the
window that its state chose, and says a class after the last:

$$ r_t = \mathrm{read}(x, h_{t-1}), \qquad h_t = \mathrm{LSTM}(h_{t-1}, r_t), \qquad
   p(y | x) = \mathrm{softmax}(W h_T) . $$

Windows are differentiable, so the cross-entropy teaches where to look, without reinforcement. On
100x100 pixels 8 glimpses of 12x12 filters see a ninth of the pixels.

Source: Gregor, Danihelka, Graves, Rezende and Wierstra, "DRAW: A Recurrent Neural Network For Image
Generation", 2015, section 4.1. Additions: the first window covers the image, with filters as wide
as half their distance, so that there is something to see between them; the cross-entropy is
averaged over the last half of the glimpses, which shortens the way of its gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..capabilities import Window
from ..data.dataset import Spec
from ..errors import UsageError
from ..model import Batch, Model, Player
from ..nn.lstm_cell import LSTMCell
from ..nn.precision import full_precision
from ..ranges import BaseConfig, Depth, Range, Rate, Size
from .draw_attention import NUMBERS, Filters, filters, outline, read

TOGETHER = 250  # images at a time in inference


@dataclass(frozen=True)
class GlimpseClassifierConfig(BaseConfig):
    """Settings of a classifier by glimpses; the defaults are the paper's for cluttered digits."""

    glimpses: Depth = 8
    """Steps T."""
    hidden_dim: Size = 256
    """Units of the LSTM."""
    read: Annotated[int, Range(2, 1_000)] = 12
    """Side of the grid of filters that reads."""
    lr: Rate = 1e-3
    """Step size."""


class GlimpseClassifier(Model):
    """Images to classes, and where it looks.

    Example:
        >>> model = GlimpseClassifier(*GlimpseClassifier.tiny()).eval()
        >>> x = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
        >>> model.classify(x).shape, model.windows_of(x).box.shape
        (torch.Size([2, 10]), torch.Size([2, 3, 4]))
    """

    name: ClassVar[str] = "glimpse-classifier"
    Config: ClassVar[type] = GlimpseClassifierConfig
    paper: ClassVar[str] = (
        "Gregor et al.: DRAW: A Recurrent Neural Network For Image Generation, 2015"
    )

    @classmethod
    def tiny(cls) -> tuple[GlimpseClassifierConfig, Spec]:
        config = GlimpseClassifierConfig(glimpses=3, hidden_dim=12, read=4)
        return config, Spec("tiny", (1, 28, 28), 10)

    def __init__(self, config: GlimpseClassifierConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        if len(spec.shape) != 3 or spec.classes < 2:
            raise UsageError(
                "A classifier needs images with labels of 2 or more classes; "
                f"'{spec.name}' has {spec.classes}."
            )
        channels, self.height, self.width = spec.shape
        self.cell = LSTMCell(channels * config.read**2, config.hidden_dim)
        self.window = nn.Linear(config.hidden_dim, NUMBERS)
        self.head = nn.Linear(config.hidden_dim, spec.classes)
        stride = (max(self.height, self.width) - 1) / (config.read - 1)
        with torch.no_grad():
            nn.init.xavier_uniform_(self.window.weight)
            self.window.bias.zero_()
            self.window.bias[2] = 2 * math.log(max(0.5, stride / 2))

    def players(self) -> dict[str, Player]:
        return {"classifier": Player(self, self.config.lr)}

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        if batch.y is None or bool((batch.y < 0).any()):
            raise UsageError(
                "A classifier needs a label for every image: give a fully labeled data set."
            )
        states = torch.stack([h for h, _ in self.glimpses(scaled(batch.x))])
        logits = self.head(states[self.config.glimpses // 2 :]).float()
        right = logits[-1].detach().argmax(1) == batch.y
        batch.logs["accuracy"] = 100 * right.float().mean()
        targets = batch.y.expand(len(logits), -1)
        yield "classifier", F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def glimpses(
        self, x: Float[Tensor, "n channels height width"]
    ) -> Iterator[tuple[Tensor, Filters]]:
        """The state after each glimpse, (n, hidden), and the window that it saw.

        Arguments:
            x: Pixels from 0 to 1.
        """
        rows, state = x.transpose(1, 2), self.cell.start(len(x))
        for _ in range(self.config.glimpses):
            with full_precision(x):
                numbers = self.window(state.h.to(x.dtype))
                window = filters(numbers, self.config.read, self.height, self.width)
                seen = read(rows, window).flatten(1)
            state = self.cell(seen, state)
            yield state.h, window

    @torch.no_grad()
    def classify(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n classes"]:
        """Class probabilities."""
        found = []
        for part in x.split(TOGETHER):
            *_, (h, _) = self.glimpses(scaled(part.to(self.device)))
            found.append(self.head(h).float().softmax(1))
        return torch.cat(found)

    @torch.no_grad()
    def windows_of(self, x: UInt8[Tensor, "n channels height width"]) -> Window:
        """Where each glimpse looked."""
        return outline([window for _, window in self.glimpses(scaled(x.to(self.device)))])


def scaled(x: Tensor) -> Tensor:
    """Pixels from 0 to 1."""
    return x.float() / 255
