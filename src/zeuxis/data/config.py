"""Which data a run learns from, and how they are read."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Annotated

from ..ranges import BaseConfig, Count, Pixels, Range, Seed
from . import load_data
from .built_in import BUILT_IN, MADE
from .dataset import Dataset
from .densities import DENSITIES, points
from .parts import Split

NAMES = (*BUILT_IN, *MADE, *DENSITIES)
POINTS = 262_144  # points of a density, unless `limit` says otherwise


@dataclass(frozen=True)
class DataConfig(BaseConfig, flags="--"):
    """Which data a run learns from, and how they are read.

    Example:
        >>> data = DataConfig("mnist", limit=1000).load()
        >>> len(data), data.spec.shape
        (1000, (1, 28, 28))
    """

    data: str = "mnist"
    """A built-in name (`zeuxis list` shows them), NAME=PATH, a folder, a file, or a Hub id."""
    size: Pixels | None = None
    """Side to which images are resized and cropped (pixels), None keeps theirs; for a text the
    characters of an example, None means 128."""
    channels: Annotated[int, Range(1, 3)] | None = None
    """1 makes images gray, 3 makes them RGB; None keeps theirs."""
    labels: str | None = None
    """A CSV of file and label for a folder of images."""
    limit: Count | None = None
    """Use only the first images."""
    labels_per_class: Count | None = None
    """Labels kept in each class, for learning from few; None keeps all."""
    label_seed: Seed = 0
    """Seed of the choice of labels."""
    stream: bool = False
    """Decode images each time they are read and keep none, for sets larger than memory and disk."""

    def load(self, split: str = "train") -> Dataset:
        """Reads the training part, or with "test" the test part.

        The test part of a density's points is drawn with another seed.
        """
        part: Split = "test" if split == "test" else "train"
        if self.data in DENSITIES:
            data = points(self.data, self.limit or POINTS, seed=0 if split == "train" else 1)
            return replace(data, facts=replace(data.facts, part=part))
        return load_data(
            self.data,
            split=part,
            size=self.size,
            channels=self.channels,
            labels=self.labels,
            limit=self.limit,
            stream=self.stream,
        )

    def absolute(self) -> DataConfig:
        """The same data by paths that hold in every working directory."""
        labels = absolute(self.labels) if self.labels else self.labels
        return replace(self, data=self.absolute_data(), labels=labels)

    def absolute_data(self) -> str:
        """`data` with an absolute path where it names one."""
        name, equals, path = self.data.partition("=")
        if equals and not os.path.exists(self.data):
            return f"{name}={absolute(path)}" if path else self.data
        is_path = self.data not in NAMES and os.path.exists(os.path.expanduser(self.data))
        return absolute(self.data) if is_path else self.data


def absolute(path: str) -> str:
    """An absolute path, with ~ replaced by the home folder."""
    return os.path.abspath(os.path.expanduser(path))


def is_built_in(data: str) -> bool:
    """Whether a name belongs to a built-in data set."""
    return data.split("=")[0] in NAMES
