r"""PixelRNN: a two-dimensional LSTM reads the image in the order of its pixels, in rows or along diagonals.

All layers have gates $[o, f, i, g] = K_{is} * x + K_{ss} * h_{before}$, with the logistic function on o, f, i and tanh on g, and

$$ c = f \odot c_{before} + i \odot g, \qquad h = o \odot \tanh(c) . $$

The input-to-state map $K_{is}$ is masked (kind B) and computed for the whole image at once; the state-to-state map has no mask.

**Row LSTM.** Before means the row above: $K_{is}$ is a convolution of three columns along the row, $K_{ss}$ one of three columns over the
states of the row above. The loop goes over rows. A place sees a triangle above it.

**Diagonal BiLSTM.** Before means the place to the left, and $K_{ss}$ reads the places to the left and above. The loop goes over the
diagonals, all places of one at a time. (The paper skews the image, row r by r places to the right, so that diagonals become columns, half
of which is padding; here the places are put in the diagonals' order, and nothing is padded.) A second LSTM does the same from right to
left, and what it found is moved down by a row, so that it cannot tell of pixels to the right in the own row. Both run in one batched
product. A place sees everything before it but for one number, which the paper does not mention: no place in a row knows the row's last
number, since mask A hides it from its own place and nothing in the row comes after it. Of the row above, a place sees it only where the
first convolution reaches it.

An LSTM's h maps are brought to 2h by a 1x1 convolution and added to the layer's input (figure 5). A 7x7 convolution with mask A comes
before the layers, a head of two hidden layers after them.

**Scanning** costs one column of work a pixel in either form. The left-to-right LSTM of a diagonal layer goes on from the states to the
left and above, which are known in raster order; the right-to-left one, read one row later, walks once through each row when it is done.

Source: van den Oord, Kalchbrenner and Kavukcuoglu, "Pixel Recurrent Neural Networks", 2016, sections 3.1 to 3.3 and table 1. Departures:
Adam by default instead of RMSProp; no skip connections from every layer to the output beside the residual ones; states before the first
row and column are learned, and a row's states begin at its own first pixel rather than in the padding that skewing adds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..data.dataset import Spec
from ..errors import UsageError
from ..nn.masked import At, CausalConv, colours_of, masked, members
from .pixels import Head, PixelModel, Put, Read


@dataclass(frozen=True)
class PixelRNNConfig:
    """Settings of a PixelRNN; the defaults are the paper's for colour images."""

    layer: Literal["row", "diagonal"] = "diagonal"
    """Row LSTM or Diagonal BiLSTM."""
    maps: int = 128
    """Maps h of each LSTM; between layers there are twice as many."""
    layers: int = 12
    """LSTM layers."""
    first: int = 7
    """Side of the first kernel."""
    head: int = 0
    """Maps of the two hidden layers of the head; 0 takes 32 for binary images and 1,024 for others."""
    levels: int = 0
    """Values of a pixel: 256, or 2 for binary images; 0 takes 2 for grey images and 256 for colour."""
    lr: float = 1e-3
    """Step size."""
    optimiser: Literal["adam", "rmsprop"] = "adam"
    """Which rule moves the weights."""

    @property
    def conditional(self) -> bool:
        """The paper's models know no class."""
        return False


class Cell(torch.autograd.Function):
    """New h and c from the four gates, side by side in the last axis, and c before; by hand, since the loop spends its time here."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        opened, g, t, h, new = cell(gates, c)
        ctx.save_for_backward(opened, g, c, t)
        return h, new

    @staticmethod
    def backward(ctx: Any, dh: Tensor, dc: Tensor) -> tuple[Tensor, Tensor]:
        opened, g, c, t = ctx.saved_tensors
        o, f, i = opened.chunk(3, -1)
        sigmoid, tanh = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward  # gradients from the functions' values
        dc = dc + tanh(dh * o, t)
        opening = sigmoid(torch.cat([dh * t, dc * c, dc * g], -1), opened)
        return torch.cat([opening, tanh(dc * i, g)], -1), dc * f


def cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The cell's values: of the three gates, of the input, of the new state's tanh, h, and c."""
    size = gates.shape[-1] // 4
    opened, g = torch.sigmoid(gates[..., : 3 * size]), torch.tanh(gates[..., 3 * size :])
    o, f, i = opened.chunk(3, -1)
    new = torch.addcmul(i * g, f, c)
    t = torch.tanh(new)
    return opened, g, t, o * t, new


class Reorder(torch.autograd.Function):
    """Rows in another order, whose gradient goes back by the inverse order (indexing's own adds up, place by place)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        return dy.index_select(0, ctx.saved_tensors[0]), None, None


@lru_cache
def diagonals(height: int, width: int) -> tuple[Tensor, Tensor, list[int]]:
    """Places of an image in raster numbering, diagonal by diagonal; the inverse order; and the places on each diagonal.

    Example:
        >>> order, _, sizes = diagonals(2, 3)
        >>> order.tolist(), sizes
        ([0, 1, 3, 2, 4, 5], [1, 2, 2, 1])
    """
    number = torch.arange(height)[:, None] + torch.arange(width)
    order = number.flatten().argsort(stable=True)
    return order, order.argsort(), torch.bincount(number.flatten()).tolist()


class RowLSTM(nn.Module):
    """A layer of Row LSTM.

    Arguments:
        maps: Maps h of the states; the layer's input and output have 2h.
        colours: Colours of a pixel.
    """

    def __init__(self, maps: int, colours: int) -> None:
        super().__init__()
        self.maps, self.colours = maps, colours
        self.input = masked(2 * maps, 4 * maps, 3, "B", colours, split=4, above=False)
        self.state = nn.Parameter(started(3 * maps, 4 * maps))  # of the columns to the left, here, and to the right
        self.first = nn.Parameter(torch.zeros(2, maps))  # h and c above the first row
        self.out = masked(maps, 2 * maps, 1, "B", colours)

    def forward(self, x: Float[Tensor, "height width n maps"]) -> Float[Tensor, "height width n maps"]:
        weight, bias = self.input.weights()
        beside = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)
        given = F.linear(torch.cat([beside, x], 3), weight[:, :, 0].transpose(1, 2).flatten(1), bias)
        h, c = (t.expand(x.shape[1], x.shape[2], -1) for t in self.first)
        found = []
        for gates in given.unbind(0):
            gates = torch.addmm(gates.flatten(0, 1), three(h).flatten(0, 1), self.state)
            h, c = Cell.apply(gates.unflatten(0, x.shape[1:3]), c)
            found.append(h)
        return x + pointwise(self.out, torch.stack(found))

    def stream(self, n: int, width: int) -> RowStream:
        return RowStream(self, n, width)


def started(inside: int, out: int) -> Tensor:
    """Weights as a convolution's start."""
    return torch.empty(inside, out).uniform_(-1, 1) * inside**-0.5


def three(h: Float[Tensor, "width n maps"]) -> Float[Tensor, "width n three"]:
    """The states to the left, here, and to the right of each column, zeros outside."""
    zero = torch.zeros_like(h[:1])
    return torch.cat([torch.cat([zero, h[:-1]]), h, torch.cat([h[1:], zero])], 2)


def pointwise(conv: CausalConv, x: Float[Tensor, "*places maps"]) -> Float[Tensor, "*places out"]:
    """A 1x1 convolution where maps are the last axis."""
    weight, bias = conv.weights()
    return F.linear(x, weight[:, :, 0, 0], bias)


class RowStream:
    """A layer of Row LSTM fed place by place."""

    def __init__(self, layer: RowLSTM, n: int, width: int) -> None:
        self.input, self.out, self.state = layer.input.stream(n, width), layer.out.stream(n, width), layer.state
        # States by column: of the row above until a place of the new row is done.
        self.h, self.c = (t.expand(width, n, -1).clone() for t in layer.first)
        self.parts = members(colours_of(layer.maps, layer.colours).to(self.h.device))
        self.from_above: list[Tensor] = []

    def __call__(self, x: Tensor, at: At) -> Tensor:
        if at.column == 0 and at.colour == 0:
            gates = three(self.h) @ self.state
            self.from_above = [gates[..., own] for own in self.input.own]
        part = self.parts[at.colour]
        gates = self.input(x, at) + self.from_above[at.colour][at.column]
        *_, h, c = cell(gates, self.c[at.column][:, part])
        self.h[at.column][:, part], self.c[at.column][:, part] = h, c
        return x + self.out(h, at)


class DiagonalBiLSTM(nn.Module):
    """A layer of Diagonal BiLSTM.

    Arguments:
        maps: Maps h of the states of each direction; the layer's input and output have 2h.
        colours: Colours of a pixel.
    """

    def __init__(self, maps: int, colours: int) -> None:
        super().__init__()
        self.maps, self.colours = maps, colours
        self.input = masked(2 * maps, 8 * maps, 1, "B", colours, split=8)  # four gates for each direction
        self.state = nn.Parameter(torch.stack([started(2 * maps, 4 * maps) for _ in range(2)]))  # of the place above, then to the left
        self.first = nn.Parameter(torch.zeros(2, 2, maps))  # h and c of each direction outside the image
        self.out = masked(maps, 2 * maps, 1, "B", colours)

    def forward(self, x: Float[Tensor, "height width n maps"]) -> Float[Tensor, "height width n maps"]:
        height, width, n = x.shape[:3]
        order, inverse, sizes = diagonals(height, width)
        places = torch.arange(height * width).view(height, width)
        mirror = places.flip(1).flatten()  # the right-to-left LSTM reads the mirror image
        orders = [t.to(x.device) for t in (order, inverse, mirror[order], mirror[order].argsort())]
        forth, back = pointwise(self.input, x).flatten(0, 1).chunk(2, 2)
        given = torch.stack([Reorder.apply(forth, *orders[:2]), Reorder.apply(back, *orders[2:])])
        h0, c0 = (t[:, None, None].expand(2, 1, n, -1) for t in self.first)
        h, c, found = h0[:, :0], c0[:, :0], []
        for d, gates in enumerate(given.split(sizes, 1)):
            # The last diagonal's rows, one more above the image or one done with, and one that begins.
            h = torch.cat([h0] * (d < width) + [h] + [h0] * (d < height), 1)
            c = torch.cat([c[:, int(d >= width) :]] + [c0] * (d < height), 1)
            before = torch.cat([h[:, :-1], h[:, 1:]], 3)
            new = torch.baddbmm(gates.flatten(1, 2), before.flatten(1, 2), self.state)
            h, c = Cell.apply(new.unflatten(1, c.shape[1:3]), c)
            found.append(h)
        forth, back = torch.cat(found, 1)
        forth, back = Reorder.apply(forth, *orders[1::-1]), Reorder.apply(back, *orders[:1:-1])
        late = torch.cat([torch.zeros_like(back[:width]), back[:-width]])  # a row further down
        return x + pointwise(self.out, (forth + late).unflatten(0, (height, width)))

    def stream(self, n: int, width: int) -> DiagonalStream:
        return DiagonalStream(self, n, width)


class DiagonalStream:
    """A layer of Diagonal BiLSTM fed place by place."""

    def __init__(self, layer: DiagonalBiLSTM, n: int, width: int) -> None:
        self.input, self.out, self.width = layer.input.stream(n, width), layer.out.stream(n, width), width
        self.state, maps = layer.state, layer.maps
        h0, c0 = (t[:, None, None].expand(2, width, n, -1) for t in layer.first)
        # States by column: of the row above until a place of the new row is done.
        (self.forth, self.back), self.c0, self.h0 = h0.clone(), c0[:, 0], h0[:, 0]
        self.told = torch.zeros_like(self.back)  # what the right-to-left LSTM found in the row above: nothing for the first row
        self.gates = self.back.new_zeros(width, n, 4 * maps)  # of the right-to-left LSTM for the own row
        self.left = self.left_c = self.c0[0]
        colour = colours_of(maps, layer.colours).to(self.back.device)
        self.parts, self.wide_parts = members(colour), members(colour.repeat(4))
        self.from_states = self.gates[0]

    def __call__(self, x: Tensor, at: At) -> Tensor:
        if at.colour == 0:
            if at.column == 0:
                if at.row:
                    self.walk_back()
                self.left, self.left_c = self.h0[0].clone(), self.c0[0].clone()
            self.from_states = torch.cat([self.forth[at.column], self.left], 1) @ self.state[0]
        part, gates = self.parts[at.colour], self.input(x, at)
        forth, back = gates.chunk(2, 1)
        self.gates[at.column][:, self.wide_parts[at.colour]] = back
        *_, h, c = cell(forth + self.from_states[:, self.wide_parts[at.colour]], self.left_c[:, part])
        self.left[:, part], self.left_c[:, part] = h, c
        self.forth[at.column][:, part] = h
        return x + self.out(h + self.told[at.column][:, part], at)

    def walk_back(self) -> None:
        """The right-to-left LSTM over the row that is done."""
        h, c = self.h0[1], self.c0[1]
        for column in reversed(range(self.width)):
            gates = torch.addmm(self.gates[column], torch.cat([self.back[column], h], 1), self.state[1])
            *_, h, c = cell(gates, c)
            self.back[column] = h
        self.told = self.back


class Network(nn.Module):
    """Mask A, LSTM layers, head."""

    def __init__(self, layer: type[RowLSTM] | type[DiagonalBiLSTM], channels: int, c: PixelRNNConfig, head: int, outputs: int) -> None:
        super().__init__()
        self.first = masked(channels, 2 * c.maps, c.first, "A", channels)
        self.layers = nn.ModuleList([layer(c.maps, channels) for _ in range(c.layers)])
        self.head = Head(2 * c.maps, head, outputs, channels)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        h = self.first(x).permute(2, 3, 0, 1).contiguous()  # places first: all that follows looks at a place's maps together
        for layer in self.layers:
            h = layer(h)
        return self.head(h.permute(2, 3, 0, 1).contiguous())

    def stream(self, n: int, width: int, y: Tensor | None = None) -> tuple[Read, Put]:
        first, head = self.first.stream(n, width), self.head.stream(n, width)
        layers = [layer.stream(n, width) for layer in self.layers]  # type: ignore[operator]

        def read(at: At) -> Tensor:
            h = first(None, at)
            for layer in layers:
                h = layer(h, at)
            return head(h, at)

        return read, first.put


class PixelRNN(PixelModel):
    """Rows or diagonals of LSTMs.

    Example:
        >>> from zeuxis.data.dataset import Spec
        >>> model = PixelRNN(PixelRNNConfig(maps=4, layers=1), Spec("tiny", (1, 5, 5))).eval()
        >>> x = model.sample(2, generator=torch.Generator().manual_seed(0))
        >>> x.shape, model.log_prob(x).nats.shape, model.conditionals(x).shape
        (torch.Size([2, 1, 5, 5]), torch.Size([2]), torch.Size([2, 1, 5, 5, 2]))
    """

    name: ClassVar[str] = "pixelrnn"
    Config: ClassVar[type] = PixelRNNConfig
    paper: ClassVar[str] = "van den Oord, Kalchbrenner and Kavukcuoglu: Pixel Recurrent Neural Networks, 2016"

    def __init__(self, config: PixelRNNConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        c, colours = config, spec.shape[0]
        if c.first < 3 or c.first % 2 == 0:
            raise UsageError(f"--model.first is the side of a kernel and must be odd and at least 3, got {c.first}.")
        if c.layers < 1 or c.maps < colours or (c.head and c.head < colours):
            least = f"at least one layer, and at least {colours} maps in each and in the head"
            raise UsageError(f"Images of {colours} channels need {least}: raise --model.layers, --model.maps or --model.head.")
        head, outputs = c.head or (32 if self.levels == 2 else 1024), 1 if self.levels == 2 else self.levels
        self.network = Network(RowLSTM if c.layer == "row" else DiagonalBiLSTM, colours, c, head, outputs)
