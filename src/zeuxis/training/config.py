"""Settings between dataclasses and JSON: what a run folder says of itself, read back with every type checked."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal, TypeVar

from ..errors import ZeuxisError

C = TypeVar("C")


def to_json(config: Any) -> dict[str, Any]:
    """A frozen dataclass as plain JSON values.

    Example:
        >>> from zeuxis.gan.dcgan import DCGANConfig
        >>> to_json(DCGANConfig())["code"]
        100
    """
    return dataclasses.asdict(config)


def from_json(kind: type[C], values: Any, where: str) -> C:
    """A dataclass of this kind from JSON values; missing ones take their default.

    Arguments:
        kind: The dataclass.
        values: What the JSON held.
        where: The file, for error sentences.

    Raises:
        ZeuxisError: A setting is unknown or has the wrong type.
    """
    if not isinstance(values, dict):
        raise ZeuxisError(f"{where} holds no settings of {kind.__name__} but a {type(values).__name__}: it is damaged.")
    hints = typing.get_type_hints(kind)
    taken = {}
    for name, value in values.items():
        if name not in hints:
            raise ZeuxisError(f"{where} has the setting '{name}', which {kind.__name__} of this version of zeuxis does not know.")
        value = tuple(tuple(v) if isinstance(v, list) else v for v in value) if isinstance(value, list) else value
        if not fits(value, hints[name]):
            raise ZeuxisError(f"{where} gives {name} = {value!r}, and {kind.__name__} expects {hints[name]}: mend or remove it.")
        taken[name] = value
    return kind(**taken)


def fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value is of the hinted type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in arguments
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in arguments)
    if origin is tuple:
        inner = arguments[:1] * len(value) if isinstance(value, tuple) and arguments[-1] is Ellipsis else arguments
        return isinstance(value, tuple) and len(value) == len(inner) and all(map(fits, value, inner))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return hint is Any or isinstance(value, hint)
