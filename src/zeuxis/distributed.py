"""Several processes, one result: weights broadcast once, one flat all-reduce of a player's
gradients per turn.

Modules stay plain: `torchrun --nproc-per-node N -m zeuxis train ...` starts N processes that each
take their rows of the same global batch. Wrapping a model in DistributedDataParallel would let the
processes drift apart silently here, since a loss is what `play` yields and not what `forward`
returns.
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
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def writes(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def rows(self, total: int) -> slice:
        """This process's rows of `total` rows."""
        if total % self.size:
            raise UsageError(
                f"A batch of {total} cannot be shared by {self.size} processes: choose a "
                f"multiple of {self.size}."
            )
        share = total // self.size
        return slice(self.rank * share, (self.rank + 1) * share)


def join() -> World:
    """Joins the other processes if torchrun started this one; else a world of one."""
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return World()
    world = World(
        int(os.environ["RANK"]),
        int(os.environ["WORLD_SIZE"]),
        int(os.environ.get("LOCAL_RANK", "0")),
    )
    if not dist.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        if backend == "nccl":
            torch.cuda.set_device(world.local_rank)
        dist.init_process_group(backend, timeout=timedelta(hours=2))
    return world


def processes() -> int:
    """How many processes torchrun started, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def meet() -> None:
    """Waits until every process is here, so that none takes the group down under another's feet."""
    if active():
        with together():
            dist.barrier()


@contextmanager
def together() -> Iterator[None]:
    """Work that needs every process: one that has ended, or cannot be reached, is said in a
    sentence."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise ZeuxisError(
            "Another process of this training has ended or cannot be reached "
            f"({reason}). The last save is kept: go on with "
            "torchrun --nproc-per-node N -m zeuxis train --resume RUN."
        ) from error


def from_first(text: str) -> str:
    """The first process's text, in every process."""
    if not active():
        return text
    device = torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
    letters = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).to(device)
    length = torch.tensor([len(letters)], device=device)
    with together():
        dist.broadcast(length, 0)
        if dist.get_rank():
            letters = torch.empty(int(length), dtype=torch.uint8, device=device)
        dist.broadcast(letters, 0)
    return bytes(letters.tolist()).decode()


def leave() -> None:
    """Ends the process group, if there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def active() -> bool:
    """Whether several processes work together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def broadcast(module: nn.Module) -> None:
    """Gives every process the first one's parameters and buffers."""
    if active():
        for tensor in (*module.parameters(), *module.buffers()):
            flat = (
                tensor.detach().contiguous()
            )  # gloo leaves a channels-last tensor as it was, without a word
            with together():
                dist.broadcast(flat, 0)
            tensor.data.copy_(flat)


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replaces each gradient by its mean over the processes, in one all-reduce of one flat
    tensor."""
    if not active():
        return
    parameters = list(parameters)
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    with together():
        dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for p, g, part in zip(
        parameters, gradients, flat.split([g.numel() for g in gradients]), strict=True
    ):
        p.grad = g.copy_(
            part.view_as(g)
        )  # into the gradient's own layout: fused Adam reads memory in the parameter's order


def agree(flag: bool, device: torch.device) -> bool:
    """Whether any process raised its flag, so that all of them stop at the same step."""
    if not active():
        return flag
    raised = torch.tensor(float(flag), device=device)
    with together():
        dist.all_reduce(raised, dist.ReduceOp.MAX)
    return bool(raised.item())


def shared(value: float, device: torch.device) -> float:
    """The first process's number, in every process."""
    if not active():
        return value
    number = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(number, 0)
    return number.item()


class SumOverProcesses(torch.autograd.Function):
    """Sum of a tensor over the processes; the gradient is summed over them as well, as every
    process uses the sum."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        total = x.clone()
        with together():
            dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        with together():
            dist.all_reduce(total)
        return total


def gather_rows(x: Tensor) -> tuple[Tensor, slice]:
    """The rows of every process in order, and which of them are this process's; gradients flow back
    to their owners."""
    rank, size = dist.get_rank(), dist.get_world_size()
    own = slice(rank * len(x), (rank + 1) * len(x))
    padded = torch.cat(
        [
            x.new_zeros(own.start, *x.shape[1:]),
            x,
            x.new_zeros((size - 1 - rank) * len(x), *x.shape[1:]),
        ]
    )
    return SumOverProcesses.apply(padded), own


def mean_over_batch(x: Tensor) -> Tensor:
    """The mean over the rows of the global batch, differentiable in every process."""
    if not active():
        return x.mean(0)
    return SumOverProcesses.apply(x.mean(0)) / dist.get_world_size()
