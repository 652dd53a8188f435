r"""Minibatch discrimination: the discriminator sees how close each example lies to the others of
its batch.

A generator that collapses makes a batch of look-alikes; judged one by one they may pass, together
they are found out. From features $f(x_i) \in \mathbb{R}^A$ and a kernel tensor $T \in \mathbb{R}^{A
\times B \times C}$,

$$ M_i = f(x_i)\, T, \qquad c_b(x_i, x_j) = e^{-\lVert M_{i,b} - M_{j,b} \rVert_1}, \qquad
   o(x_i)_b = \sum_{j \ne i} c_b(x_i, x_j) + \beta_b , $$

and the layer's output is $[f(x_i), o(x_i)]$. The paper's sum includes $j = i$, a constant 1; as in
the released code it is left out here. So are two details of that code: $T = \theta\, e^{s} /
\lVert\theta\rVert$ with the norm over $A$, and a first pass over data that divides the distances of
kernel b by half the mean distance to the nearest neighbor and sets $\beta_b$ so that $o_b$ has mean
0. Real and generated batches go through it apart. Under several processes the batch is the global
one while training.

**Following.** Features and kernels grow while a discriminator learns, until every $c_b$ may be 0 to
the last bit, and with it the gradient: the layer has gone blind, and a collapsing generator is not
found out. So the rule of the first pass can be kept in force: distances are divided by half the
mean distance to the nearest neighbor among the real examples beside them, or, where there are none,
by its average over the last steps. The gradient goes through that unit as well. Were it a constant,
the discriminator could make real examples closer by shrinking its features, the unit would follow,
and so on, until every image looks alike to it. This is not the paper's.

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
        follow: Share of each real batch in the average of the unit of distance; 0 leaves what the
            first pass found.

    Example:
        >>> import torch
        >>> layer = MinibatchDiscrimination(8, kernels=3, dimensions=2)
        >>> layer(torch.ones(5, 8))[:, 8:].detach()[0]  # identical examples: each is close to the other 4
        tensor([4., 4., 4.])
    """

    unit: Tensor  # only where it follows

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
        """Features and closeness, by a unit of distance if one is given."""
        everyone, own = self.everyone(f)
        distance = self.distances(everyone)
        if self.initializing:
            distance = self.adapt(distance)
        elif self.follow:
            distance = distance / (self.unit if unit is None else unit)[:, None, None]
        o = self.closeness(distance)[own] + self.bias
        return torch.cat([f, o.to(f.dtype)], 1)

    def apart(
        self, f: Float[Tensor, "n features"], parts: Sequence[int]
    ) -> Float[Tensor, "n more"]:
        """The same for parts of a batch, each by itself; the first of several is the real one, and
        no parts are one part."""
        pieces, unit = f.split(list(parts) or len(f)), None
        if self.follow and len(pieces) > 1:
            unit = self.half_nearest(self.distances(self.everyone(pieces[0])[0]))
            self.unit.lerp_(unit.detach(), self.follow)
        return torch.cat([self(piece, unit) for piece in pieces])

    def everyone(self, f: Tensor) -> tuple[Tensor, slice]:
        """The batch over all processes while training, and where f stands in it."""
        return (
            gather_rows(f)
            if is_distributed() and self.training and not self.initializing
            else (f, slice(0, len(f)))
        )

    def distances(self, f: Tensor) -> Tensor:
        """L1 distances (B, n, n) of all pairs in each kernel's space."""
        kernel = self.theta * (self.scale.exp() / self.theta.norm(dim=0))
        with torch.autocast(f.device.type, enabled=False):
            m = torch.einsum("na,abc->bnc", f.float(), kernel.float())
            return torch.cdist(m, m, p=1.0)

    def closeness(self, distance: Tensor) -> Tensor:
        """Sums (n, B) over the others of the batch."""
        return torch.exp(-distance).masked_fill(oneself(distance), 0.0).sum(2).T

    @torch.no_grad()
    def adapt(self, distance: Tensor) -> Tensor:
        """Sets scale and bias from the distances in a first batch; returns the scaled distances."""
        unit = self.half_nearest(distance)
        self.scale.sub_(unit.log()[:, None])
        distance = distance / unit[:, None, None]
        self.bias.copy_(-self.closeness(distance).mean(0))
        return distance

    @torch.no_grad()
    def update_statistics(self, batches: Sequence[Float[Tensor, "n features"]]) -> None:
        """Sets the unit that follows to its mean over batches of real features, for averaged
        weights, whose unit nothing has followed."""
        self.unit.copy_(
            torch.stack([self.half_nearest(self.distances(f)) for f in batches]).mean(0)
        )

    def half_nearest(self, distance: Tensor) -> Tensor:
        """Half the mean distance to the nearest neighbor, per kernel; 1 where all examples are the
        same."""
        unit = 0.5 * distance.masked_fill(oneself(distance), torch.inf).amin(2).mean(1).to(
            self.theta.dtype
        )
        return torch.where(unit > 1e-6, unit, 1.0)


def oneself(distance: Tensor) -> Tensor:
    """Where a square's pairs are of an example with itself."""
    return torch.eye(distance.shape[-1], dtype=torch.bool, device=distance.device)
