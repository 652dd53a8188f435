"""Opens files that may be hostile, and makes their names printable.

Only regular files are opened, holes and promised sizes are limited, and control characters in names
are escaped.
"""

from __future__ import annotations

import os
import stat
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path
from typing import IO

from ..printable import printable

SMALL = 512 << 20  # bytes that a file of any length may unfold to
RATIO = 200  # beyond that, how many bytes each stored byte may become


def opened(path: str | Path) -> IO[bytes]:
    """Opens a regular file; anything else is an `OSError` at once, since a pipe could wait.

    Example:
        >>> opened("/dev/zero")
        Traceback (most recent call last):
        OSError: it is a device, expected a file
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if (kind := kind_of(os.fstat(handle).st_mode)) != "file":
            raise OSError(f"it is a {kind}, expected a file")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def contents(path: str | Path) -> bytes:
    """Reads a regular file, unless nearly all of it is a hole."""
    with opened(path) as file:
        affordable(os.fstat(file.fileno()).st_size, stored(path))
        return file.read()


def stored(path: str | Path) -> int:
    """Bytes that a file takes on the disk, at most its length: holes cost nothing to send."""
    status = os.stat(path)
    # Blocks of 512 bytes; 0 or missing on file systems that do not count them.
    blocks: int = getattr(status, "st_blocks", 0)
    return min(status.st_size, blocks * 512) if blocks else status.st_size


def as_text(data: bytes) -> str:
    """Decodes UTF-8, or UTF-16 with a byte order mark; lines end in a newline.

    Example:
        >>> as_text("\\ufeffa\\r\\nb".encode())
        'a\\nb'
    """
    text = data.decode("utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8")
    return text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n")


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, shortened."""
    return shown((str(error).strip().splitlines() or [type(error).__name__])[0][:120])


def kind_of(mode: int) -> str:
    """The kind of file that a mode means: file, folder, pipe, socket or device."""
    kinds = {
        stat.S_ISREG: "file",
        stat.S_ISDIR: "folder",
        stat.S_ISFIFO: "pipe",
        stat.S_ISSOCK: "socket",
    }
    return next((name for test, name in kinds.items() if test(mode)), "device")


def affordable(promised: int, stored: int) -> None:
    """Refuses a file that would unpack to more than 512 MB and to over 200 times its size.

    Arguments:
        promised: Bytes that its headers announce.
        stored: Bytes of the file.

    Raises:
        OSError: The file is refused.
    """
    if promised > max(SMALL, RATIO * stored):
        raise OSError(
            f"{stored:,} bytes that unfold to {promised:,}, over {RATIO} times as many, "
            "are not safe to read"
        )


def shown(path: str | Path) -> str:
    """A path that any terminal can print.

    Names that are not UTF-8 are read as Latin-1, and control characters become escapes.

    Example:
        >>> shown("caf\\udce9.png"), shown("a\\nb")
        ('café.png', 'a\\\\nb')
    """
    try:
        text = os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        text = os.fsencode(path).decode("latin-1")
    except UnicodeEncodeError:
        text = str(path).encode("utf-8", "backslashreplace").decode("utf-8")
    return printable(text, lines=False)
