r"""Running mean and standard deviation, which standardize observations, returns and inputs.

Counts, means and sums of squared deviations of two sets combine exactly,

$$ m = m_a + \frac{n_b}{n}(m_b - m_a), \qquad S = S_a + S_b + \frac{n_a n_b}{n}(m_b - m_a)^2 , $$

in float64, so that nothing drifts over millions of steps. Source: Chan, Golub and LeVeque,
"Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

EPSILON = 1e-6  # added to the deviation, as in the code released with GAIL


class RunningMeanStd(nn.Module):
    """Mean and standard deviation of all vectors so far; 0 and 1 before the first.

    Arguments:
        size: Numbers of a vector.
        frozen: Whether `update` does nothing.
        clip: Largest absolute value of a standardized number, None for no limit. An entry that was
            constant and then changes would be millions of deviations off.

    Example:
        >>> rms = RunningMeanStd(1)
        >>> rms.update(torch.tensor([[1.0], [3.0]]))
        >>> rms.update(torch.tensor([[5.0]]))
        >>> rms.mean.item(), round(rms.std.item() ** 2, 4)
        (3.0, 2.6667)
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, size: int, frozen: bool = False, clip: float | None = None) -> None:
        super().__init__()
        self.frozen, self.clip = frozen, clip
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(size, dtype=torch.float64))

    @property
    def std(self) -> Tensor:
        if self.count == 0:
            return torch.ones_like(self.mean)
        return (self.squares / self.count).sqrt() + EPSILON

    @torch.no_grad()
    def update(self, x: Float[Tensor, "n size"]) -> None:
        """Adds vectors to the statistics."""
        if self.frozen or not len(x):
            return
        x = x.double()
        mean, n = x.mean(0), len(x)
        total = self.count + n
        delta = mean - self.mean
        self.squares += (x - mean).square().sum(0) + delta.square() * self.count * n / total
        self.mean += delta * n / total
        self.count.copy_(total)

    def freeze(self) -> None:
        """Keeps mean and deviation fixed from now on."""
        self.frozen = True

    def standardize(self, x: Float[Tensor, "n size"]) -> Float[Tensor, "n size"]:
        """Returns (x - mean) / std, clipped."""
        if self.count == 0:
            return x
        x = (x - self.mean.to(x.dtype)) * (1 / self.std).to(x.dtype)
        return x if self.clip is None else x.clamp(-self.clip, self.clip)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean, and the reciprocal of the deviation, float32."""
        return self.mean.float().cpu().numpy().copy(), (1 / self.std).float().cpu().numpy()
