r"""PixelRNN: a two-dimensional LSTM reads the image by rows or along diagonals.

All layers have gates $[o, f, i, g] = K_{is} * x + K_{ss} * h_{before}$, with the sigmoid on o, f, i
and tanh on g, and

$$ c = f \odot c_{before} + i \odot g, \qquad h = o \odot \tanh(c) . $$

The input-to-state convolution $K_{is}$ has mask B, the state-to-state convolution $K_{ss}$ none.
The paper computes the former for the whole image at once; here both are one product in every step,
which is faster (`lstm_scan`).

**Row LSTM.** *Before* is the row above: $K_{is}$ is a convolution of three columns along the row,
$K_{ss}$ one of three columns over the states of the row above. The loop runs over rows. The
receptive field of a pixel is a triangle above it.

**Diagonal BiLSTM.** *Before* is the pixel to the left, and $K_{ss}$ reads the states to the left
and above. The loop runs over diagonals, all pixels of one at a time. (The paper skews the image,
row r by r pixels to the right, so that diagonals become columns, half of which is padding. Here
pixels are stored in the order of their diagonals, with a border at both ends of each.) A second
LSTM runs from right to left, and its output is shifted down by one row, so that it cannot leak
pixels to the right in the same row. Both run in one batched product. A pixel depends on everything
before it, with an exception that the paper does not mention: mask A hides a row's last value from
its own pixel, and no pixel of the row follows it. The next row sees that value only where the first
convolution reaches it.

A 1x1 convolution maps an LSTM's h channels to 2h, which are added to the layer's input (figure 5).
A 7x7 convolution with mask A precedes the layers, and a head of two hidden layers follows.

**Sampling** computes one pixel at a time in either form. The left-to-right LSTM of a diagonal layer
continues from the states to the left and above; the right-to-left one, read one row later, runs
through each row when it is complete.

Source: van den Oord, Kalchbrenner and Kavukcuoglu, "Pixel Recurrent Neural Networks", 2016,
sections 3.1 to 3.3 and table 1. Departures: Adam by default instead of RMSProp; residual
connections only, no skips from every layer to the output; states before the first row and column
are learned, and a row's states begin at its first pixel instead of in the padding of the skewed
image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..data.dataset import Spec
from ..errors import UsageError
from ..nn.masked import CausalConv, Position, colors_of, masked, members
from ..ranges import BaseConfig, Depth, Range, Rate, Size, SizeOrNone
from .lstm_scan import Walk, along_diagonals, along_rows
from .pixel_model import PixelModel
from .steps import Head, Steps


@dataclass(frozen=True)
class PixelRNNConfig(BaseConfig):
    """Settings of a PixelRNN; the defaults are the paper's for color images."""

    architecture: Literal["row", "diagonal"] = "diagonal"
    """Row LSTM or Diagonal BiLSTM."""
    channels: Size = 128
    """Channels h of each LSTM; between layers there are twice as many."""
    layers: Depth = 12
    """LSTM layers."""
    first_kernel: Annotated[int, Range(3, 999)] = 7
    """Side of the first kernel."""
    head_channels: SizeOrNone = 0
    """Channels of the two hidden layers of the head; 0 takes 32 for binary images and 1,024 for
    others."""
    levels: Annotated[int, Range(0, 256)] = 0
    """Values of a pixel: 256, or 2 for binary images; 0 takes 2 for gray images and 256 for
    color."""
    lr: Rate = 1e-3
    """Step size."""
    optimizer: Literal["adam", "rmsprop", "muon"] = "adam"
    """Optimizer."""

    @property
    def conditional(self) -> bool:
        """The paper's models know no class."""
        return False


def cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """New h and c of a pixel from the pre-activations of its four gates, side by side in the last
    axis, and c before."""
    channels = gates.shape[-1] // 4
    o, f, i = torch.sigmoid(gates[..., : 3 * channels]).chunk(3, -1)
    new_c = torch.addcmul(i * torch.tanh(gates[..., 3 * channels :]), f, c)
    return o * torch.tanh(new_c), new_c


def doubled(weight: Tensor, channels: int) -> Tensor:
    """Weights or biases of the gates with those of g doubled, as `Walk` takes them."""
    scale = torch.ones(4, dtype=weight.dtype, device=weight.device)
    scale[3] = 2
    scale = scale.view(1, 4, 1, *[1] * (weight.ndim - 1))
    return (weight.unflatten(0, (-1, 4, channels)) * scale).flatten(0, 2)


class RowLSTM(nn.Module):
    """A layer of Row LSTM.

    Arguments:
        channels: Channels h of the states; the layer's input and output have 2h.
        colors: Colors of a pixel.
    """

    def __init__(self, channels: int, colors: int) -> None:
        super().__init__()
        self.channels, self.colors = channels, colors
        self.input = masked(2 * channels, 4 * channels, 3, "B", colors, split=4, above=False)
        # K_ss over the columns to the left, here, and to the right; h and c above the first row.
        self.state = nn.Parameter(uniform(3 * channels, 4 * channels))
        self.first = nn.Parameter(torch.zeros(2, channels))
        self.out = masked(channels, 2 * channels, 1, "B", colors)

    def forward(
        self, x: Float[Tensor, "channels height width n"]
    ) -> Float[Tensor, "channels height width n"]:
        weight, bias = self.input.weights()
        left = torch.cat([torch.zeros_like(x[:, :, :1]), x[:, :, :-1]], 2)
        kernel = torch.cat([weight[:, :, 0].transpose(1, 2).flatten(1), self.state.t()], 1)
        kernel, bias = doubled(kernel, self.channels)[None], doubled(bias, self.channels)[None]
        inputs = torch.cat([left, x]).flatten(1, 2)
        first, plan = self.first[:, None].clone(), along_rows(*x.shape[1:3])
        h = Walk.apply(inputs, kernel, bias, first, plan)[0]
        return x + pointwise(self.out, h).view(x.shape)

    def stream(self, n: int, width: int) -> RowStream:
        return RowStream(self, n, width)


def uniform(inside: int, out: int) -> Tensor:
    """Initial weights (inside, out), uniform as those of PyTorch's convolutions."""
    return torch.empty(inside, out).uniform_(-1, 1) * inside**-0.5


def neighbors(h: Float[Tensor, "width n channels"]) -> Float[Tensor, "width n three"]:
    """The states to the left, here, and to the right of each column, zeros outside."""
    zero = torch.zeros_like(h[:1])
    return torch.cat([torch.cat([zero, h[:-1]]), h, torch.cat([h[1:], zero])], 2)


def pointwise(
    conv: CausalConv, x: Float[Tensor, "channels *pixels"]
) -> Float[Tensor, "out all_pixels"]:
    """A 1x1 convolution where channels are the first axis; the other axes are flattened."""
    weight, bias = conv.weights()
    return torch.addmm(bias[:, None], weight[:, :, 0, 0], x.flatten(1))


class RowStream:
    """A layer of Row LSTM fed pixel by pixel."""

    def __init__(self, layer: RowLSTM, n: int, width: int) -> None:
        self.input, self.out = layer.input.stream(n, width), layer.out.stream(n, width)
        self.state = layer.state
        # By column: those of the row above until the new row reaches the column.
        self.h, self.c = (t.expand(width, n, -1).clone() for t in layer.first)
        self.parts = members(colors_of(layer.channels, layer.colors).to(self.h.device))
        self.from_above: list[Tensor] = []

    def __call__(self, x: Tensor, position: Position) -> Tensor:
        if position.column == 0 and position.color == 0:
            gates = neighbors(self.h) @ self.state
            self.from_above = [gates[..., own] for own in self.input.own]
        part = self.parts[position.color]
        gates = self.input(x, position) + self.from_above[position.color][position.column]
        h, c = cell(gates, self.c[position.column][:, part])
        self.h[position.column][:, part], self.c[position.column][:, part] = h, c
        return x + self.out(h, position)

    def select(self, rows: Tensor) -> None:
        self.input.select(rows)
        self.out.select(rows)
        self.h, self.c = self.h[:, rows], self.c[:, rows]
        self.from_above = [part[:, rows] for part in self.from_above]


class DiagonalBiLSTM(nn.Module):
    """A layer of Diagonal BiLSTM.

    Arguments:
        channels: Channels h of each direction's states; the layer's input and output have 2h.
        colors: Colors of a pixel.
    """

    def __init__(self, channels: int, colors: int) -> None:
        super().__init__()
        self.channels, self.colors = channels, colors
        # Four gates for each direction; K_ss over the pixel above and the one before in the row;
        # h and c of each direction outside the image.
        self.input = masked(2 * channels, 8 * channels, 1, "B", colors, split=8)
        self.state = nn.Parameter(
            torch.stack([uniform(2 * channels, 4 * channels) for _ in range(2)])
        )
        self.first = nn.Parameter(torch.zeros(2, 2, channels))
        self.out = masked(channels, 2 * channels, 1, "B", colors)

    def forward(
        self, x: Float[Tensor, "channels height width n"]
    ) -> Float[Tensor, "channels height width n"]:
        height, width = x.shape[1:3]
        weight, bias = self.input.weights()
        gates = 4 * self.channels
        kernel = torch.cat([weight.view(2, gates, -1), self.state.transpose(1, 2)], 2)
        kernel = torch.stack([doubled(part, self.channels) for part in kernel])
        bias = doubled(bias, self.channels).view(2, gates)
        plan = along_diagonals(height, width)
        forth, back = Walk.apply(x.flatten(1, 2), kernel, bias, self.first.clone(), plan)
        shifted = torch.cat([torch.zeros_like(back[:, :width]), back[:, :-width]], 1)  # by a row
        return x + pointwise(self.out, forth + shifted).view(x.shape)

    def stream(self, n: int, width: int) -> DiagonalStream:
        return DiagonalStream(self, n, width)


class DiagonalStream:
    """A layer of Diagonal BiLSTM fed pixel by pixel."""

    def __init__(self, layer: DiagonalBiLSTM, n: int, width: int) -> None:
        self.input, self.out = layer.input.stream(n, width), layer.out.stream(n, width)
        self.state, self.width, channels = layer.state, width, layer.channels
        h0, c0 = (t[:, None, None].expand(2, width, n, -1) for t in layer.first)
        # By column: those of the row above until the new row reaches the column.
        (self.forth, self.back), self.c0, self.h0 = h0.clone(), c0[:, 0], h0[:, 0]
        # Of the right-to-left LSTM: its states in the row above, none for the first row, and its
        # gates in the current row.
        self.from_right = torch.zeros_like(self.back)
        self.gates = self.back.new_zeros(width, n, 4 * channels)
        self.left_h = self.left_c = self.c0[0]
        color = colors_of(channels, layer.colors).to(self.back.device)
        self.parts, self.gate_parts = members(color), members(color.repeat(4))
        self.from_states = self.gates[0]

    def __call__(self, x: Tensor, position: Position) -> Tensor:
        if position.color == 0:
            if position.column == 0:
                if position.row:
                    self.walk_back()
                self.left_h, self.left_c = self.h0[0].clone(), self.c0[0].clone()
            before = torch.cat([self.forth[position.column], self.left_h], 1)
            self.from_states = before @ self.state[0]
        part, gate_part = self.parts[position.color], self.gate_parts[position.color]
        forth, back = self.input(x, position).chunk(2, 1)
        self.gates[position.column][:, gate_part] = back
        h, c = cell(forth + self.from_states[:, gate_part], self.left_c[:, part])
        self.left_h[:, part], self.left_c[:, part] = h, c
        self.forth[position.column][:, part] = h
        return x + self.out(h + self.from_right[position.column][:, part], position)

    def walk_back(self) -> None:
        """The right-to-left LSTM over the row that is done."""
        h, c = self.h0[1], self.c0[1]
        for column in reversed(range(self.width)):
            before = torch.cat([self.back[column], h], 1)
            h, c = cell(torch.addmm(self.gates[column], before, self.state[1]), c)
            self.back[column] = h
        self.from_right = self.back

    def select(self, rows: Tensor) -> None:
        self.input.select(rows)
        self.out.select(rows)
        # In place: `from_right` is `back`, or zeros.
        for states in (self.forth, self.back, self.gates):
            states.copy_(states[:, rows])
        self.left_h, self.left_c = self.left_h[rows], self.left_c[rows]
        self.from_states = self.from_states[rows]


class Network(nn.Module):
    """Mask A, LSTM layers, head."""

    def __init__(
        self,
        layer: type[RowLSTM] | type[DiagonalBiLSTM],
        colors: int,
        c: PixelRNNConfig,
        head: int,
        outputs: int,
    ) -> None:
        super().__init__()
        self.first = masked(colors, 2 * c.channels, c.first_kernel, "A", colors)
        self.layers = nn.ModuleList([layer(c.channels, colors) for _ in range(c.layers)])
        self.head = Head(2 * c.channels, head, outputs, colors)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        # Images last: the pixels of a step lie together in each channel.
        h = self.first(x).permute(1, 2, 3, 0).contiguous()
        for layer in self.layers:
            h = layer(h)
        return self.head(h.permute(3, 0, 1, 2).contiguous())

    def stream(self, n: int, width: int, y: Tensor | None = None) -> Steps:
        first, head = self.first.stream(n, width), self.head.stream(n, width)
        layers = [layer.stream(n, width) for layer in self.layers]  # type: ignore[operator]

        def predict(position: Position) -> Tensor:
            h = first(None, position)
            for layer in layers:
                h = layer(h, position)
            return head(h, position)

        return Steps(predict, first.observe, [first, *layers, head])


class PixelRNN(PixelModel):
    """Rows or diagonals of LSTMs.

    Example:
        >>> from zeuxis.data.dataset import Spec
        >>> model = PixelRNN(PixelRNNConfig(channels=4, layers=1), Spec("tiny", (1, 5, 5))).eval()
        >>> x = model.sample(2, generator=torch.Generator().manual_seed(0))
        >>> x.shape, model.log_prob(x).nats.shape, model.conditionals(x).shape
        (torch.Size([2, 1, 5, 5]), torch.Size([2]), torch.Size([2, 1, 5, 5, 2]))
    """

    name: ClassVar[str] = "pixelrnn"
    Config: ClassVar[type] = PixelRNNConfig
    paper: ClassVar[str] = (
        "van den Oord, Kalchbrenner and Kavukcuoglu: Pixel Recurrent Neural Networks, 2016"
    )

    @classmethod
    def tiny(cls) -> tuple[PixelRNNConfig, Spec]:
        return PixelRNNConfig(channels=4, layers=1, head_channels=4), Spec("tiny", (1, 8, 8), 10)

    def __init__(self, config: PixelRNNConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        c, colors = config, spec.shape[0]
        if c.first_kernel % 2 == 0:
            raise UsageError(
                "--model.first-kernel is the side of a kernel and must be odd, got "
                f"{c.first_kernel}."
            )
        if c.channels < colors or (c.head_channels and c.head_channels < colors):
            raise UsageError(
                f"Images of {colors} channels need at least {colors} channels in every "
                "layer: raise --model.channels or --model.head-channels."
            )
        head = c.head_channels or (32 if self.levels == 2 else 1024)
        outputs = 1 if self.levels == 2 else self.levels
        layer = RowLSTM if c.architecture == "row" else DiagonalBiLSTM
        self.network = Network(layer, colors, c, head, outputs)
