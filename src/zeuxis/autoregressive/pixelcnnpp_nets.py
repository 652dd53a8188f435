r"""The network of PixelCNN++: two streams of gated residual blocks, down to a quarter of the side
and up again.

The stream u ("up") sees all rows above; the stream ul ("up and left") sees the current row to the
left as well, and reads u in every block. Neither needs masks, since convolutions are padded at the
top and the left only. On the way down each scale has `blocks` blocks and a convolution of stride 2;
on the way up a transposed one, and every block reads the block of the way down that it mirrors. A
block is

$$ x + a \cdot \sigma(b), \qquad
   (a, b) = W_2 * d(e(W_1 * e(x) + W_3\, e(\mathrm{aux}))) + V^\top h , $$

with $e(x) = \mathrm{ELU}([x, -x])$, dropout d, aux what the block reads beside its input, and the
class h of a conditional model. Weights are normalized. `pixelcnnpp_sampling` computes the same
network pixel by pixel.

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
from ..nn.masked import CausalConv
from ..nn.weight_norm import WeightNorm
from ..noise import Noise
from .gated import Classes

Apply = Callable[[Tensor], Tensor]


def shifted(
    inside: int, out: int, height: int, width: int, left: int, stride: int = 1, start: float = 1.0
) -> CausalConv:
    """A convolution with normalized weights that sees no row below; `left` columns of the kernel
    lie to the left."""
    conv = nn.Conv2d(inside, out, (height, width), stride)
    return CausalConv(WeightNorm(conv, gain=True, start=start), left)


def above(inside: int, out: int, stride: int = 1, start: float = 1.0) -> CausalConv:
    """The convolution of u: the current row and the one above, to both sides."""
    return shifted(inside, out, 2, 3, 1, stride, start)


def left(inside: int, out: int, stride: int = 1, start: float = 1.0) -> CausalConv:
    """The convolution of ul: the current pixel, the one to its left, and the two above these."""
    return shifted(inside, out, 2, 2, 1, stride, start)


def point(inside: int, out: int) -> CausalConv:
    """A 1x1 convolution."""
    return shifted(inside, out, 1, 1, 0)


def elus(x: Tensor) -> Tensor:
    """ELU of the channels and of their negatives."""
    return elu(torch.cat([x, -x], 1))


def grow(channels: int, width: int) -> WeightNorm:
    """A transposed convolution that doubles the side: 2x3 for u, 2x2 for ul."""
    sides = (0, 1) if width == 3 else (0, 0)
    layer = nn.ConvTranspose2d(channels, channels, (2, width), 2, sides, sides)
    return WeightNorm(layer, gain=True)


class Resnet(nn.Module):
    """A gated residual block.

    Arguments:
        conv: The convolution of its stream.
        channels: Channels in and out.
        aux: Channels of what it reads beside its input; 0 for nothing.
        classes: Classes of a conditional model, 0 without.
    """

    def __init__(
        self, conv: Callable[..., CausalConv], channels: int, aux: int, classes: int
    ) -> None:
        super().__init__()
        self.first = conv(2 * channels, channels)
        self.second = conv(2 * channels, 2 * channels, start=0.1)
        self.aux = point(2 * aux, channels) if aux else None
        self.classes = Classes(classes, 2 * channels) if classes else None

    def forward(
        self, x: Tensor, aux: Tensor | None, y: Tensor | None, drop: Apply | None
    ) -> Tensor:
        of_class = None if self.classes is None else self.classes(y)[..., None, None]
        return block(x, aux, self.first, self.aux, self.second, drop, of_class)


def block(
    x: Tensor,
    aux: Tensor | None,
    first: Apply,
    read: Apply | None,
    second: Apply,
    drop: Apply | None,
    of_class: Tensor | None,
) -> Tensor:
    """The formula of a block, the same for whole images, rows and single pixels.

    Arguments:
        x: Input, with the channels in the second axis.
        aux: What it reads beside its input, or None.
        first, read, second: The convolutions W1, W3 and W2.
        drop: Dropout, or None.
        of_class: The term of the class, or None.
    """
    h = first(elus(x))
    if aux is not None and read is not None:
        h = h + read(elus(aux))
    h = elus(h)
    h = second(h if drop is None else drop(h))
    value, gate = (h if of_class is None else h + of_class).chunk(2, 1)
    return x + value * torch.sigmoid(gate)


class Network(nn.Module):
    """Both streams and the head.

    Arguments:
        colors: Channels of an image.
        channels: Channels of each stream.
        blocks: Blocks a scale on the way down; there is one more on the way up, but for the
            coarsest scale.
        scales: Number of scales, each half the side of the one before.
        outputs: Parameters of a pixel's distribution.
        dropout: Dropout rate of a block's inner channels.
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
        self.ul_above = shifted(colors + 1, channels, 1, 3, 1)
        self.ul_left = shifted(colors + 1, channels, 2, 1, 0)

        def resnets(conv: Callable[..., CausalConv], aux: int, more: int) -> nn.ModuleList:
            """For each scale its blocks, `more` of them at all scales but the coarsest."""
            found = nn.ModuleList()
            for s in range(scales):
                count = blocks + (more if s < scales - 1 else 0)
                found.append(
                    nn.ModuleList(
                        Resnet(conv, channels, aux * channels, classes) for _ in range(count)
                    )
                )
            return found

        self.u_down, self.ul_down = resnets(above, 0, 0), resnets(left, 1, 0)
        self.u_up, self.ul_up = resnets(above, 1, 1), resnets(left, 2, 1)
        self.u_shrink = nn.ModuleList([above(channels, channels, 2) for _ in range(scales - 1)])
        self.ul_shrink = nn.ModuleList([left(channels, channels, 2) for _ in range(scales - 1)])
        self.u_grow = nn.ModuleList([grow(channels, 3) for _ in range(scales - 1)])
        self.ul_grow = nn.ModuleList([grow(channels, 2) for _ in range(scales - 1)])
        self.head = point(channels, outputs)

    def forward(self, x: Tensor, y: Tensor | None = None, noise: Noise | None = None) -> Tensor:
        blocks: Any = self  # module lists are typed as lists of plain modules
        drop = None
        if noise is not None and self.dropout:

            def drop(h: Tensor) -> Tensor:
                return h * ((noise.uniform(*h.shape[1:]) >= self.dropout) / (1 - self.dropout))

        # A channel of ones tells the image from its padding.
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        u, ul = down(self.u_start(x)), down(self.ul_above(x)) + right(self.ul_left(x))
        us, uls = [u], [ul]
        for s in range(self.scales):
            if s:
                us.append(self.u_shrink[s - 1](us[-1]))
                uls.append(self.ul_shrink[s - 1](uls[-1]))
            for u_block, ul_block in zip(blocks.u_down[s], blocks.ul_down[s], strict=True):
                us.append(u_block(us[-1], None, y, drop))
                uls.append(ul_block(uls[-1], us[-1], y, drop))
        u, ul = us.pop(), uls.pop()
        for s in reversed(range(self.scales)):
            if s < self.scales - 1:
                u, ul = self.u_grow[s](u), self.ul_grow[s](ul)
            for u_block, ul_block in zip(blocks.u_up[s], blocks.ul_up[s], strict=True):
                u = u_block(u, us.pop(), y, drop)
                ul = ul_block(ul, torch.cat([u, uls.pop()], 1), y, drop)
        return self.head(elu(ul))


def down(x: Tensor) -> Tensor:
    """Everything one row further down, zeros in the first."""
    return F.pad(x, (0, 0, 1, 0))[:, :, :-1]


def right(x: Tensor) -> Tensor:
    """Everything one column further right, zeros in the first."""
    return F.pad(x, (1, 0))[..., :-1]
