"""Exceptions for users: one sentence on what was given, what was expected and what to do."""

from __future__ import annotations

from .printable import printable


class ZeuxisError(Exception):
    """An error that the user can correct.

    The command line prints the sentence without a traceback and exits with `exit_code`: 1 for an
    error during the run, 2 (`UsageError`) for an invalid command or argument.
    """

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__(), lines=False)  # it often quotes a file


class UsageError(ZeuxisError):
    """An invalid command, option or argument."""

    exit_code = 2


class DataError(ZeuxisError):
    """Data that cannot be read or cannot be trained on."""


class DivergenceError(ZeuxisError):
    """A loss, gradient or weight that is not finite."""


class MissingCapability(ZeuxisError):
    """A model lacks the capability that was asked for."""


class MissingExtra(ZeuxisError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed: run pip "
            f"install 'zeuxis[{extra}]'."
        )
