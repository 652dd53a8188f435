"""Atomic writes, safe reads, and checksums of files.

A file is written under a random name in its folder and then renamed. A process that is killed
leaves the previous file, and a link at the path is replaced, not followed. Only regular files are
read, since a pipe or a device could block for ever. A safetensors file has the SHA-256 of its bytes
in its header, so file and checksum always belong together; any safetensors reader can open it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from .errors import ZeuxisError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LONGEST_JSON = 16_000_000  # bytes; settings are a few thousand
UNSEALED = "0" * 64
SEAL = re.compile(rb'sha256\\?":\s?\\?"([^"\\]{64})')
PORTION = 1 << 20


class WriteError(ZeuxisError):
    """A file that could not be written, and the reason."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"'{path}' could not be written ({reason}): give a writable place with room."
        )
        self.path, self.reason = path, reason


def write(
    path: str | Path,
    content: str | bytes | Callable[[Path], object],
    make: bool = True,
    flush: bool = False,
) -> Path:
    """Writes a file atomically.

    Arguments:
        path: The file; an existing file or link is replaced.
        content: Text (as UTF-8), bytes, or a function that writes to a path. That path has the
            same ending as the file, which encoders of images and arrays use.
        make: Whether to create its folder if needed.
        flush: Whether to wait until it is on the disk, so that it survives a power cut.

    Raises:
        WriteError: The disk is full, the place is read-only, or the path is a folder or a device.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(Path(folder, "a.txt"), "some text").read_text()
        'some text'
    """
    path = Path(path)
    ending = (
        "" if path.suffix == ".safetensors" else path.suffix[:16]
    )  # weights are looked for by their ending: never half a file
    partial = path.with_name(f".{secrets.token_hex(8)}.partial{ending}")
    try:
        if make:
            path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            require_regular(path, os.lstat(path), links=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)  # what the user's umask leaves of it
        finally:
            os.close(descriptor)
        if callable(content):
            content(partial)
        else:
            partial.write_bytes(
                content.encode("utf-8", "replace") if isinstance(content, str) else content
            )
        if flush:
            with open(partial, "rb+") as file:
                os.fsync(file.fileno())
        partial.chmod(mode)  # safetensors makes files that only their owner can read
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        raise WriteError(path, reason(error)) from error
    finally:
        with contextlib.suppress(
            OSError
        ):  # after a rename it is gone; on a read-only disk it was never there
            partial.unlink()
    return path


def reason(error: BaseException) -> str:
    """A short reason why a file could not be written or read."""
    if getattr(error, "errno", None) in FULL or "No space" in str(error):
        return "the disk is full"
    return str(
        getattr(error, "strerror", None)
        or " ".join(str(error).split())[:200]
        or type(error).__name__
    )


def require_regular(
    path: str | Path, status: os.stat_result | None = None, links: bool = False
) -> Path:
    """Returns the path of a regular file; refuses pipes, devices and folders.

    Arguments:
        path: The file; links are followed.
        status: The result of `os.stat` or `os.lstat`, if known.
        links: Whether to accept a link, with the status of `os.lstat`.

    Raises:
        FileNotFoundError: The path does not exist.
        ZeuxisError: It is not a regular file; the sentence says what it is.
    """
    mode = (os.stat(path) if status is None else status).st_mode
    if stat.S_ISREG(mode) or (links and stat.S_ISLNK(mode)):
        return Path(path)
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    kind = kinds.get(stat.S_IFMT(mode), "a device")
    raise ZeuxisError(f"'{path}' is {kind}, expected a file: remove it or give another path.")


def parse_json(text: str | bytes) -> Any:
    """Parses JSON; any fault is a `ValueError`, also nesting that is too deep."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None


def read_json(path: str | Path) -> dict[str, Any]:
    """Reads the object in a JSON file.

    Raises:
        ZeuxisError: The file is missing, damaged, too large, or holds no object.
    """
    try:
        require_regular(path)
        with open(path, "rb") as file:
            text = file.read(LONGEST_JSON + 1)
        if len(text) > LONGEST_JSON:
            raise ValueError(f"it is longer than {LONGEST_JSON // 10**6} MB")
        values = parse_json(text)
    except (OSError, ValueError) as error:
        raise ZeuxisError(
            f"'{path}' cannot be read ({reason(error)}): restore it or give another run folder."
        ) from error
    if not isinstance(values, dict):
        raise ZeuxisError(
            f"'{path}' holds {type(values).__name__} where an object was expected: "
            "restore it from a copy."
        )
    return values


def header(file: Any, path: str | Path) -> bytes:
    """Reads the header of an open safetensors file."""
    head = file.read(8)
    length = int.from_bytes(head, "little")
    if len(head) < 8 or length > os.fstat(file.fileno()).st_size - 8 or length > 100_000_000:
        raise ZeuxisError(
            f"'{path}' is damaged or no safetensors file (its header is cut short): "
            "restore it from a copy."
        )
    return head + file.read(length)


def seal(path: Path) -> None:
    """Writes the checksum of a safetensors file into its header, in place of `UNSEALED`."""
    with open(path, "rb+") as file:
        head = header(file, path)
        match = SEAL.search(head)
        if match is None or match[1] != UNSEALED.encode():
            raise ValueError(f"'{path}' has no place for a checksum.")
        digest = sha256(file, head)
        file.seek(match.start(1))
        file.write(digest.encode())


def check_seal(path: str | Path) -> None:
    """Compares a safetensors file with the checksum in its header, if there is one.

    Raises:
        ZeuxisError: A byte has changed since the file was written.
    """
    with open(path, "rb") as file:
        head = header(file, path)
        match = SEAL.search(head)
        # A changed byte in the key must not look like a file without a checksum.
        other = match or re.search(rb'"[^"\\]{6}\\?":\s?\\?"([0-9a-f]{64})', head)
        if other is None:
            return
        blank = head[: other.start(1)] + UNSEALED.encode() + head[other.end(1) :]
        if match is None or sha256(file, blank) != match[1].decode("latin-1"):
            raise ZeuxisError(
                f"'{path}' is damaged: its bytes are not those that were written. "
                "Restore it from a copy."
            )


def sha256(file: Any, start: bytes) -> str:
    """The digest of `start` followed by the rest of an open file."""
    digest = hashlib.sha256(start)
    while part := file.read(PORTION):
        digest.update(part)
    return digest.hexdigest()
