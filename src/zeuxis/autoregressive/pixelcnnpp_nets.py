r"""The network of PixelCNN++: two streams of gated residual blocks, down to a quarter of the side
and up again.

The stream u holds all rows above, the stream ul the own row to the left as well and reads u in
every block; neither needs masks, since convolutions are padded at the top and the left only. On the
way down each scale has `blocks` blocks and a convolution of stride 2; on the way up a transposed
one, and every block reads the block of the way down that it mirrors. A block is

$$ x + a \cdot \sigma(b), \qquad
   (a, b) = W_2 * d(e(W_1 * e(x) + W_3\, e(\mathrm{aux}))) + V^\top h , $$

with $e(x) = \mathrm{ELU}([x, -x])$, dropout d, and the class h of a conditional model. Weights are
normalized.

**Streams.** A row of u depends on rows above only, so at the start of a row all of u is computed
for it at once; ul goes place by place. At scale s only rows and places that $2^s$ divides are
computed: what a coarse place tells the finer ones is kept until they are reached.

Source: Salimans et al., "PixelCNN++", 2017, and its released code, from which sizes and order are
taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.elu import elu
from ..nn.masked import CausalConv, Position, Rows, Stream
from ..nn.weight_norm import WeightNorm
from ..noise import Noise
from .gated import Classes

Apply = Callable[[Tensor], Tensor]


def shifted(
    inside: int, out: int, height: int, width: int, left: int, stride: int = 1, start: float = 1.0
) -> CausalConv:
    """A convolution with normalized weights that sees no row below."""
    return CausalConv(
        WeightNorm(nn.Conv2d(inside, out, (height, width), stride), gain=True, start=start), left
    )


def above(inside: int, out: int, stride: int = 1, start: float = 1.0) -> CausalConv:
    """The convolution of u: the current row and the one above, to both sides."""
    return shifted(inside, out, 2, 3, 1, stride, start)


def left(inside: int, out: int, stride: int = 1, start: float = 1.0) -> CausalConv:
    """The convolution of ul: the current place, the one to its left, and the two above these."""
    return shifted(inside, out, 2, 2, 1, stride, start)


def point(inside: int, out: int) -> CausalConv:
    """A convolution of single places."""
    return shifted(inside, out, 1, 1, 0)


def elus(x: Tensor) -> Tensor:
    """ELU of the channels and of their negatives."""
    return elu(torch.cat([x, -x], 1))


def grow(channels: int, width: int) -> WeightNorm:
    """A transposed convolution that doubles the side: 2x3 for u, 2x2 for ul."""
    sides = {"padding": (0, 1), "output_padding": (0, 1)} if width == 3 else {}
    return WeightNorm(nn.ConvTranspose2d(channels, channels, (2, width), 2, **sides), gain=True)  # type: ignore[arg-type]


class Resnet(nn.Module):
    """A gated residual block.

    Arguments:
        conv: The convolution of its stream.
        channels: Channels in and out.
        aux: Channels of what it reads beside its input, 0 for nothing.
        classes: Classes of a conditional model, 0 without.
    """

    def __init__(
        self, conv: Callable[..., CausalConv], channels: int, aux: int, classes: int
    ) -> None:
        super().__init__()
        self.first, self.second = (
            conv(2 * channels, channels),
            conv(2 * channels, 2 * channels, start=0.1),
        )
        self.aux = point(2 * aux, channels) if aux else None
        self.classes = Classes(classes, 2 * channels) if classes else None

    def forward(
        self, x: Tensor, aux: Tensor | None, y: Tensor | None, drop: Apply | None
    ) -> Tensor:
        added = None if self.classes is None else self.classes(y)[..., None, None]
        return block(x, aux, self.first, self.aux, self.second, drop, added)


def block(
    x: Tensor,
    aux: Tensor | None,
    first: Apply,
    read: Apply | None,
    second: Apply,
    drop: Apply | None,
    added: Tensor | None,
) -> Tensor:
    """The formula of a block, the same for images, rows and places."""
    h = first(elus(x))
    if aux is not None and read is not None:
        h = h + read(elus(aux))
    h = elus(h)
    h = second(h if drop is None else drop(h))
    value, gate = (h if added is None else h + added).chunk(2, 1)
    return x + value * torch.sigmoid(gate)


class Network(nn.Module):
    """Both streams and the head.

    Arguments:
        colors: Channels of an image.
        channels: Channels of each stream.
        blocks: Blocks a scale on the way down; there is one more on the way up, but for the
            coarsest scale.
        scales: Sides: the image's, its half, its quarter, ...
        outputs: Numbers a pixel.
        dropout: Share of a block's inner channels that is dropped while training.
        classes: Classes of a conditional model, 0 without.
    """

    def __init__(
        self,
        colors: int,
        channels: int,
        blocks: int,
        scales: int,
        outputs: int,
        dropout: float,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.channels, self.dropout, self.scales = channels, dropout, scales
        self.u_start = shifted(colors + 1, channels, 2, 3, 1)
        self.ul_above, self.ul_left = (
            shifted(colors + 1, channels, 1, 3, 1),
            shifted(colors + 1, channels, 2, 1, 0),
        )

        def resnets(conv: Callable[..., CausalConv], aux: int, ends: int) -> nn.ModuleList:
            """For each scale its blocks."""
            count = [blocks + (ends if s < scales - 1 else 0) for s in range(scales)]
            return nn.ModuleList(
                [
                    nn.ModuleList(
                        [Resnet(conv, channels, aux * channels, classes) for _ in range(c)]
                    )
                    for c in count
                ]
            )

        self.u_down, self.ul_down = resnets(above, 0, 0), resnets(left, 1, 0)
        self.u_up, self.ul_up = resnets(above, 1, 1), resnets(left, 2, 1)
        self.u_shrink = nn.ModuleList([above(channels, channels, 2) for _ in range(scales - 1)])
        self.ul_shrink = nn.ModuleList([left(channels, channels, 2) for _ in range(scales - 1)])
        self.u_grow = nn.ModuleList([grow(channels, 3) for _ in range(scales - 1)])
        self.ul_grow = nn.ModuleList([grow(channels, 2) for _ in range(scales - 1)])
        self.head = point(channels, outputs)

    def forward(self, x: Tensor, y: Tensor | None = None, noise: Noise | None = None) -> Tensor:
        blocks: Any = self  # lists of modules have no types of their own
        drop = None
        if noise is not None and self.dropout:

            def drop(h: Tensor) -> Tensor:
                return h * ((noise.uniform(*h.shape[1:]) >= self.dropout) / (1 - self.dropout))

        x = torch.cat(
            [x, torch.ones_like(x[:, :1])], 1
        )  # a map of ones tells the image from its padding
        u, ul = down(self.u_start(x)), down(self.ul_above(x)) + right(self.ul_left(x))
        us, uls = [u], [ul]
        for s in range(self.scales):
            if s:
                us.append(self.u_shrink[s - 1](us[-1]))
                uls.append(self.ul_shrink[s - 1](uls[-1]))
            for one, other in zip(blocks.u_down[s], blocks.ul_down[s], strict=True):
                us.append(one(us[-1], None, y, drop))
                uls.append(other(uls[-1], us[-1], y, drop))
        u, ul = us.pop(), uls.pop()
        for s in reversed(range(self.scales)):
            if s < self.scales - 1:
                u, ul = self.u_grow[s](u), self.ul_grow[s](ul)
            for one, other in zip(blocks.u_up[s], blocks.ul_up[s], strict=True):
                u = one(u, us.pop(), y, drop)
                ul = other(ul, torch.cat([u, uls.pop()], 1), y, drop)
        return self.head(elu(ul))

    def stream(self, n: int, width: int, y: Tensor | None = None) -> NetworkStream:
        return NetworkStream(self, n, width, y)


def down(x: Tensor) -> Tensor:
    """Everything one row further down, zeros in the first."""
    return F.pad(x, (0, 0, 1, 0))[:, :, :-1]


def right(x: Tensor) -> Tensor:
    """Everything one column further right, zeros in the first."""
    return F.pad(x, (1, 0))[..., :-1]


class NetworkStream:
    """The network fed pixel by pixel.

    Arguments:
        net: The network; its weights are read once.
        n: Images at a time.
        width: Their width.
        y: Classes of a conditional model.
    """

    def __init__(self, net: Network, n: int, width: int, y: Tensor | None) -> None:
        parts: Any = net
        self.scales, widths = net.scales, [width >> s for s in range(net.scales)]
        self.u_start, self.ul_above = net.u_start.rows(n, width), net.ul_above.rows(n, width)
        self.ul_left, self.head = net.ul_left.stream(n, width), net.head.stream(n, width)
        self.u_down = [
            [RowResnet(b, n, w, y) for b in part]
            for part, w in zip(parts.u_down, widths, strict=True)
        ]
        self.u_up = [
            [RowResnet(b, n, w, y) for b in part]
            for part, w in zip(parts.u_up, widths, strict=True)
        ]
        self.ul_down = [
            [PlaceResnet(b, n, w, y) for b in part]
            for part, w in zip(parts.ul_down, widths, strict=True)
        ]
        self.ul_up = [
            [PlaceResnet(b, n, w, y) for b in part]
            for part, w in zip(parts.ul_up, widths, strict=True)
        ]
        self.u_shrink: list[Rows] = [
            conv.rows(n, w) for conv, w in zip(parts.u_shrink, widths, strict=False)
        ]
        self.ul_shrink: list[Stream] = [
            conv.stream(n, w) for conv, w in zip(parts.ul_shrink, widths, strict=False)
        ]
        self.grown = [(conv.weight(), conv.layer.bias) for conv in parts.u_grow]
        self.place_grown = [
            (conv.weight().permute(0, 2, 3, 1).flatten(1), conv.layer.bias)
            for conv in parts.ul_grow
        ]
        zeros = net.head.weights()[0].new_zeros
        self.zero_row, self.zero_place = zeros(n, net.channels, width), zeros(n, net.channels)
        self.row_above = zeros(n, net.u_start.weights()[0].shape[1], width)
        self.us: list[list[tuple[Tensor, ...]]] = [
            [] for _ in widths
        ]  # rows of u at each scale on the way down, by column
        self.ups: list[list[tuple[Tensor, ...]]] = [[] for _ in widths]  # and on the way up
        self.finer: list[Tensor] = [
            zeros(0) for _ in widths
        ]  # two rows of u that the next coarser scale gave
        self.quarters: list[list[Tensor]] = [
            [self.zero_place] * w for w in widths[1:]
        ]  # four places of ul for each coarser one
        self.start: tuple[Tensor, ...] = ()
        self.beside = self.zero_place

    def predict(self, position: Position) -> Tensor:
        """The mixture parameters of the pixel at a position."""
        row, column = position.row, position.column
        if column == 0:
            self.next_row(row)
        x = self.start[column] + (self.beside if column else self.zero_place)
        reached = active(row, column, self.scales)
        kept: list[list[Tensor]] = []
        for s in range(reached + 1):
            place = Position(row >> s, column >> s)
            if s:
                x = self.ul_shrink[s - 1](x, Position(row >> (s - 1), column >> (s - 1)))
            seen = [x]
            for i, step in enumerate(self.ul_down[s]):
                seen.append(x := step(x, self.us[s][i + 1][place.column], place))
            kept.append(seen)
        if reached < self.scales - 1:
            self.ul_shrink[reached].skip(x, Position(row >> reached, column >> reached))
        for s in reversed(range(reached + 1)):
            place = Position(row >> s, column >> s)
            if s == self.scales - 1:
                x = kept[s].pop()
            else:
                if s < reached:  # the coarser place was just computed
                    w, b = self.place_grown[s]
                    self.quarters[s][place.column >> 1] = (x @ w).unflatten(1, (2, 2, -1)) + b
                x = self.quarters[s][place.column >> 1][:, place.row & 1, place.column & 1]
            for i, step in enumerate(self.ul_up[s]):
                x = step(x, torch.cat([self.ups[s][i][place.column], kept[s].pop()], 1), place)
        return self.head(elu(x), position)

    def observe(self, x: Tensor, position: Position) -> None:
        """Takes a pixel's values (n, colors)."""
        marked = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        self.row_above[:, :, position.column] = marked
        self.beside = self.ul_left(marked, position)

    def next_row(self, row: int) -> None:
        """All of u for a new row."""
        if row:
            u, start = self.u_start(self.row_above), self.ul_above(self.row_above)
        else:
            u = start = self.zero_row
        self.start = start.permute(2, 0, 1).contiguous().unbind(0)
        reached = active(row, 0, self.scales)
        kept: list[list[Tensor]] = []
        for s in range(reached + 1):
            if s:
                u = self.u_shrink[s - 1](u)
            seen = [u]
            for step in self.u_down[s]:
                seen.append(u := step(u, None))
            self.us[s] = [by_column(t) for t in seen]
            kept.append(seen)
        if reached < self.scales - 1:
            self.u_shrink[reached].observe(u)
        for s in reversed(range(reached + 1)):
            if s == self.scales - 1:
                u = kept[s].pop()
            else:
                if s < reached:
                    w, b = self.grown[s]
                    self.finer[s] = F.conv_transpose2d(u[:, :, None], w, b, 2, (0, 1), (0, 1))
                u = self.finer[s][:, :, (row >> s) & 1]
            outputs = []
            for step in self.u_up[s]:
                outputs.append(u := step(u, kept[s].pop()))
            self.ups[s] = [by_column(t) for t in outputs]


def active(row: int, column: int, scales: int) -> int:
    """The coarsest scale that has a place of its own here.

    Example:
        >>> active(4, 6, 3), active(4, 0, 3), active(1, 0, 3)
        (1, 2, 0)
    """
    s = 0
    while s < scales - 1 and not (row | column) & ((2 << s) - 1):
        s += 1
    return s


def by_column(row: Tensor) -> tuple[Tensor, ...]:
    """A row (n, channels, width) as one (n, channels) a column."""
    return row.permute(2, 0, 1).contiguous().unbind(0)


class RowResnet:
    """A block of u fed row by row."""

    def __init__(self, resnet: Resnet, n: int, width: int, y: Tensor | None) -> None:
        self.first, self.second = resnet.first.rows(n, width), resnet.second.rows(n, width)
        self.aux = None if resnet.aux is None else resnet.aux.rows(n, width)
        self.added = None if resnet.classes is None else resnet.classes(y)[..., None]

    def __call__(self, x: Tensor, aux: Tensor | None) -> Tensor:
        return block(x, aux, self.first, self.aux, self.second, None, self.added)


class PlaceResnet:
    """A block of ul fed place by place."""

    def __init__(self, resnet: Resnet, n: int, width: int, y: Tensor | None) -> None:
        self.first, self.second = resnet.first.stream(n, width), resnet.second.stream(n, width)
        assert resnet.aux is not None
        self.aux = resnet.aux.stream(n, width)
        self.added = None if resnet.classes is None else resnet.classes(y)

    def __call__(self, x: Tensor, aux: Tensor, position: Position) -> Tensor:
        first, read, second = (
            lambda h, f=f: f(h, position) for f in (self.first, self.aux, self.second)
        )
        return block(x, aux, first, read, second, None, self.added)
