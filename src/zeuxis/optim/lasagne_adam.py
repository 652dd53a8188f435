"""Adam with epsilon inside the root, as Lasagne had it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class RootAdam(torch.optim.Optimizer):
    r"""Adam with epsilon inside the root: $\theta \leftarrow \theta - \eta\, \hat m / \sqrt{\hat v
    + \epsilon}$.

    So Lasagne's users had it, the authors of Improved GAN among them. With $\epsilon = 10^{-8}$ it
    holds steps back wherever gradients are below $10^{-4}$, where Adam as published would take full
    ones.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        super().__init__(
            parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            move(self, [p for p in group["params"] if p.grad is not None], group, group["eps"])


def move(
    optimizer: torch.optim.Optimizer, parameters: list[Tensor], group: dict[str, Any], eps: float
) -> None:
    """One step for some of an optimizer's parameters, with the moments kept in its state and the
    settings of this group."""
    if not parameters:
        return
    state = optimizer.state
    for p in parameters:
        if not state[p]:
            state[p] |= {
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.zeros_like(p),
                "step": torch.zeros(()),
            }
    gradients: list[Any] = [p.grad for p in parameters]
    b1, b2 = group["betas"]
    if group["weight_decay"]:
        gradients = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
    m, v, steps = ([state[p][key] for p in parameters] for key in ("exp_avg", "exp_avg_sq", "step"))
    torch._foreach_add_(steps, 1.0)
    torch._foreach_lerp_(m, gradients, 1 - b1)
    torch._foreach_mul_(v, b2)
    torch._foreach_addcmul_(v, gradients, gradients, 1 - b2)
    t = steps[0].item()
    root = torch._foreach_div(v, 1 - b2**t)
    torch._foreach_add_(root, eps)
    torch._foreach_sqrt_(root)
    torch._foreach_addcdiv_(parameters, m, root, -group["lr"] / (1 - b1**t))
