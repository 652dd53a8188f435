"""Several processes, one result: weights are broadcast once, and the gradients of a turn are
averaged in one flat all-reduce.

Modules stay plain: `torchrun --nproc-per-node N -m zeuxis train ...` starts N processes, and each
takes its rows of the same global batch. DistributedDataParallel does not fit: a loss is what `play`
yields and not what `forward` returns, so its hooks would not run and the processes would drift
away from each other.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .errors import UsageError, ZeuxisError


@dataclass(frozen=True)
class World:
    """This process among those of the training: its rank, how many there are, its rank on its
    machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def rows(self, total: int) -> slice:
        """This process's rows of a global batch of `total` rows."""
        if total % self.size:
            raise UsageError(
                f"A batch of {total} cannot be shared by {self.size} processes: choose a "
                f"multiple of {self.size}."
            )
        share = total // self.size
        return slice(self.rank * share, (self.rank + 1) * share)


def init() -> World:
    """Joins the other processes if torchrun started this one; else a world of one."""
    if world_size() == 1:
        return World()
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    if not dist.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        if backend == "nccl":
            torch.cuda.set_device(local)
        dist.init_process_group(backend, timeout=timedelta(hours=2))
    return World(rank, world_size(), local)


def shutdown() -> None:
    """Ends the process group, if there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """How many processes torchrun started, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def is_distributed() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def barrier() -> None:
    """Waits for every process, so that none shuts the group down while another uses it."""
    if is_distributed():
        with reaching_others():
            dist.barrier()


@contextmanager
def reaching_others() -> Iterator[None]:
    """Turns the error of a process that has ended or cannot be reached into a sentence."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise ZeuxisError(
            "Another process of this training has ended or cannot be reached "
            f"({reason}). The last save is kept: go on with "
            "torchrun --nproc-per-node N -m zeuxis train --resume RUN."
        ) from error


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether any process raised its flag, so that all of them stop at the same step."""
    if not is_distributed():
        return flag
    raised = torch.tensor(float(flag), device=device)
    with reaching_others():
        dist.all_reduce(raised, dist.ReduceOp.MAX)
    return bool(raised.item())


def broadcast_number(value: float, device: torch.device) -> float:
    """The main process's number, in every process."""
    if not is_distributed():
        return value
    number = torch.tensor(value, dtype=torch.float64, device=device)
    with reaching_others():
        dist.broadcast(number, 0)
    return number.item()


def broadcast_text(text: str) -> str:
    """The main process's text, in every process."""
    if not is_distributed():
        return text
    device = torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
    letters = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).to(device)
    length = torch.tensor([len(letters)], device=device)
    with reaching_others():
        dist.broadcast(length, 0)
        if dist.get_rank():
            letters = torch.empty(int(length), dtype=torch.uint8, device=device)
        dist.broadcast(letters, 0)
    return bytes(letters.tolist()).decode()


def broadcast_module(module: nn.Module) -> None:
    """Gives every process the main one's parameters and buffers."""
    if not is_distributed():
        return
    for tensor in (*module.parameters(), *module.buffers()):
        flat = tensor.detach().contiguous()  # gloo silently skips channels-last tensors
        with reaching_others():
            dist.broadcast(flat, 0)
        tensor.data.copy_(flat)


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replaces each gradient by its mean over the processes, in one all-reduce of a flat tensor."""
    if not is_distributed():
        return
    parameters = list(parameters)
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    with reaching_others():
        dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = flat.split([g.numel() for g in gradients])
    for p, g, part in zip(parameters, gradients, parts, strict=True):
        # Copied, since fused Adam reads a gradient in the memory order of its parameter.
        p.grad = g.copy_(part.view_as(g))


class SumOverProcesses(torch.autograd.Function):
    """Sum of a tensor over the processes. Every process uses the sum, so the gradient is summed
    over them as well."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        total = x.clone()
        with reaching_others():
            dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        with reaching_others():
            dist.all_reduce(total)
        return total


def gather_rows(x: Tensor) -> tuple[Tensor, slice]:
    """The rows of every process in order, and which of them are this process's; gradients flow back
    to their owners."""
    rank, size = dist.get_rank(), dist.get_world_size()
    own = slice(rank * len(x), (rank + 1) * len(x))
    before = x.new_zeros(own.start, *x.shape[1:])
    after = x.new_zeros((size - 1 - rank) * len(x), *x.shape[1:])
    return SumOverProcesses.apply(torch.cat([before, x, after])), own


def mean_over_batch(x: Tensor) -> Tensor:
    """The mean over the rows of the global batch, differentiable in every process."""
    if not is_distributed():
        return x.mean(0)
    return SumOverProcesses.apply(x.mean(0)) / dist.get_world_size()
