"""Folders of images: the part and class of each image, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from .images import EncodedFiles, Raw
from .parts import ALL, PARTS, TRAIN, VALIDATION, Split, chosen, part_name, part_of, words
from .reading import shown
from .scan import ImagePath, Scan, scan
from .tables import fingerprint, from_csv


@dataclass(frozen=True)
class Layout:
    """The folders that are parts of a data set.

    Arguments:
        level: Their depth below the folder that contains all images.
        parts: Part by folder name.
        classes: Folders that are classes of the training part as well.
    """

    level: int
    parts: dict[str, str]
    classes: frozenset[str] = frozenset()


def layout(folders: Sequence[tuple[str, ...]]) -> Layout | None:
    """Finds the folders that are parts, above the classes (train/cat) or below them (cat/train).

    Other folders beside parts are left out. If all parts are test or validation folders, the other
    folders are for training. A folder `train` without folders in it, beside others, is a class (of
    vehicles). None means that there are no parts.
    """
    for level in (0, 1):
        names = {f[level] for f in folders if len(f) > level}
        parts: dict[str, str] = {
            name: part for name in names if (part := part_of(name, strict=True))
        }
        if not parts:  # names like seg_train and seg_test, which differ in the part only
            loose = {name: part for name in names if (part := part_of(name))}
            alike = {tuple(word for word in words(name) if word not in PARTS) for name in loose}
            parts = dict(loose) if len(set(loose.values())) > 1 and len(alike) == 1 else {}
        kinds, others = set(parts.values()), names - parts.keys()
        if not kinds:
            continue
        if level == 1:
            inside = (
                TRAIN in kinds
                and len(kinds) > 1
                and not others
                and all(len(f) > 1 for f in folders)
            )
            return Layout(1, parts) if inside else None
        if others and kinds == {TRAIN} and not any(f[0] in parts and len(f) > 1 for f in folders):
            continue
        if others and TRAIN not in kinds:
            return Layout(0, {**parts, **dict.fromkeys(others, TRAIN)}, frozenset(others))
        return Layout(0, parts)
    return None


def by_part(found: Scan) -> dict[str, list[ImagePath]]:
    """Images by part, without the part's folder in their paths; {"all": images} without parts."""
    inside = [image.folders for image in found.images if image.folders]
    shared, level = shared_by(inside), 0
    while level < len(shared) and not layout([f[level:] for f in inside]):
        level += 1  # an archive often unpacks to one folder that contains all others
    parts = layout([f[level:] for f in inside if len(f) > level])
    if parts is None:
        return {ALL: found.images}
    images: dict[str, list[ImagePath]] = {}
    at = level + parts.level
    for image in found.images:
        name = image.folders[at] if len(image.folders) > at else ""
        if name not in parts.parts:
            found.leave_out("aside", image.name)
            continue
        rest = (
            image.folders if name in parts.classes else image.folders[:at] + image.folders[at + 1 :]
        )
        images.setdefault(parts.parts[name], []).append(ImagePath(image.path, rest[level:]))
    return images


def shared_by(folders: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The leading folders that all paths share."""
    first, last = min(folders, default=()), max(folders, default=())
    pairs = zip(first, last, strict=False)
    count = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(last)))
    return first[:count]


def classes_of(images: Sequence[ImagePath]) -> tuple[int, list[str]]:
    """The depth of the class folders, and their names; no names if there is one folder only."""
    inside = [image.folders for image in images if image.folders]
    level = len(shared_by(inside))
    names = sorted({f[level] for f in inside if len(f) > level})
    return level, names if len(names) > 1 else []


def image_folder(folder: Path, split: Split, name: str, labels: Path | None = None) -> Raw | None:
    """Reads a folder of images, with a sub-folder for each class, labels from a CSV, or no labels.

    Parts are folders with names such as train and test.

    Arguments:
        folder: The folder.
        split: The part to read.
        name: The data set's name.
        labels: A CSV of file and label.

    Returns:
        None if there are no images.
    """
    found = scan(folder, [] if labels is None else [labels])
    if not found.images:
        return None
    parts = by_part(found)
    if ALL in parts:
        part = ALL
    elif split in parts or TRAIN in parts:
        part = chosen(parts, split, "")
    else:
        held = next(iter(parts))
        raise DataError(
            f"'{shown(folder)}' holds a folder '{held}' and none named '{split}': add "
            f"it, or give the folder of {held} images itself."
        )
    images = parts[part]
    found.leave_out("validation", *(image.name for image in parts.get(VALIDATION, ())))
    notes: list[str] = []
    numbers: np.ndarray | None = None
    classes: list[str] = []
    if labels is not None:
        others = [image.path for k, rest in parts.items() if k != part for image in rest]
        numbers, classes = from_csv(labels, folder, [image.path for image in images], others)
    else:
        level, classes = classes_of(parts.get(TRAIN, images))
        if classes:
            images, numbers, notes = numbered(
                images, classes, level if part in (TRAIN, ALL) else None, found
            )
    paths = [image.path for image in images]
    names = different([shown(c) for c in classes]) if numbers is not None else ()
    notes = [*found.sentences, *notes]
    return Raw(
        name, EncodedFiles(paths), numbers, names, fingerprint(paths), part_name(part, parts), notes
    )


def numbered(
    images: Sequence[ImagePath], classes: Sequence[str], level: int | None, found: Scan
) -> tuple[list[ImagePath], np.ndarray | None, list[str]]:
    """Numbers images by their class folder; -1 for a folder that is no class.

    Arguments:
        images: The images of one part.
        classes: The folders that are classes.
        level: Depth of these folders, None for a part that may lack the training part's folders.
        found: Receives what is left out.

    Returns:
        The images in folders, their class numbers or None, and sentences on both.
    """
    place = {name: i for i, name in enumerate(classes)}
    kept: list[ImagePath] = []
    numbers: list[int] = []
    unknown, nested = [], 0
    for image in images:
        at = (
            level
            if level is not None
            else next((i for i, f in enumerate(image.folders) if f in place), 0)
        )
        if len(image.folders) <= at:
            found.leave_out("stray", image.name)
            continue
        kept.append(image)
        numbers.append(place.get(image.folders[at], -1))
        nested += numbers[-1] >= 0 and len(image.folders) > at + 1
        if numbers[-1] < 0:
            unknown.append(shown(image.folders[at]))
    if not kept or max(numbers) < 0:  # a test part without the classes of the training part
        found.left_out.pop("stray", None)
        first = ", ".join(map(shown, classes[:3]))
        return (
            list(images),
            None,
            [f"The folders of this part are none of the classes {first}: no labels."],
        )
    notes = []
    if nested:
        notes.append(f"Pictures in folders within class folders count to their class: {nested:,}.")
    if unknown:
        first = ", ".join(sorted(set(unknown))[:3])
        notes.append(
            f"Pictures of classes that the training part does not have ({first}) are "
            f"unlabeled: {len(unknown):,}."
        )
    return kept, np.array(numbers, np.int64), notes


def different(names: Sequence[str]) -> list[str]:
    """Class names made unique: the second of two equal names gets a number."""
    kept: list[str] = []
    for name in names:
        kept.append(name if name not in kept else f"{name} ({len(kept)})")
    return kept
