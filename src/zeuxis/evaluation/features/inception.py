"""The Inception network of 2015, on whose outputs the Inception score and the FID are defined.

It is the TensorFlow graph "inception-2015-12-05" with its particulars, since scores change with
each of them:

- images are resized to 299x299 inside, by TensorFlow 1's bilinear rule: source position = target
  position x in / out, without the half-pixel shift and without antialiasing; then (pixel - 128) /
  128;
- average pooling inside the blocks leaves the padding out of the mean; the last block's pooling
  branch takes the maximum;
- logits are features times weights without the bias, as the Inception score's own code has it (the
  bias moves scores by about 0.3);
- there are 1008 classes, of which 1000 are in use.

The weights are the user's to supply, as safetensors with the names of the widely used PyTorch port
`pt_inception-2015-12-05`: `Conv2d_1a_3x3.conv.weight`, `Conv2d_1a_3x3.bn.running_mean`,
`Mixed_5b.branch1x1.conv.weight`, ..., `fc.weight` (1008, 2048) and `fc.bias`. A `.pth` of it is
converted once, by a program that opens no pickled objects:

    tensors = torch.load("pt_inception-2015-12-05.pth", weights_only=True)
    safetensors.torch.save_file({k: v.contiguous() for k, v in tensors.items()},
    "inception-2015.safetensors")

Sources: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015; Salimans
et al. 2016; Heusel et al. 2017.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ...errors import ZeuxisError

SIDE, CLASSES, LENGTH = 299, 1008, 2048
NORMALIZED: tuple[tuple[str, str], ...] = (("conv", "bn"),)


def resize(
    x: Float[Tensor, "n c height width"], side: int = SIDE
) -> Float[Tensor, "n c side2 side2"]:
    """TensorFlow 1's bilinear resize without aligned corners: target i looks at source i * in /
    out, and at its right neighbor.

    Example:
        >>> import torch
        >>> resize(torch.tensor([[[[0.0, 4.0], [8.0, 12.0]]]]), 4)[0, 0, 0].tolist()
        [0.0, 2.0, 4.0, 4.0]
    """
    for axis in (2, 3):
        n = x.shape[axis]
        if n == side:
            continue
        place = torch.arange(side, device=x.device, dtype=torch.float64) * (n / side)
        low = place.floor().long().clamp(max=n - 1)
        weight = (place - low).to(x.dtype).view([-1, 1] if axis == 2 else [-1])
        x = torch.lerp(
            x.index_select(axis, low), x.index_select(axis, (low + 1).clamp(max=n - 1)), weight
        )
    return x


class Conv(nn.Module):
    """Convolution without bias, batch normalization, ReLU."""

    def __init__(
        self,
        inside: int,
        out: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def average(x: Tensor) -> Tensor:
    """3x3 mean over the pixels that there are."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class BlockA(nn.Module):
    """At 35x35: 1x1, 5x5 and double 3x3 beside pooling."""

    def __init__(self, inside: int, pool: int) -> None:
        super().__init__()
        self.branch1x1 = Conv(inside, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = Conv(inside, 48, 1), Conv(48, 64, 5, padding=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Conv(inside, 64, 1), Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Conv(96, 96, 3, padding=1)
        self.branch_pool = Conv(inside, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch5x5_2(self.branch5x5_1(x)),
                double,
                self.branch_pool(average(x)),
            ],
            1,
        )


class BlockB(nn.Module):
    """From 35x35 to 17x17."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.branch3x3 = Conv(inside, 384, 3, 2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Conv(inside, 64, 1), Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Conv(96, 96, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class BlockC(nn.Module):
    """At 17x17: 7x7 convolutions as pairs of 1x7 and 7x1."""

    def __init__(self, inside: int, c: int) -> None:
        super().__init__()
        wide, tall = ((1, 7), (0, 3)), ((7, 1), (3, 0))
        self.branch1x1 = Conv(inside, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = (
            Conv(inside, c, 1),
            Conv(c, c, wide[0], padding=wide[1]),
        )
        self.branch7x7_3 = Conv(c, 192, tall[0], padding=tall[1])
        self.branch7x7dbl_1, self.branch7x7dbl_2 = (
            Conv(inside, c, 1),
            Conv(c, c, tall[0], padding=tall[1]),
        )
        self.branch7x7dbl_3, self.branch7x7dbl_4 = (
            Conv(c, c, wide[0], padding=wide[1]),
            Conv(c, c, tall[0], padding=tall[1]),
        )
        self.branch7x7dbl_5 = Conv(c, 192, wide[0], padding=wide[1])
        self.branch_pool = Conv(inside, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(average(x))], 1)


class BlockD(nn.Module):
    """From 17x17 to 8x8."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = Conv(inside, 192, 1), Conv(192, 320, 3, 2)
        self.branch7x7x3_1, self.branch7x7x3_2 = (
            Conv(inside, 192, 1),
            Conv(192, 192, (1, 7), padding=(0, 3)),
        )
        self.branch7x7x3_3, self.branch7x7x3_4 = (
            Conv(192, 192, (7, 1), padding=(3, 0)),
            Conv(192, 192, 3, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, F.max_pool2d(x, 3, 2)], 1)


class BlockE(nn.Module):
    """At 8x8: 3x3 convolutions split into 1x3 and 3x1 side by side; `maximum` pools by maximum, as
    the graph's last block does."""

    def __init__(self, inside: int, maximum: bool = False) -> None:
        super().__init__()
        self.maximum = maximum
        self.branch1x1 = Conv(inside, 320, 1)
        self.branch3x3_1 = Conv(inside, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = (
            Conv(384, 384, (1, 3), padding=(0, 1)),
            Conv(384, 384, (3, 1), padding=(1, 0)),
        )
        self.branch3x3dbl_1, self.branch3x3dbl_2 = (
            Conv(inside, 448, 1),
            Conv(448, 384, 3, padding=1),
        )
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = (
            Conv(384, 384, (1, 3), padding=(0, 1)),
            Conv(384, 384, (3, 1), padding=(1, 0)),
        )
        self.branch_pool = Conv(inside, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, 1, 1) if self.maximum else average(x)
        return torch.cat(
            [
                self.branch1x1(x),
                *(self.branch3x3_2a(single), self.branch3x3_2b(single)),
                *(self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)),
                self.branch_pool(pooled),
            ],
            1,
        )


class Inception2015(nn.Module):
    """uint8 RGB images of any size to features (n, 2048) and logits (n, 1008).

    Arguments:
        bias: Whether logits include the bias; the Inception score's own code leaves it out.
    """

    def __init__(self, bias: bool = False) -> None:
        super().__init__()
        self.bias = bias
        self.Conv2d_1a_3x3, self.Conv2d_2a_3x3 = Conv(3, 32, 3, 2), Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = Conv(64, 80, 1), Conv(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = (
            BlockA(192, 32),
            BlockA(256, 64),
            BlockA(288, 64),
        )
        self.Mixed_6a, self.Mixed_6b = BlockB(288), BlockC(768, 128)
        self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (
            BlockC(768, 160),
            BlockC(768, 160),
            BlockC(768, 192),
        )
        self.Mixed_7a, self.Mixed_7b, self.Mixed_7c = (
            BlockD(768),
            BlockE(1280),
            BlockE(2048, maximum=True),
        )
        self.fc = nn.Linear(LENGTH, CLASSES)

    def forward(self, x: UInt8[Tensor, "n 3 height width"]) -> tuple[Tensor, Tensor]:
        h = (resize(x.float()) - 128) / 128
        h = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(h)))
        h = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(h, 3, 2)))
        h = F.max_pool2d(h, 3, 2)
        h = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(h)))
        h = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(h)))))
        h = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(h)))
        features = h.mean((2, 3))
        return features, F.linear(features, self.fc.weight, self.fc.bias if self.bias else None)


def load_inception(path: Path, bias: bool = False) -> Inception2015:
    """The network with the weights of a safetensors file, in eval mode.

    Raises:
        ZeuxisError: The file is missing, damaged, a pickle, or holds another network.
    """
    if path.suffix in (".pth", ".pt", ".pkl"):
        raise ZeuxisError(
            f"'{path}' may hold a pickle, which zeuxis never opens: convert it with "
            "torch.load(FILE, weights_only=True) and "
            "safetensors.torch.save_file, then give the .safetensors file."
        )
    try:
        tensors = {
            k: v.float()
            for k, v in load_file(path).items()
            if not k.endswith("num_batches_tracked")
        }
    except (OSError, SafetensorError) as error:
        raise ZeuxisError(
            f"'{path}' cannot be read as safetensors ({error}): give the Inception "
            "network's weight file."
        ) from error
    network = Inception2015(bias)
    expected = {
        k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")
    }
    wrong = sorted(expected.keys() ^ tensors.keys()) or [
        k for k in expected if expected[k].shape != tensors[k].shape
    ]
    if wrong:
        raise ZeuxisError(
            f"'{path}' holds no Inception network of 2015 ('{wrong[0]}' differs): give "
            "the weights of that network."
        )
    network.load_state_dict(tensors, strict=False)
    return network.eval()
