"""One optimizer per player, its step size over time, and its state as plain tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from ..model import Player
from .lasagne_adam import RootAdam
from .muon import Muon

Schedule = Literal["constant", "linear", "cosine"]


def make(player: Player, bf16: bool = False) -> torch.optim.Optimizer:
    """The player's optimizer over its module's parameters; fused Adam where the device has it,
    Muon's own products in bfloat16 if told."""
    parameters = [p for p in player.module.parameters() if p.requires_grad]
    if player.optimizer == "adam":
        return torch.optim.Adam(
            parameters, player.lr, player.betas, player.eps, player.weight_decay, fused=True
        )
    if player.optimizer == "adam-root":
        return RootAdam(parameters, player.lr, player.betas, player.eps, player.weight_decay)
    if player.optimizer == "muon":
        return Muon(parameters, player.lr, player.betas, player.eps, player.weight_decay, bf16=bf16)
    if player.optimizer == "adamax":
        return torch.optim.Adamax(
            parameters, player.lr, player.betas, player.eps, player.weight_decay, foreach=True
        )
    return torch.optim.SGD(
        parameters,
        player.lr,
        momentum=player.betas[0],
        weight_decay=player.weight_decay,
        foreach=True,
    )


def factor(
    progress: float, images: int, schedule: Schedule, decay_from: float, warmup: int
) -> float:
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
    fall = {
        "constant": 1.0,
        "linear": 1 - fallen,
        "cosine": 0.5 * (1 + math.cos(math.pi * fallen)),
    }[schedule]
    return rise * fall


def state(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """The optimizer's tensors by name, as in `prefix.3.exp_avg`."""
    found = optimizer.state_dict()["state"]
    return {
        f"{prefix}.{i}.{key}": torch.as_tensor(value)
        for i, values in found.items()
        for key, value in values.items()
    }


def restore(optimizer: torch.optim.Optimizer, prefix: str, tensors: Mapping[str, Tensor]) -> None:
    """Puts saved tensors back, laid out in memory as the parameters are."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    found: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix + "."):
            index, key = name[len(prefix) + 1 :].split(".")
            p = parameters[int(index)]
            if tensor.ndim and tensor.shape != p.shape:
                raise ValueError(f"'{name}' has another shape than its parameter")
            like = (
                torch.empty_like(p)
                if tensor.shape == p.shape and tensor.ndim
                else torch.empty_like(tensor)
            )
            found.setdefault(int(index), {})[key] = like.copy_(tensor)
    optimizer.load_state_dict(
        {"state": found, "param_groups": optimizer.state_dict()["param_groups"]}
    )
