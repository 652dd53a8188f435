"""What a model's codes mean, as one report: each code read from images and compared with what is
known of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from rich.table import Column, Table
from torch import Tensor

from ..capabilities import Code, HasCodes
from ..data.dataset import Dataset
from ..data.faces import factors as factors_of
from ..errors import DataError, UsageError
from ..model import require
from .cluster_matching import Match, confusion, match
from .disentanglement import (
    DCI,
    dci,
    mutual_information_gap,
    normalized_mutual_information,
    slant_and_width,
    spearman,
    within,
)
from .images import phrase


@dataclass(frozen=True)
class CodeReport:
    """What was found of a model's codes.

    Arguments:
        data: The data set.
        split: The part of it, or "" if the caller did not say.
        images: Images looked at.
        mapped: Further images on which the maps from categories to classes were fixed; 0 if on the
            same ones.
        drawn: Images drawn from the model for what it does with its own codes.
        matches: Each categorical code against the labels, by name.
        nmi: Its normalized mutual information with them.
        information: For each categorical code a bound on its mutual information with the images
            drawn, $\\log K + E \\log q(c|x)$ (nats), at most log K.
        correlations: For each continuous code its rank correlation with each factor; or, with slant
            and width in place of factors, the mean over classes of its absolute value.
        own: For each continuous code the same mean over the model's own categories, between codes
            and the images drawn from them.
        gap: Mutual information gap of all codes, or None without factors.
        dci: Disentanglement, completeness and informativeness of all codes, or None with fewer than
            two of factors or codes.
    """

    data: str
    split: str
    images: int
    mapped: int
    drawn: int
    matches: dict[str, Match]
    nmi: dict[str, float]
    information: dict[str, float]
    correlations: dict[str, dict[str, float]]
    own: dict[str, dict[str, float]]
    gap: float | None
    dci: DCI | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        return asdict(self)

    def table(self) -> Table:
        """One row for each code, with the protocol as title and caption."""
        notes = []
        if self.matches:
            where = (
                f"{self.mapped:,} other images"
                if self.mapped
                else "the same images, which flatters"
            )
            notes.append(
                f"Categories as classes, one-to-one and by majority: maps fixed on {where}."
            )
        if self.own:
            notes.append("Slant and width: mean over classes of |rank correlation|.")
        if self.drawn:
            notes.append(
                f"Drawn, and the mutual information MI: on {self.drawn:,} images from chosen codes."
            )
        if self.gap is not None:
            notes.append(f"All codes: mutual information gap {self.gap:.3f}.")
        if self.dci is not None:
            d = self.dci
            notes.append(
                f"Disentanglement {d.disentanglement:.3f}, completeness "
                f"{d.completeness:.3f}, informativeness {d.informativeness:.3f}."
            )
        title = f"{self.data}: {self.images:,} {phrase(self.split)}"
        table = Table(
            Column("code", no_wrap=True), title=title, title_justify="left", padding=(0, 0, 0, 1)
        )
        table.caption, table.caption_justify = " ".join(notes), "left"
        if self.matches:
            for name in (
                "error,\n1:1",
                "error,\nmajority",
                "NMI",
                *(["MI,\nnats"] if self.information else []),
            ):
                table.add_column(name)
        seen = list(next(iter(self.correlations.values()), {}))
        drawn = list(next(iter(self.own.values()), {}))
        for name in [*seen, *(f"{name},\ndrawn" for name in drawn)]:
            table.add_column(name)
        for name, found in self.matches.items():
            own = "-" if found.one_to_one is None else f"{found.one_to_one:.2%}"
            told = [f"{self.information[name]:.3f}"] if self.information else []
            table.add_row(name, own, f"{found.majority:.2%}", f"{self.nmi[name]:.3f}", *told)
        for name, row in self.correlations.items():
            values = [*row.values(), *self.own.get(name, {}).values()]
            table.add_row(
                name,
                *([""] * (4 if self.information else 3) if self.matches else []),
                *(f"{value:.3f}" for value in values),
            )
        return table


def read(model: Any, data: Dataset, batch: int) -> tuple[Tensor, Tensor | None]:
    """For each code one column of what the model reads: the likeliest category, or the mean; and
    the labels."""
    columns, labels = [], []
    for index in torch.arange(len(data)).split(batch):
        x, y = data.batch(index)
        found = zip(model.codes(), model.infer(x), strict=True)
        columns.append(
            torch.cat(
                [
                    (r.argmax(1, keepdim=True) if c.kind == "categorical" else r).double().cpu()
                    for c, r in found
                ],
                1,
            )
        )
        labels += [] if y is None else [y.cpu()]
    table = torch.cat(columns)
    if not table.isfinite().all():
        raise UsageError(
            f"The model reads codes that are no numbers from '{data.spec.name}': its "
            "training diverged, take earlier weights."
        )
    return table, torch.cat(labels) if labels else None


@dataclass(frozen=True)
class Steered:
    """Images drawn from a model by codes that are known.

    Arguments:
        continuous: Their continuous codes, (n, codes).
        looks: Their slant and width, (n, 2).
        groups: Their category by the first categorical code, (n,); by it only, since the combined
            categories of several would be too many.
        information: For each categorical code log K + mean log q(c|x) (nats).
    """

    continuous: Tensor
    looks: Tensor
    groups: Tensor
    information: dict[str, float]


def steered(model: Any, n: int, batch: int, seed: int) -> Steered:
    """Draws codes from the prior and images by them, and reads those again."""
    z, codes, looks = (
        model.prior(n, generator=torch.Generator().manual_seed(seed)),
        model.codes(),
        [],
    )
    categorical = [(i, code) for i, code in enumerate(codes) if code.kind == "categorical"]
    information = {code.name: math.log(code.size) for _, code in categorical}
    for part in z.split(batch):
        x = model.decode(part)
        looks.append(slant_and_width(x.cpu()))
        reading = model.infer(x)
        for i, code in categorical:
            right = (reading[i].double() * part[:, code.start : code.start + code.size]).sum(1)
            information[code.name] += right.clamp_min(1e-30).log().sum().item() / n
    z = z.cpu().double()
    first = categorical[0][1] if categorical else None
    groups = (
        torch.zeros(n, dtype=torch.int64)
        if first is None
        else z[:, first.start : first.start + first.size].argmax(1)
    )
    return Steered(
        z[:, [code.start for code in codes if code.kind == "continuous"]],
        torch.cat(looks),
        groups,
        information,
    )


def describe_codes(
    model: Any,
    data: Dataset,
    factors: Float[Tensor, "n q"] | None = None,
    names: Sequence[str] = (),
    *,
    fix: Dataset | None = None,
    drawn: int = 10_000,
    batch: int = 500,
    seed: int = 0,
    split: str = "",
) -> CodeReport:
    """Reads every code from images and compares it with labels, with known factors, or else with
    slant and width.

    Arguments:
        model: Anything that names its codes.
        data: Images; those without a label are left out where labels are compared.
        factors: What is known of each image, in the order of `data`; by default what the data set
            itself was made from, if it was.
        names: Names of the factors.
        fix: Labeled images on which the maps from categories to classes are fixed, best the
            training set; by default `data`.
        drawn: Images drawn from the model for the information on its categories and the
            correlations of chosen codes with slant and width; 0 for none.
        batch: Images worked off at a time.
        seed: Fixes the drawn codes.
        split: Which part of the data set `data` is, to be printed.

    Example:
        >>> import zeuxis
        >>> from zeuxis.gan.infogan import InfoGAN, InfoGANConfig
        >>> data = zeuxis.load_data("mnist", split="test", limit=100)
        >>> report = describe_codes(InfoGAN(InfoGANConfig(width=0.05), data.spec).eval(), data, drawn=0)
        >>> list(report.matches), list(report.correlations["continuous 1"])
        (['category'], ['slant', 'width'])
    """
    require(model, HasCodes, "say what its codes mean")
    if len(data.spec.shape) != 3 or data.spec.shape != model.spec.shape:
        raise UsageError(
            f"'{data.spec.name}' has examples of shape {data.spec.shape} and the model "
            f"reads {model.spec.shape} images."
        )
    if not len(data):
        raise DataError(f"'{data.spec.name}' holds no images: give some to read codes from.")
    if factors is None and data.facts.factors is not None:
        factors, names = factors_of(data), data.facts.factor_names
    if factors is not None and len(factors) != len(data):
        raise DataError(
            f"'{data.spec.name}' has {len(data)} images and {len(factors)} rows of "
            "factors: give one row an image."
        )

    codes = model.codes()
    smooth = [i for i, code in enumerate(codes) if code.kind == "continuous"]
    columns, labels = read(model, data, batch)
    matches, nmi, mapped = {}, {}, 0
    if labels is not None and data.spec.classes:
        known_columns, known_labels = (None, None) if fix is None else read(model, fix, batch)
        for i, code in enumerate(codes):
            if code.kind == "categorical":
                assigned, truth = labeled(columns[:, i], labels, data.spec.name)
                counts = None
                if known_columns is not None and known_labels is not None:
                    basis = labeled(known_columns[:, i], known_labels, data.spec.name)
                    mapped, counts = len(basis[1]), confusion(*basis, code.size, data.spec.classes)
                matches[code.name] = match(assigned, truth, code.size, data.spec.classes, counts)
                nmi[code.name] = normalized_mutual_information(assigned, truth)

    correlations, own, gap, separation = {}, {}, None, None
    chosen = (
        steered(model, drawn, batch, seed)
        if drawn and (factors is None or len(smooth) < len(codes))
        else None
    )
    if factors is not None:
        factors = factors.double().cpu()
        names = list(names) or [f"factor {j + 1}" for j in range(factors.shape[1])]
        correlations = (
            named(codes, smooth, names, spearman(columns[:, smooth], factors)) if smooth else {}
        )
        gap = mutual_information_gap(columns, factors)
        separation = (
            dci(columns, factors, seed) if min(columns.shape[1], factors.shape[1]) > 1 else None
        )
    elif smooth:
        names = ["slant", "width"]
        looks = torch.cat(
            [
                slant_and_width(data.batch(index)[0]).cpu()
                for index in torch.arange(len(data)).split(batch)
            ]
        )
        groups = torch.zeros(len(data), dtype=torch.int64) if labels is None else labels
        has = groups >= 0
        correlations = named(
            codes, smooth, names, within(columns[:, smooth][has], looks[has], groups[has])
        )
        own = (
            named(codes, smooth, names, within(chosen.continuous, chosen.looks, chosen.groups))
            if chosen
            else {}
        )
    count, information = (drawn, chosen.information) if chosen else (0, {})
    split = split or data.facts.split
    return CodeReport(
        data.spec.name,
        split,
        len(data),
        mapped,
        count,
        matches,
        nmi,
        information,
        correlations,
        own,
        gap,
        separation,
    )


def labeled(column: Tensor, labels: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Categories and labels of the examples that have a label."""
    has = labels >= 0
    if not has.any():
        raise DataError(
            f"No image of '{name}' has a label to compare categories with: give a labeled set."
        )
    return column[has].long(), labels[has]


def named(
    codes: Sequence[Code], rows: list[int], names: Sequence[str], table: Tensor
) -> dict[str, dict[str, float]]:
    """A table of numbers with the names of its rows and columns."""
    return {
        codes[i].name: dict(zip(names, row, strict=True))
        for i, row in zip(rows, table.tolist(), strict=True)
    }
