"""Ranges of settings: a frozen dataclass declares them, and refuses other values.

```python
@dataclass(frozen=True)
class TinyConfig(BaseConfig):
    width: Size = 64
    lr: Rate = 1e-3
    slope: Annotated[float, Range(0, 1)] = 0.1
```

The command line, JSON and Python all create the same dataclass, so all values are checked here. A
number must be finite even without a range.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from .errors import UsageError


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers that a setting accepts.

    Arguments:
        low: The least.
        high: The greatest.
        above: Whether `low` itself is excluded.
        below: Whether `high` itself is excluded.

    Example:
        >>> str(Range(0, above=True)), 0 in Range(0, above=True)
        ('above 0', False)
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        if not (self.low < value if self.above else self.low <= value):
            return False
        return value < self.high if self.below else value <= self.high

    def __str__(self) -> str:
        """The end of a sentence with "must be"."""
        is_finite = math.isfinite(self.low), math.isfinite(self.high)
        if all(is_finite) and not self.above and not self.below:
            return f"from {self.low:,} to {self.high:,}"
        low = f"{'above' if self.above else 'at least'} {self.low:,}" if is_finite[0] else ""
        high = f"{'below' if self.below else 'at most'} {self.high:,}" if is_finite[1] else ""
        return " and ".join(filter(None, (low, high)))

    def nearest(self, value: float) -> Range:
        """The range for an error sentence: of a wide range only the end that a number violates."""
        if self.high - self.low <= 1_000:
            return self
        if value <= self.low:
            return Range(low=self.low, above=self.above)
        return Range(high=self.high, below=self.below)


MOST = 10**15

Count = Annotated[int, Range(1, MOST)]
"""A number of images, steps or samples."""
CountOrNone = Annotated[int, Range(0, MOST)]
"""The same, where 0 means none or all."""
BatchSize = Annotated[int, Range(1, 10**7)]
"""Examples in memory at a time."""
BatchSizeOrNone = Annotated[int, Range(0, 10**7)]
Size = Annotated[int, Range(1, 10**5)]
"""Width of a network or dimension of a latent."""
SizeOrNone = Annotated[int, Range(0, 10**5)]
Depth = Annotated[int, Range(1, 1_000)]
"""A number of layers."""
DepthOrNone = Annotated[int, Range(0, 1_000)]
SmallCount = Annotated[int, Range(1, 10**4)]
"""Rows, columns, frames or images of a figure."""
SmallCountOrNone = Annotated[int, Range(0, 10**4)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
"""As in NumPy and scikit-learn."""
Threads = Annotated[int, Range(0, 4_096)]
"""Threads or processes; 0 means automatic or none."""
Workers = Annotated[int, Range(-1, 4_096)]
"""Processes; -1 means one for each core."""
Pixels = Annotated[int, Range(1, 16_384)]
"""Side of an image."""
Rate = Annotated[float, Range(0, 1_000)]
"""An optimizer's step size."""
Decay = Annotated[float, Range(0, 1, below=True)]
"""Decay of a moving average."""
Fraction = Annotated[float, Range(0, 1)]
"""A fraction, 0 and 1 included."""
FractionBelowOne = Annotated[float, Range(0, 1, below=True)]
"""A fraction, 0 included and 1 not."""
Weight = Annotated[float, Range(0, 1e9)]
"""Weight of a loss term, or another number of at least 0."""
Positive = Annotated[float, Range(0, 1e9, above=True)]
Duration = Annotated[float, Range(0, 10**6)]
"""Seconds or minutes."""
Finite = Annotated[float, Range(-1e9, 1e9)]


class BaseConfig:
    """Base of all configurations: checks values and converts them to their types.

    `flags` is the prefix of a setting on the command line, so error sentences name the option.

    Raises:
        UsageError: A value is of another type, or outside the range its field declares.

    Example:
        >>> from zeuxis import TrainingConfig
        >>> TrainingConfig(batch=0)
        Traceback (most recent call last):
        ...
        zeuxis.errors.UsageError: --training.batch must be at least 1, got 0.
    """

    flags: ClassVar[str] = "--model."

    def __init_subclass__(cls, flags: str = "", **more: Any) -> None:
        super().__init_subclass__(**more)
        if flags:
            cls.flags = flags

    def __post_init__(self) -> None:
        for name, value in checked(type(self), vars(self)).items():
            object.__setattr__(self, name, value)


@functools.cache
def hints_of(kind: type) -> dict[str, Any]:
    """Fields of a dataclass and their types, ranges included."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def checked(kind: type, values: Mapping[str, Any], flags: str = "") -> dict[str, Any]:
    """Values of a dataclass's fields, converted to the fields' types.

    Arguments:
        kind: The dataclass.
        values: Values by field.
        flags: Prefix of names in sentences; by default the class's.

    Raises:
        UsageError: A value is invalid; the sentence names the first one.
    """
    prefix = flags or getattr(kind, "flags", "--model.")
    hints, taken = hints_of(kind), {}
    for name, value in values.items():
        if name in hints:
            try:
                taken[name] = converted(value, hints[name])
            except ValueError as error:
                raise UsageError(
                    f"{prefix}{name.replace('_', '-')} must be {error}, got {shown(value)}."
                ) from None
    return taken


def shown(value: Any) -> str:
    """A value for a sentence: short, on one line; of an array its type and shape."""
    if hasattr(value, "shape") and hasattr(value, "dtype") and getattr(value, "ndim", False):
        return (
            f"{type(value).__name__} of {str(value.dtype).removeprefix('torch.')}, "
            f"shape {tuple(value.shape)}"
        )
    text = " ".join(repr(value).split())
    return text if len(text) < 60 else text[:56] + " ..."


def converted(value: Any, hint: Any) -> Any:
    """Converts a value to a type; a `ValueError` completes the sentence "must be"."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        inner = converted(value, arguments[0])
        limit = next((a for a in arguments[1:] if isinstance(a, Range)), None)
        if limit is not None and inner is not None and inner not in limit:
            raise ValueError(limit.nearest(inner))
        return inner
    if origin is Literal:
        if not any(value == one and type(value) is type(one) for one in arguments):
            raise ValueError(
                "one of " + ", ".join(repr(a) if a == "" else str(a) for a in arguments)
            )
        return value
    if origin in (typing.Union, types.UnionType):
        return united(value, arguments)
    if origin is tuple:
        return several(value, arguments)
    if hint in (int, float):
        return number(value, hint)
    if hint is str and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if origin is not None:  # of a list or a function only the outermost type is checked
        if isinstance(origin, type) and not isinstance(value, origin):
            raise ValueError(f"of type {origin.__name__}")
        return value
    if isinstance(hint, type) and not isinstance(value, hint):
        if hasattr(hint, "dim_str"):  # jaxtyping's
            kinds, axes = getattr(hint, "dtypes", ()), hint.dim_str.split()
            raise ValueError(f"a tensor of {' or '.join(kinds)} of shape ({', '.join(axes)})")
        raise ValueError(
            {str: "text", bool: "True or False", Path: "a path"}.get(
                hint, f"of type {hint.__name__}"
            )
        )
    return value


def united(value: Any, arguments: tuple[Any, ...]) -> Any:
    """Converts a value to the first type of a union that accepts it."""
    if value is None and type(None) in arguments:
        return None
    reasons = []
    for one in (a for a in arguments if a is not type(None)):
        try:
            return converted(value, one)
        except ValueError as error:
            reasons.append(str(error))
    raise ValueError(" or ".join(dict.fromkeys(reasons)))


def several(value: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Converts the entries of a tuple or list."""
    if not isinstance(value, tuple | list):
        raise ValueError("a list of values")
    # A shortcut for long lists from files.
    if arguments[-1] is Ellipsis and {arguments[0]} == set(map(type, value)):
        in_range = arguments[0] is int and -(2**63) <= min(value) <= max(value) < 2**63
        if arguments[0] is str or in_range:
            return tuple(value)
    kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
    if len(kinds) != len(value):
        raise ValueError(f"{len(kinds)} values")
    try:
        return tuple(map(converted, value, kinds))
    except ValueError as error:
        raise ValueError(f"a list of values, each {error}") from None


def number(value: Any, kind: type) -> int | float:
    """Converts an integer or finite number of any library."""
    if kind is int:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise ValueError("a whole number")
        if not -(2**63) <= int(value) < 2**63:
            raise ValueError("a whole number of at most 18 digits")
        return int(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError("a number")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ValueError("a finite number")
    return result
