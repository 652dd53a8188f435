r"""Adam over flat NumPy vectors, and by it a small network's regression, a tenth of a millisecond a
step.

Networks of a few thousand weights learn from minibatches of a hundred rows in well under a million
operations a step, which a framework's calls outweigh several times over. Here a step is six
products of matrices, what goes between them, and ten operations on one vector that holds all
weights.

Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..policies.mlp import MLP, flat, put


def adam(
    theta: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    scratch: np.ndarray,
    t: int,
    lr: float,
) -> None:
    """One step of Adam with betas 0.9 and 0.999, in place; g is spent."""
    m *= 0.9
    np.multiply(g, 0.1, out=scratch)
    m += scratch
    np.square(g, out=g)
    g *= 0.001
    v *= 0.999
    v += g
    np.sqrt(v, out=g)
    root = math.sqrt(1 - 0.999**t)
    g += 1e-8 * root
    np.divide(m, g, out=scratch)
    scratch *= lr * root / (1 - 0.9**t)
    theta -= scratch


class Regression(nn.Module):
    """Passes of Adam over the mean squared error of a network, with their moments.

    Arguments:
        network: What is fitted.
        lr: Adam's step size.

    Example:
        >>> network, x = MLP(1, (8,), 1, generator=torch.Generator().manual_seed(0)), torch.linspace(-1, 1, 64)[:, None]
        >>> Regression(network, 0.01).fit(network, x, 2 * x, 100, 16, torch.Generator().manual_seed(0))
        >>> (network(x) - 2 * x).square().mean().item() < 0.01
        True
    """

    first: Tensor
    second: Tensor
    count: Tensor

    def __init__(self, network: MLP, lr: float) -> None:
        super().__init__()
        self.lr = lr
        self.register_buffer("first", torch.zeros_like(flat(network)))
        self.register_buffer("second", torch.zeros_like(self.first))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def fit(
        self,
        network: MLP,
        x: Float[Tensor, "n inputs"],
        y: Float[Tensor, "n outputs"],
        epochs: int,
        batch: int,
        generator: torch.Generator,
    ) -> None:
        """A few passes over shuffled minibatches.

        Arguments:
            network: What is fitted.
            x: Inputs.
            y: Targets.
            epochs: Passes.
            batch: Rows of a minibatch; the last of a pass has what is left.
            generator: Shuffles.
        """
        theta, m, v = (t.cpu().numpy().copy() for t in (flat(network), self.first, self.second))
        inputs, wanted = x.cpu().numpy(), y.cpu().numpy()
        g, scratch, t = np.empty_like(theta), np.empty_like(theta), int(self.count)
        weights, gradients = (layers(vector, network) for vector in (theta, g))
        for _ in range(epochs):
            order = torch.randperm(len(inputs), generator=generator).numpy()
            shuffled, goals = inputs[order], wanted[order]
            for i in range(0, len(order), batch):
                descend(
                    weights,
                    gradients,
                    shuffled[i : i + batch],
                    goals[i : i + batch],
                    network.activation == "tanh",
                )
                t += 1
                adam(theta, g, m, v, scratch, t, self.lr)
        put(network, torch.from_numpy(theta))
        for kept, made in ((self.first, m), (self.second, v)):
            kept.copy_(torch.from_numpy(made))
        self.count.fill_(t)


def layers(vector: np.ndarray, network: MLP) -> list[tuple[np.ndarray, np.ndarray]]:
    """Views of each layer's weights and biases in such a vector."""
    found, start = [], 0
    for layer in network.layers.children():
        assert isinstance(layer, nn.Linear)
        outputs, inputs = layer.weight.shape
        middle, end = start + outputs * inputs, start + outputs * (inputs + 1)
        found.append((vector[start:middle].reshape(outputs, inputs), vector[middle:end]))
        start = end
    return found


def descend(
    weights: list[tuple[np.ndarray, np.ndarray]],
    gradients: list[tuple[np.ndarray, np.ndarray]],
    x: np.ndarray,
    y: np.ndarray,
    tanh: bool,
) -> None:
    """Writes the gradient of the mean squared error of these rows."""
    given, last = [x], len(weights) - 1
    for i, (w, b) in enumerate(weights):
        z = given[-1] @ w.T
        z += b
        if i < last:
            np.tanh(z, out=z) if tanh else np.maximum(z, 0, out=z)
        given.append(z)
    delta = given.pop()
    delta -= y
    delta *= 2 / delta.size
    ones = np.ones(len(x), x.dtype)
    for i in range(last, -1, -1):
        w, h = weights[i][0], given[i]
        np.matmul(delta.T, h, out=gradients[i][0])
        np.matmul(ones, delta, out=gradients[i][1])
        if i:
            delta = delta @ w
            if tanh:
                delta -= delta * np.square(h)
            else:
                delta *= h > 0
