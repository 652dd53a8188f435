r"""PixelCNN: an image's exact likelihood by masked convolutions, all conditionals in one pass.

$$ p(x) = \prod_i p(x_{i,R} | x_{<i})\, p(x_{i,G} | x_{i,R}, x_{<i})\, p(x_{i,B} | x_{i,R},
   x_{i,G}, x_{<i}) $$

A first convolution with mask A, which hides the pixel itself, is followed by residual blocks with
mask B and a head of two hidden layers:

$$ x \leftarrow x + W_3 * \mathrm{ReLU}(W_2 * \mathrm{ReLU}(W_1 * \mathrm{ReLU}(x))), $$

with kernels of sides 1, 3, 1 and 2h, h, h, 2h channels between them, at full resolution.
`--model.architecture gated` is the gated PixelCNN of the same year, which has no blind spot
(`gated`).

Sources: van den Oord, Kalchbrenner and Kavukcuoglu, "Pixel Recurrent Neural Networks", 2016,
sections 3.3 to 3.5 and table 1; van den Oord et al., "Conditional Image Generation with PixelCNN
Decoders", 2016. The papers state neither epochs nor step size. Departures: Adam by default
(`--model.optimizer rmsprop` is the first paper's); channels are split into contiguous groups for
red, green and blue, as equal as possible. `--model.first-kernel` may span the image, which is not
the paper's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataset import Spec
from ..errors import UsageError
from ..nn.masked import Position, masked
from ..ranges import BaseConfig, DepthOrNone, Range, Rate, Size, SizeOrNone
from .gated import GatedNetwork
from .pixel_model import PixelModel
from .steps import Head, Steps


@dataclass(frozen=True)
class PixelCNNConfig(BaseConfig):
    """Settings of a PixelCNN; the defaults are the paper's for color images."""

    architecture: Literal["plain", "gated"] = "plain"
    """Residual blocks of masked convolutions, or the gated stacks without a blind spot."""
    channels: Size = 128
    """Channels h inside a block; 2h between plain blocks."""
    layers: DepthOrNone = 15
    """Blocks, or gated layers after the first."""
    first_kernel: Annotated[int, Range(3, 999)] = 7
    """Side of the first kernel; one of 55 spans a digit and leaves no blind spot (not the
    paper's)."""
    kernel: Annotated[int, Range(3, 999)] = 3
    """Side of the other kernels."""
    head_channels: SizeOrNone = 0
    """Channels of the head's two hidden layers; 0 takes 32 for binary images, else 1,024."""
    levels: Annotated[int, Range(0, 256)] = 0
    """Levels of a pixel; 0 takes 2 for gray images and 256 for color."""
    conditional: bool = False
    """Whether the network takes the class (gated only)."""
    lr: Rate = 1e-3
    """Step size."""
    optimizer: Literal["adam", "rmsprop", "muon"] = "adam"
    """Optimizer."""


class Block(nn.Module):
    """A residual block."""

    def __init__(self, channels: int, kernel: int, colors: int) -> None:
        super().__init__()
        self.narrow = masked(2 * channels, channels, 1, "B", colors)
        self.middle = masked(channels, channels, kernel, "B", colors)
        self.wide = masked(channels, 2 * channels, 1, "B", colors)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.wide(F.relu(self.middle(F.relu(self.narrow(F.relu(x))))))

    def stream(self, n: int, width: int) -> BlockStream:
        return BlockStream(self, n, width)


class BlockStream:
    """A residual block that computes one pixel at a time."""

    def __init__(self, block: Block, n: int, width: int) -> None:
        self.narrow, self.middle, self.wide = (
            part.stream(n, width) for part in (block.narrow, block.middle, block.wide)
        )

    def __call__(self, x: Tensor, position: Position) -> Tensor:
        return x + self.wide(
            torch.relu(self.middle(torch.relu(self.narrow(torch.relu(x), position)), position)),
            position,
        )

    def select(self, rows: Tensor) -> None:
        for part in (self.narrow, self.middle, self.wide):
            part.select(rows)


class PlainNetwork(nn.Module):
    """Mask A, residual blocks, head."""

    def __init__(
        self,
        colors: int,
        channels: int,
        layers: int,
        first: int,
        kernel: int,
        head: int,
        outputs: int,
    ) -> None:
        super().__init__()
        self.first = masked(colors, 2 * channels, first, "A", colors)
        self.blocks = nn.ModuleList([Block(channels, kernel, colors) for _ in range(layers)])
        self.head = Head(2 * channels, head, outputs, colors)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        h = self.first(x)
        for block in self.blocks:
            h = block(h)
        return self.head(h)

    def stream(self, n: int, width: int, y: Tensor | None = None) -> Steps:
        first, head = self.first.stream(n, width), self.head.stream(n, width)
        blocks = [block.stream(n, width) for block in self.blocks]  # type: ignore[operator]

        def predict(position: Position) -> Tensor:
            h = first(None, position)
            for block in blocks:
                h = block(h, position)
            return head(h, position)

        return Steps(predict, first.observe, [first, *blocks, head])


class PixelCNN(PixelModel):
    """Masked convolutions, plain or gated.

    Example:
        >>> import torch
        >>> from zeuxis.data.dataset import Spec
        >>> model = PixelCNN(PixelCNNConfig(channels=4, layers=1), Spec("tiny", (1, 5, 5))).eval()
        >>> x = model.sample(2, generator=torch.Generator().manual_seed(0))
        >>> x.shape, model.log_prob(x).nats.shape, model.conditionals(x).shape
        (torch.Size([2, 1, 5, 5]), torch.Size([2]), torch.Size([2, 1, 5, 5, 2]))
    """

    name: ClassVar[str] = "pixelcnn"
    Config: ClassVar[type] = PixelCNNConfig
    paper: ClassVar[str] = (
        "van den Oord, Kalchbrenner and Kavukcuoglu: Pixel Recurrent Neural Networks, 2016"
    )

    @classmethod
    def tiny(cls) -> tuple[PixelCNNConfig, Spec]:
        return PixelCNNConfig(channels=4, layers=1, head_channels=4), Spec("tiny", (1, 8, 8), 10)

    def __init__(self, config: PixelCNNConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        c, colors = config, spec.shape[0]
        check(c, colors)
        head = c.head_channels or (32 if self.levels == 2 else 1024)
        outputs = 1 if self.levels == 2 else self.levels
        self.network: PlainNetwork | GatedNetwork
        if c.architecture == "gated":
            classes = spec.classes if c.conditional else 0
            self.network = GatedNetwork(
                colors, c.channels, c.layers, c.first_kernel, c.kernel, head, outputs, classes
            )
        else:
            self.network = PlainNetwork(
                colors, c.channels, c.layers, c.first_kernel, c.kernel, head, outputs
            )


def check(c: PixelCNNConfig, colors: int) -> None:
    """Refuses settings that cannot work."""
    for name in ("first_kernel", "kernel"):
        if getattr(c, name) % 2 == 0:
            flag, side = name.replace("_", "-"), getattr(c, name)
            raise UsageError(f"--model.{flag} is the side of a kernel and must be odd, got {side}.")
    if c.channels < colors or (c.head_channels and c.head_channels < colors):
        raise UsageError(
            f"Images of {colors} channels need at least {colors} channels in every layer: "
            "raise --model.channels or --model.head-channels."
        )
    if c.conditional and c.architecture != "gated":
        raise UsageError(
            "Only the gated network can be conditional: add --model.architecture gated, or "
            "leave out --model.conditional."
        )
