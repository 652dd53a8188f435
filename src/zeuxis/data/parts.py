"""What the parts of a data set are called, for folders, files and arrays alike: training, test and
validation.

A name is taken apart into words (`trainImages`, `X_TRAIN`, `test-00000-of-00002`, `t10k-labels`),
and the words decide. Validation is never mixed into the training or the test part: what is not
asked for is left out, and that is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from ..errors import DataError

Split = Literal["train", "test"]
TRAIN, TEST, VALIDATION = "train", "test", "validation"
ALL = "all"  # a source with one part only, which is training and test set alike

PARTS: dict[str, str] = {
    **dict.fromkeys(("train", "training", "trn"), TRAIN),
    **dict.fromkeys(("test", "testing", "tst"), TEST),
    **dict.fromkeys(
        ("val", "valid", "validation", "validate", "dev", "eval", "evaluation"), VALIDATION
    ),
}
Role = Literal["images", "labels"]
ROLES: dict[str, Role] = {
    **dict.fromkeys(
        (
            "x",
            "images",
            "image",
            "imgs",
            "img",
            "pictures",
            "photos",
            "pixels",
            "data",
            "inputs",
            "features",
        ),
        "images",
    ),
    **dict.fromkeys(
        ("y", "labels", "label", "targets", "target", "classes", "class", "subject"), "labels"
    ),
}
PLAIN = (
    "set",
    "sets",
    "dataset",
    "split",
    "part",
    "folder",
    "dir",
    "files",
    "subset",
    "samples",
    "examples",
)
KNOWN = {*PARTS, *ROLES, *PLAIN}


def words(name: str) -> list[str]:
    """The words of a name in lower case, without numbers.

    Example:
        >>> words("XTrain"), words("trainset_2017"), words("t10k-images")
        (['x', 'train'], ['train', 'set'], ['test', 'images'])
    """
    name = re.sub("t10k", "test", name, flags=re.IGNORECASE)
    found = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_]+", name)]
    return [part for word in found for part in joined(word)]


def joined(word: str) -> list[str]:
    """A word, or the two known ones that it is made of."""
    if word not in KNOWN:
        for i in range(1, len(word)):
            if word[:i] in KNOWN and word[i:] in KNOWN:
                return [word[:i], word[i:]]
    return [word]


def part_of(name: str, strict: bool = False) -> str | None:
    """The part that a name speaks of, or None if it speaks of none or of several.

    Arguments:
        name: A folder, a file without its ending, an array or a split.
        strict: The name may hold no other words, as for folders, which may also be classes.

    Example:
        >>> part_of("Training"), part_of("x_test"), part_of("val-00000-of-00001"), part_of("contest")
        ('train', 'test', 'validation', None)
        >>> part_of("train_station"), part_of("train_station", strict=True)
        ('train', None)
    """
    found = words(name)
    if strict and not KNOWN.issuperset(found):
        return None
    kinds = {PARTS[word] for word in found if word in PARTS}
    if kinds == {TRAIN, VALIDATION}:  # "trainval"
        return TRAIN
    return kinds.pop() if len(kinds) == 1 else None


def role_of(name: str) -> Role | None:
    """Whether an array's name speaks of images or of labels.

    Example:
        >>> role_of("y_train"), role_of("test_images"), role_of("weights")
        ('labels', 'images', None)
    """
    kinds = {ROLES[word] for word in words(name) if word in ROLES}
    return kinds.pop() if len(kinds) == 1 else None


def chosen(parts: Iterable[str], split: Split, where: str) -> str:
    """Which of the parts that a source has is meant by a split: a source without a test part has
    one part only.

    Arguments:
        parts: The parts found, "train", "test" or "validation".
        split: The part asked for.
        where: What the source is called in a sentence.

    Raises:
        DataError: There is no training part. A test or validation part is never trained on.

    Example:
        >>> chosen({"train", "test"}, "test", "'a'"), chosen({"train", "validation"}, "test", "'a'")
        ('test', 'train')
    """
    found = set(parts)
    if split in found:
        return split
    if TRAIN in found:
        return TRAIN
    held = " and ".join(sorted(found))
    raise DataError(
        f"{where} holds {held} images and no {split} images: add them, or give the "
        f"{held.split()[0]} part by itself."
    )


def part_name(part: str, parts: Iterable[str]) -> str:
    """What a data set says of itself: "train" or "test", or "all" where there is no test part
    beside it.

    Example:
        >>> part_name("train", {"train", "test"}), part_name("train", {"train", "validation"})
        ('train', 'all')
    """
    return part if {TRAIN, TEST} <= set(parts) else ALL
