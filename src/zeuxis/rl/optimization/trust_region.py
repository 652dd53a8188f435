r"""One natural-gradient step within a trust region, for policies and for value functions.

To maximize a gain with gradient g while a divergence whose second-order term is $\frac12 x^\top F
x$ stays below $\delta$, conjugate gradients solve $(F + c I) x = g$ from products with F alone, the
step is scaled to the region's edge,

$$ \Delta = x \sqrt{\frac{2 \delta}{x^\top (F + c I)\, x}} , $$

and a line search shortens it until the gain itself has grown and the divergence itself is within
the bound. If no length will do, no step is taken and the weights are what they were, bit for bit.

Source: Schulman et al., "Trust Region Policy Optimization", 2015, appendix C. Vectors of conjugate
gradients are float64: with little damping their inner products lose too much in float32. Of the
released codes GAIL's takes an untested step after a failed search and accepts divergences up to $2
\delta$; here the bound is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...ranges import BaseConfig, Few, Positive, Range, Share, Weight
from ..policies.mlp import flat, put


@dataclass(frozen=True)
class TrustRegionConfig(BaseConfig, flags="--region."):
    """How far a step may go, and how it is found."""

    delta: Positive = 0.01
    """Largest mean divergence between the old and the new policy (nats)."""
    damping: Weight = 0.1
    """Multiple of the identity added to the curvature."""
    iterations: Few = 10
    """Of conjugate gradients."""
    fraction: Annotated[float, Range(0, 1, above=True)] = 1.0
    """Part of the batch that curvature is taken from, drawn anew for each step."""
    shrink: Annotated[float, Range(0, 1, above=True, below=True)] = 0.8
    """What a step is multiplied by after a refusal."""
    backtracks: Few = 15
    """Lengths tried."""
    accept: Share = 0.1
    """Least gain, as a part of what the gradient promised."""


def conjugate_gradients(
    product: Callable[[Tensor], Tensor],
    b: Float[Tensor, " n"],
    iterations: int = 10,
    tolerance: float = 1e-10,
) -> Float[Tensor, " n"]:
    """Solves A x = b from products with a symmetric positive matrix.

    Arguments:
        product: v to A v.
        b: The right side.
        iterations: Most of them.
        tolerance: Squared norm of the residual at which to stop, relative to that of b.

    Example:
        >>> a = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
        >>> conjugate_gradients(lambda v: a @ v, torch.tensor([3.0, 4.0], dtype=torch.float64)).round(decimals=6)
        tensor([1., 1.], dtype=torch.float64)
    """
    x, r = torch.zeros_like(b), b.clone()
    p, size = r.clone(), r @ r
    least = tolerance * size
    for _ in range(iterations):
        if size <= least:
            break
        z = product(p)
        bent = p @ z
        if not bent > 0:  # rounding has left the matrix without curvature in this direction
            break
        alpha = size / bent
        x += alpha * p
        r -= alpha * z
        before, size = size, r @ r
        p = r + (size / before) * p
    return x


def step(
    module: nn.Module,
    gradient: Float[Tensor, " weights"],
    product: Callable[[Tensor], Tensor],
    judge: Callable[[], tuple[float, float]],
    region: TrustRegionConfig,
) -> dict[str, float]:
    """Moves the module's parameters by one step, or not at all.

    Arguments:
        module: Whose parameters, in their order, the vectors are about.
        gradient: Of the gain.
        product: F times a vector, without damping.
        judge: Gain over where it started and divergence from there, with the parameters as they
            are.
        region: Bounds.

    Returns:
        The gain, the divergence, and the fraction of the full step that was taken (0 for none).
    """
    before, g = flat(module), gradient.double()
    nothing = {"gain": 0.0, "kl": 0.0, "step": 0.0}

    def damped(v: Tensor) -> Tensor:
        return product(v.to(gradient.dtype)).double() + region.damping * v

    if not torch.isfinite(g).all() or g.abs().max() < 1e-12:
        return nothing
    x = conjugate_gradients(damped, g, region.iterations)
    bent = x @ damped(x)
    if not (torch.isfinite(bent) and bent > 0):
        return nothing
    full = x * (2 * region.delta / bent).sqrt()
    promised, length = (g @ full).item(), 1.0
    for _ in range(region.backtracks):
        put(module, before + (length * full).to(before.dtype))
        gain, divergence = judge()
        if gain > 0 and gain >= region.accept * length * promised and divergence <= region.delta:
            return {"gain": gain, "kl": divergence, "step": length}
        length *= region.shrink
    put(module, before)
    return nothing
