r"""Moments of a rectified Gaussian in closed form: mean, variance and mean square.

For $z \sim \mathcal{N}(m, v)$ with $t = m / \sqrt v$, $\Phi$ and $\varphi$ the standard normal
distribution and density,

$$ \mathbb{E}[z^+] = \sqrt v\, (t \Phi + \varphi), \qquad
   \mathrm{Var}[z^+] = v\, \big( \Phi + t^2 \Phi (1 - \Phi) + t \varphi (1 - 2 \Phi)
   - \varphi^2 \big) , $$

the second written so that nothing cancels, even in float32, where the Gaussian lies far above 0.
Derivatives of an expectation of f are expectations of derivatives: of f' by m, of f'' / 2 by v.

Source: Frey and Hinton, "Variational Learning in Nonlinear Gaussian Belief Networks", 1999.
"""

from __future__ import annotations

import math

import numpy as np
import torch

ROOT_HALF = math.sqrt(0.5)
PEAK = 1 / math.sqrt(2 * math.pi)  # of the standard normal density


def rectified(
    m: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Moments of the ReLU of Gaussians.

    Arguments:
        m: Means (units, n).
        v: Variances (units, n).

    Returns:
        Mean, variance and mean square with a last row for the bias, (units + 1, n); the probability
        of being above 0, and the density at 0, (units, n).

    Example:
        >>> mean, variance, square, above, density = rectified(np.zeros((1, 1)), np.ones((1, 1)))
        >>> mean.round(4).tolist(), square.round(4).tolist(), above.tolist()
        ([[0.3989], [1.0]], [[0.5], [1.0]], [[0.5]])
    """
    s = np.sqrt(v)
    t = m / s
    above = torch.erf(torch.from_numpy(t * ROOT_HALF)).numpy()
    above += 1
    above *= 0.5
    density = np.exp(-0.5 * np.square(t))
    density *= PEAK
    units, n = m.shape
    a, tau, q = (np.empty((units + 1, n), m.dtype) for _ in range(3))
    a[-1], tau[-1], q[-1] = 1, 0, 1
    mean, spread = a[:-1], tau[:-1]
    np.multiply(t, above, out=mean)
    mean += density
    # E z^2 - (E z)^2 in units of v, without cancellation where the Gaussian is far above 0.
    below = 1 - above
    np.multiply(t, above, out=spread)
    spread *= below
    spread += density * (below - above)
    spread *= t
    spread += above
    spread -= np.square(density)
    np.maximum(spread, 0, out=spread)
    spread *= v
    mean *= s
    np.square(mean, out=q[:-1])
    q[:-1] += spread
    density /= s
    return a, tau, q, above, density
