"""EfficientNet-Lite0, a network for photographs that stands in where the Inception network of 2015
is not at hand.

Scores on its features carry its name and compare with no published Inception score or FID. Input:
RGB at 224x224 by bicubic interpolation, (pixel - 127) / 128. Features: the 1280 numbers after the
last convolution, averaged over all positions; logits: 1000 ImageNet classes. Modules are named as
in the public weights, so a file of them loads as it is.

Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
2019; the Lite variants leave out squeeze-and-excitation and use ReLU6.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ...errors import ZeuxisError

# repeats, kernel, stride of the first, expansion, channels out
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
SIDE = 224
NORMALIZED: tuple[tuple[str, str], ...] = (
    *(("_conv_stem", "_bn0"), ("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1")),
    *(("_project_conv", "_bn2"), ("_conv_head", "_bn1")),
)


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: to ceil(side / stride), the odd pixel right and
    below."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        needed = [max(0, (-(-side // stride) - 1) * stride + kernel - side) for side in x.shape[2:]]
        x = F.pad(
            x,
            (
                needed[1] // 2,
                needed[1] - needed[1] // 2,
                needed[0] // 2,
                needed[0] - needed[0] // 2,
            ),
        )
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """Expand, convolve each channel by itself, project; added to the input where the shapes
    allow."""

    def __init__(self, inside: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inside * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = nn.Conv2d(inside, wide, 1, bias=False), norm(wide)
        self._depthwise_conv, self._bn1 = (
            SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False),
            norm(wide),
        )
        self._project_conv, self._bn2 = nn.Conv2d(wide, out, 1, bias=False), norm(out)
        self.expands, self.adds = expansion > 1, stride == 1 and inside == out

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        h = F.relu6(self._bn1(self._depthwise_conv(h)))
        h = self._bn2(self._project_conv(h))
        return x + h if self.adds else h


class EfficientNetLite0(nn.Module):
    """uint8 RGB images of any size to features (n, 1280) and logits (n, 1000).

    Example:
        >>> import torch
        >>> features, logits = EfficientNetLite0().eval()(
        ...     torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
        ... )
        >>> features.shape, logits.shape
        (torch.Size([1, 1280]), torch.Size([1, 1000]))
    """

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv2d(3, 32, 3, 2, bias=False), norm(32)
        blocks, inside = [], 32
        for repeats, kernel, stride, expansion, out in STAGES:
            for i in range(repeats):
                blocks.append(Block(inside, out, kernel, 1 if i else stride, expansion))
                inside = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = nn.Conv2d(inside, 1280, 1, bias=False), norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: UInt8[Tensor, "n 3 height width"]) -> tuple[Tensor, Tensor]:
        h = x.float()
        if x.shape[2:] != (SIDE, SIDE):
            h = F.interpolate(
                h, (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True
            ).clamp(0, 255)
        h = ((h - 127) / 128).contiguous(memory_format=torch.channels_last)
        h = F.relu6(self._bn0(self._conv_stem(h)))
        for block in self._blocks:
            h = block(h)
        features = F.relu6(self._bn1(self._conv_head(h))).mean((2, 3))
        return features, self._fc(features)


def load_efficientnet(path: Path) -> EfficientNetLite0:
    """The network with the weights of a safetensors file, in float32 and eval mode.

    Raises:
        ZeuxisError: The file is missing, damaged, or holds another network.
    """
    try:
        file = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ZeuxisError(
            f"'{path}' cannot be read as safetensors ({error}): give "
            "EfficientNet-Lite0's weight file."
        ) from error
    network = EfficientNetLite0()
    expected = {
        k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")
    }
    tensors = {k: v.float() for k, v in file.items() if not k.endswith("num_batches_tracked")}
    wrong = sorted(expected.keys() ^ tensors.keys()) or [
        k for k in expected if expected[k].shape != tensors[k].shape
    ]
    if wrong:
        raise ZeuxisError(
            f"'{path}' holds no EfficientNet-Lite0 ('{wrong[0]}' differs): give that "
            "network's weight file."
        )
    network.load_state_dict(tensors, strict=False)
    return network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
