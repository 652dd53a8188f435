r"""Entropy coding with a network's probabilities, as integer frequencies equal on both sides.

An entropy coder needs integers $f_k \ge 1$ with $\sum_k f_k = 2^{24}$, exactly the same in encoder
and decoder. They are computed from log-probabilities in three steps, and two machines can differ in
the input of the first step only:

$$ s_k = \mathrm{round}(-256 \log_2 p_k), \qquad w_k = \mathrm{round}(2^{32 - s_k / 256}), \qquad
   f_k = 1 + \Big\lfloor w_k \frac{2^{24} - K}{\sum_j w_j} \Big\rfloor , $$

where $s_k$ is at most $32 \cdot 256$, $w_k$ comes from a table of exact integers, and the remainder
to $2^{24}$ is added to the first of the largest. Rounding to 1/256 bit costs $3 \cdot 10^{-7}$ nats
per number, and the minimum of 1 at most $K / 2^{24}$ of the mass.

**Reproducibility.** The last digits of a network's sums depend on the number of threads, the batch
size, the kernels and the processor. So coding uses one thread, the same batch sizes in both
directions, and float64 on the CPU. The same machine and version of PyTorch always decode a file. On
another processor or version, sums differ by about $10^{-14}$, which changes a frequency only if
$256 \log_2 p_k$ is that close to the middle between two integers. The probability is about
$10^{-11}$ for each $p_k$: most files decode, but it is not certain. In single precision, which is
faster, sums differ by $10^{-6}$, and only the same machine and version decode. Checksums of the
pixels are always compared: pixels that differ are an error and never an image.

The coders (range coding, and asymmetric numeral systems for bits-back coding) are those of
`constriction`. Its categorical model takes $f_k - 1$ as weights and adds the 1, which gives exactly
these integers.

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

PRECISION = 24  # the frequencies of a distribution sum to 2 ** PRECISION
STEPS = 256  # logarithms are rounded to 1 / STEPS bit
RANGE = 32  # bits between the largest and the smallest weight

# Version 1 of the format hashes settings by these names, so that its files decode for good.
VERSION_1_NAMES = {
    "architecture": "network",
    "channels": "maps",
    "first_kernel": "first",
    "head_channels": "head",
    "hidden_dim": "hidden",
    "latent_dim": "latent",
    "optimizer": "optimiser",
}

# Settings that came later: at their defaults they are left out of the hash.
LATER = {"beta": 1.0}

Precision = Literal["double", "single"]
Advance = Callable[[float], None]


@dataclass(frozen=True)
class Coded:
    """The code of a sequence of images of the model's size.

    Arguments:
        payload: The bits, in whole 32-bit words.
        lanes: Images that the network processed together.
        kept: Words of the initial bits that were not used and are not stored (bits-back coding).
        nats: Code length under the model: -log p(x) of all images, or the bound on it.
        initial: Initial bits that were used, once per sequence (bits-back coding).
    """

    payload: bytes
    lanes: int
    kept: int = 0
    nats: float = 0.0
    initial: int = 0


@runtime_checkable
class Coder(Protocol):
    """Codes images of the model's size."""

    kind: Literal["range", "bits-back"]
    levels: int

    def lanes_for(self, n: int) -> int:
        """The number of images that the network processes together in a sequence of n."""
        ...

    def encode(
        self, x: UInt8[Tensor, "n channels height width"], lanes: int, advance: Advance
    ) -> Coded: ...

    def decode(
        self, coded: Coded, n: int, advance: Advance
    ) -> UInt8[Tensor, "n channels height width"]: ...


def constriction() -> Any:
    """The package `constriction`, with the entropy coders."""
    try:
        return importlib.import_module("constriction").stream
    except ImportError as error:
        raise MissingExtra("constriction", "codec", "Lossless coding") from error


@functools.cache
def categorical() -> Any:
    """The family of categorical distributions, with one row of weights per symbol."""
    return constriction().model.Categorical(perfect=False)


@functools.cache
def exact_weights() -> Float[Tensor, "steps"]:
    """w for every s of the module's formula, by decimal arithmetic, which is exact everywhere."""
    context = decimal.Context(prec=60, rounding=decimal.ROUND_HALF_EVEN)
    exponents = [context.divide(decimal.Decimal(-s), STEPS) for s in range(STEPS)]
    scale = [context.power(2, exponent) * 2**RANGE for exponent in exponents]
    exact = [scale[s % STEPS] / 2 ** (s // STEPS) for s in range(RANGE * STEPS + 1)]
    weights = [int(w.to_integral_value()) for w in exact]
    return torch.tensor(weights, dtype=torch.float64)


def integer_weights(log_p: Float[Tensor, "n levels"]) -> Float32[np.ndarray, "n levels"]:
    """f - 1 of the module's formula, as integers in float32 for the coder.

    After the first rounding, every operation is on integers below 2^53, or one IEEE multiplication,
    division or floor in float64, so the result is unique. The floors sum to at most 2^24 - K, since
    their sum is an integer and rounding errors are far below 1.
    """
    n, levels = log_p.shape
    free = 2**PRECISION - levels
    at_once = max(1, 65_536 // levels)  # rows that fit into a processor's cache
    result = np.empty((n, levels), np.float32)
    for i in range(0, n, at_once):
        bits = log_p[i : i + at_once].double() * (-STEPS / math.log(2))
        steps = bits.round_().clamp_(0, RANGE * STEPS)
        if steps.sum().isnan():
            raise ZeuxisError(
                "The model gives probabilities that are no numbers: its weights are "
                "damaged, or its training diverged."
            )
        w = exact_weights().index_select(0, steps.int().view(-1)).view(steps.shape)
        f = w.mul_(free / w.sum(1, keepdim=True)).floor_().numpy()
        f[np.arange(len(f)), f.argmax(1)] += free - f.sum(1)
        result[i : i + at_once] = f
    return result


def frequencies(log_p: Float[Tensor, "n levels"]) -> Int64[Tensor, "n levels"]:
    """Integer frequencies of distributions: at least 1 each, with sum 2^24.

    Arguments:
        log_p: Log-probabilities (nats), a distribution per row.

    Raises:
        ZeuxisError: A probability is not a number.

    Example:
        >>> frequencies(torch.tensor([[0.5, 0.25, 0.25, 0.0]]).log())
        tensor([[8388609, 4194303, 4194303,       1]])
    """
    return torch.from_numpy(integer_weights(log_p)).long() + 1


@contextlib.contextmanager
def reproducible() -> Iterator[None]:
    """Makes results reproducible: one thread, float32 products, no autocast, no gradients."""
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


def prepare(model: Model, precision: Precision) -> Model:
    """A copy of the model for coding: on the CPU, in a precision, and in evaluation mode.

    Normalized weights are computed once.
    """
    copied = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    copied = copied.double() if precision == "double" else copied.float()
    # The decoder loads a model with this memory format.
    copied.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for layer in copied.modules():
        if isinstance(layer, WeightNorm):
            layer.freeze()
    return copied


def fingerprint(model: Model) -> str:
    """SHA-256 of what encoder and decoder must share: name, config, shape and weights.

    Example:
        >>> import zeuxis
        >>> fingerprint(zeuxis.load("mnist/dcgan")) == fingerprint(zeuxis.load("mnist/dcgan"))
        True
    """
    settings = to_json(model.config)
    settings = {k: v for k, v in settings.items() if LATER.get(k, ...) != v}
    names = VERSION_1_NAMES | ({"architecture": "layer"} if model.name == "pixelrnn" else {})
    description = {
        "model": model.name,
        "settings": {names.get(key, key): value for key, value in settings.items()},
        "shape": list(model.spec.shape),
    }
    total = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().view(-1)
        total.update(flat.view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def machine() -> str:
    """What the last digits of a sum depend on, besides threads and shapes."""
    return f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"


def to_words(data: bytes) -> np.ndarray:
    """Little-endian 32-bit words for the coders."""
    return np.frombuffer(data, "<u4").astype(np.uint32)


def to_bytes(words: np.ndarray) -> bytes:
    """The coders' words as bytes, little-endian."""
    return words.astype("<u4").tobytes()
