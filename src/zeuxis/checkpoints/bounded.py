"""Builds a model from the settings in a file, in no more memory than the weights beside them call
for.

Settings are a few numbers, and any of them may ask for a terabyte. So every tensor that a
constructor makes is held to a multiple of what the weights' own header says, before it is made, and
so is the number of parameters. (Building on the meta device would tell the shapes as well, but
PyTorch loads for seconds before the first tensor there.)
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import ZeuxisError

ROOM = 1 << 24  # numbers that any constructor may use on the way
PRODUCTS = {"mm", "addmm", "bmm"}


class Unfit(ZeuxisError):
    """Settings that call for other tensors than there are."""


class Bounded(TorchDispatchMode):
    """Refuses each tensor of more than `limit` numbers before it is made."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: to skip torch's compiler means to import it, which takes longer than most models
        do to build."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.wanted(func, args, kwargs or {}) > self.limit:
            raise Unfit("it asks for far larger tensors")
        return func(*args, **(kwargs or {}))

    def wanted(self, func: Any, args: Any, kwargs: dict[str, Any]) -> float:
        """Numbers in the tensor that an operation is about to make, as far as its arguments
        say."""
        tensors = [a for a in args if isinstance(a, Tensor)]
        if not tensors:
            sizes = next(
                (a for a in (*args, kwargs.get("size")) if isinstance(a, list | tuple)), None
            )
            if sizes is None:  # eye(n, m), arange(end), linspace(start, end, steps)
                sizes = [
                    abs(a) for a in args if isinstance(a, int | float) and not isinstance(a, bool)
                ] or [0]
                return math.prod(max(1, s) for s in sizes[:2]) if "eye" in str(func) else max(sizes)
            return math.prod(s for s in sizes if isinstance(s, int))
        if func.__name__.split(".")[0] in PRODUCTS:
            a, b = tensors[-2:]
            return math.prod(a.shape[:-1]) * b.shape[-1]
        try:
            return math.prod(np.broadcast_shapes(*(t.shape for t in tensors)))
        except ValueError:  # not one that goes element by element
            return 0


@contextmanager
def bounded(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[None]:
    """What is built inside may have no more parameters than the shapes of its weights say.

    Arguments:
        shapes: Of every tensor in the file of weights.

    Raises:
        Unfit: It asks for more.

    Example:
        >>> with bounded({"weight": (3, 3), "bias": (3,)}):
        ...     _ = nn.Linear(3, 3)
        >>> with bounded({"weight": (3, 3), "bias": (3,)}):
        ...     nn.Linear(100_000, 100_000)
        Traceback (most recent call last):
        zeuxis.checkpoints.bounded.Unfit: it asks for far larger tensors
    """
    numbers = sum(math.prod(shape) for shape in shapes.values())
    left = {"tensors": 100 + 4 * len(shapes), "numbers": ROOM + 4 * numbers}
    thread = threading.get_ident()

    def count(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        if tensor is not None and threading.get_ident() == thread:
            left["tensors"] -= 1
            left["numbers"] -= tensor.numel()
            if min(left.values()) < 0:
                raise Unfit("it asks for many more tensors")

    handles = [
        hooks.register_module_parameter_registration_hook(count),
        hooks.register_module_buffer_registration_hook(count),
    ]
    try:
        with Bounded(ROOM + 2 * numbers):
            yield
    finally:
        for handle in handles:
            handle.remove()
