"""The rival that a competent engineer tunes: what it may do, which of it pays on this machine, and
the contest of three.

A tuned script takes the better of bfloat16 autocast and float32 and of both memory layouts (a short
trial decides), fused Adam, batches by indexing one tensor, and computes no gradient that nobody
uses: none of the generator in the discriminator's turn, none of the discriminator's parameters in
the generator's.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from subprocesses import Steps, in_subprocesses
from zeuxis.device import has_bf16


@dataclass(frozen=True)
class Tuning:
    """What a script does beyond the tutorial's; by default nothing."""

    tuned: bool = False
    """Fused or foreach optimizer, indexing instead of a DataLoader, no gradient that is not
    used."""
    bf16: bool = False
    """Autocast to bfloat16."""
    channels_last: bool = False
    """Weights and images with channels last."""

    def __str__(self) -> str:
        return ("bfloat16" if self.bf16 else "float32") + (
            ", channels last" if self.channels_last else ""
        )

    def layout(self, x: Any) -> Any:
        """A network, or images, in the memory layout chosen."""
        return x.to(memory_format=torch.channels_last) if self.channels_last else x

    def autocast(self) -> AbstractContextManager[object]:
        """The precision chosen, for the forward passes and losses inside."""
        return torch.autocast("cpu", torch.bfloat16) if self.bf16 else nullcontext()

    def unused(self) -> AbstractContextManager[object]:
        """No graph for what is only looked at; a plain script detaches afterwards."""
        return torch.no_grad() if self.tuned else nullcontext()

    def adam(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> torch.optim.Adam:
        return torch.optim.Adam(parameters, lr, betas, fused=True if self.tuned else None)

    @contextmanager
    def frozen(self, *networks: nn.Module) -> Iterator[None]:
        """No gradient for these networks' parameters inside."""
        parameters = [p for network in networks for p in network.parameters()] if self.tuned else []
        for p in parameters:
            p.requires_grad_(False)
        try:
            yield
        finally:
            for p in parameters:
                p.requires_grad_(True)

    def batches(self, x: Tensor, size: int) -> Iterator[Tensor]:
        """Shuffled batches without end."""
        if not self.tuned:
            loader = DataLoader(TensorDataset(x), size, shuffle=True, drop_last=True)
            while True:
                for (batch,) in loader:
                    yield batch
        while True:
            order = torch.randperm(len(x))
            for i in range(0, len(x) - size + 1, size):
                yield self.layout(x[order[i : i + size]]) if x.ndim == 4 else x[order[i : i + size]]


PLAIN = Tuning()


def variants(images: bool) -> list[Tuning]:
    """Every tuning that might pay here; layouts matter to convolutions alone."""
    precisions = [False, True] if has_bf16(torch.device("cpu")) else [False]
    return [
        Tuning(True, bf16, last)
        for bf16, last in product(precisions, [False, True] if images else [False])
    ]


def fastest(script: Callable[[Tuning], Steps], n: int, images: bool) -> Tuning:
    """The tuning that pays most, by two turns of each."""
    tried = variants(images)
    if len(tried) == 1:
        return tried[0]
    times, _ = in_subprocesses({str(tuning): partial(script, tuning) for tuning in tried}, n, 2)
    return min(tried, key=lambda tuning: min(times[str(tuning)]))


def contest(
    name: str,
    script: Callable[[Tuning], Steps],
    ours: Callable[[], Steps],
    n: int,
    rounds: int,
    images: bool = True,
) -> dict[str, Any]:
    """Milliseconds of a step of the plain script, of the tuned one and of zeuxis, and how many
    times as fast zeuxis is.

    Arguments:
        name: Printed before the figures.
        script: Makes the steps of a script with some tuning, in a separate process.
        ours: Makes those of zeuxis.
        n: Steps a turn.
        rounds: Turns of each.
        images: Whether memory layouts are tried.
    """
    tuning = fastest(script, max(1, n // 2), images)
    makers = {"plain": partial(script, PLAIN), "tuned": partial(script, tuning), "zeuxis": ours}
    times, held = in_subprocesses(makers, n, rounds)
    found: dict[str, Any] = {
        f"{key} ms": 1e3 * statistics.median(values) / n for key, values in times.items()
    }
    for key, rival in (("ratio", "plain"), ("ratio to tuned", "tuned")):
        found[key] = statistics.median(
            a / b for a, b in zip(times[rival], times["zeuxis"], strict=True)
        )
    found["tuned script"] = str(tuning)
    found |= {f"{key} peak memory MB": value / 1e6 for key, value in held.items()}
    print(
        (
            f"{name}: a step {found['plain ms']:.0f} ms plain, {found['tuned ms']:.0f} ms "
            f"tuned ({tuning}), "
        ),
        end="",
    )
    print(
        (
            f"{found['zeuxis ms']:.0f} ms zeuxis: {found['ratio']:.2f} and "
            f"{found['ratio to tuned']:.2f} times as fast; "
        ),
        end="",
        flush=True,
    )
    return found
