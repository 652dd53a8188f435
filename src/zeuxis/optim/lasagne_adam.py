"""Adam with epsilon inside the square root, as in Lasagne."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class RootAdam(torch.optim.Optimizer):
    r"""Adam with epsilon inside the square root.

    $$ \theta \leftarrow \theta - \eta\, \hat m / \sqrt{\hat v + \epsilon} $$

    This is Lasagne's form, which the authors of Improved GAN used. With $\epsilon = 10^{-8}$ it
    shortens steps wherever gradients are below $10^{-4}$, where Adam as published takes full ones.

    Arguments:
        parameters: The parameters to update.
        lr: Step size.
        betas: Decay rates of the two moments.
        eps: Term inside the root.
        weight_decay: L2 penalty, added to the gradient.
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
            adam_step(self, [p for p in group["params"] if p.grad is not None], group, group["eps"])


def adam_step(
    optimizer: torch.optim.Optimizer, parameters: list[Tensor], group: dict[str, Any], eps: float
) -> None:
    """Takes one such Adam step for some parameters of an optimizer.

    Arguments:
        optimizer: Its `state` holds the moments.
        parameters: The parameters to update; each has a gradient.
        group: Their hyper-parameters.
        eps: Term inside the root.
    """
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
