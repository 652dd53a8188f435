r"""TRPO: the largest improvement of a policy that a bound on its change allows.

From states and actions of the old policy and their advantages $\hat A$, one update solves

$$ \max_\theta \; \mathbb{E}\Big[\frac{\pi_\theta(a|s)}{\pi_\text{old}(a|s)} \hat A\Big]
   \quad \text{subject to} \quad
   \mathbb{E}\big[\mathrm{KL}[\pi_\text{old}(\cdot|s) \,\|\, \pi_\theta(\cdot|s)]\big] \le \delta $$

to first order in the objective and second order in the bound (see `trust_region`). The second
derivative of the divergence at the old policy is the Fisher information $F = \frac1N \sum J^\top M
J$, with J the Jacobian of the network's outputs and M the Fisher information of the outputs.

Source: Schulman, Levine, Moritz, Jordan and Abbeel, "Trust Region Policy Optimization", 2015.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..policies.mlp import Trace
from ..policies.policy import Policy
from .trust_region import TrustRegionConfig, natural_gradient_step


class Fisher:
    """Multiplies vectors with a policy's Fisher information.

    Arguments:
        policy: Policy; vectors have the order of its parameters.
        trace: Activations of `policy.network.trace` for standardized observations.
    """

    def __init__(self, policy: Policy, trace: Trace) -> None:
        self.policy, self.trace = policy, trace
        in_network = sum(p.numel() for p in policy.network.parameters())
        self.beside = sum(p.numel() for p in policy.parameters()) - in_network

    @torch.no_grad()
    def __call__(self, v: Float[Tensor, " weights"]) -> Float[Tensor, " weights"]:
        policy, outputs = self.policy, self.trace.outputs
        n = len(outputs)
        tangent = policy.network.jvp(self.trace, v[self.beside :])
        cotangent = policy.fisher_product(outputs, tangent)
        parts = [
            policy.log_std_fisher_product(n, v[: self.beside]),
            policy.network.vjp(self.trace, cotangent),
        ]
        return torch.cat(parts) / n


def gradient_of(
    policy: Policy, trace: Trace, objective: Tensor, outputs: Tensor
) -> Float[Tensor, " weights"]:
    """Gradient of a function of the outputs, in the order of `policy.parameters()`."""
    beside = [p for name, p in policy.named_parameters() if not name.startswith("network.")]
    to_outputs, *to_beside = torch.autograd.grad(objective, [outputs, *beside])
    return torch.cat([*(g.flatten() for g in to_beside), policy.network.vjp(trace, to_outputs)])


def update(
    policy: Policy,
    observations: Float[Tensor, "n entries"],
    actions: Tensor,
    advantages: Float[Tensor, " n"],
    config: TrustRegionConfig,
    generator: torch.Generator,
) -> dict[str, float]:
    """Updates the policy once.

    Arguments:
        policy: The policy that acted.
        observations: Raw observations, as it saw them.
        actions: Its actions, (n, a) or classes (n,).
        advantages: Standardized advantages.
        config: Settings of the trust region.
        generator: Samples the rows that estimate the curvature.

    Returns:
        `gain`, `kl` and `step` of `natural_gradient_step`.
    """
    x = policy.standardize(observations)
    trace = policy.network.trace(x)
    outputs = trace.outputs.clone().requires_grad_()
    log_probs = policy.log_prob(outputs, actions)
    old_log_probs, old = log_probs.detach(), policy.distribution(outputs)
    objective = (torch.exp(log_probs - old_log_probs) * advantages).mean()
    gradient = gradient_of(policy, trace, objective, outputs)
    start = advantages.mean().item()

    @torch.no_grad()
    def evaluate() -> tuple[float, float]:
        y = policy.network(x)
        ratio = torch.exp(policy.log_prob(y, actions) - old_log_probs)
        return (ratio * advantages).mean().item() - start, policy.kl(old, y).mean().item()

    if config.fraction < 1:
        n = max(1, round(config.fraction * len(x)))
        trace = trace.rows(torch.randperm(len(x), generator=generator)[:n].to(x.device))
    return natural_gradient_step(policy, gradient, Fisher(policy, trace), evaluate, config)
