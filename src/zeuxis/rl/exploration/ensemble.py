r"""The two bonuses that information gain is compared with: the error of a prediction, and the
disagreement of several.

*error*: one network predicts what happens next, and the bonus is its squared error, averaged over
the outputs. It is the paper's "L2" control, and is drawn to whatever cannot be predicted.

*disagreement*: K networks, each of other first weights and other minibatches, and the bonus is the
variance of their predictions. Noise of the world is no part of it once they have seen enough; the
successor itself is not needed.

Networks are ReLU perceptrons trained by Adam on squared errors, all K in one batched matrix product
a layer, written out as the Bayesian network is (`zeuxis.rl.exploration.bayesian_network`), with
features by rows (K, J, n).

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

from ..optimization.numpy_adam import adam
from ..policies.mlp import check_size
from .bayesian_network import HALF_LOG_TAU, LEAST_NOISE


class Ensemble(nn.Module):
    """Several networks that predict the same.

    Arguments:
        inputs: Numbers of an input.
        hidden: Units of each hidden layer.
        outputs: Numbers of an output.
        members: Networks.
        lr: Adam's step size.
        seed: Fixes the first weights.

    Example:
        >>> from zeuxis.rl.exploration.bayesian_network import columns
        >>> pair = Ensemble(2, (8,), 1, members=2)
        >>> pair.predict(columns(np.zeros((5, 2), np.float32))).shape
        (2, 1, 5)
    """

    theta: Tensor
    first: Tensor
    second: Tensor
    count: Tensor

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
        self.members, self.outputs, self.lr = members, outputs, lr
        rng = np.random.default_rng([seed, 12])
        layers = [rng.standard_normal(s) * math.sqrt(2 / (s[2] - 1)) for s in self.shapes]
        for layer in layers:
            layer[:, :, -1] = 0
        self.weights = sum(layer.size for layer in layers)
        theta = np.concatenate(
            [*(layer.ravel() for layer in layers), np.zeros(outputs)]
        )  # the last: log deviation of the errors
        for name, value in (("theta", theta), ("first", 0 * theta), ("second", 0 * theta)):
            self.register_buffer(name, torch.from_numpy(value).float())
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def matrices(self, flat: np.ndarray) -> list[np.ndarray]:
        """Layers of a flat vector, as views (K, J, I + 1)."""
        found, start = [], 0
        for shape in self.shapes:
            size = math.prod(shape)
            found.append(flat[start : start + size].reshape(shape))
            start += size
        return found

    def forward_pass(self, x: np.ndarray) -> list[np.ndarray]:
        """What each layer is given, and the outputs (K, outputs, n)."""
        layers, found = self.matrices(self.theta.numpy()), [x]
        for w in layers[:-1]:
            h = np.ones((self.members, w.shape[1] + 1, x.shape[-1]), x.dtype)
            np.maximum(w @ found[-1], 0, out=h[:, :-1])
            found.append(h)
        return [*found, layers[-1] @ found[-1]]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Each network's outputs (K, outputs, n) for inputs (inputs + 1, n), the last feature 1."""
        return self.forward_pass(x)[-1]

    def gradient(self, x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
        """Of half the squared error of each network on rows of its own, x (K, inputs + 1, n) and y
        (K, outputs, n)."""
        given, layers, found = (
            self.forward_pass(x),
            self.matrices(self.theta.numpy()),
            self.matrices(out),
        )
        delta = given[-1] - y
        log_sd = self.theta.numpy()[self.weights :]
        out[self.weights :] = 1 - np.exp(-2 * log_sd) * np.square(delta).mean((0, 2))
        delta *= 1 / x.shape[-1]
        for i in range(len(layers) - 1, -1, -1):
            np.matmul(delta, given[i].transpose(0, 2, 1), out=found[i])
            if i:
                delta = layers[i].transpose(0, 2, 1)[:, :-1] @ delta
                delta *= given[i][:, :-1] > 0

    def fit(self, xs: np.ndarray, ys: np.ndarray) -> None:
        """Steps of Adam on minibatches (steps, K, inputs + 1, B) with targets (steps, K, outputs,
        B)."""
        theta, m, v = (t.numpy() for t in (self.theta, self.first, self.second))
        g, scratch, t = np.empty_like(theta), np.empty_like(theta), int(self.count)
        for x, y in zip(xs, ys, strict=True):
            self.gradient(x, y, g)
            t += 1
            adam(theta, g, m, v, scratch, t, self.lr)
            np.maximum(theta[self.weights :], LEAST_NOISE, out=theta[self.weights :])
        self.count.fill_(t)

    def error(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Squared error of the mean prediction, averaged over the outputs, (n,)."""
        return np.square(self.predict(x).mean(0) - y).mean(0)

    def disagreement(self, x: np.ndarray) -> np.ndarray:
        """Variance of the predictions, averaged over the outputs, (n,)."""
        return self.predict(x).var(0).mean(0)

    def noise(self) -> np.ndarray:
        """Usual error of one network for each output (outputs,)."""
        return np.exp(self.theta.numpy()[self.weights :])

    def likelihood(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Logarithm of the density of each row: the mean prediction, with the networks' spread and
        their errors' (nats), (n,)."""
        found = self.predict(x)
        v = found.var(0) + np.square(self.noise())[:, None]
        return -(0.5 * np.square(found.mean(0) - y) / v + 0.5 * np.log(v) + HALF_LOG_TAU).sum(0)
