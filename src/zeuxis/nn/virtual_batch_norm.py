r"""Virtual batch normalization: statistics come from a fixed reference batch.

Under batch normalization an image depends on the others of its batch; a generator can then give a
whole batch the same color. Here each example $x_i$ is normalized with the statistics of a fixed
reference batch $R$ of N examples and of itself alone: per channel, with means over N and all
positions,

$$ m_i = \tfrac{1}{N+1} \overline{x_i} + \tfrac{N}{N+1} \overline{R}, \qquad
   q_i = \tfrac{1}{N+1} \overline{x_i^2} + \tfrac{N}{N+1} \overline{R^2}, \qquad
   y_i = \gamma \frac{x_i - m_i}{\sqrt{q_i - m_i^2 + 10^{-5}}} + \beta . $$

The reference examples are normalized with the statistics of $R$. They pass through the network
before the live examples, since their activations change with the weights; gradients flow into their
statistics too. (The released code first took mean and second moment over the whole live batch; this
is the paper's form.)

Source: Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.5 and released
code.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class VirtualBatchNorm(nn.Module):
    """Normalizes a batch whose first `reference` examples are the reference batch.

    Arguments:
        features: Channels of an (N, C, H, W) input, or units of an (N, C) input.
        reference: Examples in the reference batch.

    Example:
        >>> import torch
        >>> norm, reference = VirtualBatchNorm(3, reference=4), torch.randn(4, 3)
        >>> a = norm(torch.cat([reference, torch.ones(1, 3)]))[4]
        >>> b = norm(torch.cat([reference, torch.ones(1, 3), torch.full((1, 3), 9.0)]))[4]
        >>> torch.equal(a, b)
        True
    """

    def __init__(self, features: int, reference: int) -> None:
        super().__init__()
        self.reference = reference
        self.gain = nn.Parameter(torch.ones(features).normal_(1, 0.02))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(
        self, x: Float[Tensor, "batch features *positions"]
    ) -> Float[Tensor, "batch features *positions"]:
        n, shape = self.reference, [1, -1] + [1] * (x.ndim - 2)
        positions = list(range(2, x.ndim))
        x32 = x.float()
        mean, square = x32, x32.square()
        if positions:
            mean, square = mean.mean(positions), square.mean(positions)
        m_ref, q_ref = mean[:n].mean(0), square[:n].mean(0)
        share = 1 / (n + 1)
        m = torch.cat([m_ref.expand(n, -1), share * mean[n:] + (1 - share) * m_ref])
        q = torch.cat([q_ref.expand(n, -1), share * square[n:] + (1 - share) * q_ref])
        each = [len(x), x.shape[1]] + [1] * len(positions)
        scale = torch.rsqrt(q - m.square() + 1e-5).view(each) * self.gain.view(shape)
        return ((x32 - m.view(each)) * scale + self.bias.view(shape)).to(x.dtype)
