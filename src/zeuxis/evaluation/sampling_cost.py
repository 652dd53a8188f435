"""What a sample costs: seconds, sequential passes through the network, operations, and weights.

A **pass** is one evaluation of the network that must wait for the one before. An autoregressive
model has one for each value of an image. For other models it is counted: the most calls of one
layer while a single image is sampled, that is 1 for a generator or a decoder and the number of
velocity evaluations for a flow.

**Naive** autoregressive sampling evaluates the whole network anew for each value. Its time is that
of one parallel pass times the number of values, since nobody should have to wait for it.

**Weights for sampling** are the parameters that the sampler reads; those of an encoder or of a
discriminator are not among them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from ..capabilities import CanAutoregress, CanSample
from ..model import Model, require
from ..ranges import SmallCount

LONG = 2.0  # seconds from which an act is timed once


@dataclass(frozen=True)
class SamplingCost:
    """What samples of one model cost.

    Arguments:
        seconds: Seconds per image by the batch size.
        naive: The same for autoregressive sampling without a cache; empty for other models.
        passes: Sequential passes through the network.
        flops: Multiplications and additions of one image, in matrix products and convolutions.
        threads: CPU threads.
        device: Where it ran.
    """

    seconds: dict[int, float]
    naive: dict[int, float]
    passes: int
    flops: int
    threads: int
    device: str


def sampling_cost(
    model: Model, batches: Iterable[int] = (1, 64), repeats: SmallCount = 3
) -> SamplingCost:
    """Times a model's samples: the median of a few repeats, after a first one that warms up.

    Arguments:
        model: A model that samples.
        batches: Images sampled together.
        repeats: Times each is measured.

    Example:
        >>> from zeuxis.checkpoints.weights import load
        >>> cost = sampling_cost(load("mnist/vae"), (1,), repeats=1)
        >>> cost.passes, cost.seconds[1] > 0
        (1, True)
    """
    sampler = require(model, CanSample, "draw samples")
    seconds, naive = {}, {}
    for n in batches:
        seconds[n] = timed(partial(seeded_sample, sampler, n), repeats) / n
        if model.can(CanAutoregress):
            x = seeded_sample(sampler, n)
            y = torch.zeros(n, dtype=torch.int64) if model.conditional else None
            values = require(model, CanAutoregress, "give conditionals")
            naive[n] = timed(partial(values.conditionals, x, y), repeats) * model.spec.size / n
    return SamplingCost(
        seconds,
        naive,
        sequential_passes(model),
        sample_flops(model),
        torch.get_num_threads(),
        str(model.device),
    )


def seeded_sample(model: CanSample, n: int) -> Tensor:
    """n samples by the seed 0."""
    return model.sample(n, generator=torch.Generator().manual_seed(0))


def timed(act: Callable[[], Any], repeats: int) -> float:
    """The median time of an act, in seconds; of a long one its first time, which needs no warming
    up."""
    times: list[float] = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        act()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
        if times[0] > LONG:
            return times[0]
    return statistics.median(times[1:])


def sequential_passes(model: Model) -> int:
    """Evaluations of the network that follow one another in sampling one image.

    Example:
        >>> from zeuxis.checkpoints.weights import load
        >>> sequential_passes(load("mnist/dcgan")), sequential_passes(load("mnist/pixelcnn"))
        (1, 784)
    """
    if model.can(CanAutoregress):
        return model.spec.size
    calls: dict[nn.Module, int] = {}

    def count(module: nn.Module, *_: Any) -> None:
        calls[module] = calls.get(module, 0) + 1

    layers = [part for part in model.modules() if any(True for _ in part.parameters(False))]
    hooks = [part.register_forward_pre_hook(count) for part in layers]
    try:
        seeded_sample(require(model, CanSample, "draw samples"), 1)
    finally:
        for hook in hooks:
            hook.remove()
    return max(calls.values(), default=1)


def sample_flops(model: Model) -> int:
    """Floating-point operations of one sampled image, two for a multiplication with addition."""
    with FlopCounterMode(display=False) as counter:
        seeded_sample(require(model, CanSample, "draw samples"), 1)
    return counter.get_total_flops()


class ReadParameters(TorchFunctionMode):
    """Notes which parameters take part in a computation."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") != "__get__":  # properties such as the device
            self.note([*args, *kwargs.values()])
        return func(*args, **kwargs)

    def note(self, values: Iterable[Any]) -> None:
        """Notes the parameters among arguments and the lists in them."""
        for value in values:
            if isinstance(value, nn.Parameter):
                self.ids.add(id(value))
            elif isinstance(value, list | tuple):
                self.note(value)


@dataclass(frozen=True)
class Weights:
    """Numbers of parameters.

    Arguments:
        sampling: Those that a sample needs.
        training: Those that only training or other capabilities need.
    """

    sampling: int
    training: int


def count_weights(model: Model) -> Weights:
    """Parameters that sampling needs, and the others.

    Example:
        >>> from zeuxis.checkpoints.weights import load
        >>> model = load("mnist/dcgan")
        >>> count_weights(model).sampling == sum(p.numel() for p in model.generator.parameters())
        True
    """
    with ReadParameters() as read:
        seeded_sample(require(model, CanSample, "draw samples"), 1)
    sampling = sum(p.numel() for p in model.parameters() if id(p) in read.ids)
    return Weights(sampling, sum(p.numel() for p in model.parameters()) - sampling)
