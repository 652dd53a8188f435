r"""Small networks in NumPy: hand-written backward passes and Adam over one flat vector.

Networks of a few thousand weights learn from minibatches of a hundred rows in well under a million
operations a step; the calls of a framework would take several times as long. Here a step is six
matrix products, the elementwise operations between them, and ten operations on one vector that
holds all weights.

There are two layouts. `squared_error_gradient` takes rows (n, features) with separate biases, as
PyTorch's layers have them. `forward` and `backward` take K networks at once, features by rows (K,
features, n), with the bias as the weight of a last feature 1.

Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..policies.mlp import MLP, load_parameters, parameters_to_vector

Layers = list[tuple[np.ndarray, np.ndarray]]  # weight and bias of each layer


def adam(
    theta: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    scratch: np.ndarray,
    t: int,
    lr: float,
) -> None:
    """One step of Adam with betas 0.9 and 0.999, in place; it overwrites g."""
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


class Adam(nn.Module):
    """The moments of Adam for one vector; all of it is in its `state_dict`.

    Arguments:
        size: Numbers of the vector.
        lr: Step size.
        dtype: Dtype of the vector.

    Example:
        >>> theta, optimizer = np.zeros(1, np.float32), Adam(1, lr=0.1)
        >>> with optimizer.stepping(theta) as step:
        ...     for _ in range(200):
        ...         step(2 * (theta - 1))
        >>> abs(theta.item() - 1) < 0.01
        True
    """

    first: Tensor
    second: Tensor
    count: Tensor

    def __init__(self, size: int, lr: float, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.lr = lr
        self.register_buffer("first", torch.zeros(size, dtype=dtype))
        self.register_buffer("second", torch.zeros(size, dtype=dtype))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @contextmanager
    def stepping(self, theta: np.ndarray) -> Iterator[Callable[[np.ndarray], None]]:
        """Yields a function that moves theta by a gradient, which it overwrites."""
        m, v = self.first.cpu().numpy(), self.second.cpu().numpy()
        scratch, t = np.empty_like(theta), int(self.count)

        def step(g: np.ndarray) -> None:
            nonlocal t
            t += 1
            adam(theta, g, m, v, scratch, t, self.lr)

        yield step
        self.count.fill_(t)
        if self.first.device.type != "cpu":  # on the CPU the arrays share the buffers' memory
            self.first.copy_(torch.from_numpy(m))
            self.second.copy_(torch.from_numpy(v))


class Regression(nn.Module):
    """Fits a network to targets by Adam on the mean squared error.

    Arguments:
        network: Network to fit.
        lr: Step size of Adam.

    Example:
        >>> network = MLP(1, (8,), 1, generator=torch.Generator().manual_seed(0))
        >>> x, generator = torch.linspace(-1, 1, 64)[:, None], torch.Generator().manual_seed(0)
        >>> Regression(network, 0.01).fit(network, x, 2 * x, 100, 16, generator)
        >>> (network(x) - 2 * x).square().mean().item() < 0.01
        True
    """

    def __init__(self, network: MLP, lr: float) -> None:
        super().__init__()
        theta = parameters_to_vector(network)
        self.adam = Adam(len(theta), lr, theta.dtype)

    def fit(
        self,
        network: MLP,
        x: Float[Tensor, "n inputs"],
        y: Float[Tensor, "n outputs"],
        epochs: int,
        batch: int,
        generator: torch.Generator,
    ) -> None:
        """Makes several passes over shuffled minibatches.

        Arguments:
            network: Network to fit.
            x: Inputs.
            y: Targets.
            epochs: Number of passes.
            batch: Rows of a minibatch; the last of a pass may have fewer.
            generator: Shuffles the rows.
        """
        theta = parameters_to_vector(network).cpu().numpy()
        inputs, targets, g = x.cpu().numpy(), y.cpu().numpy(), np.empty_like(theta)
        weights, gradients = (layers_of(vector, network) for vector in (theta, g))
        tanh = network.activation == "tanh"
        with self.adam.stepping(theta) as step:
            for _ in range(epochs):
                order = torch.randperm(len(inputs), generator=generator).numpy()
                xs, ys = inputs[order], targets[order]
                for i in range(0, len(order), batch):
                    rows = slice(i, i + batch)
                    squared_error_gradient(weights, gradients, xs[rows], ys[rows], tanh)
                    step(g)
        load_parameters(network, torch.from_numpy(theta))


def layers_of(vector: np.ndarray, network: MLP) -> Layers:
    """Views of each layer's weight and bias in a vector of all parameters."""
    layers, start = [], 0
    for layer in network.layers.children():
        assert isinstance(layer, nn.Linear)
        outputs, inputs = layer.weight.shape
        middle, end = start + outputs * inputs, start + outputs * (inputs + 1)
        layers.append((vector[start:middle].reshape(outputs, inputs), vector[middle:end]))
        start = end
    return layers


def squared_error_gradient(
    weights: Layers, gradients: Layers, x: np.ndarray, y: np.ndarray, tanh: bool
) -> None:
    """Writes the gradient of the mean squared error.

    Arguments:
        weights: Layers of the network.
        gradients: Where the gradient of each layer goes.
        x: Inputs (n, inputs).
        y: Targets (n, outputs).
        tanh: Whether the activation is tanh; otherwise ReLU.
    """
    inputs, last = [x], len(weights) - 1
    for i, (w, b) in enumerate(weights):
        z = inputs[-1] @ w.T
        z += b
        if i < last:
            np.tanh(z, out=z) if tanh else np.maximum(z, 0, out=z)
        inputs.append(z)
    delta = inputs.pop()
    delta -= y
    delta *= 2 / delta.size
    ones = np.ones(len(x), x.dtype)
    for i in range(last, -1, -1):
        w, h = weights[i][0], inputs[i]
        np.matmul(delta.T, h, out=gradients[i][0])
        np.matmul(ones, delta, out=gradients[i][1])
        if i:
            delta = delta @ w
            if tanh:
                delta -= delta * np.square(h)
            else:
                delta *= h > 0


def matrices(vector: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Views of matrices that lie one after the other in a vector.

    Example:
        >>> [m.shape for m in matrices(np.zeros(7), [(2, 3), (1, 1)])]
        [(2, 3), (1, 1)]
    """
    views, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        views.append(vector[start : start + size].reshape(shape))
        start += size
    return views


def forward(layers: list[np.ndarray], x: np.ndarray) -> list[np.ndarray]:
    """Inputs of each layer of K ReLU networks, and their outputs.

    Arguments:
        layers: Weights (K, J, I + 1) of each layer.
        x: Inputs (I + 1, n), or (K, I + 1, n), with a last feature 1.
    """
    inputs = [x]
    for w in layers[:-1]:
        h = np.ones((len(w), w.shape[1] + 1, x.shape[-1]), x.dtype)
        np.maximum(w @ inputs[-1], 0, out=h[:, :-1])
        inputs.append(h)
    return [*inputs, layers[-1] @ inputs[-1]]


def backward(
    layers: list[np.ndarray],
    inputs: list[np.ndarray],
    delta: np.ndarray,
    gradients: list[np.ndarray],
) -> None:
    """Writes the gradients of K ReLU networks.

    Arguments:
        layers: Weights (K, J, I + 1) of each layer.
        inputs: Inputs of each layer, from `forward`.
        delta: Gradient of the outputs (K, outputs, n).
        gradients: Where the gradient of each layer goes.
    """
    for i in range(len(layers) - 1, -1, -1):
        np.matmul(delta, inputs[i].transpose(0, 2, 1), out=gradients[i])
        if i:
            delta = layers[i].transpose(0, 2, 1)[:, :-1] @ delta
            delta *= inputs[i][:, :-1] > 0
