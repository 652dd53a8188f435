"""File names of the images in an archive.

A name is relative, with / between folders, and ends in .png. `fault` says why a name must not be
written, `portable` turns any name into one that every system can write, and `clash` finds two names
that are the same on some systems.
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
UNDECODED = re.compile("[\udc80-\udcff]")  # bytes of a file name that are not UTF-8
MAX_PART, MAX_PARTS, MAX_NAME = 255, 32, 1024  # bytes of a part, parts, and bytes in all


def fault(name: str) -> str:
    """The reason why a name must not be written; empty if there is none.

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
    too_long = size(name) > MAX_NAME or any(size(part) > MAX_PART for part in parts)
    if too_long or len(parts) > MAX_PARTS:
        return "is too long"
    return ""


def size(name: str) -> int:
    """Bytes of a name."""
    return len(name.encode("utf-8", "surrogateescape"))


def portable(name: str) -> str:
    """A name that every system allows: forbidden characters become _, long parts are cut.

    Arguments:
        name: A relative name that ends in .png, with / between folders.

    Example:
        >>> portable("2024-01-31 12:00.png"), portable("con/why?.png"), portable("a/../b.png")
        ('2024-01-31 12_00.png', 'con_/why_.png', 'a/_/b.png')
    """
    *folders, last = (part for part in name.split("/") if part not in ("", "."))
    parts = [cleaned(part) for part in folders] + [
        cleaned(last.removesuffix(".png"), MAX_PART - 4) + ".png"
    ]
    first = len(parts) - MAX_PARTS
    while first < len(parts) - 1 and size("/".join(parts[max(0, first) :])) > MAX_NAME:
        first = max(0, first) + 1
    return "/".join(parts[max(0, first) :])


def cleaned(part: str, longest: int = MAX_PART) -> str:
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
    """A key that is equal for names that some system treats as the same.

    It ignores case, the composition of accents, and spaces and dots at the end of a part.
    """
    name = unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
    return "/".join(part.rstrip(" .") for part in name.split("/"))


def clash(names: Iterable[str]) -> str:
    """The first name that equals an earlier one or one of its folders; empty if there is none.

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
    """The folders of a name."""
    parts = name.split("/")
    for i in range(1, len(parts)):
        yield "/".join(parts[:i])
