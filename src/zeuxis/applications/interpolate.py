r"""Interpolation between latents and arithmetic on latents.

Interpolation passes through latents $z_1, \dots, z_k$, and every image on the way should be a
plausible one (DCGAN, section 6.1); where it jumps, the generator has memorized. Between two latents
it is linear for a uniform prior, and follows the great circle for a normal one: a normal latent of
d dimensions lies at a distance near $\sqrt d$ from the origin, and a straight line would leave that
shell (White 2016).

Arithmetic (DCGAN, section 6.3.2) takes the mean latent of a few examples of each concept, since
single latents proved unstable: $z = \bar z_a - \bar z_b + \bar z_c$.

Sources: Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks", 2016; White, "Sampling Generative Networks", 2016.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import UsageError
from ..model import Model


def has_normal_prior(model: Any) -> bool:
    """Whether a model's prior is normal, as it is unless the model or its config says otherwise."""
    if isinstance(model, Model):
        return model.normal_prior
    return getattr(model.config, "prior", "normal") == "normal"


def great_circle(
    a: Float[Tensor, "latent"], b: Float[Tensor, "latent"], t: float
) -> Float[Tensor, "latent"]:
    """The point a fraction t of the way from a to b on the great circle.

    The angular speed is constant, and the norm goes linearly from that of a to that of b. Where the
    circle is not defined, for a zero or for opposite directions, the way is linear.

    Example:
        >>> import torch
        >>> great_circle(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 0.5)
        tensor([0.7071, 0.7071])
    """
    if not (a.any() and b.any()):
        return torch.lerp(a, b, t)
    unit_a, unit_b = a / a.norm(), b / b.norm()
    angle = torch.acos((unit_a @ unit_b).clamp(-1, 1))
    if angle.sin().abs() < 1e-6:
        return torch.lerp(a, b, t)
    along = torch.sin((1 - t) * angle) * unit_a + torch.sin(t * angle) * unit_b
    return along / torch.sin(angle) * torch.lerp(a.norm(), b.norm(), t)


def interpolate(
    points: Float[Tensor, "points latent"], steps: int, circle: bool = False, closed: bool = False
) -> Float[Tensor, "n latent"]:
    """Latents on the way from point to point.

    Arguments:
        points: The latents to pass through, at least two.
        steps: Latents from one point to the next.
        circle: Follow great circles instead of straight lines.
        closed: Return to the first point.

    Returns:
        (points - 1) * steps + 1 latents, or points * steps for a closed way.

    Example:
        >>> import torch
        >>> interpolate(torch.tensor([[0.0], [2.0], [4.0]]), 2)[:, 0].tolist()
        [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    if len(points) < 2 or steps < 1:
        raise UsageError(
            f"Interpolation needs at least 2 latents and 1 step between them, got {len(points)} "
            f"and {steps}: give more."
        )
    between = great_circle if circle else torch.lerp
    ends = torch.cat([points[1:], points[:1]]) if closed else points[1:]
    way = [
        between(a, b, i / steps) for a, b in zip(points, ends, strict=False) for i in range(steps)
    ]
    return torch.stack(way if closed else [*way, points[-1]])


def combine(
    plus: Float[Tensor, "a latent"],
    minus: Float[Tensor, "b latent"],
    then: Float[Tensor, "c latent"],
) -> Float[Tensor, "latent"]:
    """The mean of the first latents, minus that of the second, plus that of the third.

    Example:
        >>> import torch
        >>> plus, minus = torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 1.0]])
        >>> combine(plus, minus, torch.tensor([[0.0, 2.0], [2.0, 2.0]]))
        tensor([3., 2.])
    """
    if not (len(plus) and len(minus) and len(then)):
        raise UsageError(
            "Latent arithmetic needs at least one latent in each of its three places; the mean of "
            "three is more stable than one."
        )
    return plus.mean(0) - minus.mean(0) + then.mean(0)


def neighbors(
    z: Float[Tensor, "latent"], n: int, width: float, generator: torch.Generator
) -> Float[Tensor, "n latent"]:
    """The latent itself, then n - 1 uniform neighbors within +-width of it.

    The paper's figure 7 has n = 9 and width = 0.25.
    """
    offsets = (torch.rand(n - 1, len(z), generator=generator) * 2 - 1) * width
    return torch.cat([z[None], z + offsets.to(z)])
