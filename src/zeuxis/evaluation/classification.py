r"""Classification by one model or an ensemble, with errors and confusion matrix.

The probability of a class under an ensemble is the mean over its members,

$$ p(k | x) = \tfrac{1}{M} \sum_m p_m(k | x) . $$

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
from ..data.dataset import Dataset, Spec
from ..data.labels import labels_of
from ..errors import DataError, UsageError
from ..model import require
from ..ranges import BatchSize
from .cluster_matching import confusion
from .images import phrase


@dataclass(frozen=True)
class Classification:
    """Errors of one or several classifiers on a labeled set.

    Arguments:
        data: Name of the data set.
        split: The part of it, or "" if the caller did not say.
        images: Number of labeled images.
        names: The classes in label order.
        members: Errors of each classifier.
        errors: Errors of the ensemble; with one classifier its own.
        confusion: Images of each true class (row) that the ensemble gave each class (column).
    """

    data: str
    split: str
    images: int
    names: tuple[str, ...]
    members: tuple[int, ...]
    errors: int
    confusion: tuple[tuple[int, ...], ...]

    @property
    def accuracy(self) -> float:
        """Share of correct predictions of the ensemble, in per cent."""
        return 100 * (1 - self.errors / self.images)

    @property
    def mean(self) -> float:
        """Mean errors of a single classifier."""
        return sum(self.members) / len(self.members)

    @property
    def deviation(self) -> float:
        """Standard deviation of a single classifier's errors (over the sample; 0 with one)."""
        m = len(self.members)
        return (sum((e - self.mean) ** 2 for e in self.members) / (m - 1)) ** 0.5 if m > 1 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        return asdict(self) | {
            "accuracy": self.accuracy,
            "mean errors of one": self.mean,
            "deviation of one": self.deviation,
        }

    def __str__(self) -> str:
        images, m = f"{self.images:,} {phrase(self.split)}", len(self.members)
        text = f"{self.data}: {self.accuracy:.2f} % of {images}, {self.errors:,} errors"
        if m == 1:
            return text
        return f"{text} by the mean of {m} models; one alone {self.mean:.1f} ± {self.deviation:.1f}"

    def confusion_table(self) -> Table:
        """The confusion matrix: one row for each true class, one column for each predicted one."""
        table = Table(
            Column("true", no_wrap=True),
            *(Column(name, justify="right") for name in self.names),
            Column("recall", justify="right"),
            title=str(self),
            title_justify="left",
            caption="Rows: true class; columns: predicted class.",
            caption_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        for k, (name, row) in enumerate(zip(self.names, self.confusion, strict=True)):
            counts = [
                Text(str(n) if n else ".", "bold" if n and j == k else "")
                for j, n in enumerate(row)
            ]
            table.add_row(name, *counts, f"{row[k] / sum(row):.1%}" if sum(row) else "-")
        return table


@public
def classify(
    models: Any, x: UInt8[Tensor, "n *shape"], batch: BatchSize = 500
) -> Float[Tensor, "n classes"]:
    """Class probabilities of a classifier, or the mean of several.

    Arguments:
        models: A model with `classify`, or a list of them.
        x: Raw examples, in the shape that the models were trained on.
        batch: Examples at a time.

    Raises:
        UsageError: The models were trained on different shapes or classes, or the examples have
            another shape.

    Example:
        >>> import zeuxis
        >>> digits = zeuxis.load_data("mnist", split="test", limit=3)
        >>> zeuxis.classify(zeuxis.load("mnist/improved-gan"), digits.all()).argmax(1).tolist()
        [7, 2, 1]
    """
    return torch.stack(member_probs(models, x, batch)).mean(0)


def member_probs(models: Any, x: Tensor, batch: int) -> list[Tensor]:
    """Probabilities of every member, in float64 so that their mean does not depend on their
    order."""
    members = require_same_classes(models)
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


def require_same_classes(models: Any) -> list[Any]:
    """The models as a list; refuses models of different classes or shapes of examples."""
    members = list(models) if isinstance(models, list | tuple) else [models]
    if not members:
        raise UsageError("There is no model to classify with: give at least one.")
    first = require(members[0], CanClassify, "classify").spec
    for other in members[1:]:
        spec = require(other, CanClassify, "classify").spec
        pairs = (
            ("examples of shape", first.shape, spec.shape),
            ("the classes", first.class_names, spec.class_names),
        )
        for what, a, b in pairs:
            if a != b or first.classes != spec.classes:
                raise UsageError(
                    f"The models do not go together: one was trained on {what} {a} and another on "
                    f"{b}."
                )
    return members


def score(
    models: Any,
    data: Dataset,
    *,
    split: str = "",
    batch: int = 500,
    more_probs: Sequence[Float[Tensor, "n classes"]] = (),
) -> tuple[Classification, Float[Tensor, "n classes"]]:
    """Errors and confusion matrix on the labeled images of a set, and the probabilities of all
    images.

    Arguments:
        models: A model with `classify`, or a list of them.
        data: Images. Those without a label are classified but not counted.
        split: Which part of the data set `data` is, to be printed.
        batch: Examples at a time.
        more_probs: Probabilities of the same images by further members, whose weights need not be
            at hand; then `models` may be empty.
    """
    members = [] if more_probs and models == [] else require_same_classes(models)
    labels = labels_of(data, "A confusion table").cpu()
    labeled = labels >= 0
    if not labeled.any():
        raise DataError(
            f"No image of '{data.spec.name}' has a label to compare with: give a labeled set."
        )
    spec = members[0].spec if members else data.spec
    require_classes_of(data, spec)
    for probs in more_probs:
        if probs.shape != (len(data), spec.classes):
            raise UsageError(
                f"A member has {probs.shape[1]} probabilities for {probs.shape[0]} images; "
                f"{spec.classes} for each of {len(data)} were expected: give those of this set."
            )
    single = [probs.double() for probs in more_probs]
    if members:
        indices = torch.arange(len(data)).split(batch)
        parts = [member_probs(members, data.batch(index)[0], batch) for index in indices]
        single = [torch.cat(column) for column in zip(*parts, strict=True)] + single
    mean = torch.stack(single).mean(0)
    errors = [int((p.argmax(1) != labels)[labeled].sum()) for p in (*single, mean)]
    counts = confusion(labels[labeled], mean.argmax(1)[labeled], spec.classes, spec.classes)
    result = Classification(
        data=data.spec.name,
        split=split or data.facts.split,
        images=int(labeled.sum()),
        names=spec.class_names or tuple(str(k) for k in range(spec.classes)),
        members=tuple(errors[:-1]),
        errors=errors[-1],
        confusion=tuple(tuple(row) for row in counts.tolist()),
    )
    return result, mean


def require_classes_of(data: Dataset, spec: Spec) -> None:
    """Refuses data with other classes than a model's; names count where both have them."""
    names, data_names = spec.class_names, data.spec.class_names
    if data.spec.classes != spec.classes or (names and data_names and names != data_names):
        raise UsageError(
            f"The model has the classes {', '.join(names) or spec.classes}, and "
            f"'{data.spec.name}' has {', '.join(data_names) or data.spec.classes}: give data of "
            "the same classes."
        )
