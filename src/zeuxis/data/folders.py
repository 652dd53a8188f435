"""A folder of images: what is in it, which part and class each image belongs to, and what is left
out, all of it counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from .images import EncodedFiles, Raw
from .parts import ALL, PARTS, TRAIN, VALIDATION, Split, chosen, part_name, part_of, words
from .reading import shown
from .scan import Found, Scan, scan
from .tables import fingerprint, from_csv


@dataclass(frozen=True)
class Layout:
    """Which folders name parts.

    Arguments:
        level: Their depth below the folder that all images lie in.
        parts: What each holds.
        classes: Those that are classes as well.
    """

    level: int
    parts: dict[str, str]
    classes: frozenset[str] = frozenset()


def layout(folders: Sequence[tuple[str, ...]]) -> Layout | None:
    """The folders that name parts, above the classes (train/cat) or below them (cat/train); None if
    there are none.

    A folder beside parts that names none is left out. Beside test or validation folders alone, the
    others are for training. A lone `train` that holds no folders, beside others, is a class (of
    vehicles).
    """
    for level in (0, 1):
        names = {f[level] for f in folders if len(f) > level}
        parts: dict[str, str] = {
            name: part for name in names if (part := part_of(name, strict=True))
        }
        if not parts:  # names like seg_train and seg_test, which differ in nothing but the part
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


def divided(found: Scan) -> dict[str, list[Found]]:
    """The images of each part, with their folders but that of the part; {"all": images} if there
    are no parts."""
    inside = [image.folders for image in found.images if image.folders]
    shared, level = shared_by(inside), 0
    while level < len(shared) and not layout([f[level:] for f in inside]):
        level += 1  # an archive often unfolds to a folder that holds all others
    parts = layout([f[level:] for f in inside if len(f) > level])
    if parts is None:
        return {ALL: found.images}
    images: dict[str, list[Found]] = {}
    at = level + parts.level
    for image in found.images:
        name = image.folders[at] if len(image.folders) > at else ""
        if name not in parts.parts:
            found.leave("aside", image.name)
            continue
        rest = (
            image.folders if name in parts.classes else image.folders[:at] + image.folders[at + 1 :]
        )
        images.setdefault(parts.parts[name], []).append(Found(image.path, rest[level:]))
    return images


def shared_by(folders: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The first folders that all of these have."""
    first, last = min(folders, default=()), max(folders, default=())
    same = next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    return first[:same]


def classes_of(images: Sequence[Found]) -> tuple[int, list[str]]:
    """The level at which folders are classes, and their names; none if all images lie in one
    folder."""
    inside = [image.folders for image in images if image.folders]
    level = len(shared_by(inside))
    names = sorted({f[level] for f in inside if len(f) > level})
    return level, names if len(names) > 1 else []


def image_folder(folder: Path, split: Split, name: str, labels: Path | None = None) -> Raw | None:
    """A folder of images: one sub-folder a class, or labels from a CSV, or none; parts in folders
    called train, test and the like.

    Arguments:
        folder: Where the images are.
        split: The part wanted.
        name: The data set's name.
        labels: A CSV of file and label.

    Returns:
        None if there are no images.
    """
    found = scan(folder, [] if labels is None else [labels])
    if not found.images:
        return None
    parts = divided(found)
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
    found.leave("validation", *(image.name for image in parts.get(VALIDATION, ())))
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
    images: Sequence[Found], classes: Sequence[str], level: int | None, found: Scan
) -> tuple[list[Found], np.ndarray | None, list[str]]:
    """The images that lie in a class, or in a folder that is none (-1), their numbers, and what is
    to be said of them.

    Arguments:
        images: Those of one part.
        classes: The folders that are classes.
        level: Where these folders are, None for a part that need not have the folders of the
            training part.
        found: Gets what is left out.
    """
    place = {name: i for i, name in enumerate(classes)}
    kept: list[Found] = []
    numbers: list[int] = []
    unknown, nested = [], 0
    for image in images:
        at = (
            level
            if level is not None
            else next((i for i, f in enumerate(image.folders) if f in place), 0)
        )
        if len(image.folders) <= at:
            found.leave("stray", image.name)
            continue
        kept.append(image)
        numbers.append(place.get(image.folders[at], -1))
        nested += numbers[-1] >= 0 and len(image.folders) > at + 1
        if numbers[-1] < 0:
            unknown.append(shown(image.folders[at]))
    if not kept or max(numbers) < 0:  # a test part without the classes of the training part
        found.left.pop("stray", None)
        return (
            list(images),
            None,
            [
                (
                    "The folders of this part are none of the classes "
                    f"{', '.join(map(shown, classes[:3]))}: no labels."
                )
            ],
        )
    notes = []
    if nested:
        notes.append(f"Pictures in folders within class folders count to their class: {nested:,}.")
    if unknown:
        some = ", ".join(sorted(set(unknown))[:3])
        notes.append(
            f"Pictures of classes that the training part does not have ({some}) are "
            f"unlabeled: {len(unknown):,}."
        )
    return kept, np.array(numbers, np.int64), notes


def different(names: Sequence[str]) -> list[str]:
    """Names of classes, the second of two equal ones with a number."""
    kept: list[str] = []
    for name in names:
        kept.append(name if name not in kept else f"{name} ({len(kept)})")
    return kept
