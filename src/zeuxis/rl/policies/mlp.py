r"""A multilayer perceptron whose derivatives are written out, for products with its curvature.

With the activations of one forward pass kept (a *trace*), a product with the Jacobian J of the
outputs is one forward pass of directions, and one with $J^\top$ one backward pass. The Gauss-Newton
product $J^\top M J v$, which natural gradients ask for ten times an update, is then two matrix
products a layer forward and two back, with nothing recorded for automatic differentiation: several
times as fast as differentiating twice, and the same to rounding.

$$ \dot z_{i+1} = \dot h_i W_i^\top + h_i V_i^\top + v_i, \qquad \dot h_{i+1} = \dot z_{i+1} \odot \phi'(z_{i+1}) $$

Sources: Pearlmutter, "Fast Exact Multiplication by the Hessian", 1994; Schraudolph, "Fast Curvature
Matrix-Vector Products for Second-Order Gradient Descent", 2002. Weights start Glorot-uniform, those
of the last layer at 0, as in the code released with GAIL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import UsageError

Activation = Literal["tanh", "relu"]
MOST = 25_000_000  # weights of a network: beyond, its copies and moments need gigabytes


def check_size(sizes: Sequence[int], copies: int = 1) -> None:
    """Refuses a network that is too large before anything is allocated.

    Arguments:
        sizes: Numbers of an input, units of each hidden layer, numbers of an output.
        copies: Networks of this size.
    """
    if any(units < 1 for units in sizes[1:-1]):
        raise UsageError(
            f"Hidden layers have {tuple(sizes[1:-1])} units, expected at least 1 in each."
        )
    weights = copies * sum((a + 1) * b for a, b in pairwise(sizes))
    if weights > MOST:
        raise UsageError(
            f"A network with hidden layers of {tuple(sizes[1:-1])} units has {weights:,} "
            f"weights, expected at most {MOST:,}."
        )


@dataclass(frozen=True)
class Trace:
    """One forward pass: what each layer was given, the slopes of the activations there, and the
    outputs."""

    inputs: list[Tensor]
    slopes: list[Tensor]
    outputs: Tensor

    def rows(self, index: Tensor) -> Trace:
        """The same for some of the rows."""
        return Trace(
            [h[index] for h in self.inputs], [s[index] for s in self.slopes], self.outputs[index]
        )


class MLP(nn.Module):
    """Dense layers with an activation between them, the last one without.

    Arguments:
        inputs: Numbers of an input.
        hidden: Units of each hidden layer.
        outputs: Numbers of an output.
        activation: "tanh" or "relu".
        generator: Draws the weights.

    Example:
        >>> MLP(3, (8, 8), 2)(torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        activation: Activation = "tanh",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = [inputs, *hidden, outputs]
        check_size(sizes)
        made = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        for layer in made:
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(made[-1].weight)
        self.layers, self.activation = nn.ModuleList(made), activation

    def bend(self, z: Tensor) -> Tensor:
        return torch.tanh(z) if self.activation == "tanh" else torch.relu(z)

    def slope(self, h: Tensor) -> Tensor:
        """The activation's derivative, from its value."""
        return 1 - h * h if self.activation == "tanh" else (h > 0).to(h.dtype)

    def forward(self, x: Float[Tensor, "n inputs"]) -> Float[Tensor, "n outputs"]:
        for layer in self.layers[:-1]:
            x = self.bend(layer(x))
        return self.layers[-1](x)

    @torch.no_grad()
    def trace(self, x: Float[Tensor, "n inputs"]) -> Trace:
        """A forward pass that is kept."""
        inputs = [x]
        for layer in self.layers[:-1]:
            inputs.append(self.bend(layer(inputs[-1])))
        return Trace(inputs, [self.slope(h) for h in inputs[1:]], self.layers[-1](inputs[-1]))

    @torch.no_grad()
    def along(
        self, trace: Trace, direction: Float[Tensor, " weights"]
    ) -> Float[Tensor, "n outputs"]:
        """J v: how the outputs change when the weights move along a direction, given in the order
        of `parameters()`."""
        moved: Tensor | None = None
        start = 0
        for i, layer in enumerate(self.layers):
            w = layer.weight
            assert isinstance(w, Tensor)
            v = direction[start : start + w.numel()].view_as(w)
            start += w.numel()
            b = direction[start : start + len(w)]
            start += len(w)
            z = torch.addmm(b, trace.inputs[i], v.T)
            if moved is not None:
                z.addmm_(moved, w.T)
            moved = z.mul_(trace.slopes[i]) if i < len(trace.slopes) else z
        assert moved is not None
        return moved

    @torch.no_grad()
    def gradients(self, trace: Trace, gradient: Float[Tensor, "n outputs"]) -> list[Tensor]:
        """The gradient of each parameter, in their order, from that of the outputs."""
        found: list[Tensor] = []
        for i in range(len(self.layers) - 1, -1, -1):
            w = self.layers[i].weight
            assert isinstance(w, Tensor)
            found = [gradient.T @ trace.inputs[i], gradient.sum(0), *found]
            if i:
                gradient = (gradient @ w).mul_(trace.slopes[i - 1])
        return found

    def back(self, trace: Trace, gradient: Float[Tensor, "n outputs"]) -> Float[Tensor, " weights"]:
        r"""$J^\top g$: the same as one vector."""
        return torch.cat([g.flatten() for g in self.gradients(trace, gradient)])


def flat(module: nn.Module) -> Float[Tensor, " weights"]:
    """A copy of all parameters as one vector, in the order of `parameters()`."""
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@torch.no_grad()
def put(module: nn.Module, vector: Float[Tensor, " weights"]) -> None:
    """Writes such a vector back."""
    for p, part in zip(
        module.parameters(), vector.split([p.numel() for p in module.parameters()]), strict=True
    ):
        p.copy_(part.view_as(p))
