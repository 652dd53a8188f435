"""What lies in a folder of images: each image once, and the names of all that is left out, by the
reason."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError
from .reading import kind_of, shown

ENDINGS = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jfif",
    ".jpe",
    ".webp",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".pbm",
    ".pgm",
    ".ppm",
    ".pnm",
)
HIDDEN = ("__macosx", "$recycle.bin", "thumbs.db", "desktop.ini", "@eadir", "lost+found")
DEPTH = 64  # folders within folders


@dataclass(frozen=True)
class Found:
    """An image file and the folders between it and the folder that was given."""

    path: Path
    folders: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its path from the folder that was given."""
        return shown(os.path.join(*self.folders, self.path.name))


REASONS = {  # why something is left out, for one and for many
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
    """The images of a folder in the order of their paths, and the names of what is left out, by the
    reason."""

    images: list[Found] = field(default_factory=list)
    left: dict[str, list[str]] = field(default_factory=dict)

    def leave(self, reason: str, *names: str) -> None:
        if names:
            self.left.setdefault(reason, []).extend(names)

    @property
    def sentences(self) -> list[str]:
        """What is left out, counted, in one sentence; nothing if nothing is."""
        told = []
        for reason, (one, many) in REASONS.items():
            if names := self.left.get(reason):
                some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
                told.append(f"{len(names):,} {one if len(names) == 1 else many} ({some})")
        return [f"Left out: {', '.join(told)}."] if told else []


def scan(folder: Path, beside: Sequence[Path] = ()) -> Scan:
    """Every image below a folder; each folder is looked into once, however many links lead to it.

    Arguments:
        folder: Where to look.
        beside: Files that have another purpose, such as a table of labels.

    Raises:
        DataError: A folder in it cannot be read.
    """
    found, known = Scan(), {os.path.realpath(p) for p in beside}
    above = {identity(parent) for parent in Path(os.path.realpath(folder)).parents}
    seen: set[tuple[int, int]] = set()
    plain: list[tuple[Path, tuple[str, ...]]] = [(folder, ())]
    linked: list[tuple[Path, tuple[str, ...]]] = []
    while plain or linked:  # links last, so that a folder goes by its own name
        place, folders = plain.pop() if plain else linked.pop(0)
        name = shown(os.path.join("", *folders))
        try:
            if (key := identity(place)) in seen or key in above:
                found.leave("again", name)
                continue
            if len(folders) > DEPTH:
                found.leave("deep", name)
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
                found.leave("hidden", label)
                continue
            kind = kind_at(entry)
            if kind == "folder":
                inside += 1
                (linked if entry.is_symlink() else plain).append((path, (*folders, entry.name)))
            elif not entry.name.lower().endswith(ENDINGS):
                if not known or os.path.realpath(path) not in known:
                    found.leave("type", label)
            elif kind == "file":
                inside += 1
                found.images.append(Found(path, folders))
            else:
                found.leave(kind, label)
        if folders and not inside:
            found.leave("empty", name)
    found.images.sort(key=lambda image: (*image.folders, image.path.name))
    return found


def identity(path: Path) -> tuple[int, int]:
    """The same for all names of a folder."""
    about = os.stat(path)
    return about.st_dev, about.st_ino


def kind_at(entry: os.DirEntry[str]) -> str:
    """What an entry is, or what a link leads to: "file", "folder", "dangling" or "special"."""
    try:
        if not entry.is_symlink() and (entry.is_file() or entry.is_dir()):
            return "file" if entry.is_file() else "folder"
        kind = kind_of(entry.stat().st_mode)
        return kind if kind in ("file", "folder") else "special"
    except OSError:
        return "dangling"
