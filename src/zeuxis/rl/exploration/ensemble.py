r"""The two bonuses that information gain is compared with: prediction error and disagreement.

*error*: one network predicts the next state, and the bonus is its squared error, averaged over the
outputs. It is the paper's "L2" control, and is attracted by whatever cannot be predicted.

*disagreement*: K networks with different first weights and minibatches, and the bonus is the
variance of their predictions. Noise of the environment is no part of it once they have seen enough;
the next state itself is not needed.

Networks are ReLU perceptrons trained by Adam on squared errors, all K in one batched matrix product
per layer, with features by rows (K, J, n).

Sources: Stadie, Levine and Abbeel, "Incentivizing Exploration", 2015, and Houthooft et al., "VIME",
2016, for the error; Pathak, Gandhi and Gupta, "Self-Supervised Exploration via Disagreement", 2019.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from ...distributions.elementwise import HALF_LOG_TAU
from ..optimization.numpy_mlp import Adam, backward, forward, matrices
from ..policies.mlp import check_size
from .bayesian_network import MIN_LOG_NOISE


class Ensemble(nn.Module):
    """Several networks that predict the same targets.

    Arguments:
        inputs: Numbers of an input.
        hidden: Units of each hidden layer.
        outputs: Numbers of an output.
        members: Number of networks K.
        lr: Step size of Adam.
        seed: Seed of the first weights.

    Example:
        >>> from zeuxis.rl.exploration.bayesian_network import columns
        >>> pair = Ensemble(2, (8,), 1, members=2)
        >>> pair.predict(columns(np.zeros((5, 2), np.float32))).shape
        (2, 1, 5)
    """

    theta: Tensor  # weights, then the log-deviation of the errors of each output

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        members: int = 5,
        lr: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_size([inputs, *hidden, outputs], members)
        self.shapes = [(members, b, a + 1) for a, b in pairwise([inputs, *hidden, outputs])]
        self.members, self.outputs = members, outputs
        rng = np.random.default_rng([seed, 12])
        layers = [rng.standard_normal(s) * math.sqrt(2 / (s[2] - 1)) for s in self.shapes]
        for layer in layers:
            layer[:, :, -1] = 0
        self.weights = sum(layer.size for layer in layers)
        theta = np.concatenate([*(layer.ravel() for layer in layers), np.zeros(outputs)])
        self.register_buffer("theta", torch.from_numpy(theta).float())
        self.adam = Adam(len(theta), lr)

    def layers(self) -> list[np.ndarray]:
        """Weights of each layer as views (K, J, I + 1)."""
        return matrices(self.theta.numpy(), self.shapes)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Outputs of each network (K, outputs, n) for inputs (inputs + 1, n) with a last 1."""
        return forward(self.layers(), x)[-1]

    def gradient(self, x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
        """Writes the gradient of half the squared error of each network on its rows.

        Arguments:
            x: Inputs (K, inputs + 1, n), the last feature 1.
            y: Targets (K, outputs, n).
            out: Where the gradient goes, as long as theta.
        """
        layers = self.layers()
        *inputs, outputs = forward(layers, x)
        delta = outputs - y
        log_std = self.theta.numpy()[self.weights :]
        out[self.weights :] = 1 - np.exp(-2 * log_std) * np.square(delta).mean((0, 2))
        delta *= 1 / x.shape[-1]
        backward(layers, inputs, delta, matrices(out, self.shapes))

    def fit(self, xs: np.ndarray, ys: np.ndarray) -> None:
        """Makes steps of Adam.

        Arguments:
            xs: Inputs of each step's minibatches, (steps, K, inputs + 1, B), the last feature 1.
            ys: Targets, (steps, K, outputs, B).
        """
        theta = self.theta.numpy()
        log_std, g = theta[self.weights :], np.empty_like(theta)
        with self.adam.stepping(theta) as step:
            for x, y in zip(xs, ys, strict=True):
                self.gradient(x, y, g)
                step(g)
                np.maximum(log_std, MIN_LOG_NOISE, out=log_std)

    def error(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Squared error of the mean prediction, averaged over the outputs, (n,)."""
        return np.square(self.predict(x).mean(0) - y).mean(0)

    def disagreement(self, x: np.ndarray) -> np.ndarray:
        """Variance of the predictions, averaged over the outputs, (n,)."""
        return self.predict(x).var(0).mean(0)

    def noise(self) -> np.ndarray:
        """Deviation of one network's errors for each output, (outputs,)."""
        return np.exp(self.theta.numpy()[self.weights :])

    def log_prob(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Log predictive density of each row (nats), (n,).

        It is Gaussian around the mean prediction, with the variance of predictions and errors.
        """
        predictions = self.predict(x)
        v = predictions.var(0) + np.square(self.noise())[:, None]
        error = np.square(predictions.mean(0) - y)
        return -(0.5 * error / v + 0.5 * np.log(v) + HALF_LOG_TAU).sum(0)
