r"""Minibatch discrimination: the discriminator sees how close examples of a batch are.

A collapsed generator makes a batch of similar images. Each may pass by itself, but the batch does
not. From features $f(x_i) \in \mathbb{R}^A$ and a kernel tensor $T \in \mathbb{R}^{A
\times B \times C}$,

$$ M_i = f(x_i)\, T, \qquad c_b(x_i, x_j) = e^{-\lVert M_{i,b} - M_{j,b} \rVert_1}, \qquad
   o(x_i)_b = \sum_{j \ne i} c_b(x_i, x_j) + \beta_b , $$

and the layer's output is $[f(x_i), o(x_i)]$. The paper's sum includes $j = i$, a constant 1; like
the released code we leave it out. Two more details are that code's: $T = \theta\, e^{s} /
\lVert\theta\rVert$ with the norm over $A$, and a data-dependent initialization, which divides the
distances of kernel b by half the mean distance to the nearest neighbor and sets $\beta_b$ so that
$o_b$ has mean 0. Real and generated images are separate sub-batches. With several processes the
layer sees the global batch while training.

**Running distance scale** (`follow`, not in the paper). Features and kernels grow while a
discriminator learns, until every $c_b$ and its gradient may be exactly 0; the layer then no longer
detects a collapse. With `follow` above 0 the rule of the initialization stays in force: distances
are divided by half the mean distance to the nearest neighbor among the real examples of the batch,
or, without real examples, by the running average of that scale. The gradient goes through the scale
as well. If the scale were a constant, the discriminator could bring real examples closer by
shrinking its features, the scale would follow, and in the end all images would look alike to it.

Source: Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.2 and released
code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..distributed import gather_rows, is_distributed


class MinibatchDiscrimination(nn.Module):
    """Appends to each example's features its closeness to the rest of the batch.

    Arguments:
        features: Length A of the feature vectors.
        kernels: Number B of closeness features.
        dimensions: Dimension C of the space in which each kernel measures distance.
        follow: Weight of each real batch in the running average of the distance scale; 0 keeps the
            scale of the initialization.

    Example:
        >>> import torch
        >>> layer = MinibatchDiscrimination(8, kernels=3, dimensions=2)
        >>> layer(torch.ones(5, 8))[:, 8:].detach()[
        ...     0
        ... ]  # identical examples: each is close to the other 4
        tensor([4., 4., 4.])
    """

    unit: Tensor  # the running distance scale, only with `follow`

    def __init__(
        self, features: int, kernels: int = 100, dimensions: int = 5, follow: float = 0.0
    ) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.randn(features, kernels, dimensions) * 0.05)
        self.scale = nn.Parameter(torch.zeros(kernels, dimensions))
        self.bias = nn.Parameter(torch.zeros(kernels))
        self.follow, self.initializing = follow, False
        if follow:
            self.register_buffer("unit", torch.ones(kernels))

    def forward(
        self, f: Float[Tensor, "n features"], unit: Float[Tensor, "kernels"] | None = None
    ) -> Float[Tensor, "n more"]:
        """Features and closeness, with a distance scale `unit` or the running one."""
        batch, own = self.global_batch(f)
        distance = self.distances(batch)
        if self.initializing:
            distance = self.adapt(distance)
        elif self.follow:
            distance = distance / (self.unit if unit is None else unit)[:, None, None]
        o = self.closeness(distance)[own] + self.bias
        return torch.cat([f, o.to(f.dtype)], 1)

    def per_sub_batch(
        self, f: Float[Tensor, "n features"], sizes: Sequence[int]
    ) -> Float[Tensor, "n more"]:
        """Applies the layer to each sub-batch separately.

        Arguments:
            f: Features of all sub-batches.
            sizes: Their sizes; the first must be the real images. Empty means one sub-batch.
        """
        parts, unit = f.split(list(sizes) or len(f)), None
        if self.follow and len(parts) > 1:
            unit = self.half_nearest(self.distances(self.global_batch(parts[0])[0]))
            self.unit.lerp_(unit.detach(), self.follow)
        return torch.cat([self(part, unit) for part in parts])

    def global_batch(self, f: Tensor) -> tuple[Tensor, slice]:
        """The batch of all processes while training, and the rows of f in it."""
        if is_distributed() and self.training and not self.initializing:
            return gather_rows(f)
        return f, slice(0, len(f))

    def distances(self, f: Tensor) -> Tensor:
        """L1 distances (B, n, n) of all pairs in each kernel's space."""
        kernel = self.theta * (self.scale.exp() / self.theta.norm(dim=0))
        with torch.autocast(f.device.type, enabled=False):
            m = torch.einsum("na,abc->bnc", f.float(), kernel.float())
            return torch.cdist(m, m, p=1.0)

    def closeness(self, distance: Tensor) -> Tensor:
        """Sums (n, B) over the others of the batch."""
        return torch.exp(-distance).masked_fill(diagonal(distance), 0.0).sum(2).T

    @torch.no_grad()
    def adapt(self, distance: Tensor) -> Tensor:
        """Sets scale and bias from the distances in a batch; returns the scaled distances."""
        unit = self.half_nearest(distance)
        self.scale.sub_(unit.log()[:, None])
        distance = distance / unit[:, None, None]
        self.bias.copy_(-self.closeness(distance).mean(0))
        return distance

    @torch.no_grad()
    def update_statistics(self, batches: Sequence[Float[Tensor, "n features"]]) -> None:
        """Recomputes the running distance scale from batches of real features.

        The EMA weights need this, since they never tracked it.
        """
        units = [self.half_nearest(self.distances(f)) for f in batches]
        self.unit.copy_(torch.stack(units).mean(0))

    def half_nearest(self, distance: Tensor) -> Tensor:
        """Half the mean distance to the nearest neighbor, per kernel; 1 if examples are equal."""
        nearest = distance.masked_fill(diagonal(distance), torch.inf).amin(2)
        unit = 0.5 * nearest.mean(1).to(self.theta.dtype)
        return torch.where(unit > 1e-6, unit, 1.0)


def diagonal(distance: Tensor) -> Tensor:
    """True where a pair is an example with itself, (n, n)."""
    return torch.eye(distance.shape[-1], dtype=torch.bool, device=distance.device)
