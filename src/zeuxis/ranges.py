"""Settings and their ranges: a frozen dataclass of settings declares what each may be, and refuses
anything else when it is made.

```python
@dataclass(frozen=True)
class TinyConfig(BaseConfig):
    width: Size = 64
    lr: Rate = 1e-3
    slope: Annotated[float, Range(0, 1)] = 0.1
```

The command line, JSON and Python all make the same dataclass, so this is the one place that
decides. A number is finite whether it has a range or not.
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
    """Which numbers a setting takes.

    Arguments:
        low: The least.
        high: The greatest.
        above: Whether `low` itself is left out.
        below: Whether `high` itself is left out.

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
        """What follows "must be"."""
        if (
            not self.above
            and not self.below
            and math.isfinite(self.low)
            and math.isfinite(self.high)
        ):
            return f"from {self.low:,} to {self.high:,}"
        low = (
            f"{'above' if self.above else 'at least'} {self.low:,}"
            if math.isfinite(self.low)
            else ""
        )
        high = (
            f"{'below' if self.below else 'at most'} {self.high:,}"
            if math.isfinite(self.high)
            else ""
        )
        return " and ".join(filter(None, (low, high)))

    def nearest(self, value: float) -> Range:
        """The end that a number lies beyond, where the other is too far away to matter; else the
        whole range."""
        if self.high - self.low <= 1_000:
            return self
        if value <= self.low:
            return Range(low=self.low, above=self.above)
        return Range(high=self.high, below=self.below)


MOST = 10**15

Count = Annotated[int, Range(1, MOST)]
"""A number of images, steps or samples."""
CountOrNone = Annotated[int, Range(0, MOST)]
"""The same, where 0 leaves something out or takes all there are."""
Portion = Annotated[int, Range(1, 10**7)]
"""Examples that are in memory together, as those of a batch."""
PortionOrNone = Annotated[int, Range(0, 10**7)]
Size = Annotated[int, Range(1, 10**5)]
"""Width of a network or length of a code."""
SizeOrNone = Annotated[int, Range(0, 10**5)]
Depth = Annotated[int, Range(1, 1_000)]
"""A number of layers."""
DepthOrNone = Annotated[int, Range(0, 1_000)]
Few = Annotated[int, Range(1, 10**4)]
"""What somebody looks at: rows, columns, frames, pictures."""
FewOrNone = Annotated[int, Range(0, 10**4)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
"""As NumPy and scikit-learn take it."""
Threads = Annotated[int, Range(0, 4_096)]
"""Threads or processes; 0 lets zeuxis choose or takes none."""
Workers = Annotated[int, Range(-1, 4_096)]
"""Processes; -1 takes one for each core."""
Pixels = Annotated[int, Range(1, 16_384)]
"""Side of an image."""
Rate = Annotated[float, Range(0, 1_000)]
"""An optimizer's step size."""
Decay = Annotated[float, Range(0, 1, below=True)]
"""Decay of a moving average."""
Share = Annotated[float, Range(0, 1)]
Part = Annotated[float, Range(0, 1, below=True)]
"""A share that leaves something over."""
Weight = Annotated[float, Range(0, 1e9)]
"""Weight of a term of a loss, or any other number of at least 0."""
Positive = Annotated[float, Range(0, 1e9, above=True)]
Duration = Annotated[float, Range(0, 10**6)]
"""Seconds or minutes."""
Finite = Annotated[float, Range(-1e9, 1e9)]


class BaseConfig:
    """Base of every dataclass of settings: values are checked, and brought to their type, when one
    is made.

    `flags` is what stands before a setting's name on the command line, so that a sentence names the
    option to change.

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
    found = typing.get_type_hints(kind, include_extras=True)
    return {field.name: found[field.name] for field in dataclasses.fields(kind)}


def checked(kind: type, values: Mapping[str, Any], flags: str = "") -> dict[str, Any]:
    """Values for the fields of a dataclass, each of its field's type; a `UsageError` names the
    first that cannot be taken.

    Arguments:
        kind: The dataclass.
        values: What its fields are to hold.
        flags: What stands before a name in sentences; by default the class's own.
    """
    before = flags or getattr(kind, "flags", "--model.")
    hints, taken = hints_of(kind), {}
    for name, value in values.items():
        if name in hints:
            try:
                taken[name] = converted(value, hints[name])
            except ValueError as error:
                raise UsageError(
                    f"{before}{name.replace('_', '-')} must be {error}, got {shown(value)}."
                ) from None
    return taken


def shown(value: Any) -> str:
    """A value in a sentence: short, on one line, and of an array its type and shape."""
    if hasattr(value, "shape") and hasattr(value, "dtype") and getattr(value, "ndim", False):
        return (
            f"{type(value).__name__} of {str(value.dtype).removeprefix('torch.')}, "
            f"shape {tuple(value.shape)}"
        )
    text = " ".join(repr(value).split())
    return text if len(text) < 60 else text[:56] + " ..."


def converted(value: Any, hint: Any) -> Any:
    """A value as its type has it; a `ValueError` holds what follows "must be"."""
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
    if (
        origin is not None
    ):  # as that of a list or a function, of which only the outermost type is checked
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
    """A value as the first of several types that takes it."""
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
    """The entries of a tuple or list."""
    if not isinstance(value, tuple | list):
        raise ValueError("a list of values")
    alike = arguments[-1] is Ellipsis and {arguments[0]} == set(
        map(type, value)
    )  # as long lists in files are
    if alike and (
        arguments[0] is str
        or (arguments[0] is int and -(2**63) <= min(value) <= max(value) < 2**63)
    ):
        return tuple(value)
    kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
    if len(kinds) != len(value):
        raise ValueError(f"{len(kinds)} values")
    try:
        return tuple(map(converted, value, kinds))
    except ValueError as error:
        raise ValueError(f"a list of values, each {error}") from None


def number(value: Any, kind: type) -> int | float:
    """A whole or finite number, whichever library made it."""
    if kind is int:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise ValueError("a whole number")
        if not -(2**63) <= int(value) < 2**63:
            raise ValueError("a whole number of at most 18 digits")
        return int(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError("a number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ValueError("a finite number")
    return found
