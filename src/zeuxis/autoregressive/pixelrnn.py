r"""PixelRNN: a two-dimensional LSTM reads the image in the order of its pixels, in rows or along diagonals.

All layers have gates $[o, f, i, g] = K_{is} * x + K_{ss} * h_{before}$, with the logistic function on o, f, i and tanh on g, and

$$ c = f \odot c_{before} + i \odot g, \qquad h = o \odot \tanh(c) . $$

The input-to-state map $K_{is}$ is masked (kind B) and computed for the whole image at once; the state-to-state map has no mask.

**Row LSTM.** Before means the row above: $K_{is}$ is a convolution of three columns along the row, $K_{ss}$ one of three columns over the
states of the row above. The loop goes over rows. A place sees a triangle above it.

**Diagonal BiLSTM.** Before means the place to the left, and $K_{ss}$ reads the places to the left and above. Rows are skewed, row r by
r places to the right, so that a diagonal becomes a column; the loop goes over the diagonals, all places of one at a time. A second
LSTM does the same from right to left, and what it found is moved down by a row, so that it cannot tell of pixels to the right in the own
row. Both run in one batched product. A place sees everything before it but for one number, which the paper does not mention: no place in a
row knows the row's last number, since mask A hides it from its own place and nothing in the row comes after it. Of the row above, a place
sees it only where the first convolution reaches it.

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
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Shaped
from torch import Tensor, nn

from ..data.dataset import Spec
from ..errors import UsageError
from ..nn.masked import At, colours_of, masked
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


def cell(gates: Tensor, c: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """New h and c from the four gates, side by side along an axis, and c before."""
    o, f, i, g = gates.chunk(4, axis)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def skew(x: Shaped[Tensor, "*n height width"]) -> Shaped[Tensor, "*n height diagonals"]:
    """Row r moved r places to the right; zeros elsewhere.

    Example:
        >>> skew(torch.tensor([[1, 2], [3, 4]])).tolist()
        [[1, 2, 0], [0, 3, 4]]
    """
    height, width = x.shape[-2:]
    # Rows longer by `height` zeros, laid end to end and cut a place shorter, begin one place later each.
    return F.pad(x, (0, height)).flatten(-2)[..., : height * (width + height - 1)].unflatten(-1, (height, width + height - 1))


def unskew(x: Shaped[Tensor, "*n height diagonals"]) -> Shaped[Tensor, "*n height width"]:
    """The reverse of `skew`."""
    height, diagonals = x.shape[-2:]
    return F.pad(x.flatten(-2), (0, height)).unflatten(-1, (height, diagonals + 1))[..., : diagonals + 1 - height]


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
        self.state = nn.Conv1d(maps, 4 * maps, 3, padding=1, bias=False)
        self.first = nn.Parameter(torch.zeros(2, maps, 1))  # h and c above the first row
        self.out = masked(maps, 2 * maps, 1, "B", colours)

    def forward(self, x: Tensor) -> Tensor:
        h, c = (t.expand(len(x), -1, x.shape[3]) for t in self.first)
        found = []
        for gates in self.input(x).unbind(2):
            h, c = cell(gates + self.state(h), c, 1)
            found.append(h)
        return x + self.out(torch.stack(found, 2))

    def stream(self, n: int, width: int) -> RowStream:
        return RowStream(self, n, width)


class RowStream:
    """A layer of Row LSTM fed place by place."""

    def __init__(self, layer: RowLSTM, n: int, width: int) -> None:
        self.input, self.out, self.state = layer.input.stream(n, width), layer.out.stream(n, width), layer.state
        self.h, self.c = (t.expand(n, -1, width).clone() for t in layer.first)  # of the row above where the new row is not done yet
        colour = colours_of(layer.maps, layer.colours).to(self.h.device)
        self.parts = [(colour == k).nonzero()[:, 0] for k in range(layer.colours)]
        self.from_above: list[Tensor] = []

    def __call__(self, x: Tensor, at: At) -> Tensor:
        if at.column == 0 and at.colour == 0:
            gates = self.state(self.h).permute(2, 0, 1)
            self.from_above = [gates[..., own] for own in self.input.own]
        part = self.parts[at.colour]
        gates = self.input(x, at) + self.from_above[at.colour][at.column]
        h, self.c[:, part, at.column] = cell(gates, self.c[:, part, at.column], 1)
        self.h[:, part, at.column] = h
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
        bound = (2 * maps) ** -0.5
        self.state = nn.Parameter(torch.empty(2, 2 * maps, 4 * maps).uniform_(-bound, bound))  # rows: the place above, then the left
        self.first = nn.Parameter(torch.zeros(2, 2, maps))  # h and c of each direction outside the image
        self.out = masked(maps, 2 * maps, 1, "B", colours)

    def forward(self, x: Tensor) -> Tensor:
        n, height = len(x), x.shape[2]
        both = self.input(x).unflatten(1, (2, -1))
        both = torch.stack([both[:, 0], both[:, 1].flip(3)])
        gates = skew(both).permute(4, 0, 1, 3, 2).reshape(-1, 2, n * height, 4 * self.maps)  # (diagonals, directions, places, gates)
        h0, c0 = (t[:, None, None].expand(2, n, height, -1) for t in self.first)
        h, c, top = h0, c0, h0[:, :, :1]
        row, found = torch.arange(height, device=x.device)[:, None], []
        for d, given in enumerate(gates.unbind(0)):
            before = torch.cat([torch.cat([top, h[:, :, :-1]], 2), h], 3).flatten(1, 2)
            h, c = cell(torch.baddbmm(given, before, self.state).unflatten(1, (n, height)), c, 3)
            if d < height - 1:  # rows that have not begun
                h, c = torch.where(row <= d, h, h0), torch.where(row <= d, c, c0)
            found.append(h)
        forth, back = unskew(torch.stack(found, 4).transpose(2, 3))
        return x + self.out(forth + F.pad(back.flip(3), (0, 0, 1, 0))[:, :, :-1])

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
        self.parts = [(colour == k).nonzero()[:, 0] for k in range(layer.colours)]
        self.wide_parts = [(colour.repeat(4) == k).nonzero()[:, 0] for k in range(layer.colours)]
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
        h, self.left_c[:, part] = cell(forth + self.from_states[:, self.wide_parts[at.colour]], self.left_c[:, part], 1)
        self.left[:, part] = h
        self.forth[at.column][:, part] = h
        return x + self.out(h + self.told[at.column][:, part], at)

    def walk_back(self) -> None:
        """The right-to-left LSTM over the row that is done."""
        h, c = self.h0[1], self.c0[1]
        for column in reversed(range(self.width)):
            gates = torch.addmm(self.gates[column], torch.cat([self.back[column], h], 1), self.state[1])
            h, c = cell(gates, c, 1)
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
        h = self.first(x)
        for layer in self.layers:
            h = layer(h)
        return self.head(h)

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
