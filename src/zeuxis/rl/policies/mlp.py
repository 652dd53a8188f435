r"""A multilayer perceptron with hand-written derivatives, for products with its curvature.

With the activations of one forward pass kept (a *trace*), a product with the Jacobian J of the
outputs is one forward pass of directions (`jvp`), and one with $J^\top$ one backward pass
(`vjp`). The Gauss-Newton product $J^\top M J v$, which natural gradients need ten times an update,
is then two matrix products per layer forward and two backward, with nothing recorded for automatic
differentiation: several times as fast as differentiating twice, and the same to rounding.

$$ \dot z_{i+1} = \dot h_i W_i^\top + h_i V_i^\top + v_i, \qquad
   \dot h_{i+1} = \dot z_{i+1} \odot \phi'(z_{i+1}) $$

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
MAX_WEIGHTS = 25_000_000  # beyond, copies and moments of a network need gigabytes


def check_size(sizes: Sequence[int], copies: int = 1) -> None:
    """Refuses a network that is too large, before anything is allocated.

    Arguments:
        sizes: Inputs, units of each hidden layer, outputs.
        copies: Number of networks of this size.
    """
    if any(units < 1 for units in sizes[1:-1]):
        raise UsageError(
            f"Hidden layers have {tuple(sizes[1:-1])} units, expected at least 1 in each."
        )
    weights = copies * sum((a + 1) * b for a, b in pairwise(sizes))
    if weights > MAX_WEIGHTS:
        raise UsageError(
            f"A network with hidden layers of {tuple(sizes[1:-1])} units has {weights:,} "
            f"weights, expected at most {MAX_WEIGHTS:,}."
        )


@dataclass(frozen=True)
class Trace:
    """The activations of one forward pass.

    Arguments:
        inputs: Input of each layer, (n, inputs).
        slopes: Derivative of the activation before each hidden layer's output, (n, units).
        outputs: Output of the network, (n, outputs).
    """

    inputs: list[Tensor]
    slopes: list[Tensor]
    outputs: Tensor

    def rows(self, index: Tensor) -> Trace:
        """The trace of a subset of the rows."""
        inputs, slopes = [h[index] for h in self.inputs], [s[index] for s in self.slopes]
        return Trace(inputs, slopes, self.outputs[index])


class MLP(nn.Module):
    """Dense layers with an activation between them; the last layer is linear.

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
        layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        for layer in layers:
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(layers[-1].weight)
        self.layers, self.activation = nn.ModuleList(layers), activation

    def activate(self, z: Tensor) -> Tensor:
        return torch.tanh(z) if self.activation == "tanh" else torch.relu(z)

    def slope(self, h: Tensor) -> Tensor:
        """Derivative of the activation, computed from its value."""
        return 1 - h * h if self.activation == "tanh" else (h > 0).to(h.dtype)

    def forward(self, x: Float[Tensor, "n inputs"]) -> Float[Tensor, "n outputs"]:
        for layer in self.layers[:-1]:
            x = self.activate(layer(x))
        return self.layers[-1](x)

    @torch.no_grad()
    def trace(self, x: Float[Tensor, "n inputs"]) -> Trace:
        """Runs a forward pass and keeps its activations."""
        inputs = [x]
        for layer in self.layers[:-1]:
            inputs.append(self.activate(layer(inputs[-1])))
        return Trace(inputs, [self.slope(h) for h in inputs[1:]], self.layers[-1](inputs[-1]))

    @torch.no_grad()
    def jvp(self, trace: Trace, direction: Float[Tensor, " weights"]) -> Float[Tensor, "n outputs"]:
        """J v: the change of the outputs along a direction of the weights.

        Arguments:
            trace: Activations of a forward pass.
            direction: v, in the order of `parameters()`.
        """
        tangent: Tensor | None = None
        start = 0
        for i, layer in enumerate(self.layers):
            w = layer.weight
            assert isinstance(w, Tensor)
            v = direction[start : start + w.numel()].view_as(w)
            start += w.numel()
            b = direction[start : start + len(w)]
            start += len(w)
            z = torch.addmm(b, trace.inputs[i], v.T)
            if tangent is not None:
                z.addmm_(tangent, w.T)
            tangent = z.mul_(trace.slopes[i]) if i < len(trace.slopes) else z
        assert tangent is not None
        return tangent

    @torch.no_grad()
    def gradients(self, trace: Trace, gradient: Float[Tensor, "n outputs"]) -> list[Tensor]:
        """The gradient of each parameter, in their order, from the gradient of the outputs."""
        grads: list[Tensor] = []
        for i in range(len(self.layers) - 1, -1, -1):
            w = self.layers[i].weight
            assert isinstance(w, Tensor)
            grads = [gradient.T @ trace.inputs[i], gradient.sum(0), *grads]
            if i:
                gradient = (gradient @ w).mul_(trace.slopes[i - 1])
        return grads

    def vjp(self, trace: Trace, gradient: Float[Tensor, "n outputs"]) -> Float[Tensor, " weights"]:
        r"""$J^\top g$: the gradients of all parameters as one vector."""
        return torch.cat([g.flatten() for g in self.gradients(trace, gradient)])


def parameters_to_vector(module: nn.Module) -> Float[Tensor, " weights"]:
    """Copies all parameters to one vector, in the order of `parameters()`."""
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@torch.no_grad()
def load_parameters(module: nn.Module, vector: Float[Tensor, " weights"]) -> None:
    """Copies such a vector back to the parameters."""
    parameters = list(module.parameters())
    for p, part in zip(parameters, vector.split([p.numel() for p in parameters]), strict=True):
        p.copy_(part.view_as(p))
