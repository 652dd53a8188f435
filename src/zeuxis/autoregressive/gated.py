r"""Network of the gated PixelCNN: two stacks that together see every earlier pixel.

However deep, a stack of masked convolutions has a blind spot: a wedge to the upper right of each
pixel. Here a *vertical* stack convolves all rows above, without a mask, and a *horizontal* stack
convolves the current row to the left. In every layer the vertical stack feeds the horizontal one,
never the reverse. Units are gated,

$$ y = \tanh(W_f * x + V_f^\top h) \odot \sigma(W_g * x + V_g^\top h) , $$

with h the class of a conditional model, one-hot.

The vertical stack is shifted down by one row before its first layer, so its row r sees only rows
above r.

Source: van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves and Kavukcuoglu, "Conditional Image
Generation with PixelCNN Decoders", 2016. Departure: the last layer has no gate in its vertical
stack, whose output is unused.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.masked import CausalConv, Position, masked
from .steps import Head, Steps


def rows_above(inside: int, out: int, height: int, width: int) -> CausalConv:
    """An unmasked convolution over the current row and those above it."""
    return CausalConv(nn.Conv2d(inside, out, (height, width)), width // 2)


class Classes(nn.Module):
    """A bias for each class and channel; none for the class -1."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, channels) * 0.05)

    def forward(self, y: Tensor) -> Tensor:
        return torch.where((y >= 0)[:, None], self.weight[y.clamp(min=0)], 0.0)


class GatedLayer(nn.Module):
    """One layer of both stacks.

    Arguments:
        inside: Input channels of each stack.
        channels: Output channels of each stack.
        kernel: Side of the kernel, odd.
        first: Whether this is the first layer, with mask A and without a residual connection.
        last: Whether the vertical stack's output is unused.
        colors: Colors of a pixel.
        classes: Classes of a conditional model, 0 without.
    """

    def __init__(
        self,
        inside: int,
        channels: int,
        kernel: int,
        first: bool,
        last: bool,
        colors: int,
        classes: int,
    ) -> None:
        super().__init__()
        self.first, self.last, self.colors = first, last, colors
        self.vertical = rows_above(inside, 2 * channels, kernel // 2 + (0 if first else 1), kernel)
        self.link = rows_above(2 * channels, 2 * channels, 1, 1)
        self.horizontal = masked(
            inside, 2 * channels, kernel, "A" if first else "B", colors, split=2, above=False
        )
        self.out = masked(channels, channels, 1, "B", colors)
        self.classes = Classes(classes, 4 * channels) if classes else None

    def forward(self, v: Tensor, h: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        above, own = self.vertical(v), self.horizontal(h)
        if self.classes is not None:
            added = self.classes(y)[..., None, None].chunk(2, 1)
            above, own = above + added[0], own + added[1]
        new = self.out(gate(own + self.link(above)))
        return above if self.last else gate(above), new if self.first else h + new

    def stream(self, n: int, width: int, y: Tensor | None) -> GatedStream:
        return GatedStream(self, n, width, y)


class GatedStream:
    """A gated layer fed the vertical stack row by row and the horizontal one pixel by pixel."""

    def __init__(self, layer: GatedLayer, n: int, width: int, y: Tensor | None) -> None:
        self.first, self.last = layer.first, layer.last
        self.vertical, self.link = layer.vertical.rows(n, width), layer.link.rows(n, width)
        self.horizontal, self.out = layer.horizontal.stream(n, width), layer.out.stream(n, width)
        self.added = layer.classes(y)[..., None].chunk(2, 1) if layer.classes is not None else None
        self.linked: list[Tensor] = []

    def row(self, v: Tensor) -> Tensor:
        """The vertical stack's row (n, channels, width); keeps what the horizontal stack needs."""
        above = self.vertical(v)
        if self.added is not None:
            above = above + self.added[0]
        linked = self.link(above)
        if self.added is not None:
            linked = linked + self.added[1]
        linked = linked.permute(2, 0, 1)  # (width, n, channels): a pixel's channels are contiguous
        self.linked = [linked[..., own].contiguous() for own in self.horizontal.own]
        return above if self.last else gate(above)

    def __call__(self, h: Tensor | None, position: Position) -> Tensor:
        new = self.out(
            gate(self.horizontal(h, position) + self.linked[position.color][position.column]),
            position,
        )
        return new if h is None else h + new

    def select(self, rows: Tensor) -> None:
        for part in (self.vertical, self.link, self.horizontal, self.out):
            part.select(rows)
        if self.added is not None:
            self.added = tuple(part[rows] for part in self.added)
        self.linked = [part[:, rows] for part in self.linked]


class Above:
    """The pixels of the current row."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def select(self, rows: Tensor) -> None:
        self.pixels.copy_(self.pixels[rows])


def gate(x: Tensor) -> Tensor:
    """Half of the channels, gated by the other half."""
    value, opened = x.chunk(2, 1)
    return torch.tanh(value) * torch.sigmoid(opened)


class GatedNetwork(nn.Module):
    """Gated layers and a head.

    Arguments:
        colors: Channels of an image.
        channels: Channels of each stack.
        layers: Layers after the first.
        first: Side of the first kernel.
        kernel: Side of the others.
        head: Channels of the head's hidden layers.
        outputs: Parameters of each color's conditional.
        classes: Classes of a conditional model, 0 without.
    """

    def __init__(
        self,
        colors: int,
        channels: int,
        layers: int,
        first: int,
        kernel: int,
        head: int,
        outputs: int,
        classes: int = 0,
    ):
        super().__init__()
        made = [GatedLayer(colors, channels, first, True, layers == 0, colors, classes)]
        made += [
            GatedLayer(channels, channels, kernel, False, i == layers - 1, colors, classes)
            for i in range(layers)
        ]
        self.layers = nn.ModuleList(made)
        self.head = Head(channels, head, outputs, colors)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        v, h = F.pad(x, (0, 0, 1, 0))[:, :, :-1], x
        for layer in self.layers:
            v, h = layer(v, h, y)
        return self.head(h)

    def stream(self, n: int, width: int, y: Tensor | None = None) -> Steps:
        layers = [layer.stream(n, width, y) for layer in self.layers]  # type: ignore[operator]
        head = self.head.stream(n, width)
        first = layers[0].horizontal
        above = first.bias.new_zeros(n, first.current.shape[2], width)

        def predict(position: Position) -> Tensor:
            if position.column == 0 and position.color == 0:
                v = above
                for layer in layers:
                    v = layer.row(v)
            h = None
            for layer in layers:
                h = layer(h, position)
            assert h is not None
            return head(h, position)

        def observe(x: Tensor, position: Position) -> None:
            first.observe(x, position)
            above[:, position.color, position.column] = x[:, 0]

        return Steps(predict, observe, [*layers, head, Above(above)])
