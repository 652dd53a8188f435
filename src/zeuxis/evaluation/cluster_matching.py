r"""How well a category found without labels agrees with known classes.

With $N_{kc}$ images of class c in category k, its error as a classifier is that of the best map
from categories to classes,

$$ e = 1 - \tfrac{1}{n} \max_\pi \sum_k N_{k \pi(k)} , $$

with $\pi$ one-to-one (each class has at most one category, found by an exact assignment) or
many-to-one (each category stands for its commonest class, which flatters a code of many
categories).

Sources: Kuhn 1955 and Jonker and Volgenant 1987 (assignment); Chen et al., "InfoGAN", 2016, section
7.2 (the error on digits).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import UsageError


def confusion(
    assigned: Int[Tensor, "n"], labels: Int[Tensor, "n"], clusters: int, classes: int
) -> Int[Tensor, "clusters classes"]:
    """Examples of each class in each category.

    Example:
        >>> confusion(torch.tensor([0, 0, 1]), torch.tensor([1, 1, 0]), 2, 2).tolist()
        [[0, 2], [1, 0]]
    """
    if not len(labels):
        raise UsageError(
            "Categories were compared with the labels of no example: give at least one."
        )
    for name, values, size in (("category", assigned, clusters), ("label", labels, classes)):
        if int(values.min()) < 0 or int(values.max()) >= size:
            outside = int(values.max()) if int(values.min()) >= 0 else int(values.min())
            raise UsageError(
                f"There is a {name} {outside} among {size}: give numbers from 0 to {size - 1}."
            )
    return torch.bincount(assigned * classes + labels, minlength=clusters * classes).view(
        clusters, classes
    )


def assignment(gain: Float[Tensor, "rows columns"]) -> Int[Tensor, "rows"]:
    """For each row a column of its own so that the sum of gains is greatest; exact, in O(rows^2
    columns).

    Rows enter one by one. Each looks for the cheapest way to a free column along which earlier rows
    change theirs (Dijkstra's algorithm); the potentials u and v keep all costs that it compares at
    0 or above.

    Example:
        >>> assignment(torch.tensor([[9.0, 8.0, 0.0], [8.0, 2.0, 0.0]])).tolist()
        [1, 0]
    """
    rows, columns = gain.shape
    if rows > columns:
        raise UsageError(
            f"{rows} rows cannot each have one of {columns} columns for itself: give no "
            "more rows than columns."
        )
    cost = -gain.double().cpu()
    u, v = torch.zeros(rows).double(), torch.zeros(columns).double()
    owner = torch.full((columns,), -1)
    for row in range(rows):
        way, before = torch.full((columns,), torch.inf).double(), torch.full((columns,), -1)
        seen = torch.zeros(columns, dtype=torch.bool)
        length, at, column = torch.zeros(()).double(), row, -1
        while at >= 0:
            through = length + cost[at] - u[at] - v
            shorter = ~seen & (through < way)
            way[shorter], before[shorter] = through[shorter], column
            column = int(way.masked_fill(seen, torch.inf).argmin())
            length, at, seen[column] = way[column], int(owner[column]), True
        seen[column] = False
        u[row] += length
        u[owner[seen]] += length - way[seen]
        v[seen] -= length - way[seen]
        while column >= 0:
            previous = int(before[column])
            owner[column] = row if previous < 0 else owner[previous]
            column = previous
    taken = torch.nonzero(owner >= 0)[:, 0]
    return taken[owner[taken].argsort()]


def matching(
    counts: Int[Tensor, "clusters classes"], kind: Literal["one-to-one", "majority"]
) -> Int[Tensor, "clusters"]:
    """The class that each category stands for.

    Arguments:
        counts: `confusion` of the examples that fix the map, best those of the training set.
        kind: "one-to-one", for which there must be no more categories than classes, or "majority",
            where a category that no example falls into stands for no class, -1.

    Example:
        >>> counts = torch.tensor([[5, 0], [6, 4]])
        >>> matching(counts, "one-to-one").tolist(), matching(counts, "majority").tolist()
        ([0, 1], [0, 0])
    """
    if kind == "one-to-one":
        return assignment(counts.double())
    return torch.where(counts.sum(1) > 0, counts.argmax(1), -1)


def error_under(
    meaning: Int[Tensor, "clusters"], assigned: Int[Tensor, "n"], labels: Int[Tensor, "n"]
) -> float:
    """Share of examples whose category does not stand for their class.

    Example:
        >>> error_under(torch.tensor([1, 0]), torch.tensor([0, 0, 1, 1]), torch.tensor([1, 1, 0, 1]))
        0.25
    """
    return (meaning[assigned] != labels).double().mean().item()


@dataclass(frozen=True)
class Match:
    """A categorical code against labels.

    Arguments:
        one_to_one: Error with at most one category a class (a share); None with more categories
            than classes.
        majority: Error with each category standing for its commonest class (a share).
        confusion: Examples of each class in each category.
    """

    one_to_one: float | None
    majority: float
    confusion: tuple[tuple[int, ...], ...]


def match(
    assigned: Int[Tensor, "n"],
    labels: Int[Tensor, "n"],
    clusters: int,
    classes: int,
    fixed: Int[Tensor, "clusters classes"] | None = None,
) -> Match:
    """Errors of a clustering under the best maps from categories to classes.

    Arguments:
        assigned: Category of each example.
        labels: Its class.
        clusters: Categories there are.
        classes: Classes there are.
        fixed: `confusion` of other examples, to fix the maps on; by default they are fixed on the
            same ones, which flatters.

    Example:
        >>> found = match(torch.tensor([2, 2, 0, 1]), torch.tensor([0, 0, 1, 2]), 3, 3)
        >>> found.one_to_one, found.majority
        (0.0, 0.0)
    """
    counts = confusion(assigned, labels, clusters, classes)
    basis = counts if fixed is None else fixed
    own = (
        error_under(matching(basis, "one-to-one"), assigned, labels)
        if clusters <= classes
        else None
    )
    return Match(
        own,
        error_under(matching(basis, "majority"), assigned, labels),
        tuple(map(tuple, counts.tolist())),
    )
