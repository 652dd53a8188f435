r"""How well a model counts and locates objects, on images whose boxes are known.

**Counting accuracy** is the share of images whose number of objects is right: of the most probable
number under q(n | x), and of one number drawn from it.

**Intersection over union** of two boxes is the area that they share, divided by the area that at
least one covers. The boxes of an image are matched one to one so that their sum is greatest
(Hungarian method). With m found and k true objects, the sum is divided by max(m, k), so that a
missed and a superfluous box count as 0; the figure is the mean over all objects, not over images.

Sources: Eslami et al., "Attend, Infer, Repeat", 2016, section 3.1, for counting; Kuhn, "The
Hungarian Method for the Assignment Problem", 1955; Jaccard, 1901, for the index.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from rich.table import Column, Table
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..capabilities import HasObjects
from ..data.dataset import Dataset
from ..data.scenes import boxes as boxes_of
from ..errors import UsageError
from ..model import require
from .images import phrase

BATCH = 250


def accuracy(counts: Int64[Tensor, " n"], true: Int64[Tensor, " n"]) -> float:
    """The share of numbers that are right.

    Example:
        >>> accuracy(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 2, 1]))
        0.75
    """
    return (counts == true).double().mean().item()


def intersection_over_union(a: Float[Tensor, "m 4"], b: Float[Tensor, "k 4"]) -> Tensor:
    """Of all pairs of boxes, (m, k); 0 of boxes without an area.

    Arguments:
        a: Boxes as left, top, right and bottom.
        b: Others.

    Example:
        >>> a = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
        >>> intersection_over_union(a, torch.tensor([[1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0]]))
        tensor([[0.3333, 0.0000]])
    """
    low = torch.maximum(a[:, None, :2], b[None, :, :2])
    high = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    both = (high - low).clamp(min=0).prod(2)
    areas = [(box[:, 2:] - box[:, :2]).clamp(min=0).prod(1) for box in (a, b)]
    either = areas[0][:, None] + areas[1] - both
    return torch.where(either > 0, both / either, torch.zeros_like(both))


def matched(found: Float[Tensor, "m 4"], true: Float[Tensor, "k 4"]) -> tuple[float, int]:
    """The greatest sum of intersections over unions of boxes matched one to one, and the number of
    objects that it is to be divided by.

    Boxes that are not finite are left out.

    Example:
        >>> boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [4.0, 4.0, 6.0, 6.0]])
        >>> matched(boxes.flip(0), boxes), matched(boxes[:1], boxes)
        ((2.0, 2), (1.0, 2))
    """
    found, true = (boxes[boxes.isfinite().all(1)].double() for boxes in (found, true))
    table = intersection_over_union(found, true)
    rows, columns = linear_sum_assignment(table.numpy(), maximize=True)
    return table[rows, columns].sum().item(), max(table.shape)


def mean_overlap(found: Float[Tensor, "n K 4"], true: Float[Tensor, "n M 4"]) -> float:
    """The mean intersection over union of all objects; NaN where neither side has any."""
    sums = [matched(a, b) for a, b in zip(found.cpu(), true.cpu(), strict=True)]
    objects = sum(n for _, n in sums)
    return sum(overlap for overlap, _ in sums) / objects if objects else math.nan


def confusion(counts: Int64[Tensor, " n"], true: Int64[Tensor, " n"]) -> Int64[Tensor, "k k"]:
    """Images by true number (rows) and said number (columns).

    Example:
        >>> confusion(torch.tensor([0, 2]), torch.tensor([0, 1])).tolist()
        [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    """
    size = 1 + int(torch.cat([counts, true]).max())
    return torch.bincount(true * size + counts, minlength=size**2).view(size, size)


@dataclass(frozen=True)
class ObjectFigures:
    """What counting and locating objects was measured to be worth.

    Arguments:
        data: Name of the data set.
        split: The part of it, or "".
        images: Images evaluated.
        most_probable: Share of right counts, of the most probable number.
        sampled: Share of right counts, of a number drawn from the posterior.
        overlap: Mean intersection over union, for the most probable number; NaN without objects.
        table_of_counts: Images by true and most probable number.
    """

    data: str
    split: str
    images: int
    most_probable: float
    sampled: float
    overlap: float
    table_of_counts: Tensor

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        return {
            "images": self.images,
            "counting accuracy": self.most_probable,
            "counting accuracy, sampled": self.sampled,
            "intersection over union": None if math.isnan(self.overlap) else self.overlap,
            "counts, true by said": self.table_of_counts.tolist(),
        }

    def table(self) -> Table:
        """The figures, and how often each number was taken for which."""
        title = f"{self.data}: {self.images:,} {phrase(self.split)}"
        table = Table(Column("", no_wrap=True), title=title, title_justify="left")
        size = len(self.table_of_counts)
        for number in range(size):
            table.add_column(f"said {number}", justify="right")
        for number, row in enumerate(self.table_of_counts.tolist()):
            table.add_row(f"{number} objects", *(f"{n:,}" for n in row))
        figures = {
            "counted right": f"{100 * self.most_probable:.2f}%",
            "by one sample": f"{100 * self.sampled:.2f}%",
            "overlap of boxes": "-" if math.isnan(self.overlap) else f"{self.overlap:.3f}",
        }
        table.caption = ", ".join(f"{name} {figure}" for name, figure in figures.items())
        table.caption_justify = "left"
        return table


def object_figures(
    model: Any, data: Dataset, *, seed: int = 0, split: str = "", batch: int = BATCH
) -> ObjectFigures:
    """Counts and locates the objects in all images of a data set.

    Arguments:
        model: A model that finds objects.
        data: Images whose boxes are known.
        seed: Fixes the samples.
        split: What the images are called in the table.
        batch: Images at a time.

    Raises:
        UsageError: Nothing is known of the objects, or there are no images.

    Example:
        >>> from zeuxis.data import load_data
        >>> from zeuxis.vae.air import AIR, AIRConfig
        >>> data = load_data("multi-mnist", split="test", limit=8)
        >>> model = AIR(AIRConfig(hidden_dim=8, layer_dim=8), data.spec).eval()
        >>> object_figures(model, data).table_of_counts.sum().item()
        8
    """
    finder, true = require(model, HasObjects, "count and locate objects"), boxes_of(data)
    if not len(data):
        raise UsageError("No images to count objects in: give at least one.")
    generator = torch.Generator().manual_seed(seed)
    counts, sampled, boxes = [], [], []
    for rows in torch.arange(len(data)).split(batch):
        x = data.batch(rows)[0]
        found = finder.objects(x)
        counts.append(found.counts.cpu())
        boxes.append(found.boxes.cpu())
        sampled.append(finder.objects(x, sampled=True, generator=generator).counts.cpu())
    numbers = true.isfinite().all(2).sum(1)
    said = torch.cat(counts)
    return ObjectFigures(
        data=data.spec.name,
        split=split or data.facts.split,
        images=len(data),
        most_probable=accuracy(said, numbers),
        sampled=accuracy(torch.cat(sampled), numbers),
        overlap=mean_overlap(torch.cat(boxes), true),
        table_of_counts=confusion(said, numbers),
    )
