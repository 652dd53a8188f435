r"""The networks of DCGAN: all-convolutional generators and discriminators.

The five rules of section 3: strides instead of pooling; batch normalization everywhere but at the
generator's output and the discriminator's input; no hidden dense layers in deep models; ReLU in the
generator with a tanh at the end; leaky ReLU of slope 0.2 in the discriminator.

A pair of networks is written down as a table: `strided` halves or doubles the side in every layer,
`alternating` in every second one, and `mnist` is the one with a hidden dense layer and a sigmoid.

Source: Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks", 2016, and the code released with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataset import Spec
from ..errors import UsageError
from ..nn.image_conv import ImageConv
from ..nn.norm import BatchNorm
from ..nn.transposed_conv import TransposedConv


@dataclass(frozen=True)
class Layout:
    """A pair of networks as a table.

    Arguments:
        dense: Units of the generator's hidden dense layers, and in reverse order of the
            discriminator's.
        side: Side of the smallest layer.
        up: (channels, stride) of the inputs of the generator's transposed convolutions; the first
            input comes from the latent by a matrix product.
        down: (channels, stride) of the discriminator's convolutions.
        unit: Whether pixels lie in [0, 1] behind a sigmoid instead of in [-1, 1] behind a tanh.
        affine: Whether batch normalization has gain and bias.
    """

    dense: tuple[int, ...]
    side: int
    up: tuple[tuple[int, int], ...]
    down: tuple[tuple[int, int], ...]
    unit: bool = False
    affine: bool = True


def layout(architecture: str, channels: int, spec: Spec) -> Layout:
    """The table of an architecture for this image size.

    Arguments:
        architecture: `strided`, `alternating`, `mnist`, or `auto` for `mnist` at 28 pixels and
            `strided` at others.
        channels: Channels of the layer next to the image.
        spec: The data.

    Raises:
        UsageError: There is no such network for images of this shape.

    Example:
        >>> layout("strided", 64, Spec("faces", (3, 32, 32))).down
        ((64, 2), (128, 2), (256, 2))
    """
    if len(spec.shape) != 3 or spec.shape[1] != spec.shape[2]:
        raise UsageError(
            f"DCGAN needs square images, and '{spec.name}' has shape {spec.shape}: "
            "choose a size with --size."
        )
    side, halvings, c = spec.shape[1], 0, channels
    while side % 2 == 0 and side >= 8:
        side, halvings = side // 2, halvings + 1
    if not 3 <= side <= 8 or halvings < 2:
        raise UsageError(
            f"DCGAN cannot make images of {spec.shape[1]} pixels: choose --size 28, 32, "
            "64 or 4 to 7 times 2^k."
        )
    if architecture == "auto":
        architecture = "mnist" if spec.shape[1] == 28 else "strided"
    widths = [c * 2**i for i in range(halvings)]
    if architecture == "strided":
        return Layout((), side, tuple((w, 2) for w in widths[::-1]), tuple((w, 2) for w in widths))
    if architecture == "alternating":
        down = tuple((w, stride) for w in widths for stride in (1, 2))
        return Layout((), side, down[::-1], down)
    if halvings != 2:
        raise UsageError(
            f"The layout 'mnist' is for images of 28 pixels, not {spec.shape[1]}: choose "
            "--model.architecture strided."
        )
    return Layout(
        (8 * c,), side, ((c, 2), (c // 2, 2)), ((c // 2, 2), (c, 2)), unit=True, affine=False
    )


def join(h: Tensor, y: Tensor | None) -> Tensor:
    """Appends the one-hot class (N, classes) to units, or as constant channels to channels."""
    if y is None:
        return h
    if h.ndim == 4:
        y = y[:, :, None, None].expand(-1, -1, *h.shape[2:])
    return torch.cat([h, y.to(h.dtype)], 1)


class Generator(nn.Module):
    """Latents (N, latent_dim) to images (N, C, H, W)."""

    def __init__(
        self, table: Layout, latent_dim: int, kernel: int, image_channels: int, classes: int
    ) -> None:
        super().__init__()
        self.table = table
        widths = [latent_dim, *table.dense, table.up[0][0] * table.side**2]
        self.dense = nn.ModuleList(
            nn.Linear(a + classes, b, bias=False) for a, b in pairwise(widths)
        )
        self.dense_norm = nn.ModuleList(BatchNorm(w, table.affine) for w in widths[1:])
        channels = [c for c, _ in table.up] + [image_channels]
        self.deconv = nn.ModuleList(
            TransposedConv(
                a + classes, b, kernel, stride, kernel // 2, output_padding=stride - 1, bias=False
            )
            for (a, stride), b in zip(table.up, channels[1:], strict=True)
        )
        self.deconv_norm = nn.ModuleList(BatchNorm(c, table.affine) for c in channels[1:-1])

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        h = z
        for layer, norm in zip(self.dense, self.dense_norm, strict=True):
            h = F.relu(norm(layer(join(h, y))))
        # Units in the order of channels-last memory: two memory formats at once cost a third of the
        # step.
        h = h.view(len(z), self.table.side, self.table.side, -1).permute(0, 3, 1, 2)
        for layer, norm in zip(self.deconv, self.deconv_norm, strict=False):
            h = F.relu(norm(layer(join(h, y))))
        h = self.deconv[-1](join(h, y)).float()
        return torch.sigmoid(h) if self.table.unit else torch.tanh(h)


class Discriminator(nn.Module):
    """Images (N, C, H, W) to the logits (N,) of being real."""

    def __init__(self, table: Layout, kernel: int, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        channels = [shape[0], *(c for c, _ in table.down)]
        self.conv = nn.ModuleList(
            ImageConv(a + classes, b, kernel, stride, kernel // 2, bias=False)
            for a, (b, stride) in zip(channels[:-1], table.down, strict=True)
        )
        self.conv_norm = nn.ModuleList(
            [nn.Identity(), *(BatchNorm(c, table.affine) for c in channels[2:])]
        )
        widths = [channels[-1] * table.side**2, *table.dense[::-1]]
        self.dense = nn.ModuleList(
            nn.Linear(a + classes, b, bias=False) for a, b in pairwise(widths)
        )
        self.dense_norm = nn.ModuleList(BatchNorm(w, table.affine) for w in widths[1:])
        self.last = nn.Linear(widths[-1] + classes, 1, bias=False)

    def activations(self, x: Tensor, y: Tensor | None = None) -> list[Tensor]:
        """The output of every convolution after its leaky ReLU."""
        outputs, h = [], x
        for layer, norm in zip(self.conv, self.conv_norm, strict=True):
            h = F.leaky_relu(norm(layer(join(h, y))), 0.2)
            outputs.append(h)
        return outputs

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        h = self.activations(x, y)[-1].permute(0, 2, 3, 1).flatten(1)
        for layer, norm in zip(self.dense, self.dense_norm, strict=True):
            h = F.leaky_relu(norm(layer(join(h, y))), 0.2)
        return self.last(join(h, y)).squeeze(1)
