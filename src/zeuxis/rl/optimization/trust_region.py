r"""One natural-gradient step within a trust region, for policies and value functions.

To maximize an objective with gradient g while a divergence with second-order term $\frac12 x^\top F
x$ stays below $\delta$, conjugate gradients solve $(F + c I) x = g$ from products with F alone. The
step is scaled to the edge of the region,

$$ \Delta = x \sqrt{\frac{2 \delta}{x^\top (F + c I)\, x}} , $$

and a line search shortens it until the objective itself has improved and the divergence itself is
within the bound. If no length succeeds, no step is taken and the weights stay as they were, bit for
bit.

Source: Schulman et al., "Trust Region Policy Optimization", 2015, appendix C. The vectors of
conjugate gradients are float64: with little damping their inner products lose too much in float32.
Departure: the code released with GAIL takes an untested step after a failed search and accepts
divergences up to $2 \delta$; here the bound is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...ranges import BaseConfig, Fraction, Positive, Range, SmallCount, Weight
from ..policies.mlp import load_parameters, parameters_to_vector

NO_STEP = {"gain": 0.0, "kl": 0.0, "step": 0.0}


@dataclass(frozen=True)
class TrustRegionConfig(BaseConfig, flags="--trust-region."):
    """How far a step may go, and how it is found."""

    delta: Positive = 0.01
    """Largest mean KL divergence of the new policy from the old one (nats)."""
    damping: Weight = 0.1
    """Multiple of the identity that is added to the curvature."""
    iterations: SmallCount = 10
    """Iterations of conjugate gradients."""
    fraction: Annotated[float, Range(0, 1, above=True)] = 1.0
    """Fraction of the batch that estimates the curvature, sampled for each step."""
    shrink: Annotated[float, Range(0, 1, above=True, below=True)] = 0.8
    """Factor of the step length after each failure of the line search."""
    backtracks: SmallCount = 15
    """Step lengths that the line search tries."""
    accept: Fraction = 0.1
    """Least improvement, as a fraction of what the gradient predicts."""


def conjugate_gradients(
    product: Callable[[Tensor], Tensor],
    b: Float[Tensor, " n"],
    iterations: int = 10,
    tolerance: float = 1e-10,
) -> Float[Tensor, " n"]:
    """Solves A x = b from products with a symmetric positive definite matrix A.

    Arguments:
        product: Maps v to A v.
        b: Right-hand side.
        iterations: Largest number of iterations.
        tolerance: Squared norm of the residual at which to stop, relative to that of b.

    Example:
        >>> a = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
        >>> b = torch.tensor([3.0, 4.0], dtype=torch.float64)
        >>> conjugate_gradients(lambda v: a @ v, b).round(decimals=6)
        tensor([1., 1.], dtype=torch.float64)
    """
    x, r = torch.zeros_like(b), b.clone()
    p, size = r.clone(), r @ r
    smallest = tolerance * size
    for _ in range(iterations):
        if size <= smallest:
            break
        z = product(p)
        curvature = p @ z
        if not curvature > 0:  # lost to rounding
            break
        alpha = size / curvature
        x += alpha * p
        r -= alpha * z
        before, size = size, r @ r
        p = r + (size / before) * p
    return x


def natural_gradient_step(
    module: nn.Module,
    gradient: Float[Tensor, " weights"],
    product: Callable[[Tensor], Tensor],
    evaluate: Callable[[], tuple[float, float]],
    config: TrustRegionConfig,
) -> dict[str, float]:
    """Moves the module's parameters by one step, or not at all.

    Arguments:
        module: Module whose parameters, in their order, the vectors belong to.
        gradient: Gradient of the objective.
        product: Maps v to F v, without damping.
        evaluate: Returns improvement and divergence from the start at the current parameters.
        config: Settings of the trust region.

    Returns:
        `gain` (improvement), `kl` (divergence), and `step`, the fraction of the full step (0 for
        no step).
    """
    start, g = parameters_to_vector(module), gradient.double()

    def damped(v: Tensor) -> Tensor:
        return product(v.to(gradient.dtype)).double() + config.damping * v

    if not torch.isfinite(g).all() or g.abs().max() < 1e-12:
        return dict(NO_STEP)
    x = conjugate_gradients(damped, g, config.iterations)
    curvature = x @ damped(x)
    if not (torch.isfinite(curvature) and curvature > 0):
        return dict(NO_STEP)
    full = x * (2 * config.delta / curvature).sqrt()
    predicted, length = (g @ full).item(), 1.0
    for _ in range(config.backtracks):
        load_parameters(module, start + (length * full).to(start.dtype))
        gain, divergence = evaluate()
        improved = gain > 0 and gain >= config.accept * length * predicted
        if improved and divergence <= config.delta:
            return {"gain": gain, "kl": divergence, "step": length}
        length *= config.shrink
    load_parameters(module, start)
    return dict(NO_STEP)
