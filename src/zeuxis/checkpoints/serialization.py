"""Settings between dataclasses and JSON: the description in a run folder, read back with every type
and range checked."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from ..errors import UsageError, ZeuxisError
from ..ranges import checked

C = TypeVar("C")


def to_json(config: Any) -> dict[str, Any]:
    """A frozen dataclass as plain JSON values.

    Example:
        >>> from zeuxis.gan.dcgan import DCGANConfig
        >>> to_json(DCGANConfig())["latent_dim"]
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
        ZeuxisError: A setting is unknown, of the wrong type or outside its range.
    """
    if not isinstance(values, dict):
        raise ZeuxisError(
            f"{where} holds no settings of {kind.__name__} but a "
            f"{type(values).__name__}: it is damaged."
        )
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise ZeuxisError(
                f"{where} has the setting '{name}', which {kind.__name__} of this "
                "version of zeuxis does not know."
            )
    try:
        return kind(**checked(kind, values))
    except UsageError as error:
        raise ZeuxisError(
            f"{where} holds a setting of {kind.__name__} that cannot be taken: {error}"
        ) from error
    except TypeError as error:
        raise ZeuxisError(
            f"{where} holds no whole {kind.__name__} ({error}): it is damaged."
        ) from error
