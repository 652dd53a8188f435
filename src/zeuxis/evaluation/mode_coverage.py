r"""Mode coverage: how many parts of a mixture a model's samples reach, how evenly, and how closely.

Each sample belongs to its nearest center and is good if it lies within k standard deviations of it.
A mode out of M is hit if the good samples at it are at least a hundredth of its even share 1/M of
all samples, so that a fog over the plane hits nothing. With $q_i$ the share of mode i among the
good samples,

$$ \mathrm{KL}(q \,\|\, u) = \sum_i q_i \log (M q_i) \in [0, \log M], \qquad
   \mathrm{KL}(u \,\|\, q) = -\tfrac{1}{M} \sum_i \log (M q_i) , $$

the second infinite if a mode is missed altogether. A two-dimensional Gaussian itself has $1 -
e^{-k^2/2}$ within k standard deviations: 98.9 % for 3. Source: Srivastava et al., "VEEGAN: Reducing
Mode Collapse in GANs using Implicit Variational Learning", 2017, which counts a mode from one
sample on; a share keeps the count from growing with the number of samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import UsageError


@dataclass(frozen=True)
class ModeCoverage:
    """Mode coverage of one sample.

    Arguments:
        modes: Modes there are.
        hit: Modes at which lie at least n / 100 M of the n samples, good ones.
        reached: Modes with at least one good sample.
        good: Share of samples within k standard deviations of a center.
        good4: Share within 4.
        kl: KL of the shares of good samples to uniform (nats).
        reverse_kl: KL of uniform to the shares (nats), infinite if a mode is missed altogether.
        least: The smallest share times the number of modes: 1 for an even cover, 0 where one is
            missed.
        samples: Samples looked at.
    """

    modes: int
    hit: int
    reached: int
    good: float
    good4: float
    kl: float
    reverse_kl: float
    least: float
    samples: int

    def __str__(self) -> str:
        return (
            f"{self.hit} of {self.modes} modes, {self.good:.1%} good samples, KL of "
            f"the shares to uniform {self.kl:.4f} nats"
        )


def mode_coverage(
    samples: Float[Tensor, "n dim"], centers: Float[Tensor, "modes dim"], std: float, k: float = 3.0
) -> ModeCoverage:
    """Counts samples near each center.

    Arguments:
        samples: Points a model made.
        centers: Means of the mixture.
        std: The standard deviation of each part along each axis.
        k: Standard deviations within which a sample is good.

    Example:
        >>> centers = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
        >>> found = mode_coverage(
        ...     torch.tensor([[0.0, 0.1], [0.1, 0.0], [0.5, 0.5], [1.0, 0.2]]), centers, std=0.1
        ... )
        >>> found.hit, found.good, round(found.kl, 4)
        (2, 0.75, 0.0566)
    """
    if not len(samples) or not len(centers):
        raise UsageError(
            f"Mode coverage needs samples and centers, got {len(samples)} and "
            f"{len(centers)}: give at least one of each."
        )
    if not std > 0 or not k > 0:
        raise UsageError(
            f"Mode coverage got std {std} within {k} of which samples are good: give "
            "numbers above 0."
        )
    modes, points = len(centers), centers.double().to(samples.device)
    parts = [
        torch.cdist(part, points, compute_mode="donot_use_mm_for_euclid_dist").min(1)
        for part in samples.double().split(4096)
    ]
    distance, nearest = (
        torch.cat([part.values for part in parts]),
        torch.cat([part.indices for part in parts]),
    )
    good = distance <= k * std
    counts = torch.bincount(nearest[good], minlength=modes).double()
    shares = counts / counts.sum().clamp(min=1)
    relative = shares * modes
    return ModeCoverage(
        modes=modes,
        hit=int((counts * modes >= 0.01 * len(samples)).sum()),
        reached=int((counts > 0).sum()),
        good=good.double().mean().item(),
        good4=(distance <= 4 * std).double().mean().item(),
        kl=torch.xlogy(shares, relative).sum().item() if good.any() else float("nan"),
        reverse_kl=-relative.log().mean().item(),
        least=relative.min().item(),
        samples=len(samples),
    )
