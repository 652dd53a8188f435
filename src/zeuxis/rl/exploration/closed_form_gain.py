r"""How far one transition would stir a belief, for all transitions at once.

A step $-\lambda H^{-1} g$ from a transition's own gradient g, H the Hessian of the divergence from
where the belief is, diagonal with $1/\sigma^2$ for $\mu$ and $2/\sigma^2$ for $\sigma$, moves the
belief by $\frac12 \lambda^2 g^\top H^{-1} g$ nats to second order. It does not depend on how
$\sigma$ is parameterized. Gradients of a row are outer products (see
`zeuxis.rl.exploration.bayesian_network`), so each term of the squared sums factorizes; with moments

$$ \sum_{ij} \sigma_{ij}^2 (a_i \delta_j + \tau_i \mu_{ij} c_j)^2 = \sum_j \big[ \delta_j^2\, (\sigma^2 a^2)_j
   + 2 \delta_j c_j\, (\sigma^2 \mu\, a \tau)_j + c_j^2\, (\sigma^2 \mu^2 \tau^2)_j \big] , $$

matrix products as large as those of a forward pass: no gradient of a row is ever held. With samples
the sums over them are squared as a whole, so that rows are taken in blocks.

Source: Houthooft et al., "VIME", 2016, for the step; the products that give it for all rows are
ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ELEMENTS = 1 << 17  # numbers of one block of outer products, which then stays in the cache


@dataclass
class Layer:
    """What one layer was given and what the loss says of it, (features, rows) or, for samples,
    (features, rows, S)."""

    a: np.ndarray  # inputs, or their means; the last row is 1
    tau: np.ndarray | None  # their variances, where there are any
    q: np.ndarray  # their squares
    delta: np.ndarray
    c: np.ndarray


def squares(layer: Layer, mu: np.ndarray, mu2: np.ndarray, var: np.ndarray) -> np.ndarray:
    """One layer's part of g' H^-1 g by moments, (n,).

    Arguments:
        layer: What it was given, and what the loss says of it.
        mu: Means of its weights, (outputs, inputs + 1).
        mu2: Their squares.
        var: Variances of its weights.
    """
    d2, c2 = np.square(layer.delta), np.square(layer.c)
    spread = np.square(var) @ np.square(layer.q)
    spread *= 0.5
    if layer.tau is None:  # the square of the input is q itself
        return np.einsum("jn,jn->n", var @ layer.q, d2) + np.einsum("jn,jn->n", spread, c2)
    spread += (var * mu2) @ np.square(layer.tau)
    cross = (var * mu) @ (layer.a * layer.tau)
    cross *= layer.delta
    total = 2 * np.einsum("jn,jn->n", cross, layer.c)
    total += np.einsum("jn,jn->n", var @ np.square(layer.a), d2)
    total += np.einsum("jn,jn->n", spread, c2)
    return total


def sampled_squares(layer: Layer, var: np.ndarray) -> np.ndarray:
    """One layer's part of g' H^-1 g, summed over samples before it is squared, (n,)."""
    if layer.a.shape[2] == 1:  # the input is the same in all samples, and the sums factorize
        d, c, q = layer.delta.sum(2), layer.c.sum(2), layer.q[:, :, 0]
        return (np.square(d) * (var @ q)).sum(0) + 0.5 * (
            np.square(c) * (np.square(var) @ np.square(q))
        ).sum(0)
    total = np.empty(layer.a.shape[1], layer.a.dtype)
    flat, block = var.ravel(), max(1, ELEMENTS // var.size)
    squared = 0.5 * np.square(flat)
    for i in range(0, len(total), block):
        delta, c, a, q = (
            np.ascontiguousarray(v[:, i : i + block].transpose(1, 0, 2))
            for v in (layer.delta, layer.c, layer.a, layer.q)
        )
        by_mu = np.matmul(delta, a.transpose(0, 2, 1)).reshape(len(delta), -1)
        by_sigma = np.matmul(c, q.transpose(0, 2, 1)).reshape(len(delta), -1)
        np.square(by_mu, out=by_mu)
        np.square(by_sigma, out=by_sigma)
        total[i : i + block] = by_mu @ flat + by_sigma @ squared
    return total
