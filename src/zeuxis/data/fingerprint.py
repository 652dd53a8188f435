"""A hash of what a data set holds: its pixels, labels and classes, whatever it is called and
wherever it lies."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .dataset import Dataset

WHOLE = (
    256 << 20
)  # bytes; of more, a sample of the examples is hashed, a quarter of a second at most
SAMPLE = 2_048  # examples
BLOCK = 16 << 20  # bytes hashed at a time


def fingerprint(data: Dataset) -> str:
    """SHA-256 over number, shape and type of the examples, their content, the labels, and the names
    of the classes.

    Up to 256 MB of examples are hashed whole. Of larger sets, and of examples that are made when
    they are read, it is 2,048 examples at equal distances, the first and the last among them;
    labels are always hashed whole.

    Example:
        >>> import torch
        >>> from zeuxis.data.dataset import Dataset, Spec
        >>> x = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
        >>> one, two = (Dataset(Spec(name, (1, 2, 2)), x) for name in "ab")
        >>> fingerprint(one) == fingerprint(two), fingerprint(one) == fingerprint(two.take(torch.tensor([0, 1])))
        (True, False)
    """
    n, kind = len(data), str(data.x.dtype).removeprefix("torch.")
    names = list(data.spec.class_names)
    total = hashlib.sha256(
        repr((1, n, kind, data.spec.shape, data.spec.classes, names)).encode(
            "utf-8", "surrogatepass"
        )
    )
    if data.labels is not None:
        total.update(as_bytes(data.labels.to(torch.int64)))
    whole = data.nbytes <= WHOLE and (isinstance(data.x, Tensor) or hasattr(data.x, "tobytes"))
    rows = (
        torch.arange(n) if whole or n <= SAMPLE else torch.arange(SAMPLE) * (n - 1) // (SAMPLE - 1)
    )
    each = max(1, data.nbytes // max(1, n))
    for block in rows.split(max(1, BLOCK // each)):
        total.update(as_bytes(data.batch(block)[0]))
    return total.hexdigest()


def as_bytes(x: Tensor) -> memoryview:
    """The bytes of a tensor, without a copy where it lies in memory in one piece."""
    return x.detach().cpu().contiguous().numpy().reshape(-1).view("u1").data
