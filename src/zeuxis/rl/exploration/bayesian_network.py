r"""A Bayesian neural network that predicts what happens next, and how much one transition would
teach it.

Every weight, biases too, has a belief $q(\theta) = \mathcal{N}(\mu, \sigma^2)$ of its own, $\sigma
= \log(1 + e^\rho)$, and a prior $\mathcal{N}(0, \sigma_p^2)$. Layers are ReLU, the last one linear;
the likelihood is Gaussian, of fixed or learned deviation $\sigma_n$. Learning maximizes the
evidence bound; of a minibatch with B of the N transitions of the pool it minimizes

$$ \ell = w\, \mathrm{KL}[q \| p] - \frac1B \sum_b \mathbb{E}_q[\log p(y_b | x_b, \theta)], \qquad w = 1 / N . $$

(The code released with VIME weighs the divergence by 1/5 against a *sum* over B = 10 rows, $w = 1 /
(5B)$.)

**Local reparameterization.** A layer with input h has independent Gaussian pre-activations with
$m = h \mu$ and $v = h^2 \sigma^2$; no weight is ever drawn. The expectation is taken in one of two
ways.

*samples*: $z = m + \sqrt v\, \epsilon$, S times, as in the paper. With $\delta = \partial \ell /
\partial z$ and $c = \delta \epsilon / \sqrt v$ the gradients are outer products, $\partial \ell /
\partial \mu = h \delta$ and $(1/\sigma)\, \partial \ell / \partial \sigma = h^2 c$.

*moments*: mean a, variance $\tau$ and square $q = a^2 + \tau$ of each ReLU of a Gaussian are known
in closed form, and so are $m = a \mu$ and $v = q \sigma^2 + \tau \mu^2$ of the next layer. With one
hidden layer the expected log-likelihood is exact, without a single random number; with more, units
of later layers are taken for independent Gaussians. There, with $\delta = \partial \ell / \partial
m$ and $c = 2\, \partial \ell / \partial v$,

$$ \frac{\partial \ell}{\partial \mu_{ij}} = a_i \delta_j + \tau_i \mu_{ij} c_j, \qquad
   \frac1{\sigma_{ij}} \frac{\partial \ell}{\partial \sigma_{ij}} = q_i c_j . $$

**What a transition teaches** is in `zeuxis.rl.exploration.closed_form_gain`.

Arrays are NumPy's, features by rows (J, n), since steps on ten rows are nothing but overhead, of
which NumPy has least.

Sources: Houthooft et al., "VIME", 2016; Kingma, Salimans and Welling, "Variational Dropout and the
Local Reparameterization Trick", 2015; Hernandez-Lobato and Adams, "Probabilistic Backpropagation",
2015, and Wu et al., "Deterministic Variational Inference", 2019, for the moments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..optimization.numpy_adam import adam
from ..policies.mlp import check_size
from .closed_form_gain import Layer, sampled_squares, squares
from .relu_moments import rectified

Expectation = Literal["moments", "samples"]
HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
BLOCKS = {
    "moments": 1_024,
    "samples": 256,
}  # transitions judged together: more no longer fit the cache, fewer are overhead


@dataclass
class Belief:
    """The posterior as views: of each layer means, their squares, and variances, (outputs, inputs +
    1), biases in the last column."""

    mu: list[np.ndarray]
    mu2: list[np.ndarray]
    var: list[np.ndarray]
    sigma: np.ndarray  # all deviations, flat
    precision: np.ndarray  # 1 / sigma_n^2 of each output, (outputs, 1)


class BNN(nn.Module):
    """A network with a belief over its weights.

    Arguments:
        inputs: Numbers of an input.
        hidden: Units of each hidden layer.
        outputs: Numbers of an output.
        prior: Deviation of the prior.
        sigma: Deviation of each weight at first.
        noise: Deviation of the likelihood, at first or for good.
        learned: Whether it is learned, one for each output.
        expectation: By closed moments or by samples.
        samples: How many of them.
        shared: Whether all rows of a minibatch share the samples' noise, as in the code released
            with VIME.
        scaled: Whether first means are drawn with deviation sqrt(2 / inputs) instead of the
            released code's 1.
        lr: Adam's step size.
        seed: Fixes the first weights.

    Example:
        >>> net = BNN(2, (16,), 1)
        >>> x, y = np.random.default_rng(0).standard_normal((2, 50, 2)).astype(np.float32)
        >>> net.stirred(columns(x), np.ascontiguousarray(y[:, :1].T), np.random.default_rng(0)).shape
        (50,)
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
        *,
        prior: float = 0.5,
        sigma: float = 0.1,
        noise: float = 1.0,
        learned: bool = True,
        expectation: Expectation = "moments",
        samples: int = 10,
        shared: bool = False,
        scaled: bool = True,
        lr: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_size([inputs, *hidden, outputs])
        self.shapes = [(b, a + 1) for a, b in pairwise([inputs, *hidden, outputs])]
        self.prior, self.learned, self.expectation, self.samples = (
            prior,
            learned,
            expectation,
            samples,
        )
        self.shared, self.lr, self.weights = shared, lr, sum(a * b for a, b in self.shapes)
        rng = np.random.default_rng([seed, 11])
        means = [
            rng.standard_normal(s) * (math.sqrt(2 / (s[1] - 1)) if scaled else 1.0)
            for s in self.shapes
        ]
        if scaled:
            for m in means:
                m[:, -1] = 0
        rho = np.full(self.weights, math.log(math.expm1(sigma)))
        theta = np.concatenate(
            [*(m.ravel() for m in means), rho, np.full(outputs, math.log(noise))]
        )
        for name, value in (("theta", theta), ("first", 0 * theta), ("second", 0 * theta)):
            self.register_buffer(name, torch.from_numpy(value).float())
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def belief(self) -> Belief:
        """The posterior as it is now; means are views, deviations are computed."""
        theta, p = self.theta.numpy(), self.weights
        sigma = nn.functional.softplus(self.theta[p : 2 * p]).numpy()
        precision = np.exp(-2 * theta[2 * p :])[:, None]
        mu, mu2, var = (
            self.matrices(v) for v in (theta[:p], np.square(theta[:p]), np.square(sigma))
        )
        return Belief(mu, mu2, var, sigma, precision)

    def matrices(self, flat: np.ndarray) -> list[np.ndarray]:
        """Layers of a flat vector, as views."""
        found, start = [], 0
        for a, b in self.shapes:
            found.append(flat[start : start + a * b].reshape(a, b))
            start += a * b
        return found

    def by_moments(
        self, b: Belief, x: np.ndarray, y: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, list[Layer]]:
        """Mean and variance of the outputs (outputs, n), and given targets what the loss of each
        row says of each layer."""
        a, tau, q = x, None, x * x
        given: list[tuple[np.ndarray, np.ndarray | None, np.ndarray]] = []
        bent: list[tuple[np.ndarray, np.ndarray]] = []
        last = len(self.shapes) - 1
        for i in range(last + 1):
            given.append((a, tau, q))
            m, v = b.mu[i] @ a, b.var[i] @ q
            if tau is not None:
                v += b.mu2[i] @ tau
            if i < last:
                a, tau, q, *slopes = rectified(m, v)
                bent.append((slopes[0], slopes[1]))
        if y is None:
            return m, v, []
        delta = b.precision * (m - y)
        c = np.empty_like(delta)  # whole, since BLAS takes no broadcast views
        c[:] = b.precision
        layers = [Layer(*given[last], delta, c)]
        for i in range(last, 0, -1):
            a, (above, density) = given[i][0][:-1], bent[i - 1]
            mu2 = b.mu2[i].T[:-1]
            squared = mu2 @ c
            to_a = b.mu[i].T[:-1] @ delta
            to_a -= a * squared
            to_q = b.var[i].T[:-1] @ c
            to_q += squared  # twice the derivative by q
            delta = above * to_a
            delta += a * to_q
            c = density * to_a
            c += above * to_q
            layers.append(Layer(*given[i - 1], delta, c))
        return m, v, layers[::-1]

    def by_samples(
        self, b: Belief, x: np.ndarray, y: np.ndarray, rng: np.random.Generator, shared: bool
    ) -> tuple[np.ndarray, list[Layer]]:
        """Mean squared error of the samples (outputs, n), and what the loss of each row says of
        each layer."""
        n, s, last = x.shape[1], self.samples, len(self.shapes) - 1
        h: np.ndarray = x[:, :, None]
        given, noise, root = [], [], []
        for i, (units, _) in enumerate(self.shapes):
            given.append((h, h * h))
            m, v = dot(b.mu[i], h), dot(b.var[i], given[-1][1])
            noise.append(
                rng.standard_normal((units, 1 if shared else n, s), np.float32).astype(
                    x.dtype, copy=False
                )
            )
            root.append(np.sqrt(v))
            z = m + root[-1] * noise[-1]
            if i < last:
                h = np.ones((units + 1, n, s), x.dtype)
                np.maximum(z, 0, out=h[:-1])
        apart = z - y[:, :, None]
        delta = apart * (b.precision[:, :, None] / s)
        layers = []
        for i in range(last, -1, -1):
            c = delta * noise[i] / root[i]
            h, q = given[i]
            layers.append(Layer(h, None, q, delta, c))
            if i:
                back = dot(b.mu[i].T[:-1], delta)
                back += h[:-1] * dot(b.var[i].T[:-1], c)
                delta = back * (h[:-1] > 0)
        return np.square(apart).mean(2), layers[::-1]

    def gradient(
        self,
        b: Belief,
        x: np.ndarray,
        y: np.ndarray,
        rng: np.random.Generator,
        weight: float,
        out: np.ndarray,
    ) -> None:
        """Of the loss of a minibatch, into a vector as long as theta; weight is w above."""
        n, p, theta = x.shape[1], self.weights, self.theta.numpy()
        if self.expectation == "moments":
            m, v, layers = self.by_moments(b, x, y)
            m -= y
            error = np.square(m)
            error += v
        else:
            error, layers = self.by_samples(b, x, y, rng, self.shared)
        to_mu, to_sigma = self.matrices(out[:p]), self.matrices(out[p : 2 * p])
        for i, layer in enumerate(layers):
            delta, c = flat_pair(layer, layer.delta), flat_pair(layer, layer.c)
            a, q = (v.reshape(len(v), -1) for v in (layer.a, layer.q))
            np.matmul(delta, a.T, out=to_mu[i])
            np.matmul(c, q.T, out=to_sigma[i])
            if layer.tau is not None:
                to_mu[i] += b.mu[i] * (c @ layer.tau.T)
        # all of the rest on flat vectors: a mean over rows, the divergence from the prior, and the
        # chain rule through softplus
        near = weight / self.prior**2
        out[: 2 * p] *= 1 / n
        out[:p] += near * theta[:p]
        to_rho = out[p : 2 * p]
        to_rho += near
        to_rho *= b.sigma
        to_rho -= weight / b.sigma
        to_rho *= torch.sigmoid(self.theta[p : 2 * p]).numpy()
        if self.learned:
            out[2 * p :] = 1 - b.precision[:, 0] * (error.sum(1) / n)
        else:
            out[2 * p :] = 0

    def fit(self, xs: np.ndarray, ys: np.ndarray, rng: np.random.Generator, weight: float) -> None:
        """Steps of Adam.

        Arguments:
            xs: Inputs of each step's minibatch, (steps, inputs + 1, B), the last feature 1.
            ys: Targets, (steps, outputs, B).
            rng: Draws noise.
            weight: Of the divergence from the prior against the mean log-likelihood of a row.
        """
        theta, m, v = (t.numpy() for t in (self.theta, self.first, self.second))
        g, scratch, t = np.empty_like(theta), np.empty_like(theta), int(self.count)
        floor = theta[2 * self.weights :]
        for x, y in zip(xs, ys, strict=True):
            self.gradient(self.belief(), x, y, rng, weight, g)
            t += 1
            adam(theta, g, m, v, scratch, t, self.lr)
            np.maximum(floor, LEAST_NOISE, out=floor)
        self.count.fill_(t)

    def stirred(self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        r"""$g^\top H^{-1} g$ of each row's own negative log-likelihood, (n,).

        Arguments:
            x: Inputs (inputs + 1, n), the last feature 1.
            y: Targets (outputs, n).
            rng: Draws the samples' noise, for each row by itself.
        """
        b, n = self.belief(), x.shape[1]
        block = BLOCKS[self.expectation]
        return np.concatenate(
            [
                self.rows(b, x[:, i : i + block], y[:, i : i + block], rng)
                for i in range(0, n, block)
            ]
        )

    def rows(self, b: Belief, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The same for some of the rows."""
        if self.expectation == "samples":
            layers = self.by_samples(b, x, y, rng, False)[1]
            return np.sum(
                [sampled_squares(layer, var) for layer, var in zip(layers, b.var, strict=True)], 0
            )
        layers = self.by_moments(b, x, y)[2]
        return np.sum(
            [squares(*parts) for parts in zip(layers, b.mu, b.mu2, b.var, strict=True)], 0
        )

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the outputs, noise included, by moments, (outputs, n) each."""
        b = self.belief()
        m, v, _ = self.by_moments(b, x, None)
        return m, v + 1 / b.precision

    def likelihood(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Logarithm of the predictive density of each row, the outputs' Gaussians by moments
        (nats), (n,)."""
        m, v = self.predict(x)
        return -(0.5 * np.square(m - y) / v + 0.5 * np.log(v) + HALF_LOG_TAU).sum(0)

    def noise(self) -> np.ndarray:
        """Deviation of the likelihood of each output (outputs,)."""
        return np.exp(self.theta.numpy()[2 * self.weights :])

    def divergence(self) -> float:
        """KL[q || p] of the weights (nats)."""
        p, s = self.weights, self.prior
        mu, sigma = self.theta[:p].double(), nn.functional.softplus(self.theta[p : 2 * p].double())
        return float((((mu**2 + sigma**2) / s**2 - 1) / 2 + math.log(s) - sigma.log()).sum())


LEAST_NOISE = math.log(
    1e-2
)  # a hundredth of a target's deviation: in worlds without noise the likelihood would have no end


def columns(x: np.ndarray) -> np.ndarray:
    """Rows (n, d) as inputs of a network, (d + 1, n), the last feature 1."""
    found = np.ones((x.shape[1] + 1, len(x)), x.dtype)
    found[:-1] = x.T
    return found


def dot(w: np.ndarray, h: np.ndarray) -> np.ndarray:
    """(J, I) times (I, n, S), (J, n, S)."""
    return (w @ h.reshape(len(h), -1)).reshape(len(w), *h.shape[1:])


def flat_pair(layer: Layer, v: np.ndarray) -> np.ndarray:
    """A gradient (J, n) or (J, n, S) against inputs of (I, rows): summed over samples where these
    share their input."""
    if v.ndim == 2:
        return v
    return v.sum(2) if layer.a.shape[2] == 1 else v.reshape(len(v), -1)
