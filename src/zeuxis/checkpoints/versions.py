"""Which version wrote a folder: those of zeuxis 0.1 have other names for models, settings and
tensors, and are not read. It imports no PyTorch, since policies act without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ZeuxisError


def require_readable(about: dict[str, Any], folder: str | Path) -> None:
    """Refuses a folder that zeuxis 0.1 wrote.

    Arguments:
        about: Values of its config.json.
        folder: Its name in the message.

    Raises:
        ZeuxisError: The file names a version 0.1, or settings that only 0.1 had.

    Example:
        >>> require_readable({"zeuxis": "0.2.0"}, "runs/0001-vae")
        >>> require_readable({"zeuxis": "0.1.0"}, "runs/0001-vae")
        Traceback (most recent call last):
        ...
        zeuxis.errors.ZeuxisError: 'runs/0001-vae' was saved by zeuxis 0.1, whose folders this
        version no longer reads: train again, or open it with zeuxis 0.1.
    """
    older = str(about.get("zeuxis", "")).startswith("0.1.")
    if older or "settings" in about or "learning" in about:
        raise ZeuxisError(
            f"'{folder}' was saved by zeuxis 0.1, whose folders this version no longer reads: "
            "train again, or open it with zeuxis 0.1."
        )
