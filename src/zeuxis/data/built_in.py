"""The built-in sets: their names, classes, places on the Hub, and copies on this machine.

`mnist` comes with zeuxis, and those in `MADE` are generated. The others are read from
ZEUXIS_DATA/NAME where that folder exists, else from the Hub.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ..errors import DataError, UsageError
from .cluttered import NAME as CLUTTERED
from .cluttered import NOTE as CLUTTERED_NOTE
from .dataset import Dataset
from .faces import faces, heads
from .images import EncodedFiles, Raw
from .multi_mnist import NOTES, SCENES
from .parts import ALL, Split
from .sprites import NAME as SPRITES
from .sprites import NOTE as SPRITES_NOTE
from .stacked import NAME as STACKED
from .stacked import NOTE as STACKED_NOTE

SHIPPED = Path(__file__).parent / "files"
# fmt: off
FASHION = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
    "ankle boot",
)
# fmt: on
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIGITS = tuple("0123456789")

# name: (class names, id on the Hub, its configuration)
BUILT_IN: dict[str, tuple[tuple[str, ...], str, str | None]] = {
    "mnist": (DIGITS, "ylecun/mnist", None),
    "fashion-mnist": (FASHION, "zalando-datasets/fashion_mnist", None),
    "cifar10": (OBJECTS, "uoft-cs/cifar10", None),
    "svhn": (DIGITS, "ufldl-stanford/svhn", "cropped_digits"),
}
RENDERED = {"faces": faces, "heads": heads}
# Built-in sets that zeuxis generates.
MADE = ("mnist-static", *RENDERED, *SCENES, SPRITES, CLUTTERED, STACKED)


def local_folder(name: str) -> Path | None:
    """The folder of a built-in set on this machine, None if it is only on the Hub."""
    root = os.environ.get("ZEUXIS_DATA")
    folders = (SHIPPED / name, *([Path(root) / name] if root else []))
    return next((folder for folder in folders if folder.is_dir()), None)


def as_built_in(raw: Raw, name: str, split: Split) -> Raw:
    """Gives a copy of a built-in set its name and classes, and refuses one without a test part."""
    if raw.part == ALL and split == "test" and not isinstance(raw.images, EncodedFiles):
        raise DataError(
            f"The copy of '{name}' holds no test images: add them, or give a whole copy "
            f"as --data {name}=FOLDER."
        )
    raw.name = name
    # The labels of a folder number its sub-folders in alphabetical order.
    if not isinstance(raw.images, EncodedFiles):
        raw.class_names = BUILT_IN[name][0] if raw.labels is not None else ()
    return raw


def rendered_heads(
    name: str, split: Split, size: int | None, channels: int | None, limit: int | None
) -> Dataset:
    """The built-in heads or faces: 200,000 for training, and 10,000 of another seed for tests."""
    if channels == 3:
        raise UsageError(f"--data {name} is gray: leave out --channels 3.")
    full, seed = (200_000, 0) if split == "train" else (10_000, 1)
    data = RENDERED[name](min(full, limit or full), seed, size or 32)
    return replace(data, facts=replace(data.facts, part=split))


def describe_sources() -> list[tuple[str, str, str]]:
    """Name, origin and note of each kind of data, for `zeuxis list`."""
    rows = [("mnist", "comes with zeuxis", "70,000 digits, 28x28")]
    rows += [
        (name, f"Hub ({BUILT_IN[name][1]}), ZEUXIS_DATA/{name}, or {name}=PATH", "")
        for name in BUILT_IN
        if name != "mnist"
    ]
    rows += [("mnist-static", "comes with zeuxis", "the digits with pixels drawn once as 0 or 1")]
    heads_note = "200,000 heads of known azimuth, elevation, lighting and width, 32x32"
    faces_note = "the same with a smile, from a frown to a wide one; also at 64 pixels and more"
    rows += [("heads", "rendered by zeuxis", heads_note)]
    rows += [("faces", "rendered by zeuxis", faces_note)]
    rows += [(name, "rendered by zeuxis", NOTES[name]) for name in SCENES]
    rows += [(SPRITES, "rendered by zeuxis", SPRITES_NOTE)]
    rows += [(CLUTTERED, "rendered by zeuxis", CLUTTERED_NOTE)]
    rows += [(STACKED, "made of mnist", STACKED_NOTE)]
    rows += [("owner/name", "Hub", "any set with a column of images")]
    rows += [("PATH", "your own", "a folder of images, IDX, parquet, .npz or .mat")]
    rows += [("BOOK.txt", "your own", "a text, in pieces of --size characters")]
    return rows
