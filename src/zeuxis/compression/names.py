"""File names that images in an archive may have.

A name is relative, with / between folders, and ends in .png. `fault` says why a name that a file
gives must not be written; `portable` makes any name one that every system can write; `clash` finds
two names that some systems take for the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from ..printable import STEERING

DEVICES = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\.|$)",
    re.IGNORECASE,
)
UNDECODED = re.compile("[\udc80-\udcff]")  # how Python gives bytes of a file name that are no UTF-8
LONGEST, DEEPEST, LONGEST_NAME = 255, 32, 1024  # bytes of a part, parts, and bytes in all


def fault(name: str) -> str:
    """Why no image may be written under a name; empty if it may.

    Example:
        >>> fault("photos/cat.png"), fault("../cat.png"), fault("cat.jpg")
        ('', 'leads out of its folder', 'does not end in .png')
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or any(c in name for c in "\\:"):
        return "leads out of its folder"
    if STEERING.search(UNDECODED.sub("", name)) or any(c in name for c in "\t\n"):
        return "holds a control character"
    if not name.endswith(".png") or parts[-1] == ".png":
        return "does not end in .png"
    if any(DEVICES.match(part) for part in parts):
        return "is that of a device"
    if (
        len(parts) > DEEPEST
        or size(name) > LONGEST_NAME
        or any(size(part) > LONGEST for part in parts)
    ):
        return "is too long"
    return ""


def size(name: str) -> int:
    return len(name.encode("utf-8", "surrogateescape"))


def portable(name: str) -> str:
    """The name with what some system does not allow replaced by _, and what is too long cut.

    Arguments:
        name: A relative name that ends in .png, with / between folders.

    Example:
        >>> portable("2024-01-31 12:00.png"), portable("con/why?.png"), portable("a/../b.png")
        ('2024-01-31 12_00.png', 'con_/why_.png', 'a/_/b.png')
    """
    *folders, last = (part for part in name.split("/") if part not in ("", "."))
    parts = [cleaned(part) for part in folders] + [
        cleaned(last.removesuffix(".png"), LONGEST - 4) + ".png"
    ]
    first = len(parts) - DEEPEST
    while first < len(parts) - 1 and size("/".join(parts[max(0, first) :])) > LONGEST_NAME:
        first = max(0, first) + 1
    return "/".join(parts[max(0, first) :])


def cleaned(part: str, longest: int = LONGEST) -> str:
    """One part of a name, without an ending."""
    part = STEERING.sub(lambda c: c[0] if UNDECODED.match(c[0]) else "_", part)
    part = re.sub(r'[\\:*?"<>|\t\n]', "_", part).rstrip(" .") or "_"
    if DEVICES.match(part):
        stem, dot, rest = part.partition(".")
        part = f"{stem.rstrip()}_{dot}{rest}"
    while size(part) > longest:
        part = part[:-1]
    return part


def folded(name: str) -> str:
    """What names have in common that a system may take for the same: case, composition of accents,
    spaces and dots at an end."""
    name = unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
    return "/".join(part.rstrip(" .") for part in name.split("/"))


def clash(names: Iterable[str]) -> str:
    """A name that cannot be beside an earlier one, being the same or a folder of it; empty if there
    is none.

    Example:
        >>> clash(["a.png", "b/c.png"]), clash(["a.png", "A.png"]), clash(["a.png", "a.png/b.png"])
        ('', 'A.png', 'a.png/b.png')
    """
    files: set[str] = set()
    folders: set[str] = set()
    for name in names:
        key = folded(name)
        above = set(ancestors(key))
        if key in files or key in folders or above & files:
            return name
        files.add(key)
        folders |= above
    return ""


def ancestors(name: str) -> Iterator[str]:
    """The folders that a name lies in."""
    parts = name.split("/")
    for i in range(1, len(parts)):
        yield "/".join(parts[:i])
