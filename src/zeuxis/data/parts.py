"""Parts of a data set by name: training, test and validation, for folders, files and arrays.

A name is split into words (`trainImages`, `X_TRAIN`, `test-00000-of-00002`, `t10k-labels`), and the
words decide. The validation part is never mixed into another; what is left out is reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from ..errors import DataError

Split = Literal["train", "test"]
TRAIN, TEST, VALIDATION = "train", "test", "validation"
ALL = "all"  # the part of a source that has one part only

# fmt: off
PARTS: dict[str, str] = {
    **dict.fromkeys(("train", "training", "trn"), TRAIN),
    **dict.fromkeys(("test", "testing", "tst"), TEST),
    **dict.fromkeys(("val", "valid", "validation", "validate"), VALIDATION),
    **dict.fromkeys(("dev", "eval", "evaluation"), VALIDATION),
}
Role = Literal["images", "labels"]
ROLES: dict[str, Role] = {
    **dict.fromkeys(("x", "images", "image", "imgs", "img", "pictures", "photos"), "images"),
    **dict.fromkeys(("pixels", "data", "inputs", "features"), "images"),
    **dict.fromkeys(("y", "labels", "label", "targets", "target", "subject"), "labels"),
    **dict.fromkeys(("classes", "class"), "labels"),
}
NEUTRAL = (
    "set", "sets", "dataset", "split", "part", "folder", "dir", "files", "subset", "samples",
    "examples",
)
# fmt: on
KNOWN = {*PARTS, *ROLES, *NEUTRAL}


def words(name: str) -> list[str]:
    """Splits a name into words in lower case, without numbers.

    Example:
        >>> words("XTrain"), words("trainset_2017"), words("t10k-images")
        (['x', 'train'], ['train', 'set'], ['test', 'images'])
    """
    name = re.sub("t10k", "test", name, flags=re.IGNORECASE)
    matches = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_]+", name)
    return [part for word in matches for part in split_compound(word.lower())]


def split_compound(word: str) -> list[str]:
    """A word, or the two known words that it consists of."""
    if word not in KNOWN:
        for i in range(1, len(word)):
            if word[:i] in KNOWN and word[i:] in KNOWN:
                return [word[:i], word[i:]]
    return [word]


def part_of(name: str, strict: bool = False) -> str | None:
    """The part in a name, or None if there is none or more than one.

    Arguments:
        name: A folder, a file without its ending, an array or a split.
        strict: Refuse names with other words, as for folders, which may also be classes.

    Example:
        >>> (
        ...     part_of("Training"),
        ...     part_of("x_test"),
        ...     part_of("val-00000-of-00001"),
        ...     part_of("contest"),
        ... )
        ('train', 'test', 'validation', None)
        >>> part_of("train_station"), part_of("train_station", strict=True)
        ('train', None)
    """
    parts = words(name)
    if strict and not KNOWN.issuperset(parts):
        return None
    kinds = {PARTS[word] for word in parts if word in PARTS}
    if kinds == {TRAIN, VALIDATION}:  # "trainval"
        return TRAIN
    return kinds.pop() if len(kinds) == 1 else None


def role_of(name: str) -> Role | None:
    """Whether an array holds images or labels, by its name; None if unclear.

    Example:
        >>> role_of("y_train"), role_of("test_images"), role_of("weights")
        ('labels', 'images', None)
    """
    kinds = {ROLES[word] for word in words(name) if word in ROLES}
    return kinds.pop() if len(kinds) == 1 else None


def chosen(parts: Iterable[str], split: Split, where: str) -> str:
    """The part that a split means: without a test part, both splits are the training part.

    Arguments:
        parts: The parts of the source, "train", "test" or "validation".
        split: The part asked for.
        where: The source, for error sentences.

    Raises:
        DataError: There is no training part. A test or validation part is never trained on.

    Example:
        >>> chosen({"train", "test"}, "test", "'a'"), chosen({"train", "validation"}, "test", "'a'")
        ('test', 'train')
    """
    present = set(parts)
    if split in present:
        return split
    if TRAIN in present:
        return TRAIN
    held = " and ".join(sorted(present))
    raise DataError(
        f"{where} holds {held} images and no {split} images: add them, or give the "
        f"{held.split()[0]} part by itself."
    )


def part_name(part: str, parts: Iterable[str]) -> str:
    """The part as the data set reports it: "all" if the source has no test part.

    Example:
        >>> part_name("train", {"train", "test"}), part_name("train", {"train", "validation"})
        ('train', 'all')
    """
    return part if {TRAIN, TEST} <= set(parts) else ALL
