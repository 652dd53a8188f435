"""A data set: one array of examples, optional labels, and a `Spec` of name, shape and classes.

Images are uint8 in NCHW order (binary data: 0 and 255); each model scales them itself. The array is
a tensor in memory, or a memory-mapped NumPy array for data larger than memory, of which `batch`
reads the rows of the batch only. Points in the plane are float32 of shape (N, 2).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError, UsageError
from ..ranges import BaseConfig, Range, shown
from .facts import Facts
from .fingerprint import fingerprint

MAX_SIDE = 16_384  # pixels


@dataclass(frozen=True)
class Spec(BaseConfig, flags="Spec."):
    """What a model must know before it is built.

    Arguments:
        name: The data set's name, as in `mnist`.
        shape: One example's shape: (channels, height, width), or (2,) for points in the plane.
        classes: The number of classes, 0 without labels.
        class_names: Names in label order, or empty.
    """

    name: str
    shape: tuple[Annotated[int, Range(1, 10**7)], ...]
    classes: Annotated[int, Range(0, 10**6)] = 0
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        # A saved model may have any shape where its layers do not depend on it. A sampler that
        # goes pixel by pixel would then run for hours.
        if len(self.shape) == 3 and max(self.shape[1:]) > MAX_SIDE:
            raise UsageError(
                f"Spec.shape is {self.shape}: images have at most {MAX_SIDE:,} pixels a side."
            )

    @property
    def size(self) -> int:
        """Numbers in one example."""
        return int(np.prod(self.shape))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Spec:
        return cls(data["name"], tuple(data["shape"]), data["classes"], tuple(data["class_names"]))


@runtime_checkable
class LazyArray(Protocol):
    """Examples that are generated when their rows are read, in place of an array."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Dataset:
    """Examples, and labels if there are any.

    Arguments:
        spec: Name, shape and classes.
        x: Examples, (N, *shape): a tensor, a memory-mapped array, or a `LazyArray`.
        y: Labels (N,), int64, -1 where an example is unlabeled; None without labels.
        rows: The rows of `x` in this data set, None for all. Splits share one array.
        facts: What else is known, such as the part and notes from reading.

    Example:
        >>> import torch
        >>> x, y = torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 0, 1])
        >>> data = Dataset(Spec("tiny", (1, 2, 2), 2), x, y)
        >>> len(data), data.batch(torch.tensor([1, 3]))[1].tolist()
        (4, [1, 1])
    """

    spec: Spec
    x: Tensor | np.ndarray | LazyArray
    y: Tensor | None = None
    rows: Tensor | None = None
    facts: Facts = field(default_factory=Facts)

    def __post_init__(self) -> None:
        if not isinstance(self.spec, Spec):
            raise DataError(
                f"A data set begins with its Spec, got {shown(self.spec)}: give "
                "Spec(name, shape, classes)."
            )
        if not isinstance(self.x, Tensor | LazyArray) or not (
            self.y is None or isinstance(self.y, Tensor)
        ):
            wrong = self.x if not isinstance(self.x, Tensor | LazyArray) else self.y
            raise DataError(
                f"'{self.spec.name}' is made of tensors or arrays, got {shown(wrong)}: "
                "give torch.as_tensor(...) of it."
            )
        if len(self.spec.shape) == 3 and self.x.dtype not in (torch.uint8, np.uint8):
            kind = str(self.x.dtype).removeprefix("torch.")
            raise DataError(
                f"The images of '{self.spec.name}' are {kind}, expected uint8 from 0 to "
                "255: scale and round them first."
            )
        if tuple(self.x.shape[1:]) != self.spec.shape:
            raise DataError(
                f"The examples of '{self.spec.name}' have shape {tuple(self.x.shape[1:])}, "
                f"expected {self.spec.shape}."
            )
        if self.y is not None and len(self.y) != len(self.x):
            raise DataError(
                f"'{self.spec.name}' has {len(self.x)} examples but {len(self.y)} "
                "labels: give one label an example."
            )
        if self.y is not None and (self.y.is_floating_point() or self.y.ndim != 1):
            raise DataError(
                f"The labels of '{self.spec.name}' are {shown(self.y)}, expected whole "
                "numbers of shape (N,)."
            )
        if self.y is not None and self.spec.classes and len(self.y):
            least, most = int(self.y.min()), int(self.y.max())
            if least < -1 or most >= self.spec.classes:
                expected = (
                    f"expected 0 to {self.spec.classes - 1}, or -1 for an example without one"
                )
                raise DataError(
                    f"'{self.spec.name}' has labels from {least} to {most}, {expected}."
                )

    def __len__(self) -> int:
        return len(self.x) if self.rows is None else len(self.rows)

    @property
    def nbytes(self) -> int:
        """Bytes of the raw examples."""
        return len(self) * self.spec.size * self.x.dtype.itemsize

    @property
    def labels(self) -> Tensor | None:
        """Labels of the rows in this data set, (len(self),)."""
        return self.y if self.y is None or self.rows is None else self.y[self.rows]

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Examples and labels at these positions."""
        if isinstance(self.x, Tensor):
            index = index.to(self.x.device)
        rows = index if self.rows is None else self.rows[index]
        x = (
            self.x[rows]
            if isinstance(self.x, Tensor)
            else torch.from_numpy(np.ascontiguousarray(self.x[rows.numpy()]))
        )
        return x, None if self.y is None else self.y[rows]

    def all(self) -> Tensor:
        """Every example as one tensor, for sets that fit in memory."""
        return self.batch(torch.arange(len(self)))[0]

    def batch_of(self, n: int) -> Tensor:
        """The first n examples, or all if there are fewer."""
        return self.batch(torch.arange(min(n, len(self))))[0]

    def require_finite(self) -> None:
        """Refuses points that are not finite.

        Raises:
            DataError: At least one is NaN or infinite.
        """
        if not isinstance(self.x, Tensor) or not self.x.is_floating_point():
            return
        if wrong := int((~self.x.isfinite()).flatten(1).any(1).sum()):
            raise DataError(
                f"{wrong:,} of the {len(self.x):,} examples of '{self.spec.name}' hold "
                "NaN or infinity: remove them."
            )

    def fingerprint(self) -> str:
        """A hash of pixels, labels and classes (`zeuxis.data.fingerprint`)."""
        return fingerprint(self)

    def take(self, positions: Tensor) -> Dataset:
        """The data set of these positions; it shares the array."""
        return replace(self, rows=positions if self.rows is None else self.rows[positions])

    def to(self, device: torch.device) -> Dataset:
        """The data set with its examples on a device; only tensors move."""
        if not isinstance(self.x, Tensor) or self.x.device == device:
            return self
        move = [None if t is None else t.to(device) for t in (self.y, self.rows)]
        return replace(self, x=self.x.to(device), y=move[0], rows=move[1])
