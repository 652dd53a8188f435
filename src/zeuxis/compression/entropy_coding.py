r"""From a network's probabilities to bits and back: integer frequencies that encoder and decoder
cannot disagree on.

An entropy coder needs integers $f_k \ge 1$ with $\sum_k f_k = 2^{24}$, the same to the last unit on
both sides. They are made from log-probabilities in three steps, of which only the first sees a
number that two machines may compute differently:

$$ s_k = \mathrm{round}(-256 \log_2 p_k), \qquad w_k = \mathrm{round}(2^{32 - s_k / 256}), \qquad
   f_k = 1 + \Big\lfloor w_k \frac{2^{24} - K}{\sum_j w_j} \Big\rfloor , $$

with $s_k$ at most $32 \cdot 256$, $w_k$ from a table of exact integers, and what is missing from
$2^{24}$ given to the first of the largest. Rounding to steps of 1/256 bit costs $3 \cdot 10^{-7}$
nats a number, and the floor of 1 at most $K / 2^{24}$ of the mass.

**What is guaranteed.** A network's sums depend in their last digits on the number of threads, the
size of the batch, the kernels and the processor. While coding, PyTorch therefore runs on one thread
whatever the process was given, batches have the same sizes in both directions, and the network
computes in float64 on the CPU. On one machine and one version of PyTorch a file then decodes. On
another processor or version sums differ by about $10^{-14}$, and the frequencies by nothing unless
a $256 \log_2 p_k$ lies that near to the middle between two integers: some $10^{-11}$ for each
probability, so that most files decode and none is certain to. With single precision, which is
faster, sums differ by $10^{-6}$, and only the same machine and version decode. In every case
checksums of the pixels have the last word: what was not reproduced is an error and never an image.

The coders themselves (range coding, and asymmetric numeral systems for bits-back) are those of
`constriction`, whose categorical model takes $f_k - 1$ as weights and adds the 1: its integers are
then exactly these.

Sources: Duda, "Asymmetric numeral systems", 2013; Martin, "Range encoding", 1979; Bamler,
"Understanding Entropy Coding With Asymmetric Numeral Systems", 2022.
"""

from __future__ import annotations

import contextlib
import copy
import decimal
import functools
import hashlib
import importlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from ..checkpoints.serialization import to_json
from ..errors import MissingExtra, ZeuxisError
from ..model import Model
from ..nn.weight_norm import WeightNorm

PRECISION = 24  # the frequencies of a law sum to 2 ** PRECISION
STEPS = 256  # steps of a bit to which logarithms are rounded
RANGE = 32  # bits between the largest weight and the smallest

Precision = Literal["double", "single"]
Advance = Callable[[float], None]


@dataclass(frozen=True)
class Coded:
    """A sequence of images of the model's size as bits.

    Arguments:
        payload: The bits, in whole 32-bit words.
        lanes: Images that went through the network together.
        kept: Words of the initial bits that were not touched and need not be stored (bits-back
            coding only).
        nats: The code length that the model itself gives: -log p(x), or the bound on it, of all
            images.
        initial: Initial bits that were used up and are spent once a sequence (bits-back coding
            only).
    """

    payload: bytes
    lanes: int
    kept: int = 0
    nats: float = 0.0
    initial: int = 0


@runtime_checkable
class Coder(Protocol):
    """Images of the model's size to bits and back."""

    kind: Literal["range", "bits-back"]
    levels: int

    def lanes_for(self, n: int) -> int:
        """How many images go through the network together in a sequence of n."""
        ...

    def encode(
        self, x: UInt8[Tensor, "n channels height width"], lanes: int, advance: Advance
    ) -> Coded: ...

    def decode(
        self, coded: Coded, n: int, advance: Advance
    ) -> UInt8[Tensor, "n channels height width"]: ...


def constriction() -> Any:
    """The package of the entropy coders."""
    try:
        return importlib.import_module("constriction").stream
    except ImportError as error:
        raise MissingExtra("constriction", "codec", "Lossless coding") from error


@functools.cache
def categorical() -> Any:
    """The family of laws given by weights, one row a symbol."""
    return constriction().model.Categorical(perfect=False)


@functools.cache
def table() -> Float[Tensor, "steps"]:
    """w of the module's formula for every s, from decimal arithmetic, which is the same on every
    machine."""
    context = decimal.Context(prec=60, rounding=decimal.ROUND_HALF_EVEN)
    scale = [
        context.power(2, context.divide(decimal.Decimal(-s), STEPS)) * 2**RANGE
        for s in range(STEPS)
    ]
    weights = [
        int((scale[s % STEPS] / 2 ** (s // STEPS)).to_integral_value())
        for s in range(RANGE * STEPS + 1)
    ]
    return torch.tensor(weights, dtype=torch.float64)


def slots(log_p: Float[Tensor, "n levels"]) -> Float32[np.ndarray, "n levels"]:
    """f - 1 of the module's formula, whole numbers in float32 as the coder takes them.

    Every operation after the first rounding is on integers below 2^53 or one IEEE multiplication,
    division or floor of float64, so that it has one result. The floors sum to no more than 2^24 -
    K: their sum is an integer, and rounding errors are far below 1.
    """
    n, levels = log_p.shape
    free, at_once = (
        2**PRECISION - levels,
        max(1, 65_536 // levels),
    )  # as many rows at once as a processor's cache holds
    made = np.empty((n, levels), np.float32)
    for i in range(0, n, at_once):
        steps = (
            (log_p[i : i + at_once].double() * (-STEPS / math.log(2)))
            .round_()
            .clamp_(0, RANGE * STEPS)
        )
        if steps.sum().isnan():
            raise ZeuxisError(
                "The model gives probabilities that are no numbers: its weights are "
                "damaged, or its training diverged."
            )
        w = table().index_select(0, steps.int().view(-1)).view(steps.shape)
        f = w.mul_(free / w.sum(1, keepdim=True)).floor_().numpy()
        f[np.arange(len(f)), f.argmax(1)] += free - f.sum(1)
        made[i : i + at_once] = f
    return made


def frequencies(log_p: Float[Tensor, "n levels"]) -> Int64[Tensor, "n levels"]:
    """The integers that stand for laws given as log-probabilities (natural logarithms): at least 1
    each, 2^24 in all.

    Raises:
        ZeuxisError: A probability is not a number.

    Example:
        >>> frequencies(torch.tensor([[0.5, 0.25, 0.25, 0.0]]).log())
        tensor([[8388609, 4194303, 4194303,       1]])
    """
    return torch.from_numpy(slots(log_p)).long() + 1


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """One thread, float32 products in float32, no autocast and no gradients, as long as it
    lasts."""
    products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    threads, before = torch.get_num_threads(), products.fp32_precision
    torch.set_num_threads(1)
    products.fp32_precision = "ieee"
    try:
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_num_threads(threads)
        products.fp32_precision = before


def ready(model: Model, precision: Precision) -> Model:
    """A copy of the model that computes on the CPU in this precision, without dropout, its weights
    normalized once."""
    twin = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    twin = twin.double() if precision == "double" else twin.float()
    twin.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # as the decoder will load it, whatever it did before
    for layer in twin.modules():
        if isinstance(layer, WeightNorm):
            layer.freeze()
    return twin


def fingerprint(model: Model) -> str:
    """SHA-256 of all that a decoder must have the same: the model's name, settings, shape of images
    and every weight.

    Example:
        >>> import zeuxis
        >>> fingerprint(zeuxis.load("mnist/dcgan")) == fingerprint(zeuxis.load("mnist/dcgan"))
        True
    """
    about = {"model": model.name, "config": to_json(model.config), "shape": list(model.spec.shape)}
    total = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        total.update(
            tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        )
    return total.hexdigest()


def machine() -> str:
    """What the last digits of a sum depend on beside threads and shapes."""
    return f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"


def to_words(data: bytes) -> np.ndarray:
    """Little-endian 32-bit words as the coders take them."""
    return np.frombuffer(data, "<u4").astype(np.uint32)


def to_bytes(words: np.ndarray) -> bytes:
    """The coders' words as bytes, little-endian."""
    return words.astype("<u4").tobytes()
