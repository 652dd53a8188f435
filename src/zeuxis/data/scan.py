"""Lists the images below a folder, each once, and what is left out, by reason."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError
from .reading import kind_of, shown

# fmt: off
ENDINGS = (
    ".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pbm",
    ".pgm", ".ppm", ".pnm",
)
# fmt: on
HIDDEN = ("__macosx", "$recycle.bin", "thumbs.db", "desktop.ini", "@eadir", "lost+found")
MAX_DEPTH = 64  # folders within folders


@dataclass(frozen=True)
class ImagePath:
    """An image file, and the names of the folders between the root folder and it."""

    path: Path
    folders: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its path from the root folder."""
        return shown(os.path.join(*self.folders, self.path.name))


REASONS = {  # why something is left out, singular and plural
    "stray": ("picture beside the class folders", "pictures beside the class folders"),
    "validation": ("picture for validation", "pictures for validation"),
    "aside": ("picture beside the parts", "pictures beside the parts"),
    "type": ("file of another type", "files of other types"),
    "hidden": ("hidden file or folder", "hidden files or folders"),
    "empty": ("folder without images", "folders without images"),
    "again": ("link to a folder read already", "links to folders read already"),
    "deep": ("folder too deep", "folders too deep"),
    "dangling": ("link to nothing", "links to nothing"),
    "special": ("pipe, device or socket", "pipes, devices or sockets"),
}


@dataclass
class Scan:
    """The images below a folder.

    Arguments:
        images: Them, in the order of their paths.
        left_out: Names of what is left out, by the keys of `REASONS`.
    """

    images: list[ImagePath] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, reason: str, *names: str) -> None:
        """Notes that something is left out."""
        if names:
            self.left_out.setdefault(reason, []).extend(names)

    @property
    def sentences(self) -> list[str]:
        """A sentence on what is left out, with counts; no sentence if nothing is."""
        counts = []
        for reason, (singular, plural) in REASONS.items():
            if names := self.left_out.get(reason):
                first = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
                kind = singular if len(names) == 1 else plural
                counts.append(f"{len(names):,} {kind} ({first})")
        return [f"Left out: {', '.join(counts)}."] if counts else []


def scan(folder: Path, beside: Sequence[Path] = ()) -> Scan:
    """Lists every image below a folder; a folder with several links to it is read once.

    Arguments:
        folder: The root folder.
        beside: Files with another purpose, such as a table of labels.

    Raises:
        DataError: A folder in it cannot be read.
    """
    result, known = Scan(), {os.path.realpath(p) for p in beside}
    above = {identity(parent) for parent in Path(os.path.realpath(folder)).parents}
    seen: set[tuple[int, int]] = set()
    plain: list[tuple[Path, tuple[str, ...]]] = [(folder, ())]
    linked: list[tuple[Path, tuple[str, ...]]] = []
    while plain or linked:  # links last, so that a folder gets its real name
        place, folders = plain.pop() if plain else linked.pop(0)
        name = shown(os.path.join("", *folders))
        try:
            if (key := identity(place)) in seen or key in above:
                result.leave_out("again", name)
                continue
            if len(folders) > MAX_DEPTH:
                result.leave_out("deep", name)
                continue
            seen.add(key)
            with os.scandir(place) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            reason = f"({error.strerror}): make it readable or remove it"
            raise DataError(f"The folder '{shown(place)}' cannot be read {reason}.") from error
        inside = 0
        for entry in entries:
            path, label = place / entry.name, shown(os.path.join(*folders, entry.name))
            if entry.name.startswith(".") or entry.name.lower() in HIDDEN:
                result.leave_out("hidden", label)
                continue
            kind = kind_at(entry)
            if kind == "folder":
                inside += 1
                (linked if entry.is_symlink() else plain).append((path, (*folders, entry.name)))
            elif not entry.name.lower().endswith(ENDINGS):
                if not known or os.path.realpath(path) not in known:
                    result.leave_out("type", label)
            elif kind == "file":
                inside += 1
                result.images.append(ImagePath(path, folders))
            else:
                result.leave_out(kind, label)
        if folders and not inside:
            result.leave_out("empty", name)
    result.images.sort(key=lambda image: (*image.folders, image.path.name))
    return result


def identity(path: Path) -> tuple[int, int]:
    """Device and inode, equal for all names of a folder."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def kind_at(entry: os.DirEntry[str]) -> str:
    """The kind of an entry or of its link's target: file, folder, dangling or special."""
    try:
        if not entry.is_symlink() and (entry.is_file() or entry.is_dir()):
            return "file" if entry.is_file() else "folder"
        kind = kind_of(entry.stat().st_mode)
        return kind if kind in ("file", "folder") else "special"
    except OSError:
        return "dangling"
