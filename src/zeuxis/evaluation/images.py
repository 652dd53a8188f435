"""The images that a figure was measured on: which part of a data set, and how many."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import UsageError

PHRASES = {
    "": "images",
    "test": "test images",
    "held-out": "held-out images",
    "trained on": "images it was trained on",
    "train": "training images",
    "all": "images",
}
SPLITS = ("test", "train", "held-out")  # values of --split


def phrase(split: str) -> str:
    """What the images of a part are called, after a number.

    Example:
        >>> f"30 {phrase('held-out')}", f"270 {phrase('trained on')}"
        ('30 held-out images', '270 images it was trained on')
    """
    return PHRASES.get(split, f"{split} images")


def check_split(split: str) -> None:
    """Refuses other values of --split than test, train and held-out."""
    if split not in SPLITS:
        raise UsageError(
            f"--split is '{split}', expected test or train, or held-out for the images that a "
            "training held out."
        )


@dataclass(frozen=True)
class Images:
    """Which images an evaluation uses.

    Arguments:
        split: "test", a test part; "held-out", images of the run's own set that it did not see;
            "trained on"; "train", the training part of another set; "all", another set with one
            part.
        images: How many.
        of: Images in the set, or in the part of it.
        seed: Seed of the choice of held-out images, None where none were held out.
    """

    split: str
    images: int
    of: int
    seed: int | None = None

    def __str__(self) -> str:
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.images:,} {phrase(self.split)}" + (
            f" (of {self.of:,}{seed})" if self.of != self.images else ""
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        return {"evaluated on": asdict(self)}
