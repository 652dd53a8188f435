r"""Apprenticeship learning: linear rewards for what the policy does less than the expert.

**FEM** and **GTAL** reward linearly in features $\phi = [z_o, z_a, (0.01 z_o)^2, (0.01 z_a)^2, 1]$
of the standardized pair of state and action. With $\Delta = \mathbb{E}_E[\phi] -
\mathbb{E}_\pi[\phi]$ feature expectation matching takes $w = \Delta / \|\Delta\|_2$. Game-theoretic
apprenticeship learning puts all weight on the one feature of $[\phi, -\phi]$ that the policy lacks
most.

Sources: Abbeel and Ng, "Apprenticeship Learning via Inverse Reinforcement Learning", 2004; Syed and
Schapire, "A Game-Theoretic Approach to Apprenticeship Learning", 2007; both in the form of Ho,
Gupta and Ermon, "Model-Free Imitation Learning with Policy Optimization", 2016.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..policies.running_stats import RunningMeanStd
from .discriminator import StateActionEncoder


class LinearReward(nn.Module):
    """A reward that is linear in features.

    Arguments:
        kind: "fem" or "gtal".
        encoder: Makes the rows.
        sign: "positive" shifts rewards to at least 0, anything else to at most 0.
    """

    weights: Tensor
    bound: Tensor

    def __init__(self, kind: str, encoder: StateActionEncoder, sign: str) -> None:
        super().__init__()
        self.kind, self.encoder, self.sign = kind, encoder, sign
        self.input_rms = RunningMeanStd(encoder.standardized, clip=10.0)
        blocks = encoder.task.action if encoder.task.discrete else 1
        size = encoder.standardized * 2 * blocks + 1
        size = 2 * size if kind == "gtal" else size
        self.register_buffer("weights", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("bound", torch.zeros((), dtype=torch.float64))

    def features(self, rows: Float[Tensor, "n columns"]) -> Float[Tensor, "n features"]:
        """Features of raw rows, float64; discrete actions have one block each."""
        k = self.encoder.standardized
        z = self.input_rms.standardize(rows[:, :k]).double()
        f = torch.cat([z, (0.01 * z).square()], 1)
        if self.encoder.task.discrete:
            f = (rows[:, k:].double()[:, :, None] * f[:, None]).flatten(1)
        f = torch.cat([f, torch.ones_like(f[:, :1])], 1)
        return torch.cat([f, -f], 1) if self.kind == "gtal" else f

    @torch.no_grad()
    def score(self, rows: Float[Tensor, "n columns"]) -> Float[Tensor, " n"]:
        """Rewards, shifted by the largest shift that their sign ever needed."""
        raw = self.features(rows) @ self.weights / len(self.weights)
        if self.sign == "positive":
            self.bound.copy_(torch.minimum(self.bound, raw.min()))
        else:
            self.bound.copy_(torch.maximum(self.bound, raw.max()))
        return (raw - self.bound).to(rows.dtype)

    @torch.no_grad()
    def fit(
        self, policy: Float[Tensor, "n columns"], expert: Float[Tensor, "m columns"]
    ) -> dict[str, float]:
        """Takes the weights that separate expert and policy best."""
        lack = self.features(expert).mean(0) - self.features(policy).mean(0)
        if self.kind == "fem":
            self.weights.copy_(lack / lack.norm().clamp_min(1e-12))
        else:
            self.weights.zero_()
            self.weights[lack.argmax()] = 1
        return {"lack": lack.norm().item()}
