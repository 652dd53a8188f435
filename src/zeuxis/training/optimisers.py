"""One optimiser per player, its step size over time, and its state as plain tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from ..model import Player

Schedule = Literal["constant", "linear", "cosine"]


def make(player: Player) -> torch.optim.Optimizer:
    """The player's optimiser over its module's parameters; fused Adam where the device has it."""
    parameters = [p for p in player.module.parameters() if p.requires_grad]
    if player.optimiser == "adam":
        return torch.optim.Adam(parameters, player.lr, player.betas, player.eps, player.weight_decay, fused=True)
    if player.optimiser == "adam-root":
        return RootAdam(parameters, player.lr, player.betas, player.eps, player.weight_decay)
    if player.optimiser == "adamax":
        return torch.optim.Adamax(parameters, player.lr, player.betas, player.eps, player.weight_decay, foreach=True)
    return torch.optim.SGD(parameters, player.lr, momentum=player.betas[0], weight_decay=player.weight_decay, foreach=True)


class RootAdam(torch.optim.Optimizer):
    r"""Adam with epsilon inside the root: $\theta \leftarrow \theta - \eta\, \hat m / \sqrt{\hat v + \epsilon}$.

    So Lasagne's users had it, the authors of Improved GAN among them. With $\epsilon = 10^{-8}$ it holds steps back wherever gradients
    are below $10^{-4}$, where Adam as published would take full ones.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            for p in moved:
                if not self.state[p]:
                    zeros = {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
                    self.state[p] |= {"step": torch.zeros(())} | zeros
            gradients: list[Any] = [p.grad for p in moved]
            b1, b2 = group["betas"]
            if group["weight_decay"]:
                gradients = list(torch._foreach_add(gradients, moved, alpha=group["weight_decay"]))
            m, v, steps = ([self.state[p][key] for p in moved] for key in ("exp_avg", "exp_avg_sq", "step"))
            torch._foreach_add_(steps, 1.0)
            torch._foreach_lerp_(m, gradients, 1 - b1)
            torch._foreach_mul_(v, b2)
            torch._foreach_addcmul_(v, gradients, gradients, 1 - b2)
            t = steps[0].item() if steps else 1.0
            root = torch._foreach_div(v, 1 - b2**t)
            torch._foreach_add_(root, group["eps"])
            torch._foreach_sqrt_(root)
            torch._foreach_addcdiv_(moved, m, root, -group["lr"] / (1 - b1**t))


def factor(progress: float, images: int, schedule: Schedule, decay_from: float, warmup: int) -> float:
    """What the step size is multiplied by.

    Arguments:
        progress: Fraction of the training done.
        images: Images seen.
        schedule: Constant, or falling to 0 along a line or half a cosine.
        decay_from: Fraction of the training at which the fall begins.
        warmup: Images over which it first rises from 0.

    Example:
        >>> factor(0.75, 100, "linear", 0.5, 0), factor(0.0, 50, "constant", 0.5, 100)
        (0.5, 0.5)
    """
    rise = min(1.0, images / warmup) if warmup else 1.0
    fallen = max(0.0, progress - decay_from) / max(1e-12, 1 - decay_from)
    fall = {"constant": 1.0, "linear": 1 - fallen, "cosine": 0.5 * (1 + math.cos(math.pi * fallen))}[schedule]
    return rise * fall


def state(optimiser: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """The optimiser's tensors by name, as in `prefix.3.exp_avg`."""
    found = optimiser.state_dict()["state"]
    return {f"{prefix}.{i}.{key}": torch.as_tensor(value) for i, values in found.items() for key, value in values.items()}


def restore(optimiser: torch.optim.Optimizer, prefix: str, tensors: Mapping[str, Tensor]) -> None:
    """Puts saved tensors back, laid out in memory as the parameters are."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    found: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix + "."):
            index, key = name[len(prefix) + 1 :].split(".")
            p = parameters[int(index)]
            like = torch.empty_like(p) if tensor.shape == p.shape and tensor.ndim else torch.empty_like(tensor)
            found.setdefault(int(index), {})[key] = like.copy_(tensor)
    optimiser.load_state_dict({"state": found, "param_groups": optimiser.state_dict()["param_groups"]})
