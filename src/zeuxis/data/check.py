"""Checks a data set before training: counts, sizes, channels, classes, corrupt files,
duplicates."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..arguments import public
from ..errors import DataError
from ..progress import track
from .dataset import Dataset
from .images import decode
from .parts import Split
from .sources import is_made, load_data, open_source


@dataclass
class Report:
    """The result of a check.

    Arguments:
        name: The data set.
        images: Number of images.
        sizes: Images of each (height, width).
        channels: Images with each number of channels.
        classes: Images of each class; -1 for unlabeled ones.
        corrupt: A sentence for each image that cannot be read.
        duplicates: Images that equal an earlier one in every pixel.
        constant: Images of a single color.
        dark: Other images with no value above 31 of 255, as from cameras that use 12 of 16 bits.
        notes: Sentences on what was left out or changed when the set was read.
        fatal: The error with which training would refuse this set, or None.
    """

    name: str
    images: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    corrupt: list[str] = field(default_factory=list)
    duplicates: int = 0
    constant: int = 0
    dark: int = 0
    notes: list[str] = field(default_factory=list)
    fatal: str | None = None

    @property
    def problems(self) -> list[str]:
        """Sentences on what to look at, worst first."""
        sentences = list(self.corrupt[:10])
        if len(self.corrupt) > 10:
            sentences.append(f"Further images that cannot be decoded: {len(self.corrupt) - 10:,}.")
        if len(self.sizes) > 1:
            sentences.append(
                f"Images have {len(self.sizes)} different sizes: training brings them to "
                "one; --size chooses which."
            )
        if len(self.channels) > 1:
            sentences.append(
                "Some images are gray and some are in color: training makes all RGB; "
                "--channels 1 makes them gray."
            )
        if self.duplicates:
            sentences.append(
                f"Images that equal an earlier one in every pixel: {self.duplicates:,}."
            )
        if self.constant:
            sentences.append(f"Images of a single color: {self.constant:,}.")
        if self.dark:
            sentences.append(
                f"Images that are nearly black: {self.dark:,}; in files of 16 bits white is 65535."
            )
        single = [c for c, k in self.classes.items() if k < 2 and c != "unlabeled"]
        if single:
            sentences.append(
                f"Classes with a single image: {len(single)} ({', '.join(single[:5])})."
            )
        return sentences

    def __str__(self) -> str:
        sizes = ", ".join(f"{w}x{h} ({k:,})" for (h, w), k in self.sizes.most_common(5))
        more = f" and {len(self.sizes) - 5} more" if len(self.sizes) > 5 else ""
        classes = ", ".join(f"{c} ({k:,})" for c, k in list(self.classes.items())[:20])
        further = f" and {len(self.classes) - 20} more" if len(self.classes) > 20 else ""
        lines = [
            f"{self.name}: {self.images:,} images",
            f"  width x height: {sizes or 'none'}{more}",
            f"  channels: {', '.join(f'{c} ({k:,})' for c, k in self.channels.items()) or 'none'}",
            f"  classes: {classes or 'no labels'}{further}",
            f"  corrupt: {len(self.corrupt):,}, duplicates: {self.duplicates:,}, of a "
            "single color: "
            f"{self.constant:,}",
        ]
        lines += [f"  - {line}" for line in (*self.notes, *self.problems)]
        lines += ["It cannot be trained on as it is." if self.fatal else "It can be trained on."]
        return "\n".join(lines)


def report_generated(report: Report, data: Dataset) -> Report:
    """The report on a text, or on images that zeuxis generates; neither can be corrupt."""
    report.images = len(data)
    if len(data.spec.shape) == 3:
        report.channels[data.spec.shape[0]] = report.sizes[data.spec.shape[1:]] = len(data)
    else:
        report.notes.append(
            f"A text, in pieces of {data.spec.size} of its {len(data.spec.class_names)} "
            "different characters."
        )
    for label, count in sorted(
        Counter([] if data.labels is None else data.labels.tolist()).items()
    ):
        report.classes[data.spec.class_names[label]] = count
    return report


@public
def check(source: str, *, split: Split = "train", labels: str | Path | None = None) -> Report:
    """Decodes every image of a data set and reports what is in it.

    Arguments:
        source: What `load_data` takes.
        split: The part to check.
        labels: A CSV of file and label for an image folder.

    Example:
        >>> report = check("mnist", split="test")
        >>> report.images, report.fatal, dict(report.sizes)
        (10000, None, {(28, 28): 10000})
    """
    report = Report(source)
    try:
        if is_made(source):
            return report_generated(report, load_data(source, split=split))
        raw = open_source(source, split, None if labels is None else Path(labels))
    except DataError as error:
        report.fatal = str(error)
        return report
    report.images, report.notes = len(raw.images), list(raw.notes)
    hashes: set[bytes] = set()
    for i in track(range(report.images), report.images, f"checking {raw.name}"):
        try:
            x = (
                raw.images[i]
                if isinstance(raw.images, np.ndarray)
                else decode(raw.images.read(i), raw.images.where(i))
            )
        except DataError as error:
            report.corrupt.append(str(error))
            continue
        report.sizes[x.shape[1:]] += 1
        report.channels[len(x)] += 1
        key = hashlib.sha1(repr(x.shape).encode() + x.tobytes(), usedforsecurity=False).digest()
        report.duplicates += key in hashes
        hashes.add(key)
        constant = bool((x == x[:, :1, :1]).all())
        report.constant += constant
        report.dark += not constant and int(x.max()) < 32
    if raw.labels is not None:
        for label, count in sorted(Counter(raw.labels.tolist()).items()):
            name = raw.class_names[label] if 0 <= label < len(raw.class_names) else str(label)
            report.classes["unlabeled" if label < 0 else name] = count
    if report.corrupt:
        more = len(report.corrupt) - 1
        further = f"; further corrupt images: {more:,}" if more else ""
        report.fatal = report.corrupt[0].rstrip(".") + f"{further}."
    elif not report.images:
        report.fatal = f"'{source}' holds no images: give a data set with at least one."
    elif raw.labels is not None and len(raw.labels) != report.images:
        report.fatal = (
            f"'{source}' has {report.images:,} images and {len(raw.labels):,} "
            "labels: give one label an image."
        )
    return report
