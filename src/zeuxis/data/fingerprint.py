"""A hash of the content of a data set: examples, labels and classes, whatever its name and path."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .dataset import Dataset

WHOLE = 256 << 20  # bytes up to which all examples are hashed; a sample takes a quarter of a second
SAMPLE = 2_048  # examples
BLOCK = 16 << 20  # bytes hashed at a time


def fingerprint(data: Dataset) -> str:
    """SHA-256 of the examples, their number, shape and type, the labels and the class names.

    Up to 256 MB of examples are hashed whole. Of larger sets, and of examples that are generated
    when they are read, 2,048 examples at equal distances are hashed, the first and the last among
    them. Labels are always hashed whole.

    Example:
        >>> import torch
        >>> from zeuxis.data.dataset import Dataset, Spec
        >>> x = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
        >>> a, b = (Dataset(Spec(name, (1, 2, 2)), x) for name in "ab")
        >>> fingerprint(a) == fingerprint(b)
        True
        >>> fingerprint(a) == fingerprint(b.take(torch.tensor([0, 1])))
        False
    """
    n, dtype = len(data), str(data.x.dtype).removeprefix("torch.")
    names = list(data.spec.class_names)
    head = repr((1, n, dtype, data.spec.shape, data.spec.classes, names))
    total = hashlib.sha256(head.encode("utf-8", "surrogatepass"))
    if data.labels is not None:
        total.update(as_bytes(data.labels.to(torch.int64)))
    stored = isinstance(data.x, Tensor) or hasattr(data.x, "tobytes")
    if n <= SAMPLE or (stored and data.nbytes <= WHOLE):
        rows = torch.arange(n)
    else:
        rows = torch.arange(SAMPLE) * (n - 1) // (SAMPLE - 1)
    bytes_per_row = max(1, data.nbytes // max(1, n))
    for block in rows.split(max(1, BLOCK // bytes_per_row)):
        total.update(as_bytes(data.batch(block)[0]))
    return total.hexdigest()


def as_bytes(x: Tensor) -> memoryview:
    """The bytes of a tensor, without a copy of contiguous memory."""
    return x.detach().cpu().contiguous().numpy().reshape(-1).view("u1").data
