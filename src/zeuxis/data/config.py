"""Which data a run learns from, and what is done to them first."""

from __future__ import annotations

import dataclasses
import os
from typing import Annotated

from ..ranges import BaseConfig, Count, Pixels, Range, Seed
from . import load_data
from .dataset import Dataset
from .densities import DENSITIES, points
from .sources import BUILT_IN, MADE


@dataclasses.dataclass(frozen=True)
class DataConfig(BaseConfig, flags="--"):
    """Which data, and what is done to them first."""

    data: str = "mnist"
    """A built-in name (`zeuxis list` shows them), NAME=PATH, a folder, a file, or a Hub id."""
    size: Pixels | None = None
    """Side that images are resized and cropped to (pixels), None keeps theirs; or characters in a
    piece of text, None takes 128."""
    channels: Annotated[int, Range(1, 3)] | None = None
    """1 turns images gray, 3 makes them RGB; None keeps theirs."""
    labels: str | None = None
    """A CSV of file and label for an image folder."""
    limit: Count | None = None
    """Use only this many images."""
    labels_per_class: Count | None = None
    """Keep only so many labels in each class, for learning from few; None keeps all there are."""
    label_seed: Seed = 0
    """Fixes which labels are kept."""

    def load(self, split: str = "train") -> Dataset:
        """The data set; the test split of points in the plane is drawn with another seed."""
        if self.data in DENSITIES:
            data = points(self.data, self.limit or 262_144, 0 if split == "train" else 1)
            part = "test" if split == "test" else "train"
            return dataclasses.replace(data, facts=dataclasses.replace(data.facts, part=part))
        return load_data(
            self.data,
            split="test" if split == "test" else "train",
            size=self.size,
            channels=self.channels,
            labels=self.labels,
            limit=self.limit,
        )

    def absolute(self) -> DataConfig:
        """The same with places that hold wherever the program is started."""
        name, equals, place = self.data.partition("=")
        data, labels = self.data, self.labels
        if equals and not os.path.exists(data):
            data = f"{name}={absolute(place)}" if place else data
        elif data not in (*BUILT_IN, *MADE, *DENSITIES) and os.path.exists(
            os.path.expanduser(data)
        ):
            data = absolute(data)
        return dataclasses.replace(self, data=data, labels=absolute(labels) if labels else labels)


def absolute(place: str) -> str:
    """A place as a path from the root."""
    return os.path.abspath(os.path.expanduser(place))


def is_built_in(data: str) -> bool:
    """Whether a name stands for a built-in set."""
    return data.split("=")[0] in (*BUILT_IN, *MADE, *DENSITIES)
