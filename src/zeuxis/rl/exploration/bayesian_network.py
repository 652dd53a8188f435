r"""A Bayesian neural network that predicts the next state, with a Gaussian posterior.

Every weight and bias has the posterior $q(\theta) = \mathcal{N}(\mu, \sigma^2)$, $\sigma = \log(1 +
e^\rho)$, and the prior $\mathcal{N}(0, \sigma_p^2)$. Layers are ReLU, the last one linear. The
likelihood is Gaussian with a fixed or learned deviation $\sigma_n$. Training maximizes the evidence
lower bound: on a minibatch with B of the N transitions of the replay buffer it minimizes

$$ \ell = w\, \mathrm{KL}[q \| p] - \frac1B \sum_b \mathbb{E}_q[\log p(y_b | x_b, \theta)],
   \qquad w = 1 / N . $$

The expectation is taken by moments or by samples (`local_reparameterization`), which both give the
gradients of each row as outer products. `closed_form_gain` turns these into the information gain of
a transition.

Arrays are NumPy's, features by rows (J, n): a step on ten rows is all overhead, of which NumPy has
least.

Source: Houthooft et al., "VIME", 2016.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ...distributions.elementwise import HALF_LOG_TAU
from ..optimization.numpy_mlp import Adam, matrices
from ..policies.mlp import check_size
from .closed_form_gain import Layer, moment_form, sample_form
from .local_reparameterization import Posterior, by_moments, by_samples

Expectation = Literal["moments", "samples"]
BLOCKS = {"moments": 1_024, "samples": 256}  # rows at a time: more do not fit the cache
# A hundredth of a target's deviation: without noise in the environment the likelihood is unbounded.
MIN_LOG_NOISE = math.log(1e-2)


class BNN(nn.Module):
    """A network with a posterior over its weights.

    Arguments:
        inputs: Numbers of an input.
        hidden: Units of each hidden layer.
        outputs: Numbers of an output.
        prior: Deviation of the prior.
        sigma: First deviation of each weight.
        noise: Deviation of the likelihood, the first one if it is learned.
        learned: Whether the deviation of the likelihood is learned, one for each output.
        expectation: By closed-form moments or by samples.
        samples: Number of samples.
        lr: Step size of Adam.
        seed: Seed of the first weights.

    Example:
        >>> net = BNN(2, (16,), 1)
        >>> x, y = np.random.default_rng(0).standard_normal((2, 50, 2)).astype(np.float32)
        >>> x, y = columns(x), np.ascontiguousarray(y[:, :1].T)
        >>> net.fisher_quadratic_form(x, y, np.random.default_rng(0)).shape
        (50,)
    """

    shared_noise: ClassVar[bool] = False  # one draw of noise for all rows of a minibatch
    theta: Tensor  # means, then rho of each weight, then log-deviations of the outputs

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        *,
        prior: float = 0.5,
        sigma: float = 0.1,
        noise: float = 1.0,
        learned: bool = True,
        expectation: Expectation = "moments",
        samples: int = 10,
        lr: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_size([inputs, *hidden, outputs])
        self.shapes = [(b, a + 1) for a, b in pairwise([inputs, *hidden, outputs])]
        self.prior, self.learned = prior, learned
        self.expectation, self.samples = expectation, samples
        self.weights = sum(a * b for a, b in self.shapes)
        means = self.first_means(np.random.default_rng([seed, 11]))
        rho = np.full(self.weights, math.log(math.expm1(sigma)))
        log_noise = np.full(outputs, math.log(noise))
        theta = np.concatenate([*(m.ravel() for m in means), rho, log_noise])
        self.register_buffer("theta", torch.from_numpy(theta).float())
        self.adam = Adam(len(theta), lr)

    def first_means(self, rng: np.random.Generator) -> list[np.ndarray]:
        """First means: normal of deviation sqrt(2 / inputs), biases 0."""
        means = [rng.standard_normal(s) * math.sqrt(2 / (s[1] - 1)) for s in self.shapes]
        for m in means:
            m[:, -1] = 0
        return means

    def posterior(self) -> Posterior:
        """The current posterior; means are views of theta."""
        theta, p = self.theta.numpy(), self.weights
        sigma = nn.functional.softplus(self.theta[p : 2 * p]).numpy()
        precision = np.exp(-2 * theta[2 * p :])[:, None]
        mu, mu2, var = (
            matrices(v, self.shapes) for v in (theta[:p], np.square(theta[:p]), np.square(sigma))
        )
        return Posterior(mu, mu2, var, sigma, precision)

    def gradient(
        self,
        p: Posterior,
        x: np.ndarray,
        y: np.ndarray,
        rng: np.random.Generator,
        weight: float,
        out: np.ndarray,
    ) -> None:
        """Writes the gradient of a minibatch's loss by theta.

        Arguments:
            p: Posterior.
            x: Inputs (inputs + 1, B), the last feature 1.
            y: Targets (outputs, B).
            rng: Draws the samples' noise.
            weight: w, the weight of the divergence from the prior.
            out: Where the gradient goes, as long as theta.
        """
        n, k, theta = x.shape[1], self.weights, self.theta.numpy()
        if self.expectation == "moments":
            m, v, layers = by_moments(p, x, y)
            m -= y
            error = np.square(m)
            error += v
        else:
            error, layers = by_samples(p, x, y, rng, self.samples, self.shared_noise)
        to_mu, to_sigma = matrices(out[:k], self.shapes), matrices(out[k : 2 * k], self.shapes)
        for i, layer in enumerate(layers):
            delta, c = match_inputs(layer, layer.delta), match_inputs(layer, layer.c)
            a, q = (v.reshape(len(v), -1) for v in (layer.a, layer.q))
            np.matmul(delta, a.T, out=to_mu[i])
            np.matmul(c, q.T, out=to_sigma[i])
            if layer.tau is not None:
                to_mu[i] += p.mu[i] * (c @ layer.tau.T)
        # The rest works on flat vectors: the mean over rows, the divergence from the prior, and the
        # chain rule through softplus.
        shrinkage = weight / self.prior**2
        out[: 2 * k] *= 1 / n
        out[:k] += shrinkage * theta[:k]
        to_rho = out[k : 2 * k]
        to_rho += shrinkage
        to_rho *= p.sigma
        to_rho -= weight / p.sigma
        to_rho *= torch.sigmoid(self.theta[k : 2 * k]).numpy()
        if self.learned:
            out[2 * k :] = 1 - p.precision[:, 0] * (error.sum(1) / n)
        else:
            out[2 * k :] = 0

    def fit(self, xs: np.ndarray, ys: np.ndarray, rng: np.random.Generator, weight: float) -> None:
        """Makes steps of Adam.

        Arguments:
            xs: Inputs of each step's minibatch, (steps, inputs + 1, B), the last feature 1.
            ys: Targets, (steps, outputs, B).
            rng: Draws the samples' noise.
            weight: Weight of the divergence from the prior.
        """
        theta = self.theta.numpy()
        log_noise, g = theta[2 * self.weights :], np.empty_like(theta)
        with self.adam.stepping(theta) as step:
            for x, y in zip(xs, ys, strict=True):
                self.gradient(self.posterior(), x, y, rng, weight, g)
                step(g)
                np.maximum(log_noise, MIN_LOG_NOISE, out=log_noise)

    def fisher_quadratic_form(
        self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        r"""$g^\top H^{-1} g$ of each row's negative expected log-likelihood, (n,).

        Arguments:
            x: Inputs (inputs + 1, n), the last feature 1.
            y: Targets (outputs, n).
            rng: Draws the samples' noise, for each row independently.
        """
        p, block = self.posterior(), BLOCKS[self.expectation]
        starts = range(0, x.shape[1], block)
        return np.concatenate(
            [self.quadratic_form(p, x[:, i : i + block], y[:, i : i + block], rng) for i in starts]
        )

    def quadratic_form(
        self, p: Posterior, x: np.ndarray, y: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """`fisher_quadratic_form` of one block of rows."""
        if self.expectation == "samples":
            layers = by_samples(p, x, y, rng, self.samples, shared=False)[1]
            return np.sum([sample_form(*pair) for pair in zip(layers, p.var, strict=True)], 0)
        layers = by_moments(p, x, y)[2]
        by_layer = zip(layers, p.mu, p.mu2, p.var, strict=True)
        return np.sum([moment_form(*arguments) for arguments in by_layer], 0)

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the outputs by moments, noise included, (outputs, n) each."""
        p = self.posterior()
        m, v, _ = by_moments(p, x, None)
        return m, v + 1 / p.precision

    def log_prob(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Log predictive density of each row, outputs Gaussian by moments (nats), (n,)."""
        m, v = self.predict(x)
        return -(0.5 * np.square(m - y) / v + 0.5 * np.log(v) + HALF_LOG_TAU).sum(0)

    def noise(self) -> np.ndarray:
        """Deviation of the likelihood of each output, (outputs,)."""
        return np.exp(self.theta.numpy()[2 * self.weights :])

    def divergence(self) -> float:
        """KL[q || p] of all weights (nats)."""
        k, s = self.weights, self.prior
        mu, sigma = self.theta[:k].double(), nn.functional.softplus(self.theta[k : 2 * k].double())
        return float((((mu**2 + sigma**2) / s**2 - 1) / 2 + math.log(s) - sigma.log()).sum())


def columns(x: np.ndarray) -> np.ndarray:
    """Converts rows (n, d) to inputs of a network, (d + 1, n), the last feature 1."""
    inputs = np.ones((x.shape[1] + 1, len(x)), x.dtype)
    inputs[:-1] = x.T
    return inputs


def match_inputs(layer: Layer, gradient: np.ndarray) -> np.ndarray:
    """A gradient (J, n) or (J, n, S) as (J, rows), summed over samples that share their input."""
    if gradient.ndim == 2:
        return gradient
    return gradient.sum(2) if layer.a.shape[2] == 1 else gradient.reshape(len(gradient), -1)
