r"""Local reparameterization: the expected loss of a network of Gaussian weights, and its gradient.

A layer with input h has independent Gaussian pre-activations with $m = h \mu$ and $v = h^2
\sigma^2$, so no weight is ever sampled. The expectation has two forms.

*samples*: $z = m + \sqrt v\, \epsilon$, S times, as in the paper. With $\delta = \partial \ell /
\partial z$ and $c = \delta \epsilon / \sqrt v$ the gradients are outer products, $\partial \ell /
\partial \mu = h \delta$ and $(1/\sigma)\, \partial \ell / \partial \sigma = h^2 c$.

*moments*: mean a, variance $\tau$ and mean square $q = a^2 + \tau$ of the ReLU of a Gaussian are
known in closed form, and so are $m = a \mu$ and $v = q \sigma^2 + \tau \mu^2$ of the next layer.
With one hidden layer the expected log-likelihood is exact, without any random number; with more,
the units of later layers are treated as independent Gaussians. With $\delta = \partial \ell /
\partial m$ and $c = 2\, \partial \ell / \partial v$,

$$ \frac{\partial \ell}{\partial \mu_{ij}} = a_i \delta_j + \tau_i \mu_{ij} c_j, \qquad
   \frac1{\sigma_{ij}} \frac{\partial \ell}{\partial \sigma_{ij}} = q_i c_j . $$

Arrays are features by rows, (J, n) or with samples (J, n, S).

Sources: Kingma, Salimans and Welling, "Variational Dropout and the Local Reparameterization Trick",
2015; Hernandez-Lobato and Adams, "Probabilistic Backpropagation", 2015, and Wu et al.,
"Deterministic Variational Inference", 2019, for the moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .closed_form_gain import Layer
from .relu_moments import rectified


@dataclass
class Posterior:
    """The posterior as arrays; matrices are (outputs, inputs + 1) with the bias last.

    Arguments:
        mu: Means of each layer.
        mu2: Their squares.
        var: Variances of each layer.
        sigma: All deviations, flat.
        precision: 1 / sigma_n^2 of each output, (outputs, 1).
    """

    mu: list[np.ndarray]
    mu2: list[np.ndarray]
    var: list[np.ndarray]
    sigma: np.ndarray
    precision: np.ndarray


def by_moments(
    p: Posterior, x: np.ndarray, y: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, list[Layer]]:
    """Propagates moments.

    Arguments:
        p: Posterior.
        x: Inputs (inputs + 1, n), the last feature 1.
        y: Targets (outputs, n), or None for no gradients.

    Returns:
        Mean and variance of the outputs (outputs, n), and with targets the gradients of each
        row's loss by layer.
    """
    a, tau, q = x, None, x * x
    inputs: list[tuple[np.ndarray, np.ndarray | None, np.ndarray]] = []
    slopes: list[tuple[np.ndarray, np.ndarray]] = []
    last = len(p.mu) - 1
    for i in range(last + 1):
        inputs.append((a, tau, q))
        m, v = p.mu[i] @ a, p.var[i] @ q
        if tau is not None:
            v += p.mu2[i] @ tau
        if i < last:
            a, tau, q, above, density = rectified(m, v)
            slopes.append((above, density))
    if y is None:
        return m, v, []
    delta = p.precision * (m - y)
    c = np.empty_like(delta)  # in full, since BLAS takes no broadcast views
    c[:] = p.precision
    layers = [Layer(*inputs[last], delta, c)]
    for i in range(last, 0, -1):
        a, (above, density) = inputs[i][0][:-1], slopes[i - 1]
        by_variance = p.mu2[i].T[:-1] @ c
        to_a = p.mu[i].T[:-1] @ delta
        to_a -= a * by_variance
        to_q = p.var[i].T[:-1] @ c
        to_q += by_variance  # twice the derivative by q
        delta = above * to_a
        delta += a * to_q
        c = density * to_a
        c += above * to_q
        layers.append(Layer(*inputs[i - 1], delta, c))
    return m, v, layers[::-1]


def by_samples(
    p: Posterior,
    x: np.ndarray,
    y: np.ndarray,
    rng: np.random.Generator,
    samples: int,
    shared: bool,
) -> tuple[np.ndarray, list[Layer]]:
    """Propagates samples.

    Arguments:
        p: Posterior.
        x: Inputs (inputs + 1, n), the last feature 1.
        y: Targets (outputs, n).
        rng: Draws the noise.
        samples: Number of samples S.
        shared: Whether all rows share their noise.

    Returns:
        Mean squared error of the samples (outputs, n), and the gradients of each row's loss by
        layer.
    """
    n, s, last = x.shape[1], samples, len(p.mu) - 1
    h: np.ndarray = x[:, :, None]
    inputs, noise, root = [], [], []
    for i, units in enumerate(map(len, p.mu)):
        inputs.append((h, h * h))
        m, v = dot(p.mu[i], h), dot(p.var[i], inputs[-1][1])
        drawn = rng.standard_normal((units, 1 if shared else n, s), np.float32)
        noise.append(drawn.astype(x.dtype, copy=False))
        root.append(np.sqrt(v))
        z = m + root[-1] * noise[-1]
        if i < last:
            h = np.ones((units + 1, n, s), x.dtype)
            np.maximum(z, 0, out=h[:-1])
    error = z - y[:, :, None]
    delta = error * (p.precision[:, :, None] / s)
    layers = []
    for i in range(last, -1, -1):
        c = delta * noise[i] / root[i]
        h, q = inputs[i]
        layers.append(Layer(h, None, q, delta, c))
        if i:
            to_h = dot(p.mu[i].T[:-1], delta)
            to_h += h[:-1] * dot(p.var[i].T[:-1], c)
            delta = to_h * (h[:-1] > 0)
    return np.square(error).mean(2), layers[::-1]


def dot(w: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Multiplies (J, I) with (I, n, S) to (J, n, S)."""
    return (w @ h.reshape(len(h), -1)).reshape(len(w), *h.shape[1:])
