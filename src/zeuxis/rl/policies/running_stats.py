r"""Running mean and deviation of vectors: what observations, returns and a discriminator's inputs
are standardized by.

Counts, means and sums of squared deviations of two sets join exactly,

$$ m = m_a + \frac{n_b}{n}(m_b - m_a), \qquad S = S_a + S_b + \frac{n_a n_b}{n}(m_b - m_a)^2 , $$

in float64, so that nothing drifts over millions of steps. Source: Chan, Golub and LeVeque,
"Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

LEAST = (
    1e-6  # added to the deviation, as in the code released with GAIL; constant entries stay near 0
)


class Running(nn.Module):
    """Mean and deviation of all vectors seen so far; until the first, 0 and 1.

    Arguments:
        size: Numbers of a vector.
        frozen: Whether `update` is without effect.
        clip: Largest standardized number: an entry that never moved and then does would be millions
            of deviations off. None for none.

    Example:
        >>> seen = Running(1)
        >>> seen.update(torch.tensor([[1.0], [3.0]])); seen.update(torch.tensor([[5.0]]))
        >>> seen.mean.item(), round(seen.std.item() ** 2, 4)
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
        return (
            (self.squares / self.count).sqrt() + LEAST
            if self.count > 0
            else torch.ones_like(self.mean)
        )

    @torch.no_grad()
    def update(self, x: Float[Tensor, "n size"]) -> None:
        """Takes further vectors in."""
        if self.frozen or not len(x):
            return
        x = x.double()
        mean, n = x.mean(0), len(x)
        total = self.count + n
        apart = mean - self.mean
        self.squares += (x - mean).square().sum(0) + apart.square() * self.count * n / total
        self.mean += apart * n / total
        self.count.copy_(total)

    def freeze(self) -> None:
        """Keeps mean and deviation as they are from now on."""
        self.frozen = True

    def standardize(self, x: Float[Tensor, "n size"]) -> Float[Tensor, "n size"]:
        """(x - mean) / deviation, within the clip."""
        if self.count == 0:
            return x
        x = (x - self.mean.to(x.dtype)) * (1 / self.std).to(x.dtype)
        return x if self.clip is None else x.clamp(-self.clip, self.clip)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """What to subtract and what to multiply by, float32."""
        return self.mean.float().cpu().numpy().copy(), (1 / self.std).float().cpu().numpy()
