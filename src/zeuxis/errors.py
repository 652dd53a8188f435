"""The one exception a user meets: a sentence that says what was given, what was expected and what
to do."""

from __future__ import annotations

from .printable import printable


class ZeuxisError(Exception):
    """A mistake that the user can mend.

    The command line prints the sentence without a traceback and exits with `exit_code`: 1 for
    something that went wrong while running, 2 (`UsageError`) for a command or an argument that
    could not be taken.
    """

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__(), lines=False)  # it often quotes a file


class UsageError(ZeuxisError):
    """A command, option or argument that cannot be taken as given."""

    exit_code = 2


class DataError(ZeuxisError):
    """Data that cannot be read or cannot be trained on."""


class DivergenceError(ZeuxisError):
    """A loss, gradient or weight that is no longer a finite number."""


class MissingCapability(ZeuxisError):
    """A model was asked for something that its family cannot do."""


class MissingExtra(ZeuxisError):
    """An optional dependency is needed and is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed: run pip "
            f"install 'zeuxis[{extra}]'."
        )
