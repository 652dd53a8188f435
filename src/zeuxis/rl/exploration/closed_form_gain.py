r"""The information gain of every transition of a batch, in closed form.

A step $-\lambda H^{-1} g$ along a transition's gradient g, with H the Hessian of the KL divergence
from the current posterior, diagonal with $1/\sigma^2$ for $\mu$ and $2/\sigma^2$ for $\sigma$,
changes the posterior by $\frac12 \lambda^2 g^\top H^{-1} g$ nats to second order. This does not
depend on how $\sigma$ is parameterized. The gradients of one row are outer products (see
`local_reparameterization`), so each term of the squared sums factorizes; with moments

$$ \sum_{ij} \sigma_{ij}^2 (a_i \delta_j + \tau_i \mu_{ij} c_j)^2
   = \sum_j \big[ \delta_j^2\, (\sigma^2 a^2)_j
   + 2 \delta_j c_j\, (\sigma^2 \mu\, a \tau)_j + c_j^2\, (\sigma^2 \mu^2 \tau^2)_j \big] , $$

which are matrix products as large as those of a forward pass: no gradient of a row is ever stored.
With samples the sums over them are squared as a whole, so rows are taken in blocks.

Source: Houthooft et al., "VIME", 2016, for the step; the products that give it for all rows at once
are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ELEMENTS = 1 << 17  # numbers of one block of outer products, which then stays in the cache


@dataclass
class Layer:
    """Inputs of one layer and gradients of the loss, (features, rows).

    With samples the arrays are (features, rows, S).

    Arguments:
        a: Inputs, or their means; the last row is 1.
        tau: Variances of the inputs, None where there are none.
        q: Mean squares of the inputs.
        delta: Gradient by the pre-activations' mean.
        c: Twice the gradient by the pre-activations' variance.
    """

    a: np.ndarray
    tau: np.ndarray | None
    q: np.ndarray
    delta: np.ndarray
    c: np.ndarray


def moment_form(layer: Layer, mu: np.ndarray, mu2: np.ndarray, var: np.ndarray) -> np.ndarray:
    r"""One layer's part of $g^\top H^{-1} g$ by moments, (n,).

    Arguments:
        layer: Inputs and gradients.
        mu: Means of its weights, (outputs, inputs + 1).
        mu2: Their squares.
        var: Variances of its weights.
    """
    d2, c2 = np.square(layer.delta), np.square(layer.c)
    of_sigma = np.square(var) @ np.square(layer.q)
    of_sigma *= 0.5
    if layer.tau is None:  # the square of the input is q itself
        return np.einsum("jn,jn->n", var @ layer.q, d2) + np.einsum("jn,jn->n", of_sigma, c2)
    of_sigma += (var * mu2) @ np.square(layer.tau)
    cross = (var * mu) @ (layer.a * layer.tau)
    cross *= layer.delta
    total = 2 * np.einsum("jn,jn->n", cross, layer.c)
    total += np.einsum("jn,jn->n", var @ np.square(layer.a), d2)
    total += np.einsum("jn,jn->n", of_sigma, c2)
    return total


def sample_form(layer: Layer, var: np.ndarray) -> np.ndarray:
    r"""One layer's part of $g^\top H^{-1} g$ by samples, summed before it is squared, (n,)."""
    if layer.a.shape[2] == 1:  # the input is the same in all samples, and the sums factorize
        d, c, q = layer.delta.sum(2), layer.c.sum(2), layer.q[:, :, 0]
        of_sigma = np.square(c) * (np.square(var) @ np.square(q))
        return (np.square(d) * (var @ q)).sum(0) + 0.5 * of_sigma.sum(0)
    total = np.empty(layer.a.shape[1], layer.a.dtype)
    flat, block = var.ravel(), max(1, ELEMENTS // var.size)
    half_squared = 0.5 * np.square(flat)
    for i in range(0, len(total), block):
        delta, c, a, q = (
            np.ascontiguousarray(v[:, i : i + block].transpose(1, 0, 2))
            for v in (layer.delta, layer.c, layer.a, layer.q)
        )
        by_mu = np.matmul(delta, a.transpose(0, 2, 1)).reshape(len(delta), -1)
        by_sigma = np.matmul(c, q.transpose(0, 2, 1)).reshape(len(delta), -1)
        np.square(by_mu, out=by_mu)
        np.square(by_sigma, out=by_sigma)
        total[i : i + block] = by_mu @ flat + by_sigma @ half_squared
    return total
