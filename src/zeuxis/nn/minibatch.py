r"""Minibatch discrimination: the discriminator sees how close each example lies to the others of its batch.

A generator that collapses makes a batch of look-alikes; judged one by one they may pass, together they are found out. From features
$f(x_i) \in \mathbb{R}^A$ and a kernel tensor $T \in \mathbb{R}^{A \times B \times C}$,

$$ M_i = f(x_i)\, T, \qquad c_b(x_i, x_j) = e^{-\lVert M_{i,b} - M_{j,b} \rVert_1}, \qquad
   o(x_i)_b = \sum_{j \ne i} c_b(x_i, x_j) + \beta_b , $$

and the layer's output is $[f(x_i), o(x_i)]$. The paper's sum includes $j = i$, a constant 1; as in the released code it is left out
here. So are two details of that code: $T = \theta\, e^{s} / \lVert\theta\rVert$ with the norm over $A$, and a first pass over data that
divides the distances of kernel b by half the mean distance to the nearest neighbour and sets $\beta_b$ so that $o_b$ has mean 0.
Real and generated batches go through it apart. Under several processes the batch is the global one while training.

**Following.** Features and kernels grow while a discriminator learns, until every $c_b$ may be 0 to the last bit, and with it the
gradient: the layer has gone blind, and a collapsing generator is not found out. So the rule of the first pass can be kept in force:
distances are divided by half the mean distance to the nearest neighbour among real examples, averaged over the last steps. This is not
the paper's.

Source: Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.2 and released code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..training.distributed import active, gather_rows


class MinibatchDiscrimination(nn.Module):
    """Appends to each example's features its closeness to the rest of the batch.

    Arguments:
        features: Length A of the feature vectors.
        kernels: Number B of closeness features.
        dimensions: Dimension C of the space in which each kernel measures distance.
        follow: Share of each real batch in the unit of distance; 0 leaves what the first pass found.

    Example:
        >>> import torch
        >>> layer = MinibatchDiscrimination(8, kernels=3, dimensions=2)
        >>> layer(torch.ones(5, 8))[:, 8:].detach()[0]  # identical examples: each is close to the other 4
        tensor([4., 4., 4.])
    """

    unit: Tensor  # only where it follows

    def __init__(self, features: int, kernels: int = 100, dimensions: int = 5, follow: float = 0.0) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.randn(features, kernels, dimensions) * 0.05)
        self.scale = nn.Parameter(torch.zeros(kernels, dimensions))
        self.bias = nn.Parameter(torch.zeros(kernels))
        self.follow, self.initialising = follow, False
        if follow:
            self.register_buffer("unit", torch.ones(kernels))

    def forward(self, f: Float[Tensor, "n features"], real: bool = False) -> Float[Tensor, "n more"]:
        """Features and closeness; `real` says that the batch is one that the unit of distance follows."""
        everyone, own = gather_rows(f) if active() and self.training and not self.initialising else (f, slice(0, len(f)))
        distance = self.distances(everyone)
        if self.initialising:
            distance = self.adapt(distance)
        elif self.follow:
            if real:
                self.unit.lerp_(self.half_nearest(distance), self.follow)
            distance = distance / self.unit[:, None, None]
        o = torch.exp(-distance).sum(2).T[own] + self.bias
        return torch.cat([f, o.to(f.dtype)], 1)

    def apart(self, f: Float[Tensor, "n features"], parts: Sequence[int]) -> Float[Tensor, "n more"]:
        """The same for parts of a batch, each by itself; the first of several is the real one, and no parts are one part."""
        return torch.cat([self(part, real=len(parts) > 1 and not i) for i, part in enumerate(f.split(list(parts) or len(f)))])

    def distances(self, f: Tensor) -> Tensor:
        """L1 distances (B, n, n) of all pairs in each kernel's space, infinite to oneself."""
        kernel = self.theta * (self.scale.exp() / self.theta.norm(dim=0))
        with torch.autocast(f.device.type, enabled=False):
            m = torch.einsum("na,abc->bnc", f.float(), kernel.float())
            distance = torch.cdist(m, m, p=1.0)
        return distance.masked_fill(torch.eye(len(f), dtype=torch.bool, device=f.device), torch.inf)

    @torch.no_grad()
    def adapt(self, distance: Tensor) -> Tensor:
        """Sets scale and bias from the distances in a first batch; returns the scaled distances."""
        unit = self.half_nearest(distance)
        self.scale.sub_(unit.log()[:, None])
        distance = distance / unit[:, None, None]
        self.bias.copy_(-torch.exp(-distance).sum(2).mean(1))
        return distance

    @torch.no_grad()
    def settle(self, batches: Sequence[Float[Tensor, "n features"]]) -> None:
        """Sets the unit that follows to its mean over batches of real features, for averaged weights, whose unit nothing has followed."""
        self.unit.copy_(torch.stack([self.half_nearest(self.distances(f)) for f in batches]).mean(0))

    def half_nearest(self, distance: Tensor) -> Tensor:
        """Half the mean distance to the nearest neighbour, per kernel; 1 where all examples are the same."""
        unit = 0.5 * distance.detach().amin(2).mean(1).to(self.theta.dtype)
        return torch.where(unit > 1e-6, unit, 1.0)
