"""Saves of what learns by acting: numbers that must be finite, counts that must be counts, and
where a run goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...checkpoints.run_folder import Run
from ...optim import factory as optimizers

DAMAGED = (RuntimeError, KeyError, IndexError, ValueError, TypeError, AttributeError, OverflowError)
"""What a save of other settings, or a damaged one, may raise while it is taken over."""


def resume_or_rewind(run: Run, restore: Callable[[Run], None]) -> None:
    """Goes on from a run's last save, or without one takes back the figures of a life that saved
    nothing."""
    if run.path("state.safetensors").exists():
        restore(run)
    elif run.path("metrics.jsonl").exists():
        run.rewind(-1)


def not_finite(values: Mapping[str, Tensor | np.ndarray]) -> str:
    """The name of the first that holds a number that is not finite, "" if there is none."""
    for name, value in values.items():
        tensor = torch.as_tensor(value)
        # A sum is finite only if all of its terms are, and takes one pass; it may overflow where
        # they are not.
        if (
            tensor.is_floating_point()
            and not torch.isfinite(tensor.sum())
            and not torch.isfinite(tensor).all()
        ):
            return name
    return ""


def norms(parts: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The squared norm of each parameter: weights whose squares float32 cannot hold are lost,
    though each is a finite number."""
    return {
        f"{name}.{key}": p.detach().square().sum()
        for name, part in parts.items()
        for key, p in part.named_parameters()
    }


def negative(tensors: Mapping[str, Tensor]) -> str:
    """The name of the first count or index that is below 0, "" if there is none."""
    return next(
        (
            k
            for k, v in tensors.items()
            if not v.is_floating_point() and v.numel() and int(v.min()) < 0
        ),
        "",
    )


def count(about: Mapping[str, Any], key: str) -> int:
    """A whole number of a save's notes, from 0 on."""
    value = about[key]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError(f"{key} is {value!r:.40}")
    return value


def duration(about: Mapping[str, Any]) -> float:
    """Seconds of a save's notes."""
    value = float(about["seconds"])
    if not 0 <= value < 1e12:
        raise ValueError(f"seconds are {value}")
    return value


def restore_optimizer(
    optimizer: torch.optim.Optimizer, prefix: str, tensors: Mapping[str, Tensor]
) -> None:
    """Puts saved moments back, all of them or none.

    Raises:
        ValueError: Some are missing, or have another shape than their parameter.
    """
    optimizers.restore(optimizer, prefix, tensors)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    found = [optimizer.state[p] for p in parameters if optimizer.state.get(p)]
    if found and (
        len(found) != len(parameters) or any(one.keys() != found[0].keys() for one in found)
    ):
        raise ValueError("moments are missing")
    if any(
        v.ndim and v.shape != p.shape
        for p, one in zip(parameters, found, strict=False)
        for v in one.values()
        if torch.is_tensor(v)
    ):
        raise ValueError("moments of another shape")
