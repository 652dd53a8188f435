"""One optimizer per player: how it is made, its step-size schedule, and its state as tensors."""

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
    """Makes the optimizer of a player's module.

    Arguments:
        player: Its module, the optimizer's name and hyper-parameters.
        bf16: Whether Muon may compute polar factors in bfloat16.
    """
    parameters = [p for p in player.module.parameters() if p.requires_grad]
    lr, betas, eps, decay = player.lr, player.betas, player.eps, player.weight_decay
    if player.optimizer == "adam":
        return torch.optim.Adam(parameters, lr, betas, eps, decay, fused=True)
    if player.optimizer == "adam-root":
        return RootAdam(parameters, lr, betas, eps, decay)
    if player.optimizer == "muon":
        return Muon(parameters, lr, betas, eps, decay, bf16=bf16)
    if player.optimizer == "adamax":
        return torch.optim.Adamax(parameters, lr, betas, eps, decay, foreach=True)
    return torch.optim.SGD(parameters, lr, momentum=betas[0], weight_decay=decay, foreach=True)


def factor(
    progress: float, images: int, schedule: Schedule, decay_from: float, warmup: int
) -> float:
    """The factor of the step size at a point of the training.

    Arguments:
        progress: Fraction of the training done.
        images: Images seen.
        schedule: Constant, or decay to 0 along a line or half a cosine.
        decay_from: Fraction of the training at which the decay begins.
        warmup: Images over which the factor first rises from 0 to 1.

    Example:
        >>> factor(0.75, 100, "linear", 0.5, 0), factor(0.0, 50, "constant", 0.5, 100)
        (0.5, 0.5)
    """
    rise = min(1.0, images / warmup) if warmup else 1.0
    decayed = max(0.0, progress - decay_from) / max(1e-12, 1 - decay_from)
    decay = {
        "constant": 1.0,
        "linear": 1 - decayed,
        "cosine": 0.5 * (1 + math.cos(math.pi * decayed)),
    }
    return rise * decay[schedule]


def state(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """The optimizer's tensors by name, as in `prefix.3.exp_avg`."""
    return {
        f"{prefix}.{i}.{key}": torch.as_tensor(value)
        for i, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }


def restore(optimizer: torch.optim.Optimizer, prefix: str, tensors: Mapping[str, Tensor]) -> None:
    """Loads what `state` returned; tensors get the memory format of their parameters.

    Raises:
        ValueError: A tensor has another shape than its parameter.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if not name.startswith(prefix + "."):
            continue
        index, key = name[len(prefix) + 1 :].split(".")
        p = parameters[int(index)]
        if tensor.ndim and tensor.shape != p.shape:
            raise ValueError(f"'{name}' has another shape than its parameter")
        empty = torch.empty_like(p if tensor.ndim and tensor.shape == p.shape else tensor)
        states.setdefault(int(index), {})[key] = empty.copy_(tensor)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})
