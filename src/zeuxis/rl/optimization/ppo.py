r"""PPO: many small steps on one batch, held near the old policy by clipping.

$$ L = \mathbb{E}\big[\min\big(r \hat A,\; \mathrm{clip}(r, 1 - \epsilon, 1 + \epsilon) \hat A\big)\big], \qquad
   r = \frac{\pi_\theta(a|s)}{\pi_\text{old}(a|s)} , $$

by Adam over shuffled minibatches, and no further in this iteration once the mean divergence from
the old policy is above a bound. Simpler than a trust region, and without its promise: the bound is
looked at after each pass, not kept.

Source: Schulman, Wolski, Dhariwal, Radford and Klimov, "Proximal Policy Optimization Algorithms",
2017; the early stop is common practice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...ranges import BaseConfig, Few, Portion, Positive, Weight
from ..policies.policy import Policy


@dataclass(frozen=True)
class Proximal(BaseConfig, flags="--ppo."):
    """How PPO moves a policy."""

    clip: Positive = 0.2
    """How far the ratio of probabilities may leave 1 and still be rewarded."""
    lr: Positive = 3e-4
    """Step size of Adam."""
    epochs: Few = 10
    """Passes over a batch."""
    minibatch: Portion = 256
    """Steps of the environment in each step of Adam."""
    stop: Weight = 0.03
    """Mean divergence (nats) at which the passes over a batch end; 0 never ends them early."""
    norm: Weight = 0.5
    """Largest norm of a gradient; 0 does not clip."""


def improve(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    observations: Float[Tensor, "n entries"],
    actions: Tensor,
    advantages: Float[Tensor, " n"],
    proximal: Proximal,
    generator: torch.Generator,
) -> dict[str, float]:
    """The passes of one iteration.

    Arguments:
        policy: What moves; it is the one that acted.
        optimizer: Adam over its parameters.
        observations: Raw, as it saw them.
        actions: What it chose, (n, a) or classes (n,).
        advantages: Standardized.
        proximal: Settings.
        generator: Shuffles.
    """
    x = policy.standardize(observations)
    with torch.no_grad():
        outputs = policy.network(x)
        before, law = policy.log_prob(outputs, actions), policy.law(outputs)
    epochs, divergence = 0, 0.0
    for _ in range(proximal.epochs):
        for rows in (
            torch.randperm(len(x), generator=generator).to(x.device).split(proximal.minibatch)
        ):
            ratio = torch.exp(
                policy.log_prob(policy.network(x[rows]), actions[rows]) - before[rows]
            )
            a = advantages[rows]
            loss = -torch.minimum(
                ratio * a, ratio.clamp(1 - proximal.clip, 1 + proximal.clip) * a
            ).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if proximal.norm:
                nn.utils.clip_grad_norm_(policy.parameters(), proximal.norm)
            optimizer.step()
        epochs += 1
        with torch.no_grad():
            y = policy.network(x)
            divergence = policy.kl(law, y).mean().item()
        if proximal.stop and divergence > proximal.stop:
            break
    with torch.no_grad():
        gain = ((torch.exp(policy.log_prob(y, actions) - before) - 1) * advantages).mean().item()
    return {"gain": gain, "kl": divergence, "epochs": float(epochs)}
