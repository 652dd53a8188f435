r"""The network of the gated PixelCNN: two stacks of convolutions that together see every pixel
before the current one.

A stack of masked convolutions never sees a wedge to the upper right of a pixel, however deep it is:
the way up there leads through places that the masks hide. Here a *vertical* stack convolves all
rows above, without any mask, and a *horizontal* stack the own row to the left; in every layer the
vertical one feeds the horizontal one, never the reverse. Units are gated,

$$ y = \tanh(W_f * x + V_f^\top h) \odot \sigma(W_g * x + V_g^\top h) , $$

with h the class of a conditional model, one-hot.

The vertical stack is moved down by a row once, before its first layer; from then on its row r holds
rows above r only.

Source: van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves and Kavukcuoglu, "Conditional Image
Generation with PixelCNN Decoders", 2016. Departure: the last layer has no gate in its vertical
stack, whose output nothing reads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.masked import At, CausalConv, masked
from .pixel_model import Head, Put, Read


def rows_above(inside: int, out: int, height: int, width: int) -> CausalConv:
    """A convolution of whole rows, the current one and those above it, as wide to the right as to
    the left."""
    return CausalConv(nn.Conv2d(inside, out, (height, width)), width // 2)


class Classes(nn.Module):
    """What a class adds to each map, nothing for the class -1."""

    def __init__(self, classes: int, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, maps) * 0.05)

    def forward(self, y: Tensor) -> Tensor:
        return torch.where((y >= 0)[:, None], self.weight[y.clamp(min=0)], 0.0)


class GatedLayer(nn.Module):
    """One layer of both stacks.

    Arguments:
        inside: Maps that come in, of either stack.
        maps: Maps that go out.
        kernel: Side of the kernel, odd.
        first: Whether this is the first layer, with mask A and without a residual connection.
        last: Whether nothing reads the vertical stack's output.
        colors: Colors of a pixel.
        classes: Classes of a conditional model, 0 without.
    """

    def __init__(
        self,
        inside: int,
        maps: int,
        kernel: int,
        first: bool,
        last: bool,
        colors: int,
        classes: int,
    ) -> None:
        super().__init__()
        self.first, self.last, self.colors = first, last, colors
        self.vertical = rows_above(inside, 2 * maps, kernel // 2 + (0 if first else 1), kernel)
        self.link = rows_above(2 * maps, 2 * maps, 1, 1)
        self.horizontal = masked(
            inside, 2 * maps, kernel, "A" if first else "B", colors, split=2, above=False
        )
        self.out = masked(maps, maps, 1, "B", colors)
        self.classes = Classes(classes, 4 * maps) if classes else None

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
    """A gated layer fed the vertical stack row by row and the horizontal one place by place."""

    def __init__(self, layer: GatedLayer, n: int, width: int, y: Tensor | None) -> None:
        self.first, self.last = layer.first, layer.last
        self.vertical, self.link = layer.vertical.rows(n, width), layer.link.rows(n, width)
        self.horizontal, self.out = layer.horizontal.stream(n, width), layer.out.stream(n, width)
        self.added = layer.classes(y)[..., None].chunk(2, 1) if layer.classes is not None else None
        self.linked: list[tuple[Tensor, ...]] = []

    def row(self, v: Tensor) -> Tensor:
        """The vertical stack's row (n, maps, width); what the horizontal one needs of it is
        kept."""
        above = self.vertical(v)
        if self.added is not None:
            above = above + self.added[0]
        linked = self.link(above)
        if self.added is not None:
            linked = linked + self.added[1]
        linked = linked.permute(
            2, 0, 1
        )  # (width, n, maps), so that a place's maps are near each other
        self.linked = [linked[..., own].contiguous().unbind(0) for own in self.horizontal.own]
        return above if self.last else gate(above)

    def __call__(self, h: Tensor | None, at: At) -> Tensor:
        new = self.out(gate(self.horizontal(h, at) + self.linked[at.color][at.column]), at)
        return new if h is None else h + new


def gate(x: Tensor) -> Tensor:
    """Half of the maps opened and shut by the other half."""
    value, opened = x.chunk(2, 1)
    return torch.tanh(value) * torch.sigmoid(opened)


class GatedNetwork(nn.Module):
    """Gated layers and a head.

    Arguments:
        channels: Channels of an image, each a color of its own.
        maps: Maps of each stack.
        layers: Layers after the first.
        first: Side of the first kernel.
        kernel: Side of the others.
        head: Maps of the head's hidden layers.
        outputs: Numbers for each color's law.
        classes: Classes of a conditional model, 0 without.
    """

    def __init__(
        self,
        channels: int,
        maps: int,
        layers: int,
        first: int,
        kernel: int,
        head: int,
        outputs: int,
        classes: int = 0,
    ):
        super().__init__()
        made = [GatedLayer(channels, maps, first, True, layers == 0, channels, classes)]
        made += [
            GatedLayer(maps, maps, kernel, False, i == layers - 1, channels, classes)
            for i in range(layers)
        ]
        self.layers = nn.ModuleList(made)
        self.head = Head(maps, head, outputs, channels)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        v, h = F.pad(x, (0, 0, 1, 0))[:, :, :-1], x
        for layer in self.layers:
            v, h = layer(v, h, y)
        return self.head(h)

    def stream(self, n: int, width: int, y: Tensor | None = None) -> tuple[Read, Put]:
        layers = [layer.stream(n, width, y) for layer in self.layers]  # type: ignore[operator]
        head = self.head.stream(n, width)
        first = layers[0].horizontal
        above = first.bias.new_zeros(n, first.current.shape[2], width)

        def read(at: At) -> Tensor:
            if at.column == 0 and at.color == 0:
                v = above
                for layer in layers:
                    v = layer.row(v)
            h = None
            for layer in layers:
                h = layer(h, at)
            assert h is not None
            return head(h, at)

        def put(x: Tensor, at: At) -> None:
            first.put(x, at)
            above[:, at.color, at.column] = x[:, 0]

        return read, put
