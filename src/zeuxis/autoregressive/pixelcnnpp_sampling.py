r"""The network of PixelCNN++ fed pixel by pixel, for sampling and coding.

A row of u depends on rows above only, so at the start of a row all of u is computed for it at once;
ul goes pixel by pixel. At scale s only rows and columns that $2^s$ divides are computed. A
transposed convolution gives 2x2 pixels of the finer scale for each of the coarser one; they are
kept until they are reached. Nothing is computed twice.

Source: Salimans et al., "PixelCNN++", 2017; Ramachandran et al., "Fast Generation for Convolutional
Autoregressive Models", 2017, for the idea of keeping what the convolutions have computed.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nn.elu import elu
from ..nn.masked import Position, Rows, Stream
from .pixelcnnpp_nets import Network, Resnet, block


class NetworkStream:
    """The network fed pixel by pixel.

    Arguments:
        net: The network; its weights are read once.
        n: Number of images.
        width: Their width.
        y: Classes of a conditional model, else None.
    """

    def __init__(self, net: Network, n: int, width: int, y: Tensor | None) -> None:
        parts: Any = net  # module lists are typed as lists of plain modules
        self.scales, widths = net.scales, [width >> s for s in range(net.scales)]

        def blocks(kind: Any, scales: Any) -> list[list[Any]]:
            """The blocks of each scale, fed row by row or pixel by pixel."""
            return [
                [kind(resnet, n, w, y) for resnet in scale]
                for scale, w in zip(scales, widths, strict=True)
            ]

        self.u_start, self.ul_above = net.u_start.rows(n, width), net.ul_above.rows(n, width)
        self.ul_left, self.head = net.ul_left.stream(n, width), net.head.stream(n, width)
        self.u_down, self.u_up = blocks(RowResnet, parts.u_down), blocks(RowResnet, parts.u_up)
        self.ul_down = blocks(PixelResnet, parts.ul_down)
        self.ul_up = blocks(PixelResnet, parts.ul_up)
        self.u_shrink: list[Rows] = [
            conv.rows(n, w) for conv, w in zip(parts.u_shrink, widths, strict=False)
        ]
        self.ul_shrink: list[Stream] = [
            conv.stream(n, w) for conv, w in zip(parts.ul_shrink, widths, strict=False)
        ]
        self.u_grow = [(conv.weight(), conv.layer.bias) for conv in parts.u_grow]
        self.ul_grow = [
            (conv.weight().permute(0, 2, 3, 1).flatten(1), conv.layer.bias)
            for conv in parts.ul_grow
        ]
        zeros = net.head.weights()[0].new_zeros
        self.zero_row, self.zero_pixel = zeros(n, net.channels, width), zeros(n, net.channels)
        self.row_above = zeros(n, net.u_start.weights()[0].shape[1], width)
        # For each scale, by column: the outputs of u's blocks in the current row, on the way down
        # and on the way up.
        self.u_down_row: list[list[tuple[Tensor, ...]]] = [[] for _ in widths]
        self.u_up_row: list[list[tuple[Tensor, ...]]] = [[] for _ in widths]
        # For each scale: the two rows of u that a row of the next coarser scale grows to, and, by
        # the coarser scale's column, the 2x2 pixels of ul that its pixel grows to.
        self.u_grown: list[Tensor] = [zeros(0) for _ in widths]
        self.ul_grown: list[list[Tensor]] = [[self.zero_pixel] * w for w in widths[1:]]
        self.start: tuple[Tensor, ...] = ()  # ul's first layer from the rows above, by column
        self.from_left = self.zero_pixel  # and from the pixel to the left

    def predict(self, position: Position) -> Tensor:
        """The mixture parameters of the pixel at a position."""
        row, column = position.row, position.column
        if column == 0:
            self.next_row(row)
        x = self.start[column] + (self.from_left if column else self.zero_pixel)
        reached = active(row, column, self.scales)
        kept: list[list[Tensor]] = []
        for s in range(reached + 1):
            here = Position(row >> s, column >> s)
            if s:
                x = self.ul_shrink[s - 1](x, Position(row >> (s - 1), column >> (s - 1)))
            seen = [x]
            for i, step in enumerate(self.ul_down[s]):
                seen.append(x := step(x, self.u_down_row[s][i + 1][here.column], here))
            kept.append(seen)
        if reached < self.scales - 1:
            self.ul_shrink[reached].skip(x, Position(row >> reached, column >> reached))
        for s in reversed(range(reached + 1)):
            here = Position(row >> s, column >> s)
            if s == self.scales - 1:
                x = kept[s].pop()
            else:
                if s < reached:  # the coarser pixel was just computed
                    w, b = self.ul_grow[s]
                    self.ul_grown[s][here.column >> 1] = (x @ w).unflatten(1, (2, 2, -1)) + b
                x = self.ul_grown[s][here.column >> 1][:, here.row & 1, here.column & 1]
            for i, step in enumerate(self.ul_up[s]):
                x = step(x, torch.cat([self.u_up_row[s][i][here.column], kept[s].pop()], 1), here)
        return self.head(elu(x), position)

    def observe(self, x: Tensor, position: Position) -> None:
        """Takes a pixel's values (n, colors)."""
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        self.row_above[:, :, position.column] = x
        self.from_left = self.ul_left(x, position)

    def select(self, rows: Tensor) -> None:
        """Reindexes the cache: image i continues from the activations of image rows[i]."""
        parts: list[Any] = [self.u_start, self.ul_above, self.ul_left, self.head]
        parts += [*self.u_shrink, *self.ul_shrink]
        for scale in (*self.u_down, *self.u_up, *self.ul_down, *self.ul_up):
            parts += scale
        for part in parts:
            part.select(rows)
        for name in ("row_above", "u_down_row", "u_up_row", "u_grown", "ul_grown", "start"):
            setattr(self, name, selected(getattr(self, name), rows))
        self.from_left = self.from_left[rows]

    def next_row(self, row: int) -> None:
        """All of u for a new row, and what ul takes from the row above."""
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
            self.u_down_row[s] = [by_column(t) for t in seen]
            kept.append(seen)
        if reached < self.scales - 1:
            self.u_shrink[reached].observe(u)
        for s in reversed(range(reached + 1)):
            if s == self.scales - 1:
                u = kept[s].pop()
            else:
                if s < reached:
                    w, b = self.u_grow[s]
                    self.u_grown[s] = F.conv_transpose2d(u[:, :, None], w, b, 2, (0, 1), (0, 1))
                u = self.u_grown[s][:, :, (row >> s) & 1]
            outputs = []
            for step in self.u_up[s]:
                outputs.append(u := step(u, kept[s].pop()))
            self.u_up_row[s] = [by_column(t) for t in outputs]


def selected(kept: Any, rows: Tensor) -> Any:
    """Tensors in lists and tuples, each with these rows of its first dimension."""
    if kept is None or isinstance(kept, Tensor):
        return kept[rows] if kept is not None and len(kept) else kept
    return type(kept)(selected(part, rows) for part in kept)


def active(row: int, column: int, scales: int) -> int:
    """The coarsest scale with a pixel at this position of the finest.

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
        self.of_class = None if resnet.classes is None else resnet.classes(y)[..., None]

    def __call__(self, x: Tensor, aux: Tensor | None) -> Tensor:
        return block(x, aux, self.first, self.aux, self.second, None, self.of_class)

    def select(self, rows: Tensor) -> None:
        for part in (self.first, self.second, self.aux):
            if part is not None:
                part.select(rows)
        self.of_class = selected(self.of_class, rows)


class PixelResnet:
    """A block of ul fed pixel by pixel."""

    def __init__(self, resnet: Resnet, n: int, width: int, y: Tensor | None) -> None:
        self.first, self.second = resnet.first.stream(n, width), resnet.second.stream(n, width)
        assert resnet.aux is not None
        self.aux = resnet.aux.stream(n, width)
        self.of_class = None if resnet.classes is None else resnet.classes(y)

    def __call__(self, x: Tensor, aux: Tensor, position: Position) -> Tensor:
        first, read, second = (
            lambda h, conv=conv: conv(h, position) for conv in (self.first, self.aux, self.second)
        )
        return block(x, aux, first, read, second, None, self.of_class)

    def select(self, rows: Tensor) -> None:
        for part in (self.first, self.second, self.aux):
            part.select(rows)
        self.of_class = selected(self.of_class, rows)
