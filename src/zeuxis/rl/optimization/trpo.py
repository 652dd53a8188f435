r"""TRPO: the largest improvement of a policy that a bound on its change allows.

From states and actions of the old policy and their advantages $\hat A$, one step solves

$$ \max_\theta \; \mathbb{E}\Big[\frac{\pi_\theta(a|s)}{\pi_\text{old}(a|s)} \hat A\Big] \quad \text{subject to} \quad
   \mathbb{E}\big[\mathrm{KL}[\pi_\text{old}(\cdot|s) \,\|\, \pi_\theta(\cdot|s)]\big] \le \delta $$

to first order in the objective and second in the bound (see `trust_region`). The divergence's
second derivative at the old policy is the Fisher information $F = \frac1N \sum J^\top M J$, with J
the Jacobian of the network's outputs and M that of the action's law.

Source: Schulman, Levine, Moritz, Jordan and Abbeel, "Trust Region Policy Optimization", 2015.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..policies.mlp import Trace
from ..policies.policy import Policy
from .trust_region import TrustRegionConfig, step


class Fisher:
    """Products with a policy's Fisher information, on the activations of one forward pass.

    Arguments:
        policy: The policy, whose parameters' order the vectors have.
        trace: What `policy.network.trace` gave for standardized observations.
    """

    def __init__(self, policy: Policy, trace: Trace) -> None:
        self.policy, self.trace = policy, trace
        self.own = sum(p.numel() for p in policy.parameters()) - sum(
            p.numel() for p in policy.network.parameters()
        )

    @torch.no_grad()
    def __call__(self, v: Float[Tensor, " weights"]) -> Float[Tensor, " weights"]:
        network, outputs = self.policy.network, self.trace.outputs
        moved = self.policy.metric(outputs, network.along(self.trace, v[self.own :]))
        found = torch.cat(
            [self.policy.own_metric(len(outputs), v[: self.own]), network.back(self.trace, moved)]
        )
        return found / len(outputs)


def gradient_of(
    policy: Policy, trace: Trace, gain: Tensor, outputs: Tensor
) -> Float[Tensor, " weights"]:
    """The gradient of a function of the outputs and of the policy's own parameters, in the order of
    `policy.parameters()`."""
    own = [p for name, p in policy.named_parameters() if not name.startswith("network.")]
    to_outputs, *to_own = torch.autograd.grad(gain, [outputs, *own])
    return torch.cat([*(g.flatten() for g in to_own), policy.network.back(trace, to_outputs)])


def improve(
    policy: Policy,
    observations: Float[Tensor, "n entries"],
    actions: Tensor,
    advantages: Float[Tensor, " n"],
    region: TrustRegionConfig,
    generator: torch.Generator,
) -> dict[str, float]:
    """One step of TRPO.

    Arguments:
        policy: What moves; it is the one that acted.
        observations: Raw, as it saw them.
        actions: What it chose, (n, a) or classes (n,).
        advantages: Standardized.
        region: Bounds.
        generator: Draws the rows that curvature is taken from.
    """
    x = policy.standardize(observations)
    trace = policy.network.trace(x)
    outputs = trace.outputs.clone().requires_grad_()
    now = policy.log_prob(outputs, actions)
    before, law = now.detach(), policy.law(outputs)
    gradient = gradient_of(policy, trace, (torch.exp(now - before) * advantages).mean(), outputs)
    start = advantages.mean().item()

    @torch.no_grad()
    def judge() -> tuple[float, float]:
        y = policy.network(x)
        ratio = torch.exp(policy.log_prob(y, actions) - before)
        return (ratio * advantages).mean().item() - start, policy.kl(law, y).mean().item()

    if region.fraction < 1:
        few = max(1, round(region.fraction * len(x)))
        rows = torch.randperm(len(x), generator=generator)[:few].to(x.device)
        trace = trace.rows(rows)
    return step(policy, gradient, Fisher(policy, trace), judge, region)
