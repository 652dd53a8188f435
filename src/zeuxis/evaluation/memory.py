"""How many bytes of tensors a computation keeps alive at once, beside what was there before it.

Every operation of PyTorch passes through a dispatch mode, which sees the tensors it makes; a
storage counts from then until the last tensor that looks at it is gone. What kernels take for
themselves while they run is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Live(TorchDispatchMode):
    """Counts the bytes of new tensors while it is on; `peak` is the most there were at once.

    Example:
        >>> with Live() as live:
        ...     x = torch.zeros(1000)
        ...     y = x.view(10, 100) + 1
        ...     del x
        ...     z = y[0] * 2
        >>> live.now, live.peak
        (4400, 8000)
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.held: dict[int, int] = {}  # address of a storage: how many tensors look at it

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # nothing is compiled here, and the guard against it would import the compiler, seconds
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        before = {address(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_leaves(made):
            if (
                not isinstance(tensor, Tensor)
                or not (key := address(tensor))
                or (key in before and key not in self.held)
            ):
                continue
            size = tensor.untyped_storage().nbytes()
            if key not in self.held:
                self.held[key], self.now = 0, self.now + size
                self.peak = max(self.peak, self.now)
            self.held[key] += 1
            weakref.finalize(tensor, self.gone, key, size)
        return made

    def gone(self, key: int, size: int) -> None:
        """One of the tensors that look at a storage is gone."""
        self.held[key] -= 1
        if not self.held[key]:
            del self.held[key]
            self.now -= size


def address(tensor: Tensor) -> int:
    """Where a tensor's storage lies."""
    return tensor.untyped_storage().data_ptr()


@torch.no_grad()
def bytes_of(call: Callable[[], object]) -> int:
    """The most bytes that a call keeps alive at once, without gradients."""
    with Live() as live:
        call()
    return live.peak
