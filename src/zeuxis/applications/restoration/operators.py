r"""How an image was degraded: $y = A x + \sigma \epsilon$ with a linear operator $A$.

Denoising has $A = I$, inpainting keeps the visible pixels, and super-resolution averages blocks:

$$ (A x)_{ij} = \frac{1}{f^2} \sum_{a, b < f} x_{f i + a, f j + b} . $$

Each operator also projects: among the images with $A x' = y$ it finds the one closest to $x$,

$$ x' = x + A^T (A A^T)^{-1} (y - A x) , $$

and `pixels` does the same among images of whole numbers from 0 to 255, so that a restored picture
agrees with the given one exactly. Images have any number of leading dimensions, (..., C, H, W), so
that an operator for a batch also takes n samples of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from ...errors import UsageError

Images = Float[Tensor, "... channels _ _"]


@runtime_checkable
class Operator(Protocol):
    """A degradation of images in pixel units, 0 to 255."""

    def forward(self, x: Images) -> Images:
        """A x."""
        ...

    def adjoint(self, y: Images) -> Images:
        """The transpose of A."""
        ...

    def project(self, x: Images, y: Images) -> Images:
        """The image closest to x that is degraded to y."""
        ...

    def pixels(self, x: Images, y: Images) -> UInt8[Tensor, "... channels _ _"]:
        """The image of whole numbers near x that is degraded to y, which are whole numbers."""
        ...

    def variance(self, v: Images) -> Images:
        """Variances of A x for independent pixels x with variances v."""
        ...

    def part(self, rows: slice) -> Operator:
        """The operator of some images of the batch."""
        ...


def batches(y: Images, operator: Operator, size: int) -> Iterator[tuple[Images, Operator]]:
    """Images and their operator, `size` images at a time."""
    for start in range(0, len(y), size):
        rows = slice(start, start + size)
        yield y[rows], operator.part(rows)


def to_bytes(x: Images) -> UInt8[Tensor, "... channels _ _"]:
    """Pixels rounded and clipped to 0 to 255."""
    return x.round().clamp(0, 255).byte()


@dataclass(frozen=True)
class Identity:
    """Nothing is lost: y is x with noise."""

    def forward(self, x: Images) -> Images:
        return x

    def adjoint(self, y: Images) -> Images:
        return y

    def project(self, x: Images, y: Images) -> Images:
        return y.expand_as(x)

    def pixels(self, x: Images, y: Images) -> UInt8[Tensor, "... channels _ _"]:
        return to_bytes(y.expand_as(x))

    def variance(self, v: Images) -> Images:
        return v

    def part(self, rows: slice) -> Identity:
        return self


@dataclass(frozen=True)
class Mask:
    """Keeps visible pixels and sets hidden ones to 0.

    Arguments:
        visible: True where a pixel is seen: (height, width) for all images, or (n, 1, height,
            width).

    Example:
        >>> mask = Mask(torch.tensor([[True, False]]))
        >>> y = mask.forward(torch.tensor([[[5.0, 6.0]]]))
        >>> y.tolist(), mask.project(torch.tensor([[[1.0, 2.0]]]), y).tolist()
        ([[[5.0, 0.0]]], [[[5.0, 2.0]]])
    """

    visible: Bool[Tensor, "... height width"]

    def forward(self, x: Images) -> Images:
        return torch.where(self.visible, x, torch.zeros_like(x))

    def adjoint(self, y: Images) -> Images:
        return self.forward(y)

    def project(self, x: Images, y: Images) -> Images:
        return torch.where(self.visible, y, x)

    def pixels(self, x: Images, y: Images) -> UInt8[Tensor, "... channels _ _"]:
        return to_bytes(self.project(x, y))

    def variance(self, v: Images) -> Images:
        return self.forward(v)

    def part(self, rows: slice) -> Mask:
        return Mask(self.visible[rows]) if self.visible.ndim == 4 else self


@dataclass(frozen=True)
class Average:
    """Averages blocks of factor x factor pixels.

    Arguments:
        factor: Side of a block, by which the sides of the images must be divisible.

    Example:
        >>> average = Average(2)
        >>> x = torch.tensor([[[0.0, 1.0], [4.0, 5.0]]])
        >>> average.forward(x).item(), average.pixels(x, torch.tensor([[[200.0]]])).tolist()
        (2.5, [[[198, 199], [201, 202]]])
    """

    factor: int

    def blocks(self, x: Images) -> Tensor:
        """Images (..., height, width) as blocks (..., rows, columns, factor * factor)."""
        f = self.factor
        if x.shape[-2] % f or x.shape[-1] % f:
            raise UsageError(
                f"Blocks of {f} x {f} pixels do not fill {x.shape[-2]} x {x.shape[-1]} pixels: "
                "give a factor that divides both sides."
            )
        return x.unflatten(-1, (-1, f)).unflatten(-3, (-1, f)).transpose(-3, -2).flatten(-2)

    def joined(self, blocks: Tensor) -> Images:
        """The inverse of `blocks`."""
        f = self.factor
        return blocks.unflatten(-1, (f, f)).transpose(-3, -2).flatten(-4, -3).flatten(-2)

    def forward(self, x: Images) -> Images:
        return self.blocks(x).mean(-1)

    def enlarged(self, y: Images) -> Images:
        """Each pixel of y repeated over its block, which inverts the mean."""
        return y.repeat_interleave(self.factor, -1).repeat_interleave(self.factor, -2)

    def adjoint(self, y: Images) -> Images:
        return self.enlarged(y) / self.factor**2

    def project(self, x: Images, y: Images) -> Images:
        return x + self.enlarged(y - self.forward(x))

    def pixels(self, x: Images, y: Images) -> UInt8[Tensor, "... channels _ _"]:
        blocks = self.blocks(x).double()
        wanted = y.double()[..., None]
        # A block is shifted and cut off at 0 and 255; its mean grows with the shift.
        low, high = -blocks.amax(-1, keepdim=True), 255 - blocks.amin(-1, keepdim=True)
        for _ in range(40):
            middle = (low + high) / 2
            small = (blocks + middle).clamp(0, 255).mean(-1, keepdim=True) < wanted
            low, high = torch.where(small, middle, low), torch.where(small, high, middle)
        blocks = (blocks + (low + high) / 2).clamp(0, 255)
        whole = blocks.floor()
        missing = (wanted * self.factor**2).round() - whole.sum(-1, keepdim=True)
        rank = (blocks - whole).argsort(dim=-1, descending=True, stable=True).argsort(-1)
        return self.joined((whole + (rank < missing)).clamp(0, 255)).byte()

    def variance(self, v: Images) -> Images:
        return self.forward(v) / self.factor**2

    def part(self, rows: slice) -> Average:
        return self
