"""Files as every part of zeuxis writes and reads them: whole or not at all, never through a link,
and with a checksum inside.

A file is written under a random name beside its place and then renamed: a process killed at any
moment leaves the file that was there before, and a link at that place is replaced, not followed.
Only regular files are read: a pipe or a device could wait or go on for ever. A safetensors file
carries the SHA-256 of all its bytes in its own header, so that no moment exists at which a file and
its checksum do not belong together; any reader of safetensors can still open it.
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
    """A file that could not be written; `reason` says why in a few words."""

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
    """Writes a file whole or not at all.

    Arguments:
        path: The file. One that is there is replaced; a link is replaced and not followed.
        content: Text (as UTF-8), bytes, or a function that fills the file whose path it is given.
            Encoders of pictures and arrays go by its ending, which is the same.
        make: Whether to make its folder if need be.
        flush: Whether to wait until it is on the disk, so that not even a power cut leaves half of
            it.

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
    """Why a file could not be written or read, in a few words."""
    if getattr(error, "errno", None) in FULL or "No space" in str(error):
        return "the disk is full"
    return str(
        getattr(error, "strerror", None)
        or " ".join(str(error).split())[:200]
        or type(error).__name__
    )


def require_regular(
    path: str | Path, found: os.stat_result | None = None, links: bool = False
) -> Path:
    """The path itself if a regular file lies there; pipes, devices and folders are refused before
    they are opened.

    Arguments:
        path: The file; links are followed.
        found: What `os.stat` or `os.lstat` said of it, if that is known.
        links: Whether a link as such will do.

    Raises:
        FileNotFoundError: There is nothing.
        ZeuxisError: It is something else; the sentence says what.
    """
    mode = (os.stat(path) if found is None else found).st_mode
    if stat.S_ISREG(mode) or (links and stat.S_ISLNK(mode)):
        return Path(path)
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    kind = kinds.get(stat.S_IFMT(mode), "a device")
    raise ZeuxisError(f"'{path}' is {kind}, expected a file: remove it or give another path.")


def parse_json(text: str | bytes) -> Any:
    """The values in a JSON text; every fault of it is a `ValueError`, nesting beyond what can be
    read included."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None


def read_json(path: str | Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ZeuxisError: The file is missing, damaged, larger than settings are, or holds no object.
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
    """The header of an open safetensors file."""
    head = file.read(8)
    length = int.from_bytes(head, "little")
    if len(head) < 8 or length > os.fstat(file.fileno()).st_size - 8 or length > 100_000_000:
        raise ZeuxisError(
            f"'{path}' is damaged or no safetensors file (its header is cut short): "
            "restore it from a copy."
        )
    return head + file.read(length)


def seal(path: Path) -> None:
    """Puts the checksum of a safetensors file in its header, in the place of `UNSEALED` after a key
    `sha256`."""
    with open(path, "rb+") as file:
        head = header(file, path)
        found = SEAL.search(head)
        if found is None or found[1] != UNSEALED.encode():
            raise ValueError(f"'{path}' has no place for a checksum.")
        digest = sha256(file, head)
        file.seek(found.start(1))
        file.write(digest.encode())


def check_seal(path: str | Path) -> None:
    """Compares a safetensors file with the checksum in its header; files without one, of earlier
    versions, are taken as they are.

    Raises:
        ZeuxisError: A byte has changed since the file was written.
    """
    with open(path, "rb") as file:
        head = header(file, path)
        found = SEAL.search(head)
        # A changed byte in the key itself must not pass for a file without a checksum.
        other = found or re.search(rb'"[^"\\]{6}\\?":\s?\\?"([0-9a-f]{64})', head)
        if other is None:
            return
        blank = head[: other.start(1)] + UNSEALED.encode() + head[other.end(1) :]
        if found is None or sha256(file, blank) != found[1].decode("latin-1"):
            raise ZeuxisError(
                f"'{path}' is damaged: its bytes are not those that were written. "
                "Restore it from a copy."
            )


def sha256(file: Any, start: bytes) -> str:
    """The digest of some bytes and the rest of an open file."""
    digest = hashlib.sha256(start)
    while part := file.read(PORTION):
        digest.update(part)
    return digest.hexdigest()
