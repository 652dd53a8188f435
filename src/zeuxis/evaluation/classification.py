r"""Classes by one model or by several: an ensemble's probability of a class is the mean of its
members',

$$ p(k | x) = \tfrac{1}{M} \sum_m p_m(k | x) , $$

and a labeled set is summed up by each member's errors, the ensemble's, and which class was taken
for which.

Source: Salimans et al., "Improved Techniques for Training GANs", 2016, tables 1 to 3 (ensembles of
ten).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table
from rich.text import Text
from torch import Tensor

from ..arguments import public
from ..capabilities import CanClassify
from ..data.dataset import Dataset
from ..data.labels import labels_of
from ..errors import DataError, UsageError
from ..model import require
from ..ranges import Portion
from .cluster_matching import confusion
from .images import phrase


@dataclass(frozen=True)
class Classification:
    """What one or several classifiers made of a labeled set.

    Arguments:
        data: The data set.
        split: The part of it, or "" if the caller did not say.
        images: Labeled images judged.
        names: The classes in label order.
        members: Errors of each classifier by itself.
        errors: Errors of their mean; with one classifier its own.
        table: Images of each class (row) that were given each class (column) by the mean.
    """

    data: str
    split: str
    images: int
    names: tuple[str, ...]
    members: tuple[int, ...]
    errors: int
    table: tuple[tuple[int, ...], ...]

    @property
    def accuracy(self) -> float:
        """Images that the mean gets right, in per cent."""
        return 100 * (1 - self.errors / self.images)

    @property
    def mean(self) -> float:
        """Mean errors of a single classifier."""
        return sum(self.members) / len(self.members)

    @property
    def deviation(self) -> float:
        """Standard deviation of a single classifier's errors (of the sample; 0 with one)."""
        m = len(self.members)
        return (sum((e - self.mean) ** 2 for e in self.members) / (m - 1)) ** 0.5 if m > 1 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        found = asdict(self)
        found["confusion"] = found.pop("table")
        return found | {
            "accuracy": self.accuracy,
            "mean errors of one": self.mean,
            "deviation of one": self.deviation,
        }

    def __str__(self) -> str:
        what = f"{self.images:,} {phrase(self.split)}"
        right = f"{self.data}: {self.accuracy:.2f} % of {what}, {self.errors:,} errors"
        m = len(self.members)
        return (
            right
            if m == 1
            else (
                f"{right} by the mean of {m} models; one alone {self.mean:.1f} ± "
                f"{self.deviation:.1f}"
            )
        )

    def confusion(self) -> Table:
        """The confusion table: one row for each true class, one column for each class given."""
        head = [
            Column("is", no_wrap=True),
            *(Column(name, justify="right") for name in self.names),
            Column("right", justify="right"),
        ]
        sheet = Table(
            *head,
            title=str(self),
            title_justify="left",
            caption="Rows: what it is; columns: what it was taken for.",
        )
        sheet.box, sheet.padding, sheet.pad_edge, sheet.caption_justify = (
            SIMPLE_HEAD,
            (0, 1, 0, 0),
            False,
            "left",
        )
        for k, (name, row) in enumerate(zip(self.names, self.table, strict=True)):
            counts = [
                Text(str(n) if n else ".", "bold" if n and j == k else "")
                for j, n in enumerate(row)
            ]
            sheet.add_row(name, *counts, f"{row[k] / sum(row):.1%}" if sum(row) else "-")
        return sheet


@public
def classify(
    models: Any, x: UInt8[Tensor, "n *shape"], batch: Portion = 500
) -> Float[Tensor, "n classes"]:
    """Class probabilities: those of a classifier, or the mean of several.

    Arguments:
        models: A model with `classify`, or a list of them.
        x: Raw examples, in the shape that the models were trained on.
        batch: Examples worked off at a time.

    Raises:
        UsageError: The models were trained on different shapes or classes, or the examples have
            another shape.

    Example:
        >>> import zeuxis
        >>> digits = zeuxis.load_data("mnist", split="test", limit=3)
        >>> zeuxis.classify(zeuxis.load("mnist/improved-gan"), digits.all()).argmax(1).tolist()
        [7, 2, 1]
    """
    return torch.stack(list(each(models, x, batch))).mean(0)


def each(models: Any, x: Tensor, batch: int) -> list[Tensor]:
    """Every member's probabilities, in float64 so that their mean does not depend on their
    order."""
    members = agreeing(models)
    if tuple(x.shape[1:]) != members[0].spec.shape:
        raise UsageError(
            f"The examples have shape {tuple(x.shape[1:])} and the model was trained on "
            f"{members[0].spec.shape}."
        )
    if not len(x):
        raise UsageError("There are no examples to classify: give at least one.")
    return [
        torch.cat([m.classify(part).double().cpu() for part in x.split(batch)]) for m in members
    ]


def agreeing(models: Any) -> list[Any]:
    """The models as a list, if they tell the same classes apart in examples of the same shape."""
    members = list(models) if isinstance(models, list | tuple) else [models]
    if not members:
        raise UsageError("There is no model to classify with: give at least one.")
    first = require(members[0], CanClassify, "classify").spec
    for other in members[1:]:
        spec = require(other, CanClassify, "classify").spec
        for what, a, b in (
            ("examples of shape", first.shape, spec.shape),
            ("the classes", first.class_names, spec.class_names),
        ):
            if a != b or first.classes != spec.classes:
                raise UsageError(
                    f"The models do not go together: one was trained on {what} {a} and "
                    f"another on {b}."
                )
    return members


def score(
    models: Any,
    data: Dataset,
    *,
    split: str = "",
    batch: int = 500,
    told: Sequence[Float[Tensor, "n classes"]] = (),
) -> tuple[Classification, Float[Tensor, "n classes"]]:
    """Errors and confusion table on the labeled images of a set, and the probabilities of all of
    them.

    Arguments:
        models: A model with `classify`, or a list of them.
        data: Images, of which those without a label are classified but not counted.
        split: Which part of the data set `data` is, to be printed.
        batch: Examples worked off at a time.
        told: Probabilities of the same images by further members, whose weights need not be at
            hand; then `models` may be empty.
    """
    members = [] if told and models == [] else agreeing(models)
    labels = labels_of(data, "A confusion table").cpu()
    known = labels >= 0
    if not known.any():
        raise DataError(
            f"No image of '{data.spec.name}' has a label to compare with: give a labeled set."
        )
    spec = members[0].spec if members else data.spec
    if data.spec.classes != spec.classes or (
        spec.class_names and data.spec.class_names and spec.class_names != data.spec.class_names
    ):
        ours, theirs = (
            ", ".join(spec.class_names) or spec.classes,
            ", ".join(data.spec.class_names) or data.spec.classes,
        )
        raise UsageError(
            f"The model tells the classes {ours} apart, and '{data.spec.name}' has "
            f"{theirs}: give data of the same classes."
        )
    for chances in told:
        if chances.shape != (len(data), spec.classes):
            given = " probabilities for ".join(map(str, reversed(chances.shape)))
            raise UsageError(
                f"A member has {given} images; {spec.classes} for each of {len(data)} "
                "were expected: give those of this set."
            )
    parts = (
        [
            each(members, data.batch(index)[0], batch)
            for index in torch.arange(len(data)).split(batch)
        ]
        if members
        else []
    )
    single = [
        *(torch.cat(column) for column in zip(*parts, strict=True)),
        *(chances.double() for chances in told),
    ]
    mean = torch.stack(single).mean(0)
    wrong = [int((p.argmax(1) != labels)[known].sum()) for p in (*single, mean)]
    table = confusion(labels[known], mean.argmax(1)[known], spec.classes, spec.classes).tolist()
    names = spec.class_names or tuple(str(k) for k in range(spec.classes))
    rows = tuple(tuple(row) for row in table)
    split = split or data.facts.split
    return Classification(
        data.spec.name, split, int(known.sum()), names, tuple(wrong[:-1]), wrong[-1], rows
    ), mean
